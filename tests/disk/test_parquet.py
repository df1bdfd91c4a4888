"""A Parquet file is opened in one way, and one of which columns are encrypted is refused before Arrow is asked more."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.cli import main
from builder.disk.parquet import parquet
from builder.errors import InputError
from tests.manifest.test_formats import signed

TABLE = pa.table({"key": ["a", "b"]})


@pytest.fixture(params=["local", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    place = str(tmp_path / "x.parquet") if request.param == "local" else f"memory://{tmp_path.name}/x.parquet"
    with fsspec.open(place, "wb") as file:
        pq.write_table(TABLE, file)
    return place


def test_a_file_is_read_where_it_lies(url: str) -> None:
    with parquet(url) as file:
        assert file.read().equals(TABLE)


def test_encrypted_columns_are_told(url: str) -> None:
    with fsspec.open(url, "rb") as file:
        data = file.read()
    with fsspec.open(url, "wb") as file:
        file.write(signed(data))
    with pytest.raises(InputError, match=r"x\.parquet: encrypted Parquet"), parquet(url):
        pass


def test_a_release_with_encrypted_columns_is_told(golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shard,) = (golden / "release-manifest" / "manifest").glob("*.parquet")
    shard.write_bytes(signed(shard.read_bytes()))
    assert main(["verify", str(golden / "release-manifest"), "--quiet"]) == 3
    assert "encrypted Parquet" in capsys.readouterr().err
