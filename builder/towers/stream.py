"""A checkpoint at work: an endless row of works in, their embeddings out in the same order, the device kept busy.

    works ──feeder──▶ batches, filled by a pool of threads ──launcher──▶ towers ──▶ Embedded, to whoever iterates

The feeder reads works ahead and cuts what they ask for into batches, which may span works: a shard of which little
is to be seen fills no batch of its own. The launcher starts each batch's forward when its threads are done, and waits
for no device. What waits between them is bounded (lane.SLOTS batches a tower, and AHEAD), whatever the length of the
input; whoever stops iterating stops the threads.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..console import Console
from ..errors import EnvironmentProblem, first_line
from . import siglip2 as towers
from .batch import Arrays, Batch, BatchCutter, Fill, Open
from .channel import Channel, Stopped, Window
from .device import Options
from .embedded import Embedded, ToEmbed
from .lane import Lane, Pace, is_out_of_memory, slots
from .text import Captions

if TYPE_CHECKING:
    from .checkpoint import Checkpoint

# Rows of works under way, in batches. It holds the embeddings of works that are not done, and lets a batch fill up
# with what is new where nine rows of ten are not.
AHEAD = 32


class DualEncoder:
    """A checkpoint at work. scale, bias: logit = scale * cosine + bias; preprocessing: names how pixels are made."""

    def __init__(
        self, checkpoint: Checkpoint, loaded: towers.Loaded, captions: Captions, console: Console
    ) -> None:
        self.checkpoint = checkpoint
        self.dim, self.scale, self.bias = loaded.dim, loaded.scale, loaded.bias
        self.preprocessing = loaded.preparation.name
        self.device = loaded.place.device
        self.dtype_name = str(loaded.place.dtype).removeprefix("torch.")
        self._towers, self._preparation, self._captions = loaded.towers, loaded.preparation, captions
        self._workers = loaded.place.workers
        self._pace = Pace(loaded.place.batch_size, console)
        self._busy = threading.Lock()
        self._lanes = self._allocated()

    @classmethod
    def load(cls, checkpoint: Checkpoint, options: Options, console: Console) -> DualEncoder:
        """Read a checkpoint onto its device, and compile it where that was asked for.

        Raises EnvironmentProblem for what the machine lacks, InputError for what the checkpoint does.
        """
        loaded = towers.load(checkpoint, options)
        siglip = cls(checkpoint, loaded, Captions.load(checkpoint, loaded.length), console)
        if loaded.place.compile:
            siglip._compile(must=options.compile == "on")
        return siglip

    @property
    def batch_size(self) -> int:
        """Pairs in one forward, as it is now."""
        return self._pace.rows

    def token_ids(self, captions: Sequence[str]) -> npt.NDArray[np.int32]:
        """The tokens of captions as the text tower sees them, (captions, positions)."""
        return self._captions.ids(captions)

    def embed(self, works: Iterable[ToEmbed]) -> Iterator[Embedded]:
        """The answers to `works`, in their order. Works are read ahead, in another thread.

        Raises what reading them raises, after the answers to those before; EnvironmentProblem where not even one pair
        fits into memory. What a row comes to depends on its own picture and captions alone.
        """
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("this checkpoint is embedding already; use up or close that iterator first")
        run = _Threads(self._lanes, self._fills(), self._workers)
        try:
            yield from run.answers(works)
        finally:
            run.stop()
            self._busy.release()

    def _allocated(self) -> dict[str, Lane]:
        """The lanes of both towers, with their slots."""
        import torch

        rows, device = self._pace.rows, self.device
        pictures = slots(
            {"pixels": ((rows, *self._preparation.shape), torch.uint8), "grid": ((rows, 2), torch.int32)},
            device,
        )
        for slot in pictures:
            slot.tensors["grid"].fill_(1)
        captions = slots({"ids": ((rows, self._captions.length), torch.int32)}, device)
        image = Lane("image", self._towers.image, self._pace, device, self.dim, pictures, frozenset({"grid"}))
        text = Lane("text", self._towers.text, self._pace, device, self.dim, captions)
        return {"image": image, "text": text}

    def _fills(self) -> dict[str, Fill]:
        def pictures(items: Sequence[Any], slot: Arrays, intact: npt.NDArray[np.bool_]) -> None:
            for at, body in enumerate(items):
                intact[at] = self._preparation.fill(body, slot["pixels"][at], slot["grid"][at])

        def captions(items: Sequence[Any], slot: Arrays, intact: npt.NDArray[np.bool_]) -> None:
            slot["ids"][: len(items)] = self._captions.ids(items)
            intact[:] = True

        return {"image": pictures, "text": captions}

    def _compile(self, *, must: bool) -> None:
        """Compile both towers by running each once; without a compiler go on without, unless it was asked for."""
        import torch

        try:
            self._towers.compile()
            with torch.no_grad():
                for lane in self._lanes.values():
                    with lane.running():
                        lane.forward(lane.slots[0], 1)
        except EnvironmentProblem:
            raise
        except Exception as error:  # the compiler, its compiler and their tools raise classes of their own
            reason = first_line(error)
            if must:
                raise EnvironmentProblem(f"--compile on: {reason}; leave it at auto") from error
            self._pace.console.warn(f"running without torch.compile: {reason}")
            self._towers.eager()


class _Threads:
    """The threads of one call of embed."""

    def __init__(self, lanes: dict[str, Lane], fills: dict[str, Fill], workers: int) -> None:
        self._lanes, self._fills = lanes, fills
        for lane in lanes.values():
            lane.renew()
        self._device = lanes["image"].device
        self._pool = ThreadPoolExecutor(workers, "danqing-decode")
        self._window: Window[Open] = Window(AHEAD * lanes["image"].capacity)
        self._queue: Channel[Open | Batch] = Channel()
        self._ready: Channel[tuple[Embedded, list[Any]]] = Channel()
        self._threads: list[threading.Thread] = []

    def answers(self, works: Iterable[ToEmbed]) -> Iterator[Embedded]:
        for name, run in (("feed", lambda: self._feed(works)), ("launch", self._launch)):
            self._threads.append(threading.Thread(target=run, name=f"danqing-{name}", daemon=True))
            self._threads[-1].start()
        while True:
            try:
                answer, events = self._ready.get()
            except Stopped:
                return
            self._window.leave()
            self._follow(answer, events)
            yield answer

    def stop(self) -> None:
        """End the threads, wherever they are, and wait for them."""
        self._window.stop()
        self._ready.stop()
        self._queue.stop()
        for lane in self._lanes.values():
            lane.free.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for thread in self._threads:
            thread.join()

    def _feed(self, works: Iterable[ToEmbed]) -> None:
        """The feeder's thread: works become batches."""
        cutters = {
            name: BatchCutter(lane, self._fills[name], self._pool, self._queue.put)
            for name, lane in self._lanes.items()
        }
        try:
            for work in works:
                while not self._window.wait(
                    lambda oldest: any(one.holds(oldest) for one in cutters.values())
                ):
                    for cutter in cutters.values():
                        cutter.flush()
                opened, wanted = Open.of(work.tag, work.pictures, work.captions)
                self._window.enter(opened, len(work.pictures) + 1)
                self._queue.put(opened)
                for name, cutter in cutters.items():
                    cutter.add(opened, wanted[name])
            for cutter in cutters.values():
                cutter.flush()
            self._queue.end()
        except Stopped:
            pass
        except BaseException as error:
            self._queue.end(error)
        finally:
            if close := getattr(works, "close", None):
                close()

    def _launch(self) -> None:
        """The launcher's thread: batches become embeddings, and embeddings answers."""
        import torch

        waiting: deque[Open] = deque()
        try:
            if self._device.type == "cuda":
                torch.cuda.set_device(self._device)
            with torch.no_grad():
                while True:
                    message = self._queue.get()
                    if isinstance(message, Open):
                        waiting.append(message)
                    else:
                        message.run(self._lanes[message.lane])
                    while waiting and not waiting[0].left:
                        self._ready.put(self._answer(waiting.popleft()))
        except Stopped:
            self._ready.end()
        except BaseException as error:
            if isinstance(error, RuntimeError) and is_out_of_memory(error):
                said = f"out of memory beside the towers: {first_line(error)}; free memory"
                error = EnvironmentProblem(said)
            self._ready.end(error)

    def _answer(self, work: Open) -> tuple[Embedded, list[Any]]:
        """The answer, and the events after which its tensors hold what they should."""
        image, text = self._lanes["image"], self._lanes["text"]
        with image.running():
            pictures, seen = work.image(image), image.mark()
        with text.running():
            captions, read = work.captions(text), text.mark()
        return Embedded(work.tag, pictures, work.intact, captions), [one for one in (seen, read) if one]

    def _follow(self, answer: Embedded, events: list[Any]) -> None:
        """Let the stream of whoever iterates wait for the towers', and keep the memory until it has read them."""
        if not events:
            return
        import torch

        stream = torch.cuda.current_stream(self._device)
        for event in events:
            stream.wait_event(event)
        for tensor in (answer.image, *answer.captions):
            tensor.record_stream(stream)
