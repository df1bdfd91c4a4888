"""Earlier data sets: what is there always wins, by embeddings of one checkpoint or by what a release recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.console import Console
from builder.curate.against import CODE_NEAR, Own, matches, roots_and_releases
from builder.disk.digests import KEY
from builder.disk.schema import saying
from builder.errors import InputError
from tests.curate.world import Root, units

PLAIN = {"blur": "0", "entropy": "0"}
VECTORS = units(np.array([[1, 0, 0], [1, 0.1, 0], [0, 1, 0], [0, 0, 1]]))


def manifest(path: Path, rows: list[dict[str, Any]], model: str = "m") -> str:
    schema = pa.schema(
        [
            pa.field("key", pa.string()), pa.field("sha256", pa.string()), pa.field("phash", pa.string()),
            pa.field("code", pa.binary()),
        ]
    )  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, saying(schema, {"name": model, "fingerprint": "f"})), path)
    return str(path)


def test_what_an_earlier_root_serves_wins(tmp_path: Path) -> None:
    """The earlier one has a picture of the first kind, and one of the third that it does not serve itself."""
    earlier = Root(
        tmp_path / "earlier", units(np.array([[1, 0.05, 0], [0, 1, 0.01]])), 1, measures={"spread": [40, 0]}
    )
    assert earlier.reasons(**PLAIN) == [None, "flat"]
    root = Root(tmp_path / "root", VECTORS, 2)
    found = root.curate(against=str(earlier.path), **PLAIN)
    rows = [found[root.key(row)] for row in range(4)]
    assert [row["reason"] for row in rows] == ["known", "known", None, None]
    assert {row["nearest"] for row in rows[:2]} == {earlier.key(0)}
    assert [row["dup_count"] for row in rows] == [3, 3, 1, 1]
    assert root.reasons(decide=True, dedup_cosine=0.9999, **PLAIN) == [None] * 4


def test_an_earlier_root_without_embeddings_is_refused(tmp_path: Path) -> None:
    earlier, root = Root(tmp_path / "earlier", VECTORS, 1), Root(tmp_path / "root", VECTORS, 1)
    for path in (earlier.path / "embeddings").rglob("*.parquet"):
        path.unlink()
    with pytest.raises(
        InputError, match=r"earlier: train-00000\S+ has no embeddings by tiny.*run danqing curate"
    ):
        root.curate(against=str(earlier.path), **PLAIN)


def test_a_release_wins_by_the_bytes_of_a_picture(tmp_path: Path) -> None:
    root = Root(tmp_path / "root", VECTORS, 2)
    rows = [
        {"key": "b" * 32, "sha256": f"{2:064x}"},
        {"key": "a" * 32, "sha256": f"{2:064x}"},
        {"key": "c" * 32},
    ]
    found = root.curate(against=manifest(tmp_path / "release.parquet", rows), **PLAIN)
    rows = [found[root.key(row)] for row in range(4)]
    assert [row["reason"] for row in rows].count("known") == 1
    assert (rows[2]["reason"], rows[2]["nearest"]) == ("known", "a" * 32)


def own(**told: Any) -> Own:
    plain: dict[str, Any] = {
        "sha256": np.array([bytes([n]) * 16 for n in range(1, 4)], KEY), "phash": np.array([7, 7, 9], np.uint64),
        "hashed": np.array([True, True, True]), "rich": np.array([True, False, True]), "code": None, "model": (),
    }  # fmt: skip
    return Own(**(plain | told))


def test_a_perceptual_hash_alone_counts_for_rich_pictures(tmp_path: Path) -> None:
    file = manifest(tmp_path / "r.parquet", [{"key": "a" * 32, "sha256": None, "phash": f"{7:016x}"}])
    assert matches(own(), [file])["row"].to_pylist() == [0]
    assert matches(own(hashed=np.array([False, True, True])), [file])["row"].to_pylist() == []


def test_codes_count_where_one_checkpoint_made_both(tmp_path: Path) -> None:
    """A code of as many other bits as copies have agrees, one of more does not; of another checkpoint none counts."""
    code = np.zeros((3, 32), np.uint8)
    for bits, rows in ((CODE_NEAR, [0, 1]), (CODE_NEAR + 1, [])):
        theirs = np.packbits(np.arange(256) < bits).tobytes()
        row = {"key": "a" * 32, "sha256": None, "phash": f"{7:016x}", "code": theirs}
        file = manifest(tmp_path / "r.parquet", [row])
        assert matches(own(code=code, model=("m", "f")), [file])["row"].to_pylist() == rows
        assert matches(own(code=code, model=("other", "f")), [file])["row"].to_pylist() == [0]


def test_what_is_neither_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"url": ["http://a.test/1.jpg"]}), tmp_path / "m.parquet")
    with pytest.raises(InputError, match=r"m\.parquet: no root with embeddings, and no release"):
        roots_and_releases([str(tmp_path / "m.parquet")], Console(quiet=True).info)


def test_an_earlier_root_that_serves_others_now_is_compared_anew(tmp_path: Path) -> None:
    """What the earlier root drops by new thresholds wins no more; --decide alone cannot know it."""
    earlier = Root(tmp_path / "earlier", units(np.array([[1, 0.05, 0]])), 1, measures={"spread": [40]})
    earlier.curate(**PLAIN)
    root = Root(tmp_path / "root", VECTORS, 2)
    against = str(earlier.path)
    assert root.reasons(against=against, **PLAIN) == ["known", "known", None, None]
    earlier.curate(decide=True, spread=50, **PLAIN)
    with pytest.raises(InputError, match="what --against serves, is another"):
        root.curate(decide=True, **PLAIN)
    assert root.reasons(against=against, **PLAIN).count("known") == 0
