"""Roots to report on: real pictures, hostile words, and for every pair an outcome, a score and a verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from builder.disk.schema import OUTCOMES, pair_key
from tests.roots import jpeg, pair, write_shard
from tests.scored import MIX, Scoring, make_scored

SCRIPT = "<script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\">"
# Captions and URLs that want to leave their place in the page.
HOSTILE: tuple[tuple[str, str], ...] = (
    ("http://a.test/1.jpg", SCRIPT),
    ("javascript:document.title='ran'//x", '"onmouseover="document.title=1" x="'),
    ("http://b.test/\u202egnp.exe\u202d", "图片\u202e倒过来\u2066的"),
    ("http://c.test/nul", "零\x00字符\x1b[31m和\ufeff记号"),
    ("http://d.test/" + "路" * 500, "长" * 500),
    ("http://e.test/" + "x" * 500, "w" * 500),
    ("http://f.test/long", "一万个字" * 2500),
    ("http://<b>g</b>.test/&amp;{{ 7 * 7 }}", "{{ 7 * 7 }}{% raw %}&lt;b&gt;"),
    ("http://h.test/z", "Z\u0353\u0354\u0355\u0356" * 40),
)


def pairs(count: int) -> list[dict[str, Any]]:
    """`count` pairs of roots.py, of which the first have hostile words; every seventh picture is broken."""
    rows = [
        pair(number, b"GIF89a no picture" if number % 7 == 6 else jpeg(number, 40)) for number in range(count)
    ]
    for row, (url, caption) in zip(rows, HOSTILE, strict=False):
        row |= {"url": url, "alt_text": caption, "recaption": caption, "key": pair_key(url, caption)}
    return rows


def outcome(row: dict[str, Any], reason: str | None) -> dict[str, Any]:
    """The row of outcomes/ of a pair."""
    fate = {"outcome": "dropped" if reason else "kept", "reason": reason}
    return {
        "key": row["key"],
        "url": row["url"],
        **fate,
        "http_status": 404 if reason else 200,
        "attempts": 1,
    }


def lost(count: int) -> list[dict[str, Any]]:
    """Outcomes of pairs without a picture; the last URL is hostile."""
    rows = [pair(10_000 + number) for number in range(count)]
    rows[-1] |= {"url": "http://\u202eevil.test/<script>"}
    return [outcome(row, "http_4xx" if number % 3 else "dns") for number, row in enumerate(rows)]


def plant(
    root: Path, rows: list[dict[str, Any]], dropped: list[dict[str, Any]], scoring: Scoring | None = None
) -> list[dict[str, Any]]:
    """A root of two shards that was rebuilt, scored and decided; its rows of scores/."""
    half = -(-len(rows) // 2)
    for shard, start in enumerate((0, half)):
        stem = f"train-{shard:05d}-of-00002.parquet"
        mine = rows[start : start + half]
        write_shard(root / "images" / stem, mine, row_group=10)
        outcomes = [*(outcome(row, None) for row in mine), *dropped[shard::2]]
        (root / "outcomes").mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(outcomes, OUTCOMES), root / "outcomes" / stem)
    folder = root / "ledger" / "rebuild"
    folder.mkdir(parents=True)
    plan = {"rows": {"train": len(rows) + len(dropped)}, "shards": {"train": 2}}
    (folder / "plan.json").write_text(json.dumps(plan))
    return make_scored(root, scoring or Scoring(mix=MIX))
