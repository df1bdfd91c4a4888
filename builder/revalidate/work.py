"""Pass 2 of `danqing revalidate`: shards in, their files of scores/ out, embedded, ranked and written side by side.

shards ─▶ pieces ─▶ embeddings ─▶ scores, one step behind ─▶ the files of a shard, then its marker

The device waits neither for what is read and decoded ahead of it nor for what is scored and written behind.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from ..disk.ledger import ShardLedger, Tally
from ..stage.engine import Done, Tell, Units
from ..stage.shards import Shard
from ..towers import Embedded, Siglip, ToEmbed
from .panel import Panel, texts_of
from .pieces import Pictures, Piece, PieceCutter
from .reference import Reference
from .score import Scorer
from .scores import ScoreWriter

ROUND = 500_000  # rows after which the threads of the model are drained: what they hold is bounded by it


@dataclass(frozen=True, slots=True)
class Scoring:
    """What shards are scored with. captions: names of the columns; embeddings: whether they are written too."""

    siglip: Siglip
    panel: Panel
    reference: Reference
    writer: ScoreWriter
    captions: tuple[str, ...]
    embeddings: bool


@dataclass(slots=True)
class _Behind:
    """What is done with the embeddings of a piece while the next is embedded. rows: of the shard in work."""

    scorer: Scorer
    writer: ScoreWriter
    rows: int = 0

    def finish(self, made: Embedded) -> tuple[Shard, int, ShardLedger | None]:
        """Score and write a piece: its shard, the rows of that so far, and its marker once it is whole."""
        piece: Piece = made.tag
        scores, embeddings = self.scorer.score(piece, made)
        tables = {"scores": scores} | ({} if embeddings is None else {"embeddings": embeddings})
        rows, self.rows = self.rows + len(scores), 0 if piece.last else self.rows + len(scores)
        return piece.shard, rows, self.writer.add(piece.shard, tables, last=piece.last)


def work(setup: Scoring, units: Units, tell: Tell) -> Iterator[Done]:
    """Score shards; once asked to stop, the one in work is the last."""
    cutter = PieceCutter(setup.reference, setup.panel, setup.captions)
    scorer = Scorer(setup.siglip, setup.panel, setup.captions, embeddings=setup.embeddings)
    finish = _Behind(scorer, setup.writer).finish
    behind: Future[tuple[Shard, int, ShardLedger | None]] | None = None

    def written() -> Iterator[Done]:
        if behind is not None:
            shard, rows, marker = behind.result()
            if marker is None:
                tell({shard.stem: Tally(rows, rows)})
            else:
                yield Done(shard.number, shard.stem, [marker])

    pieces = (piece for shard in units for piece in cutter.pieces(shard))
    with closing(pieces), ThreadPoolExecutor(1, "write") as pool:
        while (first := next(pieces, None)) is not None:
            embedded: Any = setup.siglip.embed(_works(itertools.chain([first], pieces), setup.captions))
            with closing(embedded):
                for made in embedded:
                    yield from written()
                    behind = pool.submit(finish, made)
                    if units.stopping and made.tag.last:
                        yield from written()
                        return
        yield from written()


def _works(pieces: Iterator[tuple[Piece, Pictures]], captions: tuple[str, ...]) -> Iterator[ToEmbed]:
    """What to embed of some pieces, until they hold ROUND rows: rows that need no forward wait for those that do."""
    rows = 0
    for piece, pictures in pieces:
        yield ToEmbed(piece, pictures, texts_of(piece.table.take(piece.forward), captions))
        rows += len(piece.rows)
        if rows >= ROUND:
            return
