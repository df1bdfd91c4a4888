"""How fast pairs are scored: `danqing revalidate` beside the loop that a user writes with transformers.

    python benchmarks/revalidate.py                      # all of it on this machine's CPU, about an hour on two cores
    python benchmarks/revalidate.py --only tiny --rounds 1 --tiny 1000
    benchmarks/gpu.sh                                    # the part for one GPU, and nothing else: benchmarks/gpu.py

| name | what runs |
|---|---|
| tiny | the checkpoint `tiny`, JPEGs of 640x480: `DualEncoder.embed` and the whole stage against the plain loop |
| base | the shape of siglip2-base-patch16-256 with random weights, the same pictures: bfloat16 where the CPU has it |
| matched | a root of which 90 % of the hashes match the reference against one of which none does |

The contenders take turns in every round, in alternating order, each in a process of its own (scorers.py); ratios are
taken within a round, and their median is shown. Imports and loading the model are apart. Prints tables and writes
benchmarks/out/revalidate.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import measure  # noqa: E402
import numpy as np  # noqa: E402
import roots  # noqa: E402
import shapes  # noqa: E402
from scorers import Took, Work  # noqa: E402

PHOTO = (640, 480)
STORED = (341, 256)  # as a rebuild with --image-size 256 stores it
DRAWN = 512  # different pictures
STARTUP = 64  # pairs of the root whose whole run is taken as start-up


@dataclass
class Bench:
    """What the benchmarks share: where to work, how often, and the results so far."""

    folder: Path
    out: Path
    rounds: int
    pairs: dict[str, int]
    result: dict[str, Any] = field(default_factory=dict)

    def root(self, name: str, rows: int, size: tuple[int, int], shards: int = 4) -> tuple[Path, list[str]]:
        """A new root, and its keys."""
        drawn = roots.pictures(min(DRAWN, rows), size)
        return self.folder / name, roots.root(self.folder / name, drawn, rows, shards)

    def turns(self, works: dict[str, Work]) -> dict[str, list[Took]]:
        """Every contender once a round, in alternating order."""
        found: dict[str, list[Took]] = {name: [] for name in works}
        for number in range(self.rounds):
            for name in list(works)[:: 1 if number % 2 == 0 else -1]:
                found[name].append(once(works[name]))
                said = f"{found[name][-1].pairs} pairs in {found[name][-1].seconds:.1f} s"
                print(f"round {number + 1}/{self.rounds}: {name}: {said}", file=sys.stderr)
        return found

    def tell(self, name: str, table: str, result: dict[str, Any]) -> None:
        """Print a table and keep what is behind it."""
        print(table, flush=True)
        measure.save(self.out / "revalidate.json", name, result)


def once(work: Work) -> Took:
    """One contender in a new process, with the threads that a user's process has."""
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")
    }
    command = [sys.executable, str(HERE / "scorers.py"), json.dumps(dataclasses.asdict(work))]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True, encoding="utf-8")
    return Took(**json.loads(done.stdout.splitlines()[-1]))


def ratio(ours: list[float], theirs: list[float]) -> float:
    """The median over the rounds of how many times faster ours is, of seconds a pair."""
    return measure.median(b / a for a, b in zip(ours, theirs, strict=True))


def against_the_loop(bench: Bench, name: str, shape: str, wanted: float, contenders: list[str]) -> None:
    """The contenders against the plain loop on one root of photos."""
    model = str(shapes.checkpoint(bench.folder, shape))
    root, _ = bench.root(name, bench.pairs[name], PHOTO)
    files = {one: str(bench.folder / f"{name}-{one}.npy") for one in ("plain", *contenders)}
    works = {one: Work(one, str(root), model, scores=files[one]) for one in ("plain", *contenders)}
    if "stage" in works:
        startup, _ = bench.root(f"{name}-startup", STARTUP, PHOTO, shards=1)
        works["start-up"] = Work("stage", str(startup), model)
    found = bench.turns(works)
    each = {one: per_pair(found, one) for one in ("plain", *contenders)}
    rows = []
    for one, seconds in each.items():
        faster = f"{ratio(seconds, each['plain']):.2f}x" if one != "plain" else ""
        cpu = measure.median(per_pair(found, one, "cpu"))
        off = float(np.abs(np.load(files[one]) - np.load(files["plain"])).max())
        rate = 1 / measure.median(seconds)
        rows.append((one, f"{rate:,.1f}", f"{cpu * 1e3:.2f}", faster, "" if one == "plain" else f"{off:.4f}"))
    title = f"{name}: {shape}, {bench.pairs[name]:,} pairs of {PHOTO[0]}x{PHOTO[1]}; wanted: {wanted:.0f}x"
    header = ("contender", "pairs/s", "CPU ms/pair", "ours against the loop", "scores differ by at most")
    took = {one: [dataclasses.asdict(t) for t in tooks] for one, tooks in found.items()}
    ratios = {one: ratio(each[one], each["plain"]) for one in contenders}
    bench.tell(name, measure.table(title, header, rows), {"ratios": ratios, "wanted": wanted, "runs": took})


def per_pair(found: dict[str, list[Took]], name: str, what: str = "seconds") -> list[float]:
    """Seconds, or `cpu`, a pair in each round, loading apart; of the stage, the run of a small root is taken off."""
    if name != "stage":
        return [(getattr(t, what) - (t.load if what == "seconds" else 0)) / t.pairs for t in found[name]]
    both = zip(found[name], found["start-up"], strict=True)
    return [(getattr(a, what) - getattr(b, what)) / (a.pairs - b.pairs) for a, b in both]


def tiny(bench: Bench) -> None:
    """The checkpoint that ships: all that is measured is the way to it."""
    against_the_loop(bench, "tiny", "tiny", 5, ["embed", "stage"])
    where(bench, "tiny", "tiny")


def base(bench: Bench) -> None:
    """A real shape: what is measured is the forward, fp32 as the loop has it against what --dtype auto takes."""
    against_the_loop(bench, "base", "B/16-256", 3, ["embed"])


def where(bench: Bench, name: str, shape: str) -> None:
    """Where the time of the stage goes, on the root of a benchmark before."""
    model = str(shapes.checkpoint(bench.folder, shape))
    took = once(Work("stage", str(bench.folder / name), model, parts=True))
    total = sum(took.parts.values())
    rows = [
        (part, f"{seconds:.2f}", f"{seconds / took.pairs * 1e6:.0f}", f"{seconds / total:.0%}")
        for part, seconds in took.parts.items()
    ]
    title = f"where the time goes: {shape}, {took.pairs:,} pairs, {took.seconds:.2f} s of wall with loading"
    header = ("part", "s, over all threads", "us/pair", "share")
    bench.tell(f"where-{name}", measure.table(title, header, rows), dataclasses.asdict(took))


def matched(bench: Bench) -> None:
    """What the hash saves: pairs whose bytes are the recorded ones never reach the model."""
    shape = "tiny"
    model = shapes.checkpoint(bench.folder, shape)
    rows = bench.pairs["matched"]
    root, keys = bench.root("matched", rows, STORED, shards=8)
    startup, few = bench.root("matched-startup", STARTUP, STORED, shards=1)
    works = {}
    for name, place, those, share in (
        ("start-up", startup, few, 0.0), ("none", root, keys, 0.0), ("90 %", root, keys, 0.9),
    ):  # fmt: skip
        recorded = bench.folder / f"reference-{len(works)}"
        roots.reference(recorded, those, share, model)
        works[name] = Work("stage", str(place), str(model), reference=str(recorded))
    found = bench.turns(works)
    clear = {
        name: [
            took.seconds - start.seconds for took, start in zip(found[name], found["start-up"], strict=True)
        ]
        for name in ("none", "90 %")
    }
    faster = ratio(clear["90 %"], clear["none"])
    lines = [
        (name, f"{rows:,}", f"{measure.median(seconds):.2f}", f"{rows / measure.median(seconds):,.0f}")
        for name, seconds in clear.items()
    ]
    title = f"matched hashes: {shape}, pictures of {STORED[0]}x{STORED[1]}; {faster:.1f}x, wanted: 8x"
    header = ("of the hashes match", "pairs", "s, start-up apart", "pairs/s")
    result = {
        "ratio": faster,
        "wanted": 8,
        "seconds": {name: [t.seconds for t in found[name]] for name in found},
    }
    bench.tell("matched", measure.table(title, header, lines), result)


BENCHMARKS = {"tiny": tiny, "base": base, "matched": matched}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tiny", type=int, default=6000, help="pairs")
    parser.add_argument("--base", type=int, default=128, help="pairs; best a multiple of 64, a batch")
    parser.add_argument(
        "--matched", type=int, default=50_000, help="pairs; ten times those of the panel and more"
    )
    parser.add_argument("--out", type=Path, default=HERE / "out")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.out) as name:
        pairs = {one: getattr(options, one) for one in BENCHMARKS}
        bench = Bench(Path(name), options.out, options.rounds, pairs)
        for one in options.only:
            BENCHMARKS[one](bench)


if __name__ == "__main__":
    main()
