"""Ranking of 5,000 texts among 30,000 pictures, as large as MUGE: ours beside mteb's way, embeddings ready.

    make peers mteb                       # mteb in a virtual environment of its own
    python benchmarks/ranking.py          # three rounds: some ten minutes on two quiet cores
    python benchmarks/ranking.py --smoke  # small, one round

| name | what runs |
|---|---|
| ours | builder.evaluate.metrics: ranks, and recall at 1, 5 and 10 |
| mteb | a retrieval task of mteb as it comes, which keeps the first 1,000 |
| mteb, first ten | the same with k_values (1, 5, 10) |

Each in a process of its own, in turn. Out: CPU and wall seconds without the start, and the peak of the whole process,
embeddings included. R@k of all must be equal. It ends with 1 where they are not, or where ours takes more than 500 MB.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import numpy as np  # noqa: E402

MOST = (1, 5, 10)
MEMORY, TIMES = 500, 10  # MB at most, and how many times as fast as mteb as it comes
Arrays = tuple[Any, Any, Any]


def arrays(texts: int, pictures: int, dim: int) -> Arrays:
    """Pictures that lie near their texts, six a text; half of the texts find one of theirs first, or nearly so."""
    random = np.random.default_rng(0)
    queries = random.standard_normal((texts, dim), dtype=np.float32)
    pairs = np.stack([np.arange(pictures) % texts, np.arange(pictures)], axis=1)
    items = random.standard_normal((pictures, dim), dtype=np.float32)
    items *= 10
    for start in range(0, pictures, 1024):
        items[start : start + 1024] += queries[pairs[start : start + 1024, 0]]
    for one in (queries, items):
        for start in range(0, len(one), 1024):
            one[start : start + 1024] /= np.linalg.norm(one[start : start + 1024], axis=1, keepdims=True)
    return queries, items, pairs


def ours(queries: Any, items: Any, pairs: Any) -> list[float]:
    """R@k by danqing."""
    from builder.evaluate.metrics import ranks, recall

    rank = ranks(queries, items, pairs).rank
    return [float(recall(rank, np.ones((1, len(rank))), most)[0]) for most in MOST]


def mteb(queries: Any, items: Any, pairs: Any, ten: bool = False) -> list[float]:
    """R@k by mteb."""
    import mtebtask

    told = mtebtask.scores(queries, items, pairs, MOST if ten else mtebtask.DEFAULT)
    return [told[f"hit_rate_at_{most}"] for most in MOST]


CONTENDERS = {"ours": ours, "mteb": mteb, "mteb, first ten": lambda *given: mteb(*given, ten=True)}


def contend(name: str, *sizes: str) -> None:
    """Be one contender, and print what it took."""
    small = arrays(20, 120, 16)
    CONTENDERS[name](*small)  # what is loaded once is loaded
    given = arrays(*map(int, sizes))
    cpu, wall = time.process_time(), time.perf_counter()
    found = CONTENDERS[name](*given)
    told = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "recall": found}
    peak = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]
    print(json.dumps(told | {"mb": int(peak) * 1024 / 1e6}))


def main() -> int:
    """Run all contenders in turn."""
    if sys.argv[1:2] == ["--contend"]:
        contend(*sys.argv[2:])
        return 0
    import peers

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="a hundredth of the pairs, one round")
    parser.add_argument("--json", type=Path, default=HERE / "out" / "ranking.json")
    options = parser.parse_args()
    sizes = (500, 3_000, 768) if options.smoke else (5_000, 30_000, 768)
    python, rounds = peers.python_of("mteb"), 1 if options.smoke else options.rounds
    pythons = {name: sys.executable if name == "ours" else python for name in CONTENDERS}
    if python is None:
        print(f"{peers.missing('mteb')[0]}; ours alone", file=sys.stderr)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name, one in pythons.items() if one}
    for turn in range(rounds):
        for name in runs if turn % 2 == 0 else [*runs][::-1]:
            words = [str(pythons[name]), __file__, "--contend", name, *map(str, sizes)]
            runs[name].append(json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout))
            print(name, runs[name][-1], file=sys.stderr, flush=True)
    return told(runs, sizes, rounds, options.json)


def told(runs: dict[str, list[dict[str, Any]]], sizes: tuple[int, int, int], rounds: int, path: Path) -> int:
    """The medians side by side, and what is not as wanted."""
    import measure

    figures = {
        name: {what: measure.median(run[what] for run in one) for what in ("cpu", "wall", "mb")}
        for name, one in runs.items()
    }
    rows = [
        [name, *(f"{one[what] / figures['ours'][what]:.1f}x" for what in ("cpu", "wall")),
         f"{one['cpu']:.1f} s", f"{one['wall']:.1f} s", f"{one['mb']:,.0f} MB"]
        for name, one in figures.items()
    ]  # fmt: skip
    title = f"{sizes[0]:,} texts, {sizes[1]:,} pictures of {sizes[2]} numbers; {rounds} rounds"
    print(measure.table(title, ["", "of ours: CPU", "wall", "CPU", "wall", "peak"], rows))
    first = runs["ours"][0]["recall"]
    missed = [
        f"{name}: R@k {run['recall']}, ours {first}"
        for name, one in runs.items()
        for run in one
        if not np.allclose(run["recall"], first, atol=6e-6)  # mteb rounds to five places
    ]
    missed += [f"peak {figures['ours']['mb']:.0f} MB"] if figures["ours"]["mb"] > MEMORY else []
    slow = [
        f"{what}: {figures['mteb'][what] / figures['ours'][what]:.1f} times as fast as mteb, of {TIMES}"
        for what in ("cpu", "wall")
        if "mteb" in figures and figures["mteb"][what] < TIMES * figures["ours"][what]
    ]
    measure.save(path, "ranking", {"sizes": sizes, "runs": runs, "figures": figures})
    return measure.verdict(missed, slow)


if __name__ == "__main__":
    sys.exit(main())
