"""The options of `danqing rebuild`: one frozen dataclass, from which the command line is derived.

A field's metadata holds its help; `choices` where it has some; `content` where another value makes other bytes, so
that a root made with one value refuses the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .. import __version__
from ..errors import UsageError
from ..options import byte_size, option, words_of
from ..picture.limits import USUAL_PIXELS
from ..reasons import REBUILD_REASONS, Reason
from ..stage.shared import OfManifest
from ..web.limits import FetchLimits, Identity

USER_AGENT = f"danqing/{__version__} (+https://github.com/deepglint/DanQing; image-text dataset rebuild)"


# Inclusive bounds of the numbers; 65,500 is the longest side a JPEG can have.
BOUNDS: dict[str, tuple[float, float]] = {
    "image_size": (1, 65_500),
    "quality": (1, 100),
    "min_side": (0, math.inf),
    "max_aspect": (0, math.inf),
    "max_bytes": (1, math.inf),
    "max_pixels": (1, math.inf),
    "timeout": (0.001, 86_400),
    "retries": (0, 100),
    "concurrency": (0, 65_535),
    "per_host": (1, 65_535),
    "shard_size": (1, math.inf),
    "validation": (0, 0.999),
    "seed": (0, math.inf),
}


@dataclass(frozen=True, slots=True)
class RebuildConfig(OfManifest):
    """What `danqing rebuild` was asked to do."""

    output: str = option("", "root of the rebuilt data set: a folder or an fsspec URL", positional=True)

    verify_hash: bool = option(False, "check the bytes against the manifest's sha256 or md5", content=True)

    image_size: int = option(256, "target of the resize, in pixels", content=True)
    resize: str = option(
        "keep-ratio",
        "keep-ratio: the short side gets --image-size; keep-ratio-largest: the long side",
        content=True,
        choices=("keep-ratio", "keep-ratio-largest", "center-crop", "border", "squash", "none"),
    )
    upscale: bool = option(False, "enlarge pictures that are smaller than --image-size", content=True)
    encode: str = option(
        "jpeg",
        "format stored; original with --resize none keeps the bytes as served",
        content=True,
        choices=("jpeg", "webp", "png", "original"),
    )
    quality: int = option(95, "of --encode jpeg and webp, 1 to 100", content=True)
    decode: str = option(
        "exact",
        "exact: every pixel decoded; fast: JPEG decoded at a reduced scale",
        content=True,
        choices=("exact", "fast"),
    )
    measure: bool = option(
        False,
        "write measures/ too: spread, sharpness and entropy of each original, which danqing curate goes by",
        content=True,
        since="0.3",
    )
    min_side: int = option(0, "drop pictures with a shorter side, in pixels", content=True)
    max_aspect: float = option(
        0.0, "drop pictures longer than this many times their width, or wider; 0: none", content=True
    )
    max_bytes: int = option(
        32 << 20,
        "drop bodies of more bytes (32MB, 32MiB), on the wire or decompressed",
        parse=byte_size,
        content=True,
    )
    max_pixels: int = option(USUAL_PIXELS, "drop pictures of more pixels, by their header", content=True)

    timeout: float = option(20.0, "seconds from the start of a request to its last byte")
    retries: int = option(2, "further tries of what can change: timeouts, refusals, 5xx, 429")
    retry_failed: str = option(
        "",
        f"fetch again rows of finished shards dropped for these reasons, as a,b: all, {', '.join(REBUILD_REASONS)}",
    )
    concurrency: int = option(0, "requests in flight in one worker; 0: adapts to errors and to the machine")
    per_host: int = option(4, "connections to one host, over all workers (at least one each)")
    user_agent: str = option(USER_AGENT, "name and contact sent to the sites")
    removals: str = option(
        "",
        "removal lists, as a,b: text files of keys, URLs and hosts, or releases; rows on them are dropped as removed, "
        "unasked; a manifest that is a release brings the newest list of its own",
    )
    ignore_opt_out: bool = option(False, "keep pictures whose site asks not to be used", content=True)
    allow_private: bool = option(False, "fetch from loopback and private addresses too: tests and intranets")

    shard_size: int = option(10_000, "rows of the manifest in one shard, at most", content=True)
    format: str = option(
        "parquet",
        "of the image shards; of tars, webdataset, danqing revalidate, report and load_dataset read none",
        content=True,
        choices=("parquet", "webdataset"),
    )
    validation: float = option(
        0.0, "share of the pairs, by key, that goes to the validation split", content=True
    )

    limit: int = option(0, "rows of the manifest to take; 0: all", shared=True, content=True)
    seed: int = option(0, "of the jitter between tries", shared=True)

    @property
    def skims(self) -> bool:
        """Whether of a JPEG less may be decoded than there is: it is measured by its luma, decoded for that alone."""
        return self.decode == "fast" or self.encode == "original"

    @property
    def limits(self) -> FetchLimits:
        """The edges of one fetch: connect and idle have two fifths of the whole time each."""
        part = self.timeout * 0.4
        return FetchLimits(total=self.timeout, connect=part, idle=part, max_bytes=self.max_bytes)

    @property
    def identity(self) -> Identity:
        """Who asks the sites, and what it lets itself do."""
        return Identity(self.user_agent, self.ignore_opt_out, self.allow_private)

    @property
    def retried(self) -> frozenset[Reason]:
        """The reasons of --retry-failed; UsageError for a word that is none."""
        words = {*words_of(self.retry_failed)}
        unknown = sorted(words - {*REBUILD_REASONS, "all"})
        if unknown:
            raise UsageError(
                f"--retry-failed {', '.join(unknown)}: no such reason; there are all, {', '.join(REBUILD_REASONS)}"
            )
        return frozenset(REBUILD_REASONS) if "all" in words else frozenset(Reason(word) for word in words)

    def check(self) -> None:
        """Raise UsageError where a value is out of its range or two of them contradict each other."""
        self.check_shared(BOUNDS)
        if 0 < self.max_aspect < 1:
            raise UsageError(f"--max-aspect {self.max_aspect}: must be 0 for none, or at least 1")
        if self.encode == "original" and self.resize != "none":
            raise UsageError(
                f"--encode original: needs --resize none, not {self.resize}; resized bytes are new ones"
            )
        if self.measure and self.format == "webdataset":
            raise UsageError(
                "--measure: needs --format parquet; danqing curate, which reads it, reads no tars"
            )
        if not (self.user_agent.isascii() and self.user_agent.isprintable() and self.user_agent.strip()):
            raise UsageError("--user-agent: must be one line of printable ASCII that names you and a contact")
        if Reason.REMOVED in self.retried and "all" not in self.retry_failed:
            raise UsageError(f"--retry-failed {Reason.REMOVED}: what was taken down is not fetched again")
