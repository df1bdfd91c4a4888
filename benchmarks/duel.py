"""Runs several tools in turn on one manifest, and turns what they used into figures per image.

In: `Side`s. Out: a `Score` for each. Each round runs every side once, in alternating order, with a run of a
single row beside it; the median of those is the start-up, which is taken out of the CPU of an image. Ratios are
taken within a round, then their median is.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import measure
import pyarrow as pa
import pyarrow.parquet as pq
from measure import Usage


@dataclass(frozen=True)
class Side:
    """One tool with its flags.

    command(manifest, out): its command line; kept(out): images it stored; share: of the images that it is given,
    for tools so slow that all would take too long (its wall is projected).
    """

    name: str
    command: Callable[[Path, Path], list[str]]
    kept: Callable[[Path], int]
    env: dict[str, str]
    share: float = 1.0


@dataclass
class Score:
    """What a side used in each round; `count` images asked of it, of `total` in the work."""

    side: Side
    count: int
    total: int
    runs: list[Usage] = field(default_factory=list)
    starts: list[Usage] = field(default_factory=list)
    kept: int = 0

    def cpu_ms(self, run: Usage) -> float:
        """CPU per image in ms, start-up taken out."""
        return (run.cpu - measure.median(s.cpu for s in self.starts)) * 1000 / self.count

    def wall(self, run: Usage, *, start: bool = True) -> float:
        """Seconds for all images of the work, with start-up or without."""
        begin = measure.median(s.wall for s in self.starts)
        return (run.wall - begin) * self.total / self.count + (begin if start else 0.0)

    def figures(self) -> dict[str, object]:
        """Medians and all rounds, for the JSON file."""
        return {
            "images": self.count,
            "kept": self.kept,
            "cpu_ms": round(measure.median(map(self.cpu_ms, self.runs)), 3),
            "cpu_ms_rounds": [round(self.cpu_ms(run), 3) for run in self.runs],
            "images_per_s": round(self.total / measure.median(map(self.wall, self.runs)), 1),
            "wall_s_rounds": [round(self.wall(run), 2) for run in self.runs],
            "start_cpu_s": round(measure.median(s.cpu for s in self.starts), 2),
            "start_wall_s": round(measure.median(s.wall for s in self.starts), 2),
            "tree_mb": round(measure.median(run.tree_mb for run in self.runs)),
            "process_mb": round(measure.median(run.process_mb for run in self.runs)),
        }


def ratio(ours: Score, peer: Score, figure: Callable[[Score, Usage], float]) -> float:
    """Median over the rounds of peer / ours."""
    pairs = zip(ours.runs, peer.runs, strict=True)
    return measure.median(figure(peer, theirs) / figure(ours, own) for own, theirs in pairs)


def once(side: Side, manifest: Path, work: Path, timeout: float = 1800.0) -> Usage:
    """One run into an empty `work`/NAME, which stays for a look at what was stored."""
    out = work / side.name
    shutil.rmtree(out, ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    log = work / f"{side.name}.log"
    return measure.run(side.command(manifest, out), log=log, env=side.env, timeout=timeout).check()


def manifest(path: Path, urls: Sequence[str]) -> Path:
    """Writes a manifest of those URLs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    captions = [f"图片 {i}" for i in range(len(urls))]
    pq.write_table(pa.table({"url": list(urls), "alt_text": captions}), path)
    return path


def duel(sides: Sequence[Side], urls: Sequence[str], work: Path, rounds: int) -> dict[str, Score]:
    """Runs all sides `rounds` times in turn."""
    single = manifest(work / "one.parquet", urls[:1])
    scores, manifests = {}, {}
    for side in sides:
        count = max(1, round(len(urls) * side.share))
        scores[side.name] = Score(side, count, len(urls))
        manifests[side.name] = manifest(work / f"{count}.parquet", urls[:count])
    for turn in range(rounds):
        for side in sides if turn % 2 == 0 else sides[::-1]:
            score = scores[side.name]
            score.starts.append(once(side, single, work))
            score.runs.append(once(side, manifests[side.name], work))
            score.kept = side.kept(work / side.name)
            used, cpu = score.runs[-1], score.cpu_ms(score.runs[-1])
            numbers = (
                f"{cpu:.2f} ms, {used.wall:.1f} s, {used.tree_mb:.0f} MB, kept {score.kept}/{score.count}"
            )
            say(f"{work.name} {turn + 1}/{rounds} {side.name}: {numbers}")
    return scores


def say(text: str) -> None:
    """A line of progress on stderr."""
    print(text, file=sys.stderr, flush=True)
