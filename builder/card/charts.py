"""The charts of the page: matplotlib's static SVG, made to stand inside HTML and to follow its colours.

    counts ─▶ Figure ─▶ SVG text without prolog, ids of its own chart, colours as CSS variables, the page's font

Every chart is drawn twice, WIDE for a desk and NARROW for a phone: text that is scaled down cannot be read.
A unit of the drawing is a CSS pixel.
"""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import EnvironmentProblem
from .histogram import Edges, FloatHistogram, rebinned
from .values import number, share

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
WIDE, NARROW = 536, 348  # pixels; the second is a phone's 390 less the margins
FONT = 12.5
POINTS = 240  # of a line at most: two pixels each on a wide page
DRAWN = 1e30  # numbers beyond are shown as little as those that are not finite: axes of such lengths have no ticks
# matplotlib draws in these colours, which nothing else has; the page puts its own, light or dark, in their place.
INK, MUTED, RULE, PAPER = "#fe01a0", "#fe01a1", "#fe01a2", "#fe01a3"
COLOURS = {
    name: f"#fe02{number:02x}"
    for number, name in enumerate(
        ("kept", "same", "moved", "matching", "placeholder", "drifted", "dead", "min_score", "null", "whole")
    )
}
_VARIABLES = {INK: "ink", MUTED: "muted", RULE: "rule", PAPER: "paper"} | {
    colour: name.replace("_", "-") for name, colour in COLOURS.items()
}
_LEGEND: dict[str, Any] = {
    "frameon": False, "fontsize": FONT - 1, "handlelength": 1.5, "handletextpad": 0.5, "columnspacing": 1.4,
}  # fmt: skip
_STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "danqing", "font.size": FONT, "hatch.linewidth": 1.2,
    "axes.edgecolor": MUTED,
}  # fmt: skip
# So that no two are told apart by colour alone; lines, as dots are 250 kB of curves.
_HATCHES = {"placeholder": "////", "drifted": "", "min_score": "\\\\\\\\", "dead": "xxxx"}


@dataclass(frozen=True, slots=True)
class FunnelBar:
    """One bar of the funnel: `length` pairs from `start` on; colour: a name of COLOURS."""

    label: str
    start: int
    length: int
    colour: str


@dataclass(frozen=True, slots=True)
class Layer:
    """The numbers of one group of dropped pairs. label: "" where the title says it; colour: a name of COLOURS."""

    label: str
    colour: str
    histogram: FloatHistogram


@dataclass(frozen=True, slots=True)
class Mark:
    """A threshold on the axis of a chart. least: whether numbers below it drop, and not those above."""

    value: float
    label: str
    least: bool


@dataclass(frozen=True, slots=True)
class Scale:
    """What the axis of a chart is of, its thresholds, and what is above and below."""

    label: str
    marks: tuple[Mark, ...] = ()
    titles: tuple[str, str] = ("kept", "dropped")


@dataclass(frozen=True, slots=True)
class Line:
    """Numbers along steps, two arrays of one length; what is not finite is left out.

    label: "" where the title says it; colour: a name of COLOURS; dots: whether each number is marked.
    """

    label: str
    colour: str
    steps: Floats
    values: Floats
    dots: bool = False


@dataclass(frozen=True, slots=True)
class Shares:
    """One group of several in the same bins. label: "" where there is no other; counts: in each bin."""

    label: str
    colour: str
    counts: npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as SVG, for a wide page and for a narrow one, and what it shows in a sentence.

    log: whether the axis of its numbers is logarithmic.
    """

    wide: str
    narrow: str
    told: str
    log: bool = False


def funnel(steps: Sequence[FunnelBar], told: str) -> Chart:
    """A waterfall from the manifest to what is kept."""
    beside: dict[str, Any] = {"ha": "right", "va": "center", "color": INK, "annotation_clip": False}
    whole = max((step.start + step.length for step in steps), default=0) or 1

    def draw(width: int) -> Figure:
        left, right = (92, 116) if width == WIDE else (84, 104)
        left = max(left, 8 + 7 * max(len(step.label) for step in steps))
        figure, axes = _axes(width, 30 * len(steps) + 8, (left, 4, right, 4))
        for place, step in enumerate(steps):
            axes.barh(place, whole, color=RULE, height=0.66, alpha=0.45, linewidth=0)
            bar = axes.barh(place, step.length, left=step.start, color=COLOURS[step.colour], height=0.66)
            bar.patches[0].set(hatch=_HATCHES.get(step.colour), edgecolor=PAPER, linewidth=0)
            words = f"{number(step.length)} · {share(step.length, whole, '')}"
            axes.annotate(
                words, (1, place), (right - 4, 0), ("axes fraction", "data"), "offset points", **beside
            )
        axes.set(xlim=(0, whole), ylim=(len(steps) - 0.5, -0.5), yticks=range(len(steps)), xticks=[])
        axes.set_yticklabels([step.label for step in steps], color=INK)
        return figure

    return _chart("funnel", draw, told)


def kept_and_dropped(
    name: str, kept: FloatHistogram, lost: Sequence[Layer], scale: Scale, told: str
) -> Chart:
    """Numbers of what is kept above, of what is dropped below, stacked by why; one axis of theirs, two of counts."""
    values = [mark.value for mark in scale.marks]
    edges, (stays, *goes), log = rebinned([kept, *(one.histogram for one in lost)], values)
    layers = [(one, counts) for one, counts in zip(lost, goes, strict=True) if one.histogram.total]

    def draw(width: int) -> Figure:
        figure, axes = _axes(width, 340, (52, 26, 18, 190))
        axes.stairs(stays, edges, fill=True, color=COLOURS["kept"])
        _title(axes, scale.titles[0])
        below = _more_axes(figure, width, 340, (52, 186, 18, 40))
        base = np.zeros(len(edges) - 1)
        for one, counts in layers:
            area = below.stairs(base + counts, edges, baseline=base, fill=True, color=COLOURS[one.colour])
            area.set(hatch=_HATCHES.get(one.colour), edgecolor=PAPER, linewidth=0, label=one.label)
            base = base + counts
        _title(below, scale.titles[1])
        for one_axes in (axes, below):
            _along(one_axes, edges, log=log)
        _legend(below, [one.label for one, _ in layers], width)
        for one_axes in (axes, below):
            _grid(one_axes, whole=True)
            for value in values:
                one_axes.axvline(value, color=INK, linewidth=1, linestyle=(0, (1, 2)))
        for mark in scale.marks:
            _label(axes, mark)
        axes.tick_params(labelbottom=False)
        below.set_xlabel(scale.label, color=MUTED)
        return figure

    return replace(_chart(name, draw, told), log=log)


def against_null(
    kept: FloatHistogram, dropped: FloatHistogram, null: FloatHistogram, threshold: float, told: str
) -> Chart:
    """Shares of the kept, the dropped and the permuted pairs by score; threshold: where the null is nearly over."""
    edges, counts, _ = rebinned([null, kept, dropped])
    groups = [("chance", "null"), ("kept", "kept"), ("dropped", "drifted")]
    shown = [Shares(*named, one) for named, one in zip(groups, counts, strict=True)]
    return shares("null", edges, shown, Scale("score, cosine", (Mark(threshold, "", least=True),)), told)


def shares(
    name: str, edges: Edges, shown: Sequence[Shares], scale: Scale, told: str, *, log: bool = False
) -> Chart:
    """Shares of groups in the same bins, each group in per cent of its own: the first an area, the others lines."""
    parts = [one.counts / max(1.0, float(one.counts.sum())) * 100 for one in shown]

    def draw(width: int) -> Figure:
        figure, axes = _axes(width, 250, (52, 40, 20, 40))
        for place, (one, part) in enumerate(zip(shown, parts, strict=True)):
            colour = COLOURS[one.colour]
            if not place:
                axes.stairs(part, edges, fill=True, color=colour, label=one.label)
            elif part.any():
                dashes = "-" if place == 1 else (0, (4, 2))
                axes.stairs(part, edges, color=colour, linewidth=2, linestyle=dashes, label=one.label)
        for mark in scale.marks:
            axes.axvline(mark.value, color=INK, linewidth=1, linestyle=(0, (1, 2)))
        _along(axes, edges, log=log)
        axes.set(ylim=(0, max(part.max() for part in parts) * 1.05 or 1.0))
        axes.yaxis.set_major_formatter("{x:g}%")
        axes.set_xlabel(scale.label, color=MUTED)
        if any(one.label for one in shown):
            axes.legend(**_LEGEND, ncols=3, loc="lower left", bbox_to_anchor=(0, 1.02), borderaxespad=0)
        _grid(axes)
        return figure

    return replace(_chart(name, draw, told), log=log)


def lines(name: str, shown: Sequence[Line], title: str, told: str, marks: Sequence[float] = ()) -> Chart:
    """Lines along steps, each with a band of what its points stand for; marks: steps where something happened."""
    thinned = [(one, _thinned(one)) for one in shown]

    def draw(width: int) -> Figure:
        figure, axes = _axes(width, 230, (72, 32, 12, 40))
        for one, (steps, low, mean, high) in thinned:
            colour = COLOURS[one.colour]
            axes.fill_between(steps, low, high, color=colour, alpha=0.25, linewidth=0)
            marker = "o" if one.dots or len(steps) == 1 else None
            axes.plot(steps, mean, color=colour, linewidth=1.6, label=one.label, marker=marker, markersize=4)
        for step in marks:
            axes.axvline(step, color=COLOURS["drifted"], linewidth=1, linestyle=(0, (1, 2)))
        _title(axes, title)
        _grid(axes)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.5g}".replace("-", "\N{MINUS SIGN}"))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel("step", color=MUTED)
        _legend(axes, [one.label for one in shown], width)
        return figure

    from matplotlib.ticker import MaxNLocator

    return _chart(name, draw, told)


def _thinned(line: Line) -> tuple[Floats, Floats, Floats, Floats]:
    """POINTS at most of a line: their steps, and the least, the mean and the largest number that each stands for."""
    drawn = np.abs(line.values) < DRAWN
    steps, values = line.steps[drawn], line.values[drawn]
    parts = min(POINTS, len(values)) or 1
    of = [(s.mean(), v.min(), v.mean(), v.max()) for s, v in zip(
        np.array_split(steps, parts), np.array_split(values, parts), strict=True) if len(v)]  # fmt: skip
    at, low, mean, high = np.array(of, np.float64).reshape(-1, 4).T
    return at, low, mean, high


def _along(axes: Axes, edges: Edges, *, log: bool) -> None:
    """The axis of the numbers, with plain figures also where it is logarithmic."""
    from matplotlib.ticker import LogLocator, NullFormatter

    if log:
        axes.set_xscale("log")
        decades = math.log10(edges[-1] / edges[0])
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if decades < 3 else (1.0,), numticks=8))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}" if value >= 1 else f"{value:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(which="minor", length=0)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, max(1.0, axes.get_ylim()[1])))


def _legend(axes: Axes, labels: Sequence[str], width: int) -> None:
    """A legend beside the title where it fits, else inside, with some room for it."""
    if not any(labels):
        return
    if sum(7 * len(label) + 36 for label in labels) + 70 < width - 70:
        place: dict[str, Any] = {"ncols": len(labels), "loc": "lower right", "bbox_to_anchor": (1, 1.0)}
    else:
        place = {"loc": "upper right"}
        axes.set_ylim(0, axes.get_ylim()[1] * (1 + 0.2 * min(3, len(labels))))
    axes.legend(**_LEGEND, **place, borderaxespad=0)


def _label(axes: Axes, mark: Mark) -> None:
    """What stands at a mark: on the side without kept pairs, where there is room for it."""
    place = float(axes.transLimits.transform(axes.transScale.transform((mark.value, 0)))[0])
    left = place > 0.2 and (mark.least or place > 0.8)
    axes.annotate(
        mark.label, (place, 1), (-4 if left else 4, -2), "axes fraction", "offset points",
        ha="right" if left else "left", va="top", color=INK, fontsize=FONT - 1,
    )  # fmt: skip


def _chart(name: str, draw: Callable[[int], Figure], told: str) -> Chart:
    with style(INK, MUTED, _STYLE):
        wide, narrow = (_svg(draw(width), f"{name}-{width}", told) for width in (WIDE, NARROW))
    return Chart(wide, narrow, told)


@contextmanager
def style(ink: str, muted: str, ours: Mapping[str, object]) -> Iterator[None]:
    """matplotlib as it comes, whatever the user's matplotlibrc says, in two colours and with further settings.

    EnvironmentProblem where it is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise EnvironmentProblem("figures need matplotlib: pip install 'danqing[release]'") from error
    bare = {"axes.spines.top": False, "axes.spines.right": False}
    colours = dict.fromkeys(("xtick.color", "ytick.color", "axes.labelcolor"), muted) | {"text.color": ink}
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({**bare, **colours, **ours})  # type: ignore[dict-item]
        yield


def _axes(width: int, height: int, margins: tuple[int, int, int, int]) -> tuple[Figure, Axes]:
    """A figure of so many pixels and axes in it, with margins left, top, right and bottom."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    return figure, _more_axes(figure, width, height, margins)


def _more_axes(figure: Figure, width: int, height: int, margins: tuple[int, int, int, int]) -> Axes:
    left, top, right, bottom = margins
    axes = figure.add_axes(
        (left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height)
    )
    axes.set_facecolor("none")
    axes.tick_params(length=0, pad=6)
    for spine in ("left", "bottom"):
        axes.spines[spine].set_visible(False)
    return axes


def _title(axes: Axes, words: str) -> None:
    axes.set_title(words, loc="left", fontsize=FONT, color=INK, fontweight="bold", pad=8)


def _grid(axes: Axes, *, whole: bool = False) -> None:
    """Few quiet lines behind the data; whole: at numbers of pairs, of which there are no halves."""
    from matplotlib.ticker import MaxNLocator

    axes.grid(axis="y", color=RULE, linewidth=1)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, min_n_ticks=2, integer=whole))


def _svg(figure: Figure, name: str, told: str) -> str:
    """The figure as an <svg> for the body of a page."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    drawing = file.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    # It is for the whole document that <style> and ids speak once they stand in HTML.
    drawing = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", drawing, flags=re.DOTALL)
    used = set(re.findall(r"(?:url\(|href=\")#([\w-]+)", drawing))
    drawing = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", drawing)
    drawing = re.sub(r'(url\(|href=")#', rf"\1#{name}-", drawing)
    drawing = re.sub(r" font-family: [^;\"]+;?", "", drawing)
    drawing = re.sub(r' fill="(#fe0[12]\w\w)"', r' style="fill: \1"', drawing)
    drawing = re.sub(r"#fe0[12]\w\w", lambda colour: f"var(--{_VARIABLES[colour[0]]})", drawing)
    drawing = re.sub(r" +\n|\n+", "\n", drawing)
    box = re.search(r'viewBox="[^"]+"', drawing)
    assert box is not None  # matplotlib writes one
    label = html.escape(told)
    opening = f'<svg class="{name.rpartition("-")[0]}" {box[0]} role="img" aria-label="{label}">'
    return f"{opening}<title>{label}</title>{drawing[drawing.index('>') + 1 :]}"
