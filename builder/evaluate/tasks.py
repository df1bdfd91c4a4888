"""Tasks: a benchmark as it was found on this disk, in whatever format its owners publish it.

folder of benchmarks ─▶ Task: pictures one after the other, and classes or captions
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .archives import Tree, whole
from .recipe import BENCHMARKS, Benchmark

# Files that are pictures, by their names: those that torchvision's ImageFolder takes, and GIF and AVIF.
PICTURES = re.compile(r"\.(?:jpe?g|png|webp|bmp|gif|tiff?|avif|p[gp]m)$", re.IGNORECASE)
LARGEST = 32 << 20  # bytes of a picture, as many as `rebuild` takes from the web
LONGEST = 20_000  # characters of a caption

# Captions of the published sets: of Chinese-CLIP by its issue 175 and its notebook, of FG-CLIP counted in its pair.txt.
CAPTIONS = {"flickr30k-cn": 5_000, "coco-cn": 1_053, "coco-cn-5k": 5_000, "muge": 5_008}
# A word with a tag of its part of speech, as in flickr30k_test_zh.txt of CLIP_benchmark, whose scores suffer from it.
TAG = re.compile(r"^(.*)[:/]([A-Za-z]{1,4}[0-9]?)$")
TAGS = 100  # different tags that there are at most
TAGGED = 0.9  # share of all words from which they count as tagged
GAP = re.compile(
    r"(?<![0-9A-Za-z]) | (?![0-9A-Za-z])"
)  # a space between words, but not between two of Latin letters

Pictures = Callable[[], Iterator[bytes]]  # all of them, in the order of the rows; each call reads them anew


@dataclass(frozen=True, slots=True)
class Task:
    """A benchmark with n pictures. names: of the pictures (n,); identity: SHA-256 of texts, labels, names and sizes.

    said: what people should know of what was found, a line each.
    """

    benchmark: Benchmark
    names: list[str]
    pictures: Pictures
    identity: str
    said: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Labelled(Task):
    """Pictures of classes. classes: their Chinese names (c,); truth: which classes a picture is of (n, c)."""

    classes: list[str] = field(default_factory=list)
    truth: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), np.bool_))


@dataclass(frozen=True, slots=True)
class Captioned(Task):
    """Pictures with captions. texts: (m,); pairs: rows (picture, text) of what belongs together (p, 2), unique."""

    texts: list[str] = field(default_factory=list)
    pairs: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))


def shown(names: Sequence[str], most: int = 5) -> str:
    """The first of some names, for a line."""
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])])


def identity(*parts: object) -> str:
    """SHA-256 of what decides the figures of a task, in hex; parts: values of JSON."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(part, ensure_ascii=True).encode() + b"\n")
    return digest.hexdigest()


def sized(tree: Tree, paths: Sequence[str]) -> list[int]:
    """The bytes of each picture, 0 where the path is empty; InputError where one has more than LARGEST."""
    sizes = [tree.sizes[path] if path else 0 for path in paths]
    if large := [path for path, size in zip(paths, sizes, strict=True) if size > LARGEST]:
        raise InputError(
            f"{tree.where}/{large[0]}: more than {LARGEST:,} bytes, so it is no picture of a benchmark"
        )
    return sizes


def pictures_of(tree: Tree, paths: Sequence[str]) -> Pictures:
    """The pictures at these paths; no bytes where the path is empty."""

    def pictures() -> Iterator[bytes]:
        with tree.reading() as read:
            for path in paths:
                yield whole(read(path)) if path else b""

    return pictures


def captioned(
    benchmark: Benchmark,
    rows: Sequence[tuple[str, int]],
    pictures: Pictures,
    texts: list[str],
    pairs: Sequence[tuple[int, int]],
    said: list[str],
) -> Captioned:
    """A task of pictures with captions, as every format gives it. rows: name and bytes of each picture."""
    if long := next((text for text in texts if len(text) > LONGEST), ""):
        raise InputError(f"{benchmark.title}: a caption of {len(long):,} characters: {long[:20]}...")
    said += _counted(benchmark, len(texts))
    unique = sorted(set(pairs))
    if alone := len(texts) - len({text for _, text in unique}):
        said.append(f"{alone:,} of {len(texts):,} captions belong to no picture, and are never found")
    if alone := len(rows) - len({row for row, _ in unique}):
        said.append(
            f"{alone:,} of {len(rows):,} pictures belong to no caption, and are only in the way of others"
        )
    texts, tag = _untagged(texts)
    if tag:
        said.append(f"captions have tags of parts of speech, such as {tag}, which are taken out")
    digest = identity(benchmark.name, rows, texts, unique)
    links = np.array(unique, np.int64).reshape(-1, 2)
    return Captioned(benchmark, [name for name, _ in rows], pictures, digest, said, texts, links)


def _counted(benchmark: Benchmark, found: int) -> list[str]:
    """What to say of the number of captions; InputError where it is that of the other COCO-CN."""
    wanted = CAPTIONS.get(benchmark.name, found)
    if found == wanted:
        return []
    for other in (BENCHMARKS["coco-cn"], BENCHMARKS["coco-cn-5k"]):
        if benchmark.name.startswith("coco-cn") and CAPTIONS[other.name] == found:
            raise InputError(
                f"{benchmark.title}: {found:,} captions, not {wanted:,}, so it is {other.title}, which gives other "
                f"figures; name its folder {other.folders[0]}, and it is {other.name}"
            )
    return [f"{found:,} captions, where the published set has {wanted:,}"]


def _untagged(texts: list[str]) -> tuple[list[str], str]:
    """The captions without tags of parts of speech, and the first word with one; or as they are, and nothing.

    Captions count as tagged where nearly all words of all of them have a tag: 一个:m 男人:n, or 一个/m 男人/n.
    """
    words = [word for text in texts for word in text.split()]
    tagged = [match for word in words if (match := TAG.fullmatch(word))]
    many = len(words) >= 2 * len(texts) and len(tagged) >= TAGGED * len(words)
    if not (many and 0 < len({match[2] for match in tagged}) <= TAGS):
        return texts, ""
    bare = (" ".join(TAG.sub(r"\1", word) for word in text.split()) for text in texts)
    return [GAP.sub("", text) for text in bare], tagged[0][0]
