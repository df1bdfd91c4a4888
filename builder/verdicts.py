"""What re-validation says of a pair: the closed lists that scores, ledger, loader, status and report share.

It stands apart from the schema so that reading the options of a stage loads no Arrow.
"""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """What became of a pair since it was released; the first that applies, in this order."""

    DEAD = "dead"  # no bytes, or no picture in them
    SAME = "same"  # the bytes hash as the reference recorded
    PLACEHOLDER = "placeholder"  # one picture under many pairs whose captions disagree
    MOVED = "moved"  # other bytes, and the picture that the reference recorded, by its code
    MATCHING = "matching"  # not known by its code, yet the caption is about this picture
    DRIFTED = "drifted"  # the picture has nothing to do with the recorded one, nor with the caption


KEPT = (Verdict.SAME, Verdict.MOVED, Verdict.MATCHING)


class Cause(StrEnum):
    """Why a pair has its verdict, or was left out all the same."""

    NO_PICTURE = "no_picture"  # dead: dropped by rebuild, or what is stored cannot be decoded
    HASH = "hash"  # same
    PHASH_CLUSTER = "phash_cluster"  # placeholder: by equal perceptual hashes
    CODE_CLUSTER = "code_cluster"  # placeholder: by equal codes
    CODE = "code"  # moved
    CAPTION = "caption"  # matching
    UNRELATED = "unrelated"  # drifted
    NO_SCORE = "no_score"  # drifted, and never kept: the checkpoint gave no number for picture or caption
    MIN_SCORE = "min_score"  # kept by its verdict, dropped by --min-score
