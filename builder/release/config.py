"""The options of `danqing release`: one frozen dataclass, from which the command line is derived.

`content` marks what decides the files of a release: an unfinished one that was begun with another value is begun anew.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ..disk.location import DANQING, address, is_path, repository, repository_of
from ..errors import UsageError
from ..options import byte_size, check_values, option, words_of
from ..stage.shared import Shared

SOURCE_LICENSE = "cc-by-nc-4.0"  # of DANQING since 2026-03-25; the card tells the history
SHARD_SIZES = {"manifest": 128 << 20, "images": 512 << 20}
BOUNDS: dict[str, tuple[float, float]] = {
    "shard_size": (0, math.inf),
    "divide_by": (1, 65_536),
    "staging_budget": (0, math.inf),
    "workers": (0, 1024),
}
_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")
_LINK = re.compile(r"https?://[^\s()<>\"\\]+|LICENSE(?:\.md)?")
_TAG = re.compile(r"[A-Za-z0-9][\w.-]{0,99}")


@dataclass(frozen=True, slots=True)
class ReleaseConfig(Shared):
    """The options of `danqing release`."""

    root: str = option("", "root of a rebuilt data set: a folder or an fsspec URL", positional=True)
    output: str = option("", "where it is released: a folder, or hf://datasets/ORG/NAME", positional=True)

    what: str = option(
        "manifest",
        "manifest: the verified manifest, no pixels; images: the kept pairs with their pixels",
        content=True,
        choices=("manifest", "images"),
    )
    tag: str = option(
        "", "of the release; default: v<year>.<month>, then v<year>.<month>.1 and so on", content=True
    )
    name: str = option("", "title of the card; default: by the source and what is released", content=True)
    repository: str = option(
        "",
        "ORG/NAME that the card tells readers to load; default: that of OUTPUT on the Hub",
        content=True,
    )
    source: str = option(
        "",
        "data set that the root was rebuilt from, such as ORG/NAME; default: what the root's own plan tells of it",
        content=True,
    )
    license: str = option(
        "",
        f"identifier of the Hub; default, where the source is {DANQING}: {SOURCE_LICENSE}, inherited from it",
        content=True,
    )
    license_name: str = option("", "name of the terms where --license is other: my-license-1.0", content=True)
    license_link: str = option(
        "", "where those terms are: a URL, or LICENSE or LICENSE.md, a file that you put there", content=True
    )
    remove: str = option(
        "", "files of keys, URLs or hosts, a line each, as a,b: these pairs are taken out for good"
    )
    format: str = option(
        "parquet", "of the shards of --what images", content=True, choices=("parquet", "webdataset")
    )
    shard_size: int = option(
        0,
        "bytes in one shard, give or take one row group; 0: 512MiB of images, 128MiB of a manifest",
        parse=byte_size,
        content=True,
    )
    divide_by: int = option(
        16,
        "the number of shards of a split is a multiple of this; less, a divisor, where they would have under 64 rows",
        content=True,
    )
    compact: bool = option(
        False,
        "lay images out anew; default: each pair stays in the shard of the last release, dropped ones with kept=false",
        content=True,
    )
    staging_budget: int = option(
        0,
        "upload in parts, so that no more bytes (20GB) than this, and one shard, lie here; 0: all",
        parse=byte_size,
    )
    private: bool = option(False, "make the repository a private one where it does not exist yet")
    message: str = option("", "of the commit")

    dry_run: bool = option(False, "print what would be released and what changed; touch nothing", shared=True)
    overwrite: bool = option(
        False, "begin an unfinished release anew, and replace one of the same tag", shared=True
    )
    workers: int = option(0, "shards written at once; 0: one a core, 4 at most", shared=True)

    @property
    def source_name(self) -> str:
        """The source as the card names it: ORG/NAME of the Hub however it was typed, else as it was."""
        found = repository_of(address(self.source))
        return found.id if found else self.source

    @property
    def license_id(self) -> str:
        """The license of the release: as said, else that of the data set it derives from, else empty."""
        return self.license or (SOURCE_LICENSE if self.source_name == DANQING else "")

    @property
    def repository_id(self) -> str:
        """ORG/NAME of the data set on the Hub; empty where neither --repository nor OUTPUT says it."""
        place = repository(self.output)
        return place.id if place else self.repository

    @property
    def target_bytes(self) -> int:
        """The largest size of a shard."""
        return self.shard_size or SHARD_SIZES[self.what]

    @property
    def removed(self) -> list[str]:
        """The files of --remove."""
        return words_of(self.remove)

    def check(self) -> None:
        """Raise UsageError where a value is out of its range or two of them contradict each other."""
        check_values(self, BOUNDS)
        if self.repository and not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repository):
            raise UsageError(f"--repository {self.repository}: write ORG/NAME")
        if self.repository not in ("", self.repository_id):
            raise UsageError(
                f"--repository {self.repository}: OUTPUT says {self.repository_id}; leave it out"
            )
        if any(map(is_path, (self.source, *self.source.split()))):
            raise UsageError(
                f"--source {self.source}: a path of this machine, which the card must not name; write ORG/NAME"
            )
        if re.search(r"://[^/\s]*@", self.source):
            raise UsageError("--source: the URL names a user, whom the card must not name; write it without")
        if self.source and not self.license_id:
            raise UsageError(
                f"--source {self.source}: say --license too, as what derives from it inherits its terms"
            )
        self._check_license()
        if self.tag and not _TAG.fullmatch(self.tag):
            raise UsageError(f"--tag {self.tag}: write letters, digits, dots and dashes, such as v2026.11")
        if self.format == "webdataset" and self.what == "manifest":
            raise UsageError("--format webdataset: a manifest has no pictures; say --what images")

    def _check_license(self) -> None:
        """UsageError where terms of their own have no name or link, or an identifier has one."""
        wanted = self.license == "other"
        for flag, given, sound in (
            ("--license-name", self.license_name, _NAME),
            ("--license-link", self.license_link, _LINK),
        ):
            if wanted != bool(given) or (given and not sound.fullmatch(given)):
                raise UsageError(
                    f"{flag} {given}".rstrip()
                    + ": --license other wants --license-name, such as my-license-1.0, and "
                    "--license-link, a URL, LICENSE or LICENSE.md; no other license does"
                )
