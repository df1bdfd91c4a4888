"""The charts as SVG inside a page: its colours, its font, its ids, the same bytes each time."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest

from builder.card.charts import (
    NARROW,
    POINTS,
    WIDE,
    Chart,
    FunnelBar,
    Layer,
    Line,
    Mark,
    Scale,
    against_null,
    funnel,
    kept_and_dropped,
    lines,
)  # fmt: skip
from builder.card.histogram import FloatHistogram


def around(mean: float, count: int = 500) -> FloatHistogram:
    return FloatHistogram(np.random.default_rng(0).normal(mean, 0.03, count))


def drawn(kept: FloatHistogram, lost: FloatHistogram | None = None, *marks: Mark) -> Chart:
    layers = (
        [Layer("drifted", "drifted", lost), Layer("low score", "min_score", around(0.1, 9))] if lost else []
    )
    return kept_and_dropped("scores", kept, layers, Scale("score, cosine", marks), "a & b")


def along(values: npt.NDArray[np.float64], *marks: float) -> Chart:
    return lines("loss", [Line("", "kept", np.arange(1.0, len(values) + 1), values)], "Loss", "a & b", marks)


MARK = Mark(1000, "≥ 1,000", least=True)
STEPS = [
    FunnelBar("manifest", 0, 100, "whole"),
    FunnelBar("same", 0, 60, "same"),
    FunnelBar("dead", 60, 40, "dead"),
]


@pytest.fixture(
    params=[
        lambda: funnel(STEPS, "60 of 100 <kept>"),
        lambda: drawn(around(0.2), around(0)),
        lambda: drawn(FloatHistogram(np.geomspace(1, 9000, 500)), around(50), MARK),
        lambda: against_null(around(0.2), around(0), around(0), 0.07, "chance"),
        lambda: along(np.linspace(1, 0.1, 20_000)),
    ],
    ids=["funnel", "scores", "measure", "null", "lines"],
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


def words(chart: Chart) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]+)</text>", chart.wide)


def test_all_scores_in_one_bin() -> None:
    assert "dropped" in drawn(FloatHistogram(np.ones(7))).narrow


def test_no_tick_is_at_half_a_pair() -> None:
    ticks = words(drawn(FloatHistogram(np.array([0.101])), FloatHistogram(np.array([0.102]))))
    assert ticks.count("1") == 2
    assert not {"0.5", "0.50"} & {*ticks}


def test_numbers_of_many_sizes_have_a_logarithmic_axis_with_plain_ticks() -> None:
    far = drawn(FloatHistogram(np.geomspace(1, 9000, 500)), around(50), MARK)
    assert far.log
    assert {"1", "10", "100", "1,000", "≥ 1,000"} <= {*words(far)}
    near = drawn(around(0.2), around(0))
    assert not near.log
    assert not [word for word in words(near) if "≥" in word]


def test_a_threshold_is_drawn_though_no_pair_is_near_it() -> None:
    assert "≤ 0.9" in words(drawn(around(0.2), around(0), Mark(0.9, "≤ 0.9", least=False)))


@pytest.mark.parametrize(
    ("least", "value", "anchor"), [(True, 0.1, "end"), (False, 0.1, "start"), (True, -0.2, "start")]
)
def test_a_threshold_is_named_where_no_kept_pair_is(least: bool, value: float, anchor: str) -> None:
    chart = drawn(around(0.2), around(0), Mark(value, "named", least))
    (style,) = re.findall(r"<text([^>]*)>named<", chart.wide)
    assert f"text-anchor: {anchor}" in style or (anchor == "start" and "text-anchor" not in style)


def path(chart: Chart) -> list[list[float]]:
    """The points of the line, in pixels."""
    (found,) = re.findall(r'<path d="([^"]+)"[^>]*stroke: var\(--kept\); stroke-width: 1.6', chart.wide)
    return [[float(one) for one in point.split()] for point in re.split("[ML]", found)[1:]]


def test_a_line_of_many_steps_has_a_point_for_two_pixels_and_keeps_its_extremes() -> None:
    values = np.ones(20_000)
    values[7_777] = 9
    chart = along(values)
    assert len(path(chart)) <= POINTS
    ticks = [float(word.replace(",", "")) for word in words(chart) if word[0].isdigit()]
    assert any(7 <= tick <= 9 for tick in ticks), "the axis has no room for it"


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_no_number_is_left_out_of_a_line(odd: float) -> None:
    assert len(path(along(np.array([1.0, odd, 2.0, 3.0])))) == 3


def test_one_step_is_a_dot_and_none_is_nothing() -> None:
    assert "<use" in along(np.array([1.0])).wide
    assert path(along(np.array([1.0]))) != []
    assert "Loss" in along(np.array([np.nan])).wide


def test_marks_stand_at_their_steps() -> None:
    first, second = (along(np.arange(10.0), *marks).wide.count("var(--drifted)") for marks in ((), (3, 4)))
    assert second - first == 2
