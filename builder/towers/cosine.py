"""The cosine of two stored embeddings, and the compiler of the kernels that look for near ones.

A cosine is the product in float64 of two float16 vectors of length about one, and that product is exact: a float16 is
a multiple of 2^-24, so each term is one of 2^-48, and a sum below 32 of such needs no more than the 53 bits that a
float64 has. No partial sum is above 1 (Cauchy-Schwarz). So it is the same whatever the order of the sum, the BLAS, the
instructions of the machine and the shape of the batch, and what is decided by it is the same everywhere. A product in
float32 only says which pairs are worth it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float16]  # (n, d), each of length about one
Floats = npt.NDArray[np.float32]
Cosines = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Kernel = TypeVar("Kernel", bound=Callable[..., Any])
RUN = 64  # numbers that are looked at together: the compiler makes a few vector comparisons of them


def compiled(kernel: Kernel) -> Kernel:
    """The kernel as numba compiles it at its first call, a second or two in each process.

    Sums may be reordered, as they are exact. Machine code is kept from one process to the next only where the user
    says where, by NUMBA_CACHE_DIR: nothing is written beside the package unasked.
    """
    kept = "NUMBA_CACHE_DIR" in os.environ
    made: Kernel = numba.njit(kernel, nogil=True, cache=kept, fastmath={"reassoc", "contract"})
    return made


@compiled
def product(left: Floats, right: Floats) -> float:
    """The exact cosine of two vectors, float16 values in float32, (d,)."""
    total = 0.0
    for k in range(left.size):
        total += np.float64(left[k]) * np.float64(right[k])
    return total


@compiled
def any_from(values: Floats, bound: Any) -> bool:
    """Whether any value is at least `bound`: without a branch for each, and a twentieth of what a product takes."""
    found = False
    for k in range(values.size):
        found |= values[k] >= bound
    return found


@compiled
def _products(left: Floats, right: Floats) -> Cosines:
    out = np.empty(len(left), np.float64)
    for row in range(len(left)):
        out[row] = product(left[row], right[row])
    return out


def cosines(left: Vectors, right: Vectors) -> Cosines:
    """The exact cosine of each row of `left` with that of `right`, (n, d) and (n, d) -> (n,)."""
    found = [
        _products(floats(left[start : start + 4096]), floats(right[start : start + 4096]))
        for start in range(0, len(left), 4096)
    ]
    return np.concatenate([np.empty(0, np.float64), *found])


def floats(vectors: Vectors) -> Floats:
    """The same values in float32; a row that is no vector of length one is the caller's fault, and an AssertionError.

    NaN, zero vectors and null ones get a reason (`no_embedding`) and come to no cell.
    """
    wide = np.empty(vectors.shape, np.float32)
    fit = _widen(vectors.view(np.uint16), wide.view(np.uint32), wide)
    assert fit, "vectors are not of length one"
    return wide


def of_length_one(vectors: Vectors) -> bool:
    """Whether all rows of some vectors (n, d) can be compared: embeddings are of length one."""
    wide = np.empty((min(len(vectors), 4096), vectors.shape[1]), np.float32)
    parts = (vectors[start : start + 4096].view(np.uint16) for start in range(0, len(vectors), 4096))
    return all(_widen(part, wide[: len(part)].view(np.uint32), wide[: len(part)]) for part in parts)


@compiled
def _widen(bits: npt.NDArray[np.uint16], out: npt.NDArray[np.uint32], wide: Floats) -> bool:
    """Write float16 as float32, `out` and `wide` being the same memory; whether each row is of length one.

    The bits are moved to where a float32 has them, whose exponent then is 112 too low. Several times as fast as
    NumPy's cast, which takes as long for a cell of 600 as a tenth of its products.
    """
    fit = True
    for row in range(len(bits)):
        for k in range(bits.shape[1]):
            half = np.uint32(bits[row, k])
            out[row, k] = (half & np.uint32(0x8000)) << np.uint32(16) | (
                half & np.uint32(0x7FFF)
            ) << np.uint32(13)
        square = np.float32(0)
        for k in range(bits.shape[1]):
            wide[row, k] *= np.float32(2.0**112)
            square += wide[row, k] * wide[row, k]
        if not abs(square - 1) < 0.05:  # NaN and infinity are finite numbers here, of squares far above
            fit = False
    return fit


def doubt(width: int) -> float:
    """How far the product in float32 of two vectors of `width` numbers may be from the exact one, at most.

    Twice the bound of any order of the sum, width * 2^-24 (Higham, Accuracy and Stability, 3.1): 6e-5 for 512.
    """
    return width * 2.0**-23
