"""What a release came to, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..console import in_words, table
from ..disk.release import Release


@dataclass(frozen=True, slots=True)
class Summary:
    """A release that is published. url: where; unchanged: it was there already, and nothing was done."""

    url: str
    release: Release
    unchanged: bool = False

    def as_dict(self) -> dict[str, Any]:
        """It as JSON."""
        release = self.release
        return {
            "url": self.url,
            "version": release.version,
            "what": release.what,
            "previous": release.previous,
            "unchanged": self.unchanged,
            "rows": release.counts["rows"],
            "kept": release.counts["kept"],
            "shards": len(release.shards()),
            "files": len(release.files) + 1,
            "bytes": sum(file["bytes"] for file in release.files.values()),
            "splits": release.counts["splits"],
            "dropped": release.dropped,
            "removed": release.removed,
            "validated": release.validated,
            "license": release.license,
        }

    def lines(self) -> list[str]:
        """It for people."""
        told, release = self.as_dict(), self.release
        first = f"{self.url}: {release.version}, {release.what}, {told['kept']:,} pairs, {in_words(told['bytes'])}"
        rows = [
            (split, f"{one['kept']:,}", f"{one['shards']:,}", in_words(one["bytes"]))
            for split, one in told["splits"].items()
        ]
        lines = [first + (": there already, nothing to do" if self.unchanged else "")]
        lines += ["", *table([("split", "pairs", "shards", "size"), *rows])]
        if release.previous:
            gone = ", ".join(f"{reason} {count:,}" for reason, count in release.dropped.items()) or "none"
            lines += ["", f"in {release.previous} and not in it: {gone}"]
        if not release.validated:
            lines += ["", "not validated: every fetched pair, without scores and verdicts"]
        return lines
