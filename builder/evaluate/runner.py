"""`danqing evaluate`: checkpoints and a folder of benchmarks in, tables out.

Results lie in the folder of a run, those of other checkpoints in that of --output, or else of the first run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from .. import __version__
from ..console import Console
from ..disk import ledger
from ..disk.files import environment, join, work_folder, write_atomic
from ..disk.root import EVALUATE, claim
from ..errors import UsageError, need
from ..stage import trained
from ..stage.hold import hold
from ..stage.plan import hash_of
from ..stage.run import Result
from . import work
from .config import EvaluateConfig
from .metrics import interval
from .results import FOLDER, Floats
from .tables import Contender
from .work import Agenda, Findings, Subject

PACKAGES = ("torch", "transformers", "safetensors", "tokenizers")


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What was found. leaks: lines about pictures that lie in the training data."""

    subjects: Sequence[Subject]
    told: Findings
    leaks: Sequence[str] = ()
    failure: str | None = None

    def lines(self) -> list[str]:
        """The tables for people."""
        return [line for one in self.told.tables for line in one.lines()] + [*self.leaks]

    def as_dict(self) -> Mapping[str, object]:
        """The figures with their 95 % intervals, shares of 1, and the tables, as JSON."""
        checkpoints = [
            {**one.checkpoint.as_dict(), "slug": one.checkpoint.slug, "baseline": one.baseline, "results": one.folder}
            for one in self.subjects
        ]  # fmt: skip
        tables = [one.as_dict() for one in self.told.tables]
        figures = {"figures": _figures(self.told.scored), "figures_without_leaks": _figures(self.told.clean)}
        return {"checkpoints": checkpoints, **figures, "tables": tables, "told": [*self.leaks]}


@dataclass(frozen=True, slots=True)
class Planned:
    """What --dry-run tells. todo: benchmarks that a checkpoint has not answered, by its name."""

    asked: Agenda
    todo: Mapping[str, Sequence[str]]
    failure: str | None = None

    def lines(self) -> list[str]:
        """The plan for people."""
        there = [f"{one.benchmark.name:<14}{len(one.names):,} pictures" for one in self.asked.tasks]
        left = [f"{name}: {', '.join(some) or 'nothing left to do'}" for name, some in self.todo.items()]
        return [*there, *self.asked.absent(), *left]

    def as_dict(self) -> Mapping[str, object]:
        """The plan as JSON."""
        return {
            "dry_run": True, "benchmarks": {one.benchmark.name: len(one.names) for one in self.asked.tasks},
            "missing": [one.name for one in self.asked.found.missing], "todo": self.todo,
        }  # fmt: skip


def run(config: EvaluateConfig, console: Console) -> Result:
    """Evaluate what has not been evaluated, and tell all figures.

    Raises UsageError, InputError, EnvironmentProblem and Interrupted.
    """
    config.check()
    need("evaluate", PACKAGES)
    folder, models = _sorted(config)
    asked, subjects = work.look(config, folder), _subjects(config, models, console)
    if config.dry_run:
        return Planned(asked, {one.checkpoint.name: work.left(config, one, asked) for one in subjects})
    for line in asked.absent():
        console.info(line)
    homes = dict.fromkeys(one.home for one in subjects)
    with ExitStack() as stack, environment(f"cannot use {' or '.join(homes)}"):
        for home in homes:
            claim(home, EVALUATE, overwrite=False)
            place = work_folder(home, EVALUATE.work, EVALUATE.cached)
            kept = [one.folder for one in subjects if one.home == home]
            swept = [join(home, "ledger", FOLDER), join(home, FOLDER), *kept]
            stack.enter_context(hold(place, f"danqing evaluate is at work on {home}", (0, 1), swept))
            _begin(home, config)
        beside = [work.answer(config, console, one, asked) for one in subjects]
        leaks = work.leaked(config, console, asked, subjects[0].home)
        done = Evaluated(
            subjects, work.tell(config, subjects, asked, beside, leaks), leaks.lines() if leaks else ()
        )
        document = {"tables": [one.as_dict() for one in done.told.tables], "told": [*done.leaks]}
        for home in () if config.limit else homes:
            write_atomic(
                join(home, trained.TABLES), json.dumps(document, ensure_ascii=False, indent=1).encode()
            )
    return done


def _sorted(config: EvaluateConfig) -> tuple[str | None, list[str]]:
    """The folder of benchmarks, if there is one, and the checkpoints: by what lies in a folder."""
    folders = [one for one in config.inputs if Path(one).is_dir() and not _is_model(Path(one))]
    models = [one for one in config.inputs if one not in folders]
    if len(folders) > 1 or not models:
        wanted = "name a checkpoint or a run, and at most one folder of benchmarks"
        raise UsageError(f"{' '.join(folders)}: no checkpoint and no run; {wanted}")
    return (folders[0] if folders else None), models


def _is_model(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("config.json", "ledger/train/plan.json"))


def _subjects(config: EvaluateConfig, models: Sequence[str], console: Console) -> list[Subject]:
    """The checkpoints, those to compare with last, each once. UsageError where results have no home."""
    from ..towers import find

    names = (*models, *config.baselines)
    runs = {name: trained.find(name) for name in names if Path(name).is_dir()}
    first = config.output or next((name for name in models if runs.get(name)), None)
    if first is None:
        raise UsageError(f"{models[0]}: is no run; say with --output which folder shall keep the results")
    subjects: dict[str, Subject] = {}
    for name in names:
        checkpoint, record = find(name), runs.get(name)
        if (same := subjects.get(checkpoint.fingerprint)) is not None:
            console.warn(f"{name}: is the same checkpoint as {same.checkpoint.model}, and told once")
            continue
        home, baseline = name if record else first, name in config.baselines
        subjects[checkpoint.fingerprint] = Subject(checkpoint, home, baseline, record, config.limit)
    return list(subjects.values())


def _begin(home: str, config: EvaluateConfig) -> None:
    """Write whose folder it is."""
    options = {**asdict(config), "inputs": [*config.inputs]}
    ledger.write_plan(home, FOLDER, {
        "stage": FOLDER, "version": __version__, "rows": {}, "shards": {}, "config": options,
        "config_hash": hash_of(options),
    })  # fmt: skip


def _figures(scored: Sequence[Contender]) -> Mapping[str, object]:
    """Figures with their intervals, by checkpoint, benchmark and measure."""
    return {
        one.name: {
            name: {measure: _with_interval(values) for measure, values in drawn.items()}
            for name, drawn in one.drawn.items()
        }
        for one in scored
    }


def _with_interval(values: Floats) -> list[float | None]:
    """A figure and the bounds of its interval, where it was drawn; null for what is no number."""
    found = [float(values[0]), *(interval(values[1:]) if len(values) > 1 else ())]
    return [one if one == one else None for one in found]
