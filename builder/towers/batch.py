"""Works cut into batches, and the rows of batches put together into works again.

A work asks each tower for some items: its pictures, and its captions, equal ones once. A cutter lines up the items of
one tower, work after work, and sends off a batch whenever a slot is full. When the tower has run, each item's
embedding goes to the row of the work that asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .lane import Lane, Slot, on_device
from .pixels import Picture

if TYPE_CHECKING:
    from torch import Tensor

Arrays = dict[str, npt.NDArray[Any]]  # of a slot, by name
# Puts items into rows of a slot's arrays, and says of each whether there was anything to put.
Fill = Callable[[Sequence[Any], Arrays, npt.NDArray[np.bool_]], None]
# Pictures a decoding thread takes at a time: few enough to share a batch of 64 among the threads, and enough that
# handing them out (0.03 ms with the GIL) costs nothing.
_HANDFUL = 8


@dataclass(slots=True)
class Open:
    """A work on its way. columns: the row of each caption, -1 for none; left: items without their embedding.

    found: embeddings by tower, with one row more than the work has, for what came to nothing.
    """

    tag: Any
    intact: npt.NDArray[np.bool_]
    size: dict[str, int]
    columns: list[npt.NDArray[np.int64]]
    left: int
    found: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls, tag: Any, pictures: Sequence[Picture | None], captions: tuple[Sequence[str | None], ...]
    ) -> tuple[Open, dict[str, list[tuple[int, Any]]]]:
        """The work, and what it wants of each tower: (row, item)."""
        seen: dict[str, int] = {}
        columns = [
            # Minus one, the row that stays zero: no caption.
            np.array([-1 if one is None else seen.setdefault(one, len(seen)) for one in column], np.int64)
            for column in captions
        ]
        wanted: dict[str, list[tuple[int, Any]]] = {
            "image": [(row, body) for row, body in enumerate(pictures) if body is not None],
            "text": [(row, caption) for caption, row in seen.items()],
        }
        size = {"image": len(pictures), "text": len(seen)}
        left = sum(len(items) for items in wanted.values())
        return cls(tag, np.zeros(len(pictures), np.bool_), size, columns, left), wanted

    def receive(self, lane: Lane, rows: list[int], embeddings: Tensor, intact: npt.NDArray[np.bool_]) -> None:
        """Embeddings of some of the items; those that are not intact go to the row that nobody reads."""
        import torch

        last = self.size[lane.name]
        if lane.name == "image":
            self.intact[rows] = intact
        target = on_device(torch.from_numpy(np.where(intact, rows, last)), lane.device)
        self._table(lane).index_copy_(0, target, embeddings)
        self.left -= len(rows)

    def image(self, lane: Lane) -> Tensor:
        """Embeddings of the pictures, (pictures, dim)."""
        return self._table(lane)[:-1]

    def captions(self, lane: Lane) -> tuple[Tensor, ...]:
        """Embeddings of the captions, (captions, dim) of each column."""
        import torch

        table = self._table(lane)
        return tuple(table[on_device(torch.from_numpy(column), lane.device)] for column in self.columns)

    def _table(self, lane: Lane) -> Tensor:
        import torch

        if lane.name not in self.found:
            self.found[lane.name] = torch.zeros((self.size[lane.name] + 1, lane.dim), device=lane.device)
        return self.found[lane.name]


@dataclass(slots=True)
class Batch:
    """A slot on its way to the tower of `lane`: whose rows it holds, in order, and the threads that fill it."""

    lane: str
    slot: Slot
    count: int
    intact: npt.NDArray[np.bool_]
    places: list[tuple[Open, list[int]]]
    filling: list[Future[None]]

    def run(self, lane: Lane) -> None:
        """Wait for the threads, start the forward, and hand out the embeddings. Raises what a thread raised."""
        for one in self.filling:
            one.result()
        with lane.running():
            found = lane.forward(self.slot, self.count)
            at = 0
            for work, rows in self.places:
                end = at + len(rows)
                work.receive(lane, rows, found[at:end], self.intact[at:end])
                at = end
        lane.free.put(self.slot)


class BatchCutter:
    """A line of the items of one tower, cut into batches; `send` is given one whenever it is full."""

    def __init__(self, lane: Lane, fill: Fill, pool: Executor, send: Callable[[Batch], None]) -> None:
        self._lane, self._fill, self._pool, self._send = lane, fill, pool, send
        self._items: list[Any] = []
        self._places: list[tuple[Open, list[int]]] = []

    def holds(self, work: Open) -> bool:
        """Whether items of a work wait here for a batch to be full."""
        return any(one is work for one, _ in self._places)

    def add(self, work: Open, wanted: list[tuple[int, Any]]) -> None:
        """Line up what a work wants of this tower."""
        at = 0
        while at < len(wanted):
            some = wanted[at : at + self._lane.capacity - len(self._items)]
            self._items += [item for _, item in some]
            self._places.append((work, [row for row, _ in some]))
            at += len(some)
            if len(self._items) == self._lane.capacity:
                self.flush()

    def flush(self) -> None:
        """Send off what has been lined up. Waits for a slot; raises Stopped when nobody wants it any more."""
        items, places = self._items, self._places
        if not items:
            return
        self._items, self._places = [], []
        slot = self._lane.free.get()
        slot.wait()
        arrays = {name: tensor.numpy() for name, tensor in slot.tensors.items()}
        intact = np.zeros(len(items), np.bool_)
        step = _HANDFUL if self._lane.name == "image" else len(items)
        filling = [
            self._pool.submit(
                self._fill,
                items[at : at + step],
                {name: array[at : at + step] for name, array in arrays.items()},
                intact[at : at + step],
            )
            for at in range(0, len(items), step)
        ]
        self._send(Batch(self._lane.name, slot, len(items), intact, places, filling))
