"""The second half of `danqing demo`: the root is scored, a year passes, and what is left of it is judged.

The verdicts are held against what `changes.py` planted. It needs the extras siglip2, curate and report: `missing` says
so.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from ..console import table
from ..errors import VerificationError
from . import changes, truth
from .drive import PATIENCE, Demo
from .truth import Share, Truth, outcomes_of, verdicts_of
from .web import PlantedRow

NEEDED = ("torch", "transformers", "numba", "matplotlib", "jinja2", "mlcroissant", "accelerate")
# Both captions are scored, because a third of the alt texts say little: 红色圆形 fits one picture in 56.
MODEL = ("--model", "tiny", "--caption", "both")
# Among 900 pairs no p is below 0.001, and the caption is all that speaks for a pair.
ALONE = (*MODEL, "--alpha", "0.05")
SHOWN = 4  # pairs of a stream
PICTURE = "a picture of its own"


def missing() -> str:
    """What is not installed that this half needs, in words; empty where all of it is."""
    names = [name for name in NEEDED if find_spec(name) is None]
    return f"no {', '.join(names)} here" if names else ""


def score(demo: Demo, root: Path, *options: str) -> None:
    """Run a re-validation and print what it kept, and what it says of the level; the tables are the demo's own."""
    lines = demo.run(["revalidate", str(root), *options], shown=1)
    demo.show(*lines[-2:])


def score_the_root(demo: Demo) -> None:
    """Score what was rebuilt: no reference is there yet, so a caption and its picture are all that is known."""
    score(demo, demo.root, *ALONE)
    verdicts = verdicts_of(demo.root)
    counts = truth.cross(demo.truth.kept, verdicts, lambda row: PICTURE if row["kind"] else str(row["fault"]))
    demo.say("")
    demo.show(*truth.crossed(counts))
    judge(demo, truth.shares_alone(counts, truth.BEFORE, PICTURE))


def judge(demo: Demo, shares: list[Share]) -> None:
    """Print the shares with their bounds; one that is out of them is a difference, where the pairs are enough."""
    demo.say("")
    demo.show(*table([("", "pairs", "of", "share", "wanted"), *(share.cells() for share in shares)]))
    if demo.config.pairs < truth.ENOUGH:
        demo.show(f"the bounds are asserted from {truth.ENOUGH:,} pairs: the least p is about 1 / pairs")
        return
    demo.differ([str(share) for share in shares if not share.holds], "all within their bounds")


def kill_and_resume(demo: Demo) -> None:
    """Kill -9 the scoring of the second root half-way, then give the same command again."""
    ledger = demo.killed / "ledger" / "revalidate"
    demo.kill(["revalidate", str(demo.killed), *ALONE], lambda: len(markers(ledger)) >= 3)
    before = markers(ledger)
    if not before:
        raise VerificationError(f"danqing revalidate finished no shard in {PATIENCE:.0f} s")
    demo.show(f"killed when {len(before)} shards were scored")
    score(demo, demo.killed, *ALONE)
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
    demo.show(f"of {len(demo.truth_later.rows):,} rows, {counts.total():,} show something else or nothing:")
    demo.count(counts)


def rebuild(demo: Demo) -> None:
    """Rebuild the same manifest from the changed web."""
    demo.host.forget()
    demo.run(demo.rebuild(demo.later), shown=2)
    outcomes = outcomes_of(demo.later)
    demo.differ(demo.truth_later.differences(outcomes), f"all {len(outcomes):,} rows as planted")


def score_against_the_first(demo: Demo) -> None:
    """Score what was rebuilt a year later, and compare it with what was recorded then."""
    score(demo, demo.later, *MODEL, "--reference", str(demo.root))
    verdicts = verdicts_of(demo.later)
    counts = crossed(demo, verdicts)
    demo.verdicts = dict(sum(counts.values(), Counter[str]()))
    judge(demo, truth.shares_later(counts))
    wrong = truth.same_differences(there(demo), verdicts, verdicts_of(demo.root))
    demo.differ(wrong, "same, and dead: exactly what has the released bytes, and what is gone")


def there(demo: Demo) -> list[PlantedRow]:
    """The rows that had a picture a year ago."""
    return [row for row in demo.truth_later.rows if row["change"] or row["outcome"] == "kept"]


def crossed(demo: Demo, verdicts: dict[str, str]) -> dict[str, Counter[str]]:
    """Counts by change and verdict, what is harmless first; they are printed too."""

    def name(row: PlantedRow) -> str:
        return row["change"] or (truth.SAME if row["kind"] else str(row["fault"]))

    counts = truth.cross(there(demo), verdicts, name)
    bad = (changes.REPLACED, changes.BANNER, truth.BEFORE, changes.GONE)
    good = (truth.SAME, *changes.WRITERS)
    order = (*good, *(one for one in counts if one not in (*good, *bad)), *bad)
    counts = {one: counts[one] for one in order if one in counts}
    demo.say("")
    demo.show(*truth.crossed(counts))
    return counts


def decide(demo: Demo) -> None:
    """Take another level: the scores are there, so it takes seconds and no model."""
    score(demo, demo.later, "--decide", "--alpha", "0.05")
    crossed(demo, verdicts_of(demo.later))


def stream(demo: Demo) -> None:
    """Stream what was kept, as a training script does, and then what was not."""
    for more, options in (("", {}), (', verdicts=("drifted",)', {"verdicts": ("drifted",)})):
        where = f'"danqing", data_dir="{demo.later}", split="train", streaming=True'
        demo.show(f">>> for pair in load_dataset({where}{more}).take({SHOWN}): ...")
        for pair in islice(demo.open(demo.later, "train", **options), SHOWN):
            demo.show(f"{pair['verdict']}  {pair['score_alt_text']:.3f}  {pair['alt_text']}")


STEPS: tuple[tuple[str, Callable[[Demo], None]], ...] = (
    ("Score the root with a small SigLIP", score_the_root),
    ("Kill a scoring half-way, and resume it", kill_and_resume),
    ("A year passes: the same addresses serve other things", a_year_passes),
    ("Rebuild the same manifest", rebuild),
    ("Re-validate it against the first root", score_against_the_first),
    ("Take another level, without the model", decide),
    ("Stream what was kept, and what drifted", stream),
)
