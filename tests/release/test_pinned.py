"""A release after another: pairs stay in their shards, and what is sent again is little."""

import dataclasses
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from builder.disk.release import Release
from builder.disk.removals import Removals
from builder.reasons import Cause
from builder.release import plan as plans
from builder.release.plan import Previous, ReleasePlan
from builder.release.source import open_root
from tests.release.roots import NONE, SOME, opened, scored_root, staging_of
from tests.roots import pair

SHIFTED = (*SOME[:-1], Cause.UNRELATED)  # the last of eight drifted since
BACK = (*SOME[:5], Cause.HASH, *SOME[6:])  # the one that had drifted is kept now
MOST = (Cause.HASH, *[Cause.UNRELATED] * 7)


@pytest.fixture
def first(tmp_path: Path) -> tuple[str, Release]:
    """A release of a scored root, as far as the next one looks at it."""
    staging = staging_of(scored_root(tmp_path, rows=400), tmp_path / "one", what="images", divide_by=4)
    return finish(staging)


def finish(staging) -> tuple[str, Release]:
    from builder.console import Console

    staging.make(0, 2, Console(quiet=True))
    release = Release(
        "images", "v1", "2026-11-01T00:00:00Z", True, "mit", "a/b",
        files=staging.entries(), counts=staging.counts().as_dict(), funnel={},
    )  # fmt: skip
    return str(staging.folder), release


def second(
    tmp: Path, first: tuple[str, Release], removals: Removals = NONE, **options
) -> tuple[ReleasePlan, dict]:
    """The plan of the next release, and its shards by path."""
    from builder.release.columns import columns_of
    from builder.release.staging import Staging

    config, root = opened(tmp / "root", what="images", divide_by=4, **options)
    plan = plans.make(config, root, removals, Previous(*first))
    (tmp / "two").mkdir()
    url, release = finish(Staging(tmp / "two", plan, root, columns_of(root, "images"), None))  # type: ignore[arg-type]
    return plan, {path: pq.read_table(f"{url}/{path}") for path in release.files}


def keys(url: str, path: str) -> list[str]:
    return pq.read_table(f"{url}/{path}", columns=["key"])["key"].to_pylist()


def test_the_same_root_makes_the_same_bytes(tmp_path: Path, first: tuple[str, Release]) -> None:
    plan, _ = second(tmp_path, first)
    assert plan.pinned
    again = {path: (tmp_path / "two" / "stage" / path).read_bytes() for path in first[1].files}
    assert again == {path: Path(first[0], path).read_bytes() for path in first[1].files}


def test_a_pair_that_drifted_stays_where_it_was_and_says_so(
    tmp_path: Path, first: tuple[str, Release]
) -> None:
    scored_root(tmp_path, mix=SHIFTED, decision="e" * 16)
    plan, shards = second(tmp_path, first)
    assert list(shards) == list(first[1].files)
    for path, table in shards.items():
        assert table["key"].to_pylist() == keys(first[0], path)
        assert all((verdict != "drifted") == kept for verdict, kept in zip(*columns(table), strict=True))
    assert plan.rows["flagged"] == 102


def columns(table) -> tuple[list, list]:
    return table["verdict"].to_pylist(), table["kept"].to_pylist()


def test_pictures_of_flagged_pairs_are_at_the_same_bytes(tmp_path: Path, first: tuple[str, Release]) -> None:
    scored_root(tmp_path, mix=SHIFTED, decision="e" * 16)
    second(tmp_path, first)
    path = next(iter(first[1].files))
    assert picture_bytes(Path(first[0], path)) == picture_bytes(tmp_path / "two" / "stage" / path)


def picture_bytes(path: Path) -> list[bytes]:
    """The column image.bytes as it lies in the file, by row group."""
    metadata, whole = pq.read_metadata(path), path.read_bytes()
    found = []
    for number in range(metadata.num_row_groups):
        columns = [metadata.row_group(number).column(index) for index in range(metadata.num_columns)]
        (column,) = (one for one in columns if one.path_in_schema == "image.bytes")
        found.append(whole[column.data_page_offset :][: column.total_compressed_size])
    assert sum(map(len, found)) > 10_000
    return found


def test_new_pairs_come_in_shards_of_their_own_at_the_end(tmp_path: Path, first: tuple[str, Release]) -> None:
    scored_root(tmp_path, mix=BACK, decision="e" * 16)
    plan, shards = second(tmp_path, first)
    train = [path for path in shards if "train" in path]
    old = [path for path in first[1].files if "train" in path]
    assert len(train) == len(old) + 1
    assert train[0].endswith(f"-of-{len(train):05d}.parquet")
    for before, now in zip(old, train, strict=False):
        assert keys(first[0], before) == shards[now]["key"].to_pylist()
    assert shards[train[-1]].num_rows == 100
    assert plan.rows["flagged"] == 0


def test_a_removed_pair_is_taken_out_of_its_shard_and_no_other_is_changed(
    tmp_path: Path, first: tuple[str, Release]
) -> None:
    gone = pair(8)["key"]
    _, shards = second(tmp_path, first, Removals.of([("key", gone, None)]))
    changed = [path for path, table in shards.items() if table["key"].to_pylist() != keys(first[0], path)]
    assert changed == [path for path in first[1].files if gone in keys(first[0], path)]
    assert not any(gone in table["key"].to_pylist() for table in shards.values())


@pytest.mark.parametrize("options", [{"compact": True}, {}], ids=["--compact", "too many were dropped"])
def test_a_fresh_layout(tmp_path: Path, first: tuple[str, Release], options: dict) -> None:
    scored_root(tmp_path, mix=SHIFTED if options else MOST, decision="e" * 16)
    plan, shards = second(tmp_path, first, **options)
    assert not plan.pinned
    assert plan.rows["flagged"] == 0
    kept = Counter(flag for table in shards.values() for flag in table["kept"].to_pylist())
    assert kept == {True: plan.rows["kept"]}


def test_a_root_in_another_order_is_laid_out_anew(tmp_path: Path, first: tuple[str, Release]) -> None:
    url, release = first
    path = next(iter(release.files))
    table = pq.read_table(f"{url}/{path}")
    pq.write_table(table.take([1, 0, *range(2, table.num_rows)]), f"{url}/{path}")
    assert not second(tmp_path, first)[0].pinned


def test_a_pair_that_changed_its_split_is_laid_out_anew(tmp_path: Path, first: tuple[str, Release]) -> None:
    url, release = first
    old, new = "images/validation-00000-of-00001.parquet", "images/test-00000-of-00001.parquet"
    Path(url, old).rename(Path(url, new))
    files = {new if path == old else path: file for path, file in release.files.items()}
    assert not second(tmp_path, (url, dataclasses.replace(release, files=files)))[0].pinned


def test_tars_are_laid_out_anew(tmp_path: Path, first: tuple[str, Release]) -> None:
    config, root = opened(tmp_path / "root", what="images", format="webdataset")
    assert not plans.make(config, root, NONE, Previous(*first)).pinned


def test_a_pair_that_the_root_has_no_more_is_gone(tmp_path: Path, first: tuple[str, Release]) -> None:
    root = open_root(str(tmp_path / "root"))
    shard = Path(root.parts[0].shard.url)
    for folder in ("images", "scores"):
        path = shard.parent.parent / folder / shard.name
        table = pq.read_table(path)
        pq.write_table(table.slice(16), path)
    _, shards = second(tmp_path, first)
    assert pair(0)["key"] in keys(first[0], next(iter(first[1].files)))
    assert not any(pair(0)["key"] in table["key"].to_pylist() for table in shards.values())
