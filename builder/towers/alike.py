"""Whether two pictures are of one photograph: stored again, scaled, squashed, cut or recoloured, or another shot.

bytes ─▶ see: luminance and its key points ─▶ alike: where one lies in the other ─▶ whether they agree there, all over

Key points (ORB, Rublee 2011) that match say how one picture lies in the other (RANSAC, an affine map without turning);
where there are too few, both are taken to show all of it. Laid one upon the other, two files of one photograph
correlate in nearly every window; two photographs of one dish do in some, two crops of other parts nowhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from ..picture.colour import Array
from ..picture.stored import scaled
from .embedded import signs

SIDE = 320  # pixels of the longer side at most
POINTS = 1000  # key points of a picture
CONTRAST = 7  # levels by which one stands out: soft photographs have few at the usual 20
TRIES = 400  # maps: of matches of which a third is right, one of thirty is
RATIO = 0.85  # of the distances of the best and the second best match (Lowe 2004)
FEWEST = 6  # matches that a map is made from, and that it holds
APART = 4.0  # pixels by which a match may miss its place
TURN = 0.08  # shear or turn against the scale
SQUASHED = 2.0  # one side's scale to the other's
PART = 0.15  # of the smaller view, or of each picture, that both must show
WINDOW = 17  # pixels
TEXTURE = 9.0  # variance of a window that shows something
NOISE = 2.0  # variance that coding adds
AGREE = 0.7  # correlation of a window of one photograph
WINDOWS = 50  # with texture, at least
SHARE = 0.75  # of the windows that agree: .80 and more of files of one photograph, .26 at most of two

Floats = npt.NDArray[np.float32]
Map = npt.NDArray[np.float64]  # (2, 3), of a place in one picture to one in the other


class Seen(NamedTuple):
    """What is seen of a picture. grey: (h, w); points: of k key points (k, 2); described: by 256 signs (k, 256)."""

    grey: Array
    points: Floats
    described: Floats


def see(body: bytes | None) -> Seen | None:
    """The luminance of a picture and its key points; None where there is no picture."""
    rgb = None if body is None else scaled(body, _fitting, 2, fast=True)
    if rgb is None:
        return None
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
    large = min(grey.shape) >= WINDOW  # of less OpenCV makes no pyramid
    orb = cv2.ORB.create(nfeatures=POINTS, fastThreshold=CONTRAST)
    found: Any = orb.detectAndCompute(grey, None) if large else ((), None)
    points = np.array([one.pt for one in found[0]], np.float32).reshape(-1, 2)
    return Seen(grey, points, signs(np.zeros((0, 32), np.uint8) if found[1] is None else found[1]))


def _fitting(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def alike(one: Seen | None, other: Seen | None) -> bool:
    """Whether two pictures are of one photograph; never where one of them is none."""
    return one is not None and other is not None and agreement(one, other) >= SHARE


def agreement(one: Seen, other: Seen) -> float:
    """The share of windows in which two pictures correlate, laid upon each other; 0 where few can be compared."""
    high, wide = (a / b for a, b in zip(other.grey.shape, one.grey.shape, strict=True))
    whole = np.array([[wide, 0, 0], [0, high, 0]])
    places = [place for place in (_placed(one, other), whole) if place is not None]
    return max(_agreement(one.grey, other.grey, place) for place in places)


def _placed(one: Seen, other: Seen) -> Map | None:
    """Where one picture lies in the other, by their key points; None where these do not say."""
    if min(len(one.points), len(other.points)) < FEWEST:
        return None
    near = one.described @ other.described.T  # 256, less twice the bits that differ
    best = near.argmax(axis=1)
    second, first = 256 - np.partition(near, -2, axis=1)[:, -2:].T
    fit = (first < RATIO * second) & (near.argmax(axis=0)[best] == np.arange(len(near)))
    if np.count_nonzero(fit) < FEWEST:
        return None
    places: Any = cv2.estimateAffine2D(
        one.points[fit], other.points[best[fit]], ransacReprojThreshold=APART, maxIters=TRIES
    )
    found: Map | None = places[0]
    if found is None or np.count_nonzero(places[1]) < FEWEST:
        return None
    (wide, *_), (_, high, _) = found
    least = min(wide, high)
    turned = max(abs(found[0, 1]), abs(found[1, 0]))
    return found if least > 0 and max(wide, high) < SQUASHED * least and turned < TURN * least else None


def _agreement(one: Array, other: Array, place: Map) -> float:
    """The share of windows in which both correlate, of those where one of them shows something."""
    scale = float(np.sqrt(np.linalg.det(place[:, :2])))
    if scale < 1:  # the finer one is brought to the size of the coarser
        one, other, scale = other, one, 1 / scale
        place = np.asarray(cv2.invertAffineTransform(place), np.float64)
    fine = cv2.GaussianBlur(other, (0, 0), scale / 2) if scale > 1.2 else other
    size, flags = one.shape[::-1], cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(fine, place, size, flags=flags | cv2.INTER_LINEAR)
    both = cv2.warpAffine(np.ones_like(fine), place, size, flags=flags | cv2.INTER_NEAREST)
    if both.mean() < PART:
        return 0.0
    inside = cv2.erode(both, np.ones((WINDOW, WINDOW), np.uint8), borderValue=0) > 0
    left, right = (
        np.asarray(cv2.GaussianBlur(a.astype(np.float32), (0, 0), 1), np.float32) for a in (one, laid)
    )
    own, others, shared = _moments(left, right)
    textured = inside & (np.maximum(own, others) > TEXTURE)
    if np.count_nonzero(textured) < WINDOWS:
        return 0.0
    agreeing = shared[textured] > AGREE * np.sqrt((own[textured] + NOISE) * (others[textured] + NOISE))
    return float(agreeing.mean())


def _moments(left: Floats, right: Floats) -> tuple[Floats, Floats, Floats]:
    """The variances of two pictures in the window around each pixel, and their covariance, each (h, w)."""

    def mean(values: Floats) -> Floats:
        return np.asarray(cv2.boxFilter(values, -1, (WINDOW, WINDOW)), np.float32)

    one, other = mean(left), mean(right)
    return (
        np.maximum(mean(left * left) - one * one, 0),
        np.maximum(mean(right * right) - other * other, 0),
        mean(left * right) - one * other,
    )
