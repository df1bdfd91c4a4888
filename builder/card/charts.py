"""The charts of the page: matplotlib's static SVG, made to stand inside HTML and to follow its colours.

    counts ─▶ Figure ─▶ SVG text without prolog, ids of its own chart, colours as CSS variables, the page's font

Every chart is drawn twice, WIDE for a desk and NARROW for a phone: text that is scaled down cannot be read.
A unit of the drawing is a CSS pixel.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import EnvironmentProblem
from .values import number, share

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Counts = npt.NDArray[np.int64]
BINS = 2000  # of a histogram of scores, 0.001 wide, over [-1, 1]
EDGES = np.linspace(-1, 1, BINS + 1)
WIDE, NARROW = 536, 348  # pixels; the second is a phone's 390 less the margins
FONT = 12.5
SHOWN_BINS = 72  # of a histogram, at most
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
class Chart:
    """A chart as SVG, for a wide page and for a narrow one, and what it shows in a sentence."""

    wide: str
    narrow: str
    told: str


def funnel(steps: Sequence[FunnelBar], told: str) -> Chart:
    """A waterfall from the manifest to what is kept."""
    beside: dict[str, Any] = {"ha": "right", "va": "center", "color": INK, "annotation_clip": False}
    whole = max((step.start + step.length for step in steps), default=0) or 1

    def draw(width: int) -> Figure:
        left, right = (92, 116) if width == WIDE else (84, 104)
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


def histogram(scores: npt.NDArray[Any]) -> Counts:
    """The number of `scores` (cosines) in each of BINS: outside [-1, 1] at the end, and nowhere if not finite."""
    scores = scores[np.isfinite(scores)]
    place = np.clip(((scores + 1) * (BINS / 2)).astype(np.int64), 0, BINS - 1)
    return np.bincount(place, minlength=BINS).astype(np.int64)


def kept_and_dropped(histograms: Mapping[str, Counts], labels: Mapping[str, str], told: str) -> Chart:
    """Scores of the kept pairs above, of the dropped ones below, stacked by why; one score axis, two of pairs.

    labels: of the reasons, in the order of the stack.
    """
    edges, shown = _rebinned(histograms)
    lost = {name: shown[name] for name in labels if name != "kept" and name in shown and shown[name].any()}

    def draw(width: int) -> Figure:
        figure, axes = _axes(width, 340, (52, 26, 6, 190))
        axes.stairs(shown.get("kept", np.zeros(len(edges) - 1)), edges, fill=True, color=COLOURS["kept"])
        _title(axes, "kept")
        below = _more_axes(figure, width, 340, (52, 186, 6, 40))
        base = np.zeros(len(edges) - 1)
        for name, counts in lost.items():
            area = below.stairs(base + counts, edges, baseline=base, fill=True, color=COLOURS[name])
            area.set(hatch=_HATCHES.get(name), edgecolor=PAPER, linewidth=0, label=labels[name])
            base = base + counts
        _title(below, "dropped")
        if lost:
            below.legend(**_LEGEND, loc="upper right", borderaxespad=0)
        for one in (axes, below):
            one.set(xlim=(edges[0], edges[-1]), ylim=(0, None))
            _grid(one, whole=True)
        axes.tick_params(labelbottom=False)
        below.set_xlabel("score, cosine", color=MUTED)
        return figure

    return _chart("scores", draw, told)


def against_null(histograms: Mapping[str, Counts], threshold: float, told: str) -> Chart:
    """Shares of the kept, the dropped and the permuted pairs by score; threshold: where the null is nearly over."""
    edges, shown = _rebinned(histograms)
    shares = {name: counts / max(1, counts.sum()) * 100 for name, counts in shown.items()}
    styles = {"kept": ("-", "kept"), "dropped": ((0, (4, 2)), "dropped")}

    def draw(width: int) -> Figure:
        figure, axes = _axes(width, 250, (52, 40, 6, 40))
        axes.stairs(shares["null"], edges, fill=True, color=COLOURS["null"], label="chance")
        for name, (dashes, label) in styles.items():
            colour = COLOURS["kept" if name == "kept" else "drifted"]
            if shown[name].any():
                axes.stairs(shares[name], edges, color=colour, linewidth=2, linestyle=dashes, label=label)
        axes.axvline(threshold, color=INK, linewidth=1, linestyle=(0, (1, 2)))
        axes.set(xlim=(edges[0], edges[-1]), ylim=(0, None))
        axes.yaxis.set_major_formatter("{x:g}%")
        axes.set_xlabel("score, cosine", color=MUTED)
        axes.legend(**_LEGEND, ncols=3, loc="lower left", bbox_to_anchor=(0, 1.02), borderaxespad=0)
        _grid(axes)
        return figure

    return _chart("null", draw, told)


def _rebinned(histograms: Mapping[str, Counts]) -> tuple[npt.NDArray[np.float64], dict[str, Counts]]:
    """The range that has scores, in at most SHOWN_BINS; a thousandth of them at either end counts at the edge."""
    whole = np.sum([counts / max(1, counts.sum()) for counts in histograms.values()], axis=0)
    cumulated = np.cumsum(whole) / max(whole.sum(), 1e-9)
    first, last = (int(np.searchsorted(cumulated, end)) for end in (0.0005, 0.9995))
    width = max(1, -(-(last + 1 - first) // SHOWN_BINS))
    first = max(0, first // width * width)
    bins = -(-(last + 1 - first) // width)
    clipped = np.clip((np.arange(BINS) - first) // width, 0, bins - 1)
    shown = {name: np.bincount(clipped, counts, bins).astype(np.int64) for name, counts in histograms.items()}
    step = EDGES[1] - EDGES[0]
    return EDGES[first] + np.arange(bins + 1) * width * step, shown


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
