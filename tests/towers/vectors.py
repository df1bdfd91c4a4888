"""Small worlds of embeddings: unit vectors in float16 with planted near ones."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float16]


def unit(values: npt.ArrayLike) -> Array:
    """Rows of length one, in float16."""
    wide = np.asarray(values, np.float64)
    return (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float16)


def world(rows: int, width: int, seed: int = 0, near: int = 0, clusters: int = 0) -> Array:
    """Random directions, around so many centres where any; the last `near` at cosines .8 to 1 of the first."""
    random = np.random.default_rng(seed)
    values = random.standard_normal((rows, width))
    if clusters:
        values += 1.5 * random.standard_normal((clusters, width))[random.integers(clusters, size=rows)]
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    if near:
        cosine = random.uniform(0.8, 1.0, (near, 1))
        aside = random.standard_normal((near, width))
        aside -= (aside * values[:near]).sum(1, keepdims=True) * values[:near]
        aside /= np.linalg.norm(aside, axis=1, keepdims=True)
        values[-near:] = cosine * values[:near] + np.sqrt(1 - cosine**2) * aside
    return unit(values)


def brute(vectors: Array, others: Array) -> npt.NDArray[np.float64]:
    """Every product in float64."""
    return np.asarray(vectors.astype(np.float64) @ others.astype(np.float64).T)
