"""The work of an evaluation: what was asked is found, each checkpoint answers what it has not, and all is told.

look ─▶ Agenda: tasks, concepts, prompts ─▶ answer, once a checkpoint ─▶ answers on disk ─▶ tell ─▶ tables
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..console import Console
from ..disk.files import join
from ..errors import InputError, UsageError
from . import concepts, harness, lmm
from . import prompts as templates
from .answering import Answering, asked_of, limited
from .concepts import Concept, Confidence
from .config import EvaluateConfig
from .found import Found, find
from .harness import Harnessed
from .recipe import BENCHMARKS, size_of
from .results import FOLDER, Answers, Drawn, load, stored
from .tables import (
    FAMILIES,
    Contender,
    ResultTable,
    concept_table,
    family_table,
    lmm_table,
    mteb_table,
    scaling_table,
)
from .tasks import Task

if TYPE_CHECKING:
    from ..stage.trained import RunRecord
    from ..towers import Checkpoint
    from .leaks import Leaks


@dataclass(frozen=True, slots=True)
class Subject:
    """A checkpoint to evaluate. home: the folder that keeps its results; run: None of one that is no run's.

    trial: pictures of each benchmark in a trial, 0: all.
    """

    checkpoint: Checkpoint
    home: str
    baseline: bool
    run: RunRecord | None
    trial: int = 0

    @property
    def folder(self) -> str:
        """Where its answers lie; those of a trial apart, so that they take the place of none."""
        place = join(self.home, FOLDER, self.checkpoint.slug)
        return join(place, f"trial-{self.trial}") if self.trial else place

    @property
    def size(self) -> str | None:
        """The size that the paper calls it by: of a run, that of the checkpoint that it began with."""
        begun = (self.run.plan.get("checkpoint") or {}).get("name") if self.run else None
        return size_of(str(begun or self.checkpoint.name))


@dataclass(frozen=True, slots=True)
class Agenda:
    """What checkpoints are asked; without tasks, what was answered before is told."""

    found: Found
    tasks: Sequence[Task]
    concepts: Sequence[Concept]
    prompts: templates.Prompts

    def absent(self) -> list[str]:
        """Lines about benchmarks that are not there, where their owners publish them, and what is no benchmark."""
        by_place: dict[str, list[str]] = {}
        for one in self.found.missing:
            by_place.setdefault(one.where, []).append(one.title)
        missing = [f"not there: {', '.join(titles)}; from {where}" for where, titles in by_place.items()]
        return [*missing, *(f"no benchmark: {one}" for one in self.found.unknown)]


def look(config: EvaluateConfig, folder: str | None) -> Agenda:
    """Find what is asked for. Raises UsageError for a benchmark that is none, InputError where there is none at all."""
    if config.leaks and not folder:
        raise UsageError(
            f"--leaks {config.leaks}: name the folder of benchmarks too, whose pictures to look for"
        )
    prompts = templates.read(config.prompts_from) if config.prompts_from else templates.own()
    found = find(folder, config.chosen) if folder else Found([], [], [])
    names = {one.benchmark.name for one in found.tasks}
    if unknown := sorted(config.chosen - BENCHMARKS.keys() - names if folder else ()):
        known = ", ".join([*BENCHMARKS, *sorted(names - BENCHMARKS.keys())])
        raise UsageError(f"--tasks {', '.join(unknown)}: no such benchmark; there are {known}")
    tasks = [limited(one, config.limit) for one in found.tasks]
    new = concepts.find(config.concepts) if config.concepts else []
    asked = Agenda(found, tasks, new, prompts)
    if folder and not tasks:
        raise InputError(f"{folder}: holds none of the benchmarks; {'; '.join(asked.absent())}")
    return asked


def left(config: EvaluateConfig, subject: Subject, asked: Agenda) -> list[str]:
    """The benchmarks to which a checkpoint has no answers, as far as that is known before it is loaded."""
    there = {one.benchmark.name: load(subject.folder, one.benchmark) for one in asked.tasks}
    wanted = {
        one.benchmark.name: asked_of(one, asked.prompts, subject.checkpoint.fingerprint)
        for one in asked.tasks
    }
    return [
        name for name, answers in there.items()
        if config.overwrite or answers is None or {**answers.identity, **wanted[name]} != answers.identity
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Beside:
    """What a checkpoint answered beside the benchmarks. sure: of each new concept; mteb: by task."""

    sure: Sequence[Confidence] = ()
    mteb: Sequence[Harnessed] = ()


def answer(config: EvaluateConfig, console: Console, subject: Subject, asked: Agenda) -> Beside:
    """Have a checkpoint answer what it has not answered."""
    if config.lmm:
        lmm.prepare(config.lmm, subject.checkpoint, console)
    if not (asked.tasks or asked.concepts or config.mteb):
        return Beside()
    from ..towers import DualEncoder, Options

    options = Options(config.device, config.dtype, "exact", config.batch_size, config.compile, config.workers)
    encoder = DualEncoder.load(subject.checkpoint, options, console)
    answering = Answering(encoder, asked.prompts)
    todo = [
        one for one in asked.tasks
        if config.overwrite or load(subject.folder, one.benchmark, answering.identity(one)) is None
    ]  # fmt: skip
    pictures = sum(len(one.names) for one in todo) + sum(len(one.names) for one in asked.concepts)
    with console.progress(pictures, unit="pictures") as bar:
        answering = replace(answering, tell=bar.update)
        for task in todo:
            answering.answers(task).save(subject.folder)
        sure = [answering.confidence(one) for one in asked.concepts]
    folder = join(subject.folder, "mteb")
    return Beside(sure, harness.run(encoder, asked.tasks, folder, console) if config.mteb else ())


def leaked(config: EvaluateConfig, console: Console, asked: Agenda, home: str) -> Leaks | None:
    """The pictures of the benchmarks that lie in --leaks, where that was asked."""
    if not config.leaks or not asked.tasks:
        return None
    from .leaks import look as look_for

    return look_for(asked.tasks, config.leaks, config.near, join(home, FOLDER), console)


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found. scored: the checkpoints with their figures; clean: those without what leaked, if it was asked."""

    scored: Sequence[Contender]
    tables: Sequence[ResultTable]
    clean: Sequence[Contender] = ()


def tell(
    config: EvaluateConfig,
    subjects: Sequence[Subject],
    asked: Agenda,
    beside: Sequence[Beside],
    leaks: Leaks | None,
) -> Findings:
    """The tables, of what was asked now, or without a folder of benchmarks of all that was answered before.

    Raises InputError where there is nothing to tell.
    """
    chosen = {one.benchmark.name for one in asked.tasks} or config.chosen
    answers = [stored(subject.folder, chosen) for subject in subjects]
    several = Counter(one.checkpoint.name for one in subjects)
    names = [
        one.checkpoint.name if several[one.checkpoint.name] == 1 else one.checkpoint.slug for one in subjects
    ]

    def scored(without: Leaks | None) -> list[Contender]:
        return [
            Contender(name, one.size, one.baseline, known, _drawn(config, known, without))
            for name, one, known in zip(names, subjects, answers, strict=True)
        ]

    whole = scored(None)
    made = [family_table(family, whole) for family in FAMILIES]
    clean = scored(leaks) if leaks is not None else []
    for family, title in FAMILIES.items() if clean else ():
        told = family_table(family, clean, f"{title}, without the pictures that lie in {config.leaks}")
        made.append(told and replace(told, notes=[]))  # they stand at the table of all, and count all
    pairs = [one.run.plan["rows"].get("train", 0) if one.run else 0 for one in subjects]
    made.append(
        scaling_table(
            [(one, count) for one, count in zip(whole, pairs, strict=True) if count and one.answers]
        )
    )
    made.append(concept_table(names, asked.concepts, [one.sure for one in beside]))
    made.append(mteb_table(names, [one.mteb for one in beside]))
    if config.lmm:
        read = [lmm.read(config.lmm, one.checkpoint) for one in subjects]
        made.append(lmm_table(names, read, next((one.size for one in subjects if one.size), None)))
    tables = [one for one in made if one]
    if not tables and not config.lmm:
        raise InputError(f"{names[0]}: nothing was evaluated yet; name a folder of benchmarks")
    return Findings(whole, tables, clean)


def _drawn(
    config: EvaluateConfig, answers: Mapping[str, Answers], leaks: Leaks | None
) -> Mapping[str, Drawn]:
    """The figures of each benchmark with their draws, without the pictures that leaked where that was looked for."""
    return {
        name: one.drawn(config.draws, config.seed, leaks.kept(name) if leaks else None)
        for name, one in answers.items()
    }
