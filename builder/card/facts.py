"""The fields of a release's card, each number written by Told.

Release, schema ─▶ facts ─▶ what cards/manifest.md and cards/images.md are filled with
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from ..disk.location import DANQING, bare
from ..disk.release import Release
from ..reasons import Verdict
from . import figures
from .counts import CAPTIONS, MILLIONTHS, SIDE_STEP
from .funnel import Step, revision, steps
from .told import Told
from .words import FILES, PARTS, REASONS, STAGES, VERDICTS, described

_NAMES = {"float": "float32", "double": "float64", "halffloat": "float16"}  # of types, as `datasets` has them
_CAPTIONS = {"alt_text": "`alt_text`", "recaption": "`recaption`", "both": "two captions, the mean of both"}
_DERIVED = {"cc-by-nc-4.0"}  # licenses that are inherited from DANQING as it is today


def facts(release: Release, schema: pa.Schema, told: Told) -> dict[str, Any]:
    """All fields but the names; VerificationError where a number is missing or does not add up."""
    counts, funnel = release.counts, release.funnel
    of_danqing, main = release.source == DANQING, release.splits[0]
    return {
        "version": told.text(release.version),
        "date": told.text(release.created_at[:10]),
        "danqing": told.text(release.danqing),
        "source": told.text(release.source) if release.source else "",
        "source_link": _link(release.source, told) if release.source else "",
        "license": told.text(license_words(release)),
        "inherited": of_danqing and release.license in _DERIVED,
        "of_danqing": of_danqing,
        "validated": release.validated,
        "figures": figures.drawn(release),
        "tars": release.has_tars,
        "released": told.number(counts["kept"]),
        "manifest": told.number(funnel["manifest"]),
        "dropped_total": told.number(funnel["manifest"] - counts["kept"]),
        "not_kept": told.number(counts["rows"] - counts["kept"]) if counts["rows"] > counts["kept"] else "",
        "removed": _counted(release.removed, "entry", "entries", told) if release.removed else "",
        "shard_count": told.number(len(release.shards())),
        "main_split": main,
        "first_shard": told.text(min(path for path in release.shards() if f"/{main}-" in path)),
        "width": told.text(str(_median_side(release))),
        "columns_named": ", ".join(f'"{name}"' for name in ("image", "alt_text", "recaption")),
        "columns": [_column(field, meaning, told) for field, meaning in described(release.what, schema)],
        "files": _files(release, told),
        "splits": _splits(release, told),
        "funnel": _funnel(release, told),
        "revisions": _revisions(release, told),
        **_pictures(release, told),
        **_captions(release, told),
        **(_judged(release, told) if release.validated else {}),
    }


def license_words(release: Release) -> str:
    """cc-by-nc-4.0 as CC-BY-NC 4.0; a license of its own by its name, and where it is."""
    name, _, version = release.license.rpartition("-")
    if release.license_link:
        return f"[{release.license_name}]({release.license_link})"
    return f"{name.upper()} {version}" if re.fullmatch(r"cc-by[a-z-]*", name) else release.license


def _counted(number: int, one: str, several: str, told: Told) -> str:
    return f"{told.number(number)} {one if number == 1 else several}"


def _link(source: str, told: Told) -> str:
    name = told.text(source)
    return f"[{name}](https://huggingface.co/datasets/{name})" if bare(source) else f"`{name}`"


def _column(field: pa.Field[Any], meaning: str, told: Told) -> dict[str, str]:
    kind = str(field.type)
    if field.name == "image":
        kind = "Image"
    elif pa.types.is_timestamp(field.type):
        kind = "timestamp"
    elif pa.types.is_list(field.type):
        value = str(field.type.value_type)
        kind = f"list of {_NAMES.get(value, value)}"
    return {"name": told.code(field.name or " "), "type": told.cell(_NAMES.get(kind, kind)), "told": meaning}


def _files(release: Release, told: Told) -> list[dict[str, str]]:
    """The folders of a release, and the file beside them."""
    found = []
    for name in (release.what, *PARTS):
        if files := release.part(name):
            size = told.bytes(sum(file["bytes"] for file in files))
            rows = sum(file["rows"] or 0 for file in files)
            number = _counted(len(files), "file", "files", told)
            held = f": {_counted(rows, 'row', 'rows', told)}" if name in PARTS else ""
            found.append({"name": f"`{name}/`", "told": FILES[name] + held, "size": f"{number}, {size}"})
    found.append({"name": "`figures/`, `croissant.json`", "told": FILES["figures"], "size": ""})
    return found


def _splits(release: Release, told: Told) -> list[dict[str, str]]:
    known = release.counts["splits"]
    return [
        {
            "name": told.text(split),
            "kept": told.number(known[split]["kept"]),
            "shards": told.number(known[split]["shards"]),
            "bytes": told.bytes(known[split]["bytes"]),
        }
        for split in release.splits
    ]


def _funnel(release: Release, told: Told) -> list[dict[str, str]]:
    whole = release.funnel["manifest"]
    return [
        {
            "told": f"**{STAGES[step.name]}**" if step.kind == "stage" else _lost(step, told),
            "pairs": told.number(step.pairs)
            if step.kind == "stage"
            else f"\N{MINUS SIGN}{told.number(step.pairs)}",
            "share": told.share(step.pairs, whole),
        }
        for step in steps(release)
    ]


def _lost(step: Step, told: Told) -> str:
    return f"`{told.text(step.name)}`: {REASONS.get(step.name, 'dropped')}"


def _pictures(release: Release, told: Told) -> dict[str, Any]:
    counts, funnel = release.counts, release.funnel
    formats, whole = counts["formats"], max(1, sum(counts["formats"].values()))
    by_number = sorted(formats.items(), key=lambda one: (-one[1], one[0]))
    hosts = counts["hosts"]
    largest = max(hosts["largest"].values(), default=0)
    opted_out = funnel["reasons"].get("opt_out", 0)
    options = funnel.get("options", {})
    return {
        "formats": ", ".join(f"{told.text(name)} ({told.share(n, whole)})" for name, n in by_number),
        "hosts": {
            "distinct": _counted(hosts["distinct"], "host", "hosts", told),
            "first_share": told.share(largest, counts["kept"]),
        },
        "opted_out": told.number(opted_out) if opted_out else "",
        "opt_out_ignored": bool(options.get("ignore_opt_out")),
        "stored": _stored(options, told),
        "ledger": bool(options),
        "fetched": _fetched([day[:10] for day in counts["fetched"]], told),
    }


def _fetched(days: list[str], told: Told) -> str:
    """When the pictures were fetched, as the end of a clause."""
    if not days:
        return ""
    first, last = map(told.text, days)
    return f" on {first}" if first == last else f" between {first} and {last}"


def _stored(options: dict[str, Any], told: Told) -> str:
    """How the pictures were stored, as far as the ledger says it; empty where it does not, or they are originals."""
    if not options or options.get("encode") == "original":
        return ""
    size, form = options.get("resize", "none"), str(options.get("encode", ""))
    quality = f" of quality {told.number(options['quality'])}" if form in ("jpeg", "webp") else ""
    resized = (
        "in their own size"
        if size == "none"
        else f"resized ({size}) to {told.number(options['image_size'])} pixels"
    )
    smaller = " where they were larger" if size != "none" and not options.get("upscale") else ""
    return f"{resized}{smaller}, as {form.upper()}{quality}"


def _captions(release: Release, told: Told) -> dict[str, Any]:
    counts = release.counts
    return {
        "captions": [
            {
                "name": name,
                "count": told.number(counts["captioned"][name]),
                "mean": told.decimal(counts["sums"][name] / counts["captioned"][name], 1),
            }
            for name in CAPTIONS
            if counts["captioned"].get(name)
        ]
    }


def _median_side(release: Release) -> int:
    """The shorter side that half of the pictures reach, in steps of the histogram."""
    bins, seen = release.counts["histograms"].get("resolution", []), 0
    for place, count in enumerate(bins):
        seen += count
        if 2 * seen >= sum(bins):
            return max(place, 1) * SIDE_STEP
    return SIDE_STEP


def _judged(release: Release, told: Told) -> dict[str, Any]:
    counts, funnel, model = release.counts, release.funnel, release.model
    decision = funnel["decision"]
    scored = sum(counts["histograms"].get("score", []))
    return {
        "verdicts": [
            {
                "name": verdict.value,
                "told": VERDICTS[verdict],
                "judged": told.number(funnel["verdicts"].get(verdict.value, 0)),
                "kept": told.number(counts["verdicts"].get(verdict.value, 0)),
            }
            for verdict in Verdict
        ],
        "decision": {
            "tested": told.number(decision["tested"]) if decision["tested"] else "",
            "alpha": told.percent(decision["alpha"]),
            "threshold": bool(decision["threshold"]),
            "junk": told.percent(decision["pi0"]),
            "bound": told.percent(decision["bound"]),
            "min_score": "" if decision["min_score"] is None else told.significant(decision["min_score"]),
        },
        "suspects": told.number(counts["suspects"]) if counts["suspects"] else "",
        "score_mean": told.decimal(counts["sums"]["score"] / MILLIONTHS / scored) if scored else "",
        "model": {
            "name": told.text(model["name"]),
            "revision": told.text(model["revision"]) if model.get("revision") else "",
            "fingerprint": told.text(model["fingerprint"]),
            "preprocessing": told.text(model["preprocessing"]) if model.get("preprocessing") else "",
            "caption": _CAPTIONS.get(model.get("caption") or "alt_text", "`alt_text`"),
        },
    }


def _revisions(release: Release, told: Told) -> list[dict[str, str]]:
    """The newest first; a release that takes the place of one of its version is told once."""
    before = [one for one in release.funnel.get("revisions", []) if one["version"] != release.version]
    return [_revision(one, told) for one in [*before, revision(release)]][::-1]


def _revision(one: dict[str, Any], told: Told) -> dict[str, str]:
    dropped = sorted(one["dropped"].items(), key=lambda each: (-each[1], each[0]))
    words = ", ".join(f"{told.number(count)} `{told.text(reason)}`" for reason, count in dropped)
    return {
        "version": told.text(one["version"]),
        "date": told.text(one["created_at"][:10]),
        "kept": told.number(one["kept"]),
        "dropped": words or "none",
    }
