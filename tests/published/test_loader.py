"""`load_dataset("danqing")` and stock `load_dataset` on a release: the pairs that are kept, and others on request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest

import danqing

from . import made
from .made import Kind


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / ".cache")
    monkeypatch.delenv("DANQING_ROOT", raising=False)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    kinds = {"images": Kind(), "manifest": Kind(what="manifest"), "unscored": Kind(validated=False)}
    found = {name: tmp_path_factory.mktemp(name) for name in kinds}
    for name, kind in kinds.items():
        made.make(found[name], kind)
    return found


def stream(root: Path, config: str = "pairs", split: str = "train", **options: Any) -> Any:
    return danqing.load(root, config, split=split, streaming=True, **options)


def numbers(rows: Any) -> list[int]:
    """Which pairs of made.py these are, by their codes of width."""
    return [int(row["url"].rpartition("/")[2].removesuffix(".jpg")) for row in rows]


ROWS = [*range(12), *range(100, 110)]
KEPT = [number for number in ROWS if number % 5 != 4]
CHOICES = {"default": ({}, KEPT), "all": ({"verdicts": "all"}, ROWS), "same": ({"verdicts": ["same"]}, KEPT)}
CHOICES |= {
    "drifted": ({"verdicts": "drifted"}, [number for number in ROWS if number % 5 == 4]),
    "none": ({"verdicts": ("dead", "moved")}, []),
    "column": ({"columns": ["url"]}, KEPT),
    "filter": ({"filters": [("width", ">", 120)]}, [number for number in KEPT if number > 100]),
    "filter-and-verdict": ({"filters": [("width", "<", 28)], "verdicts": "drifted"}, [4]),
    "expression": ({"filters": pa.compute.field("width") < 28}, [0, 1, 2, 3, 5, 6, 7]),
    "batch": ({"batch_size": 2}, KEPT),
}


@pytest.mark.parametrize("config", ["pairs", "manifest"])
@pytest.mark.parametrize("name", CHOICES)
def test_kept_pairs_unless_others_are_asked_for(folders: dict[str, Path], name: str, config: str) -> None:
    options, expected = CHOICES[name]
    rows = list(stream(folders["images"], config, **options))
    assert numbers(rows) == expected
    if name == "default":
        assert ("image" in rows[0]) == (config == "pairs")
        assert all(row["kept"] for row in rows)


def test_as_a_table_too(folders: dict[str, Path]) -> None:
    assert numbers(danqing.load(folders["images"], split="train")) == KEPT
    assert numbers(danqing.load(folders["images"], split="validation", verdicts="all")) == [*range(200, 206)]


def test_by_row_groups(folders: dict[str, Path]) -> None:
    pairs = stream(folders["images"]).reshard()
    assert pairs.num_shards == 5
    assert numbers(pairs) == KEPT


def test_with_a_validation_split(folders: dict[str, Path]) -> None:
    root = str(folders["images"] / "images/train-*.parquet")
    parts = {
        split: numbers(stream(folders["images"], split=split, validation=0.3, data_files={"train": root}))
        for split in ("train", "validation")
    }
    assert parts["validation"]
    assert sorted([*parts["train"], *parts["validation"]]) == KEPT


def test_manifest_of_a_release(folders: dict[str, Path]) -> None:
    """changes/ and removals/ lie beside it, and are none of its pairs."""
    kept = [[number for number in range(first, first + 20) if number % 5 != 4] for first in (0, 100)]
    assert numbers(stream(folders["manifest"], "manifest")) == [*kept[0][:12], *kept[1][:10]]
    assert numbers(stream(folders["manifest"], "manifest", verdicts="drifted")) == []
    found = next(iter(stream(folders["manifest"], "manifest", split="validation")))
    assert (found["verdict"], len(found["code"])) == ("same", 32)


def test_a_release_without_verdicts(folders: dict[str, Path]) -> None:
    assert len(list(stream(folders["unscored"]))) == 22
    with pytest.raises(ValueError, match=r"verdicts= needs a root with scores or a release with verdicts"):
        stream(folders["unscored"], verdicts="same")


def test_columns_of_others_that_are_called_so_choose_nothing(tmp_path: Path) -> None:
    """A root that carries `kept` and `verdict` from its manifest, and says nothing of a checkpoint."""
    shard = made.table(Kind(), 0, 12)
    metadata = {name: value for name, value in shard.schema.metadata.items() if name != b"danqing"}
    made.put(tmp_path / "images/train-00000-of-00001.parquet", shard.replace_schema_metadata(metadata))
    assert numbers(stream(tmp_path)) == [*range(12)]


@pytest.mark.parametrize("streaming", [True, False])
def test_stock_datasets_honours_the_filters_of_the_card(folders: dict[str, Path], streaming: bool) -> None:
    """With no code of ours, and in a table with the sizes of the card verified."""
    root = str(folders["images"])
    rows = list(datasets.load_dataset(root, split="train", streaming=streaming))
    assert numbers(rows) == KEPT
    assert rows[3]["image"].size == (rows[3]["width"], rows[3]["height"])
    assert len(list(datasets.load_dataset(root, split="validation", streaming=streaming))) == 5


@pytest.mark.parametrize("name", ["manifest", "unscored"])
def test_stock_datasets_reads_what_has_no_filters(folders: dict[str, Path], name: str) -> None:
    found = datasets.load_dataset(str(folders[name]))
    assert {split: rows.num_rows for split, rows in found.items()} == {"train": 22, "validation": 6}
