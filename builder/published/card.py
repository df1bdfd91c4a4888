"""README.md and croissant.json held against what danqing writes of such a release.

README.md, croissant.json ◀─▶ both made again from release.json and the schema of the shards ─▶ the first difference

All of their text, where this version of danqing wrote them. Of another version, or without jinja2, what programs read:
configurations, splits, columns and sizes, files and their checksums, license and source; not the prose. A later version
may have added configurations, files and columns: these are passed over.
"""

from __future__ import annotations

import importlib.util
import json
import re
from itertools import takewhile, zip_longest
from typing import Any

import pyarrow as pa
import yaml

from .. import __version__
from ..card import croissant, metadata, readme
from ..disk import documents
from ..disk.card import dump
from ..disk.documents import Document
from ..disk.release import Release
from ..hub.store import Store
from .differences import Differences

CARD = "README.md"
LIMITS = {CARD: 8 << 20, croissant.NAME: 64 << 20}  # bytes; 100,000 files make 30 MB of Croissant
HEAD = 256 << 10  # characters of the YAML of a card, which takes seconds to read
LAST = 1 << 10  # characters of a card in which it says by which danqing it was made
AROUND = 40  # characters shown before and after those that differ


class _Plain(yaml.SafeLoader):
    """YAML without aliases: some lines of them can be read as more than any memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """See yaml.composer; YAMLError for an alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("an alias")
        return super().compose_node(parent, index)


def check_card(
    store: Store, release: Release, schema: pa.Schema | None, differences: Differences
) -> str | None:
    """Compare both files. Returns why their prose was not compared, None where it was.

    schema: of the Parquet shards, None where they are tars or none can be read.
    """
    if CARD not in release.files:
        differences.add("card", f"{CARD}: should be among the files of release.json, it is not")
    untold = _untold(release, schema)
    for name, limit in LIMITS.items():
        if name not in store.entries:
            continue
        data = store.read(name, limit)
        if len(data) > limit:
            differences.add("card", f"{name}: should be smaller than {limit:,} bytes")
            continue
        found = data.decode("utf-8", "replace")
        try:
            wanted = _text(name, release, schema, whole=untold is None)
        except Exception as error:  # release.json is anybody's
            told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            differences.add("card", f"{name}: cannot be written again by release.json: {told}")
            continue
        if untold is not None:
            try:
                wanted, found = _read(name, release, schema, wanted, found)
            except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                differences.add("card", f"{name}: cannot be read: {' '.join(str(error).split())[:120]}")
                continue
        _compare(name, wanted, found, differences)
    return untold


def _untold(release: Release, schema: pa.Schema | None) -> str | None:
    """The reason why the prose cannot be compared; None where it can."""
    if release.danqing != __version__:
        by = f"written by danqing {release.danqing or 'of no version'}, this is danqing {__version__}"
        if not _is_later(release):
            return f"{by}: its prose was not compared"
        return f"{by}: its prose, and what only the later one knows, was not compared"
    if "card" not in release.funnel:
        return "release.json does not tell its title, as before this version: its prose was not compared"
    if schema is None and not release.has_tars:
        return "no shard tells its columns: the prose was not compared"
    if importlib.util.find_spec("jinja2") is None:
        return "its prose was not compared, as jinja2 is missing: pip install 'danqing[release]'"
    return None


def _is_later(release: Release) -> bool:
    """Whether a later danqing than this one wrote the release."""
    there, here = (list(map(int, re.findall(r"\d{1,9}", by))) for by in (release.danqing, __version__))
    return there > here


def _text(name: str, release: Release, schema: pa.Schema | None, *, whole: bool) -> str:
    """The text of a file as danqing writes it, or at least what programs read of it."""
    if whole:
        said = release.funnel["card"]
        columns = schema or metadata.columns_told(said["columns"])
        make = readme.render if name == CARD else croissant.document
        return make(release, columns, said["title"], said["repository"])
    columns = schema or pa.schema([])
    if name != CARD:
        return croissant.document(release, columns, "", "")
    return f"---\n{dump(metadata.head(release, columns, ''))}\n---\nMade with danqing {release.danqing}.\n"


def _read(name: str, release: Release, schema: pa.Schema | None, *texts: str) -> list[str]:
    """The parts of two texts of a file, ours and theirs, that programs read, a value a line."""
    ours, theirs = map(_head if name == CARD else _croissant, texts)
    if release.has_tars or schema is None:  # nothing tells the columns of the shards
        for one in (ours, theirs):
            _forget_columns(one, release.what)
    if _is_later(release):
        theirs = _known(theirs, ours)
    if name == CARD:
        return [dump(one) for one in (ours, theirs)]
    return [json.dumps(one, indent=1, ensure_ascii=False) for one in (ours, theirs)]


def _head(text: str) -> Document:
    """The part of a card that programs read, and the version that made it."""
    start, _, rest = text.partition("---\n")
    front, end, _ = rest.partition("\n---\n")
    if start or not end or len(front) > HEAD:
        raise ValueError("it should begin with YAML between two lines of ---")
    head = yaml.load(front, _Plain)  # noqa: S506
    if isinstance(head.get("dataset_info"), dict):  # as `datasets` writes a single one
        head["dataset_info"] = [head["dataset_info"]]
    head["danqing"] = re.findall(r"Made with danqing (.+)\.$", rest[-LAST:], re.MULTILINE)
    return {key: head.get(key) for key in (*metadata.READ, "danqing")}


def _croissant(text: str) -> Document:
    """The part of croissant.json that programs read."""
    data = documents.parse(text.encode(), LIMITS[croissant.NAME])
    for one in data.get("recordSet", []):
        for field in one["field"]:
            field.pop("description", None)
    return {key: data.get(key) for key in croissant.READ}


def _forget_columns(document: Document, config: str) -> None:
    """Leave out the columns of a configuration."""
    document.pop("recordSet", None)
    for one in document.get("dataset_info") or ():
        if one.get("config_name") == config:
            one.pop("features", None)


def _known(theirs: Any, ours: Any) -> Any:
    """A value of a later danqing without the configurations, files and columns that ours has not."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return {key: _known(value, ours.get(key)) for key, value in theirs.items()}
    if not isinstance(theirs, list) or not isinstance(ours, list) or None in map(_name, theirs):
        return theirs
    named = {_name(one): one for one in ours}
    return [_known(one, named[_name(one)]) for one in theirs if _name(one) in named]


def _name(entry: Any) -> str | None:
    """The name of a configuration, a file or a column; None for an entry of any other list."""
    name = entry.get("config_name", entry.get("@id")) if isinstance(entry, dict) else None
    return None if name is None else str(name)


def _compare(name: str, wanted: str, found: str, differences: Differences) -> None:
    """A difference for the first line in which two texts part ways."""
    lines = zip_longest(wanted.split("\n"), found.split("\n"))
    for number, (one, other) in enumerate(lines, 1):
        if one != other:
            alike = sum(
                1 for _ in takewhile(lambda two: two[0] == two[1], zip(one or "", other or "", strict=False))
            )
            start = max(0, alike - AROUND)
            shown = [
                "nothing" if line is None else repr(line[start : start + 3 * AROUND]) for line in (one, other)
            ]
            differences.add("card", f"{name}: line {number:,} should have {shown[0]}, it has {shown[1]}")
            return
