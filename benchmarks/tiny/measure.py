"""How the tiny checkpoint does on scenes that it never saw, and its card.

    folder with a checkpoint, seed -> {"auc": 0.999, "recall": ..., "colour": ...} -> README.md in that folder

The checkpoint is read by the stock classes of transformers, from the files as they are shipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from huggingface_hub import ModelCardData
from PIL import Image

from builder.card import values
from builder.card.template import fill
from builder.demo import scene as scenes
from builder.demo.scene import Attributes

from .pairs import CROP, HELD_OUT, QUALITIES, TOLD, jpeg, size_of, truth, words_of

if TYPE_CHECKING:
    import torch

SHORT = 128  # pixels of a held-out picture's short side: enough for the model, and quick to draw
PAIRS = 2000
WRONG = 500  # of them are compared with a caption wrong in one attribute
FIGURES = {
    "auc": "AUC, alt text with its picture against alt text with another",
    "matched": "mean cosine of an alt text and its picture",
    "matched_low": "its 1st percentile",
    "permuted": "mean cosine of an alt text and another picture",
    "permuted_high": "its 99th percentile",
    "recall": "recaptions that find their picture first among all (R@1)",
} | {name: f"pictures that prefer their recaption to one with another {name}" for name in TOLD}
FRONT = {
    "license": "apache-2.0",
    "language": "zh",
    "library_name": "transformers",
    "pipeline_tag": "zero-shot-image-classification",
}
WORDS = {
    "title": "A tiny SigLIP of synthetic Chinese scenes",
    "chinese": "用合成场景训练的极小 SigLIP 模型（SIZE），供演示、测试和基准使用；只认识彩色图形及其中文描述，"
    "不适用于真实图片。",
    "summary": "A real, trained `SiglipModel` of SIZE, so that `danqing revalidate` runs its whole path on a machine "
    "without network or GPU.",
    "use": "In the demo, in tests and in benchmarks of danqing, and for nothing else.",
    "notes": "Another picture is that of the next scene, unless the alt text is by chance true of it too: some leave "
    "things out. The attributes were compared on the first",
    "limits": "It knows coloured shapes and nothing else; no photograph, and no text but that of its world's captions.",
    "licence": "Apache-2.0, as the code.",
}
QUALITY = 85  # of the held-out pictures, as JPEG


def auc(right: npt.NDArray[np.float32], wrong: npt.NDArray[np.float32]) -> float:
    """The share of (right, wrong) in which right is the larger, a tie counting half: the area under the ROC."""
    wrong = np.sort(wrong)
    below = np.searchsorted(wrong, right, "left") + np.searchsorted(wrong, right, "right")
    return float(below.mean() / 2 / len(wrong))


def embed(folder: Path, pictures: list[Image.Image], captions: list[str]) -> list[npt.NDArray[np.float32]]:
    """Normalised embeddings (n, WIDTH) of pictures and of captions, by the stock classes of transformers."""
    import torch
    from transformers import AutoModel, AutoProcessor

    model = AutoModel.from_pretrained(folder, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(folder)  # type: ignore[no-untyped-call]
    embeddings: list[list[torch.Tensor]] = [[], []]
    with torch.inference_mode():
        for start in range(0, len(pictures), 256):
            pixels = processor.image_processor(pictures[start : start + 256], return_tensors="pt")
            embeddings[0].append(model.get_image_features(**pixels).pooler_output)
        for start in range(0, len(captions), 256):
            ids = processor.tokenizer(
                captions[start : start + 256], padding="max_length", return_tensors="pt"
            )
            embeddings[1].append(model.get_text_features(**ids).pooler_output)
    return [torch.nn.functional.normalize(torch.cat(one), dim=1).numpy() for one in embeddings]


def wrong_in(name: str, shown: list[Attributes]) -> list[str]:
    """The recaption of every scene with one attribute changed."""
    words = sorted({getattr(one, name) for one in shown})
    captions = []
    for index, one in enumerate(shown):
        others = [replace(one, **{name: word}) for word in words if word != getattr(one, name)]
        others = [other for other in others if other.colour != other.ground]
        captions.append(scenes.captions(others[index % len(others)], np.random.default_rng(0))[1])
    return captions


def measure(folder: Path, pairs: int = PAIRS, seed: int = 0) -> dict[str, float]:
    """The FIGURES of a checkpoint, measured on `pairs` held-out scenes."""
    made = [scenes.scene(index, HELD_OUT + seed, size=size_of(index, SHORT)) for index in range(pairs)]
    shown = [one.attributes for one in made]
    groups = [
        [one.alt_text for one in made],
        [one.recaption for one in made],
        *(wrong_in(name, shown[:WRONG]) for name in TOLD),
    ]
    pictures, texts = embed(
        folder, [jpeg(one.image, QUALITY) for one in made], [one for group in groups for one in group]
    )
    alt_texts, recaptions = texts[:pairs], texts[pairs : 2 * pairs]
    false = ~np.roll(truth(groups[0], words_of(shown)), -1, 1).diagonal()
    matched, permuted = (alt_texts * pictures).sum(1), (alt_texts * np.roll(pictures, -1, 0)).sum(1)[false]
    first = (recaptions @ pictures.T).argmax(1)
    found = [groups[1][row] == groups[1][column] for row, column in enumerate(first)]
    figures = {"auc": auc(matched, permuted), "recall": np.mean(found)}
    figures |= {"matched": matched.mean(), "matched_low": np.quantile(matched, 0.01)}
    figures |= {"permuted": permuted.mean(), "permuted_high": np.quantile(permuted, 0.99)}
    own = pictures[:WRONG]
    true = (recaptions[:WRONG] * own).sum(1)
    for name, wrong in zip(TOLD, np.split(texts[2 * pairs :], len(TOLD)), strict=True):
        figures[name] = (true > (wrong * own).sum(1)).mean()
    return {name: float(figures[name]) for name in FIGURES}


def write_card(folder: Path, pairs: int, seed: int, made: Mapping[str, int]) -> dict[str, float]:
    """Measure the checkpoint, and write its README.md. Returns the figures.

    made: how it was trained: steps, side, length and pool.
    """
    figures = measure(folder, pairs, seed)
    size = values.size(sum(path.stat().st_size for path in folder.iterdir() if path.name != "README.md"))
    facts = WORDS | {
        "chinese": WORDS["chinese"].replace("SIZE", size),
        "summary": WORDS["summary"].replace("SIZE", size),
        "made": _made(seed, made),
        "measured": f"With these files, on {values.number(pairs)} scenes of another seed, JPEG of quality {QUALITY}:",
        "figures": [{"name": FIGURES[name], "value": f"{n:.4f}"} for name, n in figures.items()],
        "notes": f"{WORDS['notes']} {values.number(min(WRONG, pairs))} scenes.",
    }
    front = ModelCardData(**FRONT).to_yaml(line_break="\n")
    (folder / "README.md").write_text(f"---\n{front}\n---\n{fill('checkpoint.md', facts)}", encoding="utf-8")
    return figures


def _made(seed: int, made: Mapping[str, int]) -> list[str]:
    """How the checkpoint was trained, in sentences."""
    side, length, pool = (values.number(made[name]) for name in ("side", "length", "pool"))
    command = f"--seed {seed} --steps {made['steps']}"
    low, high = map(values.number, QUALITIES)
    return [
        f"Pictures of {side} x {side} pixels; a token a character, lower-cased, padded to {length}; weights in "
        "bfloat16.",
        f"Made by `OMP_NUM_THREADS=1 python -m benchmarks.tiny OUT {command}`, from scratch, on one "
        "core of a CPU in a few minutes. The same seed gives the same weights on the same version of torch.",
        f"Data: {pool} scenes of `builder/demo/scene.py` ({_world()}), drawn for it in several formats, as JPEG of "
        f"quality {low} to {high}, some cropped by up to {values.percent(CROP)} a side, lighter, darker, or marked.",
        "Training: the picture tower learns to tell the attributes by a linear head, which is thrown away; the text "
        "tower learns to match its embeddings; then both learn together. The loss is the sigmoid loss over all "
        "captions and pictures of a batch, half of which differ from another in one attribute, and a caption counts "
        "as right with every picture that it is true of.",
    ]


def _world() -> str:
    """What there is in the scenes, counted."""
    shown = {
        "colours": len(scenes.COLOURS),
        "shapes": len(scenes.SHAPES),
        "counts": len(scenes.COUNTS),
        "places": len(scenes.PLACES),
        "grounds": len(scenes.GROUNDS),
        "patterns": len(scenes.PATTERNS),
    }
    return ", ".join(f"{values.number(count)} {name}" for name, count in shown.items())
