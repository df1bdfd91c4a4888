"""Batches for the training loop: pairs in their order in, pixels and token ids out, some batches ahead of the device.

    units ──readers──▶ pairs of each stream ──feeder──▶ slots, filled by a pool of threads ──▶ TrainBatch

Which pairs a batch holds, and what becomes of each, follows from its number: threads only change when it is ready.
What waits is bounded: the window at hand of each stream, AHEAD pairs besides, and SLOTS batches. An error in any
thread reaches whoever iterates; who stops iterating ends them all.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter, deque
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..reasons import Reason
from ..towers.channel import Channel, Stopped
from ..towers.lane import Slot, slots
from ..towers.pixels import Preparation
from ..towers.text import Captions
from .captions import deal
from .config import TrainConfig
from .data import PairSource
from .looked import cores
from .order import Order, Stretch

if TYPE_CHECKING:
    import torch
    from torch import Tensor

READERS = 4  # windows that are read side by side: on a local disk one would do, of a store most of the time is waiting
SLOTS = 3  # batches: one in the loop, one that is ready, one that is being filled
SHARED = 4  # units that are kept as streams share them: of a small root that is all of them
AHEAD = 4096  # pairs that are read ahead, at least a batch; 100 MB of pictures of 25 kB
# Pairs that a thread takes at a time: of pictures as in towers.batch; of captions, whose tokenizer is locked, more.
PICTURES, TEXTS = 8, 256
Arrays = dict[str, npt.NDArray[Any]]  # of a slot, by name


class RawPair(NamedTuple):
    """A pair on its way: None where it has no picture, or no caption."""

    key: str
    image: bytes | None
    caption: str | None


@dataclass(frozen=True, slots=True)
class TrainBatch:
    """A rank's part of a batch, n pairs; its tensors are used again once the next one is asked for.

    keys: of the pairs, empty for one that only fills a row; pixels: uint8 (n, *shape); grid: int32 (n, 2), of NaFlex;
    ids: int32 (n, length); valid: bool (n,), False where a pair is lost; lost: these, by reason; epoch: of the first.
    """

    step: int
    epoch: int
    keys: list[str]
    pixels: Tensor
    grid: Tensor
    ids: Tensor
    valid: Tensor
    lost: Counter[str]


class Feed:
    """The batches of a source in an order. stall: seconds that whoever iterates has waited for batches."""

    def __init__(
        self,
        source: PairSource,
        order: Order,
        config: TrainConfig,
        preparation: Preparation,
        captions: Captions,
    ) -> None:
        self.source, self.order, self.config = source, order, config
        self.preparation, self.captions = preparation, captions
        self.stall = 0.0

    def batches(self, first: int, last: int, rank: int, world: int) -> Generator[TrainBatch]:
        """The batches first, first + 1, ... last - 1, of which this rank has its part; `close` ends the threads.

        Raises UsageError where ranks cannot share out the streams, and what reading raises.
        """
        run = _FeedThreads(self, self.order.share(rank, world), first, last)
        try:
            run.start()
            while True:
                began = time.monotonic()
                try:
                    batch = run.next()
                except Stopped:
                    return
                finally:
                    self.stall += time.monotonic() - began
                yield batch
        finally:
            run.stop()

    def validation(self, rank: int, world: int) -> TrainBatch | None:
        """A rank's part of the validation split, as large on every rank; None where there is no such split."""
        import torch

        source = self.source
        pairs = [pair for unit in source.validation for pair in self._pairs(source.read(unit), 0)]
        if not pairs:
            return None
        each = -(-len(pairs) // world)
        mine = pairs[rank * each : (rank + 1) * each]
        mine += [RawPair("", None, None)] * (each - len(mine))
        slot = Slot(
            {name: torch.zeros(shape, dtype=kind) for name, (shape, kind) in self.shapes(each).items()}
        )
        with ThreadPoolExecutor(self.workers, "danqing-decode") as pool:
            return self.batch(Filling(0, 0, mine, slot, self.fill(pool, mine, slot)))

    @property
    def workers(self) -> int:
        """The number of threads that decode."""
        return self.config.workers or cores()

    def shapes(self, rows: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Shape and type of each tensor of a batch of so many pairs."""
        import torch

        return {
            "pixels": ((rows, *self.preparation.shape), torch.uint8),
            "grid": ((rows, 2), torch.int32),
            "ids": ((rows, self.captions.length), torch.int32),
            "valid": ((rows,), torch.bool),
        }

    def window(self, stretch: Stretch, tables: Mapping[int, Future[pa.Table]]) -> list[RawPair]:
        """The pairs of a window, in their order, once its units are read. Raises what PairSource.read raises."""
        found: list[Any] = [None] * len(stretch.units)
        for number, reading in tables.items():
            places, table = np.flatnonzero(stretch.units == number), reading.result()
            rows = stretch.rows[places]
            if len(rows) < table.num_rows:  # the others are another stream's
                table, rows = table.take(rows), np.arange(len(rows))
            pairs = self._pairs(table, stretch.epoch)
            for place, row in zip(places.tolist(), rows.tolist(), strict=True):
                found[place] = pairs[row]
        return found

    def _pairs(self, table: pa.Table, epoch: int) -> list[RawPair]:
        dealt = deal(table, self.config.mix, self.config.seed, epoch)
        # By NumPy, as Arrow makes a list by way of an object of its own for each value.
        columns = [table["key"].to_numpy(), table["image"].to_numpy(), dealt.to_numpy(zero_copy_only=False)]
        return [*map(RawPair._make, zip(*columns, strict=True))]

    def fill(self, pool: Executor, pairs: list[RawPair], slot: Slot) -> list[Future[None]]:
        """Have the threads of a pool put pairs into the rows of a slot."""
        arrays = {name: tensor.numpy() for name, tensor in slot.tensors.items()}
        return [
            pool.submit(
                run, pairs[at : at + some], {name: one[at : at + some] for name, one in arrays.items()}
            )
            for run, some in ((self._fill_texts, TEXTS), (self._fill_pictures, PICTURES))
            for at in range(0, len(pairs), some)
        ]

    def _fill_pictures(self, pairs: list[RawPair], rows: Arrays) -> None:
        rows["grid"][:] = 1
        for at, pair in enumerate(pairs):
            picture = b"" if pair.image is None or pair.caption is None else pair.image
            rows["valid"][at] = self.preparation.fill(picture, rows["pixels"][at], rows["grid"][at])

    def _fill_texts(self, pairs: list[RawPair], rows: Arrays) -> None:
        rows["ids"][:] = self.captions.ids([pair.caption or "" for pair in pairs])

    def batch(self, filling: Filling) -> TrainBatch:
        """The batch, once its slot is full. Raises what a thread raised."""
        for one in filling.threads:
            one.result()
        pairs, tensors = filling.pairs, filling.slot.tensors
        there = sum(pair.key != "" for pair in pairs)
        mute = sum(pair.caption is None for pair in pairs) - (len(pairs) - there)
        lost: Counter[str] = Counter(
            {Reason.NO_TEXT: mute, Reason.CORRUPT: there - mute - int(tensors["valid"].sum())}
        )
        return TrainBatch(filling.step, filling.epoch, [pair.key for pair in pairs], **tensors, lost=+lost)


@dataclass(frozen=True, slots=True)
class Filling:
    """A batch on its way: its pairs, and the threads that put them into a slot."""

    step: int
    epoch: int
    pairs: list[RawPair]
    slot: Slot
    threads: list[Future[None]]


class _Streams:
    """Pairs of some streams, read ahead in the order in which batches need them."""

    def __init__(self, feed: Feed, numbers: range, first: int, last: int, pool: Executor) -> None:
        order = feed.order
        lines = (self._line(order, number, first * order.each, last * order.each) for number in numbers)
        self._needed = heapq.merge(*lines)
        self._feed, self._pool = feed, pool
        self._most = max(AHEAD, order.each * len(numbers))
        self._ahead = 0
        self._coming: dict[int, deque[tuple[int, Future[list[RawPair]]]]] = {one: deque() for one in numbers}
        self._held: dict[int, list[RawPair]] = {one: [] for one in numbers}
        self._shared: dict[int, Future[pa.Table]] = {}

    @staticmethod
    def _line(order: Order, number: int, start: int, stop: int) -> Iterator[tuple[int, int, Stretch]]:
        for stretch in order.stream(number, start):
            if stretch.start >= stop:
                return
            yield stretch.start, number, stretch

    def take(self, number: int, count: int) -> list[RawPair]:
        """The next pairs of a stream."""
        held = self._held[number]
        while len(held) < count:
            self._read_ahead(number)
            size, reading = self._coming[number].popleft()
            self._ahead -= size
            self._read_ahead()
            held[:0] = reading.result()[::-1]  # the last of it is the next
        taken = held[: -count - 1 : -1]
        del held[-count:]
        return taken

    def _read_ahead(self, number: int | None = None) -> None:
        """Have more windows read while there is room, and whatever room there is until stream `number` has one."""
        while self._ahead < self._most or (number is not None and not self._coming[number]):
            if (needed := next(self._needed, None)) is None:
                return
            _, stream, stretch = needed
            size = len(stretch.units)
            self._ahead += size
            # Later than what it waits for, so that no thread waits for one that has not begun.
            reading = self._pool.submit(self._feed.window, stretch, self._tables(stretch))
            self._coming[stream].append((size, reading))

    def _tables(self, stretch: Stretch) -> dict[int, Future[pa.Table]]:
        """The units of a window, being read. One that streams share is read once, if they want it at about one time."""
        found, source = {}, self._feed.source
        for number, count in zip(
            *(one.tolist() for one in np.unique(stretch.units, return_counts=True)), strict=True
        ):
            reading = self._shared.pop(number, None) or self._pool.submit(source.read, source.train[number])
            if count < source.train.sizes[number]:
                self._shared[number] = reading
            found[number] = reading
        for number in [*self._shared][:-SHARED]:
            del self._shared[number]
        return found


class _FeedThreads:
    """The threads of one call of Feed.batches."""

    def __init__(self, feed: Feed, numbers: range, first: int, last: int) -> None:
        self._feed, self._numbers, self._steps = feed, numbers, range(first, last)
        self._readers = ThreadPoolExecutor(READERS, "danqing-read")
        self._pool = ThreadPoolExecutor(feed.workers, "danqing-decode")
        self._free: Channel[Slot] = Channel()
        self._ready: Channel[Filling] = Channel()
        self._out: Slot | None = None
        self._thread = threading.Thread(target=self._run, name="danqing-feed", daemon=True)
        self._cuda = False

    def start(self) -> None:
        import torch

        self._cuda = self._feed.config.device != "cpu" and torch.cuda.is_available()
        device = torch.device("cuda" if self._cuda else "cpu")
        for slot in slots(self._feed.shapes(self._feed.order.each * len(self._numbers)), device, SLOTS):
            self._free.put(slot)
        self._thread.start()

    def next(self) -> TrainBatch:
        """The next batch. Raises Stopped after the last one."""
        import torch

        if self._out is not None:
            if self._cuda:  # what reads it was started, and may not have ended
                self._out.read = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
                self._out.read.record()
            self._free.put(self._out)
        filling = self._ready.get()
        self._out = filling.slot
        return self._feed.batch(filling)

    def stop(self) -> None:
        """End the threads, wherever they are, and wait for them."""
        self._free.stop()
        self._ready.stop()
        for pool in (self._readers, self._pool):
            pool.shutdown(wait=True, cancel_futures=True)
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        """The feeder's thread."""
        feed, order = self._feed, self._feed.order
        try:
            streams = _Streams(feed, self._numbers, self._steps.start, self._steps.stop, self._readers)
            for step in self._steps:
                pairs = [pair for number in self._numbers for pair in streams.take(number, order.each)]
                slot = self._free.get()
                slot.wait()
                epoch = step * order.batch // order.pairs
                self._ready.put(Filling(step, epoch, pairs, slot, feed.fill(self._pool, pairs, slot)))
            self._ready.end()
        except BaseException as error:  # also Stopped, where nobody listens any more
            self._ready.end(error)
