"""The card held against the data: what stock `datasets` reads of it, and what a person does.

README.md, croissant.json, schema, counts ─▶ differences
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import pyarrow as pa
import yaml

from ..disk.release import Release, split_of
from ..hub.store import Store
from .claims import CARD, check_text
from .croissant import CROISSANT, check_croissant
from .croissant import LIMIT as CROISSANT_LIMIT
from .differences import Differences, shown

LIMIT = 8 << 20  # bytes of the card
HEAD = 256 << 10  # characters of its YAML, which takes seconds to read
PARTS = ("changes", "removals")  # tables beside the pairs, with a config each
FILTERS = [["kept", "==", True]]
_UNFILLED = re.compile(
    r"\{\{ [^}\n]{0,60}|\{%|%\}|\[More Information Needed\]|\bTODO\b|\bundefined\b|\bnan\b"
)
_COLUMN = re.compile(r"^\| (`+).*?\1 \|")  # the name of one, which may be any word


class _Plain(yaml.SafeLoader):
    """YAML without aliases: some lines of them can be read as more than any memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """See yaml.composer; YAMLError for an alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)


def check_card(store: Store, release: Release, schema: pa.Schema | None, differences: Differences) -> None:
    """README.md and croissant.json. schema: of the Parquet shards, None where they are tars or cannot be read."""
    if CARD not in release.files:
        differences.add("card", f"{CARD}: should be among the files of release.json, it is not")
    if CARD in store.entries:
        data = store.read(CARD, LIMIT)
        head, body = _parted(data.decode("utf-8", "replace"))
        if len(data) > LIMIT:
            differences.add("card", f"{CARD}: should be smaller than {LIMIT:,} bytes")
        if head is None:
            differences.add("card", f"{CARD}: should begin with YAML between two lines of ---")
        else:
            _check_origin(head, release, differences)
            _check_configs(head, release, differences)
            _check_info(head, release, schema, differences)
        _check_text(body, differences)
        check_text(body, release, differences)
    if CROISSANT in store.entries:
        check_croissant(store.read(CROISSANT, CROISSANT_LIMIT), release, schema, differences)


def _parted(text: str) -> tuple[dict[str, Any] | None, str]:
    """The YAML of a card, None where there is none that can be read, and the text."""
    head, _, body = text.removeprefix("---\n").partition("\n---\n")
    try:
        data = yaml.load(head, _Plain) if text.startswith("---\n") and len(head) <= HEAD else None  # noqa: S506
    except (yaml.YAMLError, RecursionError, ValueError):
        data = None
    return (data, body) if isinstance(data, dict) else (None, text)


def _check_origin(head: Mapping[str, Any], release: Release, differences: Differences) -> None:
    """License and source, as the Hub shows them."""
    source = [[release.source], ["extended"]] if release.source else [None]
    wanted: dict[str, list[Any]] = {
        "license": [release.license],
        "license_name": [release.license_name or None],
        "license_link": [release.license_link or None],
        "source_datasets": source,
    }
    for name, known in wanted.items():
        if head.get(name) not in known:
            differences.unequal("card", f"{CARD}: {name}", known[0], head.get(name))


def _named(given: Any, name: str) -> dict[str, Any]:
    """The entry of a config in a list of them, or the only one; nothing where there is none."""
    entries = [one for one in (given if isinstance(given, list) else [given]) if isinstance(one, dict)]
    own = [one for one in entries if one.get("config_name", name) == name]
    return own[0] if own else {}


def _check_configs(head: Mapping[str, Any], release: Release, differences: Differences) -> None:
    """Whether stock load_dataset finds each shard in its split, and of these the kept pairs, and nothing else."""
    config = _named(head.get("configs"), release.what)
    _check_others(head, release, differences)
    given = config.get("data_files")
    globs: dict[str, list[str]] = {}
    for one in given if isinstance(given, list) else []:
        if isinstance(one, dict):
            paths = one.get("path")
            globs.setdefault(str(one.get("split")), []).extend(
                map(str, paths if isinstance(paths, list) else [paths])
            )
    for pattern in (one for some in globs.values() for one in some):
        if not any(fnmatchcase(path, pattern) for path in release.shards()):
            differences.add("card", f"{CARD}: configs: {release.what}: {shown(pattern)} should not be there")
    splits = {split_of(path) for path in release.shards()}
    for split in sorted({*splits, *globs}):
        wanted = sorted(path for path in release.shards() if split_of(path) == split)
        found = sorted(
            path for path in release.files if any(fnmatchcase(path, one) for one in globs.get(split, []))
        )
        where = f"{CARD}: configs: {release.what}: files of split {split}"
        if wanted != found:
            odd = sorted({*wanted} ^ {*found})[0]
            should = "be among them" if odd in wanted else "not be among them"
            differences.add("card", f"{where}: {odd} should {should}")
    flagged = (
        release.what == "images"
        and release.validated
        and not any(p.endswith(".tar") for p in release.shards())
    )
    differences.unequal(
        "card",
        f"{CARD}: configs: {release.what}: filters",
        FILTERS if flagged else None,
        config.get("filters"),
    )


def _check_others(head: Mapping[str, Any], release: Release, differences: Differences) -> None:
    """Whether there is a config that is none of the release, or one that says more than it should."""
    given = head.get("configs")
    parts = {} if any(path.endswith(".tar") for path in release.shards()) else PARTS
    seen = set()
    for one in given if isinstance(given, list) else []:
        name = one.get("config_name") if isinstance(one, dict) else None
        where = f"{CARD}: configs: {shown(name)}"
        if name in seen or name not in (release.what, *parts):
            differences.add("card", f"{where} should not be there")
        elif name != release.what:
            files = [{"split": "train", "path": f"{name}/*.parquet"}]
            differences.unequal("card", where, {"config_name": name, "data_files": files}, one)
        else:
            differences.unequal("card", f"{where}: default", True, one.get("default"))
            for key in sorted({*map(str, one)} - {"config_name", "data_files", "default", "filters"}):
                differences.add("card", f"{where}: {shown(key)} should not be there")
        seen.add(name if isinstance(name, str) else None)
    infos = head.get("dataset_info")
    for one in infos if isinstance(infos, list) else [infos]:
        name = one.get("config_name", release.what) if isinstance(one, dict) else None
        if name not in (release.what, *parts):
            differences.add("card", f"{CARD}: dataset_info: {shown(name)} should not be there")


def _check_info(
    head: Mapping[str, Any], release: Release, schema: pa.Schema | None, differences: Differences
) -> None:
    """Whether dataset_info is what the footers and the counts say."""
    info = _named(head.get("dataset_info"), release.what)
    where = f"{CARD}: dataset_info"
    if not info:
        differences.add("card", f"{where}: should describe the config {release.what}, it does not")
        return
    if schema is not None:
        _check_features(info.get("features"), schema, differences)
    splits = info.get("splits")
    described = (
        {str(one.get("name")): one for one in splits or [] if isinstance(one, dict)}
        if isinstance(splits, list)
        else {}
    )
    counted = release.counts.get("splits")
    counted = counted if isinstance(counted, dict) else {}
    for split in sorted({*described, *counted}):
        told = counted[split] if isinstance(counted.get(split), dict) else {}
        for name, counts in (("num_examples", "kept"), ("num_bytes", "bytes")):
            found = described.get(split, {}).get(name)
            differences.unequal("card", f"{where}: {name} of {split}", told.get(counts), found)
    size = sum(file["bytes"] for file in release.shards().values())
    for name in ("download_size", "dataset_size"):
        differences.unequal("card", f"{where}: {name}", size, info.get(name))


def _check_features(given: Any, schema: pa.Schema, differences: Differences) -> None:
    from datasets import Features  # a second; only where there are features to compare

    where = f"{CARD}: dataset_info: features"
    wanted = Features.from_arrow_schema(schema)
    try:
        found = Features._from_yaml_list(given)
    except Exception as error:  # it takes YAML for what it should be
        differences.add("card", f"{where}: cannot be read: {' '.join(str(error).split())[:120]}")
        return
    for name in dict.fromkeys([*wanted, *found]):
        differences.unequal("card", f"{where}: {name}", wanted.get(name), found.get(name))
    if [*wanted] != [*found] and {*wanted} == {*found}:
        differences.add("card", f"{where}: should be in the order of the columns: {', '.join(wanted)}")


def _check_text(body: str, differences: Differences) -> None:
    """Whether no field of its template is left in the text."""
    for number, line in enumerate(body.split("\n"), 1):
        if left := _UNFILLED.search(_COLUMN.sub("", line)):
            differences.add(
                "card", f"{CARD}: line {number:,} of the text: {left[0]!r} begins an unfilled field"
            )
