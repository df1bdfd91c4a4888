"""`danqing rebuild` against img2dataset, in turn in one run: CPU, wall and memory for the same pixels, and the edges.

    python benchmarks/rebuild.py [--only NAME ...] [--rounds N] [--images N] [--peers 3.11,3.12] [--tree PATH]

In: nothing; it makes a farm of images, serves it with nginx, and installs the peer, all under benchmarks/out.
Out: a table for each benchmark on stdout and benchmarks/out/rebuild.json, which keeps the results of earlier runs of
other benchmarks. Progress goes to stderr. A whole run takes about an hour on two cores.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import edges
import farm
import measure
import ours
import peer
import pixels
from duel import Score, Side, duel, manifest, once, ratio, say

HERE = Path(__file__).resolve().parent
THREADS = (32, 64, 128)  # the peer is taken at the best of these

# (work, ours, against): CPU of the peer over ours, and wall likewise, that are wanted
WANTED: dict[tuple[str, str, str], tuple[float, float | None]] = {
    ("http", "exact", "peer-3.11"): (1.08, 1.2),
    ("http", "fast", "peer-3.11"): (1.3, 1.45),
    ("http", "exact", "peer-3.12"): (1.08, 1.2),
    ("http", "fast", "peer-3.12"): (1.3, 1.45),
    ("https", "exact", "peer-3.11"): (5.0, None),
    ("https", "fast", "peer-3.11"): (5.8, None),
    ("https", "exact", "peer-3.12"): (1.4, None),
    ("https", "fast", "peer-3.12"): (1.6, None),
    ("originals-https", "originals", "peer-3.11"): (30.0, None),
    ("originals-https", "originals", "peer-3.12"): (2.2, None),
    ("originals-https", "originals", "unchecked"): (1.0, None),
    ("originals-http", "originals", "peer-3.11"): (1.1, 1.8),
    ("originals-http", "originals", "peer-3.12"): (1.1, 1.8),
}
WORKS = {
    "http": "http, short side 256, JPEG q95, Parquet",
    "https": "https, short side 256, JPEG q95, Parquet",
    "originals-https": "https, originals, sha256",
    "originals-http": "http, originals, sha256",
}


@dataclass
class Bench:
    """What the benchmarks share: the farm and its server, the tools, and how much to do."""

    out: Path
    tree: Path
    rounds: int
    images: farm.Farm
    site: farm.Site
    peers: list[peer.Peer]
    threads: dict[str, int] = field(default_factory=dict)

    @property
    def results(self) -> Path:
        """The JSON file."""
        return self.out / "rebuild.json"

    def work(self, name: str) -> Path:
        """The folder that runs of one benchmark write to."""
        return self.out / "run" / name

    def urls(self, scheme: str) -> list[str]:
        """URLs of the farm, spread over the hosts."""
        return [self.site.url(scheme, f"farm/{name}", i) for i, name in enumerate(self.images.names)]

    def own(self, name: str, flags: list[str], retries: int = 0) -> Side:
        """Ours with those flags."""
        env = {**ours.environment(self.tree), "SSL_CERT_FILE": str(self.site.bundle)}
        return Side(name, lambda m, o: ours.command(m, o, flags, retries), ours.kept, env)

    def other(self, which: peer.Peer, flags: list[str], threads: int, retries: int = 0) -> Side:
        """The peer with those flags."""
        env = {**peer.environment(), "SSL_CERT_FILE": str(self.site.bundle)}
        command = partial(which.command, flags=flags, threads=threads, retries=retries)
        return Side(f"peer-{which.python}", command, peer.kept, env)

    def unchecked(self) -> Side:
        """The reference that checks nothing."""
        env = {**os.environ, "SSL_CERT_FILE": str(self.site.bundle)}
        program = [sys.executable, str(HERE / "nemo_helper.py")]
        return Side("unchecked", lambda m, o: [*program, str(m), str(o)], stored, env)

    def best(self, which: peer.Peer, flags: list[str], urls: list[str], name: str) -> Side:
        """The peer at its best number of threads for this work: the least product of CPU and wall."""
        slow = name.endswith("https") and which.python == "3.11"  # it builds a TLS context for each request
        share = min(1.0, 1000 / len(urls)) if slow else 1.0
        sample = manifest(self.work(name) / "threads.parquet", urls[: round(min(len(urls), 2000) * share)])
        found = {}
        for threads in THREADS:
            used = once(self.other(which, flags, threads), sample, self.work(name))
            found[threads] = used.cpu * used.wall
            say(f"{name} peer-{which.python} with {threads} threads: {used.cpu:.1f} s CPU, {used.wall:.1f} s")
        self.threads[f"{name} peer-{which.python}"] = threads = min(found, key=lambda t: found[t])
        return replace(self.other(which, flags, threads), share=share)


def stored(out: Path) -> int:
    """Images that the unchecked helper wrote."""
    return int((out / "stored").read_text())


def throughput(bench: Bench, name: str) -> None:
    """One of WORKS: ours (exact and fast, or originals) against every peer."""
    originals = name.startswith("originals")
    urls = bench.urls(name.rsplit("-", 1)[-1])
    flags = peer.ORIGINALS if originals else peer.PIXELS
    own = {"originals": ours.ORIGINALS} if originals else {"exact": ours.EXACT, "fast": ours.FAST}
    sides = [bench.best(which, flags, urls, name) for which in bench.peers]
    sides += [bench.own(label, own_flags) for label, own_flags in own.items()]
    sides += [bench.unchecked()] if originals else []
    scores = duel(sides, urls, bench.work(name), bench.rounds)
    rows = [row(name, scores[label], against) for label in own for against in scores.values()
            if against.side.name not in own]  # fmt: skip
    header = ["ours", "against", "ours ms", "theirs ms", "CPU", "wanted", "wall", "wanted ", "wall less start-up",
              "ours img/s", "theirs img/s", "ours MB", "theirs MB", "kept"]  # fmt: skip
    title = f"{WORKS[name]}: {len(urls)} images, {bench.rounds} rounds; CPU ms per image without start-up"
    print(measure.table(title, header, rows))
    result: dict[str, object] = {label: score.figures() for label, score in scores.items()}
    result |= {"rows": [dict(zip(header, row, strict=True)) for row in rows], "threads": bench.threads}
    if not originals:
        result["pixels"] = same_pixels(bench, name)
    measure.save(bench.results, name, result)


def row(name: str, own: Score, against: Score) -> list[object]:
    """One line of the table of `throughput`."""
    mine, theirs = own.figures(), against.figures()
    cpu, wall = WANTED.get((name, own.side.name, against.side.name), (None, None))
    return [
        own.side.name, against.side.name, mine["cpu_ms"], theirs["cpu_ms"],
        f"{ratio(own, against, Score.cpu_ms):.2f}x", f">= {cpu}x" if cpu else "",
        f"{ratio(own, against, Score.wall):.2f}x", f">= {wall}x" if wall else "",
        f"{ratio(own, against, partial(Score.wall, start=False)):.2f}x",
        mine["images_per_s"], theirs["images_per_s"], mine["tree_mb"], theirs["tree_mb"],
        f"{own.kept}/{own.count}, {against.kept}/{against.count}",
    ]  # fmt: skip


def same_pixels(bench: Bench, name: str) -> dict[str, object]:
    """Exact against the peer, and fast against exact, over what the last round stored."""
    work = bench.work(name)
    exact = dict(ours.images(work / "exact"))
    found = {"fast against exact": pixels.compare(exact.items(), ours.images(work / "fast"))}
    for which in bench.peers:
        theirs = peer.images(work / f"peer-{which.python}")
        found[f"exact against peer-{which.python}"] = pixels.compare(exact.items(), theirs)
    for label, difference in found.items():
        print(f"pixels of JPEG rows, {label}: {difference}")
    return {label: difference.figures() for label, difference in found.items()}


BENCHMARKS: dict[str, Callable[[Bench], None]] = {
    **{name: partial(throughput, name=name) for name in WORKS},
    "startup": edges.startup,
    "mix": edges.mix,
    "limited": edges.limited,
    "hostile": edges.hostile,
    "flat": edges.flat,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), default=list(BENCHMARKS), metavar="NAME",
                        help=f"of {', '.join(BENCHMARKS)}")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=4000, help="images of the farm")
    parser.add_argument(
        "--peers", default="3.11,3.12", help="Pythons to run img2dataset on; empty: ours alone"
    )
    parser.add_argument(
        "--tree", type=Path, default=HERE.parent, help="source tree whose danqing is measured"
    )
    parser.add_argument("--out", type=Path, default=HERE / "out")
    args = parser.parse_args()
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # so that the servers and the tool measured end too
    out = args.out.resolve()
    versions = [version for version in args.peers.split(",") if version]
    peers = [found for version in versions if (found := peer.install(out, version))]
    images = farm.build(out / "farm", args.images)
    farm.build_small(out / "small")
    machine = {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "peers": [f"img2dataset {peer.VERSION} on {which.python}" for which in peers],
        "farm": images.figures,
    }
    say(f"machine: {machine}")
    with ExitStack() as stack:
        site = stack.enter_context(farm.serve(out))
        stack.callback(shutil.rmtree, out / "run", ignore_errors=True)
        bench = Bench(out, args.tree.resolve(), args.rounds, images, site, peers)
        measure.save(bench.results, "machine", machine)
        for name in args.only:
            BENCHMARKS[name](bench)
            shutil.rmtree(bench.work(name), ignore_errors=True)


if __name__ == "__main__":
    main()
