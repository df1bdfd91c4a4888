"""The gradient of one batch by micro-batches, each of which fits into memory, and how many pairs do.

In: a model that turns (pixels, grid, ids) into (image, text, scale, bias), wrapped or not, and this rank's part of a
batch. Out: its gradients, which are those of the whole batch however small the micro-batches are. Every picture meets
all captions, so the loss needs the features of all pairs at once: they are made without a graph first, the loss gives
the gradient by each feature, and each micro-batch is run again to carry its part on into the weights (Gao et al.,
Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup, arXiv 2101.06983). Two forwards instead of one
is the price. A forward has to give the same features twice, so there may be no dropout.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from ..console import Console
from ..errors import EnvironmentProblem
from ..towers.lane import is_out_of_memory
from .loss import sigmoid_loss, world

Value = TypeVar("Value")
WRAPPED = (DistributedDataParallel, FSDPModule)


class Prepared(Protocol):
    """Pairs on the device of the model, row by row."""

    @property
    def pixels(self) -> Tensor:
        """Pictures as the model takes them."""

    @property
    def grid(self) -> Tensor:
        """Shapes of pictures as the model takes them."""

    @property
    def ids(self) -> Tensor:
        """Tokens of captions, (n, length)."""

    @property
    def valid(self) -> Tensor:
        """Whether a pair takes part in the loss, (n,)."""


def gradients(model: nn.Module, batch: Prepared, micro: int, chunk: int) -> Tensor:
    """Add the gradient of the batch's loss to that of the weights; the loss over all ranks, without a graph.

    micro: pairs that go through the model at once, with a graph; chunk: see sigmoid_loss. A collective.
    """
    pieces = pieces_of(batch, micro)
    if len(pieces) == 1:
        image, text, scale, bias = _features(model, batch, pieces[0])
        loss = sigmoid_loss(image, text, batch.valid, scale, bias, chunk)
        loss.backward()  # type: ignore[no-untyped-call]
    else:
        loss, wanted = _by_feature(model, batch, pieces, chunk)
        for piece in pieces:
            last = piece is pieces[-1]
            with _summing_up(model, last):
                found = _features(model, batch, piece)
                # Scale and bias belong to the whole batch; in the last one, as ranks wait there for every weight's.
                _carry_on(found, [wanted[0][piece], wanted[1][piece], *(wanted[2:] if last else ())])
    total = loss.detach().clone()
    if world() > 1:
        distributed.all_reduce(total)
    return total / world()


def within_memory(
    model: nn.Module, batch: Prepared, micro: int, chunk: int, console: Console
) -> tuple[Tensor, int]:
    """Do as `gradients`, with gradients that are none before, in half as large micro-batches if memory runs out.

    The loss, and the micro-batch to go on with. Raises EnvironmentProblem where not even one pair fits. Where there are
    other ranks the error goes on to the caller: they wait in a collective that this one cannot come back to.
    """
    if world() > 1 or isinstance(model, WRAPPED):
        return gradients(model, batch, micro, chunk), micro
    while (loss := _within(gradients, model, batch, micro, chunk)) is None:
        micro = _going_on(micro // 2, console)
    return loss, micro


def trial(model: nn.Module, batch: Prepared, micro: int, chunk: int, console: Console) -> int:
    """The largest of micro, micro / 2, micro / 4 ... pairs that fit into the memory of every rank; said when halved.

    One micro-batch goes through the model, forward and backward, beside room for AdamW's state and for the loss. The
    gradients, none before, are none again. No collective but for the least of all ranks; so weights that ranks share
    out (FSDP2) are not tried, as their forward is one. Raises EnvironmentProblem, on all ranks, where one pair does not
    fit.
    """
    fits = micro = min(micro, len(batch.valid))
    if isinstance(model, FSDPModule):
        return micro
    alone: nn.Module = model.module if isinstance(model, DistributedDataParallel) else model
    while fits and _within(_tried, alone, batch, fits, chunk) is None:
        fits //= 2
    if world() > 1:
        least = torch.tensor(fits, device=batch.valid.device)
        distributed.all_reduce(least, distributed.ReduceOp.MIN)
        fits = int(least)
    return fits if fits == micro else _going_on(fits, console)


def _features(model: nn.Module, batch: Prepared, rows: slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    found: tuple[Tensor, Tensor, Tensor, Tensor] = model(
        batch.pixels[rows], batch.grid[rows], batch.ids[rows]
    )
    return found


def embedded(
    model: nn.Module, batch: Prepared, pieces: Sequence[slice]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the model makes of a batch, piece by piece and without a graph: image, text (n, d), scale, bias."""
    with torch.no_grad():
        found = [_features(model, batch, piece) for piece in pieces]
    image, text = (torch.cat([one[side] for one in found]) for side in (0, 1))
    return image, text, found[0][2], found[0][3]


def pieces_of(batch: Prepared, micro: int) -> list[slice]:
    """The micro-batches of a batch."""
    return [slice(at, at + micro) for at in range(0, len(batch.valid), micro)]


def _by_feature(
    model: nn.Module, batch: Prepared, pieces: Sequence[slice], chunk: int
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The loss, and its gradient by every feature, by scale and by bias."""
    leaves = [one.detach().requires_grad_() for one in embedded(model, batch, pieces)]
    loss = sigmoid_loss(leaves[0], leaves[1], batch.valid, leaves[2], leaves[3], chunk)
    return loss, torch.autograd.grad(loss, leaves)


def _carry_on(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> None:
    """Backward from features with these gradients; a frozen tower takes none."""
    told = [(one, by) for one, by in zip(found, wanted, strict=False) if one.requires_grad]
    torch.autograd.backward([one for one, _ in told], [by for _, by in told])


def _summing_up(model: nn.Module, last: bool) -> contextlib.AbstractContextManager[Any]:
    """The context of one micro-batch: ranks sum their gradients up in the last one alone."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(last)
    elif not last and isinstance(model, DistributedDataParallel):
        return model.no_sync()
    return contextlib.nullcontext()


def _tried(model: nn.Module, batch: Prepared, micro: int, chunk: int) -> bool:
    """Take as much memory as a step does at most, and give it back."""
    state = [torch.empty_like(one) for one in model.parameters() if one.requires_grad for _ in range(2)]
    found = _features(model, batch, slice(0, micro))
    image, rows = found[0], len(batch.valid)
    # The captions of all ranks with their gradient, a rank's features with theirs, logits with what softplus makes.
    room = (
        world() * rows * 2 * image.shape[1]
        + 4 * rows * image.shape[1]
        + 2 * min(chunk, rows) * world() * rows
    )
    state.append(torch.empty(room, device=image.device))
    _carry_on(found, [torch.zeros_like(one) for one in found])
    model.zero_grad()
    return True


def _within(
    attempt: Callable[[nn.Module, Prepared, int, int], Value],
    model: nn.Module,
    batch: Prepared,
    micro: int,
    chunk: int,
) -> Value | None:
    """What it returns, or None where memory ran out; what the attempt held is free when this returns."""
    try:
        return attempt(model, batch, micro, chunk)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    model.zero_grad()
    torch.cuda.empty_cache()
    return None


def _going_on(micro: int, console: Console) -> int:
    """Say what it goes on with. Raises EnvironmentProblem where that is nothing."""
    if micro == 0:
        raise EnvironmentProblem(
            "out of memory with one pair; free memory, try --gradient-checkpointing, or take a smaller checkpoint"
        )
    console.warn(
        f"out of memory: going on with micro-batches of {micro}, to the same gradient; --micro-batch {micro} starts so"
    )
    return micro
