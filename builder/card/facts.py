"""Facts that fill a card, beside the release itself: plain values, which the templates write.

Release, schema ─▶ facts ─▶ cards/manifest.md, cards/images.md
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import accumulate

import pyarrow as pa

from ..disk.ledger import by_count
from ..disk.location import DANQING, bare
from ..disk.release import Release
from ..errors import VerificationError
from ..reasons import Verdict
from . import figures
from .counts import CAPTIONS, MILLIONTHS, SIDE_STEP
from .funnel import after, before, beside, revision, steps
from .words import PARTS, REASONS, SHARDS, STAGES, VERDICTS, described

_NAMES = {"float": "float32", "double": "float64", "halffloat": "float16"}  # of types, as `datasets` has them
_SCORED = {"recaption": "`recaption`", "both": "two captions, the mean of both"}
_DERIVED = {"cc-by-nc-4.0"}  # licenses that are inherited from DANQING as it is today


def facts(release: Release, schema: pa.Schema) -> dict[str, object]:
    """Fields of a card but its names; VerificationError where the funnel does not add up, or a column has no word."""
    counts, options = release.counts, release.funnel.get("options", {})
    decision, scored = release.funnel.get("decision", {}), sum(counts["histograms"].get("score", []))
    made, curated = before(release.funnel), after(release.funnel, counts["kept"])
    main, of_danqing = release.splits[0], release.source == DANQING
    return {
        "release": release,
        "counts": counts,
        "funnel": release.funnel,
        "license": license_words(release),
        "inherited": of_danqing and release.license in _DERIVED,
        "of_danqing": of_danqing,
        "source_link": _link(release.source),
        "figures": figures.drawn(release),
        "main_split": main,
        "first_shard": min(path for path in release.shards() if f"/{main}-" in path),
        "width": str(_median_side(counts["histograms"].get("resolution", []))),
        "columns": [_column(field, meaning) for field, meaning in described(release.what, schema)],
        "parts": _parts(release),
        "before": made,
        "refined": any(one["stage"] == "refine" for one in made),
        "beside": beside(
            [*made, *curated],
            release.funnel["manifest"] - release.funnel["pending"],
            release.funnel["fetched"],
        ),
        "steps": steps(release),
        "stages": STAGES,
        "reasons": REASONS,
        "revisions": _revisions(release),
        "formats": by_count(counts["formats"]),
        "options": options,
        # How the pictures were stored, as far as the ledger says it, and unless they are as they were fetched.
        "stored": {"resize": "none", "encode": "", "upscale": False, **options}
        if options and options.get("encode") != "original"
        else {},
        "captions": CAPTIONS,
        "decision": decision,
        "junk": decision.get("pi0"),
        "verdicts": {verdict.value: VERDICTS[verdict] for verdict in Verdict},
        "judged": Counter(release.funnel.get("verdicts")),
        "kept": Counter(counts["verdicts"]),
        **_curated(release),
        "scored_caption": _SCORED.get(release.model.get("caption") or "", "`alt_text`"),
        "score_mean": counts["sums"].get("score", 0) / MILLIONTHS / max(1, scored),
    }


def _curated(release: Release) -> dict[str, object]:
    """Facts about what curate decided and found."""
    sums, bins = release.counts["sums"], release.counts["histograms"].get("cos", [])
    return {
        "curation": release.funnel.get("curation", {}),
        "cos_mean": sums.get("cos", 0) / MILLIONTHS / max(1, sum(bins)),
        "stood_for": sums.get("dup_count", 0),
    }


def license_words(release: Release) -> str:
    """cc-by-nc-4.0 as CC-BY-NC 4.0; a license of its own by its name, and where it is."""
    name, _, version = release.license.rpartition("-")
    if release.license_link:
        return f"[{release.license_name}]({release.license_link})"
    return f"{name.upper()} {version}" if re.fullmatch(r"cc-by[a-z-]*", name) else release.license


def _link(source: str) -> str:
    return f"[{source}](https://huggingface.co/datasets/{source})" if bare(source) else f"`{source}`"


def _column(field: pa.Field[pa.DataType], meaning: str) -> dict[str, str]:
    if not meaning:
        raise VerificationError(
            f"column {field.name} has no description in builder/card/words.py: write what it means"
        )
    kind = field.type
    word = _NAMES.get(str(kind), str(kind))
    if field.name == "image":
        word = "Image"
    elif pa.types.is_timestamp(kind):
        word = "timestamp"
    elif isinstance(kind, pa.ListType):
        value = str(kind.value_type)
        word = f"list of {_NAMES.get(value, value)}"
    return {"name": field.name or " ", "type": word, "told": meaning}


def _parts(release: Release) -> list[dict[str, object]]:
    """The folders of tables; rows: of those beside the pairs."""
    return [
        {
            "name": name,
            "told": about,
            "rows": None if name == release.what else sum(file["rows"] or 0 for file in files),
            "files": len(files),
            "bytes": sum(file["bytes"] for file in files),
        }
        for name, about in {release.what: SHARDS[release.what], **PARTS}.items()
        if (files := release.part(name))
    ]


def _median_side(bins: list[int]) -> int:
    """The shorter side that half of the pictures reach, in steps of the histogram."""
    reached = (place for place, seen in enumerate(accumulate(bins)) if 2 * seen >= sum(bins))
    return max(next(reached, 0), 1) * SIDE_STEP


def _revisions(release: Release) -> list[dict[str, object]]:
    """The newest first; a release that takes the place of one of its version is told once."""
    before = [one for one in release.funnel.get("revisions", []) if one["version"] != release.version]
    return [one | {"dropped": by_count(one["dropped"])} for one in [*before, revision(release)]][::-1]
