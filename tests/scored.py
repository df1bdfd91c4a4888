"""Makes a root scored, for tests of what reads scores: `scores/` and `ledger/revalidate/` beside its images.

A root of roots.py in, its rows of scores out:

    make_root(root)
    rows = make_scored(root)        # the rows of scores/, in the order of the pairs

Pair number i has the cause MIX[i % len(MIX)], and figures such as that cause leaves behind. No model is run.
"""

from __future__ import annotations

import io
import json
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from builder.disk import files, ledger
from builder.disk.parquet import writer
from builder.disk.schema import SCORED, SCORES
from builder.reasons import KEPT, Cause, Verdict
from builder.web.hostname import host_of

STAGE = "revalidate"
DECISION = "d" * 16
CHECKPOINT = {
    "model": "google/siglip2-base-patch16-256",
    "name": "siglip2-base-patch16-256",
    "revision": "0" * 40,
    "fingerprint": "f" * 32,
}
MIX = (
    *(Cause.HASH, Cause.CODE, Cause.CAPTION, Cause.UNRELATED, Cause.HASH),
    *(Cause.PHASH_CLUSTER, Cause.HASH, Cause.CODE, Cause.CODE_CLUSTER, Cause.HASH),
    *(Cause.HASH, Cause.MIN_SCORE, Cause.CAPTION, Cause.UNRELATED, Cause.HASH),
    *(Cause.NO_PICTURE, Cause.CODE, Cause.HASH, Cause.CODE, Cause.HASH),
)
VERDICT = {
    Cause.NO_PICTURE: Verdict.DEAD,
    Cause.HASH: Verdict.SAME,
    Cause.PHASH_CLUSTER: Verdict.PLACEHOLDER,
    Cause.CODE_CLUSTER: Verdict.PLACEHOLDER,
    Cause.CODE: Verdict.MOVED,
    Cause.CAPTION: Verdict.MATCHING,
    Cause.UNRELATED: Verdict.DRIFTED,
    Cause.MIN_SCORE: Verdict.MATCHING,
}
# Mean score, code distance and p-values (code, caption) of each cause; the recorded score is always about 0.12.
FIGURES: dict[Cause, tuple[float, int | None, float | None, float | None]] = {
    Cause.HASH: (0.12, 0, None, None),
    Cause.CODE: (0.11, 9, 0.0002, 0.001),
    Cause.CAPTION: (0.10, 70, 0.2, 0.0003),
    Cause.MIN_SCORE: (0.03, 80, 0.3, 0.0004),
    Cause.UNRELATED: (-0.02, 128, 0.5, 0.6),
    Cause.PHASH_CLUSTER: (-0.01, 126, 0.4, 0.5),
    Cause.CODE_CLUSTER: (-0.01, 127, 0.4, 0.5),
}
EQUAL = {Cause.PHASH_CLUSTER: 0xABCD, Cause.CODE_CLUSTER: 0xEF01}


@dataclass(frozen=True, slots=True)
class Scoring:
    """How a root is scored. mix: causes, dealt in turn; decided: after pass 2; row_group: of scores/."""

    mix: Sequence[Cause] = MIX
    decision: str = DECISION
    alpha: float = 0.01
    decided: bool = True
    row_group: int = 10


def score(pair: dict[str, Any], cause: Cause) -> dict[str, Any]:
    """A row of scores/ such as a pair of this cause has."""
    draw = random.Random(pair["key"])
    row: dict[str, Any] = dict.fromkeys(SCORES.names) | {
        "key": pair["key"],
        "host": host_of(pair["url"]),
        "caption_hash": xxhash.xxh3_64_intdigest((pair["alt_text"] or "").encode()),
        "same": cause == Cause.HASH,
        "phash": EQUAL.get(cause, int(pair["phash"], 16)),
        "verdict": VERDICT[cause],
        "cause": cause,
        "suspect": cause == Cause.CAPTION and draw.random() < 0.3,
        "kept": VERDICT[cause] in KEPT and cause != Cause.MIN_SCORE,
    }
    if cause == Cause.NO_PICTURE:
        return row | {"phash": None}
    mean, distance, p_code, p_caption = FIGURES[cause]
    recorded, found = draw.gauss(0.12, 0.02), draw.gauss(mean, 0.01)
    code = draw.randbytes(32) if cause not in EQUAL else EQUAL[cause].to_bytes(32)
    tested = p_code is not None and p_caption is not None
    return row | {
        "score_alt_text": found,
        "score_recaption": None if pair["recaption"] is None else found + 0.01,
        "code": code,
        "code_distance": distance,
        "score_change": 0.0 if cause == Cause.HASH else found - recorded,
        "p_code": p_code,
        "p_caption": p_caption,
        "p": min(1.0, 2 * min(p_code, p_caption)) if tested and cause not in EQUAL else None,
    }


def make_scored(root: Path, scoring: Scoring | None = None) -> list[dict[str, Any]]:
    """Score the root that roots.make_root made there; the rows of scores/ of all shards, in order."""
    scoring = scoring or Scoring()
    everything: list[dict[str, Any]] = []
    shards = sorted((root / "images").glob("*.parquet"))
    for shard in shards:
        pairs = pq.read_table(shard, columns=["key", "url", "alt_text", "recaption", "phash"]).to_pylist()
        numbers = range(len(everything), len(everything) + len(pairs))
        causes = [scoring.mix[number % len(scoring.mix)] for number in numbers]
        rows = [score(pair, cause) for pair, cause in zip(pairs, causes, strict=True)]
        write_scores(root / "scores" / shard.name, rows, scoring)
        _marker(root, shard, rows, scoring)
        everything += rows
    _plan(root, shards)
    _panel(root, everything)
    if scoring.decided:
        files.write_atomic(f"{root}/ledger/{STAGE}/decision.json", _json(decision(everything, scoring)))
    return everything


def write_scores(path: Path, rows: list[dict[str, Any]], scoring: Scoring) -> None:
    """One file of scores/."""
    path.parent.mkdir(exist_ok=True)
    said = CHECKPOINT | {"preprocessing": "fast", "dtype": "bfloat16", "caption": "alt_text"}
    said |= {"projection": "1", "panel": "0" * 16, "reference": "e" * 32}
    said |= {"decision": scoring.decision} if scoring.decided else {}
    columns = SCORES if scoring.decided else SCORED
    schema = columns.with_metadata({b"danqing": json.dumps(said).encode()})
    with writer(path, schema) as file:
        for start in range(0, len(rows), scoring.row_group):
            part = rows[start : start + scoring.row_group]
            file.write_table(pa.Table.from_pylist(part, schema))


def decision(rows: list[dict[str, Any]], scoring: Scoring) -> dict[str, Any]:
    """What pass 2 writes last: the counts, the level and its bound."""
    hosts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        hosts[row["host"]][row["verdict"]] += 1
    tested = [row["p"] for row in rows if row["p"] is not None]
    pi0 = min(1.0, 2 * sum(p > 0.5 for p in tested) / max(len(tested), 1))
    passed = sum(row["verdict"] in (Verdict.MOVED, Verdict.MATCHING) for row in rows)
    return {
        "decision": scoring.decision,
        "alpha": scoring.alpha,
        "rows": len(rows),
        "min_score": 0.05 if Cause.MIN_SCORE in scoring.mix else None,
        "keep": list(KEPT),
        "verdicts": Counter(row["verdict"] for row in rows),
        "causes": Counter(row["cause"] for row in rows),
        "kept": sum(row["kept"] for row in rows),
        "suspects": sum(row["suspect"] for row in rows),
        "tested": len(tested),
        "pi0": pi0,
        "threshold": scoring.alpha * passed / max(len(tested), 1),
        "lowest_p": min(tested, default=None),
        "bound": scoring.alpha * pi0,
        "hosts": hosts,
        "checkpoint": CHECKPOINT,
        "rebuild_dropped": 0,
    }


def _marker(root: Path, shard: Path, rows: list[dict[str, Any]], scoring: Scoring) -> None:
    dropped = [row for row in rows if not row["kept"]] if scoring.decided else []
    why = [row["cause"] if row["cause"] == Cause.MIN_SCORE else row["verdict"] for row in dropped]
    hosts = Counter(row["host"] for row in dropped)
    each = Counter(row["host"] for row in rows)
    tally = ledger.Tally(
        rows=len(rows),
        kept=len(rows) - len(dropped),
        reasons=Counter(map(str, why)),
    )
    scores = root / "scores" / shard.name
    told: ledger.WrittenFile = {
        "rows": len(rows),
        "bytes": scores.stat().st_size,
        "xxh3_128": files.file_digest(scores),
    }
    ledger.ShardLedger.of(
        STAGE,
        shard.stem,
        tally,
        inputs={f"images/{shard.name}": {"rows": len(rows), "xxh3_128": files.file_digest(shard)}},
        outputs={f"scores/{shard.name}": told},
        hosts={host: [each[host] - lost, lost] for host, lost in hosts.items()},
        config="c" * 16,
        seconds=1.0,
    ).write(str(root))


def _plan(root: Path, shards: list[Path]) -> None:
    rows: Counter[str] = Counter()
    for shard in shards:
        rows[shard.name.split("-")[0]] += pq.read_metadata(shard).num_rows
    plan = {
        "stage": STAGE,
        "version": "0.1.0",
        "rows": rows,
        "shards": Counter(shard.name.split("-")[0] for shard in shards),
        "config": {"model": CHECKPOINT["model"], "caption": "alt_text"},
        "config_hash": "c" * 16,
        "checkpoint": CHECKPOINT,
    }
    files.write_atomic(f"{root}/ledger/{STAGE}/plan.json", _json(plan))


def _panel(root: Path, rows: list[dict[str, Any]], dim: int = 16) -> None:
    """Embeddings whose cosines are the scores: the caption is the picture turned away by the angle of the score."""
    intact = sorted((row for row in rows if row["score_alt_text"] is not None), key=lambda row: row["key"])
    draw = np.random.default_rng(0)
    image = _unit(draw.normal(size=(len(intact), dim)))
    other = draw.normal(size=image.shape)
    other = _unit(other - (other * image).sum(1, keepdims=True) * image)
    cosine = np.array([row["score_alt_text"] for row in intact]).reshape(-1, 1)
    caption = cosine * image + np.sqrt(1 - cosine**2) * other
    file = io.BytesIO()
    keys = np.array([row["key"] for row in intact], "S32")
    np.savez(file, keys=keys, image=image.astype("f4"), caption=caption.astype("f4"))
    files.write_atomic(f"{root}/ledger/{STAGE}/panel.npz", file.getvalue())


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()
