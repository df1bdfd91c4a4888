"""The figures of a card: PNG drawn by matplotlib from the numbers of the release, the same bytes on each run.

    Release ─▶ draw ─▶ {"funnel.png": bytes, "resolution.png": ...}

They are shown 800 pixels wide on light and dark pages, so they bring a white ground, and twice the pixels.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..disk.ledger import by_count
from ..disk.release import Release
from .charts import Counts, FunnelBar, style
from .counts import CAPTIONS, LENGTHS, SCORE_BINS, SCORE_STEP, SIDE_BINS, SIDE_STEP
from .funnel import Step, steps
from .values import share
from .words import STAGES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, DPI = 8.0, 200  # inches; 1,600 pixels
INK, MUTED, RULE, PAPER = "#1f2328", "#59636e", "#d8dee4", "#ffffff"
MAIN, SECOND, LOST = "#0b6e6e", "#c2571a", "#b8c0c8"
SHOWN_HOSTS, SHOWN_REASONS = 20, 8
TAIL = 0.005  # of a histogram, at its long end: drawn as one bar

_STYLE = {
    "font.size": 11, "axes.edgecolor": RULE, "axes.spines.left": False, "axes.titlesize": 12,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlepad": 12, "ytick.major.size": 0,
    "legend.frameon": False,
}  # fmt: skip
_BESIDE: dict[str, Any] = {"textcoords": "offset points", "va": "center_baseline", "fontsize": 10.5}


def drawn(release: Release) -> list[str]:
    """The figures that there is data for, by the name of their files."""
    histograms = release.counts["histograms"]
    there = {
        "funnel.png": True,
        "resolution.png": any(histograms.get("resolution", [])),
        "captions.png": any(any(histograms.get(name, [])) for name in CAPTIONS),
        "score.png": release.validated and any(histograms.get("score", [])),
        "hosts.png": bool(release.counts["hosts"]["largest"]),
    }
    return [name for name, known in there.items() if known]


def draw(release: Release) -> dict[str, bytes]:
    """The PNG files; EnvironmentProblem where matplotlib is missing."""
    makers = {
        "funnel": _funnel,
        "resolution": _resolution,
        "captions": _captions,
        "score": _score,
        "hosts": _hosts,
    }
    with style(INK, MUTED, _STYLE):
        return {name: _png(makers[name.removesuffix(".png")](release)) for name in drawn(release)}


def _png(figure: Figure) -> bytes:
    """The figure, drawn once: `savefig` draws twice where margins are laid out, and stores an alpha of no use."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set(dpi=DPI, facecolor=PAPER)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    file = io.BytesIO()
    Image.fromarray(pixels[..., :3]).save(file, "PNG", dpi=(DPI, DPI))
    return file.getvalue()


def _axes(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    margins = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.15)  # inches
    figure = Figure(figsize=(WIDTH, height), layout=margins)
    return figure, figure.add_subplot()


def _bars(listed: Sequence[Step]) -> list[FunnelBar]:
    """The bars of the steps; of the reasons of a stage the largest, the others together."""
    found: list[FunnelBar] = []
    left = 0
    for kind, steps_of in groupby(listed, lambda step: step.kind):
        of_kind = [(STAGES[name] if kind == "stage" else name, pairs) for _, name, pairs in steps_of]
        if kind != "stage" and len(of_kind) > SHOWN_REASONS:
            rest = of_kind[SHOWN_REASONS - 1 :]
            of_kind[SHOWN_REASONS - 1 :] = [(f"{len(rest)} other reasons", sum(pairs for _, pairs in rest))]
        for label, pairs in of_kind:
            left = pairs if kind == "stage" else left - pairs
            start, colour = (0, MAIN) if kind == "stage" else (left, SECOND)
            found.append(FunnelBar(label, start, pairs, colour))
    return found


def _funnel(release: Release) -> Figure:
    bars = _bars(steps(release))
    whole = max(1, bars[0].length)
    figure, axes = _axes(0.9 + 0.3 * len(bars))
    for place, bar in enumerate(bars):
        axes.barh(place, bar.length, left=bar.start, height=0.7, color=bar.colour)
        is_stage, end = bar.colour == MAIN, bar.start + bar.length
        inside = is_stage and bar.length > 0.5 * whole
        beyond = not inside and end > 0.72 * whole  # no room to its right
        axes.annotate(
            f"{'' if is_stage else chr(0x2212)}{bar.length:,} ({share(bar.length, whole)})",
            (bar.start if beyond else end, place),
            (-6 if inside or beyond else 6, 0),
            ha="right" if inside or beyond else "left",
            color=PAPER if inside else INK,
            **_BESIDE,
        )
    _rows(axes, [bar.label for bar in bars], whole, "From the source manifest to this release, in pairs")
    return figure


def _rows(axes: Axes, labels: Sequence[str], whole: float, title: str) -> None:
    """Horizontal bars with their labels, in place of the lower axis."""
    axes.set(xlim=(0, whole), ylim=(len(labels) - 0.4, -0.6), yticks=range(len(labels)), xticks=[])
    axes.set_yticklabels(labels, color=INK)
    axes.spines["bottom"].set_visible(False)
    axes.set_title(title)


def _shorten(bins: Counts) -> Counts:
    """A histogram whose long end, TAIL of the whole at most, is one bar."""
    cumulated = np.cumsum(bins)
    last = int(np.searchsorted(cumulated, (1 - TAIL) * cumulated[-1])) + 1
    if bins.size - last < 2:
        return bins
    return np.append(bins[:last], bins[last:].sum())


def _resolution(release: Release) -> Figure:
    whole = np.array(release.counts["histograms"]["resolution"], np.int64)
    bins = _shorten(whole)
    figure, axes = _axes(3.4)
    open_ended = bins.size < whole.size or whole.size == SIDE_BINS
    colours = [*[MAIN] * (bins.size - 1), LOST if open_ended else MAIN]
    axes.bar(np.arange(bins.size) * SIDE_STEP, bins, SIDE_STEP * 0.92, align="edge", color=colours)
    if open_ended:
        _mark_tail(
            axes, ((bins.size - 0.5) * SIDE_STEP, bins[-1]), f"{(bins.size - 1) * SIDE_STEP:,} and more"
        )
    _finish(axes, f"shorter side in pixels, {SIDE_STEP} a bar")
    _whole(axes)
    axes.set_xlim(0, None)
    axes.set_title(
        "Shorter side of the pictures, as " + ("fetched" if release.what == "manifest" else "stored")
    )
    return figure


def _captions(release: Release) -> Figure:
    histograms = release.counts["histograms"]
    there = {name: np.array(histograms[name], np.int64) for name in CAPTIONS if any(histograms.get(name, []))}
    figure, axes = _axes(3.4)
    longest = max(_shorten(bins).size for bins in there.values())
    for name, colour in zip(CAPTIONS, (MAIN, SECOND), strict=True):
        if name in there:
            bins = there[name][:longest]
            edges = np.arange(bins.size + 1) - 0.5
            axes.stairs(bins, edges, color=colour, linewidth=1.8, label=name)
            if name == CAPTIONS[0]:
                axes.stairs(bins, edges, color=colour, alpha=0.25, fill=True)
    beyond = sum(int(bins[longest:].sum()) for bins in there.values())
    told = f"; {beyond:,} longer ones are not shown" if beyond else ""
    _finish(axes, f"characters{told}")
    _whole(axes)
    axes.set_xlim(0, min(longest, LENGTHS))
    axes.set_title("Length of the captions")
    if len(there) > 1:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(there), borderaxespad=0.2)
    return figure


def _score(release: Release) -> Figure:
    bins = np.zeros(SCORE_BINS, np.int64)
    counted = release.counts["histograms"]["score"]
    bins[: len(counted)] = counted
    there = np.flatnonzero(bins)
    first, last = max(0, there[0] - 1), min(SCORE_BINS, there[-1] + 2)
    edges = (np.arange(first, last + 1) * SCORE_STEP) - 1
    figure, axes = _axes(3.4)
    axes.bar(edges[:-1], bins[first:last], SCORE_STEP * 0.92, align="edge", color=MAIN)
    _finish(axes, f"cosine by {release.model.get('name', 'SigLIP')}, {SCORE_STEP} a bar")
    axes.set_title("Score of the pairs in this release")
    return figure


def _hosts(release: Release) -> Figure:
    largest = release.counts["hosts"]["largest"]
    listed = by_count(largest)[:SHOWN_HOSTS]
    kept = max(1, release.counts["kept"])
    figure, axes = _axes(0.9 + 0.28 * len(listed))
    for place, (_, pairs) in enumerate(listed):
        axes.barh(place, pairs, height=0.7, color=MAIN)
        axes.annotate(f"{pairs:,} ({share(pairs, kept)})", (pairs, place), (6, 0), **_BESIDE)
    _rows(axes, [_ascii(host) for host, _ in listed], listed[0][1] * 1.3, "Hosts with most pairs")
    return figure


def _ascii(host: str) -> str:
    """A host as its ASCII form, so that no font is needed that may not be there; a long one is cut in its middle."""
    try:
        text = host.encode("idna").decode()
    except UnicodeError:
        text = host.encode("ascii", "backslashreplace").decode()
    text = "".join(one if one.isprintable() and one != "$" else "?" for one in text)
    return text if len(text) <= 40 else f"{text[:18]}...{text[-19:]}"


def _mark_tail(axes: Axes, place: tuple[float, float], told: str) -> None:
    axes.annotate(
        told, place, (0, 4), textcoords="offset points", ha="right", va="bottom", color=MUTED, fontsize=10
    )


def _finish(axes: Axes, label: str) -> None:
    """Quiet lines behind the data, and numbers with commas."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.grid(axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ylim(0, None)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(_short))
    axes.set_xlabel(label)
    axes.set_ylabel("pairs")


def _whole(axes: Axes) -> None:
    """Ticks of the lower axis at whole numbers: there are no half characters and pixels."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True))


def _short(value: float, _: int) -> str:
    """1500000 as 1.5 M."""
    for unit, word in ((1e6, " M"), (1e3, " k")):
        if value >= unit * 10 or (value >= unit and unit > 1e3):
            return f"{value / unit:g}{word}"
    return f"{value:,.0f}"
