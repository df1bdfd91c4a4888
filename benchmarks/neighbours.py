"""Near duplicates of a million embeddings: ours beside faiss, what cells miss, and connected sets of 10^9.

    make peers faiss                               # its virtual environment
    python benchmarks/neighbours.py                # all of it, about an hour on two quiet cores
    python benchmarks/neighbours.py --only cells --rows 100000
    python benchmarks/neighbours.py --smoke        # small, under a minute; 1 where a figure is missed that is no speed

| name | what runs |
|---|---|
| cells | a million of 512 numbers, cosine .9: ours, against IndexIVFFlat at its recall, and IndexFlatIP on its cells |
| recall | pairs of a sample with all rows, by band of cosine: how many are found with 1, 2, 3 and more cells probed |
| union | connected sets of 10^9 nodes and 10^8 random edges: seconds, memory |

Embeddings are synthetic (embeddings.py). All contenders have one thread, and CPU is told: of each without its start.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import embeddings  # noqa: E402
import measure  # noqa: E402
import numpy as np  # noqa: E402
import peers  # noqa: E402

WIDTH, LEAST = 512, 0.9
BANDS = ((0.85, 0.90), (0.90, 0.95), (0.95, 0.98), (0.98, 2.0))
PROBES = (1, 2, 3, 4, 6, 8, 12, 16)


@dataclass(frozen=True)
class Sizes:
    """Rows of each part, of the sample, and how many of them faiss IVF is timed on: one of `part`."""

    cells: int
    recall: int
    sample: int
    nodes: int
    edges: int
    part: int


FULL = Sizes(cells=1_000_000, recall=300_000, sample=10_000, nodes=10**9, edges=10**8, part=20)
SMOKE = Sizes(cells=20_000, recall=20_000, sample=2000, nodes=10**6, edges=10**5, part=10)


@dataclass
class Bench:
    """What the parts share. missed: what was wanted and is not so, whatever the machine; slow: what depends on it."""

    folder: Path
    sizes: Sizes
    rounds: int
    python: Path | None
    missed: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)

    def nearest(self, python: str | Path, name: str, *words: object) -> dict[str, Any]:
        """Run one contender: what it told."""
        command = [str(python), str(HERE / "nearest.py"), name, *map(str, words)]
        measure.run(command, log=self.folder / f"{name}.log", timeout=7200).check()
        told: dict[str, Any] = json.loads((self.folder / f"{name}.log").read_text().splitlines()[-1])
        print(f"{name}: {told}", file=sys.stderr, flush=True)
        return told

    def want(self, what: str, holds: bool, *, speed: bool = False) -> None:
        """Note what is missed."""
        if not holds:
            (self.slow if speed else self.missed).append(what)


def exact_pairs(vectors: Any, count: int, least: float) -> tuple[Any, Any, Any]:
    """Pairs of a random sample and all rows, each once: the rows, and the cosine."""
    from builder.towers.neighbours import against_sample

    sample = np.sort(np.random.default_rng(5).choice(len(vectors), min(count, len(vectors)), replace=False))
    found = [
        np.concatenate(part) for part in zip(*against_sample(vectors, vectors[sample], least), strict=True)
    ]
    one, other, cosine = found[0], sample[found[1]], found[2]
    low, high = np.minimum(one, other), np.maximum(one, other)
    _, first = np.unique(low * len(vectors) + high, return_index=True)
    first = first[low[first] != high[first]]
    return low[first], high[first], cosine[first]


def numbers(folder: Path, name: str, rows: int) -> Any:
    """The pairs that a contender found, a number each, in order."""
    pairs = np.load(folder / f"{name}.npz")
    low, high = np.minimum(pairs["one"], pairs["other"]), np.maximum(pairs["one"], pairs["other"])
    return np.unique(low.astype(np.int64) * rows + high)


def cells(bench: Bench) -> dict[str, Any]:
    """Ours whole, and faiss in two ways, on the world of clusters."""
    rows, folder = bench.sizes.cells, bench.folder
    vectors = embeddings.world("clusters", rows, WIDTH, 1)
    np.save(folder / "vectors.npy", vectors)
    low, high, _ = exact_pairs(vectors, bench.sizes.sample, LEAST)
    own = [bench.nearest(sys.executable, "ours", folder, LEAST) for _ in range(bench.rounds)]
    found, truth = numbers(folder, "ours", rows), low * rows + high
    recall = float(np.isin(truth, found).mean())
    np.savez(folder / "exact.npz", one=low, other=high, recall=recall, cells=own[0]["cells"])
    bench.want(f"cells: recall {recall:.4f} of 0.995", recall >= 0.995)
    whole = measure.median(sum(one["cpu"].values()) for one in own)
    within = measure.median(one["cpu"]["cells"] for one in own)
    steps = ", ".join(f"{name} {value:.1f}" for name, value in own[0]["cpu"].items())
    print(
        f"{rows:,} x {WIDTH}, cosine {LEAST}: {own[0]['pairs']:,} pairs, recall {recall:.4f} of {len(low):,}"
    )
    print(f"ours {whole:.1f} CPU s ({steps}), peak {own[0]['peak_mb']:,.0f} MB")
    if bench.python is None:
        return {"rows": rows, "ours": own, "recall": recall}
    flat = [bench.nearest(bench.python, "flat", folder, LEAST) for _ in range(bench.rounds)]
    ratio = within / measure.median(one["cpu"]["cells"] for one in flat)
    print(
        f"faiss Flat on the same cells {flat[0]['cpu']['cells']:.1f} CPU s: ours takes {ratio:.2f} of it (wanted 1.0)"
    )
    bench.want(f"cells: {ratio:.2f} of faiss Flat, of 1.0", ratio <= 1, speed=True)
    other = numbers(folder, "flat", rows)
    differ = np.setxor1d(found, other)
    edge = np.abs(cosines_of(vectors, differ) - LEAST) < 1e-5
    bench.want(f"cells: {(~edge).sum()} pairs differ from faiss Flat", bool(edge.all()))
    tried = bench.nearest(bench.python, "ivf", folder, LEAST, bench.sizes.part)["tried"]
    header = ("lists", "probes", "recall", "CPU s")
    lines = [(one["lists"], one["probes"], f"{one['recall']:.4f}", f"{one['sum']:.0f}") for one in tried]
    print(measure.table("faiss IndexIVFFlat: train, add, search of all rows", header, lines))
    share = whole / min(one["sum"] for one in tried)
    print(f"ours takes {share:.3f} of it (wanted 0.15)")
    bench.want(f"cells: {share:.3f} of faiss IVFFlat, of 0.15", share <= 0.15, speed=True)
    return {"rows": rows, "ours": own, "recall": recall, "flat": flat, "ivf": tried, "differ": len(differ),
            "ratio": {"flat": ratio, "ivf": share}}  # fmt: skip


def cosines_of(vectors: Any, pairs: Any) -> Any:
    """The exact cosines of pairs that are numbers."""
    from builder.towers.cosine import cosines

    return cosines(vectors[pairs // len(vectors)], vectors[pairs % len(vectors)])


def recall(bench: Bench) -> dict[str, Any]:
    """What is missed, world by world: a pair is found where both visit one cell."""
    from builder.towers.cells import SAMPLED, cell_count, centroids_of, meeting
    from builder.towers.neighbours import probes_for

    rows, told = bench.sizes.recall, {}
    for name in embeddings.WORLDS:
        for apart in ("any", "own"):
            vectors = embeddings.world(name, rows, WIDTH, 2, apart)
            low, high, cosine = exact_pairs(vectors, bench.sizes.sample, BANDS[0][0])
            count = cell_count(rows)
            order = np.random.default_rng(3).permutation(rows)[: SAMPLED * count]
            centroids = centroids_of(vectors[order], count)
            rank = meeting(vectors[low], vectors[high], centroids)
            shares = {
                probes: [float((rank[(cosine >= a) & (cosine < b)] <= probes).mean()) for a, b in BANDS]
                for probes in PROBES
            }
            told[f"{name}, {apart}"] = shares
            bands = [f"{a:.2f}-{min(b, 1):.2f}" for a, b in BANDS]
            lines = [(probes, *(f"{one:.4f}" for one in line)) for probes, line in shares.items()]
            asked = probes_for(vectors[order], centroids, LEAST)
            title = (
                f"{name}, apart in {apart} direction: {rows:,} rows, {count} cells, {len(low):,} pairs; "
                f"from {LEAST} the sample of the centroids asks for {asked} cells"
            )
            print(measure.table(title, ("cells probed", *bands), lines), flush=True)
            if apart == "any":
                found = float((rank[cosine >= LEAST] <= 3).mean())
                bench.want(f"recall: {found:.4f} of {name} from {LEAST}, of 0.995", found >= 0.995)
    return {"rows": rows, "recall": told}


def union(bench: Bench) -> dict[str, Any]:
    """Connected sets."""
    nodes, edges = bench.sizes.nodes, bench.sizes.edges
    runs = [bench.nearest(sys.executable, "union", nodes, edges) for _ in range(bench.rounds)]
    cpu, peak = measure.median(one["cpu"]["union"] for one in runs), max(one["peak_mb"] for one in runs)
    print(
        f"{nodes:,} nodes, {edges:,} edges: {cpu:.1f} CPU s (wanted 20), peak {peak:,.0f} MB (wanted 5,000)"
    )
    bench.want(f"union {cpu:.1f} s of 20", cpu <= 20, speed=True)
    bench.want(f"union {peak:.0f} MB of 5000", peak <= 5000)
    return {"nodes": nodes, "edges": edges, "runs": runs}


PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {part.__name__: part for part in (cells, recall, union)}


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=0, help="embeddings of `cells` and `recall`")
    parser.add_argument("--smoke", action="store_true", help="small, one round")
    parser.add_argument("--json", type=Path, default=HERE / "out" / "neighbours.json")
    options = parser.parse_args()
    python = peers.python_of("faiss")
    if python is None:
        print(f"{peers.missing('faiss')[0]}; ours alone", file=sys.stderr)
    sizes = SMOKE if options.smoke else FULL
    if options.rows:
        sizes = Sizes(**{**vars(sizes), "cells": options.rows, "recall": options.rows})
    with tempfile.TemporaryDirectory(prefix="danqing-neighbours-") as folder:
        bench = Bench(Path(folder), sizes, 1 if options.smoke else options.rounds, python)
        for name in options.only:
            measure.save(options.json, name, PARTS[name](bench))
    return measure.verdict(bench.missed, bench.slow)


if __name__ == "__main__":
    sys.exit(main())
