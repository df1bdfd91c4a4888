"""How fast pairs reach a training script: `load_dataset("danqing")` beside its peers, on the same pairs.

    python benchmarks/stream.py [--rows 6000] [--rounds 5]

Peers: stock `load_dataset("parquet")` on the same files, webdataset on the same pairs as tars, and bare pyarrow,
which is the limit. They run in turn, in an order drawn anew for each round; a figure is the median over the
rounds, a ratio the median of the ratios within a round. Prints a table and writes benchmarks/out/stream.json.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import io
import json
import os
import random
import resource
import statistics
import sys
import tarfile
import tempfile
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import datasets  # noqa: E402
import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import webdataset as wds  # noqa: E402
from PIL import Image  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

import danqing  # noqa: E402
from builder.disk.parquet import image_schema, writer  # noqa: E402
from builder.disk.schema import pair_key  # noqa: E402

SHARDS, ROW_GROUP, BUFFER, BATCH = 4, 250, 1000, 256
TEXT = ["key", "alt_text"]
PAIR = [*TEXT, "image"]
LIBC = ctypes.CDLL(None)
Pass = Callable[[], int]


def pictures(count: int = 64) -> list[bytes]:
    """JPEG files of 256 x 256 pixels and some 20 KB, as a rebuild with its defaults stores them."""
    files = []
    for seed in range(count):
        noise = np.random.default_rng(seed).integers(0, 255, (18, 18, 3), dtype="u1")
        file = io.BytesIO()
        Image.fromarray(noise).resize((256, 256), Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)
        files.append(file.getvalue())
    return files


def make(folder: Path, rows: int) -> int:
    """The pairs as a root and as tars; the bytes of their pictures."""
    files, total = pictures(), 0
    (folder / "images").mkdir()
    (folder / "tars").mkdir()
    for shard in range(SHARDS):
        numbers = range(shard * rows // SHARDS, (shard + 1) * rows // SHARDS)
        pairs = [pair(number, files[number % len(files)]) for number in numbers]
        total += sum(len(row["image"]["bytes"]) for row in pairs)
        with writer(
            folder / "images" / f"train-{shard:05d}-of-{SHARDS:05d}.parquet", image_schema()
        ) as parquet:
            for start in range(0, len(pairs), ROW_GROUP):
                parquet.write_table(pa.Table.from_pylist(pairs[start : start + ROW_GROUP], image_schema()))
        with tarfile.open(folder / "tars" / f"train-{shard:05d}.tar", "w") as tar:
            for row in pairs:
                text = {name: value for name, value in row.items() if name != "image"}
                add(tar, f"{row['key']}.jpg", row["image"]["bytes"])
                add(tar, f"{row['key']}.json", json.dumps(text, ensure_ascii=False).encode())
    return total


def pair(number: int, data: bytes) -> dict[str, Any]:
    url, alt_text = f"http://images.test/{number}.jpg", f"第{number}张图片，一只猫坐在窗台上看着外面的雨"
    sides = dict.fromkeys(("width", "height", "original_width", "original_height"), 256)
    digests = {"sha256": f"{number:064x}", "phash": f"{number:016x}", "format": "jpeg", "fetched_at": number}
    texts = {"key": pair_key(url, alt_text), "url": url, "alt_text": alt_text, "recaption": alt_text * 3}
    return {**texts, "image": {"bytes": data, "path": None}, **sides, **digests}


def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def count(rows: Iterable[Any]) -> int:
    """Go through everything and keep nothing."""
    last = deque(enumerate(rows, 1), maxlen=1)
    return int(last[0][0]) if last else 0


def tables(batches: Iterable[Any]) -> int:
    return sum(batch.num_rows for batch in batches)


def loader(rows: Any) -> int:
    return sum(len(batch) for batch in DataLoader(rows, batch_size=64, num_workers=2, collate_fn=list))


class Sources:
    """The same pairs through the four readers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = sorted(str(path) for path in (folder / "images").iterdir())
        self.tars = sorted(str(path) for path in (folder / "tars").iterdir())

    def danqing(self, **options: Any) -> Any:
        """Ours."""
        return danqing.load(self.folder, split="train", streaming=True, **options)

    def parquet(self, decode: bool = False, **options: Any) -> Any:
        """Stock `datasets`."""
        rows = datasets.load_dataset(
            "parquet", data_files=self.files, split="train", streaming=True, **options
        )
        return rows if decode or "columns" in options else rows.decode(False)

    def webdataset(self, decode: bool = False) -> Any:
        """The webdataset library; the texts are parsed, as the others do."""
        rows = wds.WebDataset(self.tars, shardshuffle=False, empty_check=False)
        return rows.decode("pil") if decode else rows.decode("rgb8", only=["json"])

    def pyarrow(self, columns: list[str] | None = None) -> Iterable[Any]:
        """Record batches and nothing else."""
        for file in self.files:
            yield from pq.ParquetFile(file).iter_batches(BATCH, columns=columns)

    def pixels(self) -> Iterable[Any]:
        """Record batches, and Pillow on each picture."""
        for batch in self.pyarrow():
            for row in batch.to_pylist():
                Image.open(io.BytesIO(row["image"]["bytes"])).load()
                yield row


def works(at: Sources) -> dict[str, dict[str, Pass]]:
    """What is measured: work -> reader -> one pass over all pairs."""
    return {
        "rows, bytes": {
            "danqing": lambda: count(at.danqing(decode=False)),
            "parquet": lambda: count(at.parquet()),
            "webdataset": lambda: count(at.webdataset()),
            "pyarrow": lambda: count(row for batch in at.pyarrow() for row in batch.to_pylist()),
        },
        "picture and caption, bytes": {
            "danqing": lambda: count(at.danqing(decode=False, columns=PAIR)),
            "parquet": lambda: count(at.parquet(columns=PAIR).decode(False)),
            "webdataset": lambda: count(at.webdataset()),
            "pyarrow": lambda: count(row for batch in at.pyarrow(PAIR) for row in batch.to_pylist()),
        },
        "rows, decoded": {
            "danqing": lambda: count(at.danqing()),
            "parquet": lambda: count(at.parquet(decode=True)),
            "webdataset": lambda: count(at.webdataset(decode=True)),
            "pyarrow": lambda: count(at.pixels()),
        },
        "Arrow batches, bytes": {
            "danqing": lambda: tables(at.danqing(decode=False).with_format("arrow").iter(BATCH)),
            "parquet": lambda: tables(at.parquet().with_format("arrow").iter(BATCH)),
            "pyarrow": lambda: tables(at.pyarrow()),
        },
        "shuffled rows, bytes": {
            "danqing": lambda: count(at.danqing(decode=False).shuffle(seed=0, buffer_size=BUFFER)),
            "parquet": lambda: count(at.parquet().shuffle(seed=0, buffer_size=BUFFER)),
            "webdataset": lambda: count(at.webdataset().shuffle(BUFFER)),
        },
        "two columns": {
            "danqing": lambda: count(at.danqing(columns=TEXT)),
            "parquet": lambda: count(at.parquet(columns=TEXT)),
            "webdataset": lambda: count(at.webdataset()),
            "pyarrow": lambda: count(row for batch in at.pyarrow(TEXT) for row in batch.to_pylist()),
        },
        "2 workers, bytes": {
            "danqing": lambda: loader(at.danqing(decode=False)),
            "parquet": lambda: loader(at.parquet()),
            "webdataset": lambda: loader(at.webdataset()),
        },
        "2 workers, decoded": {
            "danqing": lambda: loader(at.danqing()),
            "parquet": lambda: loader(at.parquet(decode=True)),
            "webdataset": lambda: loader(at.webdataset(decode=True)),
        },
    }


def cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def timed(run: Pass, rows: int) -> tuple[float, float]:
    """Wall and CPU seconds of one pass, its worker processes included."""
    gc.collect()
    pa.default_memory_pool().release_unused()  # or a reader gains or pays by what the one before it left behind
    LIBC.malloc_trim(0)
    before, start = cpu(), time.perf_counter()
    found = run()
    wall, used = time.perf_counter() - start, cpu() - before
    if found != rows:
        raise SystemExit(f"{found} rows instead of {rows}")
    return wall, used


def measure(passes: dict[str, dict[str, Pass]], rows: int, rounds: int) -> dict[str, dict[str, list[Any]]]:
    """Per work and reader the (wall, CPU) seconds of each round; in an order drawn anew for each."""
    found: dict[str, dict[str, list[Any]]] = {
        work: {peer: [] for peer in peers} for work, peers in passes.items()
    }
    order = random.Random(0)
    for turn in range(-1, rounds):  # the first one warms up
        for work, peers in passes.items():
            for name in order.sample(list(peers), len(peers)):
                seconds = timed(peers[name], rows)
                if turn >= 0:
                    found[work][name].append(seconds)
            print(f"round {turn + 1}/{rounds}: {work}", file=sys.stderr)
    return found


def summary(found: dict[str, dict[str, list[Any]]], rows: int, size: int) -> list[dict[str, Any]]:
    """Medians; ratios are ours over theirs, above 1 where danqing is faster or uses less CPU."""
    lines = []
    for work, peers in found.items():
        for peer, seconds in peers.items():
            wall, used = (statistics.median(values) for values in zip(*seconds, strict=True))
            ratios = [
                statistics.median(b[kind] / a[kind] for a, b in zip(peers["danqing"], seconds, strict=True))
                for kind in (0, 1)
            ]
            lines.append(
                {
                    "work": work,
                    "reader": peer,
                    "rows/s": rows / wall,
                    "MB/s": size / wall / 1e6,
                    "CPU us/row": used / rows * 1e6,
                }
                | {"ours, wall": ratios[0], "ours, CPU": ratios[1]}
            )
    return lines


def table(lines: list[dict[str, Any]]) -> str:
    text = [
        "| work | reader | rows/s | MB/s | CPU µs/row | ours against it: wall | CPU |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for line in lines:
        wall, used = (
            f"{line[kind]:.2f}×" if line["reader"] != "danqing" else ""
            for kind in ("ours, wall", "ours, CPU")
        )
        size = "" if line["work"] == "two columns" else f"{line['MB/s']:,.0f}"
        head = f"| {line['work']} | {line['reader']} | {line['rows/s']:,.0f} | {size} |"
        text.append(f"{head} {line['CPU us/row']:.0f} | {wall} | {used} |")
    return "\n".join(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out" / "stream.json")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    # The stock builder sleeps for 5 s after each shuffled pass; ours never does. Left out of the comparison.
    datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0
    with tempfile.TemporaryDirectory() as name:
        datasets.config.HF_DATASETS_CACHE = Path(name) / "cache"
        size = make(Path(name), options.rows)
        print(f"{options.rows} pairs, {size / 1e6:.0f} MB of pictures, {SHARDS} shards", file=sys.stderr)
        found = measure(works(Sources(Path(name))), options.rows, options.rounds)
    lines = summary(found, options.rows, size)
    print(table(lines))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    versions = {module.__name__: module.__version__ for module in (datasets, pa, wds)}
    result = {
        "rows": options.rows,
        "rounds": options.rounds,
        "bytes": size,
        "versions": versions,
        "lines": lines,
        "seconds": found,
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
