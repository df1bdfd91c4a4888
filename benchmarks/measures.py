"""Measures of pictures: from their bytes beside what everybody writes, and what `rebuild --measure` adds to a rebuild.

    python benchmarks/measures.py                # both, a quarter of an hour on two quiet cores
    python benchmarks/measures.py --only bytes --images 400 --rounds 5
    python benchmarks/measures.py --smoke        # small, under a minute; 1 where a figure is missed that is no speed

| name | what runs |
|---|---|
| bytes | the farm's files: ours, against Pillow's RGB, numpy.std, numpy.bincount and a Laplacian of doubles |
| rebuild | the farm over http, short side 256: with --measure against without, --decode exact and fast |

One process and one thread for `bytes`, turns in alternating order, ratios within a round. `rebuild` needs nginx, and is
left out where there is none. CPU is told; of a rebuild an image's, without start-up.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import cv2  # noqa: E402
import farm  # noqa: E402
import measure  # noqa: E402
import numpy as np  # noqa: E402
import ours  # noqa: E402
from duel import Score, Side, duel, ratio, say  # noqa: E402
from PIL import Image  # noqa: E402

from builder.picture.stored import measured  # noqa: E402

FASTER, DEARER = (
    2.0,
    1.2,
)  # CPU of the plain way over ours, and of a rebuild that measures over one that does not
OFF = {"jpg": 0.25, "else": 1e-9}  # a JPEG is measured by the Y that it holds, not by RGB made of it
Numbers = tuple[float, float, float]


@dataclass
class Bench:
    """What the parts share. missed: what was wanted and is not so, whatever the machine; slow: what depends on it."""

    out: Path
    rounds: int
    images: farm.Farm
    missed: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)


def plain(body: bytes) -> Numbers:
    """The measures as they are usually written."""
    rgb = np.asarray(Image.open(io.BytesIO(body)).convert("RGB"))
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    shares = np.bincount(grey.ravel(), minlength=256) / grey.size
    shares = shares[shares > 0]
    entropy = float(-(shares * np.log2(shares)).sum())
    return float(grey.std()), float(cv2.Laplacian(grey, cv2.CV_64F).var()), entropy


def from_bytes(bench: Bench) -> dict[str, Any]:
    """Both ways over all files in memory, in turn."""
    names = bench.images.names
    bodies = [(bench.images.root / name).read_bytes() for name in names]
    ways: dict[str, Callable[[bytes], Numbers | None]] = {"ours": measured, "plain": plain}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, list[Numbers | None]] = {}
    for turn in range(bench.rounds):
        for name in [*ways][:: 1 if turn % 2 == 0 else -1]:
            began = time.process_time()
            found[name] = [ways[name](body) for body in bodies]
            seconds[name].append(time.process_time() - began)
            say(f"bytes {turn + 1}/{bench.rounds} {name}: {seconds[name][-1] * 1000 / len(bodies):.2f} ms")
    off = differences(names, found["ours"], found["plain"])
    for kind, worst in off.items():
        if not worst <= OFF.get(kind, OFF["else"]):
            bench.missed.append(f"bytes: measures of {kind} differ by {worst:.3g}")
    times = measure.median(b / a for a, b in zip(seconds["ours"], seconds["plain"], strict=True))
    if times < FASTER:
        bench.slow.append(f"bytes: {times:.2f} times the plain way's speed, {FASTER} wanted")
    ms = {name: round(measure.median(one) * 1000 / len(bodies), 3) for name, one in seconds.items()}
    title = f"measures from bytes: {len(bodies)} files, {bench.rounds} rounds, one thread; CPU"
    row = [ms["ours"], ms["plain"], f"{times:.2f}x", f">= {FASTER}x"]
    print(measure.table(title, ["ours ms", "plain ms", "CPU", "wanted"], [row]))
    return {"ms": ms, "ratio": round(times, 3), "largest_difference": off}


def differences(
    names: list[str], ours: list[Numbers | None], others: list[Numbers | None]
) -> dict[str, float]:
    """The largest relative difference of a measure, by the ending of the file's name; NaN where one has none."""
    worst: dict[str, float] = {}
    for name, one, other in zip(names, ours, others, strict=True):
        kind = name.rsplit(".", 1)[-1]
        a, b = (np.array(numbers or [np.nan] * 3) for numbers in (one, other))
        off = float(np.max(np.abs(a - b) / np.maximum(np.abs(b), 1e-6)))
        worst[kind] = max(worst.get(kind, 0.0), off) if np.isfinite(off) else float("nan")
    return worst


def of_rebuild(bench: Bench) -> dict[str, Any]:
    """A rebuild with --measure against the same without, both decoders."""
    if shutil.which("nginx") is None:
        say("rebuild: no nginx, left out")
        return {}
    rows, told = [], {}
    with farm.serve(bench.out) as site:
        urls = [site.url("http", f"farm/{name}", i) for i, name in enumerate(bench.images.names)]
        for decode, flags in (("exact", ours.EXACT), ("fast", ours.FAST)):
            work = bench.out / "run" / decode
            scores = duel(
                [side("plain", flags), side("measure", [*flags, "--measure"])], urls, work, bench.rounds
            )
            plainly, measuring = scores["plain"], scores["measure"]
            times = 1 / ratio(measuring, plainly, Score.cpu_ms)
            wanted = DEARER if decode == "exact" else None
            if plainly.kept < len(urls) or not same(work):
                bench.missed.append(f"rebuild, {decode}: other pictures with --measure than without")
            if wanted and times > wanted:
                bench.slow.append(f"rebuild, {decode}: {times:.2f} times the CPU, {wanted} wanted")
            ms = [one.figures()["cpu_ms"] for one in (plainly, measuring)]
            rows.append([decode, *ms, f"{times:.2f}x", f"<= {wanted}x" if wanted else ""])
            told[decode] = {name: one.figures() for name, one in scores.items()} | {"ratio": round(times, 3)}
    shutil.rmtree(bench.out / "run", ignore_errors=True)
    title = f"rebuild, http, short side 256: {len(urls)} images, {bench.rounds} rounds; CPU an image"
    print(measure.table(title, ["decode", "plain ms", "--measure ms", "CPU", "wanted"], rows))
    return told


def side(name: str, flags: list[str]) -> Side:
    """Ours with those flags."""
    return Side(
        name, lambda table, out: ours.command(table, out, flags), ours.kept, ours.environment(HERE.parent)
    )


def same(work: Path) -> bool:
    """Whether the same bytes were stored with measures and without."""
    return dict(ours.images(work / "plain")) == dict(ours.images(work / "measure"))


PARTS = {"bytes": from_bytes, "rebuild": of_rebuild}


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=1500, help="images of the farm")
    parser.add_argument("--smoke", action="store_true", help="small, one round")
    parser.add_argument("--json", type=Path, default=HERE / "out" / "measures.json")
    options = parser.parse_args()
    rounds, count = (1, 60) if options.smoke else (options.rounds, options.images)
    out = HERE / "out"
    bench = Bench(out, rounds, farm.build(out / "farm", count))
    for name in options.only:
        measure.save(options.json, name, {**bench.images.figures, **PARTS[name](bench)})
    return measure.verdict(bench.missed, bench.slow)


if __name__ == "__main__":
    sys.exit(main())
