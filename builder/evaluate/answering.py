"""Answering: a task and a checkpoint in, its answer to every picture and text out.

    pictures ─▶ towers ─▶ (n, d) ─┬▶ cosines with class vectors ─▶ the class that is nearest
                texts ─▶ (m, d) ──┴▶ ranks of what belongs together, both ways

Cosines are float32, of whatever precision the towers have; a tie counts against the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..card.values import counted
from ..towers import ToEmbed
from .concepts import Concept, Confidence, judged
from .metrics import UNFOUND, ranks
from .prompts import Prompts, class_vectors
from .recipe import AUC, MAP, WAYS
from .results import LABELLED, NONE, RETRIEVED, Answers
from .tasks import Captioned, Labelled, Pictures, Task, identity

if TYPE_CHECKING:
    from ..towers import DualEncoder

ROWS = 64  # pictures or texts that are handed over together
NAMED = 10  # groups of classes, or pictures, that a line names
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Answering:
    """A checkpoint at work. tell: is told of every few pictures that are done, where somebody asks."""

    encoder: DualEncoder
    prompts: Prompts
    tell: Callable[[int], None] | None = None

    def identity(self, task: Task) -> Mapping[str, object]:
        """What the answers to a task follow from."""
        return {
            **asked_of(task, self.prompts, self.encoder.checkpoint.fingerprint),
            "dtype": self.encoder.dtype_name, "preprocessing": self.encoder.preprocessing,
        }  # fmt: skip

    def answers(self, task: Task) -> Answers:
        """The answers to a task. Raises InputError where its files cannot be read."""
        image = self.pictures(task.pictures)
        lost = np.flatnonzero(np.isnan(image).any(axis=1))
        said = list(task.said)
        if len(lost):
            those = f"{counted(len(lost), 'picture', 'pictures')} that cannot be decoded, and count as wrong"
            said.append(f"{those}: {', '.join(task.names[row] for row in lost[:NAMED])}")
        if isinstance(task, Labelled):
            rows, more = self._labelled(task, image)
        else:
            assert isinstance(task, Captioned)
            rows, more = self._retrieved(task, image)
        found = Answers(task.benchmark, rows, self.identity(task), (*said, *more), len(lost))
        if not found.tied:
            return found
        ties = f"{found.tied:,} queries have a tie at their best, which counts against the checkpoint"
        return replace(found, said=(*found.said, ties))

    def _labelled(self, task: Labelled, image: Vectors) -> tuple[pa.Table, list[str]]:
        """Rows of LABELLED."""
        templates = self.prompts.of(task.benchmark.name)
        vectors, alike = class_vectors(self.texts, self.encoder.token_ids, task.classes, templates)
        cosines = image @ vectors.T
        right = ranks(image, vectors, np.argwhere(task.truth)).rank == 1
        near = np.nan_to_num(cosines, nan=-np.inf)
        best = near.argmax(axis=1)
        # The rank decides: last bits of the product differ with the place of a class in it.
        wrong = np.where(task.truth[np.arange(len(best)), best] | np.isnan(cosines).any(axis=1), NONE, best)
        own = np.where(task.truth, near, -np.inf).argmax(axis=1)
        scores = list(cosines) if task.benchmark.elevater in (MAP, AUC) else [None] * len(image)
        columns: list[Any] = [
            task.names,
            [np.flatnonzero(row).tolist() for row in task.truth],
            np.where(right, own, wrong).astype(np.int32),
            scores,
        ]
        said = [*self.prompts.said]
        if alike:
            named = [" = ".join(task.classes[one] for one in group) for group in alike[:NAMED]]
            said.append(
                f"{sum(map(len, alike)):,} classes cannot be told apart, as their prompts are the same to this "
                f"checkpoint: {'; '.join(named)}"
            )
        return pa.table(dict(zip(LABELLED.names, columns, strict=True)), schema=LABELLED), said

    def _retrieved(self, task: Captioned, image: Vectors) -> tuple[pa.Table, list[str]]:
        """Rows of RETRIEVED, the texts first."""
        text = self.texts(task.texts)
        flipped = np.ascontiguousarray(task.pairs[:, ::-1])
        pictures: list[list[int]] = [[] for _ in task.texts]
        for picture, number in task.pairs.tolist():
            pictures[number].append(picture)
        asked: list[Mapping[str, Any]] = [
            {
                "query": list(map(str, range(len(text)))),
                "pictures": pictures,
                "found": ranks(text, image, flipped),
            },
            {
                "query": task.names,
                "pictures": [[row] for row in range(len(image))],
                "found": ranks(image, text, task.pairs),
            },
        ]
        parts = []
        for way, one in zip(WAYS, asked, strict=True):
            rank, tied = one["found"]
            columns: list[Any] = [
                [way] * len(rank),
                one["query"],
                one["pictures"],
                pa.array(rank, pa.int32(), mask=rank == UNFOUND),
                tied,
            ]
            parts.append(pa.table(dict(zip(RETRIEVED.names, columns, strict=True)), schema=RETRIEVED))
        said = []
        if cut := self._full(task.texts):
            said.append(
                f"{cut:,} of {len(text):,} captions fill all positions of the text tower, and may be cut there"
            )
        return pa.concat_tables(parts), said

    def confidence(self, concept: Concept) -> Confidence:
        """How sure the checkpoint is of a new concept."""
        return judged(concept, self.pictures(concept.pictures), self.texts(concept.texts), self.encoder.scale)

    def pictures(self, pictures: Pictures) -> Vectors:
        """Embeddings of the pictures (n, d), NaN where there is none to see."""

        def works() -> Iterator[ToEmbed]:
            bodies = pictures()
            while some := [*islice(bodies, ROWS)]:
                yield ToEmbed(None, some)

        return self._embedded(works(), self.tell)

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Embeddings of texts (k, d)."""
        parts = (texts[at : at + ROWS] for at in range(0, len(texts), ROWS))
        return self._embedded((ToEmbed(None, [None] * len(one), (one,)) for one in parts), None)

    def _embedded(self, works: Iterator[ToEmbed], tell: Callable[[int], None] | None) -> Vectors:
        """Pictures, or where there is a column of captions these."""
        found = [np.empty((0, self.encoder.dim), np.float32)]
        answers: Any = self.encoder.embed(works)
        with closing(answers):
            for one in answers:
                vectors: Vectors = (one.captions[0] if one.captions else one.image).float().cpu().numpy()
                if not one.captions:
                    vectors[~one.intact] = np.nan
                found.append(vectors)
                if tell:
                    tell(len(vectors))
        return np.concatenate(found)

    def _full(self, texts: Sequence[str]) -> int:
        """Texts that leave no position of the text tower to padding."""
        padding = int(self.encoder.token_ids([""])[0, -1])
        parts = (self.encoder.token_ids(texts[at : at + ROWS]) for at in range(0, len(texts), ROWS))
        return sum(int((one[:, -1] != padding).sum()) for one in parts)


def asked_of(task: Task, prompts: Prompts, fingerprint: str) -> Mapping[str, object]:
    """What of the identity of answers is known before a checkpoint, of that fingerprint, is loaded."""
    templates = list(prompts.of(task.benchmark.name)) if isinstance(task, Labelled) else []
    return {"checkpoint": fingerprint, "task": task.identity, "prompts": identity(templates)}


def limited(task: Task, limit: int) -> Task:
    """A task of at most so many of its pictures, evenly spread, and of the texts that belong to these."""
    if not limit or len(task.names) <= limit:
        return task
    rows = np.unique(np.linspace(0, len(task.names) - 1, limit).round().astype(np.int64))
    chosen = np.zeros(len(task.names), np.bool_)
    chosen[rows] = True

    def pictures() -> Iterator[bytes]:
        return (body for wanted, body in zip(chosen, task.pictures(), strict=True) if wanted)

    said = [*task.said, f"a trial on {len(rows):,} of {len(task.names):,} pictures"]
    less: Any = {
        "names": [task.names[row] for row in rows], "pictures": pictures, "said": said,
        "identity": identity(task.identity, limit),
    }  # fmt: skip
    if isinstance(task, Labelled):
        return replace(task, truth=task.truth[rows], **less)
    assert isinstance(task, Captioned)
    pairs = task.pairs[chosen[task.pairs[:, 0]]]
    texts = np.unique(pairs[:, 1])
    renamed = np.column_stack([np.searchsorted(rows, pairs[:, 0]), np.searchsorted(texts, pairs[:, 1])])
    return replace(task, texts=[task.texts[one] for one in texts], pairs=renamed, **less)
