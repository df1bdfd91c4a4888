"""How fast stored pictures become training tensors: the loader of `danqing train` beside its peers, on the same pairs.

    make peers litdata streaming                # beside webdataset, which the tests need anyway
    python benchmarks/feed.py                   # about half an hour on two quiet cores
    python benchmarks/feed.py --only square --rounds 1 --pairs 2048
    python benchmarks/feed.py --smoke           # small; exits 1 where a pair is lost, comes twice or differs

| name | the pictures, JPEGs of about 2 bits a pixel |
|---|---|
| square | 256 x 256, as the tower takes them |
| wide | short side 256, as a rebuild with its defaults stores them, to be squashed to a square |

Every contender (feeders.py) has a process of its own with as many workers, and gives the same batches: uint8 pixels of
256 x 256 and token ids. Ours runs with Pillow, as the peers do, and with its own decoder. The clock is the kernel's CPU
account of a process and its workers from opening the data to the end of one epoch, imports and tokenizer apart. What is
not decoding is that less what the decoder alone takes for the same bytes, in as many processes. They take turns; a
ratio is taken within a round, and the median over the rounds is shown. Wall is shown and not judged.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import measure  # noqa: E402
import numpy as np  # noqa: E402
import roots  # noqa: E402
import shapes  # noqa: E402
from feeders import Took, Work  # noqa: E402

from benchmarks import peers  # noqa: E402

SIZES = {"square": ((256, 256),), "wide": ((341, 256), (256, 341))}
DRAWN = 512  # different pictures
SHARDS = 8
PEERS = ("webdataset", "litdata", "streaming")
SAME, REST, OWN = (
    1.0,
    0.6,
    1.8,
)  # wanted: images/CPU-s and the rest with the same decoder, images/CPU-s with ours
Runs = dict[str, list[Took]]


@dataclass(frozen=True)
class Bench:
    """What is measured, and how often."""

    folder: Path
    pairs: int
    rounds: int
    batch: int
    workers: int
    peers: dict[str, Path]

    def contenders(self, folder: Path) -> dict[str, Work]:
        """Ours, the peers, and both decoders alone."""
        most = max(1, self.pairs // 1024)  # so that a stream is a window or more, as those of a large set are
        streams = max(n for n in range(1, most + 1) if self.batch % n == 0)
        common = dataclasses.asdict(
            Work("", str(folder), str(shapes.TINY), self.batch, self.workers, streams)
        )
        chosen = {f"ours, {one}": {"name": "ours", "decoder": one} for one in ("pillow", "own")}
        chosen |= {one: {"name": one} for one in self.peers}
        chosen |= {f"decode, {one}": {"name": "decode", "decoder": one} for one in ("pillow", "own")}
        return {name: Work(**common | how) for name, how in chosen.items()}

    def once(self, work: Work) -> Took:
        """One contender in a process of its own."""
        python = self.peers.get(work.name, Path(sys.executable))
        command = [str(python), str(HERE / "feeders.py"), json.dumps(dataclasses.asdict(work))]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, encoding="utf-8")
        return Took(**json.loads(done.stdout.splitlines()[-1]))

    def made(self, name: str) -> Path:
        """The pairs in every form."""
        folder = self.folder / name
        sizes = SIZES[name]
        drawn = [one for size in sizes for one in roots.pictures(min(DRAWN, self.pairs) // len(sizes), size)]
        roots.root(folder / "root", drawn, self.pairs, SHARDS)
        for peer, python in self.peers.items():
            command = [str(python), str(HERE / "feeders.py"), "write", peer, str(folder)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return folder


def compared(bench: Bench, works: dict[str, Work], missed: list[str]) -> tuple[float, float]:
    """One run of each that is looked at, and warms up; how far our pixels are from Pillow's, mean and most, of 255."""
    found = {}
    for name, work in works.items():
        if name.startswith("decode"):
            continue
        file = bench.folder / f"{name.replace(', ', '-')}.npz"
        took = bench.once(dataclasses.replace(work, look=str(file)))
        if (took.pairs, took.distinct) != (bench.pairs, bench.pairs):
            missed.append(f"{name}: {took.distinct} pairs of {bench.pairs}, {took.pairs} rows")
        found[name] = dict(np.load(file))
    first = found["ours, pillow"]
    for name, look in found.items():
        for what in ("keys", "ids", "pixels"):
            if (name, what) != ("ours, own", "pixels") and not np.array_equal(look[what], first[what]):
                missed.append(f"{name}: other {what} than ours with Pillow")
    apart = np.abs(found["ours, own"]["pixels"].astype(np.int16) - first["pixels"])
    return float(apart.mean()), float(apart.max())


def turns(bench: Bench, works: dict[str, Work], missed: list[str]) -> Runs:
    """Every contender once a round, in alternating order."""
    found: Runs = {name: [] for name in works}
    for number in range(bench.rounds):
        for name in list(works)[:: 1 if number % 2 == 0 else -1]:
            took = bench.once(works[name])
            found[name].append(took)
            if took.distinct != bench.pairs:
                missed.append(f"{name}: {took.distinct} pairs of {bench.pairs}")
            said = f"{took.cpu / took.pairs * 1e3:.2f} ms of CPU an image"
            print(f"round {number + 1}/{bench.rounds}: {name}: {said}", file=sys.stderr, flush=True)
    return found


def rest(found: Runs, name: str) -> list[float]:
    """CPU seconds of each round that are not decoding."""
    alone = found["decode, own" if name == "ours, own" else "decode, pillow"]
    return [took.cpu - decoder.cpu for took, decoder in zip(found[name], alone, strict=True)]


def ratios(found: Runs, peer: str) -> dict[str, float]:
    """Ours against a peer, medians over the rounds."""

    def cpu(name: str) -> list[float]:
        return [took.cpu for took in found[name]]

    def median(above: list[float], below: list[float]) -> float:
        return measure.median(a / b for a, b in zip(above, below, strict=True))

    return {
        "same": median(cpu(peer), cpu("ours, pillow")),
        "rest": median(rest(found, "ours, pillow"), rest(found, peer)),
        "own": median(cpu(peer), cpu("ours, own")),
    }


def measured(bench: Bench, name: str, missed: list[str], slow: list[str]) -> dict[str, Any]:
    """One kind of pictures: made, compared, timed and told."""
    works = bench.contenders(bench.made(name))
    mean, most = compared(bench, works, missed)
    found = turns(bench, works, missed)
    against = {peer: ratios(found, peer) for peer in bench.peers}
    rows = []
    for one, runs in found.items():
        each = measure.median(took.cpu / took.pairs for took in runs)
        left = (
            "" if one.startswith("decode") else f"{measure.median(rest(found, one)) / bench.pairs * 1e3:.2f}"
        )
        ratio = [f"{value:.2f}x" for value in against.get(one, {}).values()] or [""] * 3
        wall = measure.median(took.pairs / took.seconds for took in runs)
        rows.append((one, f"{1 / each:,.0f}", f"{each * 1e3:.2f}", left, *ratio, f"{wall:,.0f}"))
    header = (
        "contender", "images/CPU-s", "CPU ms/image", "not decoding", f"same decoder (>= {SAME})",
        f"its rest (<= {REST})", f"our decoder (>= {OWN})", "images/s, wall",
    )  # fmt: skip
    size = " and ".join("x".join(map(str, one)) for one in SIZES[name])
    title = f"{name}: {bench.pairs:,} JPEGs of {size}, batches of {bench.batch}, {bench.workers} workers"
    print(measure.table(title, header, rows), flush=True)
    print(f"pixels of our decoder against Pillow's: {mean:.4f} of 255 apart in the mean, {most:.0f} at most")
    for peer, ratio in against.items():
        wanted = {"same": ratio["same"] >= SAME, "rest": ratio["rest"] <= REST, "own": ratio["own"] >= OWN}
        slow += [f"{name}, {peer}, {what}: {ratio[what]:.2f}" for what, good in wanted.items() if not good]
    runs = {one: [dataclasses.asdict(took) for took in took_all] for one, took_all in found.items()}
    return {"ratios": against, "pixels": {"mean": mean, "most": most}, "runs": runs}


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--pairs", type=int, default=8192)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--smoke", action="store_true", help="one small round of squares")
    parser.add_argument("--json", type=Path, default=HERE / "out" / "feed.json")
    options = parser.parse_args()
    if options.smoke:
        options.only, options.pairs, options.rounds, options.batch = ["square"], 512, 1, 64
    if options.pairs % options.batch:
        parser.error("--batch has to divide --pairs, as an epoch of ours goes on into the next one")
    for line in peers.missing("litdata", "streaming"):
        print(line, file=sys.stderr)
    pythons = {one: python for one in PEERS[1:] if (python := peers.python_of(one)) is not None}
    (HERE / "out").mkdir(exist_ok=True)
    missed: list[str] = []
    slow: list[str] = []
    with tempfile.TemporaryDirectory(dir=HERE / "out") as name:
        bench = Bench(
            Path(name), options.pairs, options.rounds, options.batch, options.workers,
            {"webdataset": Path(sys.executable)} | pythons,
        )  # fmt: skip
        for one in options.only:
            measure.save(options.json, one, measured(bench, one, missed, slow))
    return measure.verdict(missed, slow)


if __name__ == "__main__":
    raise SystemExit(main())
