"""Tables: figures of several checkpoints side by side, their differences with intervals, and the paper's beside them.

Drawn figures ─▶ ResultTable ─▶ lines for people, JSON, and evaluate/tables.json for the page of a run
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from ..console import table
from .concepts import Concept, Confidence
from .harness import Harnessed
from .lmm import TASKS, Results
from .metrics import interval
from .recipe import (
    BENCHMARKS,
    LONG,
    RANKS,
    SHORT,
    TOP1,
    WAYS,
    ZERO_SHOT,
    Benchmark,
    Gain,
    disagreements,
    gain,
    scaling,
)
from .results import Answers, Drawn, Floats

FAMILIES = {
    ZERO_SHOT: "Zero-shot classification, %",
    SHORT: "Retrieval by short captions, R@1 R@5 R@10 in %",
    LONG: "Retrieval by long captions, R@1 R@5 R@10 in %",
}
WORDS = {"text_to_image": "text to image", "image_to_text": "image to text"}
UNKNOWN = "–"


@dataclass(frozen=True, slots=True)
class ResultTable:
    """A table of text: the first column names the row."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The table for people."""
        return [self.title, *table([self.columns, *self.rows]), *(f"  {note}" for note in self.notes), ""]

    def as_dict(self) -> Mapping[str, object]:
        """The table as JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Contender:
    """A checkpoint with its answers. name: heads its column; size: as the paper calls it; drawn: by benchmark.

    baseline: whether the others are compared with it.
    """

    name: str
    size: str | None
    baseline: bool
    answers: Mapping[str, Answers]
    drawn: Mapping[str, Drawn]

    def mean(self, cells: Sequence[tuple[str, str]]) -> Floats:
        """The mean of some figures (1 + draws,), by benchmark and measure."""
        found: Floats = np.mean([self.drawn[name][measure] for name, measure in cells], axis=0)
        return found


def family_table(family: str, checkpoints: Sequence[Contender], title: str = "") -> ResultTable | None:
    """The table of a family; None where nobody answered a benchmark of it."""
    known = {name: one.benchmark for scored in checkpoints for name, one in scored.answers.items()}
    order = [*BENCHMARKS, *sorted(known.keys() - BENCHMARKS.keys())]
    there = [known[name] for name in order if name in known and known[name].family == family]
    if not there:
        return None
    base = next((one for one in checkpoints if one.baseline), None)
    compared = [one for one in checkpoints if base and one is not base]
    size = next((one.size for one in checkpoints if one.size), None)
    columns = ["", *(one.name for one in checkpoints)]
    columns += [
        "difference" if len(compared) == 1 else f"{one.name} \N{MINUS SIGN} {base.name}"
        for one in compared
        if base
    ]
    paper = gain(family, size, "average") is not None
    columns += [f"the paper's {size}, before → after"] * paper

    def row(label: str, cells: Sequence[Sequence[tuple[str, str]]], published: str) -> list[str]:
        """One row; cells: figures that stand side by side, each a mean of some; the first is compared."""
        told = [label, *(" ".join(_percent(one, some) for some in cells) for one in checkpoints)]
        told += [_difference(one, base, cells[0]) for one in compared if base]
        return told + [published] * paper

    rows = []
    for one in there:
        for label, measures in _measures(one):
            cells = [[(one.name, measure)] for measure in measures]
            told = [gain(family, size, f"{one.name} {measure}") for measure in measures]
            rows.append(row(label, cells, _gains(told)))
    for label, some, whole in averages(family, checkpoints):
        rows.append(row(label, [some], str(gain(family, size, "average") or UNKNOWN) if whole else UNKNOWN))
    figures = {f"{one.name} {way} R@1" for one in there for way in WAYS}
    return ResultTable(
        title or FAMILIES[family], columns, rows, [*_notes(there, checkpoints), *disagreements(size, figures)]
    )


def averages(family: str, checkpoints: Sequence[Contender]) -> list[tuple[str, list[tuple[str, str]], bool]]:
    """The averages of the paper over what all checkpoints answered: label, figures, whether none of its is missing."""
    wanted = [one for one in BENCHMARKS.values() if one.family == family and one.averaged]
    known = [one for one in wanted if all(one.name in scored.drawn for scored in checkpoints)]
    if not known:
        return []
    if family != ZERO_SHOT:
        numbers = [(one.name, f"{way} R@{most}") for one in known for way in WAYS for most in RANKS]
        return [(_average(len(numbers), len(wanted) * 6, ""), numbers, len(known) == len(wanted))]
    kinds = [(", top-1", [(one.name, TOP1) for one in known])]
    if any(one.elevater != TOP1 for one in known):
        kinds.append((", measures of ELEVATER", [(one.name, one.elevater) for one in known]))
    return [
        (_average(len(known), len(wanted), kind), some, len(known) == len(wanted)) for kind, some in kinds
    ]


def scaling_table(runs: Sequence[tuple[Contender, int]]) -> ResultTable | None:
    """What more pairs and larger models gave, of runs with their pairs; None of fewer than two.

    Classification is the average of the 12 sets, retrieval the mean of the averages of short and long captions.
    """
    if len(runs) < 2:
        return None
    paper = {(row["size"], row["pairs"]): row for row in scaling() if row["data"] == "DanQing"}
    rows = []
    for one, pairs in sorted(runs, key=lambda run: (run[0].size or "", run[1])):
        found = {family: averages(family, [one]) for family in FAMILIES}
        means = {
            family: _percent(one, known[0][1]) for family, known in found.items() if known and known[0][2]
        }
        both = [100 * one.mean(found[family][0][1])[0] for family in (SHORT, LONG) if family in means]
        near = paper.get((one.size or "", round(pairs, -7)))
        rows.append([
            one.name, one.size or UNKNOWN, f"{pairs:,}", means.get(ZERO_SHOT, UNKNOWN),
            f"{np.mean(both):.1f}" if len(both) == 2 else UNKNOWN,
            f"{near['zero_shot']:.1f}" if near else UNKNOWN, f"{near['retrieval']:.1f}" if near else UNKNOWN,
        ])  # fmt: skip
    columns = [
        "", "checkpoint", "pairs", "classification", "retrieval", "the paper's classification",
        "the paper's retrieval",
    ]  # fmt: skip
    note = "The paper's are read off its figure, within 0.2, of as many pairs to the next ten million."
    return ResultTable("Scaling, averages in %", columns, rows, [note])


def concept_table(
    names: Sequence[str], concepts: Sequence[Concept], sure: Sequence[Sequence[Confidence]]
) -> ResultTable | None:
    """How sure each checkpoint is of each new concept; sure: by checkpoint, then by concept. None of no concepts."""
    if not concepts:
        return None
    rows, notes = [], []
    for number, concept in enumerate(concepts):
        found = [one[number] for one in sure]
        cells = [f"{100 * one.confidence:.1f} {100 * one.top1:.1f}" for one in found]
        rows.append([f"{concept.texts[0]} ({found[0].pictures:,} pictures)", *cells])
        if found[0].lost:
            notes.append(f"{concept.name}: {found[0].lost:,} cannot be decoded, and count as wrong")
    return ResultTable("New concepts, mean confidence and top-1 in %", ["", *names], rows, notes)


def mteb_table(names: Sequence[str], found: Sequence[Sequence[Harnessed]]) -> ResultTable | None:
    """The main score of each task by mteb, and why one has none; None where mteb was not asked."""
    if not any(found):
        return None
    tasks = dict.fromkeys(one.task for told in found for one in told)
    scores = [{one.task: one for one in told} for told in found]
    rows = [
        [
            task,
            *(
                f"{100 * one[task].scores['main_score']:.1f}" if one[task].scores else UNKNOWN
                for one in scores
            ),
        ]
        for task in tasks
    ]
    notes = dict.fromkeys(f"{one.task}: {one.problem}" for told in found for one in told if one.problem)
    return ResultTable("mteb, main score of each task in %", ["", *names], rows, [*notes])


def lmm_table(
    names: Sequence[str], results: Sequence[Results | None], size: str | None
) -> ResultTable | None:
    """Figures of language models that see through each checkpoint; None where there are none yet."""
    if not any(results):
        return None
    rows = []
    for task in (*TASKS, "average"):
        found = [one and (one.average if task == "average" else one.figures.get(task)) for one in results]
        cells = [f"{one:.1f}" if one is not None else UNKNOWN for one in found]
        rows.append([task, *cells, str(gain("lmm", size, task) or UNKNOWN)])
    columns = ["", *names, f"the paper's {size or 'L/16'}, before → after"]
    return ResultTable("LLaVA-NeXT with Qwen2-7B, by lmms-eval, %", columns, rows)


def _measures(one: Benchmark) -> Iterable[tuple[str, list[str]]]:
    """The rows of a benchmark: label, and measures that stand side by side."""
    if one.family != ZERO_SHOT:
        return [(f"{one.title}, {WORDS[way]}", [f"{way} R@{most}" for most in RANKS]) for way in WAYS]
    more = [] if one.elevater == TOP1 else [(f"{one.title}, {one.elevater}", [one.elevater])]
    return [(one.title, [TOP1]), *more]


def _average(there: int, all_of_them: int, kind: str) -> str:
    if there == all_of_them:
        return f"average of {all_of_them}{kind}"
    return f"average of {there} of the paper's {all_of_them}{kind}"


def _percent(one: Contender, cells: Sequence[tuple[str, str]]) -> str:
    """The mean of some figures in percent, where all are there."""
    if not all(name in one.drawn for name, _ in cells):
        return UNKNOWN
    value = 100 * one.mean(cells)[0]
    return f"{value:.1f}" if np.isfinite(value) else UNKNOWN


def _difference(one: Contender, base: Contender, cells: Sequence[tuple[str, str]]) -> str:
    """How much more a checkpoint has than the baseline in points, and the 95 % interval of that."""
    if not all(name in scored.drawn for name, _ in cells for scored in (one, base)):
        return UNKNOWN
    gained = 100 * (one.mean(cells) - base.mean(cells))
    if not np.isfinite(gained[0]):
        return UNKNOWN
    if len(gained) == 1:
        return f"{gained[0]:+.1f}"
    low, high = interval(gained[1:])
    return f"{gained[0]:+.1f} [{low:+.1f}, {high:+.1f}]"


def _gains(told: Sequence[Gain | None]) -> str:
    known = [one for one in told if one is not None]
    if len(known) != len(told):
        return UNKNOWN
    if len(known) == 1:
        return str(known[0])
    before, after = ("/".join(f"{getattr(one, name):.1f}" for one in known) for name in ("before", "after"))
    return f"{before} → {after}"


def _notes(there: Sequence[Benchmark], checkpoints: Sequence[Contender]) -> list[str]:
    """What was said of benchmarks: of all checkpoints, or of one by its name."""
    notes = []
    for one in there:
        said = {
            scored.name: scored.answers[one.name].said for scored in checkpoints if one.name in scored.answers
        }
        for line in dict.fromkeys(line for lines in said.values() for line in lines):
            who = [name for name, lines in said.items() if line in lines]
            of = "" if len(who) == len(said) else f" ({', '.join(who)})"
            notes.append(f"{one.title}{of}: {line}")
    return notes
