"""croissant.json: what a release holds, for machines, in the Croissant format of MLCommons (version 1.0).

    Release, schema ─▶ JSON-LD: a FileObject with its checksum for each shard, one FileSet, a RecordSet of the columns

Paths are relative, so the file serves a folder and a revision of the Hub alike: mlcroissant reads the records of a
local copy. `checked` has it read the document before it is published.
"""

from __future__ import annotations

import json
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from importlib import resources

import pyarrow as pa

from ..console import harmless_json
from ..disk.location import DANQING
from ..disk.release import Release
from ..disk.schema import is_list
from ..errors import EnvironmentProblem, VerificationError
from .template import CARDS
from .words import described

NAME = "croissant.json"
READ = ("@id", "license", "distribution", "recordSet")  # by programs
SHARDS = "shards"  # the id of all of them together
_PAPER = "https://arxiv.org/abs/2601.10305"
_PLAIN = {  # types of Croissant by those of Arrow; all others are text
    **{f"{sign}int{bits}": f"cr:{sign.upper()}Int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "halffloat": "cr:Float16",
    "float": "cr:Float32",
    "double": "cr:Float64",
    "bool": "sc:Boolean",
}


def document(release: Release, schema: pa.Schema, title: str, repository: str) -> str:
    """croissant.json of a release."""
    of_danqing, url = release.source == DANQING, f"https://huggingface.co/datasets/{repository}"
    data: dict[str, object] = {
        "@context": json.loads(resources.files(CARDS).joinpath(NAME).read_text(encoding="utf-8")),
        "@type": "sc:Dataset",
        "name": title,
        "description": f"{title}: image–text pairs rebuilt from {release.source or 'a manifest'} by danqing.",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "citeAs": _PAPER if of_danqing else url,
        "datePublished": release.created_at,
        "inLanguage": "zh" if of_danqing else None,
        "keywords": ["image-text", *(["Chinese"] if of_danqing else []), "danqing"],
        "license": release.terms,
        "url": url,
        "version": _version(release.version),
        "distribution": [*_files(release)],
    }
    if not release.has_tars:
        fields = [*_fields(release.what, schema)]
        data["recordSet"] = [_entry("cr:RecordSet", release.what) | {"field": fields}]
    there = {name: value for name, value in data.items() if value}
    text = json.dumps(there, indent=1, ensure_ascii=False)
    return "\n".join(map(harmless_json, text.split("\n"))) + "\n"


def checked(text: str) -> str:
    """The document itself; VerificationError where mlcroissant finds an error in it or has a warning."""
    try:
        import mlcroissant
    except ImportError as error:
        raise EnvironmentProblem(
            "a release needs mlcroissant for croissant.json: pip install 'danqing[release]'"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of rdflib, by what mlcroissant asks of it
        logging.getLogger("absl").setLevel(logging.ERROR)  # it would print what is raised here
        try:
            issues = mlcroissant.Dataset(jsonld=json.loads(text)).metadata.issues
        except mlcroissant.ValidationError as error:
            raise VerificationError(f"{NAME}: not valid: {' '.join(str(error).split())}") from error
    named_freely = {warning for warning in issues.warnings if "MAJOR.MINOR.PATCH" in warning}
    for found in sorted({*issues.errors, *issues.warnings} - named_freely):
        raise VerificationError(f"{NAME}: not valid: {' '.join(found.split())}")
    return text


def _entry(kind: str, name: str) -> dict[str, object]:
    return {"@type": kind, "@id": name, "name": name}


def _files(release: Release) -> Iterator[dict[str, object]]:
    """The shards, each with its checksum, and all of them together."""
    ending = "tar" if release.has_tars else "parquet"
    encoding = {"encodingFormat": f"application/x-{ending}"}
    for path, file in sorted(release.shards().items()):
        size = {"contentSize": f"{file['bytes']} B", "contentUrl": path}
        yield _entry("cr:FileObject", path) | size | encoding | {"sha256": file["sha256"]}
    yield _entry("cr:FileSet", SHARDS) | encoding | {"includes": f"{release.what}/*.{ending}"}


def _version(tag: str) -> str:
    """v2026.11 as 2026.11.0, as Croissant wants three numbers; a tag that is no version as it is."""
    if not re.fullmatch(r"v?\d+(\.\d+){0,2}", tag):
        return tag
    numbers = [str(int(number)) for number in re.findall(r"\d+", tag)]
    return ".".join([*numbers, "0", "0"][:3])


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


def _fields(what: str, schema: pa.Schema) -> Iterator[dict[str, object]]:
    """The split by the name of the file, and the columns; nested ones have no place in Croissant."""
    ids = identifiers(["split", *schema.names])
    source: dict[str, object] = {
        "extract": {"fileProperty": "fullpath"},
        "transform": {"regex": f"{what}/([a-z]+)-"},
    }
    yield _field(f"{what}/{ids[0]}", "split of the pair", ("sc:Text", False), source)
    for (column, meaning), name in zip(described(what, schema), ids[1:], strict=True):
        kind = _kind(column)
        if kind is not None and column.name:
            source = {"extract": {"column": column.name}}
            if column.name == "image":
                source["transform"] = {"jsonPath": "bytes"}
            yield _field(f"{what}/{name}", meaning, kind, source)


def _field(path: str, meaning: str, kind: tuple[str, bool], source: dict[str, object]) -> dict[str, object]:
    repeated = {"repeated": True} if kind[1] else {}
    told = {"description": meaning, "dataType": kind[0], **repeated}
    return _entry("cr:Field", path) | told | {"source": {"fileSet": {"@id": SHARDS}, **source}}


def _kind(column: pa.Field[pa.DataType]) -> tuple[str, bool] | None:
    """The Croissant type of a column and whether it is a list; None where there is none."""
    if column.name == "image":
        return "sc:ImageObject", False
    kind, repeated = column.type, is_list(column.type)
    if repeated:
        kind = kind.value_type  # type: ignore[attr-defined]
    if pa.types.is_nested(kind):
        return None
    return "sc:DateTime" if pa.types.is_timestamp(kind) else _PLAIN.get(str(kind), "sc:Text"), repeated
