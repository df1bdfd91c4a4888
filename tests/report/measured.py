"""Makes a curated root with numbers that its reasons follow from: measures/, a recipe and thresholds beside curated/.

Pair number i has the reason MIX[i % len(MIX)], unless scores/ drops it, and numbers such as that reason leaves behind.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from builder.disk.schema import MEASURES, saying
from builder.reasons import Reason
from builder.stage.recipe import PaperDocument, RecipeDocument, step
from tests.curated import EMBEDDER, Curating, make_curated, write_curated

MIX = (
    *(None, Reason.COPY, Reason.NEAR_DUPLICATE, None, None, Reason.BLURRED, None, Reason.CROSS_BATCH),
    *(Reason.FLAT, None, Reason.LOW_DETAIL, None, Reason.WEAK_MATCH, None, Reason.TEXT_PICTURE),
    *(Reason.UNSAFE_IMAGE, None, Reason.CORRUPT, Reason.NO_EMBEDDING, Reason.KNOWN),
)
THRESHOLDS = {
    "min_side": 100.0, "max_aspect": 3.0, "spread": 2.0, "sharpness": 100.0, "entropy": 3.0, "risk": 0.8,
    "cos_low": 0.2312, "cos_high": 0.4382, "copy_cosine": 0.98, "dedup_cosine": 0.9,
}  # fmt: skip
# From which range a number is drawn: of any pair, and of one that is dropped for it.
RANGES: dict[str, tuple[float, float]] = {
    "spread": (20, 90), "sharpness": (100, 6000), "entropy": (5, 7.9), "risk": (0, 0.5), "cos": (0.24, 0.43),
}  # fmt: skip
FAILING: dict[Reason, tuple[str, float, float]] = {
    Reason.FLAT: ("spread", 0, 1.9),
    Reason.BLURRED: ("sharpness", 1, 99),
    Reason.LOW_DETAIL: ("entropy", 0.5, 2.9),
    Reason.UNSAFE_IMAGE: ("risk", 0.81, 1),
    Reason.WEAK_MATCH: ("cos", 0, 0.23),
    Reason.TEXT_PICTURE: ("cos", 0.44, 0.6),
}
RECIPE = RecipeDocument(
    steps=[
        step("the re-validation keeps the pair", None, Reason.VERDICT),
        step("the picture has its shape", 12, Reason.TOO_SMALL, Reason.ASPECT),
        step("the picture can be measured", None, Reason.CORRUPT),
        step("its luminance varies: 2 levels at least", 13, Reason.FLAT),
        step("it is sharp: sharpness 100 at least", 14, Reason.BLURRED),
        step("it has many shades: 3 bits at least", 15, Reason.LOW_DETAIL),
        step("picture and caption have embeddings", None, Reason.NO_EMBEDDING, Reason.NO_TEXT),
        step("the picture is safe: risk 0.8 at most", 17, Reason.UNSAFE_IMAGE),
        step("picture and caption belong together", 18, Reason.WEAK_MATCH, Reason.TEXT_PICTURE),
        step("no other file of the picture is kept", 16, Reason.COPY),
        step("no picture kept shows the same", 16, Reason.NEAR_DUPLICATE),
        step("nor one of another batch or data set", 19, Reason.CROSS_BATCH, Reason.KNOWN),
    ],
    paper=[
        PaperDocument(row=row, name=name, pairs=pairs, share=share)
        for row, name, pairs, share in (
            (12, "geometry", 352_663_012, 0.1121), (13, "low texture", 352_204_550, 0.0013),
            (14, "blur", 333_255_945, 0.0538), (15, "image entropy", 316_359_868, 0.0507),
            (16, "redundancy", 186_019_602, 0.4120), (17, "safety of the image", 178_601_215, 0.0399),
            (18, "alignment", 154_293_590, 0.1361), (19, "redundancy of all batches", 99_892_381, 0.3526),
        )
    ],
)  # fmt: skip


NEAR = 0.95
SLUG = "chinese-clip-vit-large-patch14-bbbbbbbb"


@dataclass(frozen=True, slots=True)
class Measuring:
    """How a root is measured and curated. mix: reasons, dealt in turn; risk: a folder of measures/."""

    mix: Sequence[Reason | None] = MIX
    thresholds: dict[str, float] = field(default_factory=lambda: dict(THRESHOLDS))
    recipe: RecipeDocument = field(default_factory=lambda: RECIPE)
    risk: str = "open-nsfw-12345678"


def make_measured(root: Path, measuring: Measuring | None = None) -> list[dict[str, Any]]:
    """Measure and curate the root that roots.make_root made there; its rows of curated/, with their numbers too."""
    measuring = measuring or Measuring()
    curating = Curating(mix=measuring.mix)
    rows = make_curated(root, curating)
    for row in rows:
        row |= _numbers(row["key"], row["reason"])
        if row["reason"] == Reason.KNOWN:
            row |= {"nearest": "f" * 32, "dup_count": 2}
    left = iter(rows)
    for path in sorted((root / "curated").glob("*.parquet")):
        mine = [*islice(left, pq.read_metadata(path).num_rows)]
        write_curated(path, mine, curating)
        _write_measures(root, path.name, mine, measuring.risk)
    _write_edges(root, rows)
    _write_embeddings(root, rows)
    plan = {
        "stage": "curate",
        "version": "0.1.0",
        "rows": {"train": len(rows)},
        "shards": {"train": 2},
        "config": {"caption": "alt_text", "embedder": EMBEDDER["model"]},
        "made_from": {"embedder": SLUG, **({"look_risk": measuring.risk} if measuring.risk else {})},
    }
    (root / "ledger/curate/plan.json").write_text(json.dumps(plan))
    change(
        root,
        thresholds=measuring.thresholds,
        recipe=measuring.recipe,
        recall={"0.85-0.90": [400, 399], "0.90-0.95": [120, 120], "0.95-0.98": [0, 0]},
        sets={"components": 7, "sets": 9},
    )
    return rows


def change(root: Path, **fields: object) -> None:
    """Change fields of the decision of a curated root."""
    path = root / "ledger" / "curate" / "decision.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def _numbers(key: str, reason: Reason | None) -> dict[str, float | None]:
    draw = random.Random(key)
    numbers: dict[str, float | None] = {name: draw.uniform(*ends) for name, ends in RANGES.items()}
    if reason in FAILING:
        name, low, high = FAILING[reason]
        numbers[name] = draw.uniform(low, high)
    if reason == Reason.CORRUPT:
        numbers |= dict.fromkeys(RANGES)
    return numbers | ({"cos": None} if reason == Reason.NO_EMBEDDING else {})


def _write_measures(root: Path, name: str, rows: list[dict[str, Any]], risk: str) -> None:
    """The files of one shard in measures/."""
    folders = {"measures": saying(MEASURES, {"measures": 1, "on": "original", "decode": "exact"})}
    if risk:
        folders[f"measures/{risk}"] = pa.schema({"key": pa.string(), "value": pa.float32()})
    for folder, schema in folders.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist([row | {"value": row["risk"]} for row in rows], schema)
        pq.write_table(table, root / folder / name, row_group_size=10)


def vector(row: dict[str, Any]) -> list[float]:
    """The embedding of a picture: a duplicate's has cosine .95 with that of its kept one, any two others' have 0."""
    draw = random.Random(row["nearest"] or row["key"])
    angle = draw.uniform(0, 1) + (math.acos(NEAR) if row["nearest"] else 0)
    return [2 * math.cos(angle), 2 * math.sin(angle)]


def edges(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Near couples: each duplicate with its kept pair, cosines .901 and up, and neighbours up to .9; one leads away."""
    places = {row["key"]: number for number, row in enumerate(rows)}
    same = [
        {"one": places[row["nearest"]], "other": number, "cos": 0.901 + number / 1000}
        for number, row in enumerate(rows)
        if row["nearest"] in places
    ]
    apart = [{"one": n, "other": n + 1, "cos": 0.85 + n / 1000} for n in range(51)]
    return [*same, *apart, {"one": 3, "other": len(rows) + 7, "cos": 0.99}]


def _write_edges(root: Path, rows: list[dict[str, Any]]) -> None:
    folder = root / "ledger" / "curate" / "edges"
    folder.mkdir(parents=True)
    schema = pa.schema({"one": pa.int32(), "other": pa.int32(), "cos": pa.float64()})
    for part in (0, 1):
        table = pa.Table.from_pylist(edges(rows)[part::2], schema)
        pq.write_table(table, folder / f"cell-{part:05d}-of-00002.parquet", row_group_size=10)


def _write_embeddings(root: Path, rows: list[dict[str, Any]]) -> None:
    folder = root / "embeddings" / SLUG
    folder.mkdir(parents=True)
    left = iter(rows)
    schema = pa.schema({"key": pa.string(), "image": pa.list_(pa.float16(), 2)})
    for path in sorted((root / "curated").glob("*.parquet")):
        mine = [*islice(left, pq.read_metadata(path).num_rows)]
        vectors = [None if row["reason"] == Reason.NO_EMBEDDING else np.float16(vector(row)) for row in mine]
        table = pa.Table.from_pydict({"key": [row["key"] for row in mine], "image": vectors}, schema)
        pq.write_table(table, folder / path.name, row_group_size=10)
