"""Validation of a checkpoint while it is trained: pairs that were carved off ─▶ their loss, and R@1 both ways.

All ranks embed a part each, and all know the result. The loss is that of one batch of all these pairs, so it compares
between runs with the same number of them alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch.nn.functional import logsigmoid

if TYPE_CHECKING:
    from torch import Tensor

    from .batches import TrainBatch

NAMES = ("loss", "image_to_text", "text_to_image")


def validate(model: Any, batch: TrainBatch, micro: int, chunk: int) -> Mapping[str, float]:
    """The pairs looked at, their loss, and the shares of pictures and of captions that find their own first."""
    model.eval()
    with torch.no_grad():
        parts = [
            model(batch.pixels[at : at + micro], batch.grid[at : at + micro], batch.ids[at : at + micro])
            for at in range(0, len(batch.ids), micro)
        ]
        image, text, valid = (
            _gathered(one)
            for one in (torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts]), batch.valid)
        )
        scale, bias = map(float, parts[0][2:])
        found = _figures(image[valid].float(), text[valid].float(), (scale, bias), chunk)
    model.train()
    return {"pairs": float(valid.sum()), **dict(zip(NAMES, found, strict=True))}


def _figures(image: Tensor, text: Tensor, levels: tuple[float, float], chunk: int) -> tuple[float, ...]:
    """Loss and R@1 both ways of (n, d) vectors; a pair that ties with another is not found first.

    levels: scale and bias of the logits.
    """
    count = len(image)
    if not count:
        return (float("nan"),) * len(NAMES)
    loss, own = image.new_zeros(()), (image * text).sum(1)
    first = [image.new_zeros(()), image.new_zeros(())]
    for at in range(0, count, chunk):
        rows = slice(at, at + chunk)
        for number, (one, other) in enumerate(((image, text), (text, image))):
            cosines = one[rows] @ other.T
            index = torch.arange(at, at + len(cosines), device=image.device)
            if number == 0:
                logits = levels[0] * cosines + levels[1]
                labels = torch.full_like(logits, -1)
                labels[index - at, index] = 1
                loss -= logsigmoid(labels * logits).sum()
            cosines[index - at, index] = -torch.inf
            first[number] += (own[rows] > cosines.max(1).values).sum()
    return tuple(float(one) / count for one in (loss, *first))


def _gathered(part: Tensor) -> Tensor:
    """The parts of all ranks, which are of one shape, in their order."""
    if not dist.is_initialized():
        return part
    sent = part.to(torch.uint8) if part.dtype == torch.bool else part
    parts = [torch.empty_like(sent) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, sent.contiguous())
    return torch.cat(parts).to(part.dtype)
