"""Curate against planted truth: precision and recall of each step, and of the search for duplicates beside other rules.

    python benchmarks/planted.py                 # 4 seeds of 2,000 pairs: some five minutes
    python benchmarks/planted.py --smoke         # one of 400, under a minute; 1 where a figure is missed

For each seed a root of real files is drawn (plantedroot.py) and curated by `danqing curate ROOT --embedder tiny`; then
decided anew: at the published thresholds, and for duplicates alone, where the rules of others see the same pictures,
hashes and embeddings. Those rules are written here as plain functions:

    equal pHash             one of each hash stays
    pHash, 4 bits or less   one of each connected set
    pHash, 10 bits or less  imagededup's rule, in order: what stays removes all that is near it
    cosine > .9, in order   likewise, by embeddings: its CNN rule
    one cell of k-means     SemDeDup: pairs within one of sqrt(n) cells only; that farthest from the centroid stays

Prints Markdown tables, mean and worst of the seeds.
"""

from __future__ import annotations

import argparse
import functools
import math
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import measure  # noqa: E402
from plantedroot import ALTERED, BANNER, PLAIN, Garden, Plant, write_root  # noqa: E402

from builder.console import Console  # noqa: E402
from builder.curate.config import CurateConfig  # noqa: E402
from builder.curate.runner import Curation  # noqa: E402
from builder.stage.run import run  # noqa: E402

Bits = npt.NDArray[np.bool_]
Stands = npt.NDArray[np.int64]  # of each row, the row that stays for it: itself, where it stays
Figures = dict[str, float]
ALONE = "geometry,texture,blur,entropy,alignment"  # skipped, where duplicates are to be compared alone
SAME = ("copy", "stored again", "cropped", "drawn again")
FEW_SHADES = ("few tones", "text", BANNER)  # pictures of few shades, whatever else they are
# Of a step: the reason, what it should drop, and the run that it is looked at in.
STEPS: tuple[tuple[str, str, tuple[str, ...], str], ...] = (
    ("geometry: too small", "too_small", ("too small",), "default"),
    ("geometry: aspect", "aspect", ("aspect",), "default"),
    ("texture", "flat", ("flat",), "default"),
    ("blur, calibrated", "blurred", ("blurred",), "default"),
    ("blur, --blur 1000", "blurred", ("blurred",), "published"),
    ("entropy, calibrated", "low_detail", FEW_SHADES, "default"),
    ("entropy, --entropy 3", "low_detail", FEW_SHADES, "entropy"),
    ("alignment: weak_match", "weak_match", ("wrong caption",), "default"),
)
DECIDED: Mapping[str, Mapping[str, object]] = {
    "default": {},
    "published": {"blur": "1000", "entropy": "3"},
    "entropy": {"entropy": "3"},
    "alone": {"skip": ALONE},
    "paper": {"skip": ALONE, "dedup": "paper"},
}
WANTED = {  # of the worst seed
    "geometry: too small recall": 100, "geometry: too small precision": 100, "geometry: aspect recall": 100,
    "geometry: aspect precision": 100, "texture recall": 100, "texture precision": 100,
    "blur, calibrated precision": 100, "entropy, --entropy 3 recall": 100, "entropy, --entropy 3 precision": 100,
    "alignment: weak_match recall": 85, "danqing curate copy": 100, "danqing curate stored again": 100,
    "danqing curate cropped": 80, "danqing curate drawn again": 80, "danqing curate precision": 95,
}  # fmt: skip
AT_MOST = {
    "danqing curate unrelated lost": 0.3,
    "danqing curate banners lost": 0,
    "copies of another picture": 0,
}


@dataclass(frozen=True)
class World:
    """A curated root and its truth. keys: of the plants; runs: reasons and who stands for whom, by name of DECIDED."""

    plants: list[Plant]
    keys: list[str]
    hashes: npt.NDArray[np.uint64]
    vectors: npt.NDArray[np.float64]
    runs: dict[str, tuple[list[str | None], Stands]]
    kinds: npt.NDArray[np.str_] = field(init=False)
    groups: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", np.array([one.kind for one in self.plants]))
        object.__setattr__(self, "groups", np.array([one.group for one in self.plants]))

    @functools.cached_property
    def bits(self) -> npt.NDArray[np.uint8]:
        """In how many bits the hashes of each two differ."""
        return np.bitwise_count(self.hashes[:, None] ^ self.hashes)

    @functools.cached_property
    def cosines(self) -> npt.NDArray[np.float64]:
        """The cosine of each two pictures."""
        return self.vectors @ self.vectors.T


def connected(near: Bits) -> Stands:
    """The first of each connected set stays. near: (n, n)."""
    stands = np.arange(len(near))
    while True:
        least = np.where(near, stands, len(near)).min(1)
        if np.array_equal(least := np.minimum(least, stands), stands):
            return stands
        stands = least


def in_order(near: Bits) -> Stands:
    """What stays, by the order of the rows, removes all that is near it."""
    stands = np.arange(len(near))
    for row in range(len(near)):
        if stands[row] == row:
            others = np.flatnonzero(near[row] & (stands == np.arange(len(near))))
            stands[others] = row
    return stands


def one_cell(world: World, rounds: int = 10) -> Stands:
    """SemDeDup: k-means, and in each cell what has a cosine above .9 with one farther from the centroid drops."""
    vectors, cells = world.vectors, math.isqrt(len(world.vectors))
    centres = vectors[np.random.default_rng(0).choice(len(vectors), cells, replace=False)]
    for _ in range(rounds):
        cell = (vectors @ centres.T).argmax(1)
        sums = [vectors[cell == one].sum(0) if (cell == one).any() else centres[one] for one in range(cells)]
        centres = np.stack(sums) / np.linalg.norm(sums, axis=1, keepdims=True)
    stands = np.arange(len(vectors))
    for one in range(cells):
        rows = np.flatnonzero(cell == one)
        rows = rows[np.argsort(vectors[rows] @ centres[one], kind="stable")]
        before = np.tril(world.cosines[np.ix_(rows, rows)], -1)
        for place, row in enumerate(rows):
            if place and before[place].max() > 0.9:
                stands[row] = rows[before[place].argmax()]
    while not np.array_equal(final := stands[stands], stands):
        stands = final
    return stands


RULES: dict[str, Callable[[World], Stands]] = {
    "danqing curate": lambda world: world.runs["alone"][1],
    "danqing curate --dedup paper": lambda world: world.runs["paper"][1],
    "equal pHash": lambda world: connected(world.bits == 0),
    "pHash, 4 bits or less": lambda world: connected(world.bits <= 4),
    "pHash, 10 bits or less, in order": lambda world: in_order(world.bits <= 10),
    "cosine > .9, in order": lambda world: in_order(world.cosines > 0.9),
    "cosine > .9 in one cell of k-means": one_cell,
}
COLUMNS = (*SAME, "precision", ALTERED, "banners lost", "unrelated lost")


def grown(seed: int, pairs: int, folder: Path) -> World:
    """Draw a root, and curate it in each way."""
    plants = Garden(seed, pairs).plant()
    root = folder / "root"
    keys = write_root(root, plants)
    command = [
        sys.executable,
        "-m",
        "builder.cli",
        "curate",
        str(root),
        "--embedder",
        "tiny",
        "--workers",
        "2",
    ]
    measure.run(command, log=folder / "curate.log", cwd=HERE.parent).check()
    runs = {}
    for name, options in DECIDED.items():
        if options:
            config = CurateConfig(str(root), embedder="tiny", decide=True, workers=2, **options)  # type: ignore[arg-type]
            config.check()
            run(Curation(config, Console(quiet=True)))
        runs[name] = curated(root, keys)
    [embeddings] = (root / "embeddings").iterdir()
    flat = pq.read_table(embeddings)["image"].combine_chunks()
    vectors = flat.flatten().to_numpy().reshape(len(flat), -1).astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    hashes = np.array([int(one.hash, 16) for one in plants], np.uint64)
    return World(plants, keys, hashes, vectors, runs)


def curated(root: Path, keys: list[str]) -> tuple[list[str | None], Stands]:
    """The reasons of curated/, and the row that stands for each."""
    table = pq.read_table(root / "curated", columns=["key", "reason", "nearest"]).to_pylist()
    if [row["key"] for row in table] != keys:
        raise RuntimeError("curated/ has other rows than images/")
    number = {key: row for row, key in enumerate(keys)}
    stands = [number.get(one["nearest"], row) for row, one in enumerate(table)]
    return [one["reason"] for one in table], np.array(stands)


def of_steps(world: World) -> Figures:
    """Precision and recall of each step in per cent, of the pairs that come to it; of an empty set NaN."""
    found: Figures = {}
    for name, reason, kinds, run_name in STEPS:
        reasons = world.runs[run_name][0]
        come = np.array([at(one) >= at(reason) for one in reasons])
        dropped = np.array([one == reason for one in reasons])
        right = np.isin(world.kinds, kinds)
        found[f"{name} precision"] = share(right, dropped)
        found[f"{name} recall"] = share(dropped, right & come)
        found[f"{name} dropped"] = share(dropped, come)
    copies = np.array([one == "copy" for one in world.runs["default"][0]])
    same = (world.groups[:, None] == world.groups) & (world.bits == 0)
    found["copies of another picture"] = share(same.sum(1) == 1, copies)  # nothing of its group has its hash
    return found


def at(reason: str | None) -> int:
    """The place of a reason in the order of the steps."""
    order = ("too_small", "aspect", "flat", "blurred", "low_detail", "weak_match", "text_picture")
    return order.index(reason) if reason in order else len(order)


def share(of: Bits, among: Bits) -> float:
    """How many of `among` are `of`, in per cent; NaN where there are none."""
    return 100 * float(of[among].mean()) if among.any() else math.nan


def of_duplicates(world: World, stands: Stands) -> Figures:
    """How a rule did, in per cent.

    By kind, the planted pictures for which the same stands as for the one they were made of, which is as wanted but
    where one thing differs; precision: of what drops, that for which a picture stays that shows the same; lost: what
    drops for one that does not.
    """
    rows = {one.number: row for row, one in enumerate(world.plants)}
    joined = stands == stands[[rows[one.origin] for one in world.plants]]
    found = {kind: share(joined, world.kinds == kind) for kind in (*SAME, ALTERED)}
    known = np.isin(world.kinds, (*SAME, PLAIN, BANNER, ALTERED))
    gone = known & (stands != np.arange(len(stands)))
    false = gone & (world.groups[stands] != world.groups)
    found["precision"] = share(~false, gone)
    found["banners lost"] = share(false, world.kinds == BANNER)
    altered = world.kinds[stands] == ALTERED  # to which the scene that it was made of is no stranger
    found["unrelated lost"] = share(false & ~altered, np.isin(world.kinds, (*SAME, PLAIN)))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--smoke", action="store_true", help="one seed of 400 pairs")
    parser.add_argument("--json", type=Path, default=HERE / "out" / "planted.json")
    asked = parser.parse_args()
    seeds, pairs = (1, 400) if asked.smoke else (asked.seeds, asked.pairs)
    all_figures, texts = [], Counter[str]()
    for seed in range(seeds):
        with tempfile.TemporaryDirectory(prefix="planted-") as folder:
            world = grown(seed, pairs, Path(folder))
        all_figures.append(figures(world))
        reasons = world.runs["default"][0]
        texts.update(str(one) for one, kind in zip(reasons, world.kinds, strict=True) if kind == "text")
    names = list(all_figures[0])
    found = {name: [one[name] for one in all_figures if not math.isnan(one[name])] for name in names}
    print_tables(found, f"{seeds} seeds x {pairs:,} pairs, in per cent: mean (worst seed)")
    print(
        f"pictures of text alone: {', '.join(f'{count} {reason}' for reason, count in texts.most_common())}"
    )
    missed = [name for name, least in WANTED.items() if min(found[name], default=0) < least]
    missed += [name for name, most in AT_MOST.items() if max(found[name], default=0) > most]
    result = {"figures": found, "text": dict(texts), "missed": missed}
    measure.save(asked.json, f"{seeds} x {pairs}", result)
    return measure.verdict(missed, [])


def figures(world: World) -> Figures:
    """All figures of a seed."""
    found = of_steps(world)
    for rule, stands in RULES.items():
        found |= {f"{rule} {name}": value for name, value in of_duplicates(world, stands(world)).items()}
    return found


def print_tables(found: Mapping[str, list[float]], title: str) -> None:
    """One table of the steps, one of the rules."""
    steps = [
        [
            name,
            ", ".join(kinds),
            *(cell(found[f"{name} {one}"], min) for one in ("dropped", "precision", "recall")),
        ]
        for name, _, kinds, _ in STEPS
    ]
    print(
        measure.table(title, ["step", "planted for it", "dropped of what came", "precision", "recall"], steps)
    )
    rules = [
        [
            rule,
            *(
                cell(found[f"{rule} {one}"], max if number > len(SAME) else min)
                for number, one in enumerate(COLUMNS)
            ),
        ]
        for rule in RULES
    ]
    print(measure.table("duplicates alone", ["rule", *COLUMNS], rules))


def cell(values: list[float], worst: Callable[[Iterable[float]], float]) -> str:
    """Mean and worst of the seeds."""
    if not values:
        return "-"
    return f"{sum(values) / len(values):.1f} ({worst(values):.1f})"


if __name__ == "__main__":
    sys.exit(main())
