"""Which files make up a manifest: a file, folder, glob or fsspec URL in, ordered entries with a split out.

In a folder, files with an extension of a manifest count; hidden files, what a rebuilt root inside it holds,
and anything else are passed over. Of a release, a folder with release.json, the shards that this lists count alone.
Splits are read from file and folder names with the words of `datasets`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import fsspec

from ..disk import release as document
from ..disk.files import filesystem
from ..disk.reading import WEB, reading, type_of
from ..disk.schema import SPLITS
from ..errors import InputError
from .source import kind_of

# datasets/data_files.py: these words, set off by any of these characters, in a file name or a folder name
WORDS = {
    "train": "train|training",
    "validation": "validation|valid|dev|val",
    "test": "test|testing|eval|evaluation",
}
SPLIT = {split: re.compile(rf"(?:^|[-._ 0-9])(?:{words})(?:$|[-._ 0-9])") for split, words in WORDS.items()}
ROOT = re.compile(r"^(|.*/)ledger/(?:[^/]+/)+[^/]+\.json$")  # a file that only a root has
MADE = re.compile(
    r"ledger/(crawl|refine)/plan\.json"
)  # of candidates: such a root is a manifest until it is rebuilt
_SHARD = re.compile(rf"data/({'|'.join(SPLITS)})-\d{{5,}}-of-(\d{{5,}})\.parquet")
DOCUMENTS = (".json", ".md", ".txt", ".yaml", ".yml", ".html", ".lock", ".py")
NAMED = 5  # how many names an error lists


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file found: its path inside the file system, its name relative to the manifest, its split."""

    path: str
    name: str
    split: str


def find(source: str) -> tuple[fsspec.AbstractFileSystem, list[FoundFile]]:
    """The files of the manifest `source`, train before validation before test, in natural order within each.

    A file given by its own path is train, whatever its name. Raises InputError when nothing matches, naming
    what is there, and for a rebuilt root.
    """
    fs, path = filesystem(source)
    with reading(source):
        fs.invalidate_cache()
        kind = type_of(fs, path)
        if kind == "other":
            raise _irregular(source)
        if kind == "file":
            return fs, [FoundFile(path, PurePosixPath(path).name, "train")]
        if kind == "directory":
            return fs, _ordered(_in_folder(fs, path.rstrip("/"), source))
        return fs, _ordered(_matching(fs, path, source))


def split_of(name: str) -> str:
    """The split that a relative path tells: the file name first, then the folders from the innermost out."""
    for part in reversed(name.split("/")):
        for split, pattern in SPLIT.items():
            if pattern.search(part):
                return split
    return "train"


def natural(name: str) -> tuple[list[tuple[int, int | str]], str]:
    """A sort key under which part-2 comes before part-10."""
    pieces = re.split(r"(\d+)", name)
    return [(0, int(p)) if p.isdecimal() and p.isascii() else (1, p) for p in pieces if p], name


def _irregular(path: str) -> InputError:
    return InputError(
        f"{path}: a pipe, device, socket or broken link; a manifest is read more than once: save it to a file"
    )


def _ordered(entries: Iterable[FoundFile]) -> list[FoundFile]:
    return sorted(entries, key=lambda entry: (SPLITS.index(entry.split), natural(entry.name)))


def _in_folder(fs: fsspec.AbstractFileSystem, folder: str, source: str) -> list[FoundFile]:
    found = fs.find(folder, detail=True)
    names = {_relative(path, folder): path for path in found}
    if document.NAME in names:
        return _of_release(names, source)
    if "ledger/rebuild/plan.json" not in names and (
        made := next(filter(None, map(MADE.fullmatch, names)), None)
    ):
        return _of_candidates(names, made[1], source)
    roots = {match[1] for match in map(ROOT.match, names) if match}
    if "" in roots:
        raise InputError(f"{source}: a rebuilt root, not a manifest; give the manifest it was made from")
    visible = [
        name for name in names if not _hidden(name) and not any(name.startswith(root) for root in roots)
    ]
    chosen = [name for name in visible if kind_of(name)]
    if not chosen:  # files without a telling extension, such as part-00000: their bytes will tell
        chosen = [name for name in visible if not name.lower().endswith(DOCUMENTS)]
    if not chosen:
        raise InputError(f"{source}: no Parquet, CSV, TSV or JSON Lines file in it; {_listing(names)}")
    return _entries(fs, chosen, names, found)


def _entries(
    fs: fsspec.AbstractFileSystem, chosen: list[str], names: dict[str, str], found: Mapping[str, Any]
) -> list[FoundFile]:
    """The files of these names; found: what the file system lists of each path: of a link that it is something else."""
    for name in chosen:
        if found[names[name]]["type"] == "other" and type_of(fs, names[name]) != "file":
            raise _irregular(names[name])
    return [FoundFile(names[name], name, split_of(name)) for name in chosen]


def _of_candidates(names: dict[str, str], stage: str, source: str) -> list[FoundFile]:
    """The shards of candidates, of which every one must be there."""
    shards = {name: match for name in names if (match := _SHARD.fullmatch(name))}
    found = Counter(match[1] for match in shards.values())  # a shard says of how many of its split it is one
    if not shards or any(int(match[2]) != found[match[1]] for match in shards.values()):
        raise InputError(
            f"{source}: danqing {stage} is not done with it, as {len(shards)} shards are in data/: run it to its end"
        )
    return [FoundFile(names[name], name, match[1]) for name, match in shards.items()]


def _of_release(names: dict[str, str], source: str) -> list[FoundFile]:
    """The shards of a released manifest, as its release.json lists them."""
    release = document.read(source)
    if release is None or release.what != "manifest":
        raise InputError(
            f"{source}: a release of images, which has the pictures already: load it with datasets.load_dataset, "
            "or give the release of a manifest"
        )
    missing = [name for name in release.shards() if name not in names]
    if missing:
        raise InputError(
            f"{source}: release {release.version} without {missing[0]}, which its {document.NAME} lists: get it again"
        )
    return [FoundFile(names[name], name, split_of(PurePosixPath(name).name)) for name in release.shards()]


def _matching(fs: fsspec.AbstractFileSystem, pattern: str, source: str) -> list[FoundFile]:
    """Files that a glob matches, named relative to the part of the pattern before its first wildcard."""
    web = pattern.startswith(WEB)
    wild = re.search(r"[*\[]" if web else r"[*?\[]", pattern)  # in a URL, ? starts the query
    base = (pattern[: wild.start()] if wild else pattern).rpartition("/")[0]
    if wild:
        found = fs.glob(pattern, detail=True)
        names = {_relative(path, base): path for path, info in found.items() if info["type"] != "directory"}
        chosen = [name for name in names if not _hidden(name)]
        if chosen:
            return _entries(fs, chosen, names, found)
    raise InputError(
        f"{source}: {'no file matches' if wild else 'no such file or folder'}; {_beside(fs, base)}"
    )


def _beside(fs: fsspec.AbstractFileSystem, folder: str) -> str:
    try:
        names = [str(path).rstrip("/").rpartition("/")[2] for path in fs.ls(folder, detail=False)]
    except Exception:  # only to make a message better: whatever the back end says, the message stands without
        return "its folder cannot be listed: check its name and your access"
    return _listing(names)


def _listing(names: Iterable[str]) -> str:
    names = sorted(names, key=natural)
    if not names:
        return "the folder is empty"
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"there: {', '.join(names[:NAMED])}{more}"


def _relative(path: str, base: str) -> str:
    return path.removeprefix(base).lstrip("/")


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "__")) or part == "_SUCCESS" for part in name.split("/"))
