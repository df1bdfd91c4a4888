"""Pass 2 on roots that are not whole or do not fit together: one line, and nothing is overwritten."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.cli import main
from builder.disk import ledger
from builder.errors import InputError
from tests.revalidate.smallroot import ROWS, SAID, STEMS, files_of, make, run, scored, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path)


# What is done to the second shard, the folder of the file that is named, and words of the message.
BROKEN = [
    ("truncated", "scores", "Parquet magic bytes not found"),
    ("rows", "scores", "59 rows, but images/ has 60"),
    ("keys", "scores", "its keys are not those of images/"),
    ("model", "scores", "scored with fingerprint other"),
    ("nameless", "scores", "it names no checkpoint"),
    ("column", "scores", "column phash is missing"),
    ("type", "scores", "column code is fixed_size_binary[32], not binary"),
    ("code", "scores", "a code that has not 256 bits"),
    ("gone", "scores", "no such file"),
    ("image", "images", "truncated: it ends after"),
]


def spoil(root: Path, how: str) -> None:
    stem = STEMS[1]
    path, columns = root / "scores" / f"{stem}.parquet", scored(stem)
    if how in ("truncated", "image"):
        path = root / "images" / path.name if how == "image" else path
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "gone":
        path.unlink()
    elif how == "column":
        pq.write_table(pq.read_table(path).drop_columns(["phash"]), path)
    elif how == "type":
        table = pq.read_table(path)
        fixed = pa.array([bytes(32)] * ROWS, pa.binary(32))
        pq.write_table(table.set_column(table.schema.get_field_index("code"), "code", fixed), path)
    elif how == "rows":
        write(path, {name: values[1:] for name, values in columns.items()})
    elif how == "keys":
        write(path, columns | {"key": columns["key"][::-1]})
    elif how == "code":
        write(path, columns | {"code": [b"short"] * ROWS})
    else:
        write(path, columns, {} if how == "nameless" else SAID | {"fingerprint": "other"})


@pytest.mark.parametrize(("how", "folder", "words"), BROKEN)
def test_a_file_that_does_not_fit_is_one_line_and_nothing_is_overwritten(
    root: Path, capsys: pytest.CaptureFixture[str], how: str, folder: str, words: str
) -> None:
    spoil(root, how)
    before = files_of(root)
    assert main(["revalidate", str(root), "--decide"]) == 3
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"danqing: {root}/{folder}/{STEMS[1]}.parquet: ")
    assert words in error
    assert files_of(root) == before


def test_a_root_half_scored_says_how_many_are_missing(root: Path) -> None:
    for stem in STEMS[:2]:
        Path(ledger.marker(str(root), "revalidate", stem)).unlink()
    before = files_of(root)
    with pytest.raises(
        InputError, match=r"2 of 3 shards are not scored, train-00000-of-00002 for one; danqing reval"
    ):
        run(root)
    assert files_of(root) == before


def test_a_shard_rebuilt_since_it_was_scored_counts_as_missing(root: Path) -> None:
    (one, *_) = ledger.read_all(str(root), "revalidate")
    inputs: dict[str, ledger.ReadFile] = {
        f"images/{one.shard}.parquet": {"rows": 60, "xxh3_128": "of another file"}
    }
    dataclasses.replace(one, inputs=inputs).write(str(root))
    with pytest.raises(InputError, match="1 of 3 shards are not scored"):
        run(root)
