"""Benchmarks that lie in a folder: which of those wanted are there, in whatever format, and what else there is.

folder ─▶ find ─▶ Tasks; benchmarks that are missing; names that nobody knows
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from ..disk.reading import reading
from ..errors import InputError
from . import chineseclip, elevater, fgclip
from .archives import Tree, archive, folder
from .recipe import BENCHMARKS, SHORT, ZERO_SHOT, Benchmark, own
from .tasks import Task

PACKAGE = "elevaterall"
_NAME = re.compile(r"\w[\w.-]{0,63}")  # of a set of one's own, and of the file of its results
UNZIP = "unzip it once; the zips in it are read as they are"


class Found(NamedTuple):
    """What lies in a folder. missing: benchmarks that were chosen; unknown: what else there is, a line each."""

    tasks: list[Task]
    missing: list[Benchmark]
    unknown: list[str]


def find(place: str, chosen: frozenset[str]) -> Found:
    """The chosen benchmarks in a folder, or in a folder of it, unpacked or zipped.

    chosen: by name, or nothing for all and sets of one's own. Raises InputError where there is no such folder, a
    benchmark is there twice, or is not what it should be.
    """
    known = {_letters(name): one for one in BENCHMARKS.values() for name in one.folders}
    places: dict[str, list[Path]] = {}
    benchmarks, unknown = dict(BENCHMARKS), list[str]()
    with reading(place):
        for entry in _entries(Path(place)):
            inner = [entry] if _key(entry) in known or not entry.is_dir() else _entries(entry)
            those = [one for one in inner if _key(one) in known]
            for there in those:
                places.setdefault(known[_key(there)].name, []).append(there)
            if not those and (mine := _own(entry)):
                benchmarks[mine.name], places[mine.name] = mine, [entry]
                continue
            unknown += [_told(one) for one in (inner if those else [entry]) if one not in those]
    tasks = list[Task]()
    wanted = [one for one in benchmarks.values() if not chosen or one.name in chosen]
    for one in (one for one in wanted if one.name in places):
        first, *others = places[one.name]
        if others:
            raise InputError(f"{first} and {others[0]} are both {one.title}; leave one of them there")
        with reading(str(first)):
            tasks.append(_read(one, first))
    return Found(tasks, [one for one in wanted if one.name not in places], unknown)


def _own(entry: Path) -> Benchmark | None:
    """The benchmark of somebody's own that a folder is, by its files; None where it is none."""
    if not entry.is_dir() or not _NAME.fullmatch(entry.name):
        return None
    texts = any((entry / path).is_file() for _, path, _ in chineseclip.FILES)
    family = ZERO_SHOT if (entry / elevater.LABELS).is_file() else SHORT if texts else ""
    return own(entry.name, family) if family else None


def _entries(place: Path) -> list[Path]:
    return sorted(one for one in place.iterdir() if not one.name.startswith("."))


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).casefold()


def _key(entry: Path) -> str:
    """The name of a folder or zip by its letters and digits; nothing of what is neither."""
    if entry.is_dir():
        return _letters(entry.name)
    return _letters(entry.stem) if entry.suffix.lower() == ".zip" else ""


def _told(entry: Path) -> str:
    """The line about what is no benchmark."""
    return f"{entry}: {UNZIP}" if _key(entry) == PACKAGE and not entry.is_dir() else str(entry)


def _read(benchmark: Benchmark, place: Path) -> Task:
    zero_shot = benchmark.family == ZERO_SHOT
    tree = folder(place, without="train" if zero_shot else "") if place.is_dir() else archive(place)
    for one in (tree, *_inner(tree)):
        if zero_shot and elevater.LABELS in one.sizes:
            return elevater.read(benchmark, one)
        if not zero_shot and chineseclip.is_one(one):
            return chineseclip.read(benchmark, one)
        if not zero_shot and (path := fgclip.caption_file(one)):
            return fgclip.read(benchmark, one, path)
    wanted = (
        f"no {elevater.LABELS}"
        if zero_shot
        else "neither <split>_texts.jsonl nor a text of paths and captions"
    )
    raise InputError(f"{place}: {wanted}, so it is no {benchmark.title}; fetch it again")


def _inner(tree: Tree) -> list[Tree]:
    """The folders at the top of a benchmark, in one of which it may lie when it was unzipped."""
    tops = dict.fromkeys(path.split("/")[0] for path in tree.sizes if "/" in path)
    return [tree.below(name) for name in tops] if len(tops) < 100 else []
