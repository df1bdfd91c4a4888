"""How often hosts are asked: after a kill, of a URL that objects, and of a host that objects to everything.

    python benchmarks/asked.py [--tree OLD] [--rows 2000] [--smoke] [--json FILE]

In: nothing; a host on loopback serves and counts. Out: for this tree, and for that of --tree in turn on the same work,
rows kept, requests sent and seconds. Exits 1 where rows of this tree are lost to one URL, or more of the rows that
had been answered are asked again after a kill than are in flight.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import measure  # noqa: E402
import ours  # noqa: E402
from duel import manifest  # noqa: E402

from tests.faulthost import FaultHost  # noqa: E402

IN_FLIGHT = 8
TRIES = 3
OBJECTIONS = ("429:31", "429:3600", "503:600", "429:20")  # of one URL: status and Retry-After
TO_ALL = ("429:0", "429:3600", "503:2")  # of every URL


def start(tree: Path, rows: Path, root: Path, *flags: str) -> subprocess.Popen[bytes]:
    """`danqing rebuild` of a tree, by one worker."""
    command = ours.command(rows, root, ["--workers", "1", "--image-size", "32", *flags], TRIES - 1)
    return subprocess.Popen(
        command, env=ours.environment(tree), cwd=tree, start_new_session=True, stdout=subprocess.DEVNULL
    )


def killed(web: FaultHost, tree: Path, work: Path, count: int) -> tuple[int, int]:
    """Rows asked more often than they have tries, and requests, of a run whose first half ended by kill -9."""
    urls = [web.url(f"/{'status/500' if i % 2 else 'picture'}/{i}.jpg", i % 4) for i in range(count)]
    rows, root = manifest(work / "m.parquet", urls), work / "root"
    shutil.rmtree(root, ignore_errors=True)
    web.reset()
    first = start(tree, rows, root, "--concurrency", str(IN_FLIGHT))
    web.wait_for(count * 3 // 4, timeout=600)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    start(tree, rows, root, "--concurrency", str(IN_FLIGHT)).wait()
    again = sum(asked > (TRIES if "500" in path else 1) for path, asked in web.asked.items())
    return again, web.count()


def objected(web: FaultHost, tree: Path, work: Path, urls: list[str]) -> tuple[int, int, float]:
    """Rows kept, requests, and seconds of one run."""
    rows, root = manifest(work / "m.parquet", urls), work / "root"
    shutil.rmtree(root, ignore_errors=True)
    web.reset()
    began = time.monotonic()
    start(tree, rows, root).wait()
    return ours.kept(root), web.count(), time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tree", type=Path, help="another source tree, to take turns with")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--smoke", action="store_true", help="few rows, and none that waits long")
    parser.add_argument("--json", type=Path, help="where the figures go")
    args = parser.parse_args()
    count = 200 if args.smoke else args.rows
    one_url = OBJECTIONS[:2] if args.smoke else OBJECTIONS
    trees = {"this": HERE.parent} | ({"other": args.tree.resolve()} if args.tree else {})
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder, FaultHost(hosts=4) as web:
        pictures = [web.url(f"/picture/{i}.jpg") for i in range(count)]
        works = {"no objection": pictures}
        for said in one_url:
            url = web.url(f"/later/{said.replace(':', '/')}/50.jpg")
            works[f"one URL, {said}"] = [*pictures[:50], url, *pictures[51:]]
        for said in TO_ALL:
            works[f"all, {said}"] = [
                web.url(f"/later/{said.replace(':', '/')}/{i}.jpg") for i in range(count)
            ]
        for name, tree in trees.items():
            found.setdefault("killed", {})[name] = [*killed(web, tree, Path(folder), count * 3 // 4)]
        for work, urls in works.items():
            for name, tree in trees.items():
                kept, requests, seconds = objected(web, tree, Path(folder), urls)
                found.setdefault(work, {})[name] = [kept, requests, round(seconds, 1)]
    lines = [
        [work, name, *map(str, figures)]
        for work, each in found.items()
        if work != "killed"
        for name, figures in each.items()
    ]
    print(measure.table(f"One host, {count:,} rows", ["what", "tree", "kept", "requests", "seconds"], lines))
    again = [[name, *map(str, figures)] for name, figures in found["killed"].items()]
    title = f"kill -9 half way, {count * 3 // 4:,} rows, every second one 500, {IN_FLIGHT} in flight"
    print(measure.table(title, ["tree", "rows asked too often", "requests"], again))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    lost = [work for work, each in found.items() if work.startswith("one") and each["this"][0] != count - 1]
    return int(bool(lost) or found["killed"]["this"][0] > IN_FLIGHT)


if __name__ == "__main__":
    sys.exit(main())
