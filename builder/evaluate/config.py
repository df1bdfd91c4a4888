"""The options of `danqing evaluate`: one frozen dataclass, from which the command line is derived."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import UsageError
from ..options import check_values, option, words_of
from ..stage.shared import Shared

BOUNDS: dict[str, tuple[float, float]] = {
    "draws": (0, 100_000),
    "batch_size": (0, 1 << 16),
    "near": (0, 1),
    "seed": (0, 2**32 - 1),
    "workers": (0, 1024),
    "limit": (0, math.inf),
}


@dataclass(frozen=True, slots=True)
class EvaluateConfig(Shared):
    """What `danqing evaluate` was asked to do."""

    inputs: tuple[str, ...] = option(
        (),
        "checkpoints to evaluate: runs of danqing train, folders or Hub ids; and a folder of benchmarks. Without the "
        "latter: the tables of what was evaluated before",
        positional=True,
    )  # fmt: skip
    output: str | None = option(
        None, "folder that keeps the results of checkpoints that are no run; without it: the first run"
    )

    baseline: str = option(
        "", "checkpoints to compare with, as a,b: evaluated alike; differences are to the first"
    )
    tasks: str = option("", "benchmarks to run and to tell, as a,b; empty: all that are there")
    prompts_from: str | None = option(
        None, "file of Chinese-CLIP's templates, read and never run; without it: danqing's own"
    )
    concepts: str | None = option(
        None, "folder of new concepts, each a folder of pictures with label.txt and distractors.txt"
    )
    leaks: str | None = option(
        None, "root that a checkpoint was trained on: tells scores without the pictures that lie in it, too"
    )
    near: float = option(
        0.75, "cosine from which two pictures are looked at, to tell with --leaks whether they are one"
    )
    lmm: str | None = option(
        None, "folder for the scripts of LLaVA-NeXT and lmms-eval, and where their results are read again"
    )
    mteb: bool = option(
        False, "run the Chinese image-text tasks of mteb, and these benchmarks as tasks of it"
    )
    draws: int = option(1000, "bootstrap draws that intervals are made of; 0: no intervals")

    device: str = option("auto", "auto, cpu, cuda or cuda:N")
    dtype: str = option(
        "auto", "precision of the towers; auto: bfloat16 on cuda, float32 on a CPU",
        choices=("auto", "float32", "bfloat16", "float16"),
    )  # fmt: skip
    batch_size: int = option(0, "pictures in one forward; 0: by the device")
    compile: str = option(
        "auto", "run the towers by torch.compile; auto: on cuda", choices=("auto", "on", "off")
    )

    dry_run: bool = option(False, "print what would be run and touch nothing", shared=True)
    limit: int = option(0, "pictures of each benchmark to take, for a trial; 0: all", shared=True)
    overwrite: bool = option(False, "evaluate anew what was evaluated before", shared=True)
    seed: int = option(0, "of the bootstrap", shared=True)
    workers: int = option(0, "threads that decode; 0: one a core", shared=True)

    def check(self) -> None:
        """Raise UsageError where a value is out of its range, or none at all."""
        check_values(self, BOUNDS)
        if not all(self.inputs) or len({*self.inputs}) < len(self.inputs):
            raise UsageError(
                f"{' '.join(self.inputs) or 'INPUTS'}: name each checkpoint, run and folder once"
            )

    @property
    def chosen(self) -> frozenset[str]:
        """The benchmarks of --tasks; an empty set means all that are there."""
        return frozenset(words_of(self.tasks))

    @property
    def baselines(self) -> tuple[str, ...]:
        """The checkpoints of --baseline."""
        return tuple(words_of(self.baseline))
