"""Numbers and samples as the page: its sentences, tables and charts, put into page.html.

Numbers, Groups ─▶ the text of one HTML file that asks for nothing else
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..card import charts, funnel, values, words
from ..card.charts import Chart, FunnelBar, Layer, Scale
from ..card.histogram import FloatHistogram
from ..disk.ledger import by_count
from ..disk.schema import published
from ..reasons import KEPT, Cause, Reason, Verdict
from ..stage.counts import HostTotal
from .gather import Numbers
from .judged import couples_shown, measures_shown, plain, strips_shown
from .samples import Gallery, Text, text, visible
from .scored import Scored, captions

if TYPE_CHECKING:
    from jinja2 import Environment

    from .analysis import Analysis

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
_TOLD = ("embedder", "revision")  # options of curate that the checkpoint tells better
HOSTS = 15  # in each of the two tables
RARE = 0.99  # quantile of the null that a score of a true pair should be above


def score(value: float | None) -> str:
    """A cosine with three digits and a true minus sign; a dash where there is none."""
    return "–" if value is None else values.decimal(value)


def environment() -> Environment:
    """The templates of the pages: whatever stands in a field is escaped, and a field that is missing fails."""
    import jinja2
    from markupsafe import Markup

    found = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_source),
    )  # fmt: skip
    # A chart is SVG: matplotlib has escaped what stands in it.
    found.filters |= {
        "count": values.number, "score": score, "svg": Markup, "plain": plain, "visible": visible,
    }  # fmt: skip
    return found


def alone(analysis: Analysis) -> str:
    """The page of a root that nobody has judged, as text: its statistics alone."""
    made = [("root", one.name) for one in analysis.roots] + [("danqing", f"page {__version__}")]
    known = {"analysis": analysis, "wide": charts.WIDE, "made": made}
    return environment().get_template("alone.html").render(known)


def render(root: str, numbers: Numbers, galleries: list[Gallery], analysis: Analysis | None = None) -> str:
    """The page as text."""
    known: dict[str, object] = {
        "analysis": analysis,
        "name": visible(name_of(root)),
        "numbers": numbers,
        "groups": galleries,
        "share": share,
        "percent": percent,
        "losses": _losses(numbers),
        "beside": _beside(numbers),
        "worst": _hosts(numbers.hosts.worst(HOSTS)),
        "largest": _hosts(numbers.hosts.largest(HOSTS)),
        "charts": {"funnel": _funnel(numbers)},
        "wide": charts.WIDE,
        "made": _made(root, numbers),
        "reasons": words.REASONS,
    }
    if numbers.scored:
        known |= _scored(numbers.scored)
    if numbers.curated:
        known |= {
            "measures": measures_shown(root, numbers.curated),
            "strips": strips_shown(root, numbers.curated),
            "couples": couples_shown(root, numbers.curated),
            "embedder": _named(numbers.curated.decision["embedder"]),
            "compared": captions(numbers.curated.plan, "curate"),
        }
    return environment().get_template("page.html").render(known)


def _source(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _scored(scored: Scored) -> dict[str, Any]:
    """What the sections about verdicts and scores say."""
    spreads, threshold = spreads_of(scored)
    return {
        "captions": captions(scored.plan),
        "verdicts": VERDICTS,
        "causes": words.CAUSES,
        "shown": SHOWN,
        "spreads": spreads,
        "threshold": threshold,
        "score_charts": _charts(scored, threshold),
        "model": _named(scored.decision.get("checkpoint", {})),
    }


def _named(checkpoint: Mapping[str, Any]) -> str:
    return visible(str(published(checkpoint).get("model") or "an unnamed checkpoint"))


def name_of(root: str) -> str:
    """The last part of a path or URL."""
    name = root.rstrip("/").rpartition("/")[2]
    return name if name not in ("", ".", "..") else Path(root).resolve().name


def _losses(numbers: Numbers) -> list[tuple[str, int, str]]:
    """Why pairs were lost, how many, and where, the commonest first."""
    found = [(reason, count, "rebuild") for reason, count in numbers.reasons.items()]
    for (verdict, cause, kept), count in numbers.scored.fates.items() if numbers.scored else ():
        if not kept:
            found.append((cause, count, "--min-score" if cause == Cause.MIN_SCORE else verdict))
    judged = numbers.curated.reasons.items() if numbers.curated else ()
    found += [
        (reason, count, "curate")
        for reason, count in judged
        if reason != Reason.VERDICT or not numbers.scored
    ]
    found.sort(key=lambda one: (-one[1], one[0]))
    return [(visible(name), count, visible(where)) for name, count, where in found]


def _beside(numbers: Numbers) -> list[tuple[str, str, str]]:
    """The rows of the paper that this root answers; of those whose steps were all skipped, that they were."""
    stages = [*numbers.before, *([numbers.curated.funnel] if numbers.curated else [])]
    if not stages:
        return []
    steps = [step for one in stages for step in one["steps"] if step["row"] is not None]
    done = {f"{step['row']}" for step in steps if "(skipped" not in step["name"]}
    skipped = {f"{step['row']}" for step in steps} - done
    rows = funnel.beside(stages, numbers.fetched, numbers.rebuilt, gap="")
    return [
        (visible(name), "skipped" if name.partition(" ")[0] in skipped else here, there)
        for name, here, there in rows
    ]


def _hosts(hosts: Iterable[HostTotal]) -> list[tuple[Text | None, int, int, str]]:
    """Hosts, None where there is none, with their pairs, those of them kept, and what became of the others."""
    rows = []
    for one in hosts:
        lost = by_count({fate: n for fate, n in one.words.items() if fate != "kept"})
        why = ", ".join(f"{n:,} {FATES.get(fate, fate.replace('_', ' '))}" for fate, n in lost)
        shown = text(one.host.encode("utf-8", "replace")) if one.host else None
        rows.append((shown, one.pairs, one.kept, visible(why)))
    return rows


def _kept_and_lost(scored: Scored) -> tuple[FloatHistogram, dict[str, FloatHistogram]]:
    """The scores of the kept, and of the dropped by why, in the order of charts."""
    lost = {fate: scored.histograms[fate] for fate in FATES if fate != "kept" and fate in scored.histograms}
    return scored.histograms.get("kept", FloatHistogram()), {
        fate: one for fate, one in lost.items() if one.total
    }


def spreads_of(scored: Scored) -> tuple[list[tuple[str, int, float, float, float, str]], float]:
    """Scored pairs, three quantiles and the share above the null's RARE of each group; that (1 without a null)."""
    kept, lost = _kept_and_lost(scored)
    null = scored.null
    threshold = 1.0 if null is None or not null.total else null.quantile(RARE)
    shown = {"kept": kept, "dropped": sum(lost.values(), FloatHistogram())}
    shown |= {FATES[fate]: one for fate, one in lost.items()} if len(lost) > 1 else {}
    rows = []
    for name, one in (shown if null is None else shown | {"chance": null}).items():
        if pairs := one.total:
            above = share(one.from_on(threshold), pairs) if threshold < 1 else "–"
            low, middle, high = map(one.quantile, (0.05, 0.5, 0.95))
            rows.append((name, pairs, low, middle, high, above))
    return rows, threshold


def _charts(scored: Scored, threshold: float) -> dict[str, Chart]:
    kept, lost = _kept_and_lost(scored)
    gone = sum(lost.values(), FloatHistogram())
    if not kept.total + gone.total:
        return {}
    told = f"Scores of {kept.total:,} kept pairs, and below them of {gone.total:,} dropped ones, by why they were."
    layers = [Layer(FATES[fate], fate, one) for fate, one in lost.items()]
    made = {"scores": charts.kept_and_dropped("scores", kept, layers, Scale("score, cosine"), told)}
    if scored.null is not None:
        told = "Scores of kept and of dropped pairs beside those of captions with pictures of other pairs."
        made["null"] = charts.against_null(kept, gone, scored.null, threshold, told)
    return made


def _funnel(numbers: Numbers) -> Chart:
    told = (
        f"Of {numbers.manifest:,} rows of the manifest {numbers.rebuilt:,} have a picture and "
        f"{numbers.kept:,} are kept."
    )
    return charts.funnel(_steps(numbers), told)


def _steps(numbers: Numbers) -> list[FunnelBar]:
    """The bars of the funnel: each verdict begins where the one before ends, each reason ends where it began."""
    steps = [FunnelBar("manifest", 0, numbers.manifest, "whole")]
    if numbers.has_outcomes:
        steps += [FunnelBar("rebuilt", 0, numbers.rebuilt, "whole")]
    if numbers.scored:
        steps += [FunnelBar("scored", 0, numbers.scored.pairs, "whole")]
        start = 0
        for verdict in SHOWN:
            pairs = numbers.verdict(verdict)
            steps.append(FunnelBar(verdict, start, pairs, verdict))
            start += pairs
    if numbers.curated:
        left = numbers.curated.pairs
        for one in numbers.curated.funnel["steps"]:
            for reason, pairs in one["reasons"].items():
                left -= pairs
                steps.append(FunnelBar(visible(reason).replace("_", " "), left, pairs, "drifted"))
    return [*steps, FunnelBar("kept", 0, numbers.kept, "kept")]


def _made(root: str, numbers: Numbers) -> list[tuple[str, str]]:
    """How the pairs were judged, for whoever wants to repeat it."""
    facts: dict[str, Any] = {"root": name_of(root)}
    version = "unknown"
    if scored := numbers.scored:
        options = ("alpha", "min_score", "keep", "tested", "threshold", "pi0", "bound")
        facts |= {
            "decision": scored.decision.get("decision"),
            "decided": scored.decided_at and scored.decided_at.isoformat(timespec="seconds"),
            **{name: scored.decision.get(name) for name in options},
            **published(scored.decision.get("checkpoint", {})),
        }
        facts |= {name: value for name, value in scored.plan.get("config", {}).items() if name not in facts}
        version = scored.plan.get("version", version)
    if curated := numbers.curated:
        told = curated.decision
        asked = curated.plan.get("config", {})
        facts |= {
            "curation": told["decision"],
            "curated": curated.decided_at and curated.decided_at.isoformat(timespec="seconds"),
            **{f"embedder {name}": value for name, value in published(told["embedder"]).items()},
            **{f"threshold of {name}": plain(value) for name, value in told["thresholds"].items()},
            **{f"duplicates, {name}": f"{count:,}" for name, count in told["sets"].items()},
            **{f"asked, {name}": placeless(f"{value}") for name, value in asked.items() if name not in _TOLD},
        }
        version = curated.plan.get("version", version)
    facts |= {"danqing": f"{version}, page {__version__}"}
    given = ((name, value) for name, value in facts.items() if value not in (None, ""))
    return [(visible(name.replace("_", " ")), visible(worded(value))) for name, value in given]


def placeless(words: str) -> str:
    """Words of an option, of paths and URLs among them the last part alone: where they lie is nobody's business."""
    return ",".join(
        name_of(one) if one[:1] in "/.~" or "://" in one else one for one in words.split(",") if one
    )


def worded(value: Any) -> str:
    """An option or a figure for people."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else f"{value}"
