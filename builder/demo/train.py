"""The last part of `danqing demo`: the small checkpoint that comes with danqing is trained on, on what was kept.

    folder/danqing-later ─▶ danqing train ─▶ folder/run ─▶ danqing status, danqing report; another run that begins there

What was planted here is arithmetic: each step sees as many pairs as it should, and the checkpoint that lies in the run
is the one that was validated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from .drive import Demo
from .truth import ENOUGH

MOST = 400  # steps: a minute on two cores
BATCH = 64  # pairs, where there are twice as many
RATE = "2e-4"  # twenty times the paper's: the small checkpoint shall learn something in a minute
SETTINGS = ("--warmup", "10", "--validate-every", "10", "--track", "none")
WAYS = ("image_to_text", "text_to_image")
Log = Sequence[Mapping[str, Any]]


def train(demo: Demo) -> None:
    """Train the small checkpoint on for a minute, and hold what the log says of each step against the command."""
    pairs = sum(1 for _ in demo.open(demo.later, "train", columns=["key"]))
    batch, steps = max(2, min(BATCH, pairs // 2)), min(MOST, demo.config.pairs // 4)
    demo.run(command(demo, "run", "--model", "tiny", "--steps", str(steps), "--batch-size", str(batch),
                     "--learning-rate", RATE))  # fmt: skip
    told = [line for line in read_log(demo, "run") if "loss" in line]
    wanted = [(number, number * batch) for number in range(1, steps + 1)]
    found = [(line["step"], line["pairs"] + sum(line["lost"].values())) for line in told]
    seen = f"{steps:,} steps of {batch} pairs, {steps * batch / pairs:.1f} times each of {pairs:,}"
    demo.differ([] if found == wanted else [f"the log is not of {seen}"], f"every step saw its pairs: {seen}")
    demo.differ(*fallen([line["loss"] for line in told], demo.config.pairs >= ENOUGH))


def fallen(losses: Sequence[float], enough: bool) -> tuple[list[str], str]:
    """What is wrong with losses that should fall, where they are of `enough` pairs, and how they fell."""
    part = max(1, len(losses) // 8)
    first, last = fmean(losses[:part]), fmean(losses[-part:])
    told = f"mean loss of the first {part} steps {first:.3f}, of the last {last:.3f}"
    return ([f"{told}: it did not fall"] if enough and not last < first else []), told


def look(demo: Demo) -> None:
    """Ask how far the run is, and make the page about it."""
    demo.run(["status", str(demo.folder / "run")])
    demo.run(["report", str(demo.folder / "run"), str(demo.folder / "run.html")])


def load(demo: Demo) -> None:
    """Begin another run with what was trained, and change nothing: it validates as the first one did at its end."""
    run = demo.folder / "run"
    batch = json.loads((run / "ledger/train/plan.json").read_bytes())["config"]["batch_size"]
    same = ("--steps", "1", "--batch-size", str(batch), "--learning-rate", "0")
    demo.run(command(demo, "run-again", "--model", str(run), *same), shown=0)
    first, *_, last = (line["validation"] for line in read_log(demo, "run") if "validation" in line)
    (again,) = (line["validation"] for line in read_log(demo, "run-again") if "validation" in line)
    for way in WAYS:
        demo.show(f"R@1 {way.replace('_', ' ')}, of {again['pairs']:.0f} pairs: {first[way]:.1%} after the warm-up, "
                  f"{last[way]:.1%} at the end, {again[way]:.1%} as loaded")  # fmt: skip
    other = [name for name in again if not math.isclose(last[name], again[name], rel_tol=1e-4)]
    wrong = [f"validation {name}: {last[name]} as trained, {again[name]} as loaded" for name in other]
    demo.differ(wrong, "the checkpoint that was written is the one that was validated")


def command(demo: Demo, run: str, *options: str) -> list[str]:
    """The words of a training of what was kept a year later."""
    return ["train", str(demo.later), str(demo.folder / run), *options, *SETTINGS]


def read_log(demo: Demo, run: str) -> Log:
    """The lines of the log of a run."""
    return [*map(json.loads, (demo.folder / run / "log.jsonl").read_text("utf-8").splitlines())]


STEPS: tuple[tuple[str, Callable[[Demo], None]], ...] = (
    ("Train the small checkpoint on, on what was kept", train),
    ("Look at the run", look),
    ("Load what was trained", load),
)
