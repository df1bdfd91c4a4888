"""New concepts: whether a checkpoint knows what pictures show that is younger than most of its training data.

FOLDER/<concept>/   pictures
                    label.txt          what they show, one line
                    distractors.txt    names that it could be taken for, one a line

folder ─▶ Concept: pictures and texts ─▶ towers ─▶ cosines ─▶ softmax ─▶ Confidence

After DanQing (arXiv 2601.10305), which asks of pictures of 黑神话：悟空 and 小米SU7 which of three texts is theirs, by
a softmax over the three cosines. It tells no temperature: taken is the scale that a checkpoint has learnt for its loss,
exp of `logit_scale`, so that how sure it is follows from the checkpoint alone. The texts are the names as they stand
there, without a template.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import EnvironmentProblem, InputError
from .tasks import Pictures

FloatArray = npt.NDArray[np.float32]
LABEL, DISTRACTORS = "label.txt", "distractors.txt"
MANY, NAMES = 10_000, 1000  # concepts of a folder and pictures of a concept, names of a file
LONG = 200  # characters of a name
LARGEST = 64 << 20  # bytes of a picture; what is larger is no picture
_PICTURE = re.compile(r"[^.].*\.(?:jpe?g|png|webp|bmp|gif|tiff?|avif)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Concept:
    """Pictures (n,) of something new. names: of the files; texts: the label, and behind it the distractors (k,)."""

    name: str
    names: list[str]
    pictures: Pictures
    texts: list[str]


@dataclass(frozen=True, slots=True)
class Confidence:
    """What a checkpoint makes of a concept: means over `pictures`, of which `lost` could not be decoded.

    confidence: the softmax of the label, 0 to 1; top1: the share whose label is strictly the nearest.
    """

    confidence: float
    top1: float
    pictures: int
    lost: int


def find(folder: str) -> list[Concept]:
    """The concepts of a folder, by name. Raises InputError for one that cannot be judged, and where there is none."""
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{folder}: no folder of concepts")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not 0 < len(folders) <= MANY:
        raise InputError(
            f"{folder}: {len(folders):,} concepts; make a folder of each, with pictures, {LABEL} and {DISTRACTORS}"
        )
    return [_concept(path) for path in folders]


def judged(concept: Concept, image: FloatArray, texts: FloatArray, scale: float) -> Confidence:
    """How sure a checkpoint is of the label, by unit vectors of the pictures (n, d) and texts (k, d).

    Softmax of scale * cosine over the k texts; a picture that is NaN is lost, and counts as taken for something else.
    Raises InputError where the checkpoint has no such scale, or no direction for a text.
    """
    if not (0 < scale < math.inf) or np.isnan(texts).any():
        raise InputError(
            f"{concept.name}: the checkpoint gives a text no direction, or cosines no scale; check it"
        )
    lost = np.isnan(image).any(axis=1)
    cosines = image[~lost] @ texts.T
    powers = np.exp(scale * (cosines - cosines.max(axis=1, keepdims=True)).astype(np.float64))
    sure = powers[:, 0] / powers.sum(axis=1)
    right = cosines[:, 0] > cosines[:, 1:].max(axis=1)
    n = len(image)
    return Confidence(float(sure.sum() / n), float(right.sum() / n), n, int(lost.sum()))


def _concept(folder: Path) -> Concept:
    label, others = _named(folder / LABEL), _named(folder / DISTRACTORS)
    if len(label) != 1:
        raise InputError(f"{folder / LABEL}: {len(label):,} names; write the one that the pictures show")
    texts = [*label, *others]
    ((name, count),) = Counter(text.lower() for text in texts).most_common(1)  # as the text towers read them
    if count > 1:
        raise InputError(f"{folder}: {name} stands {count:,} times in {LABEL} and {DISTRACTORS}; leave one")
    files = sorted(path for path in folder.iterdir() if _PICTURE.fullmatch(path.name) and path.is_file())
    if not 0 < len(files) <= MANY:
        raise InputError(
            f"{folder}: {len(files):,} pictures (JPEG, PNG, WebP and the like), not 1 to {MANY:,}"
        )

    def pictures() -> Iterator[bytes]:
        for path in files:
            try:
                yield path.read_bytes() if path.stat().st_size <= LARGEST else b""
            except OSError as error:
                raise EnvironmentProblem(f"{path}: cannot be read: {error.strerror}") from error

    return Concept(folder.name, [path.name for path in files], pictures, texts)


def _named(path: Path) -> list[str]:
    """The names of a file, one a line."""
    if not path.is_file() or path.stat().st_size > 4 * NAMES * LONG:
        raise InputError(f"{path}: no file of names, one a line; write it")
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeError:
        raise InputError(f"{path}: not in UTF-8; save it so") from None
    if not 0 < len(names) <= NAMES or max(map(len, names)) > LONG:
        raise InputError(f"{path}: {len(names):,} names, not 1 to {NAMES:,} of at most {LONG} characters")
    return names
