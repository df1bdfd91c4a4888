"""The paper's benchmarks, each with where its owners publish it, how it is measured, what averages it is part of.

DanQing is arXiv 2601.10305; its figures, of checkpoints before and after training, are in paper.json. A benchmark that
the paper does not have is measured and told like the others, and part of no average. Another paper's figures of the
same checkpoints before training lie there too: they differ by more than a data set gains, so gains compare, and scores
do not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

ELEVATER = "ELEVATER_all.zip of hf.co/datasets/OFA-Sys/chinese-clip-eval, unzipped: a zip or folder a set"
CHINESE_CLIP = "hf.co/datasets/OFA-Sys/chinese-clip-eval"
TOP1, PER_CLASS, MAP, AUC = "top1", "mean per class", "11-point mAP", "AUC"
ZERO_SHOT, SHORT, LONG = "zero-shot", "short", "long"  # families: each with an average of its own
RANKS = (1, 5, 10)
WAYS = ("text_to_image", "image_to_text")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One set of pictures. folders: names that it goes by; family: ZERO_SHOT, SHORT or LONG; averaged: by the paper.

    elevater: the measure that ELEVATER takes beside top-1; classes: how many it has, 0: not counted.
    """

    name: str
    title: str
    family: str
    folders: tuple[str, ...]
    where: str
    averaged: bool = True
    elevater: str = TOP1
    classes: int = 0


def _zero(
    name: str, title: str, folder: str, classes: int, elevater: str = TOP1, averaged: bool = True
) -> Benchmark:
    return Benchmark(name, title, ZERO_SHOT, (folder, name), ELEVATER, averaged, elevater, classes)


_ALL = (
    _zero("caltech101", "Caltech101", "caltech-101", 102, PER_CLASS),
    _zero("cifar10", "CIFAR10", "cifar-10", 10),
    _zero("country211", "Country211", "country211", 211),
    _zero("dtd", "DTD", "dtd", 47),
    _zero("food101", "Food101", "food-101", 101),
    _zero("mnist", "MNIST", "mnist", 10),
    _zero("flowers102", "Flowers102", "oxford-flower-102", 102, PER_CLASS),
    _zero("pets", "Oxford Pets", "oxford-iiit-pets", 37, PER_CLASS),
    _zero("resisc45", "RESISC45", "resisc45_clip", 45),
    _zero("cars", "Stanford Cars", "stanford-cars", 196),
    _zero("memes", "Hateful Memes", "hateful-memes", 2, AUC),
    _zero("voc2007", "VOC2007", "voc-2007-classification", 20, MAP),
    _zero("cifar100", "CIFAR100", "cifar-100", 100, averaged=False),
    _zero("eurosat", "EuroSAT", "eurosat_clip", 10, averaged=False),
    _zero("fer2013", "FER2013", "fer-2013", 7, averaged=False),
    _zero("aircraft", "FGVC Aircraft", "fgvc-aircraft-2013b-variants102", 100, PER_CLASS, averaged=False),
    _zero("gtsrb", "GTSRB", "gtsrb", 43, averaged=False),
    _zero("kitti", "KITTI distance", "kitti-distance", 4, averaged=False),
    _zero("pcam", "PatchCamelyon", "patch-camelyon", 2, averaged=False),
    _zero("sst2", "Rendered SST2", "rendered-sst2", 2, averaged=False),
    Benchmark("flickr30k-cn", "Flickr30K-CN", SHORT, ("Flickr30k-CN",), f"Flickr30k-CN.zip of {CHINESE_CLIP}"),
    Benchmark("coco-cn", "COCO-CN", SHORT, ("COCO-CN",), "its authors, at github.com/li-xirong/coco-cn"),
    Benchmark("muge", "MUGE", SHORT, ("MUGE", "Multimodal_Retrieval"), f"MUGE.zip of {CHINESE_CLIP}"),
    # Of FG-CLIP: the same pictures with 5,000 captions instead of 1,053, which gives other figures.
    Benchmark("coco-cn-5k", "COCO-CN, 5,000 captions", SHORT, ("COCO-CN-5k",), "github.com/360CVGroup/FG-CLIP", False),
    Benchmark("dci-cn", "DCI-CN", LONG, ("DCI-CN",), "hf.co/datasets/qihoo360/DCI-CN"),
    Benchmark("docci-cn", "DOCCI-CN", LONG, ("DOCCI-CN",), "hf.co/datasets/qihoo360/DOCCI-CN"),
)  # fmt: skip
BENCHMARKS: Mapping[str, Benchmark] = {one.name: one for one in _ALL}


def own(name: str, family: str) -> Benchmark:
    """A set of somebody's own in one of the forms that are read, measured by top-1, or by recall."""
    return Benchmark(name, name, family, (name,), "a set of your own", averaged=False)


# ---- the figures of the paper

FILE = Path(__file__).with_name("paper.json")
BEFORE, AFTER = "none", "DanQing"
_SIZES = {"base": "B", "large": "L", "so400m": "So400m", "giant-opt": "g-opt"}
_NAME = re.compile(rf"siglip2-({'|'.join(_SIZES)})-patch(\d\d)-256")


class PublishedRow(TypedDict):
    """Figures in percent of one checkpoint; data: what it was trained on, BEFORE: nothing more."""

    size: str
    data: str
    figures: dict[str, float]
    average: float


class ScalingRow(TypedDict):
    """Averages in percent of one checkpoint that was trained on so many pairs; read off a figure of the paper."""

    size: str
    data: str
    pairs: int
    zero_shot: float
    retrieval: float


@dataclass(frozen=True, slots=True)
class Gain:
    """Two published figures, in percent."""

    before: float
    after: float

    def __str__(self) -> str:
        return f"{self.before:.1f} → {self.after:.1f} ({self.after - self.before:+.1f})"


@cache
def _document() -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(FILE.read_bytes())
    return found


def rows(family: str) -> list[PublishedRow]:
    """The rows of a table of the paper: zero-shot, short, long or lmm; `other` of another paper."""
    found: list[PublishedRow] = _document()[family]
    return found


def scaling() -> list[ScalingRow]:
    """The points of the paper's figure about scaling."""
    found: list[ScalingRow] = _document()["scaling"]
    return found


def size_of(name: str) -> str | None:
    """The size by which the paper calls a SigLIP2 checkpoint of 256 pixels, as B/16; None for any other."""
    found = _NAME.search(name)
    return f"{_SIZES[found[1]]}/{int(found[2])}" if found else None


def gain(family: str, size: str | None, figure: str) -> Gain | None:
    """The paper's figure before and after training on DanQing; figure: its name in paper.json, or average."""
    found = {row["data"]: row for row in rows(family) if row["size"] == size}
    if not {BEFORE, AFTER} <= found.keys():
        return None
    before, after = (
        row["average"] if figure == "average" else row["figures"].get(figure)
        for row in (found[BEFORE], found[AFTER])
    )
    return None if before is None or after is None else Gain(before, after)


def disagreements(size: str | None, figures: set[str]) -> list[str]:
    """Lines about figures of one checkpoint before training on which two papers do not agree."""
    ours = {name: value for family in ("short", "long") for row in rows(family) if row["size"] == size
            and row["data"] == BEFORE for name, value in row["figures"].items()}  # fmt: skip
    said = []
    for row in rows("other"):
        both = {name: (ours[name], value) for name, value in row["figures"].items() if name in ours}
        told = [f"{name} {a:.1f} and {b:.1f}" for name, (a, b) in both.items() if name in figures]
        if row["size"] == size and told:
            said.append(
                f"published figures of {size} before training do not agree (the paper's, FG-CLIP 2's): "
                f"{'; '.join(told)}. Compare gains, not scores"
            )
    return said
