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
from PIL import Image

from . import scene as scenes
from .pairs import HELD_OUT, TOLD, jpeg, size_of, truth, words_of
from .scene import Attributes

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
CARD = """---
license: apache-2.0
language: zh
library_name: transformers
pipeline_tag: zero-shot-image-classification
---
# A tiny SigLIP of synthetic Chinese scenes

A real, trained `SiglipModel` of {size}, so that `danqing revalidate` runs its whole path on a machine without
network or GPU: in the demo, in tests and in benchmarks. It knows coloured shapes and nothing else; no photograph,
and no text but that of its world's captions.

- Pictures of {side} x {side} pixels; a token a character, lower-cased, padded to {length}; weights in bfloat16.
- Made by `OMP_NUM_THREADS=1 python -m builder.demo.tiny OUT --seed {seed} --steps {steps}`, from scratch, on one core
  of a CPU in a few minutes. The same seed gives the same weights on the same version of torch.
- Data: {pool} scenes of `builder/demo/scene.py` (8 colours, 7 shapes, 4 counts, 9 places, 8 grounds, 4 patterns), drawn
  for it in several formats, as JPEG of quality 70 to 95, some cropped by up to 7 % a side, lighter, darker, or marked.
- Training: the picture tower learns to tell the attributes by a linear head, which is thrown away; the text tower
  learns to match its embeddings; then both learn together. The loss is the sigmoid loss over all captions and pictures
  of a batch, half of which differ from another in one attribute, and a caption counts as right with every picture that
  it is true of.

Measured with these files on {pairs} scenes of another seed, JPEG of quality 85:

| figure | value |
|---|---|
{figures}

Another picture is that of the next scene, unless the alt text is by chance true of it too: some leave things out.
The attributes were compared on the first {wrong} scenes. Licence: Apache-2.0, as the code.
"""


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
        folder, [jpeg(one.image, 85) for one in made], [one for group in groups for one in group]
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


def write_card(folder: Path, pairs: int, seed: int, made: Mapping[str, object]) -> dict[str, float]:
    """Measure the checkpoint, and write its README.md; made: the other words of CARD. Returns the figures."""
    figures = measure(folder, pairs, seed)
    size = sum(path.stat().st_size for path in folder.iterdir() if path.name != "README.md")
    rows = "\n".join(f"| {FIGURES[name]} | {value:.4f} |" for name, value in figures.items())
    facts = {
        "size": f"{size / 1000:.0f} kB",
        "seed": seed,
        "pairs": f"{pairs:,}",
        "wrong": WRONG,
        "figures": rows,
    }
    (folder / "README.md").write_text(CARD.format(**facts, **made), encoding="utf-8")
    return figures
