"""Pairs to embed, their embeddings, and the code of a picture: 256 signs of random projections of its embedding.

A code has 32 bytes, which a manifest can carry. Two pictures whose embeddings enclose an angle of t differ in
256 t / pi bits on average (Charikar 2002): near zero for a re-encoded picture, about 128 for another one. The
projection is no secret and no file: it follows from a fixed text and the checkpoint's name, so that whoever has both
computes the same codes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .pixels import Picture

if TYPE_CHECKING:
    from torch import Tensor

BITS = 256
_SEED = b"danqing code 1\0"


@dataclass(frozen=True, slots=True)
class ToEmbed:
    """Pictures and captions to embed together. pictures: files or pixels, None where there is nothing to see.

    captions: columns of them, each as long as `pictures`; tag: comes back with the answer.
    """

    tag: Any
    pictures: Sequence[Picture | None]
    captions: tuple[Sequence[str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Embedded:
    """The embeddings of a ToEmbed of n rows, on the device, float32.

    Each row is of length one, zero where there was nothing to embed, or NaN where the tower came to no direction.
    image: (n, dim); intact: which pictures could be decoded; captions: (n, dim) of each column.
    """

    tag: Any
    image: Tensor
    intact: npt.NDArray[np.bool_]
    captions: tuple[Tensor, ...]


def projection(name: str, dim: int) -> npt.NDArray[np.int8]:
    """The matrix of +1 and -1, of shape (256, dim), for a checkpoint's name: the bits of SHAKE-256, row by row."""
    stream = hashlib.shake_256(_SEED + name.encode()).digest(BITS * dim // 8)
    bits = np.unpackbits(np.frombuffer(stream, np.uint8)).reshape(BITS, dim)
    return bits.astype(np.int8) * np.int8(2) - np.int8(1)


def encode(image: Tensor, projection: Tensor) -> npt.NDArray[np.uint8]:
    """The codes, of shape (n, 32), of embeddings of shape (n, dim), by a projection on their device.

    Bit k, from the most significant of byte 0, is set where projection k is positive.
    """
    set_bits = (image.float() @ projection.to(image.device, image.dtype).float().T) > 0
    return np.packbits(set_bits.cpu().numpy(), axis=1)


def signs(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Codes of shape (n, 32) as +1 and -1 of shape (n, 256): the Hamming distance is (256 - a @ b.T) / 2."""
    bits = np.unpackbits(codes, axis=1).astype(np.float32)
    return bits * np.float32(2) - np.float32(1)
