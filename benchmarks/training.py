"""The whole of training, from files to weights: `danqing train` beside the loop that a user writes with accelerate.

    python benchmarks/training.py               # some ten minutes on two quiet cores
    python benchmarks/training.py --smoke       # small; exits 1 where a run fails or its loss is no number

Both train the checkpoint `tiny` on the same root of JPEGs with a short side of 256, as a rebuild stores them, in
batches of the same size with as many workers, on this machine's CPU: ours as the command, the other as plainloop.py,
which goes through the processor and `model(**inputs, return_loss=True)`. Each runs for a few steps and for many, in
turn; a figure is the difference of the two over the steps between them, so imports, opening the data and saving are
apart. CPU is the kernel's account of the whole process tree; ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import measure  # noqa: E402
import numpy as np  # noqa: E402
import roots  # noqa: E402
import shapes  # noqa: E402
from measure import Usage  # noqa: E402

WANTED = 1.5
SIZES = ((341, 256), (256, 341))
DRAWN = 512


@dataclass(frozen=True)
class Bench:
    """What both train on. few, many: steps."""

    folder: Path
    batch: int
    workers: int
    few: int
    many: int

    @property
    def root(self) -> Path:
        """The root."""
        return self.folder / "root"

    def ours(self, steps: int) -> tuple[list[str], Path]:
        """The command, and the run that it makes."""
        run = self.folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        return [
            sys.executable, "-m", "builder.cli", "train", str(self.root), str(run), "--model", str(shapes.TINY),
            "--batch-size", str(self.batch), "--steps", str(steps), "--workers", str(self.workers), "--validation", "0",
            "--device", "cpu", "--track", "none", "--streams", "4", "--quiet",
        ], run  # fmt: skip

    def plain(self, steps: int) -> list[str]:
        """The loop of plainloop.py."""
        return [
            sys.executable, str(HERE / "plainloop.py"), str(self.root), str(shapes.TINY), "--batch", str(self.batch),
            "--steps", str(steps), "--workers", str(self.workers),
        ]  # fmt: skip

    def once(self, name: str, steps: int) -> tuple[Usage, float]:
        """One run, and its last loss."""
        log = self.folder / f"{name}.log"
        command, run = self.ours(steps) if name == "danqing train" else (self.plain(steps), None)
        env = {**os.environ, "PYTHONPATH": str(HERE.parent), "HF_HOME": str(self.folder / "cache")}
        env |= {
            "OMP_WAIT_POLICY": "PASSIVE"
        }  # as ours sets by itself: on shared cores a thread that spins costs CPU
        used = measure.run(command, log=log, env=env, cwd=HERE.parent).check()
        if run is not None:
            return used, float(json.loads((run / "ledger/train/done.json").read_text())["loss"])
        return used, float(re.findall(r"^loss (\S+)$", log.read_text(), re.MULTILINE)[-1])


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=34, help="of the long run; the short one has 2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--smoke", action="store_true", help="one small round")
    parser.add_argument("--json", type=Path, default=HERE / "out" / "training.json")
    options = parser.parse_args()
    if options.smoke:
        options.batch, options.steps, options.rounds = 64, 6, 1
    (HERE / "out").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HERE / "out") as name:
        bench = Bench(Path(name), options.batch, options.workers, 2, options.steps)
        pairs = 16 * options.batch
        drawn = [one for size in SIZES for one in roots.pictures(min(DRAWN, pairs) // 2, size)]
        roots.root(bench.root, drawn, pairs, 4)
        return compare(bench, options.rounds, options.json)


def compare(bench: Bench, rounds: int, path: Path) -> int:
    """Both in turn, and the table."""
    each: dict[str, list[tuple[float, float]]] = {"danqing train": [], "accelerate and return_loss": []}
    runs = []
    missed: list[str] = []
    for number in range(rounds):
        for name in list(each)[:: 1 if number % 2 == 0 else -1]:
            (short, _), (long, loss) = bench.once(name, bench.few), bench.once(name, bench.many)
            pairs = (bench.many - bench.few) * bench.batch
            each[name].append(((long.cpu - short.cpu) / pairs, (long.wall - short.wall) / pairs))
            runs.append(
                {"name": name, "loss": loss} | {"runs": [dataclasses.asdict(u) for u in (short, long)]}
            )
            if not np.isfinite(loss):
                missed.append(f"{name}: the loss is {loss}")
            said = f"{each[name][-1][0] * 1e3:.2f} ms of CPU a pair, loss {loss:.3f}"
            print(f"round {number + 1}/{rounds}: {name}: {said}", file=sys.stderr, flush=True)
    own, peer = each.values()
    ratios = [measure.median(b[n] / a[n] for a, b in zip(own, peer, strict=True)) for n in range(2)]
    rows = []
    for name, found in each.items():
        cpu, wall = (measure.median(one[n] for one in found) for n in range(2))
        rows.append((name, f"{cpu * 1e3:.2f}", f"{wall * 1e3:.2f}", f"{1 / cpu:,.0f}", f"{1 / wall:,.0f}"))
    title = f"training `tiny` in batches of {bench.batch}, {bench.workers} workers; wanted: {WANTED}x"
    header = ("what runs", "CPU ms/pair", "wall ms/pair", "pairs/CPU-s", "pairs/s, wall")
    print(measure.table(title, header, rows))
    print(f"ours against the loop: {ratios[0]:.2f}x pairs/CPU-s, {ratios[1]:.2f}x pairs/s of wall")
    if bench.many * bench.batch < 2048:
        print("of so few pairs the figures say nothing")
    slow = [
        f"{what}: {ratio:.2f}x" for what, ratio in zip(("CPU", "wall"), ratios, strict=True) if ratio < WANTED
    ]
    measure.save(path, "training", {"ratios": dict(zip(("cpu", "wall"), ratios, strict=True)), "runs": runs})
    return measure.verdict(missed, slow)


if __name__ == "__main__":
    raise SystemExit(main())
