"""The second half of `danqing demo`: the release is scored, a year passes, and what is left of it is judged.

The verdicts are held against what `changes.py` planted. It needs the extras siglip2 and report; `missing` says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from itertools import dropwhile, islice
from pathlib import Path
from typing import Any

from ..console import table
from ..errors import VerificationError
from . import changes, planted
from .drive import PATIENCE, Demo, end
from .truth import Truth, outcomes_of

NEEDED = ("torch", "transformers", "matplotlib", "jinja2", "mlcroissant")
# Among 900 pairs no p is below 0.001, and the caption is all that speaks for a pair.
RELEASE = ("--alpha", "0.05")
SHOWN = 4  # pairs of a stream
PICTURE, PLACEHOLDER = "a picture of its own", "placeholder"


def missing() -> str:
    """What is not installed that this half needs, in words; empty where all of it is."""
    names = [name for name in NEEDED if find_spec(name) is None]
    return f"no {', '.join(names)} here" if names else ""


def revalidate(root: Path, *options: str) -> list[str]:
    """The words of the command that a user would type.

    Both captions are scored, because a third of the alt texts say little: 红色圆形 fits one picture in 56.
    """
    return ["revalidate", str(root), "--model", "tiny", "--caption", "both", *options]


def score(demo: Demo, words: list[str]) -> None:
    """Run a re-validation and print what it kept, and what it says of the level; the tables are the demo's own."""
    lines = demo.run(words, shown=1)
    demo.say(*(f"  {line}" for line in lines[-2:]))


def score_the_release(demo: Demo) -> None:
    """Score what was rebuilt: no reference is there yet, so a caption and its picture are all that is known."""
    score(demo, revalidate(demo.root, *RELEASE))
    verdicts = planted.verdicts_of(demo.root)
    rows = [row for row in demo.truth.rows if row["outcome"] == "kept"]
    counts = planted.cross(rows, verdicts, lambda row: PICTURE if row["kind"] else PLACEHOLDER)
    demo.say("", *(f"  {line}" for line in planted.lines(counts)))
    judge(demo, planted.shares_alone(counts, PLACEHOLDER, PICTURE))


def judge(demo: Demo, shares: list[planted.Share]) -> None:
    """Print the shares with their bounds; one that is out of them is a difference, where the pairs are enough."""
    header = ("", "pairs", "of", "share", "wanted")
    demo.say("", *(f"  {line}" for line in table([header, *(share.cells() for share in shares)])))
    if demo.config.pairs < planted.ENOUGH:
        demo.say(f"  the bounds are asserted from {planted.ENOUGH:,} pairs: the least p is about 1 / pairs")
        return
    demo.differ([str(share) for share in shares if not share.holds], "all within their bounds")


def kill_and_resume(demo: Demo) -> None:
    """Kill -9 the scoring of the second root half-way, then give the same command again."""
    ledger = demo.killed / "ledger" / "revalidate"
    process = demo.danqing(revalidate(demo.killed, *RELEASE))
    try:
        give_up = time.monotonic() + PATIENCE
        while process.returncode is None and len(markers(ledger)) < 3 and time.monotonic() < give_up:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.002)
    finally:
        end(process)
    before = markers(ledger)
    if not before:
        raise VerificationError(f"danqing revalidate finished no shard in {PATIENCE:.0f} s")
    demo.say(f"  killed when {len(before)} shards were scored")
    score(demo, revalidate(demo.killed, *RELEASE))
    first, second = digests(demo.root), digests(demo.killed)
    others = [f"scores/{name}" for name in first | second if first.get(name) != second.get(name)]
    demo.differ(others, f"the {len(first)} files of scores are those of the undisturbed run, byte for byte")


def markers(ledger: Path) -> list[Path]:
    """The done markers of a stage."""
    return [*ledger.glob("*-?????.json")]


def digests(root: Path) -> dict[str, str]:
    """The SHA-256 of every file of scores/, by name."""
    files = (root / "scores").glob("*.parquet")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def a_year_passes(demo: Demo) -> None:
    """Change what the web serves under the same addresses."""
    demo.host.routes = changes.write(demo.folder, demo.config.seed, demo.truth.rows, demo.host.routes)
    demo.truth_later = Truth.read(demo.folder / "truth-later.parquet")
    counts = Counter(row["change"] for row in demo.truth_later.rows if row["change"])
    demo.say(f"  of {len(demo.truth_later.rows):,} rows, {counts.total():,} show something else or nothing:")
    demo.say(*(f"  {line}" for line in table([*((name, f"{count:,}") for name, count in counts.items())])))


def rebuild(demo: Demo) -> None:
    """Rebuild the same manifest from the changed web."""
    demo.host.forget()
    demo.run(demo.rebuild(demo.later), shown=2)
    outcomes = outcomes_of(demo.later)
    demo.differ(demo.truth_later.differences(outcomes), f"all {len(outcomes):,} rows as planted")


def score_against_the_release(demo: Demo) -> None:
    """Score what was rebuilt a year later, and compare it with what the release recorded."""
    score(demo, revalidate(demo.later, "--reference", str(demo.root)))
    verdicts = planted.verdicts_of(demo.later)
    counts = crossed(demo, verdicts)
    demo.verdicts = dict(sum(counts.values(), Counter[str]()))
    demo.say("", *(f"  {line}" for line in planted.lines(counts)))
    judge(demo, planted.shares_later(counts))
    wrong = planted.same_differences(there(demo), verdicts, planted.verdicts_of(demo.root))
    demo.differ(wrong, "same, and dead: exactly what has the released bytes, and what is gone")


def there(demo: Demo) -> list[dict[str, Any]]:
    """The rows that had a picture a year ago."""
    return [row for row in demo.truth_later.rows if row["change"] or row["outcome"] == "kept"]


def crossed(demo: Demo, verdicts: dict[str, str]) -> dict[str, Counter[str]]:
    """Counts by change and verdict, what is harmless first."""

    def name(row: Mapping[str, Any]) -> str:
        return row["change"] or (planted.SAME if row["kind"] else planted.BEFORE)

    counts = planted.cross(there(demo), verdicts, name)
    bad = (changes.REPLACED, changes.BANNER, planted.BEFORE, changes.GONE)
    return {one: counts[one] for one in (planted.SAME, *changes.HARMLESS, *bad) if one in counts}


def decide(demo: Demo) -> None:
    """Take another level: the scores are there, so it takes seconds and no model."""
    score(demo, ["revalidate", str(demo.later), "--decide", "--alpha", "0.05"])
    demo.say("", *(f"  {line}" for line in planted.lines(crossed(demo, planted.verdicts_of(demo.later)))))


def status(demo: Demo) -> None:
    """Ask how far the root is, from its ledger alone; of the rebuild it says what it said before."""
    lines = demo.run(["status", str(demo.later)], shown=0)
    demo.say(*(f"  {line}" for line in dropwhile(lambda line: not line.startswith("revalidate:"), lines)))


def report(demo: Demo) -> None:
    """Make the page that shows what was dropped, and why."""
    demo.run(["report", str(demo.later), str(demo.folder / "report.html")])


def stream(demo: Demo) -> None:
    """Stream what was kept, as a training script does, and then what was not."""
    for told, options in (("", {}), (', verdicts=("drifted",)', {"verdicts": ("drifted",)})):
        where = f'"danqing", data_dir="{demo.later}", split="train", streaming=True'
        demo.say(f"  >>> for pair in load_dataset({where}{told}).take({SHOWN}): ...")
        for pair in islice(demo.open(demo.later, "train", **options), SHOWN):
            demo.say(f"  {pair['verdict']}  {pair['score_alt_text']:.3f}  {pair['alt_text']}")


STEPS: tuple[tuple[str, Callable[[Demo], None]], ...] = (
    ("Score the release with a small SigLIP", score_the_release),
    ("Kill a scoring half-way, and resume it", kill_and_resume),
    ("A year passes: the same addresses serve other things", a_year_passes),
    ("Rebuild the same manifest", rebuild),
    ("Re-validate it against the release", score_against_the_release),
    ("Take another level, without the model", decide),
    ("Ask for the status of the root", status),
    ("Make the report", report),
    ("Stream what was kept, and what drifted", stream),
)
