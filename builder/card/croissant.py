"""croissant.json: what a release holds, for machines, in the Croissant format of MLCommons (version 1.0).

    Release, schema ─▶ JSON-LD: a FileObject with its checksum for each shard, one FileSet, a RecordSet of the columns

Paths are relative, so the file serves a folder and a revision of the Hub alike: mlcroissant reads the records of a
local copy. It checks the document before it is written.
"""

from __future__ import annotations

import datetime
import json
import logging
import re
import warnings
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from ..console import harmless_json
from ..disk.location import DANQING
from ..disk.release import Release
from ..errors import EnvironmentProblem, VerificationError
from .words import described

NAME = "croissant.json"
SHARDS = "shards"  # the id of all of them together
_PAPER = "https://arxiv.org/abs/2601.10305"
_PARQUET, _TAR = "application/x-parquet", "application/x-tar"


def document(release: Release, schema: pa.Schema, title: str, repository: str) -> bytes:
    """croissant.json of a release. VerificationError where mlcroissant finds an error or has a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of rdflib, by what mlcroissant asks of it
        logging.getLogger("absl").setLevel(logging.ERROR)  # it would print what is raised here
        text, found = _checked(release, schema, title, repository)
    if found:
        raise VerificationError(f"{NAME}: not valid: {' '.join(found[0].split())}")
    return (text + "\n").encode()


def _checked(release: Release, schema: pa.Schema, title: str, repository: str) -> tuple[str, list[str]]:
    """The document, and what mlcroissant says of it when it reads it back."""
    mlc = _library()
    context = mlc.Context()
    of_danqing, url = release.source == DANQING, f"https://huggingface.co/datasets/{repository}"
    encoding = _TAR if any(path.endswith(".tar") for path in release.shards()) else _PARQUET
    files = [
        mlc.FileObject(
            ctx=context,
            id=path,
            name=path,
            content_url=path,
            content_size=f"{file['bytes']} B",
            encoding_formats=[encoding],
            sha256=file["sha256"],
        )
        for path, file in sorted(release.shards().items())
    ]
    pattern = f"{release.what}/*.{'tar' if encoding == _TAR else 'parquet'}"
    together = mlc.FileSet(
        ctx=context, id=SHARDS, name=SHARDS, includes=[pattern], encoding_formats=[encoding]
    )
    try:
        metadata = mlc.Metadata(
            ctx=context,
            name=title,
            description=f"{title}: image–text pairs rebuilt from {release.source or 'a manifest'} by danqing.",
            license=[release.terms],
            url=url,
            version=_version(release.version),
            date_published=datetime.datetime.fromisoformat(release.created_at),
            cite_as=_PAPER if of_danqing else url,
            in_language=["zh"] if of_danqing else [],
            keywords=["image-text", *(["Chinese"] if of_danqing else []), "danqing"],
            distribution=[*files, together],
            record_sets=[] if encoding == _TAR else [_records(mlc, context, release, schema)],
        )
        text = json.dumps(metadata.to_json(), indent=1, ensure_ascii=False, default=_plain)
        text = "\n".join(map(harmless_json, text.split("\n")))
        read = mlc.Dataset(jsonld=json.loads(text)).metadata.issues
    except mlc.ValidationError as error:
        raise VerificationError(f"{NAME}: not valid: {' '.join(str(error).split())}") from error
    named_freely = {warning for warning in read.warnings if "MAJOR.MINOR.PATCH" in warning}
    return text, sorted({*read.errors, *read.warnings} - named_freely)


def _library() -> Any:
    try:
        import mlcroissant
    except ImportError as error:
        raise EnvironmentProblem(
            "a release needs mlcroissant for croissant.json: pip install 'danqing[release]'"
        ) from error
    return mlcroissant


def _version(tag: str) -> str:
    """v2026.11 as 2026.11.0, as Croissant wants three numbers; a tag that is no version as it is."""
    if not re.fullmatch(r"v?\d+(\.\d+){0,2}", tag):
        return tag
    numbers = [str(int(number)) for number in re.findall(r"\d+", tag)]
    return ".".join([*numbers, "0", "0"][:3])


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def identifiers(names: Sequence[str]) -> list[str]:
    """An identifier for each name, no two alike: the name itself, or its letters and digits where it has others.

    Croissant takes no white space in one, and JSON-LD reads `..` and some other signs as its own.
    """
    found: dict[int, str] = {}
    for place in sorted(range(len(names)), key=lambda place: _clean(names[place]) != names[place]):
        clean = one = _clean(names[place])  # those that need no cleaning come first, and stay as they are
        number = 1
        while one in found.values():
            number += 1
            one = f"{clean}-{number}"
        found[place] = one
    return [found[place] for place in range(len(names))]


def _clean(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip(".") or "_"


def _records(mlc: Any, context: Any, release: Release, schema: pa.Schema) -> Any:
    """The columns, and the split by the name of the file; nested columns have no place in Croissant."""
    split = mlc.Source(
        ctx=context,
        file_set=SHARDS,
        extract=mlc.Extract(ctx=context, file_property="fullpath"),
        transforms=[mlc.Transform(ctx=context, regex=rf"{release.what}/([a-z]+)-")],
    )
    ids = identifiers(["split", *schema.names])
    fields = [_field(mlc, context, release.what, (ids[0], "split of the pair", mlc.DataType.TEXT), split)]
    for (column, meaning), name in zip(described(release.what, schema), ids[1:], strict=True):
        kind, repeated = _kind(mlc, column)
        if kind is None or not column.name:
            continue
        source = mlc.Source(
            ctx=context,
            file_set=SHARDS,
            extract=mlc.Extract(ctx=context, column=column.name),
            transforms=[mlc.Transform(ctx=context, json_path="bytes")] if column.name == "image" else [],
        )
        field = _field(mlc, context, release.what, (name, meaning, kind), source)
        field.repeated = repeated or None
        fields.append(field)
    return mlc.RecordSet(ctx=context, id=release.what, name=release.what, fields=fields)


def _field(mlc: Any, context: Any, what: str, told: tuple[str, str, Any], source: Any) -> Any:
    name, meaning, kind = told
    path = f"{what}/{name}"
    return mlc.Field(ctx=context, id=path, name=path, description=meaning, data_types=[kind], source=source)


def _kind(mlc: Any, column: pa.Field[Any]) -> tuple[Any, bool]:
    """The Croissant type of a column and whether it is a list; None where there is none."""
    if column.name == "image":
        return mlc.DataType.IMAGE_OBJECT, False
    kind, repeated = column.type, False
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind, repeated = kind.value_type, True
    known = {
        "float": mlc.DataType.FLOAT32,
        "double": mlc.DataType.FLOAT64,
        "halffloat": mlc.DataType.FLOAT16,
        "bool": mlc.DataType.BOOL,
        **{f"int{bits}": getattr(mlc.DataType, f"INT{bits}") for bits in (8, 16, 32, 64)},
        **{f"uint{bits}": getattr(mlc.DataType, f"UINT{bits}") for bits in (8, 16, 32, 64)},
    }
    if pa.types.is_timestamp(kind):
        return mlc.DataType.DATETIME, repeated
    if pa.types.is_nested(kind):
        return None, repeated
    return known.get(str(kind), mlc.DataType.TEXT), repeated
