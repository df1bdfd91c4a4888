"""Image classifiers of transformers, which say how likely a picture is unsafe: MODEL or MODEL:LABEL.

MODEL ─▶ ImageClassifier: the labels that mean unsafe, the sum of their probabilities ─▶ a number a picture

Weights are read from safetensors, and no code of a repository is run. Which labels mean unsafe is told by their names;
where it cannot be told, it is asked for, never guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import EnvironmentProblem, InputError
from .checkpoint import FILES, PICTURES, checked, fingerprint, installed, located, slug_of
from .classifier import chosen, parted
from .device import Options, place
from .looks import Numbers, upright
from .siglip2 import explained, quiet, unfit

ROWS = 16  # pictures of every forward: what one comes to is the same in any batch
_FILES = tuple(name for name in FILES if not name.startswith(("token", "spiece", "vocab")))
_TIMM = ("timm", "torchvision")  # what transformers runs models of timm with, the paper's among them


class ImageClassifier:
    """An image classifier in memory. model: MODEL or MODEL:LABEL; device: as --device.

    Raises InputError where it is no such classifier or cannot be read, UsageError where it has no such label or where
    none of its labels says that it means unsafe, EnvironmentProblem where what runs it is missing.
    """

    def __init__(self, model: str, device: str = "auto") -> None:
        name, label = parted(model)
        folder, _, config = located(name, files=_FILES)
        timm = config.get("model_type") == "timm_wrapper"
        missing = [package for package in _TIMM if timm and not installed(package)]
        if missing:
            raise EnvironmentProblem(
                f"{name}: is a model of timm, which transformers runs by {' and '.join(missing)}: "
                f"pip install {' '.join(missing)}, of torchvision the release that belongs to your torch"
            )
        weights = checked(folder, config, name, () if timm else (PICTURES,))  # timm keeps its in config.json
        self.fingerprint = fingerprint(folder, weights, _FILES)
        self._name = name
        with explained(name), quiet():
            self._processor, self._model = _loaded(folder, name, device)
        settings = self._model.config
        labels = [str(settings.id2label.get(number, number)) for number in range(settings.num_labels)]
        self._each = len(labels) == 1 or settings.problem_type == "multi_label_classification"
        self._labels = chosen(labels, label, self._each, name, "--image-classifier")
        self.slug = slug_of("-".join(filter(None, (Path(name).name, label))), self.fingerprint)

    def __call__(self, pictures: Sequence[bytes | None]) -> Numbers:
        """How likely each picture is unsafe (n,); NaN where there is none.

        Raises InputError where the classifier gives no number for one.
        """
        found = np.full(len(pictures), np.nan, np.float32)
        with ThreadPoolExecutor(max_workers=4, thread_name_prefix="danqing-look") as pool:
            for start in range(0, len(pictures), ROWS):
                prepared = list(pool.map(self._pixels, pictures[start : start + ROWS]))
                rows = [row for row, pixels in enumerate(prepared, start) if pixels is not None]
                if rows:
                    found[rows] = self._probabilities([one for one in prepared if one is not None])
                    if not np.isfinite(found[rows]).all():
                        raise InputError(
                            f"{self._name}: gives no number for a picture; its weights are broken, take another"
                        )
        return found

    def _pixels(self, body: bytes | None) -> npt.NDArray[np.float32] | None:
        """A picture as its own processor prepares it, (3, height, width)."""
        from PIL import Image

        found = upright(body)
        if found is None:
            return None
        made = self._processor([Image.fromarray(found[0])], return_tensors="np")["pixel_values"][0]
        return np.asarray(made, np.float32)

    def _probabilities(self, pixels: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float64]:
        """The probability of unsafe for up to ROWS pictures, in a batch of that many that the first of them fills."""
        import torch

        if len({one.shape for one in pixels}) > 1:
            raise InputError(
                f"{self._name}: its processor keeps the shape of pictures, which are read together; take another"
            )
        batch = torch.from_numpy(np.stack(pixels + pixels[:1] * (ROWS - len(pixels))))
        with torch.inference_mode():
            logits = self._model(pixel_values=batch.to(self._model.device)).logits.float()
        odds = (logits.sigmoid() if self._each else logits.softmax(-1))[: len(pixels), self._labels]
        risk: npt.NDArray[np.float64] = (odds.amax(-1) if self._each else odds.sum(-1)).cpu().double().numpy()
        return risk


def _loaded(folder: Path, name: str, device: str) -> tuple[Any, Any]:
    """The processor and the model of a folder, in float32 on its device."""
    import torch
    from transformers import AutoModelForImageClassification
    from transformers.models.auto.image_processing_auto import AutoImageProcessor  # see siglip2.load

    alone = {"local_files_only": True, "trust_remote_code": False}
    how = {} if installed("torchvision") else {"backend": "pil"}
    processor = AutoImageProcessor.from_pretrained(folder, **alone, **how)  # type: ignore[no-untyped-call]
    model, report = AutoModelForImageClassification.from_pretrained(
        folder,
        **alone,
        use_safetensors=True,
        dtype=torch.float32,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are in the report
    )
    if fault := unfit({**report, "unexpected_keys": ()}):
        raise InputError(f"{name}: {fault}; it is no image classifier, or not whole")
    placed = place(
        Options(device=device, dtype="float32"), sum(weight.numel() for weight in model.parameters())
    )
    return processor, model.to(placed.device).eval()
