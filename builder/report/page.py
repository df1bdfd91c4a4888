"""Numbers and samples as the page: its sentences, tables and charts, put into page.html.

Numbers, Groups ─▶ the text of one HTML file that asks for nothing else
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..card import charts, funnel, values, words
from ..card.charts import BINS, EDGES, Chart, Counts, FunnelBar
from ..disk.ledger import by_count
from ..disk.schema import published
from ..reasons import KEPT, Cause, Verdict
from ..stage.counts import HostTotal
from .gather import Numbers, captions
from .samples import Gallery, Text, text, visible

VERDICTS: dict[str, str] = words.VERDICTS | {
    Verdict.DEAD: "No bytes came, or there is no picture in them.",
    "suspect": "Kept and flagged: the score fell by more than re-encoding explains.",
}
# What became of a scored pair, as charts and the tables of hosts tell it.
FATES: dict[str, str] = {
    "kept": "kept",
    **{verdict.value: verdict.value for verdict in Verdict},
    Cause.MIN_SCORE: "low score",
}
share, percent = partial(values.share, gap=""), partial(values.percent, gap="")
# Verdicts in the order of tables and charts.
SHOWN = (*KEPT, Verdict.PLACEHOLDER, Verdict.DRIFTED, Verdict.DEAD)
HOSTS = 15  # in each of the two tables
RARE = 0.99  # quantile of the null that a score of a true pair should be above


def score(value: float | None) -> str:
    """A cosine with three digits and a true minus sign; a dash where there is none."""
    return "–" if value is None else values.decimal(value)


def render(root: str, numbers: Numbers, galleries: list[Gallery]) -> str:
    """The page as text."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # A chart is SVG: matplotlib has escaped what stands in it.
    environment.filters |= {"count": values.number, "score": score, "svg": Markup}
    source = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    spreads, threshold = _spreads(numbers)
    return environment.from_string(source).render(
        name=visible(name_of(root)),
        numbers=numbers,
        captions=captions(numbers.plan),
        groups=galleries,
        verdicts=VERDICTS,
        causes=words.CAUSES,
        share=share,
        percent=percent,
        shown=SHOWN,
        losses=_losses(numbers),
        beside=funnel.beside(numbers.before, numbers.fetched, numbers.rebuilt, gap=""),
        worst=_hosts(numbers.hosts.worst(HOSTS)),
        largest=_hosts(numbers.hosts.largest(HOSTS)),
        spreads=spreads,
        threshold=threshold,
        charts=_charts(numbers, threshold),
        wide=charts.WIDE,
        made=_made(root, numbers),
        model=visible(str(_checkpoint(numbers).get("model") or "an unnamed checkpoint")),
    )


def _checkpoint(numbers: Numbers) -> Mapping[str, Any]:
    return published(numbers.decision.get("checkpoint", {}))


def name_of(root: str) -> str:
    """The last part of a path or URL."""
    name = root.rstrip("/").rpartition("/")[2]
    return name if name not in ("", ".", "..") else Path(root).resolve().name


def _losses(numbers: Numbers) -> list[tuple[str, int, str]]:
    """Why pairs were lost, how many, and where, the commonest first."""
    found = [(reason, count, "rebuild") for reason, count in numbers.reasons.items()]
    for (verdict, cause, kept), count in numbers.fates.items():
        if not kept:
            found.append((cause, count, "--min-score" if cause == Cause.MIN_SCORE else verdict))
    found.sort(key=lambda one: (-one[1], one[0]))
    return [(visible(name), count, visible(where)) for name, count, where in found]


def _hosts(hosts: Iterable[HostTotal]) -> list[tuple[Text | None, int, int, str]]:
    """Hosts, None where there is none, with their pairs, those of them kept, and what became of the others."""
    rows = []
    for one in hosts:
        lost = by_count({fate: n for fate, n in one.words.items() if fate != "kept"})
        why = ", ".join(f"{n:,} {FATES.get(fate, fate)}" for fate, n in lost)
        shown = text(one.host.encode("utf-8", "replace")) if one.host else None
        rows.append((shown, one.pairs, one.kept, visible(why)))
    return rows


def _curves(numbers: Numbers) -> dict[str, Counts]:
    """Histograms of the kept, the dropped together, and the null where there is one."""
    nothing = np.zeros(BINS, np.int64)
    lost = [counts for fate, counts in numbers.histograms.items() if fate != "kept"]
    curves = {"kept": numbers.histograms.get("kept", nothing), "dropped": sum(lost, nothing)}
    return curves if numbers.null is None else curves | {"null": numbers.null}


def _spreads(numbers: Numbers) -> tuple[list[tuple[str, int, float, float, float, str]], float]:
    """Scored pairs, three quantiles and the share above the null's RARE of each group; that (1 without a null)."""
    curves = _curves(numbers)
    null = curves.get("null")
    threshold = 1.0 if null is None or not null.any() else _quantile(null, RARE)
    lost = {FATES.get(fate, fate): counts for fate, counts in numbers.histograms.items() if fate != "kept"}
    shown = {name: curves[name] for name in ("kept", "dropped")} | (lost if len(lost) > 1 else {})
    rows = []
    for name, counts in (shown if null is None else shown | {"chance": null}).items():
        if pairs := int(counts.sum()):
            above = share(int(counts[EDGES[1:] > threshold].sum()), pairs) if threshold < 1 else "–"
            low, middle, high = (_quantile(counts, one) for one in (0.05, 0.5, 0.95))
            rows.append((name, pairs, low, middle, high, above))
    return rows, threshold


def _quantile(counts: Counts, share: float) -> float:
    """The upper edge of the bin in which a share of the counted values is reached."""
    cumulated = np.cumsum(counts)
    return float(EDGES[int(np.searchsorted(cumulated, share * cumulated[-1])) + 1])


def _charts(numbers: Numbers, threshold: float) -> dict[str, Chart]:
    whole, kept = numbers.manifest, numbers.kept
    told = f"Of {whole:,} rows of the manifest {numbers.rebuilt:,} have a picture and {kept:,} are kept."
    made = {"funnel": charts.funnel(_steps(numbers), told)}
    shown = {fate: counts for fate, counts in numbers.histograms.items() if counts.any()}
    if shown:
        lost = sum(int(counts.sum()) for fate, counts in shown.items() if fate != "kept")
        scored = int(shown["kept"].sum()) if "kept" in shown else 0
        told = f"Scores of {scored:,} kept pairs, and below them of {lost:,} dropped ones, by why they were dropped."
        made["scores"] = charts.kept_and_dropped(shown, FATES, told)
    curves = _curves(numbers)
    if "null" in curves and shown:
        told = "Scores of kept and of dropped pairs beside those of captions with pictures of other pairs."
        made["null"] = charts.against_null(curves, threshold, told)
    return made


def _steps(numbers: Numbers) -> list[FunnelBar]:
    """The bars of the funnel: each verdict begins where the one before ends."""
    steps = [FunnelBar("manifest", 0, numbers.manifest, "whole")]
    if numbers.has_outcomes:
        steps += [FunnelBar("rebuilt", 0, numbers.rebuilt, "whole")]
    steps += [FunnelBar("scored", 0, numbers.scored, "whole")]
    start = 0
    for verdict in SHOWN:
        pairs = numbers.verdict(verdict)
        steps.append(FunnelBar(verdict, start, pairs, verdict))
        start += pairs
    return [*steps, FunnelBar("kept", 0, numbers.kept, "kept")]


def _made(root: str, numbers: Numbers) -> list[tuple[str, str]]:
    """How the verdicts came about, for whoever wants to repeat them."""
    decision = numbers.decision
    options = ("alpha", "min_score", "keep", "tested", "threshold", "pi0", "bound")
    facts = {
        "root": name_of(root),
        "decision": decision.get("decision"),
        "decided": numbers.decided_at and numbers.decided_at.isoformat(timespec="seconds"),
        **{name: decision.get(name) for name in options},
    }
    facts |= _checkpoint(numbers)
    facts |= {name: value for name, value in numbers.plan.get("config", {}).items() if name not in facts}
    facts |= {"danqing": f"{numbers.plan.get('version', 'unknown')}, page {__version__}"}
    given = ((name, value) for name, value in facts.items() if value is not None)
    return [(visible(name.replace("_", " ")), visible(_value(value))) for name, value in given]


def _value(value: Any) -> str:
    """An option or a figure for people."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else f"{value}"
