"""The options of `danqing revalidate`: one frozen dataclass, from which the command line is derived.

`content` marks what decides the scores: a root that was scored with one value refuses another. What decides the
verdicts alone (alpha, min_score, keep) may change at any time, by --decide.
"""

from __future__ import annotations

import argparse
import math
import os
from dataclasses import dataclass

from ..errors import UsageError
from ..options import option, words_of
from ..reasons import KEPT, Verdict
from ..stage.shared import Sharded

MODEL = "google/siglip2-base-patch16-256"
_KEEPABLE = ", ".join((*KEPT, Verdict.PLACEHOLDER, Verdict.DRIFTED))  # what is dead has no picture
BOUNDS: dict[str, tuple[float, float]] = {
    "alpha": (1e-6, 0.5),
    "min_score": (-1, 1),
    "batch_size": (0, 65_536),
    "world_size": (0, math.inf),
}


def batch_size(text: str) -> int:
    """`auto` or a number of pairs; argparse's error for anything else."""
    if text == "auto":
        return 0
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no batch size; write a number of pairs, or auto")


@dataclass(frozen=True, slots=True)
class RevalidateConfig(Sharded):
    """What `danqing revalidate` was asked to do."""

    REMOVED = ("scores", "scores/, embeddings/ and ledger/revalidate")

    root: str = option("./danqing", "root of a rebuilt data set: a folder or an fsspec URL", positional=True)

    model: str = option(
        MODEL,
        "SigLIP, SigLIP2 or Chinese-CLIP checkpoint: a Hub id or a local folder; tiny: a toy that comes with danqing",
        content=True,
    )
    revision: str | None = option(None, "branch, tag or commit of --model on the Hub", content=True)
    caption: str = option(
        "alt_text",
        "captions to score; of both, the test takes the mean of the two scores",
        content=True,
        choices=("alt_text", "recaption", "both"),
    )
    reference: str | None = option(
        None,
        "what an earlier release recorded: a verified manifest, or the root that was scored then",
        content=True,
    )
    decode: str = option(
        "fast",
        "fast: JPEG decoded at a reduced scale that covers the model's input; exact: every pixel, as transformers does",
        content=True,
        choices=("fast", "exact"),
    )
    embeddings: bool = option(
        False, "also write the embeddings, float16, into embeddings/<checkpoint>/", content=True
    )

    alpha: float = option(0.01, "level: the expected share of junk among the changed pairs that are kept")
    min_score: float | None = option(None, "also drop pairs that score below this cosine")
    keep: str = option(",".join(KEPT), f"verdicts that are kept, as a,b: {_KEEPABLE}")
    decide: bool = option(False, "only the verdicts, anew, from the scores that are there: no model, no GPU")

    device: str = option("auto", "auto (cuda if there, else cpu), cpu, cuda or cuda:N")
    dtype: str = option(
        "auto",
        "of the weights; auto: bfloat16 on cuda, and on CPUs that have it for models of 20 M parameters and more",
        content=True,
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    batch_size: int = option(
        0,
        "pairs in one forward; auto: 512 on cuda, else 64; halved when memory runs out",
        parse=batch_size,
        shown="auto",
    )
    compile: str = option(
        "auto", "torch.compile of both towers; auto: on cuda", choices=("auto", "on", "off")
    )

    limit: int = option(
        0, "pairs to score in this run, in whole shards; 0: all; a later run goes on", shared=True
    )
    overwrite: bool = option(False, "remove the scores that are there first", shared=True)
    rank: int = option(0, "which of --world-size runs this is; torchrun says it too", shared=True)
    world_size: int = option(
        0, "runs that share the shards of one root; 0: as torchrun says, else 1", shared=True
    )
    workers: int = option(0, "threads that decode; 0: one a core", shared=True)

    @property
    def place(self) -> tuple[int, int]:
        """Rank and world size: of the flags, else of torchrun's environment, else the only one."""
        if self.world_size:
            return self.rank, self.world_size
        return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))

    @property
    def captions(self) -> tuple[str, ...]:
        """The columns that --caption names."""
        return ("alt_text", "recaption") if self.caption == "both" else (self.caption,)

    @property
    def kept(self) -> tuple[Verdict, ...]:
        """The verdicts of --keep, in the order of the enum; UsageError for a word that is none."""
        words = {*words_of(self.keep)}
        unknown = sorted(words - set(Verdict))
        if unknown or not words or words == {"dead"}:
            wrong = ", ".join(unknown) or self.keep or "nothing"
            raise UsageError(f"--keep {wrong}: give verdicts to keep, of {_KEEPABLE}")
        return tuple(verdict for verdict in Verdict if verdict in words)

    def check(self) -> None:
        """Raise UsageError where a value is out of its range or two of them contradict each other."""
        self.check_shared({name: ends for name, ends in BOUNDS.items() if getattr(self, name) is not None})
        if self.rank and not self.world_size:
            raise UsageError(f"--rank {self.rank}: say --world-size too")
        if self.decide and (self.overwrite or self.reference or self.dry_run):
            said = "--overwrite" if self.overwrite else "--reference" if self.reference else "--dry-run"
            raise UsageError(f"--decide goes by the scores that are there: {said} needs a run without it")
        kind, _, number = self.device.partition(":")
        if kind not in ("auto", "cpu", "cuda") or (number and (kind != "cuda" or not number.isdecimal())):
            raise UsageError(f"--device {self.device}: none of auto, cpu, cuda, cuda:N")
        _ = self.kept
