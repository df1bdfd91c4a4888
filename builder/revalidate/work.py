"""The passes of `danqing revalidate`: the panel, once a root; its shards; the decision, once all of them are scored.

shards ─▶ pieces ─▶ embeddings ─▶ scores, one step behind ─▶ the files of a shard, then its marker

The device waits neither for what is read and decoded ahead of it nor for what is scored and written behind.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..console import Console
from ..disk.card import offer
from ..disk.files import remove
from ..disk.ledger import Tally, decision_at
from ..disk.root import REVALIDATE, earlier
from ..stage.engine import Done, Tell, Units
from . import rules
from .config import RevalidateConfig
from .decide import Deciding, decide
from .panel import Panel, make_panel, read_panel, texts_of
from .pieces import Pictures, Piece, PieceCutter
from .plan import STAGE, ScoringPlan, agree
from .reference import Reference
from .score import Scorer
from .scores import ScoreWriter

if TYPE_CHECKING:
    from ..towers import DualEncoder, Embedded, ToEmbed

ROUND = 500_000  # rows after which the threads of the model are drained: what they hold is bounded by it


@dataclass(slots=True)
class Scoring:
    """What a root is scored with. temporary: where a file is written before it is published; panel: once it is."""

    config: RevalidateConfig
    console: Console
    plan: ScoringPlan
    siglip: DualEncoder
    reference: Reference
    temporary: Path
    panel: Panel = field(init=False)


def panel(setup: Scoring, units: Units, tell: Tell) -> Iterator[Done]:
    """Write the plan, and the panel of the root where no run has published one.

    Nothing is written, nor removed by --overwrite, before all that can be wrong with the input was looked at.
    """
    root, overwrite, columns = setup.config.root, setup.config.overwrite, setup.config.captions
    for number in units:
        # Again: another rank may have begun while the model was loaded.
        agree(setup.config, setup.plan.made_from)
        found = None if overwrite else read_panel(root, columns)
        if found is None:
            setup.console.info("choosing the panel, the pairs among which each pair is ranked")
            made = make_panel(setup.plan.shards, setup.reference, setup.siglip, columns, rules.PANEL)
            if overwrite:
                earlier(root, REVALIDATE).remove()
        setup.plan.write(root)
        if found is None:
            made.write(root)
            found = read_panel(root, columns) or made  # of a rank elsewhere that was later
        setup.panel = found
        remove(decision_at(root, STAGE))  # its verdicts are not those of the scores any more
        offer(root, scored=False)
        yield Done(number, "panel", [])


def shards(setup: Scoring, units: Units, tell: Tell) -> Iterator[Done]:
    """Score shards; once asked to stop, the one in work is the last."""
    captions = setup.config.captions
    cutter = PieceCutter(setup.reference, setup.panel, captions)
    scorer = Scorer(setup.siglip, setup.panel, captions, embeddings=setup.config.embeddings)
    writer = ScoreWriter(setup.config.root, setup.temporary, setup.plan, setup.panel.digest)
    behind: Future[Done | Mapping[str, Tally]] | None = None

    def finish(made: Embedded) -> Done | Mapping[str, Tally]:
        """Score and write a piece while the next is embedded."""
        return writer.add(made.tag, scorer.score(made.tag, made))

    def written() -> Iterator[Done]:
        told = behind.result() if behind else None
        if isinstance(told, Done):
            yield told
        else:
            tell(told)

    pieces = (piece for shard in units for piece in cutter.pieces(shard))
    with closing(pieces), ThreadPoolExecutor(1, "write") as pool:
        while (first := next(pieces, None)) is not None:
            embedded: Any = setup.siglip.embed(_works(itertools.chain([first], pieces), captions))
            with closing(embedded):
                for made in embedded:
                    yield from written()
                    behind = pool.submit(finish, made)
                    if units.stopping and made.tag.last:
                        yield from written()
                        return
        yield from written()


def decision(setup: Deciding, units: Units, tell: Tell) -> Iterator[Done]:
    """Give every pair its verdict."""
    for number in units:
        setup.verdicts = decide(setup.config, setup.console)
        yield Done(number, "decision", [])


def _works(pieces: Iterator[tuple[Piece, Pictures]], captions: tuple[str, ...]) -> Iterator[ToEmbed]:
    """What to embed of some pieces, until they hold ROUND rows: rows that need no forward wait for those that do."""
    from ..towers import ToEmbed

    rows = 0
    for piece, pictures in pieces:
        yield ToEmbed(piece, pictures, texts_of(piece.table.take(piece.forward), captions))
        rows += len(piece.rows)
        if rows >= ROUND:
            return
