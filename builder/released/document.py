"""release.json: what a release says of itself, for programs. The card says the same for people.

    Release ◀─▶ release.json

It may come from anyone: every type, number and path in it is looked at before anything is made of it.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ..errors import InputError
from ..files import filesystem, join

NAME = "release.json"
FORMAT = 1
KINDS = ("manifest", "images")
LIMIT = 64 << 20  # bytes of it; 100,000 files, as many as the Hub takes, make 20 MB
LONGEST = 1024  # characters of a path, as many as an object store takes
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")  # it names a tag and a file
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Release:
    """One release.

    what: manifest or images; version: its tag; previous: the tag before it, None for the first; created_at: ISO 8601,
    UTC; validated: it has scores and verdicts; model: name, revision, fingerprint, preprocessing and caption of
    the checkpoint that scored it, empty where none did; license: identifier of the Hub; source: the data set it
    derives from; files: rows (None of what is no table), bytes and sha256 of every file but this one, by path, sorted;
    counts: of the data, as released.counts.Counts.as_dict has them; funnel: of the ledger: rows of the
    manifest, reasons, verdicts, decision ...; dropped: pairs of `previous` that are not in it, by reason;
    removed: entries of the removal list.
    """

    what: str
    version: str
    created_at: str
    validated: bool
    license: str
    source: str
    files: dict[str, dict[str, Any]]
    counts: dict[str, Any]
    funnel: dict[str, Any]
    model: dict[str, Any] = field(default_factory=dict)
    previous: str | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    removed: int = 0
    danqing: str = ""
    format: int = FORMAT

    def as_json(self) -> bytes:
        """What release.json holds."""
        return (
            json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        ).encode()

    def shards(self) -> dict[str, dict[str, Any]]:
        """The files that hold pairs, by path."""
        return {path: file for path, file in self.files.items() if path.startswith(f"{self.what}/")}


def read(url: str) -> Release | None:
    """The release in a folder, or None where there is no release.json; InputError where it is none."""
    fs, path = filesystem(join(url, NAME))
    try:
        with fs.open(path, "rb") as file:
            data = file.read(LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return parse(data, join(url, NAME))


def parse(data: bytes, name: str) -> Release:
    """The release that a file called `name` holds; InputError where it is none."""
    try:
        if len(data) > LIMIT:
            raise ValueError(f"more than {LIMIT:,} bytes")
        document = json.loads(data, parse_constant=_no_number)
        _of_this_format(document, name)
        _check(document)
    except (ValueError, RecursionError) as error:  # of JSON, UTF-8 and _check alike
        raise InputError(f"{name}: no release of danqing: {' '.join(str(error).split())[:300]}") from error
    return Release(**document)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _of_this_format(document: Any, name: str) -> None:
    """InputError where a later danqing wrote it: what it has beside is then no reason to call it broken."""
    found = document.get("format") if isinstance(document, dict) else None
    if isinstance(found, int) and not isinstance(found, bool) and found > FORMAT:
        raise InputError(f"{name}: of format {found}, this danqing reads {FORMAT}: update danqing")


def _check(document: Any) -> None:
    """ValueError, naming the field, where a document is not what Release says."""
    if not isinstance(document, dict):
        raise ValueError("no object of JSON")
    known = {one.name: one for one in dataclasses.fields(Release)}
    needed = {name for name, one in known.items() if _is_needed(one)}
    for which, names in (("without", needed - document.keys()), ("with an unknown", document.keys() - known)):
        if names:
            raise ValueError(f"{which} {', '.join(sorted(names))}")
    for name, value in document.items():
        _check_type(name, value, str(known[name].type))
    if document["what"] not in KINDS:
        raise ValueError(f"what: {document['what']!r} is none of {', '.join(KINDS)}")
    if document.get("format", FORMAT) != FORMAT:
        raise ValueError(f"format: {document['format']}, not {FORMAT}")
    for name in ("version", "previous"):
        if document.get(name) is not None and not _VERSION.fullmatch(document[name]):
            raise ValueError(f"{name}: {document[name]!r} is no version")
    datetime.datetime.fromisoformat(document["created_at"])
    for path, file in document["files"].items():
        _check_file(path, file)


def _is_needed(one: dataclasses.Field[Any]) -> bool:
    return one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING


def _check_type(name: str, value: Any, wanted: str) -> None:
    """ValueError where a value is not of the annotation of its field."""
    if wanted.startswith("dict"):
        sound = isinstance(value, dict)
        if wanted == "dict[str, int]":
            sound = sound and all(_is_count(number) for number in value.values())
    elif wanted == "bool":
        sound = isinstance(value, bool)
    elif wanted == "int":
        sound = _is_count(value)
    else:
        sound = isinstance(value, str) or (value is None and wanted.endswith("| None"))
    if not sound:
        raise ValueError(f"{name}: {str(value)[:80]!r} is no {wanted}")


def _check_file(path: str, file: Any) -> None:
    """ValueError where a path leads out of the folder, or what is said of the file makes no sense."""
    parts = path.split("/")
    if len(path) > LONGEST or not all(map(_is_name, parts)) or path == NAME:
        raise ValueError(f"files: {path[:80]!r} is no path inside a release")
    if not isinstance(file, Mapping) or not _is_count(file.get("bytes")):
        raise ValueError(f"files: {path}: without bytes")
    if not _SHA256.fullmatch(str(file.get("sha256"))):
        raise ValueError(f"files: {path}: without sha256")
    if file.get("rows") is not None and not _is_count(file["rows"]):
        raise ValueError(f"files: {path}: {str(file['rows'])[:80]!r} is no number of rows")


def _is_name(part: str) -> bool:
    """Whether a part of a path is one that stays in its folder, is not hidden and shows in a terminal."""
    return part != "" and not part.startswith(".") and part.isprintable() and not {"\\", ":"} & {*part}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63
