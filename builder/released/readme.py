"""The card held against the data: what stock `datasets` reads of it, and what a person does.

README.md, croissant.json, schema, counts ─▶ differences
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import pyarrow as pa
import yaml

from .differences import Differences
from .document import NAME, Release
from .shards import split_of
from .store import Store

CARD = "README.md"
CROISSANT = "croissant.json"
LIMIT = 8 << 20  # bytes of either
FILTERS = [["kept", "==", True]]
_UNFILLED = re.compile(
    r"\{\{ [^}\n]{0,60}|\{%|%\}|\[More Information Needed\]|\bTODO\b|\bundefined\b|\bnan\b"
)
_COLUMN = re.compile(r"^\| (`+).*?\1 \|")  # the name of one, which may be any word


def check_card(store: Store, release: Release, schema: pa.Schema | None, differences: Differences) -> None:
    """README.md and croissant.json. schema: of the Parquet shards, None where they are tars or cannot be read."""
    if CARD not in release.files:
        differences.add("card", f"{CARD}: should be among the files of release.json, it is not")
    if CARD in store.entries:
        text = store.read(CARD, LIMIT).decode("utf-8", "replace")
        head, body = _parted(text)
        if head is None:
            differences.add("card", f"{CARD}: should begin with YAML between two lines of ---")
        else:
            differences.unequal("card", f"{CARD}: license", release.license, head.get("license"))
            _check_configs(head, release, differences)
            _check_info(head, release, schema, differences)
        _check_text(body, release, differences)
    if CROISSANT in store.entries:
        _check_croissant(store.read(CROISSANT, LIMIT), release, differences)


def _parted(text: str) -> tuple[dict[str, Any] | None, str]:
    """The YAML of a card, None where there is none that can be read, and the text."""
    head, _, body = text.removeprefix("---\n").partition("\n---\n")
    try:
        data = yaml.safe_load(head) if text.startswith("---\n") else None
    except (yaml.YAMLError, RecursionError, ValueError):
        data = None
    return (data, body) if isinstance(data, dict) else (None, text)


def _named(given: Any, name: str) -> dict[str, Any]:
    """The entry of a config in a list of them, or the only one; nothing where there is none."""
    entries = [one for one in (given if isinstance(given, list) else [given]) if isinstance(one, dict)]
    own = [one for one in entries if one.get("config_name", name) == name]
    return own[0] if own else {}


def _check_configs(head: Mapping[str, Any], release: Release, differences: Differences) -> None:
    """Whether stock load_dataset finds each shard in its split, and of these the kept pairs."""
    config = _named(head.get("configs"), release.what)
    given = config.get("data_files")
    globs: dict[str, list[str]] = {}
    for one in given if isinstance(given, list) else []:
        if isinstance(one, dict):
            paths = one.get("path")
            globs.setdefault(str(one.get("split")), []).extend(
                map(str, paths if isinstance(paths, list) else [paths])
            )
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


def _check_text(body: str, release: Release, differences: Differences) -> None:
    """Whether the text names version and numbers of the release, and no field of its template is left."""
    kept = release.counts.get("kept")
    if not isinstance(kept, int):
        differences.add("counts", f"{NAME}: counts.kept should be a number")
        return
    told = {"version": release.version, "number of pairs": f"{kept:,}"}
    for what, words in told.items():
        if not re.search(rf"(?<![\d,]){re.escape(words)}(?!\d|,\d)", body):
            differences.add("card", f"{CARD}: the text should tell the {what}, {words}; it does not")
    for number, line in enumerate(body.split("\n"), 1):
        if left := _UNFILLED.search(_COLUMN.sub("", line)):
            differences.add(
                "card", f"{CARD}: line {number:,} of the text: {left[0]!r} begins an unfilled field"
            )


def _check_croissant(data: bytes, release: Release, differences: Differences) -> None:
    """Whether the checksums in croissant.json are those of the shards."""
    try:
        distribution = json.loads(data)["distribution"]
        found = {one["contentUrl"]: one["sha256"] for one in distribution if one["@type"] == "cr:FileObject"}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        differences.add("croissant", f"{CROISSANT}: cannot be read: {' '.join(str(error).split())[:120]}")
        return
    for path in sorted({*found, *release.shards()}):
        wanted = release.shards().get(path, {}).get("sha256")
        differences.unequal("croissant", f"{CROISSANT}: sha256 of {path}", wanted, found.get(path))
