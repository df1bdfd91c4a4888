"""A recipe: the steps that pairs go through, each with the row of the paper that it answers, and how a run compares.

    steps, counts by reason ─▶ funnel_of ─▶ funnel.json and the table of `danqing status`

The order of a recipe is that which costs least, and not the paper's. So running counts say nothing, and shares are
compared: of all steps that answer a row, of the pairs that the rows before it would have left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import NotRequired, TypedDict

from ..console import table
from ..disk import documents
from ..errors import InputError
from ..reasons import Reason


class StepDocument(TypedDict):
    """A rule of a recipe. reasons: with which it answers; row: of the paper that it answers, where it has one."""

    name: str
    reasons: list[str]
    row: NotRequired[int]


class PaperDocument(TypedDict):
    """A row of the paper. pairs: that it left; share: that it dropped of those that the row before it left."""

    row: int
    name: str
    pairs: int
    share: float


class RecipeDocument(TypedDict):
    """A recipe, as plan.json holds it; paper: the rows that its steps answer, ascending."""

    steps: list[StepDocument]
    paper: list[PaperDocument]


class FunnelStep(TypedDict):
    """A step as it went. pairs: that came to it; dropped: of them; share: of them; reasons: counted."""

    name: str
    row: int | None
    pairs: int
    dropped: int
    share: float
    reasons: dict[str, int]


class FunnelRow(PaperDocument):
    """A row of the paper beside a run. found: the share that all steps of this row dropped."""

    found: float


class RecipeFunnel(TypedDict):
    """How the pairs of a run went through a recipe. pairs, kept: in and out; order: where it is not the paper's."""

    pairs: int
    kept: int
    steps: list[FunnelStep]
    paper: list[FunnelRow]
    order: str


# The row that rebuild answers, which has no recipe.
DOWNLOAD = PaperDocument(row=3, name="download success", pairs=475_104_485, share=0.3271)


def step(name: str, row: int | None, *reasons: Reason) -> StepDocument:
    """A step of a recipe. row: of the paper that it answers; reasons: with which it does."""
    told = StepDocument(name=name, reasons=[reason.value for reason in reasons])
    return told if row is None else StepDocument(**told, row=row)


def checked_recipe(document: object, place: str = "plan.json") -> RecipeDocument:
    """The recipe of a plan, or of a decision; InputError, naming the place, where it is none."""
    try:
        if not isinstance(document, dict):
            raise ValueError("no object")
        documents.check(document, RecipeDocument)
    except ValueError as error:
        raise InputError(f"{place}: its recipe is none ({error}); restore it") from error
    return RecipeDocument(steps=document["steps"], paper=document["paper"])


def funnel_of(recipe: RecipeDocument, pairs: int, reasons: Mapping[str, int]) -> RecipeFunnel:
    """The steps of a run. pairs: that came in; reasons: of those dropped, counted."""
    steps: list[FunnelStep] = []
    left = pairs
    for one in recipe["steps"]:
        counts = {reason: reasons[reason] for reason in one["reasons"] if reasons.get(reason)}
        dropped = sum(counts.values())
        share = dropped / left if left else 0.0
        steps.append(FunnelStep(
            name=one["name"], row=one.get("row"), pairs=left, dropped=dropped, share=share, reasons=counts
        ))  # fmt: skip
        left -= dropped
    # The paper re-validates nothing: its rows are of the pairs that a re-validation leaves.
    found = _by_row(recipe["paper"], steps, pairs - reasons.get(Reason.VERDICT, 0))
    return RecipeFunnel(pairs=pairs, kept=left, steps=steps, paper=found, order=_order(steps))


def _by_row(paper: Sequence[PaperDocument], steps: Sequence[FunnelStep], pairs: int) -> list[FunnelRow]:
    rows: list[FunnelRow] = []
    for one in paper:
        dropped = sum(step["dropped"] for step in steps if step["row"] == one["row"])
        rows.append(FunnelRow(**one, found=dropped / pairs if pairs else 0.0))
        pairs -= dropped
    return rows


def _order(steps: Sequence[FunnelStep]) -> str:
    """Where a recipe goes another way than the paper: the first rows that come later than one behind them."""
    rows = [step["row"] for step in steps if step["row"] is not None]
    late = [row for place, row in enumerate(rows) if any(other > row for other in rows[:place])]
    return f"steps of row {', '.join(map(str, sorted(set(late))))} come after later rows here" if late else ""


def beside_paper(funnels: Iterable[RecipeFunnel], asked: int = 0, fetched: int = 0) -> list[FunnelRow]:
    """The paper's rows that some stages answer, ascending; of several that answer one, what they leave is multiplied.

    asked, fetched: pairs of a rebuild that has counted some, which answers the row of the download.
    """
    rows = [row for one in funnels for row in one["paper"]]
    if asked:
        rows.append(FunnelRow(**DOWNLOAD, found=1 - fetched / asked))
    found: dict[int, FunnelRow] = {}
    for row in sorted(rows, key=itemgetter("row")):
        if before := found.get(row["row"]):
            row = FunnelRow(**{**before, "found": 1 - (1 - before["found"]) * (1 - row["found"])})
        found[row["row"]] = row
    return [*found.values()]


def paper_lines(rows: Iterable[FunnelRow]) -> list[str]:
    """Rows of the paper beside ours, as a table."""
    told = [
        (f"{one['row']} {one['name']}", f"{one['found']:.2%}", f"{one['share']:.2%}" if one["row"] else "–")
        for one in rows
    ]
    return table([("row of the paper", "dropped here", "in the paper"), *told])


def funnel_lines(
    document: RecipeFunnel, before: Sequence[RecipeFunnel] = (), asked: int = 0, fetched: int = 0
) -> list[str]:
    """The funnel for people: its steps, then the paper's rows beside it and beside the stages before.

    asked, fetched: pairs of a rebuild before it, as of beside_paper.
    """
    steps = [
        (one["name"], f"{one['pairs']:,}", f"{one['dropped']:,}", f"{one['share']:.1%}")
        for one in document["steps"]
    ]
    lines = table([("step", "pairs", "dropped", "share"), *steps])
    lines += ["", *paper_lines(beside_paper([*before, document], asked, fetched))]
    return (
        [
            *lines,
            f"our steps run in another order than the paper's ({document['order']}): compare shares, not counts",
        ]
        if document["order"]
        else lines
    )
