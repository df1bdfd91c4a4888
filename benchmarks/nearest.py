"""One contender that looks for near duplicates, in a process of its own: ours, or faiss in its virtual environment.

    PYTHON nearest.py ours FOLDER LEAST            # writes cells.npz, which `flat` takes, and ours.npz
    PYTHON nearest.py flat FOLDER LEAST            # faiss IndexFlatIP, cell by cell on the same cells
    PYTHON nearest.py ivf FOLDER LEAST PART        # faiss IndexIVFFlat at the recall of ours, over one row of PART
    PYTHON nearest.py union NODES EDGES            # connected sets of random edges

In: FOLDER/vectors.npy, (n, d) float16, and exact.npz, the pairs of a sample with all rows. Out: one line of JSON on
standard output: CPU and wall seconds of each step, without the start. One thread. faiss gets its vectors in float32 for
nothing, ours makes them as it goes.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")

import numpy as np

SAMPLED = 32  # rows for each centroid, of either


class Clock:
    """CPU and wall seconds of steps."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = {}
        self.wall: dict[str, float] = {}

    def time(self, name: str, work: Callable[[], Any]) -> Any:
        """Do a step."""
        cpu, wall = time.process_time(), time.perf_counter()
        done = work()
        self.cpu[name] = time.process_time() - cpu
        self.wall[name] = time.perf_counter() - wall
        return done

    def tell(self, **more: Any) -> None:
        """Print what was measured."""
        # Of this program alone: ru_maxrss would count what its parent held when it was started.
        peak = int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) * 1024 / 1e6
        print(json.dumps({"cpu": self.cpu, "wall": self.wall, "peak_mb": peak, **more}))


def sample_of(rows: int, count: int) -> Any:
    """Rows to make centroids of, in an order that says nothing."""
    return np.random.default_rng(3).permutation(rows)[: SAMPLED * count]


def members_of(home: Any, row: Any, cell: Any, count: int) -> list[Any]:
    """The rows that live in each cell or visit it."""
    rows, cells = np.concatenate([np.arange(len(home)), row]), np.concatenate([home, cell])
    order = np.argsort(cells, kind="stable")
    return np.split(rows[order], np.cumsum(np.bincount(cells, minlength=count))[:-1])


def ours(folder: Path, least: float) -> None:
    """k-means, visits, cells: the whole of it."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from builder.towers.cells import cell_count, centroids_of, visits
    from builder.towers.neighbours import pairs_within, probes_for

    vectors, clock = np.load(folder / "vectors.npy"), Clock()
    small = vectors[:64]
    (
        list(pairs_within(small, least)),
        probes_for(small, centroids_of(small, 4), -1.0),
    )  # so that all is compiled
    count = cell_count(len(vectors))
    sample = vectors[sample_of(len(vectors), count)]
    centroids = clock.time("centroids", lambda: centroids_of(sample, count))
    probes = clock.time("probes", lambda: probes_for(sample, centroids, least))
    home, row, cell = clock.time("visits", lambda: visits(vectors, centroids, probes))

    members = clock.time("members", lambda: members_of(home, row, cell, count))

    def search() -> tuple[Any, Any]:
        left, right = [], []
        for every in members:
            for one, other, _ in pairs_within(vectors[every], least):
                left.append(every[one])
                right.append(every[other])
        return np.concatenate(left), np.concatenate(right)

    one, other = clock.time("cells", search)
    products = sum(len(every) ** 2 / 2 for every in members)
    np.savez(folder / "cells.npz", home=home, row=row, cell=cell, centroids=centroids)
    np.savez(folder / "ours.npz", one=one, other=other)
    clock.tell(
        pairs=len(one), cells=count, probes=probes, products=products, largest=int(np.bincount(home).max())
    )


def flat(folder: Path, least: float) -> None:
    """The cells of ours, each an index of its rows and guests that these are looked up in."""
    import faiss

    faiss.omp_set_num_threads(1)
    vectors, clock = np.load(folder / "vectors.npy").astype(np.float32), Clock()
    cells = np.load(folder / "cells.npz")
    members = members_of(cells["home"], cells["row"], cells["cell"], len(cells["centroids"]))

    def search() -> tuple[Any, Any]:
        left, right = [], []
        for every in members:
            some = vectors[every]
            index = faiss.IndexFlatIP(vectors.shape[1])
            index.add(some)
            limits, _, found = index.range_search(some, least)
            one = np.repeat(np.arange(len(every)), np.diff(limits.astype(np.int64)))
            kept = found > one
            left.append(every[one[kept]])
            right.append(every[found[kept]])
        return np.concatenate(left), np.concatenate(right)

    one, other = clock.time("cells", search)
    np.savez(folder / "flat.npz", one=one, other=other)
    clock.tell(pairs=len(one))


def ivf(folder: Path, least: float, part: int) -> None:
    """IndexIVFFlat of two sizes, each with as few probes as give the recall of ours."""
    import faiss

    faiss.omp_set_num_threads(1)
    vectors = np.load(folder / "vectors.npy").astype(np.float32)
    exact, rows = np.load(folder / "exact.npz"), len(vectors)
    one, other = exact["one"], exact["other"]  # pairs of at least LEAST of the sample
    wanted = float(exact["recall"])
    asked = np.unique(np.concatenate([one, other]))
    truth = np.unique(np.minimum(one, other) * rows + np.maximum(one, other))
    told = []
    for lists in (int(exact["cells"]), round(4 * rows**0.5)):
        clock = Clock()
        index = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(vectors.shape[1]), vectors.shape[1], lists, faiss.METRIC_INNER_PRODUCT
        )
        index.cp.min_points_per_centroid = 1
        chosen = sample_of(rows, lists)
        clock.time("train", lambda index=index, chosen=chosen: index.train(vectors[chosen]))
        clock.time("add", lambda index=index: index.add(vectors))
        recall = 0.0
        for probes in (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64):
            index.nprobe = probes
            limits, _, found = index.range_search(vectors[asked], least)
            by = np.repeat(asked, np.diff(limits.astype(np.int64)))
            got = np.minimum(by, found) * rows + np.maximum(by, found)
            recall = float(np.isin(truth, got).mean())
            if recall >= wanted:
                break
        some = vectors[:: max(part, 1)]
        clock.time(
            "search",
            lambda index=index, some=some: [
                index.range_search(some[at : at + 4096], least) for at in range(0, len(some), 4096)
            ],
        )
        clock.cpu["search"] *= rows / len(some)
        told.append(
            {
                "lists": lists,
                "probes": probes,
                "recall": recall,
                "cpu": clock.cpu,
                "sum": sum(clock.cpu.values()),
            }
        )
    Clock().tell(tried=told)


def union(nodes: int, edges: int) -> None:
    """Sets of random edges; drawing them is not counted."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from builder.curate.sets import components

    random, clock, chunk = np.random.default_rng(1), Clock(), 1 << 22
    components(10, [(np.zeros(1, np.int32), np.ones(1, np.int32))])  # so that it is compiled
    drawn = [0.0]

    def chunks() -> Any:
        for start in range(0, edges, chunk):
            begin = time.process_time()
            some = random.integers(nodes, size=(2, min(chunk, edges - start)), dtype=np.int32)
            drawn[0] += time.process_time() - begin
            yield some[0], some[1]

    labels = clock.time("union", lambda: components(nodes, chunks()))
    clock.cpu["union"] -= drawn[0]
    clock.wall["union"] -= drawn[0]
    roots = sum(
        int((labels[at : at + chunk] == np.arange(at, min(at + chunk, nodes))).sum())
        for at in range(0, nodes, chunk)
    )
    clock.tell(sets=roots)


if __name__ == "__main__":
    name, *rest = sys.argv[1:]
    if name == "union":
        union(int(rest[0]), int(rest[1]))
    elif name == "ivf":
        ivf(Path(rest[0]), float(rest[1]), int(rest[2]))
    else:
        {"ours": ours, "flat": flat}[name](Path(rest[0]), float(rest[1]))
