"""What --dry-run prints of a stage that reads a manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import NamedTuple

from ..console import in_words
from ..disk.root import Earlier
from ..manifest import Manifest
from .shared import OfManifest


class More(NamedTuple):
    """A further fact. value: for JSON; words: for people, none where there is nothing to tell."""

    name: str
    value: object
    words: str = ""


@dataclass(frozen=True, slots=True)
class ManifestPreview:
    """The plan of such a stage. todo, whole: units that are to do, and all; earlier: what --overwrite removes.

    units: what it calls them, root: what it makes; more: what else it tells.
    """

    config: OfManifest
    manifest: Manifest
    options: Mapping[str, object]
    todo: Sized
    whole: Sized
    earlier: Earlier | None
    more: More
    units: str = "shards"
    root: str = "root"

    def as_dict(self) -> dict[str, object]:
        """The plan as JSON."""
        return {
            "manifest": self.config.input,
            "files": len(self.manifest.files),
            "rows": self.manifest.rows,
            self.units: len(self.whole),
            f"{self.units}_to_do": len(self.todo),
            self.root: self.config.output,
            "options": self.options,
            self.more.name: self.more.value,
            **({} if self.earlier is None else {"overwritten": self.earlier.names}),
        }

    def lines(self) -> list[str]:
        """The plan for people."""
        size = in_words(sum(file.size for file in self.manifest.files))
        rows = ", ".join(f"{split} {count:,}" for split, count in self.manifest.rows.items())
        options = ", ".join(f"{name} {value}" for name, value in self.options.items() if value)
        return [
            f"manifest  {self.config.input}: {len(self.manifest.files)} files, {size}, rows: {rows}",
            f"columns   {', '.join(self.manifest.schema.names)}",
            f"{self.root:<9} {self.config.output}: {len(self.whole)} {self.units}, {len(self.todo)} to do",
            f"options   {options}",
            *([f"{self.more.name:<9} {self.more.words}"] if self.more.words else []),
            *(self.earlier.lines() if self.earlier else []),
            "nothing was written: --dry-run",
        ]
