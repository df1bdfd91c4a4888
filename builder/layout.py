"""Which files the loader reads: the shards of a config by split, and the score file beside each shard.

In: a root, a folder or an fsspec URL, or the files the caller named. Out: the lists of files that `datasets` keeps,
with their dates or ETags. Nothing but names, and one small JSON file, is read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from datasets.data_files import DataFilesDict, DataFilesList
from datasets.utils.file_utils import xopen

from .released.address import read_from

SPLITS = ("train", "validation", "test")
FOLDERS = {"outcomes": "outcomes", "scores": "scores"}  # of a config; images/ for all others


def location(root: str, revision: str | None, tell: Callable[[str], None]) -> str:
    """A root as an absolute path, or as a URL with its revision; ValueError where that cannot pin it."""
    root = read_from(root, tell)
    if revision is None:
        return root if "://" in root else os.path.abspath(root)  # noqa: PTH100  resolves no links
    if not root.startswith("hf://") or "@" in root:
        raise ValueError(f"revision={revision!r} pins an hf:// root that has none yet, not {root}")
    kind, owner, name, *rest = root.removeprefix("hf://").split("/")
    return "hf://" + "/".join([kind, owner, f"{name}@{revision}", *rest])


def find_shards(config: str, root: str, download_config: Any) -> DataFilesDict:
    """The files of a config by split.

    Raises FileNotFoundError where there are none and ValueError where they are tars, both with what to do.
    """
    files = _glob(root, f"{FOLDERS.get(config, 'images')}/*.parquet", download_config)
    rest = None
    if not files and config not in FOLDERS and _glob(root, "images/*.tar", download_config):
        raise ValueError(f'{root} holds tars: use load_dataset("webdataset", data_dir="{root}/images")')
    if not files and config in ("manifest", "live"):
        # A release has tables of other kinds beside its manifest.
        files = _glob(root, "manifest/*.parquet", download_config)
        files, rest = files or _glob(root, "**/*.parquet", download_config), "train"
    found: dict[str, list[tuple[str, Any]]] = {}
    for file, origin in zip(files, files.origin_metadata, strict=True):
        split = file.rsplit("/", 1)[-1].split("-")[0]
        found.setdefault(split if split in SPLITS else rest or "", []).append((file, origin))
    found.pop("", None)
    if not found:
        raise FileNotFoundError(f"no shards for {config} at {root}: {_remedy(config, root)}")
    lists = {split: map(list, zip(*found[split], strict=True)) for split in sorted(found, key=SPLITS.index)}
    return DataFilesDict({split: DataFilesList(*pair) for split, pair in lists.items()})


def _remedy(config: str, root: str) -> str:
    if config in ("manifest", "live"):
        return "name the folder of a manifest by data_dir=, or its files by data_files="
    if "://" in root:
        return "check the address, the revision and your access to it"
    if config == "scores":
        return f"make them with `danqing revalidate {root}`"
    return f"make it with `danqing rebuild MANIFEST {root}`, or say data_dir= or DANQING_ROOT"


def _glob(root: str, pattern: str, download_config: Any) -> DataFilesList:
    base = (root or "/").replace("[", "[[]").replace("*", "[*]").replace("?", "[?]")
    return DataFilesList.from_patterns([pattern], base_path=base, download_config=download_config)


@dataclass(frozen=True)
class ScoreFile:
    """Where the scores of a shard are. file: to read; url: as errors name it; decision: that it must bear."""

    file: str
    url: str
    decision: str

    @property
    def remedy(self) -> str:
        """The command that makes such scores anew."""
        return f"run `danqing revalidate {self.url.rpartition('/scores/')[0]}`"


@dataclass(frozen=True)
class Scores:
    """The score files of some shards. files: by split, in the order of the shards; decisions: by root."""

    files: DataFilesDict
    decisions: dict[str, str]

    def beside(self, read_at: dict[str, list[str]]) -> dict[str, list[ScoreFile]]:
        """The score files by split, given where each is to be read: itself, or its copy in a cache."""
        return {
            split: [
                ScoreFile(file, url, self.decisions[url.rpartition("/scores/")[0]])
                for file, url in zip(read_at[split], urls, strict=True)
            ]
            for split, urls in self.files.items()
        }


def find_scores(shards: DataFilesDict, named: bool, download_config: Any) -> Scores | None:
    """The files of scores/ that have the names of the shards in images/, or None where the root is not scored.

    named: the caller chose the shards, out of any roots; they then have scores only where each of them has.
    Raises ValueError where a root is scored in part, or has no decision.
    """
    parts = {file: file.rpartition("/images/") for files in shards.values() for file in files}
    roots = dict.fromkeys(root for root, _, _ in parts.values())
    # A server of plain HTTP lists no folder, and a file inside an archive has its root elsewhere.
    if any(not folder or "/" in name for _, folder, name in parts.values()) or any(map(_is_closed, roots)):
        return None
    there = dict(_origins(_glob(root, "scores/*.parquet", download_config) for root in roots))
    beside = {file: f"{root}/scores/{name}" for file, (root, _, name) in parts.items()}
    missing = [url for url in beside.values() if url not in there]
    if not there or (named and missing):
        return None
    if missing:
        root = missing[0].rpartition("/scores/")[0]
        raise ValueError(
            f"{missing[0]}: not there, though other shards are scored: run `danqing revalidate {root}`"
        )
    urls = {split: [beside[file] for file in files] for split, files in shards.items()}
    lists = {split: DataFilesList(names, [there[url] for url in names]) for split, names in urls.items()}
    return Scores(DataFilesDict(lists), {root: _decision(root, download_config) for root in roots})


def _is_closed(root: str) -> bool:
    return root.startswith(("http://", "https://")) or "::" in root


def _origins(lists: Iterable[DataFilesList]) -> Iterator[tuple[str, Any]]:
    for files in lists:
        yield from zip(files, files.origin_metadata, strict=True)


def _decision(root: str, download_config: Any) -> str:
    """The id of the decision that the verdicts of a root go by."""
    url = f"{root}/ledger/revalidate/decision.json"
    try:
        with xopen(url, "rb", download_config=download_config) as file:
            return str(json.load(file)["decision"])
    except FileNotFoundError as error:
        raise ValueError(
            f"{url}: not there, so no verdict is final: run `danqing revalidate {root}`"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{url}: no decision of a re-validation: run `danqing revalidate {root}`") from error
