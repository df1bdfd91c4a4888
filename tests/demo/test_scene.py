"""Scenes: the same from the same index and seed, and captions that say what is in the picture."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from PIL import ImageChops

from builder.demo import scene as scenes
from builder.demo.scene import attributes, scene


@pytest.mark.parametrize("index", range(6))
def test_a_scene_follows_from_its_index_and_seed(index: int) -> None:
    one, again, other = scene(index, 3), scene(index, 3), scene(index, 4)
    assert (one.image.tobytes(), one.alt_text, one.recaption) == (
        again.image.tobytes(),
        again.alt_text,
        again.recaption,
    )
    assert one.image.size != other.image.size or one.image.tobytes() != other.image.tobytes()


def test_attributes_are_those_of_the_drawn_scene() -> None:
    assert all(attributes(index) == scene(index, size=None).attributes for index in range(20))


def test_every_word_of_every_attribute_comes_up() -> None:
    shown = [attributes(index) for index in range(1500)]
    words = {field.name: {getattr(one, field.name) for one in shown} for field in fields(shown[0])}
    assert words["colour"] == set(scenes.COLOURS)
    assert words["shape"] == set(scenes.SHAPES)
    assert words["count"] == set(scenes.COUNTS) == set(scenes.LAYOUTS)
    assert words["place"] == set(scenes.PLACES)
    assert words["ground"] == set(scenes.GROUNDS)
    assert words["pattern"] == set(scenes.PATTERNS)


def test_sizes_are_those_of_photographs_on_the_web() -> None:
    long = [max(attributes(index).size) for index in range(1500)]
    assert min(long) >= 200
    assert max(long) <= 1600
    assert max(long) > 1300
    assert 250 < np.median(long) < 600


def test_the_recaption_tells_everything_and_some_alt_texts_do_not() -> None:
    made = [scene(index, size=(16, 16)) for index in range(200)]
    full = 0
    for one in made:
        shown = one.attributes
        words = [shown.colour, shown.shape, shown.count, shown.place, shown.ground, shown.pattern]
        assert all(word in one.recaption for word in words), one.recaption
        assert shown.colour in one.alt_text
        assert shown.shape in one.alt_text
        assert one.alt_text != one.recaption
        full += all(word in one.alt_text for word in words)
    assert 90 < full < 180


@pytest.mark.parametrize("index", range(12))
def test_the_colour_stands_where_the_caption_says(index: int) -> None:
    made = scene(index, size=(240, 240))
    shown = made.attributes
    pixels = np.asarray(made.image, int)
    far = abs(pixels - np.array(scenes.COLOURS[shown.colour])).max(axis=2)
    ys, xs = np.nonzero(far < 36)
    across, down = scenes.PLACES[shown.place]
    assert len(xs) > 400
    assert abs(np.median(xs) / 240 - across) < 0.16
    assert abs(np.median(ys) / 240 - down) < 0.16


def test_a_neutral_scene_has_no_colour() -> None:
    shown = [attributes(index, neutral=True) for index in range(60)]
    assert {one.colour for one in shown} | {one.ground for one in shown} == set(scenes.NEUTRAL)
    assert all(one.colour != one.ground for one in shown)
    red, green, blue = scene(0, neutral=True).image.split()
    assert (
        max(
            ImageChops.difference(red, green).getextrema()[1],
            ImageChops.difference(red, blue).getextrema()[1],
        )
        < 40
    )


def test_a_plain_scene_stands_on_white() -> None:
    made = [scene(index, size=(60, 60), plain=True) for index in range(40)]
    assert {(one.attributes.ground, one.attributes.pattern) for one in made} == {("白色", "纯色")}
    assert all(one.attributes.colour != "白色" and one.attributes.colour in one.alt_text for one in made)
    assert all(
        min(one.image.getpixel((59, 30))) > 200 for one in made if one.attributes.place.startswith("左")
    )


def test_another_size_keeps_what_is_shown() -> None:
    small, large = scene(5, size=(64, 64)), scene(5)
    assert small.image.size == (64, 64)
    assert (small.alt_text, small.recaption) == (large.alt_text, large.recaption)
