"""Which files the loader reads: the shards of a config by split, and the files beside each shard that judge it.

In: a root, a folder or an fsspec URL, or the files the caller named. Out: the lists of files that `datasets` keeps,
with their dates or ETags. Nothing but names, and small JSON files, is read. A root is judged where it has a
decision.json of that judge. A server of plain HTTP lists no folder, so there every file is asked for by its name.
"""

from __future__ import annotations

import functools
import glob
import json
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from datasets import config
from datasets.data_files import DataFilesDict, DataFilesList
from datasets.utils.file_utils import xopen

from ..web.tokens import third_host
from .asked import JUDGED
from .batches import words_of
from .location import read_from
from .schema import JUDGES, SPLITS, JudgingStage, outdated
from .sidecar import Sidecar

log = logging.getLogger("danqing")
PLAN = "ledger/rebuild/plan.json"
Dated = dict[str, Any]  # files by URL, each with its date or ETag
FOLDERS = ("outcomes", "scores", "curated")  # that are configs; images/ is the folder of all others


def placed(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a builder, so that data_files= lie below the root as in stock `datasets`, and `~` is one's home.

    A token that huggingface_hub finds by itself is not shown to a third host that HF_ENDPOINT names.
    """
    options = dict(options)
    if options.get("token") is None and third_host({**os.environ, "HF_ENDPOINT": config.HF_ENDPOINT}):
        options["token"] = False
    if options.get("data_files") is not None:
        options["data_files"] = _at_home(options["data_files"])
        if root := options.get("root") or options.get("data_dir"):
            options["base_path"] = location(str(root), options.get("revision"), lambda _: None)
    return options


def _at_home(patterns: Any) -> Any:
    if isinstance(patterns, (str, os.PathLike)):
        return os.path.expanduser(os.fspath(patterns))  # noqa: PTH111
    if isinstance(patterns, DataFilesDict):
        return patterns
    if isinstance(patterns, dict):
        return {split: _at_home(files) for split, files in patterns.items()}
    return [_at_home(one) for one in patterns] if isinstance(patterns, (list, tuple)) else patterns


def location(root: str, revision: str | None, tell: Callable[[str], None]) -> str:
    """A root as an absolute path, or as a URL with its revision; ValueError where that cannot pin it."""
    root = read_from(os.path.expanduser(root), tell)  # noqa: PTH111
    if revision is None:
        return root if "://" in root else os.path.abspath(root)  # noqa: PTH100  resolves no links
    if not root.startswith("hf://") or "@" in root:
        raise ValueError(f"revision={revision!r} pins an hf:// root that has none yet, not {root}")
    kind, owner, name, *rest = root.removeprefix("hf://").split("/")
    return "hf://" + "/".join([kind, owner, f"{name}@{revision}", *rest])


def resolve(options: Any, download_config: Any) -> tuple[DataFilesDict, Sidecars]:
    """The shards that a danqing.DanqingConfig asks for, and what judges them; errors as of the functions below."""
    shards = options.data_files
    if shards is None:
        shards = find_shards(options.name, options.location(), download_config)
    elif not any(shards.values()):
        raise FileNotFoundError("data_files= matches no file: name files, or globs that match some")
    if options.name not in (*JUDGED, "live") or (options.name == "live" and options.verdicts is not None):
        return shards, Sidecars()
    sidecars = find_sidecars(shards, options.verdicts, download_config)
    if sidecars.of and options.name == "live":
        raise ValueError(
            f"{min(sidecars.of)} is of a root that was {sidecars.judges[0].judged}, and live would fetch what was "
            'dropped too: load pairs, name a manifest, or say verdicts="all"'
        )
    return shards, sidecars


def find_shards(config: str, root: str, download_config: Any) -> DataFilesDict:
    """The files of a config by split.

    Raises FileNotFoundError where there are none and ValueError where they are tars, both with what to do.
    """
    place, folder = _Root(root, download_config), config if config in FOLDERS else "images"
    files, rest = place.planned(folder), None
    if files is None:
        files = place.listed(f"{folder}/*.parquet")
    if not files and config not in FOLDERS and place.listed("images/*.tar"):
        raise ValueError(f'{root} holds tars: use load_dataset("webdataset", data_dir="{root}/images")')
    if not files and config in ("manifest", "live"):
        # A release has tables of other kinds beside its manifest.
        files, rest = place.listed("manifest/*.parquet") or place.listed("**/*.parquet"), "train"
    found: dict[str, list[tuple[str, Any]]] = {}
    for file, origin in files.items():
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
    if judges := [judge for judge in JUDGES if judge.folder == config]:
        return f"make them with `danqing {judges[0].stage} {root}`"
    return f"make it with `danqing rebuild MANIFEST {root}`, or say data_dir= or DANQING_ROOT"


@dataclass(frozen=True)
class Sidecars:
    """The files that judge shards. files: by split, in the order of these; of: by shard."""

    files: DataFilesDict = field(default_factory=DataFilesDict)
    of: dict[str, tuple[Sidecar, ...]] = field(default_factory=dict)

    @property
    def judges(self) -> tuple[JudgingStage, ...]:
        """The judges of any of the shards."""
        there = {one.judge.folder for some in self.of.values() for one in some}
        return tuple(judge for judge in JUDGES if judge.folder in there)

    def beside(
        self, shards: DataFilesDict, read_at: dict[str, list[str]]
    ) -> dict[str, list[tuple[Sidecar, ...]]]:
        """What judges each shard, by split, given where each file is to be read: itself, or its copy in a cache."""
        found: dict[str, list[tuple[Sidecar, ...]]] = {}
        for split, files in shards.items():
            at = dict(zip(self.files.get(split, ()), read_at.get(split, ()), strict=True))
            found[split] = [
                tuple(replace(one, file=at[one.url]) for one in self.of.get(file, ())) for file in files
            ]
        return found


def find_sidecars(shards: DataFilesDict, verdicts: Any, download_config: Any) -> Sidecars:
    """The files of scores/ and curated/ that have the names of the shards in images/.

    A root is judged where it has a decision of that judge. Raises ValueError where files of a judge are missing, unless
    there are none of its at all and `all` pairs are wanted whatever was judged, where they are there without its
    decision, and where curate decided by other scores than those that are there.
    """
    homes = {file: _home(file) for files in shards.values() for file in files}
    names: dict[str, list[str]] = defaultdict(list)
    for place, name in filter(None, homes.values()):
        names[place].append(name)
    found: dict[str, tuple[Sidecar, Any]] = {}
    for place, those in names.items():
        found |= _sidecars_in(_Root(place, download_config), those, verdicts)
    of: dict[str, tuple[Sidecar, ...]] = {}
    for file, home in homes.items():
        urls = [_Root(home[0], None).url(f"{judge.folder}/{home[1]}") for judge in JUDGES] if home else []
        if some := tuple(found[url][0] for url in urls if url in found):
            of[file] = some
    there = {
        split: [one.url for file in files for one in of.get(file, ())] for split, files in shards.items()
    }
    lists = {split: DataFilesList(urls, [found[url][1] for url in urls]) for split, urls in there.items()}
    return Sidecars(DataFilesDict(lists), of)


def _home(file: str) -> tuple[str, str] | None:
    """The root in whose images/ a shard lies, and the shard's name; None where it lies in no folder of that name.

    A link is followed unless it lies in a root that was judged itself: whoever gathers shards, or images/ as a
    whole, by links has their root, and its verdicts, all the same.
    """
    path, hop, rest = file.partition("::")
    if "://" not in path:
        path, real = os.path.abspath(path), os.path.realpath(path)  # noqa: PTH100  the first resolves no links
        if not _is_shard(path) or (_is_shard(real) and not _was_judged(path)):
            path = real
    start, folder, name = path.rpartition("/images/")
    return (start + hop + rest, name) if folder and "/" not in name else None


def _is_shard(path: str) -> bool:
    return path.split("/")[-2:-1] == ["images"]


def _was_judged(path: str) -> bool:
    """Whether beside the images/ of a file on this disk there are files of a judge, or its decision."""
    root = path.rpartition("/images/")[0]
    return any(
        os.path.isdir(f"{root}/{judge.folder}") or os.path.exists(f"{root}/{judge.decision}")  # noqa: PTH110, PTH112
        for judge in JUDGES
    )


def _sidecars_in(root: _Root, names: list[str], verdicts: Any) -> dict[str, tuple[Sidecar, Any]]:
    """The files that judge these shards of a root, each with its date or ETag, by their URL."""
    said = {judge.folder: _decision(root, judge) for judge in JUDGES}
    found: dict[str, tuple[Sidecar, Any]] = {}
    for judge in JUDGES:
        found |= _sidecars_of(judge, root, names, said[judge.folder], verdicts)
    scores, curated = said["scores"], said["curated"]
    now = None if scores is None else str(scores["decision"])
    if curated is not None and (by := curated.get("scores")) != now:
        raise ValueError(f"{root.place}: {outdated(by, now)}: run `danqing curate {root.place} --decide`")
    return found


def _decision(root: _Root, judge: JudgingStage) -> dict[str, Any] | None:
    """The decision of a judge, None where it has judged nothing."""
    said = root.document(judge.decision)
    if said is not None and not (isinstance(said, dict) and "decision" in said):
        raise ValueError(
            f"{root.url(judge.decision)}: no decision of danqing {judge.stage}: run `danqing {judge.stage} "
            f"{root.place}`"
        )
    return said


def _sidecars_of(
    judge: JudgingStage, root: _Root, names: list[str], said: dict[str, Any] | None, verdicts: Any
) -> dict[str, tuple[Sidecar, Any]]:
    """The same of one judge, by its decision."""
    remedy = f"run `danqing {judge.stage} {root.place}`"
    wanted = [f"{judge.folder}/{name}" for name in names]
    asked = wanted if said is not None else wanted[:1]
    files = root.listed(f"{judge.folder}/*.parquet") if root.lists else root.named(asked)
    if said is None:
        if files:
            raise ValueError(f"{root.url(judge.decision)}: not there, so nothing is final: {remedy}")
        return {}
    urls = [*map(root.url, wanted)]
    missing = [url for url in urls if url not in files]
    if not missing:
        if verdicts is None and said.get("kept") == 0:
            _warn_once(f"{root.place}: {_NONE_KEPT[judge.folder].format(root.place)}", str(said["decision"]))
        return {url: (Sidecar(judge, url, url, str(said["decision"])), files[url]) for url in urls}
    if files or words_of(verdicts) != ["all"]:
        raise ValueError(
            f"{missing[0]}: not there, though the root was {judge.judged}, so it is unknown which pairs were dropped: "
            f"{remedy}, or copy {judge.folder}/ too"
        )
    return {}


_NONE_KEPT = {
    "scores": "none of its pairs is kept by their verdicts, so none is served; for another level run "
    "danqing revalidate {} --decide --alpha LEVEL, or say verdicts=",
    "curated": "curate keeps none of its pairs, so none is served; for other thresholds run "
    'danqing curate {} --decide with them, or say verdicts="all"',
}


@functools.cache
def _warn_once(text: str, _decision: str) -> None:
    """Warn: a root is looked at several times while it is loaded, and by many that load it again."""
    log.warning("%s", text)


@dataclass(frozen=True)
class _Root:
    """A root as its files are asked for. place: a path or URL, with the archive it lies in behind `::`."""

    place: str
    download_config: Any

    @property
    def lists(self) -> bool:
        """Whether its folders can be listed; a server of plain HTTP does not."""
        return not self.place.startswith(("http://", "https://"))

    def url(self, path: str) -> str:
        """The address of a file in it."""
        start, *hops = self.place.split("::")
        return "::".join([f"{start.rstrip('/')}/{path}", *hops])

    def listed(self, pattern: str) -> Dated:
        """The files that match a pattern, or bear that name, each with its date or ETag."""
        try:
            files = DataFilesList.from_patterns(
                [replace(self, place=glob.escape(self.place)).url(pattern)],
                download_config=self.download_config,
            )
        except FileNotFoundError:
            return {}
        return dict(zip(files, files.origin_metadata, strict=True))

    def named(self, paths: list[str]) -> Dated:
        """Files of these names that are there."""
        return {url: origin for path in paths for url, origin in self.listed(path).items()}

    def planned(self, folder: str) -> Dated | None:
        """The shards that the plan of a root names, where it cannot be listed; None where there is no plan."""
        plan = None if self.lists else self.document(PLAN)
        if plan is None:
            return None
        try:
            counts, carved = dict(plan["shards"]), plan["config"]["validation"]
            counts |= {"validation": counts["train"]} if carved and "train" in counts else {}
            names = [f"{split}-{i:05d}-of-{n:05d}" for split, n in counts.items() for i in range(n)]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{self.url(PLAN)}: no plan of a rebuild") from error
        files = self.named([f"{folder}/{name}.parquet" for name in names])
        # Of the pairs carved out by key a shard may have none.
        missing = [name for name in names if self.url(f"{folder}/{name}.parquet") not in files]
        if files and (
            missing := [name for name in missing if not (carved and name.startswith("validation-"))]
        ):
            raise FileNotFoundError(
                f"{self.url(f'{folder}/{missing[0]}.parquet')}: not there, though the plan names it"
            )
        return files

    def document(self, path: str) -> Any:
        """A JSON file of it; None where there is none. ValueError where that cannot be told, or it is no JSON."""
        url = self.url(path)
        if self.lists and not self.listed(path):
            return None
        try:
            with xopen(url, "rb", download_config=self.download_config) as file:
                return json.load(file)
        except FileNotFoundError as error:
            # fsspec says so of whatever a web server answers, and of one that does not answer.
            if error.__cause__ is None or getattr(error.__cause__, "status", None) in (404, 410):
                return None
            raise ValueError(
                f"{url}: cannot be asked for, so it is unknown which pairs were dropped"
            ) from error
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{url} is not JSON: run `danqing {path.split('/')[1]} {self.place}`") from error
