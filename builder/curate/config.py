"""The options of `danqing curate`: one frozen dataclass, from which the command line is derived.

`content` marks what measures, embeddings and the search for duplicates follow from: a root that was curated with one
value refuses another. Thresholds may change at any time, by --decide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import UsageError, need
from ..options import CALIBRATE, option, steps_of, threshold, words_of
from ..stage.shared import Sharded

EMBEDDER = "OFA-Sys/chinese-clip-vit-large-patch14"
LEAST = 0.85  # cosine from which two pictures are looked at together: --dedup-cosine goes no lower
BOUNDS: dict[str, tuple[float, float]] = {
    "min_side": (0, math.inf),
    "max_aspect": (1, math.inf),
    "spread": (0, 128),
    "text_share": (0, 1),
    "copy_cosine": (LEAST, 1),
    "dedup_cosine": (LEAST, 1),
    "batch_size": (0, 65_536),
}
# The steps that --skip can leave out, in the order of the recipe.
STEPS = ("geometry", "texture", "blur", "entropy", "safety", "alignment", "text", "copies", "duplicates")


@dataclass(frozen=True, slots=True)
class CurateConfig(Sharded):
    """What `danqing curate` was asked to do."""

    REMOVED = ("verdicts", "curated/ and ledger/curate/")

    root: str = option("./danqing", "root of a rebuilt data set: a folder or an fsspec URL", positional=True)

    embedder: str = option(
        EMBEDDER,
        "Chinese-CLIP, SigLIP or SigLIP2 checkpoint: a Hub id or a local folder; tiny: a toy that comes with danqing",
        content=True,
    )
    revision: str | None = option(None, "branch, tag or commit of --embedder on the Hub", content=True)
    caption: str = option(
        "alt_text",
        "captions that pictures are compared with",
        content=True,
        choices=("alt_text", "recaption"),
    )
    image_classifier: str = option(
        "",
        "what finds unsafe pictures: an image classifier of transformers, as MODEL or MODEL:LABEL, or open-nsfw; "
        "without one that step is skipped",
        content=True,
    )
    text_in_image: str = option(
        "none",
        "what finds text in pictures; none: that step is skipped",
        content=True,
        choices=("none", "rapidocr"),
    )
    against: str = option(
        "",
        "earlier roots and releases, as a,b: what shows the same as a picture of theirs is dropped",
        content=True,
    )

    decide: bool = option(False, "only decide anew, from the numbers that are there: no model, no GPU")
    skip: str = option("", f"steps to leave out, as a,b: {', '.join(STEPS)}")
    order: str = option(
        "late", "when duplicates are looked for; late: of what all else keeps; paper: as there, row 16 before 17",
        choices=("late", "paper"),
    )  # fmt: skip
    batch: str = option(
        "auto", "column that says which batch a pair is of; auto: batch, else crawl; none: all are of one"
    )
    min_side: int = option(100, "pixels of the shorter side of the original: more than this")
    max_aspect: float = option(3.0, "longer side of the original over the shorter, at most")
    spread: float = option(2.0, "standard deviation of the luminance, of 256 levels, at least")
    blur: str = option(
        CALIBRATE,
        "variance of the Laplacian of the luminance, at least; 1000 in the paper; calibrate: the value that drops as "
        "many as there, 5.38 %",
    )
    entropy: str = option(
        CALIBRATE,
        "entropy of the luminance in bits, at least; 3 in the paper; calibrate: the value that drops as many as there, "
        "5.07 %",
    )
    risk: str = option(
        CALIBRATE,
        "risk of --image-classifier, at most; calibrate: drop the 3.99 % at most risk, as the paper",
    )
    align: str = option(
        "auto",
        "cosine of picture and caption, as LOW,HIGH; auto: 0.2312,0.4382 of Chinese-CLIP L/14, as in the paper, else "
        "calibrate: the lowest 10 % and the highest 3.61 % drop",
    )
    text_share: float = option(0.5, "share of a picture that may be text, by --text-in-image")
    copy_cosine: float = option(0.98, "cosine from which two pictures of one perceptual hash are copies")
    dedup_cosine: float = option(0.9, f"cosine above which two pictures are duplicates, {LEAST} at least")
    dedup: str = option(
        "split",
        "split: a pair is dropped for one that it is a duplicate of itself; paper: for any that others connect it to",
        choices=("split", "paper"),
    )

    device: str = option("auto", "auto (cuda if there, else cpu), cpu, cuda or cuda:N")
    dtype: str = option(
        "auto",
        "of the weights; auto: bfloat16 on cuda, and on CPUs that have it for models of 20 M parameters and more",
        content=True,
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    batch_size: int = option(0, "pairs in one forward; 0: 512 on cuda, else 64")

    limit: int = option(
        0, "pairs to measure and embed in this run, in whole shards; 0: all; a later run goes on", shared=True
    )
    overwrite: bool = option(
        False, "remove the verdicts that are there first; measures and embeddings stay", shared=True
    )
    workers: int = option(
        0, "processes that measure and search, threads that decode; 0: one a core", shared=True
    )

    @property
    def skipped(self) -> frozenset[str]:
        """The steps of --skip; UsageError for a word that names none."""
        return steps_of("--skip", self.skip, STEPS)

    @property
    def earlier(self) -> tuple[str, ...]:
        """What --against names."""
        return tuple(words_of(self.against))

    @property
    def least_sharpness(self) -> float | None:
        """The threshold of --blur; None where it is calibrated."""
        return threshold("--blur", self.blur, 0, 1e9)

    @property
    def least_entropy(self) -> float | None:
        """The threshold of --entropy, in bits; None where it is calibrated."""
        return threshold("--entropy", self.entropy, 0, 8)

    @property
    def most_risk(self) -> float | None:
        """The threshold of --risk; None where it is calibrated."""
        return threshold("--risk", self.risk, 0, 1)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The cosines of --align; None where they follow from the embedder or the data."""
        if self.align in ("auto", CALIBRATE):
            return None
        low, comma, high = self.align.partition(",")
        ends = [threshold("--align", one.strip(), -1, 1) for one in (low, high)] if comma else [None]
        if None in ends or ends[0] > ends[1]:  # type: ignore[operator]
            raise UsageError(
                f"--align {self.align}: neither auto nor {CALIBRATE} nor two cosines as 0.2312,0.4382"
            )
        return ends[0], ends[1]  # type: ignore[return-value]

    def check(self) -> None:
        """Raise UsageError where values make no sense, EnvironmentProblem where the extra is missing."""
        self.check_shared(BOUNDS)
        if self.decide and (self.overwrite or self.dry_run):
            said = "--overwrite" if self.overwrite else "--dry-run"
            raise UsageError(f"--decide goes by the numbers that are there: {said} needs a run without it")
        _ = self.skipped, self.least_sharpness, self.least_entropy, self.most_risk, self.bounds
        need("curate", ("numba",))
