"""croissant.json held against the release: what it offers are the shards and their columns, under its license.

croissant.json, Release, schema ─▶ differences
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ..card.croissant import SHARDS, identifiers
from ..disk import documents
from ..disk.release import Release
from .differences import Differences

CROISSANT = "croissant.json"
LIMIT = 64 << 20  # bytes; 100,000 files make 30 MB


def check_croissant(
    data: bytes, release: Release, schema: pa.Schema | None, differences: Differences
) -> None:
    """Whether license, files and columns are those of the release. schema: of its Parquet shards."""
    try:
        document = documents.parse(data, LIMIT)
        files = _by_id(document["distribution"])
        records = _by_id(document.get("recordSet", []))
        fields = {name: _by_id(one["field"]) for name, one in records.items()}
    except (ValueError, KeyError, TypeError) as error:
        differences.add("croissant", f"{CROISSANT}: cannot be read: {' '.join(str(error).split())[:120]}")
        return
    _same("license", release.terms, document.get("license"), differences)
    _same("@id", None, document.get("@id"), differences)
    if release.source not in str(document.get("description")):
        _same("description", f"from {release.source}", document.get("description"), differences)
    wanted = _distribution(release)
    for name in dict.fromkeys([*wanted, *files]):
        one, other = wanted.get(name, {}), files.get(name, {})
        for key in dict.fromkeys([*one, *other]):
            _same(f"{key} of {name}", one.get(key), other.get(key), differences)
    if any(path.endswith(".tar") for path in release.shards()):
        _same("recordSet", [], [*records], differences)
    elif schema is not None:
        _same("recordSet", release.what, [*records], differences)
        _check_fields(fields.get(release.what, {}), release, schema, differences)


def _by_id(entries: Any) -> dict[str, dict[str, Any]]:
    """Objects by their @id; ValueError where two have one."""
    found = {str(one["@id"]): {**one} for one in entries}
    if len(found) != len(entries):
        raise ValueError("an @id comes twice")
    return found


def _distribution(release: Release) -> dict[str, dict[str, Any]]:
    """What there should be of files, by @id."""
    shards = sorted(release.shards().items())
    ending = shards[0][0].rpartition(".")[2] if shards else "parquet"
    encoding = "application/x-tar" if ending == "tar" else "application/x-parquet"
    found = {
        path: {
            "@type": "cr:FileObject",
            "contentSize": f"{file['bytes']} B",
            "contentUrl": path,
            "sha256": file["sha256"],
        }
        for path, file in shards
    }
    found[SHARDS] = {"@type": "cr:FileSet", "includes": f"{release.what}/*.{ending}"}
    return {
        name: {"@id": name, "name": name, "encodingFormat": encoding, **one} for name, one in found.items()
    }


def _check_fields(
    fields: dict[str, dict[str, Any]], release: Release, schema: pa.Schema, differences: Differences
) -> None:
    """Whether each field is of its column of the shards, and of all together."""
    names = ["split", *(name for name in schema.names)]
    for column, clean in zip(names, identifiers(names), strict=True):
        known = [name for name in (f"{release.what}/{clean}", f"{release.what}/{column}") if name in fields]
        field = fields.pop(known[0]) if known else None
        if field is None:
            if column == "split" or (
                column and not pa.types.is_nested(schema.types[schema.names.index(column)])
            ):
                differences.add("croissant", f"{CROISSANT}: field {release.what}/{clean} should be there")
            continue
        _same(f"name of {known[0]}", known[0], field.get("name"), differences)
        source = field.get("source")
        source = source if isinstance(source, dict) else {}
        _same(f"fileSet of {known[0]}", {"@id": SHARDS}, source.get("fileSet"), differences)
        wanted = (
            {"fileProperty": "fullpath"}
            if column == "split" and known[0].endswith("/split")
            else {"column": column}
        )
        _same(f"extract of {known[0]}", wanted, source.get("extract"), differences)
    for name in fields:
        differences.add("croissant", f"{CROISSANT}: field {name} should not be there")


def _same(what: str, wanted: Any, found: Any, differences: Differences) -> None:
    """Compare; a list of one is what is in it, as JSON-LD has it."""
    one = found[0] if isinstance(found, list) and len(found) == 1 else found
    differences.unequal("croissant", f"{CROISSANT}: {what}", wanted, one)
