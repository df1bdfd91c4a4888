"""Pixels are limited: of one picture by its header, of all large ones in work by the room that they share."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from builder.picture.limits import Room
from builder.picture.stored import scaled

from ..pictures import save, scene


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_bombs_are_refused_by_their_pixels(kind: str) -> None:
    body = save(scene((64, 48)), kind)
    assert scaled(body, lambda size: size, 2, fast=False, most=64 * 48) is not None
    assert scaled(body, lambda size: size, 2, fast=False, most=64 * 48 - 1) is None


def test_room_is_given_by_weight() -> None:
    room, inside, sums = Room(100, 10), list[int](), list[int]()
    together = threading.Barrier(2)

    def enter(pixels: int) -> None:
        with room.share(pixels):
            inside.append(min(pixels, room.pixels))
            sums.append(sum(inside))
            inside.remove(min(pixels, room.pixels))

    def meet(pixels: int) -> None:
        with room.share(pixels):
            together.wait()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(enter, [60, 100, 41, 1000] * 50))
        list(pool.map(meet, [40, 60]))  # two that fit are in work at once
    assert max(sums) <= room.pixels
