"""Where a release is: what a user types, as a folder or an fsspec URL of the Hub. Every command reads it here.

hf://datasets/ORG/NAME@v2026.11               ─▶ the Hub
https://huggingface.co/datasets/ORG/NAME      ─▶ the Hub
ORG/NAME@v2026.11                             ─▶ to read: the Hub, unless there is such a path; to write: refused
./release                                     ─▶ ./release
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import NamedTuple

# As the Hub has names: a letter or digit first, so that ../release stays a path.
_ID = r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*"
_BARE = re.compile(rf"({_ID})(?:@([^\s@]+))?")
_PAGE = re.compile(rf"https?://(?:huggingface\.co|hf\.co)/datasets/({_ID})(?:/tree/([^\s?#]+?))?/?")
_HUB = re.compile(rf"hf://datasets/({_ID})(?:@([^/@\s]+))?(/.*)?")
_FILE = re.compile(
    r"\.(?:parquet|csv|tsv|txt|jsonl?|ndjson)(?:\.\w+)?$", re.IGNORECASE
)  # no data set is called so

_PATH = re.compile(r"[/~\\]|\.{1,2}(?:/|$)|file:|[A-Za-z]:\\")


DANQING = "DeepGlint-AI/DanQing100M"  # the data set that this project is about


class Repository(NamedTuple):
    """A data set repository of the Hub. id: ORG/NAME; revision: branch, tag or commit, None: its main branch."""

    id: str
    revision: str | None

    @property
    def url(self) -> str:
        """The URL of the repository, as fsspec knows it."""
        return f"hf://datasets/{self.id}" + (f"@{self.revision.replace('/', '%2F')}" if self.revision else "")

    def at(self, revision: str | None) -> Repository:
        """The same repository at another revision."""
        return Repository(self.id, revision)


def address(text: str) -> str:
    """What a reader typed as a local path or an fsspec URL; ORG/NAME is of the Hub where no such path exists."""
    if page := _PAGE.fullmatch(text):
        return Repository(page[1], page[2]).url
    found = bare(text)
    return text if found is None or os.path.exists(text) else found.url  # noqa: PTH110  any text, however long


def which(text: str) -> str:
    """The line that says which of the two a bare ORG/NAME is to a reader; empty for any other text."""
    found = bare(text)
    if found is None:
        return ""
    if address(text) == text:
        return f"{text}: read from this machine; {found.url} would be of the Hub"
    return f"{text}: read from the Hub, {found.url}, as there is no such path here"


def read_from(text: str, tell: Callable[[str], None]) -> str:
    """The address of what a reader typed, after telling which it is."""
    if line := which(text):
        tell(line)
    return address(text)


def bare(text: str) -> Repository | None:
    """The repository that ORG/NAME, without more, may mean; None for any other text, such as folder/pairs.tsv."""
    found = None if _FILE.search(text) else _BARE.fullmatch(text)
    return Repository(found[1], found[2]) if found else None


def is_path(text: str) -> bool:
    """Whether a text spells a path of some machine, or is one of this machine."""
    looks_so = _PATH.match(text) or ("://" not in text and _FILE.search(text))
    return bool(looks_so) or os.path.exists(text)  # noqa: PTH110  any text, however long


def repository(url: str) -> Repository | None:
    """The repository that a URL is the top of; None where it is none of the Hub."""
    match = _HUB.fullmatch(url)
    return None if match is None or match[3] not in (None, "/") else _matched(match)


def repository_of(url: str) -> Repository | None:
    """The repository that a URL is of, or lies in; None where it is none of the Hub."""
    match = _HUB.fullmatch(url)
    return _matched(match) if match else None


def _matched(match: re.Match[str]) -> Repository:
    return Repository(match[1], match[2] and match[2].replace("%2F", "/"))
