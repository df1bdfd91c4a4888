"""Compares what two tools stored for the same URLs: are the pixels the same, and if not, how far apart.

In: (URL, stored bytes) of both. Out: `Difference` over the JPEG files of the farm that both kept and made smaller;
one that is small already may be stored as it was served, so it says nothing about the resize.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import islice

import measure
import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Difference:
    """How two sets of stored pictures differ; PSNR in dB over pictures that are not equal."""

    compared: int
    equal: int
    other_size: int
    largest: int
    psnr_median: float
    psnr_lowest: float

    def figures(self) -> dict[str, float]:
        """For the JSON file; infinity, where all are equal, as 999."""
        return {k: round(min(v, 999), 2) for k, v in asdict(self).items()}

    def __str__(self) -> str:
        """In a line."""
        psnr = f"PSNR median {self.psnr_median:.1f} dB, lowest {self.psnr_lowest:.1f} dB"
        apart = f"; {psnr}, largest step {self.largest}"
        size = f"; {self.other_size} of another size" if self.other_size else ""
        return f"{self.equal} of {self.compared} equal{size}{apart if self.equal < self.compared else ''}"


def pixels(data: bytes) -> np.ndarray:
    """A stored picture as RGB."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), dtype=np.int16)


def compare(
    one: Iterable[tuple[str, bytes]], other: Iterable[tuple[str, bytes]], sample: int = 500, side: int = 256
) -> Difference:
    """The first `sample` JPEG rows of `one` against the same URLs of `other`."""
    chosen = dict(islice(((url, data) for url, data in one if url.endswith(".jpg")), sample))
    equal, other_size, largest, psnr = 0, 0, 0, []
    compared = 0
    for url, data in other:
        if url not in chosen:
            continue
        first, second = pixels(chosen[url]), pixels(data)
        if min(first.shape[:2]) < side:
            continue
        compared += 1
        if first.shape != second.shape:
            other_size += 1
            continue
        step = np.abs(first - second)
        if not step.any():
            equal += 1
            continue
        largest = max(largest, int(step.max()))
        psnr.append(20 * math.log10(255 / math.sqrt(float((step.astype(np.float64) ** 2).mean()))))
    lowest = min(psnr, default=math.inf)
    return Difference(
        compared, equal, other_size, largest, measure.median(psnr) if psnr else math.inf, lowest
    )
