"""The steps of `danqing demo` in order: here those of the rebuild; later.py re-validates, publish.py releases.

Each step tells what it does, drives danqing by its command line or its public module, and adds a line to
`differences` for whatever came out otherwise than planted.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ..console import Console, in_time, table
from ..disk.files import environment
from ..errors import InputError, VerificationError
from . import later, publish, sheet, web
from .config import Config
from .drive import PATIENCE, Demo, end
from .host import Host
from .truth import Truth, outcomes_of

MARK = ".danqing-demo"  # what tells a folder of the demo from a user's
MADE = (
    "web", "manifest", "danqing", "danqing-killed", "truth.parquet", "pairs.png",
    "web-later", "danqing-later", "truth-later.parquet", "report.html",
    "released", "takedown.txt", "danqing-again",
)  # fmt: skip
SHEET = 24  # pairs on the contact sheet


@dataclass(frozen=True, slots=True)
class Summary:
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
        return [head, f"a year later: {found}", look, f"and at {self.folder}/report.html"]

    def as_dict(self) -> dict[str, Any]:
        """The summary as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def write_the_web(demo: Demo) -> None:
    """Write a small web: picture files, a manifest, and the truth about every row."""
    host = demo.host
    address = web.Address(tuple(f"{one}:{host.port}" for one in host.addresses), host.refused_port)
    host.routes = web.write(demo.folder, demo.config.pairs, demo.config.seed, address)
    demo.truth = Truth.read(demo.folder / "truth.parquet")
    faults = demo.truth.by_fault()
    size = sum(path.stat().st_size for path in (demo.folder / "web").iterdir())
    demo.say(
        f"  {demo.config.pairs:,} rows over {len(host.addresses)} addresses of this machine, {size / 1e6:.0f} MB:",
        *(f"  {line}" for line in kinds(demo.truth)),
        f"  {len(demo.truth.rows) - len(faults['none']):,} rows have one of {len(faults) - 1} faults",
    )


def kinds(truth: Truth) -> list[str]:
    """How many files there are of each kind, six to a line."""
    names = [row["kind"] for row in truth.rows if row["kind"]]
    counts = [
        f"{names.count(name)} {name}" for name in sorted(set(names), key=lambda name: -names.count(name))
    ]
    return [", ".join(counts[start : start + 6]) for start in range(0, len(counts), 6)]


def rebuild(demo: Demo) -> None:
    """Rebuild the data set from the manifest, politely, from hosts that misbehave."""
    demo.host.forget()
    demo.run(demo.rebuild(demo.root), shown=2)
    demo.requests = demo.host.served()
    demo.say(f"  the host was asked {demo.requests:,} times")


def compare(demo: Demo) -> None:
    """Compare the outcome of every row with what was planted."""
    outcomes = outcomes_of(demo.root)
    reasons = {row["key"]: row["reason"] or row["outcome"] for row in outcomes}
    lines = [("fault", "rows", "planted", "as planted")]
    for fault, rows in demo.truth.by_fault().items():
        wanted = rows[0]["reason"] or "kept"
        right = sum(reasons.get(row["key"]) == wanted for row in rows)
        lines.append((fault, f"{len(rows):,}", wanted, f"{right:,}"))
    demo.say(*(f"  {line}" for line in table(lines)))
    demo.differ(demo.truth.differences(outcomes), f"all {len(outcomes):,} rows as planted")


def status(demo: Demo) -> None:
    """Ask how far the root is, from its ledger alone."""
    demo.run(["status", str(demo.root)])


def stream(demo: Demo) -> None:
    """Stream the pairs as a training script does, shuffled."""
    demo.say(f'  >>> pairs = load_dataset("danqing", data_dir="{demo.root}", split="train", streaming=True)')
    pairs = [*islice(demo.open(demo.root, "train").shuffle(seed=0, buffer_size=1000), SHEET)]
    demo.say("  >>> for pair in pairs.shuffle(seed=0, buffer_size=1000).take(5): ...")
    demo.say(*(f"  {pair['alt_text']}  {pair['image'].size}" for pair in pairs[:5]))
    captions = sheet.draw([(pair["alt_text"], pair["image"]) for pair in pairs], demo.folder / "pairs.png")
    without = "" if captions else ", without captions: no Chinese font here"
    demo.say(f"  {len(pairs)} pairs drawn on {demo.folder / 'pairs.png'}{without}")


def look(demo: Demo) -> None:
    """Look at every picture of both splits: upright, first frame, true colours, the one of its caption."""
    splits = ("train", "validation")
    pairs = ((pair["key"], pair["image"]) for split in splits for pair in demo.open(demo.root, split))
    demo.differ(
        demo.truth.picture_differences(pairs), f"all {demo.truth.kept:,} pictures show what they should"
    )


def kill_and_resume(demo: Demo) -> None:
    """Kill -9 a second rebuild half-way, then give the same command again."""
    demo.host.forget()
    process = demo.danqing(demo.rebuild(demo.killed))
    try:
        half_way = demo.host.wait_for(demo.requests // 2, PATIENCE)
    finally:
        end(process)
    if not half_way:
        raise VerificationError(
            f"danqing rebuild sent no {demo.requests // 2:,} requests in {PATIENCE:.0f} s"
        )
    asked = demo.host.served()
    demo.say(f"  killed with its workers after {asked:,} requests")
    demo.run(demo.rebuild(demo.killed), shown=2)
    demo.repeated = sum(demo.host.requests[target] - 1 for target in once(demo) if demo.host.requests[target])
    demo.say(
        f"  of {asked:,} requests {demo.repeated:,} were repeated: what was in flight, or not yet written"
    )
    demo.differ(demo.truth.differences(outcomes_of(demo.killed)), "again all rows as planted, none twice")


def once(demo: Demo) -> Iterator[str]:
    """The targets that one request answers for good."""
    return (
        target for target, route in demo.host.routes.items() if route.act == "send" and route.status == 200
    )


STEPS: tuple[tuple[str, Callable[[Demo], None]], ...] = (
    ("Write a small web of pictures with Chinese captions", write_the_web),
    ("Rebuild the data set from the manifest", rebuild),
    ("Compare every row with what was planted", compare),
    ("Ask for the status of the root", status),
    ("Stream pairs into a training script", stream),
    ("Look at every picture", look),
    ("Kill a rebuild half-way, and resume it", kill_and_resume),
)


def run(config: Config, console: Console) -> Summary:
    """Run the steps of both halves, or of the first where the second is not installed; see `builder.demo.run`."""
    began = time.monotonic()
    folder = prepare(Path(config.output))
    missing = later.missing()
    steps = STEPS if missing else (*STEPS, *later.STEPS, *publish.STEPS)
    with Host() as host:
        demo = Demo(config, folder, host)
        for number, (heading, step) in enumerate(steps, 1):
            demo.say("", f"{number}. {heading}")
            step(demo)
    demo.say(
        "",
        *(
            [f"{missing}: for the second half, pip install 'danqing[siglip2,report,release]'"]
            if missing
            else []
        ),
    )
    if demo.differences:
        first = demo.differences[0]
        raise VerificationError(
            f"{len(demo.differences):,} results are not as planted in {folder}; the first: {first}"
        )
    seconds = round(time.monotonic() - began, 1)
    return Summary(str(folder), config.pairs, demo.truth.kept, seconds, demo.repeated, demo.verdicts)


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
