"""The steps that judge a pair by its own numbers: numbers of all pairs in, a reason a pair and thresholds out.

A threshold that is calibrated is the value beyond which as many lie as the paper lost there, of the pairs that come to
the step: an exact quantile over the root, so it does not depend on the order of shards. What equals it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..disk.digests import Bools
from ..options import CALIBRATE
from ..reasons import Reason
from .config import CurateConfig
from .recipe import PAPERS_BOUNDS, PAPERS_EMBEDDER, SHARES, STRONG, WEAK

Floats = npt.NDArray[np.float32]
CODES: dict[Reason, int] = {reason: number for number, reason in enumerate(Reason, 1)}  # 0: kept
REASONS: tuple[Reason | None, ...] = (None, *Reason)
# Numbers of a pair. kept: by scores/; embedded: its picture; captioned: has a cosine; text: share of text in it.
NUMBERS = np.dtype(
    [
        ("kept", "?"), ("width", "<i4"), ("height", "<i4"), ("spread", "<f4"), ("sharpness", "<f4"),
        ("entropy", "<f4"), ("embedded", "?"), ("cos", "<f8"), ("risk", "<f4"), ("text", "<f4"),
    ]
)  # fmt: skip


def lowest(values: npt.NDArray[np.floating], share: float) -> float:
    """The value below which a share of all values lies, none of which is NaN; the least of them where it is none."""
    if not len(values):
        return 0.0
    place = min(int(share * len(values)), len(values) - 1)
    return float(np.partition(values, place)[place])


def highest(values: npt.NDArray[np.floating], share: float) -> float:
    """The value above which a share of all values lies, none of which is NaN."""
    return 0.0 - lowest(-values, share)


@dataclass(slots=True)
class PairJudge:
    """The judging of the pairs of a root. numbers: (n,) of NUMBERS; embedder: the name of the checkpoint.

    reasons: a code of CODES each (n,), 0 for those that passed so far; used: the thresholds, by name.
    """

    config: CurateConfig
    numbers: npt.NDArray[np.void]
    embedder: str
    reasons: npt.NDArray[np.uint8] = field(init=False)
    used: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reasons = np.zeros(len(self.numbers), np.uint8)

    @property
    def left(self) -> Bools:
        """The pairs that passed so far, (n,)."""
        return np.equal(self.reasons, 0)

    def drop(self, mask: Bools, reason: Reason) -> None:
        """Drop those of the mask (n,) that are left."""
        self.reasons[mask & self.left] = CODES[reason]

    def step(self, name: str) -> None:
        """Take the step of that name of `recipe.STEPS`; those about duplicates are not of here."""
        steps: Mapping[str, Callable[[], None]] = {
            "verdict": lambda: self.drop(~self.numbers["kept"], Reason.VERDICT),
            "geometry": self._geometry,
            "measures": self._measures,
            "texture": lambda: self._below("spread", Reason.FLAT, self.config.spread, 13),
            "blur": lambda: self._below("sharpness", Reason.BLURRED, self.config.least_sharpness, 14),
            "entropy": lambda: self._below("entropy", Reason.LOW_DETAIL, self.config.least_entropy, 15),
            "embedding": self._embedding,
            "safety": self._safety,
            "alignment": self._alignment,
            "text": self._text,
        }
        steps[name]()

    def _measures(self) -> None:
        for name in ("spread", "sharpness", "entropy"):
            self.drop(np.isnan(self.numbers[name]), Reason.CORRUPT)

    def _geometry(self) -> None:
        short, long = (
            side(self.numbers["width"], self.numbers["height"]) for side in (np.minimum, np.maximum)
        )
        self.used |= {"min_side": float(self.config.min_side), "max_aspect": self.config.max_aspect}
        self.drop(short <= self.config.min_side, Reason.TOO_SMALL)
        self.drop(long > self.config.max_aspect * short.astype(np.float64), Reason.ASPECT)

    def _below(self, name: str, reason: Reason, least: float | None, row: int) -> None:
        values = self.numbers[name]
        if least is None:
            least = lowest(values[self.left & ~np.isnan(values)], SHARES[row])
        self.used[name] = least
        self.drop(values < least, reason)

    def _embedding(self) -> None:
        self.drop(~self.numbers["embedded"], Reason.NO_EMBEDDING)
        self.drop(np.isnan(self.numbers["cos"]), Reason.NO_TEXT)

    def _safety(self) -> None:
        risk, most = self.numbers["risk"], self.config.most_risk
        if most is None:
            most = highest(risk[self.left & ~np.isnan(risk)], SHARES[17])
        self.used["risk"] = most
        self.drop(risk > most, Reason.UNSAFE_IMAGE)

    def _alignment(self) -> None:
        bounds, cos = (
            self.config.bounds,
            np.clip(self.numbers["cos"], -1, 1),
        )  # float16 is not exact about lengths
        if bounds is None and self.config.align != CALIBRATE and self.embedder == PAPERS_EMBEDDER:
            bounds = PAPERS_BOUNDS
        if bounds is None:
            known = cos[self.left]
            bounds = lowest(known, WEAK), highest(known, STRONG)
        self.used["cos_low"], self.used["cos_high"] = bounds
        self.drop(cos < bounds[0], Reason.WEAK_MATCH)
        self.drop(cos > bounds[1], Reason.TEXT_PICTURE)

    def _text(self) -> None:
        self.used["text_share"] = self.config.text_share
        self.drop(self.numbers["text"] > self.config.text_share, Reason.TEXT_IN_IMAGE)
