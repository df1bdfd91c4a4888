"""The steps of `danqing demo`, in order: a stage added later adds its function to STEPS.

Each step tells what it does, drives danqing by its command line or its public module, and adds a line to
`differences` for whatever came out otherwise than planted.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from ..console import Console, in_time, table
from ..errors import InputError, VerificationError
from . import sheet, web
from .config import Config
from .host import Host
from .truth import Truth, outcomes_of

MARK = ".danqing-demo"  # what tells a folder of the demo from a user's
MADE = ("web", "manifest", "danqing", "danqing-killed", "truth.parquet", "pairs.png")
SHOWN = 12  # differences printed
SHEET = 24  # pairs on the contact sheet
TIMEOUT = 3  # seconds that a rebuild waits for a picture; three times, for those that stall
PATIENCE = 300.0  # seconds for a run to come half-way


@dataclass(frozen=True, slots=True)
class Summary:
    """What the demo did. requests_repeated: of rows that one request answers, after kill -9 and resume."""

    folder: str
    pairs: int
    kept: int
    seconds: float
    requests_repeated: int

    def lines(self) -> list[str]:
        """The summary for people."""
        return [
            f"demo of {self.pairs:,} pairs in {in_time(self.seconds)}: {self.kept:,} kept, every row as planted",
            f"look at {self.folder}/pairs.png, and at the data set: {self.folder}/danqing",
        ]

    def as_dict(self) -> dict[str, Any]:
        """The summary as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Demo:
    """What the steps share."""

    config: Config
    folder: Path
    host: Host
    truth: Truth = field(default_factory=lambda: Truth([]))
    differences: list[str] = field(default_factory=list)
    requests: int = 0  # of the undisturbed run
    repeated: int = 0

    @property
    def root(self) -> Path:
        """The data set that the demo rebuilds."""
        return self.folder / "danqing"

    def say(self, *lines: str) -> None:
        """Tell the user, on stdout: the commentary is what this command is for."""
        if not (self.config.quiet or self.config.json):
            print("\n".join(lines), flush=True)

    def differ(self, lines: list[str], equal: str) -> None:
        """Tell that all is `equal`, or what is not, and remember it for the exit code."""
        self.differences += lines
        more = [f"... and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
        self.say(*[f"  DIFFERS {line}" for line in lines[:SHOWN]], *more) if lines else self.say(f"  {equal}")

    def rebuild(self, root: Path) -> list[str]:
        """The words of the command that a user would type."""
        shard = max(50, -(-self.config.pairs // 6))
        options = f"--image-size 256 --min-side 32 --timeout {TIMEOUT} --validation 0.05 --shard-size {shard}"
        return ["rebuild", str(self.folder / "manifest"), str(root), *options.split(), "--allow-private"]

    def danqing(self, words: list[str]) -> subprocess.Popen[str]:
        """Start `danqing` in its own process group, as a user would; its stdout is a pipe."""
        self.say(f"  $ danqing {shlex.join(words)}")
        quiet = ["--quiet"] if self.config.quiet or self.config.json else []
        command = [sys.executable, "-m", f"{__package__.rsplit('.', 1)[0]}.cli", *words, *quiet]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, encoding="utf-8", start_new_session=True)  # noqa: S603

    def run(self, words: list[str], shown: int | None = None) -> None:
        """Run `danqing` to its end, print the first lines that it prints; VerificationError when it fails."""
        process = self.danqing(words)
        try:
            output = process.communicate()[0]
        finally:
            end(process)
        self.say(*[f"  {line}" for line in output.splitlines()[:shown]])
        if process.returncode:
            raise VerificationError(
                f"danqing {words[0]} ended with exit code {process.returncode}; see above"
            )


def end(process: subprocess.Popen[str]) -> None:
    """kill -9 a process and its workers, if it is there, and reap it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


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
    pairs = [*islice(open_split(demo, "train").shuffle(seed=0, buffer_size=1000), SHEET)]
    demo.say("  >>> for pair in pairs.shuffle(seed=0, buffer_size=1000).take(5): ...")
    demo.say(*(f"  {pair['alt_text']}  {pair['image'].size}" for pair in pairs[:5]))
    captions = sheet.draw([(pair["alt_text"], pair["image"]) for pair in pairs], demo.folder / "pairs.png")
    without = "" if captions else ", without captions: no Chinese font here"
    demo.say(f"  {len(pairs)} pairs drawn on {demo.folder / 'pairs.png'}{without}")


def look(demo: Demo) -> None:
    """Look at every picture of both splits: upright, first frame, true colours, the one of its caption."""
    splits = ("train", "validation")
    pairs = ((pair["key"], pair["image"]) for split in splits for pair in open_split(demo, split))
    demo.differ(
        demo.truth.picture_differences(pairs), f"all {demo.truth.kept:,} pictures show what they should"
    )


def open_split(demo: Demo, split: str) -> Any:
    """A split of the rebuilt root as an IterableDataset."""
    from datasets import load_dataset

    import danqing  # noqa: F401 - registers the builder

    return load_dataset("danqing", data_dir=str(demo.root.absolute()), split=split, streaming=True)


def kill_and_resume(demo: Demo) -> None:
    """Kill -9 a second rebuild half-way, then give the same command again."""
    root = demo.folder / "danqing-killed"
    demo.host.forget()
    process = demo.danqing(demo.rebuild(root))
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
    demo.run(demo.rebuild(root), shown=2)
    demo.repeated = sum(demo.host.requests[target] - 1 for target in once(demo) if demo.host.requests[target])
    demo.say(
        f"  of {asked:,} requests {demo.repeated:,} were repeated: what was in flight, or not yet written"
    )
    demo.differ(demo.truth.differences(outcomes_of(root)), "again all rows as planted, none twice")


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
    """Run STEPS; see `builder.demo.run`."""
    began = time.monotonic()
    folder = prepare(Path(config.output))
    with Host() as host:
        demo = Demo(config, folder, host)
        for number, (heading, step) in enumerate(STEPS, 1):
            demo.say("", f"{number}. {heading}")
            step(demo)
    demo.say("")
    if demo.differences:
        first = demo.differences[0]
        raise VerificationError(
            f"{len(demo.differences):,} results are not as planted in {folder}; the first: {first}"
        )
    return Summary(
        str(folder), config.pairs, demo.truth.kept, round(time.monotonic() - began, 1), demo.repeated
    )


def prepare(folder: Path) -> Path:
    """An empty folder marked as a demo; InputError where it holds what no demo wrote."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; name a folder for the demo")
    if folder.exists() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise InputError(f"{folder}: holds files that are not of a demo; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
    for name in MADE:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return folder
