"""Release beside a bare copy, and what a second release costs: MB/s, bytes stored, requests, commits, memory.

    python benchmarks/release.py [--only compaction again requests flat] [--rounds 3] [--pairs 16000]

In: roots of noise JPEGs made here (25 kB each, no two alike), scored by tests/scored.py. `danqing release` runs as a
user starts it; the Hub is that of the tests, on loopback, with the real client and the real Xet deduplication.
Prints Markdown tables and writes benchmarks/out/release.json.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simplejpeg

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

import measure  # noqa: E402

from builder.reasons import Cause  # noqa: E402
from tests.hub import Hub  # noqa: E402
from tests.release.roots import FROM, with_ledger  # noqa: E402
from tests.roots import pair, write_shard  # noqa: E402
from tests.scored import Scoring, make_scored  # noqa: E402

OUT = Path(__file__).parent / "out" / "release.json"
SHARD = 2000  # pairs, 50 MB
FIRST = (*[Cause.HASH] * 49, Cause.UNRELATED)  # 2 % are dropped to begin with
LATER = (*[Cause.HASH] * 24, Cause.UNRELATED, *[Cause.HASH] * 24, Cause.UNRELATED)  # and 2 % more
SMALL = ("--shard-size", "8MB")
COPY = """
import sys
import pyarrow.parquet as pq
from pathlib import Path
source, target = map(Path, sys.argv[1:])
target.mkdir(parents=True)
for path in sorted(source.glob("*.parquet")):
    file = pq.ParquetFile(path)
    with pq.ParquetWriter(target / path.name, file.schema_arrow) as writer:
        for batch in file.iter_batches():
            writer.write_batch(batch)
"""


def noise(number: int) -> bytes:
    """A JPEG of 25 kB that no other number has."""
    pixels = np.random.default_rng(number).integers(0, 256, (120, 120, 3), np.uint8)
    return simplejpeg.encode_jpeg(pixels, quality=92)


def write(root: Path, shard: int, shards: int, rows: int, large: bool) -> None:
    """One shard: of pictures of 25 kB, or of hardly any."""
    numbers = range(shard * rows, (shard + 1) * rows)
    drawn = (pair(number, noise(number)) | {"width": 120, "height": 120} for number in numbers)
    pairs = list(drawn) if large else [pair(number) for number in numbers]
    write_shard(root / "images" / f"train-{shard:05d}-of-{shards:05d}.parquet", pairs, 400)


def score(root: Path, mix: tuple[Cause, ...], rows: int = SHARD) -> None:
    """Score a root, or score it anew."""
    if not (root / "ledger").exists():
        with_ledger(root)
    make_scored(root, Scoring(mix, decision=f"{len(mix):016d}.{mix.count(Cause.UNRELATED)}", row_group=rows))


def make(root: Path, shards: int, rows: int = SHARD, large: bool = True) -> Path:
    """A scored root."""
    jobs = [(root, shard, shards, rows, large) for shard in range(shards)]
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(write, *zip(*jobs, strict=True)))
    apart(score, root, FIRST, rows)
    return root


def apart(call: Callable[..., None], *arguments: object) -> None:
    """Call something in a process of its own: what it takes would count as memory of the commands started here."""
    with ProcessPoolExecutor(1) as pool:
        pool.submit(call, *arguments).result()


def megabytes(folder: Path) -> float:
    """What lies in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


@dataclass(frozen=True)
class Bench:
    """What the parts share."""

    folder: Path
    rounds: int
    pairs: int

    def danqing(self, *words: str, hub: Hub | None = None) -> measure.Usage:
        """Run `danqing release` as a user does, of a root of DanQing."""
        home = {"HF_HOME": str(self.folder / "hf"), "XDG_CACHE_HOME": str(self.folder / "cache")}
        said = home | {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_UPDATE_DOWNLOAD_COUNTS": "0"}
        said |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": hub.token} if hub else {"HF_HUB_OFFLINE": "1"}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        command = [sys.executable, "-m", "builder.cli", *words, *FROM]
        log = self.folder / "log.txt"
        return measure.run(command, log=log, env=kept | said, cwd=REPOSITORY).check()

    def fresh(self, name: str) -> Path:
        """A path where nothing is."""
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        return path


def compaction(bench: Bench) -> dict[str, object]:
    """A root of images into even shards, against a bare copy of its files by pyarrow."""
    root = make(bench.fresh("root"), max(1, bench.pairs // SHARD))
    little = make(bench.fresh("little"), 1, 100)
    size = megabytes(root / "images")
    rows = []
    for turn in range(bench.rounds):

        def copied() -> measure.Usage:
            command = [sys.executable, "-c", COPY, str(root / "images"), str(bench.fresh("copy"))]
            return measure.run(command, log=bench.folder / "log.txt").check()

        def released(source: Path = root) -> measure.Usage:
            return bench.danqing("release", str(source), str(bench.fresh("out")), "--what", "images")

        start = bench.danqing("release", str(little), str(bench.fresh("out")), "--what", "images")
        pair_of = (copied, released) if turn % 2 else (released, copied)
        used = {one.__name__: one() for one in pair_of}
        rows.append((used["copied"], used["released"], start))
    result = {
        "MB": size,
        "copy_wall": measure.median(copy.wall for copy, _, _ in rows),
        "copy_cpu": measure.median(copy.cpu for copy, _, _ in rows),
        "ours_wall": measure.median(ours.wall for _, ours, _ in rows),
        "ours_cpu": measure.median(ours.cpu for _, ours, _ in rows),
        "start_wall": measure.median(start.wall for _, _, start in rows),
        "start_cpu": measure.median(start.cpu for _, _, start in rows),
        "wall_ratio": measure.median(copy.wall / (ours.wall - start.wall) for copy, ours, start in rows),
        "cpu_ratio": measure.median(copy.cpu / (ours.cpu - start.cpu) for copy, ours, start in rows),
    }
    print(
        measure.table(
            f"Compaction of {size:.0f} MB, checks included; without start-up, which is a release of 100 pairs",
            ("", "wall s", "CPU s", "MB/s"),
            [
                ("bare pyarrow copy", f"{result['copy_wall']:.2f}", f"{result['copy_cpu']:.2f}",
                 f"{size / result['copy_wall']:.0f}"),
                ("danqing release", f"{result['ours_wall']:.2f}", f"{result['ours_cpu']:.2f}", ""),
                ("its start-up, cards, figures", f"{result['start_wall']:.2f}", f"{result['start_cpu']:.2f}", ""),
                ("MB/s to those of the copy", f"{result['wall_ratio']:.2f}", f"{result['cpu_ratio']:.2f}", ""),
            ],
        )
    )  # fmt: skip
    return result


def again(bench: Bench) -> dict[str, object]:
    """Bytes stored by a second release to the Hub after 2 % of the verdicts changed."""
    result: dict[str, object] = {}
    rows = []
    for name, options in {
        "images, shards kept": ("--what", "images"),
        "images, laid out anew": ("--what", "images", "--compact"),
        "manifest": ("--what", "manifest"),
    }.items():
        root = make(bench.fresh("root"), max(1, bench.pairs // SHARD // 2))
        with Hub(bench.fresh("hub")) as hub:
            stored = []
            for tag, mix in (("v1", FIRST), ("v2", LATER)):
                apart(score, root, mix)
                before = hub.store.stored() / 1e6
                bench.danqing(
                    "release", str(root), "hf://datasets/tester/again", *options, "--tag", tag, hub=hub
                )
                stored.append(hub.store.stored() / 1e6 - before)
        share = stored[1] / stored[0]
        result[name] = {"first_MB": stored[0], "second_MB": stored[1], "share": share}
        rows.append((name, f"{stored[0]:.1f}", f"{stored[1]:.2f}", f"{share:.2%}"))
    header = ("release", "first, MB", "second, MB", "share")
    print(measure.table("Stored by a second release, 2 % of the verdicts changed", header, rows))
    return result


def requests(bench: Bench) -> dict[str, object]:
    """Requests and commits of a release of many files."""
    root = make(bench.fresh("root"), 16, 4000, large=False)
    with Hub(bench.fresh("hub")) as hub:
        words = ("release", str(root), "hf://datasets/tester/many", "--what", "manifest", "--tag", "v1")
        bench.danqing(*words, "--divide-by", "625", hub=hub)
        files = len(hub.contents("tester/many"))
        asked, commits = len(hub.requests), sum("/commit/" in one.target for one in hub.requests)
    per = 1000 / files
    result: dict[str, object] = {"files": files, "requests": asked, "commits": commits}
    print(
        measure.table(
            "Asked of the Hub",
            ("files", "requests", "commits", "requests per 1,000 files", "commits per 1,000 files"),
            [(files, asked, commits, f"{asked * per:.0f}", f"{commits * per:.1f}")],
        )
    )
    return result


def flat(bench: Bench) -> dict[str, object]:
    """Peak memory of a release by the number of shards, all of the same size; what one holds is a few row groups."""
    rows, result = [], {}
    for shards in (8, 32, 96):
        root = make(bench.fresh("root"), shards, 500)
        used = bench.danqing("release", str(root), str(bench.fresh("out")), "--what", "images", *SMALL)
        rows.append((shards, f"{megabytes(root / 'images'):.0f}", f"{used.process_mb:.0f}"))
        result[str(shards)] = used.process_mb
    print(measure.table("Peak memory", ("shards of the root", "MB", "peak MB"), rows))
    return result


PARTS: dict[str, Callable[[Bench], dict[str, object]]] = {
    part.__name__: part for part in (compaction, again, requests, flat)
}


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=16_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="danqing-release-") as folder:
        bench = Bench(Path(folder), options.rounds, options.pairs)
        for name in options.only:
            measure.save(OUT, name, PARTS[name](bench))
    return 0


if __name__ == "__main__":
    sys.exit(main())
