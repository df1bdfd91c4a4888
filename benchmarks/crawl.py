"""How fast candidates are made of Common Crawl: beside cc2dataset and Daft, and alone.

    make peers cc2dataset daft                 # their virtual environments; cc2dataset's Spark needs Java 17
    python benchmarks/crawl.py                 # all of it, some twenty minutes on two quiet cores
    python benchmarks/crawl.py --only candidates --rounds 5
    python benchmarks/crawl.py --smoke         # small, under a minute; 1 where a figure is missed that is no speed

| name | what runs |
|---|---|
| links | 16 files to distinct links, all languages: cc2dataset with its Spark against our reader; rows compared |
| candidates | one file to Chinese candidates, no gate and cld2, against cc2dataset's extraction and Daft's reader |
| keys | exact duplicates among 50 M keys of 16 bytes, spooled to buckets on disk and read again |
| memory | peak of one worker: a file, one of ten times its size, all Chinese, and three hostile ones |
| million | a crawl of a million pages by `danqing crawl`, two workers |

The files are synthetic (commoncrawl.py). The contenders take turns, in alternating order; ratios are taken within a
round and their median is shown. CPU is in seconds of one core: of the whole process tree (links, million), or of the
work alone behind a warm-up (candidates). A peer that is not installed is left out, and said so.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import commoncrawl  # noqa: E402
import measure  # noqa: E402
import numpy as np  # noqa: E402
import peers  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from measure import Usage  # noqa: E402

from builder.crawl import buckets  # noqa: E402
from builder.crawl.wat import LARGEST  # noqa: E402
from tests.crawl import made  # noqa: E402

OWN = "danqing"
CHUNK = 500_000  # keys dealt at once
KEYS = pa.schema([pa.field(buckets.KEY, pa.binary(16)), pa.field(buckets.ORDER, pa.uint64())])


@dataclass(frozen=True)
class Sizes:
    """How much of everything. pages: of a file of `links` and `memory`; file: of that of `candidates`."""

    pages: int
    files: int
    file: int
    keys: int
    million: int
    times: int


FULL = Sizes(pages=7_500, files=16, file=20_000, keys=50_000_000, million=1_000_000, times=10)
SMOKE = Sizes(pages=400, files=2, file=1_000, keys=1_000_000, million=2_000, times=4)


@dataclass
class Bench:
    """What the parts share. missed: what was wanted and is not so, whatever the machine; slow: what depends on it."""

    folder: Path
    sizes: Sizes
    rounds: int
    missed: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)

    def run(self, name: str, command: Sequence[str | Path]) -> Usage:
        """Run a command to its end."""
        log = self.folder / f"{name}.log"
        return measure.run([*map(str, command)], log=log, timeout=3600).check()

    def turns(self, works: dict[str, Callable[[], Any]]) -> dict[str, list[Any]]:
        """Every work once a round, in alternating order."""
        found: dict[str, list[Any]] = {name: [] for name in works}
        for number in range(self.rounds):
            for name in list(works)[:: 1 if number % 2 == 0 else -1]:
                found[name].append(works[name]())
                print(f"{number + 1}/{self.rounds} {name}: {found[name][-1]}", file=sys.stderr, flush=True)
        return found

    def crawl(self, name: str, pages: int, files: int, chinese: float = 0.06) -> list[Path]:
        """Files of synthetic pages; made once."""
        folder = self.folder / name
        return sorted(folder.glob("*.gz")) or commoncrawl.crawl(folder, pages, files, chinese)

    def want(self, what: str, holds: bool, *, speed: bool = False) -> str:
        """Note what is missed; how it stands in a table."""
        if not holds:
            (self.slow if speed else self.missed).append(what)
        return "yes" if holds else "NO"


def python_of(name: str) -> Path | None:
    """Where a contender runs; None where it is not here."""
    if name not in ("cc2dataset", "daft"):
        return Path(sys.executable)
    lines = peers.missing(name)
    for line in lines:
        print(f"left out: {line}", file=sys.stderr)
    return None if lines else peers.python_of(name)


def megabytes(paths: Sequence[Path]) -> float:
    """What they weigh."""
    return sum(path.stat().st_size for path in paths) / 1e6


def ratio(peer: Sequence[float], own: Sequence[float]) -> float:
    """Median over the rounds of peer / ours."""
    return measure.median(theirs / ours for theirs, ours in zip(peer, own, strict=True))


def links(bench: Bench) -> dict[str, Any]:
    """The same rows as cc2dataset's, end to end."""
    paths = bench.crawl("links", bench.sizes.pages * bench.sizes.files, bench.sizes.files)
    works: dict[str, Callable[[], Usage]] = {}
    for name in (OWN, "cc2dataset"):
        if python := python_of(name):
            command = [python, HERE / "extractors.py", "links", name, bench.folder / name, *paths]

            def work(name: str = name, command: list[Any] = command) -> Usage:
                shutil.rmtree(bench.folder / name, ignore_errors=True)
                return bench.run(name, command)

            works[name] = work
    found = bench.turns(works)
    cpu = {name: [one.cpu for one in runs] for name, runs in found.items()}
    rows = [
        (name, f"{measure.median(cpu[name]):.1f}", f"{measure.median(one.wall for one in runs):.1f}",
         f"{max(one.tree_mb for one in runs):.0f}")
        for name, runs in found.items()
    ]  # fmt: skip
    title = f"{len(paths)} files, {megabytes(paths):.0f} MB gz, distinct links of all languages"
    print(measure.table(title, ("", "CPU s", "wall s", "peak MB"), rows))
    result: dict[str, Any] = {
        "cpu_s": cpu,
        "wall_s": {name: [one.wall for one in runs] for name, runs in found.items()},
    }
    if "cc2dataset" in found:
        result["ratio"] = times = ratio(cpu["cc2dataset"], cpu[OWN])
        tables = [
            pq.read_table(bench.folder / name).select(["uid", "url", "alt"]) for name in (OWN, "cc2dataset")
        ]
        apart = [
            len(one.join(other, ["uid", "url", "alt"], join_type="left anti"))
            for one, other in (tables, reversed(tables))
        ]
        result |= {"rows": len(tables[0]), "apart": apart}
        bench.want(
            f"the rows of links equal: {apart} apart", not any(apart) and len(tables[0]) == len(tables[1])
        )
        bench.want(f"links {times:.2f}x of 3x", times >= 3, speed=True)
        print(
            f"{len(tables[0]):,} rows, {apart} apart; cc2dataset takes {times:.2f} times the CPU (wanted 3)"
        )
    return result


def candidates(bench: Bench) -> dict[str, Any]:
    """One file to candidates, beside what the peers take to extract theirs."""
    (warm,) = bench.crawl("warm", 200, 1)
    (path,) = bench.crawl("file", bench.sizes.file, 1)
    works: dict[str, Callable[[], Any]] = {}
    for name in ("cc2dataset", "none", "fastwarc", "cld2", "daft"):
        if python := python_of(name):

            def work(name: str = name, python: Path = python) -> Any:
                log = bench.run(name, [python, HERE / "extractors.py", "read", name, warm, path]).log
                (line,) = [one for one in Path(log).read_text().splitlines() if one.startswith("took ")]
                return json.loads(line.partition(" ")[2])

            works[name] = work
    found = bench.turns(works)
    cpu = {name: [one["cpu"] for one in runs] for name, runs in found.items()}
    size, rows = megabytes([path]), []
    ratios: dict[str, float] = {}
    for name, runs in found.items():
        told = []
        for peer in ("cc2dataset", "daft"):
            if peer in cpu:
                ratios[f"{name} against {peer}"] = ratio(cpu[peer], cpu[name])
            told.append(f"{ratio(cpu[peer], cpu[name]):.2f}" if peer in cpu else "")
        middle = measure.median(cpu[name])
        rows.append((name, f"{middle:.2f}", f"{size / middle:.0f}", f"{runs[0]['rows']:,}", *told))
    header = ("", "CPU s", "MB gz/s", "rows", "x cc2dataset", "x Daft")
    print(measure.table(f"One file of {size:.0f} MB gz", header, rows))
    for gate, peer, wanted in (
        ("none", "cc2dataset", 2.4),
        ("cld2", "cc2dataset", 3.6),
        ("none", "daft", 2),
        ("cld2", "daft", 3),
    ):
        if peer in cpu:
            times = ratios[f"{gate} against {peer}"]
            bench.want(f"{gate} against {peer} {times:.2f}x of {wanted}x", times >= wanted, speed=True)
    kept = {name: {one["rows"] for one in runs} for name, runs in found.items()}
    bench.want(f"each round gives the same rows: {kept}", all(len(one) == 1 for one in kept.values()))
    bench.want("there are candidates", min(kept["none"]) >= min(kept["cld2"]) > 0)
    return {"mb": size, "runs": found, "ratios": ratios}


def keys(bench: Bench) -> dict[str, Any]:
    """Exact duplicates among many keys, one in ten of which is a copy, by the buckets of the crawl."""
    count = bench.sizes.keys
    command = [sys.executable, HERE / "crawl.py", "--keys", bench.folder / "keys", str(count)]
    runs = bench.turns({"keys": lambda: bench.run("keys", command)})["keys"]
    told = json.loads(Path(runs[-1].log).read_text().splitlines()[-1])
    rate, peak = count / told["seconds"], max(one.process_mb for one in runs)
    rows = [(f"{count:,}", f"{told['distinct']:,}", f"{told['scatter']:.1f}", f"{told['gather']:.1f}",
             f"{rate / 1e6:.1f}", f"{peak:.0f}")]  # fmt: skip
    header = ("keys", "distinct", "scatter s", "gather s", "M keys/s", "peak MB")
    print(measure.table("Exact duplicates, one process, disk included", header, rows))
    bench.want(f"keys: {told['distinct']:,} distinct", told["distinct"] == told["planted"])
    bench.want(f"keys: {peak:.0f} MB of 1000", peak <= 1000)
    bench.want(f"keys: {rate / 1e6:.1f} M/s of 4", rate >= 4e6, speed=True)
    return {"keys": count, "keys_per_s": rate, "peak_mb": peak, **told}


def find_copies(folder: Path, count: int) -> dict[str, Any]:
    """Spool keys, one in ten of them a copy of an earlier one, and find the first of each. The drawing is not timed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    spent, number, copies, urls = {"scatter": 0.0, "gather": 0.0}, 0, 0, []
    part = max(CHUNK, count // 20)  # keys of a file
    earlier = np.empty((0, 2), np.uint64)
    for start in range(0, count, part):
        rows = min(part, count - start)
        drawn = np.random.default_rng(start).integers(0, 1 << 64, (rows, 2), np.uint64, endpoint=False)
        drawn[: min(len(earlier), rows // 10)] = earlier[: rows // 10]
        copies += min(len(earlier), rows // 10)
        earlier = drawn[-(rows // 10) :].copy()  # the last of a file are no copies
        begun = time.perf_counter()
        urls.append(str(folder / f"{start}.arrow"))
        scatter = buckets.Scatter(Path(urls[-1]), KEYS)
        for first in range(0, rows, CHUNK):
            some = np.ascontiguousarray(drawn[first : first + CHUNK])
            order = np.arange(start + first, start + first + len(some), dtype=np.uint64)
            binary = pa.Array.from_buffers(pa.binary(16), len(some), [None, pa.py_buffer(some)])
            table = pa.Table.from_arrays([binary, pa.array(order)], schema=KEYS)
            scatter.write(table, buckets.first_bytes(some.view("S16")[:, 0]))
        scatter.close()
        spent["scatter"] += time.perf_counter() - begun
    begun, parts = time.perf_counter(), buckets.parts_of(count, count * 24)
    for bucket in range(parts):
        table = pa.concat_tables(buckets.gather(urls, bucket, parts))
        order = table[buckets.ORDER].to_numpy()
        places, first_ones = buckets.earliest(*buckets.halves(table[buckets.KEY]), order)
        kept = table.combine_chunks().take(pa.array(places[first_ones]))
        pq.write_table(kept, folder / f"{bucket}.parquet", compression="none", use_dictionary=False)
        number += len(kept)
    spent["gather"] = time.perf_counter() - begun
    shutil.rmtree(folder)
    return {**spent, "seconds": sum(spent.values()), "distinct": number, "planted": count - copies}


def memory(bench: Bench) -> dict[str, Any]:
    """Peak of one worker over files of all kinds."""
    pages = bench.sizes.pages
    (plain,) = bench.crawl("plain", pages, 1)
    files = {
        "a file": plain,
        f"{bench.sizes.times} times its size": bench.crawl("large", pages * bench.sizes.times, 1)[0],
        "all Chinese": bench.crawl("chinese", pages, 1, 1.0)[0],
        "a record of 60 MiB": bench.folder / "record.warc.wat.gz",
        "100,000 pictures on a page": bench.folder / "pictures.warc.wat.gz",
        "a page as large as any that is read": bench.folder / "page.warc.wat.gz",
    }
    with ProcessPoolExecutor(
        1
    ) as pool:  # what it takes here would count as memory of the commands started from here
        pool.submit(write_hostile, *list(files.values())[-3:]).result()
    rows, result = [], {}
    for name, path in files.items():
        out = bench.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        command = [
            sys.executable,
            "-m",
            "builder.cli",
            "crawl",
            path,
            out,
            "--gate",
            "none",
            "--workers",
            "1",
            "--json",
        ]
        used = bench.run("memory", command)
        rows.append((name, f"{megabytes([path]):.1f}", f"{used.process_mb:.0f}"))
        bench.want(f"{name}: {used.process_mb:.0f} MB of 300", used.process_mb <= 300)
        result[name] = used.process_mb
    print(measure.table("Memory of one worker, no gate", ("file", "MB gz", "peak MB"), rows))
    return result


def write_hostile(large: Path, many: Path, largest: Path) -> None:
    """A record of 60 MiB, a page of 100,000 pictures, one that just passes for its size; with a usual page each."""
    head = made.record("warcinfo", b"isPartOf: CC-MAIN-2025-30\r\n")
    pictures = [made.image(f"/a/{number}.jpg", f"第{number}张图片") for number in range(100_000)]
    zho, cat = made.wat(made.languages("zho")), made.wat(made.page([made.image("/b.jpg", "一只白色的猫")]))
    body = made.wat(made.page(pictures * 9))
    assert 55 << 20 < len(body) < 64 << 20, len(body)
    large.write_bytes(made.members(head, body, zho, cat, zho))
    many.write_bytes(made.members(head, made.wat(made.page(pictures)), zho, cat, zho))
    body = made.wat(made.page((pictures * 9)[: (LARGEST - 4096) * 900_000 // len(body)]))
    largest.write_bytes(made.members(head, body, zho, cat, zho))


def million(bench: Bench) -> dict[str, Any]:
    """A crawl from files to shards."""
    paths = bench.crawl("million", bench.sizes.million, 32 if bench.sizes is FULL else 4)
    size, out = megabytes(paths), bench.folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    used = bench.run(
        "million", [sys.executable, "-m", "builder.cli", "crawl", paths[0].parent, out, "--workers", "2"]
    )
    told = json.loads((out / "funnel.json").read_text())
    kept = sum(pq.ParquetFile(path).metadata.num_rows for path in (out / "data").glob("*.parquet"))
    pages = bench.sizes.million
    rows = [(f"{pages:,}", f"{size:,.0f}", f"{used.wall:.0f}", f"{used.cpu:.0f}", f"{pages / used.wall:,.0f}",
             f"{size / used.wall:.0f}", f"{size / used.cpu:.0f}", f"{kept:,}", f"{used.process_mb:.0f}")]  # fmt: skip
    header = ("pages", "MB gz", "wall s", "CPU s", "pages/s", "MB gz/s", "MB gz/CPU s", "pairs", "peak MB")
    print(measure.table("A crawl, two workers", header, rows))
    print(json.dumps(told, ensure_ascii=False, indent=1))
    bench.want("a crawl gives pairs", kept > 0)
    bench.want(f"million: {used.process_mb:.0f} MB of 300", used.process_mb <= 300)
    return {
        "pages": pages,
        "mb": size,
        "wall_s": used.wall,
        "cpu_s": used.cpu,
        "kept": kept,
        "peak_mb": used.process_mb,
        "tree_mb": used.tree_mb,
        "funnel": told,
    }


PARTS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    part.__name__: part for part in (links, candidates, keys, memory, million)
}


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="small, one round")
    parser.add_argument("--json", type=Path, default=HERE / "out" / "crawl.json")
    parser.add_argument("--keys", nargs=2, help=argparse.SUPPRESS)  # the process that `keys` measures
    options = parser.parse_args()
    if options.keys:
        print(json.dumps(find_copies(Path(options.keys[0]), int(options.keys[1]))))
        return 0
    with tempfile.TemporaryDirectory(prefix="danqing-crawl-") as folder:
        bench = Bench(Path(folder), SMOKE if options.smoke else FULL, 1 if options.smoke else options.rounds)
        for name in options.only:
            measure.save(options.json, name, PARTS[name](bench))
    return measure.verdict(bench.missed, bench.slow)


if __name__ == "__main__":
    sys.exit(main())
