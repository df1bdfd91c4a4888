"""Makes small releases by hand, for tests of what describes them: real Parquet shards, and the Release of them.

release, schema = publish(tmp_path, Made(what="images"))    # tmp_path/images/*.parquet, changes/, removals/
"""

from __future__ import annotations

import datetime
import hashlib
import io
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from builder.card import funnel
from builder.card.counts import Counts
from builder.card.words import COLUMNS
from builder.disk.parquet import HUGGINGFACE, writer
from builder.disk.release import Release
from builder.disk.schema import IMAGES, PAIR, TIMESTAMP, pair_key
from builder.disk.tars import TarWriter
from builder.reasons import KEPT, Verdict

FETCHED = datetime.datetime(2026, 11, 2, 3, 4, 5, tzinfo=datetime.UTC)
CARRIED = [pa.field("similarity", pa.float32()), pa.field("tags", pa.list_(pa.string()))]
HOSTS = ("img.alicdn.com", "gimg2.baidu.com", "i0.wp.com", "图片.中国", "cdn.example.org", "xn--fiqs8s.test")
MODEL = {
    "model": "google/siglip2-base-patch16-256",
    "name": "siglip2-base-patch16-256",
    "revision": "a" * 40,
    "fingerprint": "0123456789abcdef" * 2,
    "preprocessing": "fast",
    "caption": "alt_text",
}
_DEALT = (*(Verdict.SAME,) * 6, *(Verdict.MOVED,) * 2, Verdict.MATCHING, Verdict.DRIFTED)


@dataclass(frozen=True)
class Made:
    """What to publish. rows: by split; dropped: images keep rows with kept=false; parts: changes/ and removals/."""

    what: str = "manifest"
    validated: bool = True
    rows: tuple[tuple[str, int], ...] = (("train", 60), ("validation", 20))
    shards: int = 2
    dropped: bool = False
    parts: bool = True
    tars: bool = False


def schema_of(made: Made) -> pa.Schema:
    """The columns, in the order of the guide."""
    captions = [PAIR.field(name) for name in ("url", "alt_text", "recaption")]
    size = [pa.field("width", pa.int32()), pa.field("height", pa.int32())]
    hashes = [pa.field("sha256", pa.string()), pa.field("phash", pa.string())]
    judged = [pa.field("score", pa.float32()), pa.field("score_model", pa.string())]
    verdict = [pa.field("verdict", pa.string()), pa.field("suspect", pa.bool_())]
    fetched = pa.field("fetched_at", TIMESTAMP)
    if made.what == "manifest":
        code = [pa.field("code", pa.binary()), *judged, *verdict] if made.validated else []
        return pa.schema([*captions, *CARRIED, PAIR.field("key"), *size, *hashes, *code, fetched])
    after = [*judged, pa.field("p", pa.float32()), *verdict, pa.field("kept", pa.bool_())]
    picture = [IMAGES.field(name) for name in IMAGES.names[4:]]
    fields = [*PAIR, *CARRIED, *picture, *(after if made.validated else [])]
    return pa.schema(fields, metadata=HUGGINGFACE)


def pair(number: int, made: Made) -> dict[str, Any]:
    """One row with all columns; the schema takes those it has."""
    url = f"https://{HOSTS[number * number % 17 % len(HOSTS)]}/p/{number}.jpg"
    alt_text = "图" * (5 + number % 23)
    verdict = _DEALT[number % len(_DEALT)]
    if not made.dropped and verdict not in KEPT:
        verdict = Verdict.SAME
    side = 120 + 37 * number % 1500
    return {
        "key": pair_key(url, alt_text),
        "url": url,
        "alt_text": alt_text,
        "recaption": None if number % 5 == 0 else "改写的说明" * (1 + number % 4),
        "similarity": number / 100,
        "tags": ["图", str(number)],
        "image": {"bytes": jpeg(number), "path": f"{number}.jpg"},
        "width": side,
        "height": side + 40,
        "original_width": side,
        "original_height": side + 40,
        "sha256": f"{number:064x}",
        "phash": f"{number:016x}",
        "format": "png" if number % 7 == 0 else "jpeg",
        "code": bytes([number % 256]) * 32,
        "score": 0.05 + (number % 31) / 200,
        "score_model": MODEL["name"],
        "p": None if verdict == Verdict.SAME else 0.001,
        "verdict": verdict,
        "suspect": verdict == Verdict.MATCHING and number % 2 == 0,
        "kept": verdict in KEPT,
        "fetched_at": FETCHED + datetime.timedelta(minutes=number),
    }


def jpeg(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (number % 256, 99, 128)).save(file, "JPEG")
    return file.getvalue()


def publish(folder: Path, made: Made = Made()) -> tuple[Release, pa.Schema]:
    """Write the shards of a release; its card is not written yet."""
    schema, counts = schema_of(made), Counts()
    files: dict[str, dict[str, Any]] = {}
    first = 0
    for split, rows in made.rows:
        for shard in range(made.shards):
            stem = f"{split}-{shard:05d}-of-{made.shards:05d}"
            path = f"{made.what}/{stem}.{'tar' if made.tars else 'parquet'}"
            numbers = range(first + shard * rows // made.shards, first + (shard + 1) * rows // made.shards)
            table = pa.Table.from_pylist([pair(number, made) for number in numbers], schema)
            files[path] = write(folder / path, table)
            counts.add(split, table)
            counts.file(split, files[path]["bytes"])
        first += rows
    if made.parts:
        for name in COLUMNS:
            file = "v2026.11.parquet" if name == "changes" else "removals.parquet"
            one = dict.fromkeys(COLUMNS[name].names, "x")
            files[f"{name}/{file}"] = write(
                folder / name / file, pa.Table.from_pylist([one] * 3, COLUMNS[name])
            )
    return _release(made, counts, files), schema


def write(path: Path, table: pa.Table) -> dict[str, Any]:
    """Write one file; its entry in release.json."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tar":
        tar = TarWriter(path, path.stem)
        tar.write_table(table)
        tar.close()
    else:
        with writer(path, table.schema) as file:
            file.write_table(table, row_group_size=10)
    data = path.read_bytes()
    return {"rows": table.num_rows, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _release(made: Made, counts: Counts, files: dict[str, dict[str, Any]]) -> Release:
    kept = counts.kept
    verdicts = Counter(counts.verdicts) + Counter({"drifted": 31, "placeholder": 12, "dead": 3})
    left_out = {"dead": 3, "drifted": 31, "min_score": 2, "placeholder": 12} if made.validated else {}
    fetched = kept + sum(left_out.values()) + 4
    reasons = {"http_4xx": 220, "dns": 101, "timeout": 61, "not_image": 40, "connect": 33, "tls": 12}
    reasons |= {"opt_out": 9, "corrupt": 5, "truncated": 4, "http_5xx": 3, "throttled": 1}
    decision = {"alpha": 0.01, "bound": 0.000734, "decision": "d" * 32, "keep": [*KEPT], "min_score": 0.05}
    decision |= {"pi0": 0.0734, "suspects": 7, "tested": 61, "threshold": 0.003}
    told = {
        "manifest": fetched + sum(reasons.values()) + 10,
        "pending": 10,
        "reasons": reasons,
        "fetched": fetched,
        "verdicts": dict(verdicts) if made.validated else {},
        "left_out": left_out,
        "decision": decision if made.validated else {},
        "options": {"encode": "jpeg", "quality": 95, "image_size": 256, "resize": "keep-ratio"},
        "removed": 4,
    }
    release = Release(
        what=made.what,
        version="v2026.11",
        created_at="2026-11-20T10:11:12Z",
        validated=made.validated,
        license="cc-by-nc-4.0",
        source="DeepGlint-AI/DanQing100M",
        files=dict(sorted(files.items())),
        counts=counts.as_dict(),
        funnel=told,
        model=MODEL if made.validated else {},
        previous="v2026.08",
        dropped={"removed": 3, "drifted": 17},
        removed=3 if made.parts else 0,
        danqing="0.3.0",
    )
    before = replace(
        release, version="v2026.08", created_at="2026-08-01T00:00:00Z", dropped={}, previous=None
    )
    return replace(release, funnel=release.funnel | {"revisions": funnel.revisions(before)})
