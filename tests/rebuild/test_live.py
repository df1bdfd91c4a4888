"""The config `live`: a manifest streamed with its pictures fetched on the way, by the rebuild's own fetcher."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from datasets import IterableDataset, load_dataset

import danqing
from builder.disk.schema import pair_key, validation_share
from builder.errors import InputError, UsageError
from builder.rebuild import live
from tests.faulthost import FaultHost

from .runs import write_manifest

assert danqing.NAME == "danqing"


@pytest.fixture
def web() -> Iterator[FaultHost]:
    with FaultHost(hosts=4) as host:
        yield host


def streamed(manifest: str, **options: Any) -> IterableDataset:
    rebuild = {"allow_private": True, **options.pop("rebuild", {})}
    return load_dataset(
        "danqing", "live", data_files=manifest, split="train", streaming=True, rebuild=rebuild, **options
    )


def urls_of(web: FaultHost, count: int) -> list[str]:
    return [web.url(f"/picture/{i}.jpg", i % 4) for i in range(count)]


def test_pairs_come_in_the_order_of_the_manifest_without_the_dead_ones(
    web: FaultHost, tmp_path: Path
) -> None:
    urls = urls_of(web, 200)
    urls[3], urls[150] = web.url("/status/404/3"), "not a url"
    pairs = list(streamed(write_manifest(tmp_path / "m.parquet", urls)))
    assert [pair["url"] for pair in pairs] == [url for i, url in enumerate(urls) if i not in (3, 150)]
    assert all(min(pair["image"].size) == min(pair["width"], pair["height"]) <= 256 for pair in pairs)
    assert pairs[0]["key"] == pair_key(urls[0], "第0张图片")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timeouts": 1}, r"no option of danqing rebuild: 'timeouts'; .*rebuild=\{'allow_private': True\}"),
        ({1: 2}, "no option of danqing rebuild: 1"),
        ({"retries": "many"}, r"rebuild=\{'retries': 'many'\}: "),
        ({"timeout": -1}, "--timeout -1: must be from"),
    ],
)
def test_options_that_rebuild_has_not_are_refused(options: dict[Any, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        list(live.stream([], None, options))


def test_options_of_rebuild_apply(web: FaultHost, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "m.parquet", urls_of(web, 5))
    pair = next(iter(streamed(manifest, rebuild={"image_size": 16, "resize": "center-crop"})))
    assert pair["image"].size == (16, 16)
    with pytest.raises(UsageError, match="image-size"):
        next(live.stream([manifest], None, {"image_size": 0}))


def test_it_works_ahead_of_the_reader_by_a_bounded_number_of_rows(web: FaultHost, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "m.parquet", urls_of(web, live.AHEAD + 1000))
    tables = live.stream([manifest], None, {"allow_private": True})
    next(tables)
    web.wait_for(live.AHEAD)
    assert web.count() <= live.AHEAD + 2 * live.PIECE
    tables.close()


def test_validation_is_carved_by_key(web: FaultHost, tmp_path: Path) -> None:
    urls = urls_of(web, 100)
    manifest = write_manifest(tmp_path / "m.parquet", urls)
    keys = [pair_key(url, f"第{i}张图片") for i, url in enumerate(urls)]
    options = {"allow_private": True, "validation": 0.3, "part": "validation"}
    got = [key for table in live.stream([manifest], None, options) for key in table["key"].to_pylist()]
    assert got == [key for key in keys if validation_share(key) < 0.3]
    assert web.count() == len(got)


def test_filters_apply_and_those_of_the_manifest_before_a_picture_is_asked_for(
    web: FaultHost, tmp_path: Path
) -> None:
    urls = urls_of(web, 100)
    manifest = write_manifest(tmp_path / "m.parquet", urls)
    wanted = [("alt_text", "in", [f"第{i}张图片" for i in range(0, 100, 10)])]
    assert [pair["url"] for pair in streamed(manifest, filters=wanted)] == urls[::10]
    assert web.count() == 10
    first, second, *_ = streamed(manifest)
    for filters in ([("sha256", "==", first["sha256"])], pc.field("sha256") == first["sha256"]):
        found = [pair["url"] for pair in streamed(manifest, filters=filters)]
        assert urls[0] in found
        assert (second["sha256"] == first["sha256"]) == (urls[1] in found)
    before = web.count()
    assert [*streamed(manifest, filters=[*wanted, ("width", ">", 10_000)])] == []
    assert web.count() == before + 10
    both = streamed(manifest, filters=[("key", "==", pair_key(urls[7], "第7张图片"))], columns=["url"])
    assert [*both] == [{"url": urls[7]}]


@pytest.mark.parametrize("filters", [[("clip", ">", 1)], pc.field("clip") > 1, ("url", "==", "x")], ids=str)
def test_filters_that_cannot_be_applied_fetch_nothing(web: FaultHost, tmp_path: Path, filters: Any) -> None:
    manifest = write_manifest(tmp_path / "m.parquet", urls_of(web, 5))
    with pytest.raises(ValueError, match=r"^filters(: no column clip in .*: there are key|=.*: give a list)"):
        list(streamed(manifest, filters=filters))
    assert web.count() == 0


def test_live_pairs_become_tensors(web: FaultHost, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "m.parquet", urls_of(web, 3))
    assert all(pair["fetched_at"].item() > 0 for pair in streamed(manifest).with_format("torch"))


def test_a_manifest_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "m.parquet").write_text("no Parquet")
    with pytest.raises(InputError, match=r"m\.parquet"):
        next(live.stream([str(tmp_path / "m.parquet")], None, {}))
