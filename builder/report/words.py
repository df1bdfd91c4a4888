"""What the page says in words: verdicts, causes and numbers, once."""

from __future__ import annotations

from functools import partial

from ..card import values
from ..reasons import Cause, Verdict

VERDICTS: dict[str, str] = {
    Verdict.DEAD: "No bytes came, or there is no picture in them.",
    Verdict.SAME: "The bytes hash as the reference recorded them.",
    Verdict.PLACEHOLDER: "One picture under many pairs whose captions disagree: a banner, a logo, “image not found”.",
    Verdict.MOVED: "Other bytes, but by its code the picture that the reference recorded.",
    Verdict.MATCHING: "Not known by its code, yet the caption is about this picture.",
    Verdict.DRIFTED: "The picture has nothing to do with the recorded one, nor with the caption.",
    "suspect": "Kept and flagged: the score fell by more than re-encoding explains.",
}
CAUSES: dict[str, str] = {
    Cause.NO_PICTURE: "what is stored cannot be decoded",
    Cause.HASH: "equal bytes",
    Cause.PHASH_CLUSTER: "many pairs with an equal perceptual hash",
    Cause.CODE_CLUSTER: "many pairs with an equal code",
    Cause.CODE: "close to the recorded code",
    Cause.CAPTION: "the caption fits",
    Cause.UNRELATED: "neither the recorded code nor the caption fits",
    Cause.NO_SCORE: "the checkpoint gave no number for it",
    Cause.MIN_SCORE: "the score does not reach the least that was asked for",
}
# What became of a scored pair, as charts and the tables of hosts tell it.
FATES: dict[str, str] = {
    "kept": "kept",
    **{verdict.value: verdict.value for verdict in Verdict},
    Cause.MIN_SCORE: "low score",
}
count = values.number
share, percent = partial(values.share, gap=""), partial(values.percent, gap="")


def score(value: float | None) -> str:
    """A cosine with three digits and a true minus sign; a dash where there is none."""
    return "–" if value is None else values.decimal(value)


def probability(value: float | None) -> str:
    """A p-value with two digits; a dash where the pair was not tested."""
    return "–" if value is None else f"{value:.2g}"
