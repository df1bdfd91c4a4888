"""The part of `danqing demo` between re-validation and release: what is left a year later is curated.

First as the paper does, with the funnel beside its own; then by thresholds that part what was planted from the rest,
and what became of every pair is held against that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import dropwhile, islice

from ..console import table
from ..reasons import Reason
from . import truth
from .changes import BANNER, REPLACED, WRITERS
from .drive import Demo
from .later import judge, there
from .pictures import AGAIN, BLURRED, COPY, FLAT, WRONG
from .truth import Share, read_rows
from .web import PlantedRow

EMBEDDER = ("--embedder", "tiny")
# Calibrated thresholds drop as many as the paper, whatever they are; these part what is planted. Of 900 scenes none has
# a sharpness below 12, and those blurred 5 at most; three pairs, which show the same at the same place, are nearer than
# .95, and what is stored again is at .96 and above.
THRESHOLDS = ("--blur", "8", "--entropy", "0.1", "--align", "0.1,0.6", "--dedup-cosine", "0.95")
KEPT = "kept"
COPIED = "shown again by another row"
# Of what was planted, the share that must go. What a re-validation is to see, it may let pass now and then.
BOUNDS = {BLURRED: 1.0, FLAT: 1.0, WRONG: 0.95, REPLACED: 0.97, BANNER: 0.99, truth.BEFORE: 0.99}
SHOWN = 4  # pairs of a stream
Counts = Mapping[str, Counter[str]]


def curate(demo: Demo) -> None:
    """Curate what is left as the paper does: each step drops about the paper's share, of whatever comes."""
    demo.run(["curate", str(demo.later), *EMBEDDER])


def decide(demo: Demo) -> None:
    """Take thresholds that part what was planted, without the model, and hold every pair against that."""
    demo.run(["curate", str(demo.later), *EMBEDDER, "--decide", *THRESHOLDS], shown=1)
    reasons = reasons_of(demo)
    rows = [row for row in there(demo) if row["key"] in reasons]
    counts = crossed(rows, reasons)
    demo.say("")
    demo.show(*shown(counts))
    judge(demo, [*shares(counts), twice(rows, reasons)])


def reasons_of(demo: Demo) -> dict[str, str]:
    """Why each pair is dropped, or that it is kept, by key."""
    rows = read_rows(demo.later, "curated", "key", "reason")
    return {row["key"]: row["reason"] or KEPT for row in rows}


def crossed(rows: Sequence[PlantedRow], reasons: Mapping[str, str]) -> dict[str, Counter[str]]:
    """Counts by what was planted, what is good first, and by reason."""
    times = Counter(row["scene"] for row in rows)
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        sound = COPIED if times[row["scene"]] > 1 else truth.SAME
        name = row["change"] or (sound if row["kind"] else str(row["fault"]))
        counts.setdefault(name, Counter())[reasons[row["key"]]] += 1
    order = (truth.SAME, *WRITERS, COPIED, COPY, AGAIN, *BOUNDS)
    return {name: counts[name] for name in order if name in counts}


def shown(counts: Counts) -> list[str]:
    """The counts as a table: what was planted down, reasons across."""
    names = [KEPT, *(one.value for one in Reason)]
    columns = [one for one in names if any(row[one] for row in counts.values())]
    rows = [(name, *(f"{row[one]:,}" if row[one] else "" for one in columns)) for name, row in counts.items()]
    return table([("planted", *columns), *rows])


def shares(counts: Counts) -> Iterator[Share]:
    """What a curation is judged by: what is no good goes, and what is stays."""
    for name, bound in BOUNDS.items():
        row = counts.get(name, Counter[str]())
        yield Share(f"{name}, dropped", row.total() - row[KEPT], row.total(), bound, at_least=True)
    intact = sum((counts.get(name, Counter()) for name in (truth.SAME, *WRITERS)), Counter[str]())
    yield Share("intact, dropped", intact.total() - intact[KEPT], intact.total(), 0.03)


def twice(rows: Iterable[PlantedRow], reasons: Mapping[str, str]) -> Share:
    """How many pictures that several rows show are kept in more than one of them."""
    kept: dict[str, list[bool]] = {}
    for row in rows:
        kept.setdefault(row["scene"], []).append(reasons[row["key"]] == KEPT)
    several = [one for one in kept.values() if len(one) > 1]
    return Share("shown by several rows, kept twice", sum(sum(one) > 1 for one in several), len(several), 0.0)


def status(demo: Demo) -> None:
    """Ask how far the root is, from its ledger alone; of the rebuild it says what it said before."""
    lines = demo.run(["status", str(demo.later)], shown=0)
    demo.show(*dropwhile(lambda line: not line.startswith("revalidate:"), lines))


def report(demo: Demo) -> None:
    """Make the page that shows what was dropped, and why."""
    demo.run(["report", str(demo.later), str(demo.folder / "report.html")])


def stream(demo: Demo) -> None:
    """Stream what all judges keep, compare it with that, and show some pairs that stand for others."""
    splits = ("train", "validation")
    keys = Counter(pair["key"] for split in splits for pair in demo.open(demo.later, split, columns=["key"]))
    wanted = Counter(key for key, reason in reasons_of(demo).items() if reason == KEPT)
    wrong = sorted(keys.keys() ^ wanted.keys()) + [key for key in keys if keys[key] > 1]
    demo.differ(
        [f"key {key}: streamed {keys[key]} times, kept {wanted[key]}" for key in wrong],
        f"load_dataset streams the {len(wanted):,} pairs that all judges keep, and no other",
    )
    where = f'"danqing", data_dir="{demo.later}", split="train", streaming=True'
    demo.show(f'>>> for pair in load_dataset({where}, filters=[("dup_count", ">", 1)]).take({SHOWN}): ...')
    for pair in islice(demo.open(demo.later, "train", filters=[("dup_count", ">", 1)]), SHOWN):
        demo.show(f"{pair['dup_count']}  {pair['cos']:.3f}  {pair['alt_text']}")


STEPS: tuple[tuple[str, Callable[[Demo], None]], ...] = (
    ("Curate what is left, as the paper does", curate),
    ("Take thresholds that part what was planted, without the model", decide),
    ("Ask for the status of the root", status),
    ("Make the report", report),
    ("Stream what all judges keep", stream),
)
