"""What of a folder is ours: whether it is a root, and what of it a run with --overwrite removes.

    folder ─▶ claim ─▶ UsageError, or it is ours to write in ─▶ earlier ─▶ Earlier: --dry-run lists it ─▶ remove

A root has a plan of ours. Removed are files whose stem a plan or a marker names, what else a stage writes into its
ledger, and a card that is ours by its front matter; then the folders that are empty. Nothing else goes, and links
are not followed. The plan that a run is about to write anew stays until then, so that a run killed in between
leaves a root, and no folder that is nobody's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ..errors import InputError, UsageError
from . import files, ledger
from .card import is_ours

CARD = "README.md"
PLAN = "plan.json"
KINDS = ("parquet", "tar", "spool", "arrow")
SHOWN = 20  # files that --dry-run names for people
_OF_MODEL = re.compile(r"(?:embeddings|measures)/(?!\.)[\w.-]+")  # a folder of what one model made
_SHARD = re.compile(r"(\w+)-(\d{5,})")
# What a stage writes into its ledger beside markers, what a killed run leaves in its work folder beside spools, and
# what that folder holds before there is a plan.
_LEDGER = re.compile(
    r"(?:plan|decision|layout|thresholds|found|progress-\d+)\.json|panel\.npz|"
    r"(?:removals|hosts|common|words|known|centroids|sample)\.parquet"
)
_LEFT = re.compile(
    r"\w+-\d{5,}-of-\d+\.(?:(?:images|outcomes|measures)\.tmp|reopened)|.+\.copy|[0-9a-f]{16}\.[0-9a-f]*\.part|"
    r"[\w-]+\.(?:arrow|parquet)\.[\w-]+\.tmp"
)
_WORK = re.compile(r"(?:[a-z]+|(?:rank|transfer)-\d+)\.lock|world\.size|rank-\d+\.tmp|reference[-.]\w+")


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a stage writes. stages: whose ledger it begins anew, its own first; names: not to be another's.

    work: the name of its work folder, cached: what that begins with in the cache of this machine, for a root on a
    store; swept: the folders in which killed writes leave something; upon: the stages whose root it may write into;
    files: that it writes beside its folders; written: files as it writes them, which no manifest may match.
    """

    stages: tuple[str, ...]
    folders: tuple[str, ...]
    names: tuple[str, ...]
    work: str
    cached: str = ""
    swept: tuple[str, ...] = ()
    upon: tuple[str, ...] = ("rebuild",)
    files: tuple[str, ...] = ()
    written: tuple[str, ...] = ()


CURATING = ("measures", "embeddings", "looks", "centroids", "deal", "cells", "shards")  # the passes of curate
_CURATE = (*(f"curate/{number}-{name}" for number, name in enumerate(CURATING, 1)), "curate/spool")
_BETWEEN = tuple(
    f"ledger/curate/{name}" for name in ("numbers", "edges", "twins", "spool/cells", "spool/sample")
)
# What was found of pictures goes with the pictures.
_FOLDERS = ("images", "outcomes", "scores", "embeddings", "measures", "curated")
REBUILD = Footprint(
    ("rebuild", "revalidate", "curate", *_CURATE), (*_FOLDERS, *_BETWEEN), (*_FOLDERS, "ledger", CARD), ".spool",
    written=(
        "images/train-00000-of-00001.parquet", "images/train-00000-of-00001.tar",
        "outcomes/train-00000-of-00001.parquet", "measures/train-00000-of-00001.parquet", "ledger/rebuild/plan.json",
        "ledger/rebuild/train-00000.json", CARD,
    ),
)  # fmt: skip
REVALIDATE = Footprint(
    ("revalidate",),
    ("scores", "embeddings"),
    ("scores", "embeddings", "ledger/revalidate"),
    ".revalidate",
    "revalidate-",
    ("scores",),
    upon=("rebuild", "curate"),  # which may have embedded a root that no ledger of rebuild speaks of
)
# Measures, embeddings and looks follow from a shard and a model alone, and stay.
CURATE = Footprint(
    ("curate", *_CURATE[3:]),
    ("curated", *_BETWEEN),
    ("curated", "ledger/curate"),
    ".curate",
    "curate-",
    ("curated", "measures", *(f"ledger/{one}" for one in _CURATE), *_BETWEEN),
)


def _of_passes(stage: str, passes: Sequence[str], spool: Sequence[str]) -> Footprint:
    """The footprint of a stage that makes a manifest in several passes. spool: folders between them."""
    ledgers = tuple(f"{stage}/{number}-{name}" for number, name in enumerate(passes, 1))
    between = tuple(f"ledger/{stage}/spool/{name}" for name in spool)
    return Footprint(
        (stage, *ledgers, f"{stage}/spool"),
        (*between, "data"),
        ("data", f"ledger/{stage}", "funnel.json", "images", "outcomes"),  # of a root that was rebuilt
        f".{stage}",
        f"{stage}-",
        ("data", *(f"ledger/{one}" for one in ledgers), f"ledger/{stage}/spool", *between),
        upon=(),
        files=("funnel.json",),
        written=("data/train-00000-of-00001.parquet", f"ledger/{stage}/plan.json", "funnel.json"),
    )


CRAWL = _of_passes("crawl", ("files", "buckets", "layout", "shards"), ("rows", "pairs", "hashes", "hosts"))
REFINE = _of_passes("refine", ("steps", "thresholds", "buckets", "shards"), ("rows", "words", "pairs"))
# A folder of its own, whose checkpoints train itself names and removes.
TRAIN = Footprint(
    ("train",), (), ("checkpoints", "log.jsonl", "ledger/train", "images"), ".train", "train-", upon=(),
)  # fmt: skip
# Beside a run of train, or in a folder of its own; what lies there is written anew in its place, and never removed.
EVALUATE = Footprint(
    ("evaluate",), (), ("evaluate", "ledger/evaluate"), ".evaluate", "evaluate-", upon=("train",)
)


@dataclass(frozen=True, slots=True)
class Named:
    """The shards that a root's plans and markers name, and folders of a model each, as embeddings/<slug>.

    counts: by split, of each plan; stems: of the markers; folders: by the stage whose markers name files there.
    """

    counts: tuple[Mapping[str, int], ...]
    stems: frozenset[str]
    folders: Mapping[str, set[str]]

    @classmethod
    def of(cls, root: str, stages: Sequence[str]) -> Self:
        """The shards of a root by the ledgers of some stages; one that cannot be read names nothing."""
        plans = [plan for stage in stages if (plan := _plan(root, stage)) is not None]
        stems: set[str] = set()
        folders: dict[str, set[str]] = {stage: set() for stage in stages}
        for stage in stages:
            with suppress(InputError):  # the plan names the shards of those that come after this one
                for one in ledger.read_all(root, stage):
                    stems.add(one.shard)
                    places = {path.rpartition("/")[0] for path in one.outputs}
                    folders[stage] |= {place for place in places if _OF_MODEL.fullmatch(place)}
        return cls(tuple(plan["shards"] for plan in plans), frozenset(stems), folders)

    def file(self, name: str) -> bool:
        """Whether a file is of such a shard, by its name: a spool, a table, a tar or a marker."""
        stem, _, kind = name.rpartition(".")
        if kind == "json":
            return any(shard.partition("-of-")[0] == stem for shard in self.stems) or self._planned(stem)
        place, _, count = stem.partition("-of-")
        return kind in KINDS and (stem in self.stems or self._planned(place, count))

    def _planned(self, place: str, count: str | None = None) -> bool:
        """Whether a plan lays out such a shard, or carves it out of train. place: `train-00003`; count: `00042`."""
        if not (match := _SHARD.fullmatch(place)):
            return False
        splits = (match[1], "train") if match[1] == "validation" else (match[1],)
        planned = (counts[split] for counts in self.counts for split in splits if split in counts)
        return any(int(match[2]) < total and count in (None, f"{total:05d}") for total in planned)


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an earlier run left and --overwrite removes.

    files: by folder, those of the ledger first, so that no marker speaks of what is gone; named: its shards;
    stays: a card that is not ours.
    """

    root: str
    files: Mapping[str, Sequence[str]]
    named: Named
    stays: str | None

    @property
    def names(self) -> list[str]:
        """The files by their paths in the root."""
        return [f"{folder}/{name}".lstrip("/") for folder, names in self.files.items() for name in names]

    def lines(self) -> list[str]:
        """Lines for people: the files to remove, and a card that stays."""
        names = self.names
        more = f" and {len(names) - SHOWN:,} more (all with --json)" if len(names) > SHOWN else ""
        said = [f"removes   {len(names):,} files: {', '.join(names[:SHOWN])}{more}"] if names else []
        return [*said, *([f"stays     {self.stays}"] if self.stays else [])]

    def remove(self) -> None:
        """Remove the files, then the folders that are empty."""
        for folder, names in self.files.items():
            files.remove_files(files.join(self.root, folder) if folder else self.root, names)
        for folder in filter(None, self.files):
            files.remove_if_empty(files.join(self.root, folder))
            if _OF_MODEL.fullmatch(folder):
                files.remove_if_empty(files.join(self.root, folder.partition("/")[0]))


def is_spent(work: Path) -> bool:
    """Whether a work folder holds nothing but what may go with it: no spool, and nothing of another's."""
    return all(_WORK.fullmatch(path.name) or _LEFT.fullmatch(path.name) for path in work.iterdir())


def claim(root: str, place: Footprint, *, overwrite: bool) -> None:
    """Raise UsageError where `root` is no root of ours and holds names that a stage would write, or for a link.

    InputError where its plan cannot be read; with --overwrite such a folder is none of ours.
    """
    _folders(root, place)
    own = {place.stages[0], *place.upon}
    if not overwrite:
        for stage in own:
            ledger.read_plan(root, stage)
    if any(_plan(root, stage) is not None for stage in own):
        return
    there = [name for name in place.names if _holds(root, name)]
    if files.is_local(root) and any(not _WORK.fullmatch(name) for name in _files(root, place.work)):
        there.append(place.work)
    if there:
        raise UsageError(
            f"{root}: no root of ours, as it has no ledger/{place.stages[0]}/{PLAN} that can be read, but it holds "
            f"{', '.join(there)}: name another folder, or move that away"
        )


def earlier(root: str, place: Footprint) -> Earlier:
    """What --overwrite removes; UsageError where a folder of the root is a link, as links are not followed."""
    folders = _folders(root, place)
    named = Named.of(root, (*REBUILD.stages, *place.stages))
    models = {folder for stage in place.stages for folder in named.folders.get(stage, ())}
    models = {folder for folder in models if folder.partition("/")[0] in place.folders}
    _refuse_links(root, models)
    folders += sorted(models)
    found = {folder: _ours(root, folder, named, place) for folder in folders}
    stays = None
    if there := [name for name in place.files if _holds(root, name)]:
        found[""] = there
    if CARD in place.names and (card := files.read_bytes(files.join(root, CARD))) is not None:
        if is_ours(card.decode("utf-8", "replace")) and not _is_link(root, CARD):
            found[""] = [CARD]
        else:
            stays = (
                f"{files.join(root, CARD)}, which is not ours by its front matter; stock datasets goes by it"
            )
    return Earlier(root, {folder: names for folder, names in found.items() if names}, named, stays)


def _folders(root: str, place: Footprint) -> list[str]:
    """The folders that a stage writes into, those of ledgers first; UsageError where one of them is a link."""
    folders = [*(f"ledger/{stage}" for stage in reversed(place.stages)), *place.folders]
    _refuse_links(root, folders)
    if files.is_local(root):
        for folder in ("embeddings", "measures"):  # where markers do not name a folder of a model yet
            files.refuse_links(files.local_path(root) / folder)
    return folders


def _refuse_links(root: str, folders: Iterable[str]) -> None:
    if files.is_local(root):
        for folder in folders:
            files.inside(files.local_path(root), f"{folder}/file")


def _ours(root: str, folder: str, named: Named, place: Footprint) -> list[str]:
    there = _files(root, folder)
    names = [name for name in there if files.TEMPORARY.fullmatch(name) or named.file(name)]
    if folder.startswith("ledger/"):
        kept = PLAN if folder == f"ledger/{place.stages[0]}" else None
        names += [name for name in there if _LEDGER.fullmatch(name) and name != kept]
    return names


def _plan(root: str, stage: str) -> ledger.PlanDocument | None:
    """The plan of a stage, or None where there is none of ours that can be read."""
    with suppress(InputError):
        plan = ledger.read_plan(root, stage)
        if plan is not None and plan.get("stage") == stage:
            return plan
    return None


def _holds(root: str, name: str) -> bool:
    """Whether a folder has something of that name; in a ledger, more than what a killed write left."""
    if not name.startswith("ledger"):
        return name in files.listdir(root)
    fs, path = files.filesystem(files.join(root, name))
    return any(not files.TEMPORARY.fullmatch(str(file).rpartition("/")[2]) for file in fs.find(path))


def _files(root: str, folder: str) -> list[str]:
    try:
        return files.listdir(files.join(root, folder))
    except NotADirectoryError:
        return [folder]


def _is_link(root: str, name: str) -> bool:
    return files.is_local(root) and files.local_path(files.join(root, name)).is_symlink()
