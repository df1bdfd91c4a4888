"""What happened to a pair: the values that flow from the fetch through the decoder to the shard."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..disk.schema import OUTCOMES, PICTURE
from ..picture.measures import Measures
from ..reasons import Reason


@dataclass(slots=True)
class Picture:
    """A picture ready to be stored.

    data: the encoded file to store; width, height: of that file in pixels; original_width, original_height:
    of the file as fetched, after its EXIF orientation; phash: 16 hex characters, or None when no pixel was
    decoded; format: of the file as fetched (`jpeg`, `png`, ...); extension: of `data` (`jpg`, `png`, ...);
    decoder: the path that made the pixels, such as `simplejpeg-exact`; measures: of the file as fetched, or None when
    they are not asked for, or not all of its pixels can be decoded.
    """

    data: bytes
    width: int
    height: int
    original_width: int
    original_height: int
    phash: str | None
    format: str
    extension: str
    decoder: str
    measures: Measures | None = None


@dataclass(slots=True)
class Outcome:
    """One row of outcomes/, and the picture when the pair is kept (`reason` is None)."""

    reason: Reason | None = None
    http_status: int | None = None
    final_url: str | None = None
    bytes: int | None = None
    attempts: int = 0
    milliseconds: int | None = None
    content_type: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    hash_verified: bool | None = None
    sha256: str | None = None
    fetched_at: int | None = None  # milliseconds since the epoch, UTC
    picture: Picture | None = None

    @property
    def counters(self) -> dict[str, int]:
        """What the ledger counts of it: requests sent, bytes of the body, and the HTTP status where there was one."""
        counted = {"requests": self.attempts, "bytes": self.bytes or 0}
        return counted if self.http_status is None else counted | {f"http_status/{self.http_status}": 1}


# The columns of outcomes/ and of images/ that bear the name of a field here, and hold it as it is.
TOLD = tuple(one.name for one in fields(Outcome) if one.name in OUTCOMES.names and one.name != "reason")
SHOWN = tuple(one.name for one in fields(Picture) if one.name in PICTURE.names)
