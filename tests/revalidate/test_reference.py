"""What was recorded, found by key: from manifests and roots, whatever the order, and only what compares."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.console import Console
from builder.disk.digests import keys_of
from builder.errors import InputError
from builder.revalidate.reference import BUCKET, Recorded, Reference, find_parts, open_reference
from builder.towers import Checkpoint
from tests.roots import make_root
from tests.scored import CHECKPOINT as SCORED_BY
from tests.scored import make_scored

FINGERPRINT = SCORED_BY["fingerprint"]
CHECKPOINT = Checkpoint(Path("x"), "org/tiny", "tiny", None, FINGERPRINT, kind="siglip")
# With zeros at the end and at the start: bytes that NumPy and C like to drop.
KEYS = [hashlib.md5(bytes([i])).hexdigest() for i in range(50)] + [
    "ab" * 15 + "00",
    "00" * 15 + "ab",
    "00" * 16,
]


def digest(number: int) -> str:
    return hashlib.sha256(bytes([number])).hexdigest()


def manifest(folder: Path, keys: list[str] = KEYS, **columns: Any) -> str:
    """A verified manifest in two files."""
    folder.mkdir()
    numbers = range(len(keys))
    meta = {"danqing": json.dumps(columns.pop("meta", {"fingerprint": FINGERPRINT, "caption": "alt_text"}))}
    table = pa.table({"key": keys, "sha256": [digest(i) for i in numbers], **columns})
    for name in columns:
        if columns[name] is None:
            table = table.drop_columns([name])
    table = table.replace_schema_metadata(meta)
    pq.write_table(table.slice(0, 30), folder / "a.parquet", row_group_size=7)
    pq.write_table(table.slice(30), folder / "b.parquet")
    return str(folder)


def codes(count: int = len(KEYS)) -> Any:
    return pa.array([bytes([i]) * 32 for i in range(count)], pa.binary())


def look(source: str, checkpoint: Checkpoint) -> Recorded:
    return Recorded.of(source, find_parts(source), checkpoint)


def index(source: str, work: Path, bucket: int = BUCKET) -> Reference:
    return open_reference(look(source, CHECKPOINT), work, bucket)


def found(index: Reference, keys: list[str]) -> npt.NDArray[np.void]:
    return index.lookup(keys_of(pa.array(keys))[0])


@pytest.mark.parametrize("bucket", [10, 10_000])
def test_every_key_is_found_with_what_was_recorded(tmp_path: Path, bucket: int) -> None:
    source = manifest(tmp_path / "m", code=codes(), score=[i / 100 for i in range(len(KEYS))])
    got = found(index(source, tmp_path / "work", bucket), [*reversed(KEYS), "12" * 16, "ff" * 16])
    numbers = [*reversed(range(len(KEYS)))]
    assert got["known"].tolist() == [True] * len(KEYS) + [False] * 2
    assert [bytes(row).hex() for row in got["sha256"][:-2]] == [digest(i) for i in numbers]
    assert got["code"][:-2, 31].tolist() == numbers
    assert np.allclose(got["scores"][:-2, 0], np.array(numbers) / 100)
    assert np.isnan(got["scores"][:, 1]).all()
    assert np.isnan(got["scores"][-2:, 0]).all()
    assert not got["hashed"][-2:].any()


def test_the_index_is_built_once(tmp_path: Path) -> None:
    source = manifest(tmp_path / "m")
    index(source, tmp_path / "work")
    (built,) = (tmp_path / "work").glob("reference-*")
    before = (built / "records").stat().st_ino
    assert found(index(source, tmp_path / "work"), KEYS)["known"].all()
    assert (built / "records").stat().st_ino == before
    assert sorted(file.name for file in built.iterdir()) == ["keys", "records"]


def test_nulls_are_not_recorded_and_the_first_of_a_key_counts(tmp_path: Path) -> None:
    keys = [KEYS[0], KEYS[1], KEYS[1], "no key", None, KEYS[2]]
    hashes = [digest(0), digest(1), digest(9), digest(3), digest(4), None]
    pq.write_table(pa.table({"key": keys, "sha256": hashes}), tmp_path / "m.parquet")
    got = found(index(str(tmp_path / "m.parquet"), tmp_path / "work"), KEYS[:3])
    assert got["known"].tolist() == [True, True, False]
    assert bytes(got["sha256"][1]).hex() == digest(1)
    assert not got["coded"].any()


def test_hashes_alone_are_a_reference_for_any_model(tmp_path: Path) -> None:
    source = manifest(
        tmp_path / "m", score=[0.5] * len(KEYS), meta={"fingerprint": "e" * 32, "caption": "alt_text"}
    )
    got = found(index(source, tmp_path / "work"), KEYS)
    assert got["hashed"].all()
    assert np.isnan(got["scores"]).all()


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({"fingerprint": "e" * 32, "model": "org/other"}, "its codes are of org/other"),
        ({}, "of a checkpoint that it does not name"),
    ],
)
def test_codes_of_another_checkpoint_are_refused(tmp_path: Path, meta: dict[str, str], said: str) -> None:
    source = manifest(tmp_path / "m", code=codes(), meta=meta)
    with pytest.raises(InputError, match=rf"{said}.*take that checkpoint by --model, or a reference without"):
        look(source, CHECKPOINT)


def test_what_is_no_verified_manifest_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"url": ["u"], "alt_text": ["t"]}), tmp_path / "m.parquet")
    with pytest.raises(InputError, match=r"needs the column key, and sha256 or code; it has url, alt_text"):
        look(str(tmp_path / "m.parquet"), CHECKPOINT)
    (tmp_path / "m.csv").write_text("key,sha256\na,b\n")
    with pytest.raises(InputError, match="a verified manifest is Parquet"):
        look(str(tmp_path / "m.csv"), CHECKPOINT)
    pq.write_table(pa.table({"key": ["a"], "sha256": ["b"]}), tmp_path / "m.parquet")
    with pytest.raises(InputError, match="no row that has a key and a hash or a code"):
        index(str(tmp_path / "m.parquet"), tmp_path / "work")
    with pytest.raises(InputError, match="no such file"):
        look(str(tmp_path / "none"), CHECKPOINT)


def test_of_an_earlier_root_what_was_kept_is_recorded(tmp_path: Path) -> None:
    keys = make_root(tmp_path / "root", shards=2)
    rows = make_scored(tmp_path / "root")
    got = found(index(str(tmp_path / "root"), tmp_path / "work"), keys)
    assert got["known"].tolist() == [row["kept"] for row in rows]
    assert [bytes(row) for row in got["code"][got["known"]]] == [row["code"] for row in rows if row["kept"]]
    assert bytes(got["sha256"][got["known"]][0]).hex() == f"{int(np.argmax(got['known'])):064x}"


def test_a_root_without_verdicts_is_no_reference(tmp_path: Path) -> None:
    make_root(tmp_path / "root", shards=2)
    with pytest.raises(InputError, match="a root without verdicts; run danqing revalidate on it first"):
        look(str(tmp_path / "root"), CHECKPOINT)
    make_scored(tmp_path / "root")
    next((tmp_path / "root" / "scores").glob("*")).unlink()
    with pytest.raises(InputError, match="no scores/train-"):
        look(str(tmp_path / "root"), CHECKPOINT)


def test_what_compares_less_well_is_said(tmp_path: Path) -> None:
    meta = {"fingerprint": FINGERPRINT, "caption": "alt_text", "preprocessing": "a"}
    source = look(manifest(tmp_path / "m", code=codes(), meta=meta), CHECKPOINT)
    told = io.StringIO()
    source.warn(Console(stream=told), "b", "both")
    assert "scored with preprocessing a, now it is b" in told.getvalue()
    assert "scored with caption alt_text, now it is both" in told.getvalue()
