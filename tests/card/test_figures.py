"""The figures are PNG of one width on a white ground, of what there is data for, and the same on each run."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image

from builder.card import figures
from builder.card.figures import draw, drawn
from builder.card.funnel import Step
from builder.disk.release import Release

from .published import Made, publish

ALL = ["funnel.png", "resolution.png", "captions.png", "score.png", "hosts.png"]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return publish(tmp_path_factory.mktemp("figures"))[0]


def changed(release: Release, **counts: Any) -> Release:
    return replace(release, counts=release.counts | counts)


def test_all_are_opaque_and_of_one_width(release: Release) -> None:
    made = draw(release)
    assert [*made] == ALL
    for name, data in made.items():
        image = Image.open(io.BytesIO(data))
        assert (image.format, image.width) == ("PNG", 1600), name
        assert image.convert("RGBA").getextrema()[3] == (255, 255)
        assert image.convert("RGB").getpixel((2, 2)) == (255, 255, 255)
        assert np.asarray(image.convert("L")).std() > 5  # something is drawn
        # Room at every edge: nothing is cut off.
        pixels = np.asarray(image.convert("L"))
        assert all(edge.min() == 255 for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])), name


def test_the_same_numbers_give_the_same_bytes(release: Release) -> None:
    first = draw(release)
    assert b"Software" not in b"".join(first.values())
    assert b"tIME" not in b"".join(first.values())
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "savefig.dpi": 30}):
        assert draw(release) == first
        assert matplotlib.rcParams["font.size"] == 30


def test_only_what_there_is_data_for(tmp_path: Path) -> None:
    plain = publish(tmp_path, Made(validated=False))[0]
    assert "score.png" not in drawn(plain)
    histograms = plain.counts["histograms"]
    bare = changed(
        plain, histograms={name: [] for name in histograms}, hosts={"distinct": 0, "pairs": 0, "largest": {}}
    )
    assert [*draw(bare)] == ["funnel.png"]


def test_long_tails_and_many_pairs(release: Release) -> None:
    draws = np.random.default_rng(0)
    lengths = np.bincount(np.clip(draws.gamma(3, 8, 200_000).astype(int), 1, 512), minlength=513)
    sides = np.bincount(np.clip(draws.gamma(2, 5, 200_000).astype(int), 1, 80), minlength=81)
    many = {
        "alt_text": (lengths * 500).tolist(),
        "recaption": lengths.tolist(),
        "resolution": (sides * 500).tolist(),
    }
    made = draw(changed(release, histograms=release.counts["histograms"] | many))
    _keep(made)
    assert [*made] == ALL


def test_hosts_of_any_kind(release: Release) -> None:
    odd = ["图片.中国", "a" * 253, "$x$_^{.test", "[2001:db8::1]", "bad\ud800.test", "\x07.test", "é..test"]
    largest = {host: 1000 - place for place, host in enumerate(odd)}
    largest |= {f"h{place}.example.org": 10 for place in range(60)}
    made = draw(changed(release, hosts={"distinct": 5000, "pairs": 9000, "largest": largest}))
    assert Image.open(io.BytesIO(made["hosts.png"])).width == 1600
    _keep({"odd-hosts.png": made["hosts.png"]})


def test_the_smaller_reasons_are_one_bar() -> None:
    lost = [Step("rebuild", f"reason_{place}", 20 - place) for place in range(12)]
    steps = [
        Step("stage", "manifest", 1000),
        *lost,
        Step("stage", "fetched", 1000 - sum(one.pairs for one in lost)),
    ]
    bars = figures._bars(steps)
    assert len(bars) == 1 + figures.SHOWN_REASONS + 1
    assert bars[-2].label == "5 other reasons"
    assert bars[-2].length == sum(one.pairs for one in lost[7:])
    assert bars[-2].start == bars[-1].length == 1000 - sum(one.pairs for one in lost)
    for above, below in pairwise(bars[1:-1]):
        assert above.start == below.start + below.length


def test_eight_reasons_have_a_bar_each() -> None:
    lost = [Step("rebuild", f"reason_{place}", 5) for place in range(8)]
    bars = figures._bars([Step("stage", "manifest", 100), *lost])
    assert [bar.label for bar in bars[1:]] == [one.name for one in lost]


def _keep(made: dict[str, bytes]) -> None:
    """For eyes: DANQING_FIGURES names a folder to leave them in."""
    if folder := os.environ.get("DANQING_FIGURES"):
        for name, data in made.items():
            (Path(folder) / name).write_bytes(data)


@pytest.mark.parametrize("longest", [3, 4, 7, 12, 13, 24])
def test_no_tick_is_at_half_a_character(release: Release, longest: int) -> None:
    bins = release.counts["histograms"] | {"alt_text": [0] * longest + [5], "recaption": []}
    (axes,) = figures._captions(changed(release, histograms=bins)).axes
    assert len(axes.get_xticks()) > 2
    assert all(float(tick).is_integer() for tick in axes.get_xticks())
