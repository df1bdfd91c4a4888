"""The options of `danqing refine`: one frozen dataclass, from which the command line is derived."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import UsageError, need
from ..options import CALIBRATE, option, steps_of, threshold
from ..stage.shared import OfManifest

EXTRA = ("ahocorasick", "opencc", "pycld2", "rjieba")
MOST_BITS = 1e6  # of --entropy: a text of 10,000 words has 5,300 at most
# The steps that --skip can leave out, in the order of the recipe.
STEPS = (
    "cleaning", "length", "chinese", "pii", "simplified", "boilerplate",
    "safety", "adverts", "nouns", "unknown", "stop-words", "entropy",
)  # fmt: skip
BOUNDS: dict[str, tuple[float, float]] = {
    "min_length": (1, math.inf),
    "max_length": (1, math.inf),
    "max_unknown": (0, math.inf),
    "shard_size": (1, math.inf),
}


@dataclass(frozen=True, slots=True)
class RefineConfig(OfManifest):
    """What `danqing refine` was asked to do."""

    REMOVED = ("shards", "data/ and ledger/refine/")

    output: str = option("", "folder of the refined manifest, or an fsspec URL", positional=True)

    skip: str = option("", f"steps to leave out, as a,b: {', '.join(STEPS)}", content=True)
    min_length: int = option(5, "characters of a text, at least", content=True)
    max_length: int = option(60, "characters of a text, at most", content=True)
    stop_words: str = option(
        CALIBRATE,
        "share of a text that may be function words, such as 0.7; calibrate: the share beyond which as many pairs lie "
        "as in the paper, 5.30 %",
        content=True,
    )
    entropy: str = option(
        CALIBRATE,
        "bits that the words of a text must tell, 6e-4 in the paper; calibrate: those below which as many pairs lie as "
        "in the paper, 7.31 %",
        content=True,
    )
    tokenizer: str = option(
        "",
        "tokenizer whose unknown pieces are counted, as a name on the Hub, a folder or a tokenizer.json; without one "
        "that step is skipped",
        content=True,
    )
    max_unknown: int = option(5, "pieces of a text that the tokenizer may not know", content=True)
    blocklist: str = option(
        "", "text file of words, one a line; texts that hold one are dropped", content=True
    )
    text_classifier: str = option(
        "",
        "transformers text classifier, a name on the Hub or a folder; pairs it finds unsafe are dropped",
        content=True,
    )
    pilot: bool = option(
        False, "refine the first rows alone, print what each step costs and drops, write nothing"
    )
    dropped: str = option("", "folder for tables of the pairs that were dropped, with the reason of each")
    shard_size: int = option(200_000, "pairs of one shard, at most", content=True)

    limit: int = option(0, "rows of the manifest to take; 0: all", shared=True, content=True)

    @property
    def skipped(self) -> frozenset[str]:
        """The steps of --skip; UsageError for a word that names none."""
        return steps_of("--skip", self.skip, STEPS)

    @property
    def stop_share(self) -> float | None:
        """The threshold of --stop-words; None where it is calibrated."""
        return threshold("--stop-words", self.stop_words, 0, 1.0)

    @property
    def least_entropy(self) -> float | None:
        """The threshold of --entropy, in bits; None where it is calibrated."""
        return threshold("--entropy", self.entropy, 0, MOST_BITS)

    def check(self) -> None:
        """Raise UsageError where values make no sense, EnvironmentProblem where the extra is missing."""
        self.check_shared(BOUNDS)
        if self.min_length > self.max_length:
            raise UsageError(f"--min-length {self.min_length}: more than --max-length {self.max_length}")
        _ = self.skipped, self.stop_share, self.least_entropy
        need("refine", EXTRA)  # here, as the modules of the run import them
