"""funnel.json, in which a stage tells the next one what its pairs went through, so that a root shows the whole way.

    recipe, counts ─▶ write_funnel ─▶ funnel.json of a folder of candidates
    that folder ─▶ earlier_funnels ─▶ `funnels` of the next stage's plan.json ─▶ funnels_of ─▶ status, report, card

Anybody may have written it. So only its counts and names are taken over, and what follows from them is made anew.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..disk import documents
from ..disk.files import filesystem, join, write_atomic
from ..disk.ledger import PlanDocument, Tally
from ..disk.reading import WEB, reading, type_of
from ..errors import InputError
from .recipe import PaperDocument, RecipeDocument, RecipeFunnel, StepDocument, funnel_of

NAME = "funnel.json"
MAKERS = ("crawl", "refine")  # stages that make manifests, and write it beside them
LIMIT = 1 << 20  # bytes; that of a crawl has 4 KB
MOST = 64  # stages, steps of one, rows of the paper


class StageFunnel(RecipeFunnel):
    """The funnel of one stage. counters: what else it counted, by name."""

    stage: str
    counters: dict[str, int]


class FunnelFile(StageFunnel):
    """What funnel.json holds. before: the funnels of the stages before, oldest first."""

    before: list[StageFunnel]


def write_funnel(
    root: str, stage: str, recipe: RecipeDocument, counted: Tally, before: Sequence[StageFunnel] = ()
) -> None:
    """Write funnel.json of a stage that is done, at the top of what it made."""
    document = FunnelFile(
        **funnel_of(recipe, counted.rows, counted.reasons),
        stage=stage,
        counters=dict(sorted(counted.counters.items())),
        before=[*before],
    )
    write_atomic(join(root, NAME), json.dumps(document, indent=1, ensure_ascii=False).encode())


def earlier_funnels(source: str, rows: int, warn: Callable[[str], None]) -> list[StageFunnel]:
    """The funnels of the stages that made a manifest, oldest first; none where it is no folder of candidates.

    source: what the user gave as manifest; rows: of it. A file that is none is passed over with a warning, as no pair
    depends on it. Raises EnvironmentProblem where it cannot be read.
    """
    fs, path = filesystem(source)
    at, url = f"{path.rstrip('/')}/{NAME}", join(source, NAME)
    with reading(url):
        if source.startswith(WEB) or type_of(fs, path) != "directory" or (kind := type_of(fs, at)) is None:
            return []
        made = [type_of(fs, f"{path.rstrip('/')}/ledger/{stage}/plan.json") for stage in MAKERS]
    if "file" not in made:
        return []
    try:
        if kind != "file":
            raise ValueError("no file")
        with reading(url), fs.open(at, "rb") as file:
            data = file.read(LIMIT + 1)
        found = documents.parse(data, LIMIT)
        documents.check(found, FunnelFile)
        return checked_funnels([*found["before"], found], rows)
    except ValueError as error:
        warn(
            f"{url}: no funnel of danqing ({error}), so this root will not show what was dropped before: the command "
            "that made the folder writes it anew when it is run again, and this one then takes it over"
        )
        return []


def funnels_of(plan: PlanDocument, stage: str) -> list[StageFunnel]:
    """The funnels of the stages before, as the plan of a stage holds them; InputError where they are none."""
    try:
        return checked_funnels(plan.get("funnels", []), sum(plan["rows"].values()))
    except ValueError as error:
        raise InputError(f"ledger/{stage}/plan.json: its funnels are none ({error}); restore it") from error


def known_funnels(
    plan: PlanDocument | None, stage: str, source: str, rows: int, warn: Callable[[str], None]
) -> list[StageFunnel]:
    """The funnels of the stages before: of an earlier run's plan, where that has any, else of the manifest's folder."""
    return (funnels_of(plan, stage) if plan else []) or earlier_funnels(source, rows, warn)


def checked_funnels(found: Sequence[Mapping[str, Any]], rows: int) -> list[StageFunnel]:
    """Funnels of stages in a row, their shares counted anew, before a manifest of so many rows.

    ValueError where they do not add up: a stage drops what it does not keep, and the next one meets no more pairs than
    that; with --limit it meets fewer.
    """
    if len(found) > MOST:
        raise ValueError(f"more than {MOST} stages")
    funnels = [_checked(one) for one in found]
    met = [(one["stage"], one["pairs"]) for one in funnels[1:]]
    for one, (name, pairs) in zip(funnels, [*met, ("the manifest", rows)], strict=False):
        if pairs > one["kept"]:
            raise ValueError(f"{one['stage']} kept {one['kept']:,} pairs, {name} has {pairs:,}")
    return funnels


def _checked(found: Mapping[str, Any]) -> StageFunnel:
    documents.check(found, StageFunnel)
    steps, paper = found["steps"], found["paper"]
    if len(steps) > MOST or len(paper) > MOST:
        raise ValueError(f"more than {MOST} steps")
    named = [name for one in steps for name in (one["name"], *one["reasons"])]
    for name in (found["stage"], *named, *(one["name"] for one in paper), *found["counters"]):
        if not name.isprintable() or len(name) > documents.SHOWN:
            raise ValueError(f"{name[: documents.SHOWN]!r} is no name")
    if any(not 0 <= one["share"] <= 1 for one in paper):
        raise ValueError("paper: a share should be from 0 to 1")
    recipe = RecipeDocument(steps=[_step(one) for one in steps], paper=[_row(one) for one in paper])
    reasons: Counter[str] = Counter()
    for one in steps:
        reasons.update(one["reasons"])
    made = funnel_of(recipe, found["pairs"], reasons)
    if made["kept"] != found["kept"]:
        raise ValueError(f"kept: {found['kept']:,}, by its steps {made['kept']:,}")
    return StageFunnel(**made, stage=found["stage"], counters=found["counters"])


def _step(one: Mapping[str, Any]) -> StepDocument:
    made = StepDocument(name=one["name"], reasons=[*one["reasons"]])
    return made if one["row"] is None else StepDocument(**made, row=one["row"])


def _row(one: Mapping[str, Any]) -> PaperDocument:
    return PaperDocument(row=one["row"], name=one["name"], pairs=one["pairs"], share=one["share"])
