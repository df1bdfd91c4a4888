"""Where a release is: what a user types, as a folder or an fsspec URL of the Hub.

ORG/NAME@v2026.11                             ─▶ hf://datasets/ORG/NAME@v2026.11
https://huggingface.co/datasets/ORG/NAME      ─▶ hf://datasets/ORG/NAME
./release                                     ─▶ ./release
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

# As the Hub has names: a letter or digit first, so that ../release stays a path.
_ID = r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*"
_TYPED = re.compile(rf"({_ID})(?:@([^\s@]+))?")
_PAGE = re.compile(rf"https?://(?:huggingface\.co|hf\.co)/datasets/({_ID})(?:/tree/([^\s?#]+?))?/?")
_HUB = re.compile(rf"hf://datasets/({_ID})(?:@([^/@\s]+))?/?")


class Repository(NamedTuple):
    """A data set repository of the Hub. id: ORG/NAME; revision: branch, tag or commit, None: its main branch."""

    id: str
    revision: str | None

    @property
    def url(self) -> str:
        """It as fsspec knows it."""
        return f"hf://datasets/{self.id}" + (f"@{self.revision.replace('/', '%2F')}" if self.revision else "")

    def at(self, revision: str | None) -> Repository:
        """The same repository at another revision."""
        return Repository(self.id, revision)


def address(text: str) -> str:
    """What a user typed as a local path or an fsspec URL; ORG/NAME is of the Hub where no such folder exists."""
    found = _PAGE.fullmatch(text) or _TYPED.fullmatch(text)
    if found is None or ("://" not in text and Path(text).exists()):
        return text
    return Repository(found[1], found[2]).url


def repository(url: str) -> Repository | None:
    """The repository that a URL is the top of; None where it is none of the Hub."""
    match = _HUB.fullmatch(url)
    return Repository(match[1], match[2] and match[2].replace("%2F", "/")) if match else None
