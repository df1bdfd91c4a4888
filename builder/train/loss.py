"""The sigmoid loss of SigLIP over the pairs of all ranks, without a table of all their logits.

In: features of this rank's pictures and captions, unit vectors, (n, d) each. Out: this rank's part of the loss, times
the number of ranks, as DistributedDataParallel takes the mean of the gradients. Every picture meets every caption of
the batch: its own is a positive and any other a negative, an equal one too, as in the paper (Zhai et al., Sigmoid Loss
for Language Image Pre-Training, arXiv 2303.15343, algorithm 1). A rank holds the logits of `chunk` of its pictures at
a time, and makes them again for the gradient, so that nothing but the inputs is kept from the one to the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn.functional import softplus

# The names since torch 2.13, where the others warn.
_gather = getattr(distributed, "all_gather_single", None) or distributed.all_gather_into_tensor
_reduce = getattr(distributed, "reduce_scatter_single", None) or distributed.reduce_scatter_tensor


def sigmoid_loss(
    image: Tensor, text: Tensor, valid: Tensor, scale: Tensor, bias: Tensor, chunk: int
) -> Tensor:
    """The part of the loss that is this rank's, times the number of ranks; float32, of no dimension.

    image, text: (n, d), row by row a pair, n the same on every rank. valid: (n,), whether a pair takes part; one that
    does not is no negative either. scale, bias: logit = scale * cosine + bias. The sum of softplus(-logit) over pairs
    and softplus(logit) over all else, divided by the pairs that take part on all ranks; 0 where there are none.
    Computed in float32, whatever the inputs and autocast. Where an input is not finite, nor is the loss. A collective,
    as is its backward: all ranks call it.
    """
    loss: Tensor = _SigmoidLoss.apply(image, text, valid, scale, bias, chunk)  # type: ignore[no-untyped-call]
    return loss


def world() -> int:
    """The number of ranks."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


@dataclass(slots=True)
class _Met:
    """Pictures of this rank and captions of all that take part, in float32; first: the caption of the first picture."""

    image: Tensor
    captions: Tensor
    taken: Tensor
    first: int

    @classmethod
    def of(cls, image: Tensor, text: Tensor, valid: Tensor) -> _Met:
        """Gather captions, and whether each takes part, from all ranks at once; leave out what does not."""
        every, taken, before = text, valid, 0
        if (ranks := world()) > 1:
            own = torch.cat([text, valid[:, None].to(text.dtype)], 1)
            gathered = own.new_empty(ranks * len(own), own.shape[1])
            _gather(gathered, own)
            every, taken = gathered[:, :-1], gathered[:, -1] > 0
            before = int(taken[: distributed.get_rank() * len(own)].sum())
        return cls(_rows(image, valid).float(), _rows(every, taken).float(), taken, before)

    def blocks(self, chunk: int) -> Iterator[slice]:
        """The pictures, by so many."""
        return (slice(at, at + chunk) for at in range(0, len(self.image), chunk))

    def wrong(self, rows: slice, scale: Tensor, bias: Tensor) -> Tensor:
        """How wrong pictures are about captions: logits, but their negatives where a caption is the own one.

        The loss is softplus of it. (pictures, captions).
        """
        found = (self.image[rows] @ self.captions.T).mul_(scale).add_(bias)
        self.own(found, rows).neg_()
        return found

    def own(self, table: Tensor, rows: slice) -> Tensor:
        """A view of what such a table says of pictures and their own captions."""
        return table.diagonal(self.first + rows.start)


class _SigmoidLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        image, text, valid, scale, bias, chunk = given
        ctx.save_for_backward(image, text, valid, scale, bias)
        ctx.chunk = chunk
        with torch.autocast(image.device.type, enabled=False):
            met = _Met.of(image, text, valid)
            scale, bias = scale.float(), bias.float()
            # Infinite logits of the right sign cost nothing: what is not finite has to be seen nevertheless.
            total = 0 * (met.image.sum() + met.captions.sum() + scale.sum() + bias.sum())
            for rows in met.blocks(chunk):
                total += softplus(met.wrong(rows, scale, bias)).sum()
            loss: Tensor = total * world() / max(1, len(met.captions))
            return loss

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        image, text, valid, scale, bias = ctx.saved_tensors
        with torch.autocast(image.device.type, enabled=False):
            met = _Met.of(image, text, valid)
            by_image, by_captions = torch.empty_like(met.image), torch.zeros_like(met.captions)
            by_scale = by_bias = torch.zeros((), device=image.device)
            for rows in met.blocks(ctx.chunk):
                by_logit = met.wrong(rows, scale.float(), bias.float()).sigmoid_()
                met.own(by_logit, rows).neg_()
                torch.mm(by_logit, met.captions, out=by_image[rows])
                by_captions.addmm_(by_logit.T, met.image[rows])
                by_scale = by_scale + (by_image[rows] * met.image[rows]).sum()
                by_bias = by_bias + by_logit.sum()
                del by_logit  # rather than hold it while the next one is made
            part = outer[0] * world() / max(1, len(met.captions))
            by_image, by_captions = by_image.mul_(part * scale), by_captions.mul_(part * scale)
            by_image = _put_back(by_image, valid)
            by_text = _brought_home(_put_back(by_captions, met.taken), len(text))
        return (
            by_image.to(image.dtype),
            by_text.to(text.dtype),
            None,
            (part * by_scale).reshape(scale.shape).to(scale.dtype),
            (part * by_bias).reshape(bias.shape).to(bias.dtype),
            None,
        )


def _rows(features: Tensor, taken: Tensor) -> Tensor:
    """The rows that take part; no copy where all do."""
    return features if bool(taken.all()) else features[taken]


def _put_back(gradient: Tensor, taken: Tensor) -> Tensor:
    """Rows of zeros where a pair took no part."""
    if len(gradient) == len(taken):
        return gradient
    whole = gradient.new_zeros(len(taken), gradient.shape[1])
    whole[taken] = gradient
    return whole


def _brought_home(by_captions: Tensor, count: int) -> Tensor:
    """The sum over ranks of what each says of this rank's own `count` captions."""
    if world() == 1:
        return by_captions
    home = by_captions.new_empty(count, by_captions.shape[1])
    _reduce(home, by_captions)
    return home
