"""How fast captions are refined: beside the same rules with jieba.posseg and OpenCC, alone, and ten million of them.

    make peers posseg                          # its virtual environment, with the dictionary of the captions
    python benchmarks/refine.py                # all of it, some fifteen minutes on two quiet cores
    python benchmarks/refine.py --only recipe --rounds 5
    python benchmarks/refine.py --smoke        # small, under a minute; 1 where a figure is missed that is no speed

| name | what runs |
|---|---|
| recipe | 100,000 captions from Parquet to Parquet: `danqing refine`, one worker, against posseg.py; what both keep |
| pace | 500,000 captions, one worker: captions a second of one core, and what each step of `--pilot` costs |
| whole | ten million captions end to end, two workers: seconds, memory, bytes on disk |

The captions are synthetic (captions.py). The contenders take turns, in alternating order; ratios are taken within a
round and their median is shown. CPU is that of the whole process tree, less a run of a few rows in the same round.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import measure  # noqa: E402
import peers  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from measure import Usage  # noqa: E402

OWN, PEER = "danqing", "posseg"
START = 200  # rows of the run that tells what starting costs


@dataclass(frozen=True)
class Sizes:
    """How many captions of each part."""

    recipe: int
    pace: int
    whole: int


FULL = Sizes(recipe=100_000, pace=500_000, whole=10_000_000)
SMOKE = Sizes(recipe=4_000, pace=20_000, whole=100_000)


@dataclass
class Bench:
    """What the parts share. missed: what was wanted and is not so, whatever the machine; slow: what depends on it."""

    folder: Path
    sizes: Sizes
    rounds: int
    python: Path
    missed: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)

    def captions(self, rows: int) -> Path:
        """The folder of a manifest; made once."""
        folder = self.folder / f"captions-{rows}"
        if not folder.exists():
            (words,) = self.python.parent.parent.glob("lib/python*/site-packages/jieba/dict.txt")
            # In a process of its own: what this one takes would count as memory of those that are started from it.
            self.run(
                "captions",
                [sys.executable, HERE / "captions.py", folder, "--rows", str(rows), "--words", words],
            )
        return folder

    def refine(self, rows: int, *flags: str) -> Usage:
        """A run of ours into an empty folder."""
        out = self.folder / OWN
        shutil.rmtree(out, ignore_errors=True)
        return self.run(
            OWN, [sys.executable, "-m", "builder.cli", "refine", self.captions(rows), out, *flags]
        )

    def posseg(self, rows: int) -> Usage:
        """A run of the peer into an empty folder."""
        out, rules = self.folder / PEER, self.folder / "rules.json"
        shutil.rmtree(out, ignore_errors=True)
        rules.write_text(json.dumps(rules_of_ours(), ensure_ascii=False), "utf-8")
        return self.run(PEER, [self.python, HERE / "posseg.py", self.captions(rows), out, rules])

    def run(self, name: str, command: Sequence[str | Path]) -> Usage:
        """Run a command to its end."""
        log = self.folder / f"{name}.log"
        return measure.run([*map(str, command)], log=log, timeout=3600).check()

    def want(self, what: str, holds: bool, *, speed: bool = False) -> None:
        """Note what is missed."""
        if not holds:
            (self.slow if speed else self.missed).append(what)


def rules_of_ours() -> dict[str, Any]:
    """What the peer has to look for: our own lists and patterns. Numbers with a checksum are not among the captions."""
    from builder.refine import alphabet, boilerplate, lexicon, pii

    return {
        "symbols": "".join(sorted(alphabet.KEPT)),
        "boilerplate": [[one.pattern, one.flags] for one in (boilerplate._LINES, boilerplate._FORMS)],
        "pii": [[one.pattern, one.flags] for one in (pii._MOBILE, pii._EMAIL, pii._MESSENGER)],
        "pictures": sorted(lexicon.PICTURES),
        "no_things": sorted(lexicon.NO_THINGS),
        "unsafe_text": lexicon.UNSAFE,
        "advert": lexicon.ADVERTS,
    }


def kept_of(out: Path) -> dict[tuple[str, str], str]:
    """The refined text of each pair that was kept, by its URL and what its text was."""
    table = pa.concat_tables(
        pq.read_table(path, columns=["url", "alt_text", "alt_text_raw"])
        for path in sorted(out.rglob("*.parquet"))
    )
    urls, found, raw = (table[name].to_pylist() for name in ("url", "alt_text", "alt_text_raw"))
    return dict(zip(zip(urls, raw, strict=True), found, strict=True))


def reasons_of(out: Path) -> dict[str, int]:
    """What was dropped, by reason."""
    told = json.loads((out / "funnel.json").read_text("utf-8"))
    if "reasons" in told:
        return dict(told["reasons"])
    return {reason: count for step in told["steps"] for reason, count in step["reasons"].items()}


def ratio(peer: Sequence[float], own: Sequence[float]) -> float:
    """Median over the rounds of peer / ours."""
    return measure.median(theirs / ours for theirs, ours in zip(peer, own, strict=True))


def recipe(bench: Bench) -> dict[str, Any]:
    """The same captions through the same rules."""
    rows = bench.sizes.recipe
    works: dict[str, Callable[[int], Usage]] = {
        OWN: lambda count: bench.refine(count, "--workers", "1"),
        PEER: bench.posseg,
    }
    runs: dict[str, list[Usage]] = {name: [] for name in works}
    starts: dict[str, list[Usage]] = {name: [] for name in works}
    for number in range(bench.rounds):
        for name in list(works)[:: 1 if number % 2 == 0 else -1]:
            starts[name].append(works[name](START))
            runs[name].append(works[name](rows))
            print(f"{number + 1}/{bench.rounds} {name}: {runs[name][-1]}", file=sys.stderr, flush=True)
    cpu = {
        name: [run.cpu - start.cpu for run, start in zip(runs[name], starts[name], strict=True)]
        for name in runs
    }
    wall = {
        name: [run.wall - start.wall for run, start in zip(runs[name], starts[name], strict=True)]
        for name in runs
    }
    told = []
    for name in works:
        middle = measure.median(cpu[name])
        start = measure.median(one.cpu for one in starts[name])
        seconds = measure.median(wall[name])
        told.append((name, f"{middle:.2f}", f"{seconds:.2f}", f"{rows / middle:,.0f}", f"{start:.2f}",
                     f"{max(one.tree_mb for one in runs[name]):.0f}"))  # fmt: skip
    header = ("", "CPU s", "wall s", "captions/CPU s", "start CPU s", "peak MB")
    print(measure.table(f"{rows:,} captions, Parquet to Parquet, without the start", header, told))
    times = {"cpu": ratio(cpu[PEER], cpu[OWN]), "wall": ratio(wall[PEER], wall[OWN])}
    print(
        f"{PEER} takes {times['cpu']:.1f} times the CPU (wanted 15, reach 24) and {times['wall']:.1f} times as long"
    )
    bench.want(f"recipe {times['cpu']:.1f}x of 15x", times["cpu"] >= 15, speed=True)
    return {"rows": rows, "cpu_s": cpu, "wall_s": wall, "ratio": times, **agreement(bench, rows)}


def agreement(bench: Bench, rows: int) -> dict[str, Any]:
    """Whether both did the same work: pairs that both keep, and what each dropped."""
    own, peer = kept_of(bench.folder / OWN), kept_of(bench.folder / PEER)
    both = own.keys() & peer.keys()
    same = sum(own[pair] == peer[pair] for pair in both)
    shares = {"rows": 1 - len(own.keys() ^ peer.keys()) / rows, "texts": same / len(both)}
    counts = {name: reasons_of(bench.folder / name) for name in (OWN, PEER)}
    every = sorted({*counts[OWN], *counts[PEER]})
    lines = [(one, counts[OWN].get(one, 0), counts[PEER].get(one, 0)) for one in every]
    print(measure.table("Dropped, by reason", ("", OWN, PEER), [*lines, ("kept", len(own), len(peer))]))
    print(
        f"of {shares['rows']:.2%} of the captions both think the same; "
        f"{shares['texts']:.2%} of the texts that both keep are equal"
    )
    bench.want(f"both keep the same: {shares}", min(shares.values()) >= 0.9)
    return {"agreement": shares, "dropped": counts}


def pace(bench: Bench) -> dict[str, Any]:
    """Ours alone, long enough that nothing of the start is in it."""
    rows, runs, starts = bench.sizes.pace, [], []
    for _ in range(bench.rounds):
        starts.append(bench.refine(START, "--workers", "1"))
        runs.append(bench.refine(rows, "--workers", "1"))
    cpu = [run.cpu - start.cpu for run, start in zip(runs, starts, strict=True)]
    rates = [rows / one for one in cpu]
    middle = measure.median(rates)
    print(
        f"{rows:,} captions: {', '.join(f'{one:,.0f}' for one in rates)} a CPU-second (wanted 40,000, reach 60,000)"
    )
    bench.want(f"pace {middle:,.0f} captions/s of 40,000", middle >= 40_000, speed=True)
    log = Path(bench.refine(rows, "--pilot").log).read_text("utf-8")
    print(log)
    return {"rows": rows, "cpu_s": cpu, "captions_per_cpu_s": middle, "pilot": log}


def whole(bench: Bench) -> dict[str, Any]:
    """A manifest from end to end, two workers."""
    rows = bench.sizes.whole
    manifest = bench.captions(rows)
    used, out = bench.refine(rows, "--workers", "2"), bench.folder / OWN
    told = json.loads((out / "funnel.json").read_text("utf-8"))
    shards = sorted((out / "data").glob("*.parquet"))
    kept = sum(pq.ParquetFile(path).metadata.num_rows for path in shards)
    size = {name: sum(path.stat().st_size for path in paths) / 1e6 for name, paths in
            (("in", manifest.glob("*.parquet")), ("out", shards))}  # fmt: skip
    line = (f"{rows:,}", f"{used.wall:.0f}", f"{used.cpu:.0f}", f"{rows / used.wall:,.0f}", f"{kept:,}",
            f"{size['in']:,.0f}", f"{size['out']:,.0f}", f"{used.tree_mb:.0f}", f"{used.process_mb:.0f}")  # fmt: skip
    header = (
        "captions",
        "wall s",
        "CPU s",
        "captions/s",
        "kept",
        "MB in",
        "MB out",
        "peak MB",
        "largest process MB",
    )
    print(measure.table("End to end, two workers", header, [line]))
    dropped = sum(reasons_of(out).values())
    bench.want(f"whole: {rows:,} = {kept:,} kept + {dropped:,} dropped", rows == kept + dropped and kept > 0)
    bench.want(f"whole: {used.tree_mb:.0f} MB of 1500", used.tree_mb <= 1500)
    return {"rows": rows, "wall_s": used.wall, "cpu_s": used.cpu, "kept": kept, "mb": size, "tree_mb": used.tree_mb,
            "process_mb": used.process_mb, "funnel": told}  # fmt: skip


PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {part.__name__: part for part in (recipe, pace, whole)}


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="small, one round")
    parser.add_argument("--json", type=Path, default=HERE / "out" / "refine.json")
    options = parser.parse_args()
    python = peers.python_of(PEER)
    if python is None:
        print(f"{peers.missing(PEER)[0]} (the captions are drawn from its dictionary)", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="danqing-refine-") as folder:
        sizes = SMOKE if options.smoke else FULL
        bench = Bench(Path(folder), sizes, 1 if options.smoke else options.rounds, python)
        for name in options.only:
            measure.save(options.json, name, PARTS[name](bench))
    return measure.verdict(bench.missed, bench.slow)


if __name__ == "__main__":
    sys.exit(main())
