"""Validation of a checkpoint while it is trained: pairs that were carved off ─▶ their loss, and R@1 both ways.

All ranks embed a part each, and all know the result. The loss is that of one batch of all these pairs, so it compares
between runs with the same number of them alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from .loss import sigmoid_loss, world
from .step import embedded, pieces_of

if TYPE_CHECKING:
    from torch import Tensor

    from .batches import TrainBatch

NAMES = ("loss", "image_to_text", "text_to_image")


def validate(model: Any, batch: TrainBatch, micro: int, chunk: int) -> Mapping[str, float]:
    """The pairs looked at, their loss, and the shares of pictures and of captions that find their own first."""
    model.eval()
    with torch.no_grad():
        image, text, scale, bias = embedded(model, batch, pieces_of(batch, micro))
        loss = sigmoid_loss(image, text, batch.valid, scale, bias, chunk)
        if world() > 1:
            dist.all_reduce(loss)
        image, text, valid = (_gathered(one) for one in (image, text, batch.valid))
    model.train()
    pairs = int(valid.sum())
    first = [_first(*both, chunk) for both in ((image[valid], text[valid]), (text[valid], image[valid]))]
    figures = (float(loss) / world() if pairs else math.nan, *first)
    return {"pairs": float(pairs), **dict(zip(NAMES, figures, strict=True))}


def _first(asking: Tensor, asked: Tensor, chunk: int) -> float:
    """The share of rows that are nearer to their own than to any other; a tie is not nearer. NaN of no rows."""
    own, found = (asking * asked).sum(1), 0
    for at in range(0, len(asking), chunk):
        cosines = asking[at : at + chunk] @ asked.T
        cosines.diagonal(at).fill_(-torch.inf)
        found += int((own[at : at + chunk] > cosines.max(1).values).sum())
    return found / len(asking) if len(asking) else math.nan


def _gathered(part: Tensor) -> Tensor:
    """The parts of all ranks, which are of one shape, in their order."""
    if world() == 1:
        return part
    sent = part.to(torch.uint8) if part.dtype == torch.bool else part
    parts = [torch.empty_like(sent) for _ in range(world())]
    dist.all_gather(parts, sent.contiguous())
    return torch.cat(parts).to(part.dtype)
