"""An earlier build against this one, in turn in one run: start-up, a rebuild over https, scoring, streaming.

    git worktree add --detach ../before v0.1.0
    python benchmarks/builds.py ../before [--rounds 5] [--images 1500] [--only WORD] [--json FILE] [--smoke]

In: the tree of the earlier build, which runs with the packages of this interpreter. Out: a table of CPU and wall of
both, and the median over the rounds of before / now: 1.03 is 3 % less than before. --smoke is small and quick.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import farm
import measure
import ours
from duel import manifest, say
from measure import Usage, median

HERE = Path(__file__).resolve().parent
NOW = HERE.parent
MODEL = NOW / "builder/towers/tiny"
STREAM = (
    "import sys, danqing; from datasets import load_dataset\n"
    "ds = load_dataset('danqing', data_dir=sys.argv[1], split='train', streaming=True, decode=False)\n"
    "print(sum(len(row['image']['bytes']) for _ in range(int(sys.argv[2])) for row in ds))"
)
PASSES = 10  # over the rows, when they are streamed


@dataclass(frozen=True)
class Work:
    """A thing that both builds do.

    command(tree, out): its command line; prepare(out): makes its folder; ends: exit statuses that are well.
    """

    name: str
    command: Callable[[Path, Path], list[str]]
    prepare: Callable[[Path], None] = lambda out: shutil.rmtree(out, ignore_errors=True)
    ends: tuple[int, ...] = (0,)
    runs: dict[str, list[Usage]] = field(default_factory=lambda: {"before": [], "now": []})

    def ratio(self, figure: str) -> float:
        """Median over the rounds of before / now."""
        pairs = zip(self.runs["before"], self.runs["now"], strict=True)
        return median(getattr(old, figure) / getattr(new, figure) for old, new in pairs)

    def figures(self) -> dict[str, list[float]]:
        """Of CPU and wall: seconds before, seconds now, and the ratio; medians."""
        return {
            figure: [
                *(round(median(getattr(run, figure) for run in runs), 3) for runs in self.runs.values()),
                round(self.ratio(figure), 3),
            ]
            for figure in ("cpu", "wall")
        }


def works(root: Path, table: Path) -> list[Work]:
    """What is compared. root: a rebuilt one, to be scored and streamed; table: a manifest of the farm."""

    def start(*words: str) -> Callable[[Path, Path], list[str]]:
        return lambda tree, out: [sys.executable, *words]

    def fresh(out: Path) -> None:
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(root, out)

    score = [sys.executable, "-m", "builder.cli", "revalidate"]
    flags = ["--model", str(MODEL), "--device", "cpu", "--quiet", "--alpha", "0.05"]
    return [
        Work("danqing --help", start("-m", "builder.cli", "--help")),
        Work("import datasets", start("-c", "import datasets")),
        Work("import danqing", start("-c", "import danqing")),
        Work("rebuild, https, exact", lambda tree, out: ours.command(table, out, ours.EXACT)),
        Work("rebuild, https, originals", lambda tree, out: ours.command(table, out, ours.ORIGINALS)),
        Work(
            "revalidate, tiny", lambda tree, out: [*score, str(out), *flags], fresh, (0, 1)
        ),  # of noise, few pairs or none are kept
        Work("stream, bytes", lambda tree, out: [sys.executable, "-c", STREAM, str(root), str(PASSES)]),
    ]


def race(args: argparse.Namespace, out: Path) -> list[Work]:
    """Run everything `args.rounds` times, the builds in turn."""
    images = farm.build(out / "farm", args.images)
    trees = {"before": args.before.resolve(), "now": NOW}
    with farm.serve(out) as site:
        urls = [site.url("https", f"farm/{name}", i) for i, name in enumerate(images.names[: args.images])]
        table = manifest(out / "run" / "builds.parquet", urls)
        places = {
            name: {**ours.environment(tree), "SSL_CERT_FILE": str(site.bundle), "HF_DATASETS_OFFLINE": "1"}
            for name, tree in trees.items()
        }
        root, log = out / "run" / "root", out / "run" / "log.txt"
        shutil.rmtree(root, ignore_errors=True)
        measure.run(ours.command(table, root, ours.EXACT), log=log, env=places["before"], cwd=out).check()
        done = [work for work in works(root, table) if args.only in work.name]
        for turn in range(args.rounds):
            for work in done:
                for name in list(trees)[:: 1 if turn % 2 == 0 else -1]:
                    target = out / "run" / name
                    work.prepare(target)
                    run = measure.run(work.command(trees[name], target), log=log, env=places[name], cwd=out)
                    if run.returncode not in work.ends:
                        run.check()
                    work.runs[name].append(run)
                    say(
                        f"{turn + 1}/{args.rounds} {work.name}, {name}: {run.cpu:.2f} s CPU, {run.wall:.2f} s"
                    )
    shutil.rmtree(out / "run", ignore_errors=True)
    return done


def main() -> None:
    """Run all of it and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("before", type=Path, help="the tree of the earlier build")
    parser.add_argument("--only", default="", metavar="WORD", help="the works with this in their name")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--smoke", action="store_true", help="small and quick: does it run?")
    args = parser.parse_args()
    if args.smoke:
        args.rounds, args.images = 1, 40
    figures = {work.name: work.figures() for work in race(args, HERE / "out")}
    print(
        f"{'work':28} {'CPU s before':>12} {'now':>8} {'ratio':>7} {'wall s before':>14} {'now':>8} {'ratio':>7}"
    )
    for name, row in figures.items():
        cpu, wall = row["cpu"], row["wall"]
        print(
            f"{name:28} {cpu[0]:12.3f} {cpu[1]:8.3f} {cpu[2]:7.3f} {wall[0]:14.3f} {wall[1]:8.3f} {wall[2]:7.3f}"
        )
    if args.json:
        machine = {"cores": os.cpu_count(), "rounds": args.rounds, "images": args.images}
        args.json.write_text(json.dumps({**machine, "works": figures}, indent=1))


if __name__ == "__main__":
    main()
