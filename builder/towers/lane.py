"""One tower's way from things to embeddings: slots of host memory that are filled by threads, and their forwards.

A slot holds a batch. While one is in the tower, others are being filled; a slot is filled again only when the tower
has read it, which bounds both the host's memory and what waits on the device. On CUDA the copy to the device and the
tower run on streams of their own, and nobody waits for them but the thread that wants the slot back. A lane keeps its
streams from one call of embed to the next: torch gives what one stream freed to that stream alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..console import Console
from ..errors import EnvironmentProblem
from .channel import Channel

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# One in the tower, one behind it on the device, two being filled.
SLOTS = 4


@dataclass(slots=True)
class Slot:
    """Host tensors of one batch, by name; page-locked on CUDA. read: the event after the forward that reads them."""

    tensors: dict[str, Tensor]
    read: Any = None

    def wait(self) -> None:
        """Wait until the device has read what the slot held."""
        if self.read is not None:
            self.read.synchronize()


@dataclass(slots=True)
class Pace:
    """Number of pairs in one forward: what was asked for, halved whenever memory did not suffice."""

    rows: int
    console: Console

    def halve(self, what: str) -> None:
        """Go on with half of it. Raises EnvironmentProblem where there is nothing left to halve."""
        if self.rows == 1:
            raise EnvironmentProblem(
                f"out of memory with one row in the {what} tower; free memory, or take a smaller checkpoint"
            )
        self.rows //= 2
        self.console.warn(
            f"out of memory: going on with batches of {self.rows}; --batch-size {self.rows} starts so"
        )


@dataclass(slots=True)
class Lane:
    """A tower with its slots. on_host: the tensors of a slot that the tower reads there."""

    name: str
    tower: Callable[..., Tensor]
    pace: Pace
    device: torch.device
    dim: int
    slots: list[Slot]
    on_host: frozenset[str] = frozenset()
    free: Channel[Slot] = field(init=False)
    stream: Any = None
    copies: Any = None

    def __post_init__(self) -> None:
        import torch

        self.renew()
        if self.device.type == "cuda":
            self.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
            self.copies = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]

    def renew(self) -> None:
        """Make every slot free again, whatever became of an earlier call of embed."""
        self.free = Channel()
        for slot in self.slots:
            self.free.put(slot)

    @property
    def capacity(self) -> int:
        """Rows of a slot."""
        return min(map(len, self.slots[0].tensors.values()))

    def running(self) -> contextlib.AbstractContextManager[Any]:
        """The context in which its kernels are started."""
        import torch

        return contextlib.nullcontext() if self.stream is None else torch.cuda.stream(self.stream)

    def forward(self, slot: Slot, count: int) -> Tensor:
        """Embeddings (at least `count`, dim) of the first rows of a slot, in forwards of one shape."""
        import torch

        size = self.capacity
        found = torch.empty((size, self.dim), device=self.device)
        at = 0
        while at < count:
            rows = min(self.pace.rows, size)
            start = min(at, size - rows)  # the last piece reaches back rather than have another shape
            piece = self._piece(slot, slice(start, start + rows))
            if piece is None:
                self._recover()
                continue
            found[start : start + rows] = piece
            at = start + rows
        slot.read = self.mark()
        return found

    def mark(self) -> Any:
        """An event after all that was started in this lane; None on a CPU, where it is done already."""
        import torch

        if self.stream is None:
            return None
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # who waits leaves its core alone
        event.record(self.stream)
        return event

    def _piece(self, slot: Slot, rows: slice) -> Tensor | None:
        """The embeddings, or None where memory ran out; what a failed forward held is free when this returns."""
        try:
            return self.tower(**self._on_device({name: one[rows] for name, one in slot.tensors.items()}))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _recover(self) -> None:
        import torch

        self.pace.halve(self.name)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _on_device(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        import torch

        if self.stream is None:
            return tensors
        with torch.cuda.stream(self.copies):
            moved = {
                name: tensor if name in self.on_host else tensor.to(self.device, non_blocking=True)
                for name, tensor in tensors.items()
            }
        self.stream.wait_stream(self.copies)
        for tensor in moved.values():
            if tensor.is_cuda:
                tensor.record_stream(self.stream)
        return moved


def on_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A small host tensor on the device, in the stream that is current, without waiting for what runs there.

    By page-locked memory, which torch keeps until it was read: for other memory the driver may wait for the stream.
    """
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a call failed for want of memory: CUDA's own class, or the words of its libraries and of the CPU's."""
    import torch

    words = ("out of memory", "not enough memory", "can't allocate memory", "ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in words)


def slots(
    shapes: dict[str, tuple[tuple[int, ...], torch.dtype]], device: torch.device, count: int = SLOTS
) -> list[Slot]:
    """Slots with tensors of these shapes and types. Raises EnvironmentProblem where the host has no room for them."""
    import torch

    pinned = device.type == "cuda"

    def slot() -> Slot:
        return Slot(
            {
                name: torch.zeros(shape, dtype=dtype, pin_memory=pinned)
                for name, (shape, dtype) in shapes.items()
            }
        )

    try:
        return [slot() for _ in range(count)]
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        rows = min(shape[0] for shape, _ in shapes.values())
        raise EnvironmentProblem(
            f"out of memory on the host for {count} batches of {rows}; choose a smaller --batch-size"
        ) from error
