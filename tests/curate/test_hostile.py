"""Files that somebody else wrote into a root, or wrote over: each is one line that names it, and never a verdict."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.errors import InputError, UsageError
from tests.curate.world import Root, curate, world

PICTURES = "embeddings/*/train-00001-of-00003.parquet"
MEASURED = "measures/train-00001-of-00003.parquet"
CURATED = "curated/train-00001-of-00003.parquet"
NUMBERS, EDGES, TWINS = (
    f"ledger/curate/{name}/*-00000-of-*.parquet" for name in ("numbers", "edges", "twins")
)


@pytest.fixture(scope="module")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A curated root with duplicates, of three shards of 30 pairs."""
    root = Root(tmp_path_factory.mktemp("curated") / "root", world(90, seed=3)).path
    curate(str(root))
    return root


@pytest.fixture
def root(curated: Path, tmp_path: Path) -> Path:
    shutil.copytree(curated, tmp_path / "root")
    return tmp_path / "root"


def write_over(root: Path, pattern: str, change: Callable[[pa.Table], pa.Table]) -> Path:
    """Change the table of a file of the root, and the size that its marker tells of it."""
    (path,) = root.glob(pattern)
    pq.write_table(change(pq.read_table(path)), path)
    name = str(path.relative_to(root))
    for marker in root.glob("ledger/**/*.json"):
        document = json.loads(marker.read_bytes())
        if name in document.get("outputs", {}):
            document["outputs"][name]["bytes"] = path.stat().st_size
            marker.write_text(json.dumps(document))
    return path


def column(name: str, values: Callable[[int], Any]) -> Callable[[pa.Table], pa.Table]:
    """A change of one column; values: of so many rows."""
    return lambda table: table.set_column(
        table.schema.get_field_index(name), name, pa.array(values(len(table)))
    )


def vectors(values: Callable[[np.ndarray], np.ndarray], *names: str) -> Callable[[pa.Table], pa.Table]:
    """A change of columns of embeddings."""

    def change(table: pa.Table) -> pa.Table:
        for name in names:
            found = values(np.array(table[name].to_pylist(), np.float16)).astype(np.float16)
            lists = pa.FixedSizeListArray.from_arrays(pa.array(found.reshape(-1)), found.shape[1])
            table = table.set_column(table.schema.get_field_index(name), name, lists)
        return table

    return change


def shorter(found: np.ndarray) -> np.ndarray:
    """Vectors of length one of fewer dimensions."""
    return np.eye(12)[np.arange(len(found)) % 12]


@pytest.mark.parametrize(
    ("pattern", "change", "said"),
    [
        (MEASURED, column("spread", lambda n: ["x"] * n), "column spread is string, not float"),
        (MEASURED, column("key", lambda n: [{"a": 1}] * n), "column key is struct<a: int64>, not string"),
        (NUMBERS, lambda table: table.slice(3), "27 rows, not 30"),
        (NUMBERS, column("cos", lambda n: [b"x"] * n), "column cos is binary, not double"),
        (NUMBERS, lambda table: table.drop_columns(["key"]), "column key is missing"),
        (EDGES, column("one", lambda n: pa.array([2**31 - 1] * n, pa.int32())), "numbers that no row has"),
        (EDGES, column("other", lambda n: pa.array([-5] * n, pa.int32())), "numbers that no row has"),
        (EDGES, column("one", lambda n: pa.nulls(n, pa.int32())), "numbers that no row has"),
        (TWINS, column("first", lambda n: pa.array([90] * n, pa.int32())), "numbers that no row has"),
        (TWINS, column("row", lambda n: ["x"] * n), "column row is string, not int32"),
        (PICTURES, lambda table: table.slice(3), "27 rows, images/ has 30"),
        (PICTURES, vectors(np.zeros_like, "image"), "a picture that was compared has no embedding any more"),
    ],
)  # fmt: skip
def test_what_decide_goes_by_was_written_over(
    root: Path, pattern: str, change: Callable[[pa.Table], pa.Table], said: str
) -> None:
    path = write_over(root, pattern, change)
    with pytest.raises(InputError) as raised:
        curate(str(root), decide=True, min_side=10)
    assert str(raised.value).startswith(f"{path}: {said}; remove it, and run danqing curate again")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (vectors(lambda found: found * 0 + 60000, "image"), "vectors that are not of length one"),
        (vectors(lambda found: found * 3, "alt_text"), "vectors that are not of length one"),
        (vectors(shorter, "image", "alt_text"), "12 dimensions, others have 24"),
        (lambda table: table.drop_columns(["alt_text"]), "no embeddings of alt_text"),
        (lambda table: table.drop_columns(["key"]), "column key is missing"),
    ],
)  # fmt: skip
def test_embeddings_that_compare_with_nothing(
    tmp_path: Path, change: Callable[[pa.Table], pa.Table], said: str
) -> None:
    made = Root(tmp_path, world(90, seed=3))
    path = write_over(made.path, PICTURES, change)
    with pytest.raises(InputError) as raised:
        curate(str(made.path))
    assert str(raised.value) == f"{path}: {said}; remove it, and the same command makes it anew"


@pytest.mark.parametrize("pattern", [NUMBERS, EDGES, TWINS])
def test_a_lost_file_is_named_by_decide_and_made_anew_by_a_run(
    curated: Path, root: Path, pattern: str
) -> None:
    (path,) = root.glob(pattern)
    (whole,) = curated.glob(pattern)
    path.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"is not as it was written; run danqing curate .* without --decide"):
        curate(str(root), decide=True, min_side=10)
    curate(str(root))
    assert path.read_bytes() == whole.read_bytes()
    assert not (root / "ledger/curate/spool").exists()


@pytest.mark.parametrize("name", ["spread", "sharpness", "entropy"])
def test_a_picture_that_lacks_any_measure_is_corrupt(tmp_path: Path, name: str) -> None:
    values = [None, *[50.0] * 5]
    assert Root(tmp_path, world(6), measures={name: values}).reasons()[0] == "corrupt"


def test_shards_of_no_rows_are_curated(tmp_path: Path) -> None:
    assert Root(tmp_path, world(2)).reasons(blur="0", entropy="0") == [None, None]


@pytest.mark.parametrize("value", [["a"], {"a": 1}, b"\xff"])
def test_a_column_that_names_no_batch_is_refused_by_its_name(tmp_path: Path, value: Any) -> None:
    root = Root(tmp_path, world(6), shards=1, columns={"batch": [value] * 6})
    with pytest.raises(
        UsageError, match=r"train-00000-of-00001\.parquet: batch is .*, which names no batch; --batch"
    ):
        root.curate()
    assert root.reasons(batch="none", blur="0", entropy="0") == [None] * 6


def test_a_plan_without_a_checkpoint_is_refused_by_decide(root: Path) -> None:
    path = root / "ledger/curate/plan.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "checkpoint": {}}))
    with pytest.raises(InputError, match=r"plan\.json does not say fingerprint; run danqing curate"):
        curate(str(root), decide=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"columns": {"original_width": [5] * 6}}, "the filter is strict; danqing curate ROOT --decide --min-side N"),
        ({"columns": {"original_width": [900] * 6, "original_height": [200] * 6}},
         "the filter is strict; danqing curate ROOT --decide --max-aspect N"),
        ({"measures": {"spread": [None] * 6}}, "what is stored cannot be decoded"),
        ({"captions": world(6) * 0}, "hardly a pair has that caption; danqing curate ROOT --caption NAME --overwrite"),
    ],
)  # fmt: skip
def test_advice_on_nothing_kept_is_about_the_curation(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    told = curate(str(Root(tmp_path, world(6), **change).path))
    assert str(told.failure).endswith(f": {said.replace('ROOT', str(tmp_path))}")  # type: ignore[attr-defined]


def test_what_a_killed_rank_was_at_is_forgotten_by_the_run_that_goes_on(root: Path) -> None:
    left = root / "ledger/curate/progress-3.json"
    left.write_text('{"format": 2, "at": "2026-01-01T00:00:00Z", "shards": {}}')
    curate(str(root), decide=True)
    assert not left.exists()


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"key": [1]}, "no release: column key is int64, not text"),
        ({"sha256": [["a"]]}, "no release: column sha256 is list<element: string>, not text"),
        ({"phash": [b"\xff" * 8]}, "no release: column phash is binary, not text"),
    ],
)  # fmt: skip
def test_a_release_of_odd_columns_is_refused_by_name(
    tmp_path: Path, columns: dict[str, Any], said: str
) -> None:
    path = tmp_path / "release.parquet"
    pq.write_table(pa.table({"key": ["a" * 32], "sha256": ["0" * 64]} | columns), path)
    root = Root(tmp_path / "root", world(6)).path
    with pytest.raises(InputError) as raised:
        curate(str(root), against=str(path))
    assert str(raised.value).endswith(f"{path}: {said}")


def test_rows_of_a_release_without_a_key_and_codes_that_are_no_bytes_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "release.parquet"
    columns = {"key": [None, "x" * 1000, "a" * 32], "sha256": [f"{row:064x}" for row in range(3)]}
    pq.write_table(pa.table(columns | {"phash": ["0" * 16] * 3, "code": [1.0] * 3}), path)
    root = Root(tmp_path / "root", world(6))
    rows = root.curate(against=str(path), blur="0", entropy="0")
    known = {key: row["nearest"] for key, row in rows.items() if row["reason"] == "known"}
    assert known == {root.key(0): "a" * 32, root.key(2): "a" * 32}  # by their hash: rich, and equal


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda root: write_over(root, CURATED, column("reason", lambda n: [1] * n)), "reason is int64, not string"),
        (lambda root: write_over(root, CURATED, lambda table: table.slice(3)), "27 rows, images/ has 30"),
        (lambda root: (root / "ledger/curate/decision.json").unlink(), "so nothing is final"),
    ],
)  # fmt: skip
def test_an_earlier_root_whose_verdicts_cannot_be_read_is_refused(
    tmp_path: Path, root: Path, change: Callable[[Path], Any], said: str
) -> None:
    change(root)
    later = Root(tmp_path / "later", world(6)).path
    with pytest.raises(InputError, match=rf"/root/curated/.*{said}; run danqing curate there again"):
        curate(str(later), against=str(root))
