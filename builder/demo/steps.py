"""The steps of `danqing demo`: here those of the rebuild; the other parts bring theirs.

Each step tells what it does, drives danqing by its command line or its public module, and adds a line to
`differences` for whatever came out otherwise than planted.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from ..console import Console, in_time, table
from ..disk.files import environment
from ..errors import InputError, VerificationError, need
from ..refine.config import EXTRA
from . import crawl, curate, later, refine, release, sheet, train, web
from .config import DemoConfig
from .drive import PATIENCE, Demo, end
from .host import Host
from .truth import Truth, outcomes_of

MARK = ".danqing-demo"  # what tells a folder of the demo from a user's
MADE = (
    "web", "crawl", "candidates", "candidates-warc", "dropped", "manifest", "blocklist.txt", "refined",
    "danqing", "danqing-killed", "truth.parquet", "pairs.png",
    "web-later", "danqing-later", "truth-later.parquet", "report.html",
    "released", "takedown.txt", "danqing-again", "run", "run-again", "run.html", "benchmarks-cn",
)  # fmt: skip
SHEET = 24  # pairs on the contact sheet


@dataclasses.dataclass(frozen=True, slots=True)
class DemoSummary:
    """What the demo did.

    requests_repeated: of rows that one request answers, after kill -9 and resume; verdicts: a year later, counted;
    empty where re-validation is not installed.
    """

    folder: str
    pairs: int
    kept: int
    seconds: float
    requests_repeated: int
    verdicts: dict[str, int]

    def lines(self) -> list[str]:
        """The summary for people."""
        head = f"demo of {self.pairs:,} pairs in {in_time(self.seconds)}: {self.kept:,} kept, every row as planted"
        look = f"look at {self.folder}/pairs.png, and at the data set: {self.folder}/danqing"
        if not self.verdicts:
            return [head, look]
        found = ", ".join(f"{count:,} {verdict}" for verdict, count in self.verdicts.items())
        pages = f"and at {self.folder}/report.html, and {self.folder}/run.html of the training"
        return [head, f"a year later: {found}", look, pages]

    def as_dict(self) -> dict[str, Any]:
        """The summary as JSON."""
        return dataclasses.asdict(self)


def write_the_web(demo: Demo) -> None:
    """Write a small web: picture files, and the truth about every row."""
    demo.web = web.write(demo.folder, demo.config.pairs, demo.config.seed, demo.host)
    demo.host.routes = web.routes_of(demo.web)
    demo.truth = Truth.read(demo.folder / "truth.parquet")
    faults = demo.truth.by_fault()
    kinds = Counter(row["kind"] for row in demo.truth.rows if row["kind"]).most_common()
    size = sum(path.stat().st_size for path in (demo.folder / "web").iterdir())
    rows = f"{demo.config.pairs:,} rows over {len(demo.host.addresses)} addresses of this machine"
    demo.show(
        f"{rows}, {size / 1e6:.0f} MB:",
        *(
            "  " + ", ".join(f"{count} {name}" for name, count in kinds[start : start + 6])
            for start in range(0, len(kinds), 6)
        ),
        f"{len(demo.truth.rows) - len(faults['none']):,} rows have one of {len(faults) - 1} faults",
    )


def rebuild(demo: Demo) -> None:
    """Rebuild the data set from the refined manifest, politely, from hosts that misbehave."""
    demo.host.forget()
    demo.run(demo.rebuild(demo.root), shown=2)
    demo.requests = demo.host.served()
    demo.show(f"the host was asked {demo.requests:,} times")


def compare(demo: Demo) -> None:
    """Compare the outcome of every row with what was planted."""
    outcomes = outcomes_of(demo.root)
    reasons = {row["key"]: row["reason"] or row["outcome"] for row in outcomes}
    lines = [("fault", "rows", "planted", "as planted")]
    for fault, rows in demo.truth.by_fault().items():
        wanted = rows[0]["reason"] or "kept"
        right = sum(reasons.get(row["key"]) == wanted for row in rows)
        lines.append((fault, f"{len(rows):,}", wanted, f"{right:,}"))
    demo.show(*table(lines))
    demo.differ(demo.truth.differences(outcomes), f"all {len(outcomes):,} rows as planted")


def status(demo: Demo) -> None:
    """Ask how far the root is, from its ledger alone."""
    demo.run(["status", str(demo.root)])


def stream(demo: Demo) -> None:
    """Stream the pairs as a training script does, shuffled."""
    demo.show(f'>>> pairs = load_dataset("danqing", data_dir="{demo.root}", split="train", streaming=True)')
    pairs = [*islice(demo.open(demo.root, "train").shuffle(seed=0, buffer_size=1000), SHEET)]
    demo.show(
        ">>> for pair in pairs.shuffle(seed=0, buffer_size=1000).take(5): ...",
        *(f"{pair['alt_text']}  {pair['image'].size}" for pair in pairs[:5]),
    )
    captions = sheet.draw([(pair["alt_text"], pair["image"]) for pair in pairs], demo.folder / "pairs.png")
    without = "" if captions else ", without captions: no Chinese font here"
    demo.show(f"{len(pairs)} pairs drawn on {demo.folder / 'pairs.png'}{without}")


def look(demo: Demo) -> None:
    """Look at every picture of both splits: upright, first frame, true colours, the one of its caption."""
    splits = ("train", "validation")
    pairs = ((pair["key"], pair["image"]) for split in splits for pair in demo.open(demo.root, split))
    wrong = demo.truth.picture_differences(pairs)
    demo.differ(wrong, f"all {len(demo.truth.kept):,} pictures show what they should")


def kill_and_resume(demo: Demo) -> None:
    """Kill -9 a second rebuild half-way, then give the same command again."""
    demo.host.forget()
    process, half = demo.danqing(demo.rebuild(demo.killed)), demo.requests // 2
    try:
        half_way = demo.host.wait_for(half, PATIENCE)
    finally:
        end(process)
    if not half_way:
        raise VerificationError(f"danqing rebuild sent no {half:,} requests in {PATIENCE:.0f} s")
    asked = demo.host.served()
    demo.show(f"killed with its workers after {asked:,} requests")
    demo.run(demo.rebuild(demo.killed), shown=2)
    routes, requests = demo.host.routes, demo.host.requests
    once = (target for target, route in routes.items() if route.act == "send" and route.status == 200)
    demo.repeated = sum(requests[target] - 1 for target in once if requests[target])
    demo.show(
        f"of {asked:,} requests {demo.repeated:,} were repeated: what was in flight, or not yet written"
    )
    demo.differ(demo.truth.differences(outcomes_of(demo.killed)), "again all rows as planted, none twice")


STEPS: tuple[tuple[str, Callable[[Demo], None]], ...] = (
    ("Write a small web of pictures with Chinese captions", write_the_web),
    *crawl.STEPS,
    *refine.STEPS,
    ("Rebuild the data set from the refined manifest", rebuild),
    ("Compare every row with what was planted", compare),
    ("Ask for the status of the root", status),
    ("Stream pairs into a training script", stream),
    ("Look at every picture", look),
    ("Kill a rebuild half-way, and resume it", kill_and_resume),
)
SECOND = (*later.STEPS, *curate.STEPS, *release.STEPS, *train.STEPS)


def run(config: DemoConfig, console: Console) -> DemoSummary:
    """Run the steps of all parts, or of the first where the others are not installed.

    VerificationError when something came out otherwise than planted, InputError for the folder.
    """
    need("crawl", crawl.NEEDED)
    need("refine", EXTRA)
    began = time.monotonic()
    folder = prepare(Path(config.output))
    missing = later.missing()
    steps = STEPS if missing else (*STEPS, *SECOND)
    with Host() as host:
        demo = Demo(config, folder, host)
        for number, (heading, step) in enumerate(steps, 1):
            demo.say("", f"{number}. {heading}")
            step(demo)
    told = (
        f"{missing}: for the second half, pip install 'danqing[siglip2,curate,report,release,train,evaluate]'"
    )
    demo.say("", *([told] if missing else []))
    if demo.differences:
        raise VerificationError(
            f"{len(demo.differences):,} results are not as planted in {folder}; the first: {demo.differences[0]}"
        )
    seconds, kept = round(time.monotonic() - began, 1), len(demo.truth.kept)
    return DemoSummary(str(folder), config.pairs, kept, seconds, demo.repeated, demo.verdicts)


def prepare(folder: Path) -> Path:
    """An empty folder marked as a demo.

    Raises InputError where it holds what no demo wrote, EnvironmentProblem where it cannot be made.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; name a folder for the demo")
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise InputError(f"{folder}: holds files that are not of a demo; name another folder")
    with environment(f"cannot use {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).touch()
        for name in MADE:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return folder
