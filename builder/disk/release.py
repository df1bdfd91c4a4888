"""release.json: what a release says of itself, for programs. The card says the same for people.

    Release ◀─▶ release.json

It may come from anyone: every type, number and path in it is looked at before anything is made of it.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from dataclasses import dataclass, field
from typing import NotRequired, TypedDict

from ..errors import InputError
from . import documents
from .documents import LIMIT, Document
from .files import filesystem, join

NAME = "release.json"
FORMAT = 1
KINDS = ("manifest", "images")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")  # it names a tag and a file
_RARE = ("license_name", "license_link")  # written only where they say something
_SHA256 = re.compile(r"[0-9a-f]{64}")


class CountsDocument(TypedDict):
    """What readers rely on in the counts of a release; released.counts has them all."""

    kept: NotRequired[int]


class RevisionDocument(TypedDict):
    """One release of those before, as the card lists it; dropped: by reason."""

    version: str
    created_at: str
    kept: int
    dropped: dict[str, int]


class CardDocument(TypedDict):
    """What a card is called, by which `verify` writes it again. columns: of tars, as `datasets` has them in JSON."""

    title: str
    repository: str
    columns: NotRequired[str]


class CurationTold(TypedDict):
    """What readers rely on in what a release says of its curation."""

    decision: str
    thresholds: dict[str, float]
    embedder: Document


class FunnelDocument(TypedDict):
    """What readers rely on in the funnel of a release: how many rows stood and were lost where."""

    manifest: NotRequired[int]
    pending: NotRequired[int]
    fetched: NotRequired[int]
    reasons: NotRequired[dict[str, int]]
    verdicts: NotRequired[dict[str, int]]
    left_out: NotRequired[dict[str, int]]
    removed: NotRequired[int]
    duplicates: NotRequired[int]
    decision: NotRequired[Document]
    options: NotRequired[Document]
    before: NotRequired[list[Document]]  # funnels of the stages that made the manifest
    curated: NotRequired[dict[str, int]]
    curation: NotRequired[CurationTold]
    after: NotRequired[list[Document]]  # funnels of the stages behind the rebuild
    revisions: NotRequired[list[RevisionDocument]]
    card: NotRequired[CardDocument]  # here, as earlier readers refuse what they do not know beside the funnel


@dataclass(frozen=True, slots=True)
class Release:
    """One release.

    what: manifest or images; version: its tag; previous: the tag before it, None for the first; created_at: ISO 8601,
    UTC; validated: it has scores and verdicts; model: name, revision, fingerprint, preprocessing and caption of
    the checkpoint that scored it, empty where none did; license: identifier of the Hub; license_name, license_link:
    of terms that have none, `other`; source: the data set it derives from, empty where nothing tells; files: rows
    (None of what is no table), bytes and sha256 of every file but this one, by path, sorted;
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
    files: Document
    counts: Document
    funnel: Document
    model: Document = field(default_factory=dict)
    previous: str | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    removed: int = 0
    danqing: str = ""
    license_name: str = ""
    license_link: str = ""
    format: int = FORMAT

    def as_json(self) -> bytes:
        """What release.json holds."""
        document = {
            name: value for name, value in dataclasses.asdict(self).items() if value or name not in _RARE
        }
        return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @property
    def curated(self) -> bool:
        """Whether its pairs were curated."""
        return "curation" in self.funnel

    @property
    def terms(self) -> str:
        """The license for programs: its identifier, or where the terms are that have none."""
        return self.license_link or self.license

    def shards(self) -> Document:
        """The files that hold pairs, by path."""
        return {path: file for path, file in self.files.items() if path.startswith(f"{self.what}/")}

    def part(self, folder: str) -> list[Document]:
        """The entries of the files of a folder, by their paths."""
        return [file for path, file in sorted(self.files.items()) if path.startswith(f"{folder}/")]

    @property
    def has_tars(self) -> bool:
        """Whether its shards are WebDataset tars."""
        return any(path.endswith(".tar") for path in self.shards())

    @property
    def splits(self) -> list[str]:
        """The names of its splits, train first."""
        order = {"train": 0, "validation": 1, "test": 2}
        return sorted(self.counts["splits"], key=lambda split: (order.get(split, 3), split))


def split_of(path: str) -> str:
    """The split that a shard is of, by its name; of what is no shard, nothing that makes sense."""
    return path.rpartition("/")[2].partition("-")[0]


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
        found = documents.parse(data, LIMIT)
        _of_this_format(found, name)
        return checked(found)
    except ValueError as error:
        raise InputError(f"{name}: no release of danqing: {' '.join(str(error).split())[:300]}") from error


def _of_this_format(document: Document, name: str) -> None:
    """InputError where a later danqing wrote it: what it has beside is then no reason to call it broken."""
    found = document.get("format")
    if isinstance(found, int) and not isinstance(found, bool) and found > FORMAT:
        raise InputError(f"{name}: of format {found}, this danqing reads {FORMAT}: update danqing")


def checked(document: Document) -> Release:
    """The release of an object of JSON; ValueError, naming the field, where a document is not what Release says."""
    release = documents.build(Release, document)
    if release.what not in KINDS:
        raise ValueError(f"what: {release.what!r} is none of {', '.join(KINDS)}")
    if release.format != FORMAT:
        raise ValueError(f"format: {release.format}, not {FORMAT}")
    for name, version in (("version", release.version), ("previous", release.previous)):
        if version is not None and not _VERSION.fullmatch(version):
            raise ValueError(f"{name}: {version!r} is no version")
    datetime.datetime.fromisoformat(release.created_at)
    documents.check(release.funnel, FunnelDocument)
    documents.check(release.counts, CountsDocument)
    for path, file in release.files.items():
        if not documents.is_inside(path) or path == NAME:
            raise ValueError(f"files: {path[:80]!r} is no path inside a release")
        if not isinstance(file, dict) or not documents.is_count(file.get("bytes")):
            raise ValueError(f"files: {path}: without bytes")
        if not _SHA256.fullmatch(str(file.get("sha256"))):
            raise ValueError(f"files: {path}: without sha256")
        if file.get("rows") is not None and not documents.is_count(file["rows"]):
            raise ValueError(f"files: {path}: {str(file['rows'])[:80]!r} is no number of rows")
    return release
