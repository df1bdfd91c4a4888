"""The charts as SVG inside a page: its colours, its font, its ids, the same bytes each time."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from builder.card.charts import (
    BINS,
    NARROW,
    WIDE,
    Chart,
    Counts,
    FunnelBar,
    against_null,
    funnel,
    histogram,
    kept_and_dropped,
)
from builder.report.page import FATES  # fmt: skip


def around(mean: float, count: int = 500) -> Counts:
    return histogram(np.random.default_rng(0).normal(mean, 0.03, count))


STEPS = [
    FunnelBar("manifest", 0, 100, "whole"),
    FunnelBar("same", 0, 60, "same"),
    FunnelBar("dead", 60, 40, "dead"),
]


@pytest.fixture(
    params=[
        lambda: funnel(STEPS, "60 of 100 <kept>"),
        lambda: kept_and_dropped(
            {"kept": around(0.2), "drifted": around(0), "min_score": around(0.1)}, FATES, "a & b"
        ),
        lambda: against_null({"kept": around(0.2), "dropped": around(0), "null": around(0)}, 0.07, "chance"),
    ],
    ids=["funnel", "scores", "null"],
)
def chart(request: pytest.FixtureRequest) -> Chart:
    made: Chart = request.param()
    return made


def test_it_is_an_image_with_a_name(chart: Chart) -> None:
    for width, drawing in ((WIDE, chart.wide), (NARROW, chart.narrow)):
        svg = ElementTree.fromstring(drawing.replace("xlink:href", "href"))
        assert (svg.get("role"), svg.get("aria-label"), svg[0].text) == ("img", chart.told, chart.told)
        assert (svg.get("viewBox") or "").split()[2] == str(width)


def test_it_takes_colours_and_font_of_the_page(chart: Chart) -> None:
    colours = set(re.findall(r"#[0-9a-f]{6}\b", chart.wide))
    assert colours == set()
    assert set(re.findall(r"var\(--([\w-]+)\)", chart.wide)) >= {"ink", "rule"}
    assert "font-family" not in chart.wide
    assert "<style" not in chart.wide
    assert "://" not in chart.wide


def test_ids_are_its_own_and_lead_somewhere(chart: Chart) -> None:
    ids = re.findall(r' id="([^"]+)"', chart.wide)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"(?:url\(|href=\")#([\w-]+)", chart.wide)) == set(ids)
    assert not set(ids) & set(re.findall(r' id="([^"]+)"', chart.narrow))


def test_it_is_small(chart: Chart) -> None:
    assert len(chart.wide) < 40_000


def test_the_same_each_time_whatever_matplotlibrc_says() -> None:
    import matplotlib

    first = funnel(STEPS, "x")
    with matplotlib.rc_context({"font.size": 40, "svg.fonttype": "path", "axes.edgecolor": "red"}):
        assert funnel(STEPS, "x") == first


def test_a_root_without_rows() -> None:
    assert "0 · 0%" in funnel([FunnelBar("manifest", 0, 0, "whole")], "nothing").wide


def test_all_scores_in_one_bin() -> None:
    one = np.zeros(BINS, np.int64)
    one[BINS - 1] = 7
    assert "dropped" in kept_and_dropped({"kept": one}, FATES, "x").narrow


def test_no_tick_is_at_half_a_pair() -> None:
    drawn = kept_and_dropped(
        {"kept": histogram(np.array([0.101])), "drifted": histogram(np.array([0.102]))}, FATES, "x"
    )
    ticks = re.findall(r"<text[^>]*>([^<]+)</text>", drawn.wide)
    assert ticks.count("1") == 2
    assert not {"0.5", "0.50"} & {*ticks}
