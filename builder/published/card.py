"""README.md and croissant.json held against what danqing writes of such a release.

README.md, croissant.json ◀─▶ both made again from release.json and the schema of the shards ─▶ the first difference

All of their text, where this version of danqing wrote them. Of another version, or without jinja2, what programs read:
configurations, splits, columns and sizes, files and their checksums, license and source; not the prose.
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
            wanted = _whole(name, release, schema) if untold is None else _machine(name, release, schema)
        except Exception as error:  # release.json is anybody's
            told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            differences.add("card", f"{name}: cannot be written again by release.json: {told}")
            continue
        if untold is not None:
            try:
                found = _read(name, found, _untyped(release, schema))
            except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                differences.add("card", f"{name}: cannot be read: {' '.join(str(error).split())[:120]}")
                continue
        _compare(name, wanted, found, differences)
    return untold


def _untold(release: Release, schema: pa.Schema | None) -> str | None:
    """The reason why the prose cannot be compared; None where it can."""
    if release.danqing != __version__ or "card" not in release.funnel:
        return f"written by {release.danqing or 'an unnamed version'}: its prose was not compared"
    if schema is None and not release.has_tars:
        return "no shard tells its columns: the prose was not compared"
    if importlib.util.find_spec("jinja2") is None:
        return "its prose was not compared, as jinja2 is missing: pip install 'danqing[release]'"
    return None


def _whole(name: str, release: Release, schema: pa.Schema | None) -> str:
    """The text of a file as danqing writes it."""
    said = release.funnel["card"]
    columns = schema or metadata.columns_told(said["columns"])
    make = readme.render if name == CARD else croissant.document
    return make(release, columns, said["title"], said["repository"])


def _machine(name: str, release: Release, schema: pa.Schema | None) -> str:
    """The part of a file that programs should read, a value a line."""
    columns = schema or pa.schema([])
    untyped = _untyped(release, schema)
    if name == CARD:
        return _read(
            name,
            f"---\n{dump(metadata.head(release, columns, ''))}\n---\nMade with danqing {release.danqing}.\n",
            untyped,
        )
    return _read(name, croissant.document(release, columns, "", ""), untyped)


def _untyped(release: Release, schema: pa.Schema | None) -> str:
    """The configuration whose columns nothing tells: of tars, and where no shard can be read."""
    return release.what if release.has_tars or schema is None else ""


def _read(name: str, text: str, untyped: str) -> str:
    """The part of a file that programs read, a value a line, without the columns of the configuration `untyped`."""
    if name == CARD:
        start, _, rest = text.partition("---\n")
        front, end, _ = rest.partition("\n---\n")
        if start or not end or len(front) > HEAD:
            raise ValueError("it should begin with YAML between two lines of ---")
        made = re.findall(r"Made with danqing (.+)\.$", rest[-LAST:], re.MULTILINE)
        head = yaml.load(front, _Plain) | {"danqing": made}  # noqa: S506
        infos = head.get("dataset_info")
        for one in infos if isinstance(infos, list) else [infos]:
            if untyped and one.get("config_name") == untyped:
                one.pop("features", None)
        return dump({key: head.get(key) for key in (*metadata.READ, "danqing")})
    data = documents.parse(text.encode(), LIMITS[name])
    for one in data.get("recordSet", []):
        for field in one["field"]:
            field.pop("description", None)
    wanted = {key: data.get(key) for key in croissant.READ if not (untyped and key == "recordSet")}
    return json.dumps(wanted, indent=1, ensure_ascii=False)


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
