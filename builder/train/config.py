"""The options of `danqing train`: one frozen dataclass, from which the command line is derived.

`content` marks what the weights follow from: a run that was begun with one value refuses another. How many ranks,
threads and micro-batches there are may change at any time, and changes no more than the last bits of a sum.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields

from ..errors import UsageError
from ..options import check_values, option
from ..stage.shared import Shared
from .recipe import RECIPE, SCHEDULES, TrainingRecipe

MODEL = "google/siglip2-base-patch16-256"
CAPTIONS = ("alt_text", "recaption")
STREAMS = 64  # at most, where nobody says how many: see order
BOUNDS: dict[str, tuple[float, float]] = {
    "batch_size": (2, 1 << 20),
    "epochs": (1, 10_000),
    "steps": (0, math.inf),
    "learning_rate": (0, 1),
    "weight_decay": (0, 1),
    "beta1": (0, 0.999999),  # at 1 nothing would be learned
    "beta2": (0, 0.999999),
    "warmup": (0, math.inf),
    "clip": (0, math.inf),
    "streams": (0, 4096),
    "micro_batch": (0, 1 << 20),
    "chunk": (1, 1 << 20),
    "validation": (0, 0.5),
    "validation_pairs": (0, 1 << 16),
    "validate_every": (0, math.inf),
    "save_every": (1, math.inf),
    "keep": (1, math.inf),
    "workers": (0, 1024),
    "seed": (0, 2**32 - 1),
}


@dataclass(frozen=True, slots=True)
class TrainConfig(Shared):
    """What `danqing train` was asked to do."""

    input: str = option(
        "",
        "root of a data set, a folder or an fsspec URL; or WebDataset tars, by a glob in quotes",
        positional=True,
    )
    output: str = option("", "folder of the run: checkpoints, log and ledger", positional=True)

    model: str = option(
        MODEL,
        "SigLIP or SigLIP2 checkpoint to begin with, fixed or NaFlex: a Hub id, a local folder, or an earlier run; "
        "tiny: a toy that comes with danqing",
        content=True,
    )
    revision: str | None = option(None, "branch, tag or commit of --model on the Hub", content=True)

    text: str = option(
        "alt_text",
        "captions, with their shares, as alt_text:0.7,recaption:0.3; dealt anew in every epoch, by key and --seed",
        content=True,
    )
    subset: str = option(
        "", "so many pairs alone, as 30M: those with the smallest keys, so a smaller subset lies in every larger one",
        content=True,
    )  # fmt: skip
    verdicts: str = option(
        "",
        "verdicts whose pairs to take, as a,b, or all: also what was dropped; empty: those kept",
        content=True,
    )
    validation: float = option(
        0.001, "share of the pairs carved off by key, where the root has no validation split", content=True
    )

    batch_size: int = option(
        RECIPE.batch_size, "pairs whose captions are each other's negatives, over all ranks", content=True
    )
    epochs: int = option(RECIPE.epochs, "times that every pair is seen", content=True)
    steps: int = option(0, "steps in all, instead of --epochs; 0: as many as these have", content=True)
    learning_rate: float = option(RECIPE.learning_rate, "of AdamW, after the warm-up", content=True)
    weight_decay: float = option(RECIPE.weight_decay, "of matrices; none of biases and norms", content=True)
    beta1: float = option(RECIPE.beta1, "of AdamW", content=True)
    beta2: float = option(RECIPE.beta2, "of AdamW", content=True)
    warmup: int = option(RECIPE.warmup, "steps over which the learning rate grows", content=True)
    schedule: str = option(
        RECIPE.schedule, "of the learning rate after the warm-up, down to 0", content=True, choices=SCHEDULES
    )
    clip: float = option(RECIPE.clip, "norm of all gradients at most; 0: any", content=True)
    freeze: str = option(
        RECIPE.freeze, "tower that stays as it is", content=True, choices=("none", "image", "text")
    )

    streams: int = option(
        0,
        "parts of the pairs that are read side by side, of which each rank takes as many; 0: the largest divisor of "
        "--batch-size up to 64",
        content=True,
    )
    micro_batch: int = option(
        0,
        "pairs that one device holds at once; 0: its whole share of the batch. Halved where memory runs out",
    )
    chunk: int = option(512, "pictures whose logits the loss holds at once")
    gradient_checkpointing: bool = option(False, "compute activations twice, to hold fewer of them")
    sharding: str = option(
        "none",
        "what ranks share out among them; fsdp2: weights, gradients and optimizer",
        choices=("none", "fsdp2"),
    )
    device: str = option("auto", "auto, cpu, cuda or cuda:N")
    dtype: str = option(
        "auto", "precision of the towers; auto: bfloat16 on cuda, float32 on a CPU", content=True,
        choices=("auto", "float32", "bfloat16"),
    )  # fmt: skip
    compile: str = option(
        "auto", "run the towers by torch.compile; auto: on cuda", choices=("auto", "on", "off")
    )
    decode: str = option(
        "fast", "fast: a JPEG is read at the smallest scale that covers the tower's; exact: as transformers does",
        content=True, choices=("fast", "exact"),
    )  # fmt: skip

    validate_every: int = option(500, "steps between two looks at the validation split; 0: at the end alone")
    validation_pairs: int = option(4096, "pairs of the validation split to look at, at most", content=True)
    save_every: int = option(1000, "steps between two checkpoints")
    keep: int = option(3, "newest checkpoints to keep")
    track: str = option(
        "auto",
        "where curves go beside log.jsonl; auto: to tensorboard and to trackio, where these are installed",
        choices=("auto", "tensorboard", "trackio", "none"),
    )

    dry_run: bool = option(False, "print the plan and touch nothing", shared=True)
    overwrite: bool = option(False, "remove what an earlier run left in OUTPUT first", shared=True)
    seed: int = option(0, "of the order of the pairs and of their captions", content=True, shared=True)
    workers: int = option(0, "threads that decode, of each rank; 0: one a core", shared=True)

    def check(self) -> None:
        """Raise UsageError where a value is out of its range, or none at all."""
        check_values(self, BOUNDS)
        _ = self.mix, self.pairs
        if self.batch_size % self.parts:
            raise UsageError(f"--streams {self.streams}: does not divide --batch-size {self.batch_size}")
        if self.steps and self.epochs != RECIPE.epochs:
            raise UsageError("--steps and --epochs: both say how long to train; give one of them")

    @property
    def recipe(self) -> TrainingRecipe:
        """The part of the options that a paper would give."""
        return TrainingRecipe(**{one.name: getattr(self, one.name) for one in fields(TrainingRecipe)})

    @property
    def parts(self) -> int:
        """The number of streams, which divides the batch."""
        most = min(STREAMS, self.batch_size)
        return self.streams or max(n for n in range(1, most + 1) if self.batch_size % n == 0)

    @property
    def mix(self) -> dict[str, float]:
        """The share of each caption, in the order given, adding up to 1. Raises UsageError where --text says none."""
        shares: dict[str, float] = {}
        for part in self.text.split(","):
            name, _, share = part.strip().partition(":")
            try:
                shares[name] = float(share or 1) if name not in shares else math.nan
            except ValueError:
                shares[name] = math.nan
        total = sum(shares.values())
        if not {*shares} <= {*CAPTIONS} or not 0 < total < math.inf or min(shares.values()) < 0:
            raise UsageError(
                f"--text {self.text}: write captions with their shares, as alt_text:0.7,recaption:0.3; there are "
                f"{', '.join(CAPTIONS)}"
            )
        return {name: share / total for name, share in shares.items()}

    @property
    def pairs(self) -> int | None:
        """The number of pairs that --subset says; None: all. Raises UsageError where it says none."""
        if not self.subset:
            return None
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmM]?)", self.subset)
        pairs = round(float(found[1]) * {"": 1, "k": 10**3, "m": 10**6}[found[2].lower()]) if found else 0
        if pairs < 1:
            raise UsageError(f"--subset {self.subset}: write a number of pairs, as 30M or 500k")
        return pairs
