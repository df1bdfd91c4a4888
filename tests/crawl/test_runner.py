"""The contract of a crawl: whatever happens to a run, the same command goes on to the same bytes; every link counts."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.cli import main
from builder.disk.schema import pair_key
from builder.errors import InputError, UsageError
from builder.manifest import ManifestOptions, open_manifest
from builder.stage.funnels import earlier_funnels
from tests.crawl.crawls import TEXTS, chinese, crawl, file, here, made, pairs, write
from tests.crawl.made import image, members, response
from tests.forked import Forked
from tests.passes import PassContract, full_disk_at
from tests.towers import test_classifier as classifiers

POINTS = [
    "ledger/crawl/plan.json",
    "rows/file-00001-of-00003.arrow",
    "1-files/file-00001.json",
    "pairs/bucket-00000-of-00001.parquet",
    "2-buckets/bucket-00000.json",
    "common.parquet",
    "hosts.parquet",
    "layout.json",
    "3-layout/layout-00000.json",
    "data/train-00002-of-00005.parquet",
    "4-shards/train-00002.json",
    "4-shards/train-00004.json",
    "funnel.json",
]


@pytest.fixture(scope="module")
def forked() -> Iterator[Forked]:
    with Forked("builder.crawl.runner", "tests.crawl.crawls") as run:
        yield run


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("crawl") / "wat")


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run makes that nothing disturbs."""
    output = tmp_path_factory.mktemp("whole") / "out"
    assert crawl(source, output, "--shard-size", "20", "--workers", "1") == 0
    return output


def again(source: Path, output: Path, *flags: str) -> int:
    return crawl(source, output, "--shard-size", "20", *flags)


CONTRACT = PassContract("crawl", "tests.crawl.crawls", here, again, made, "train-00001-of-00005.parquet")


def test_the_candidates_are_sorted_by_key_and_each_is_told_whence(whole: Path) -> None:
    found = pairs(whole)
    keys = [pair_key(one["url"], one["alt_text"]) for one in found]
    assert keys == sorted(set(keys))
    own = next(one for one in found if one["url"] == "http://site3.example/p/23.jpg")
    assert own["alt_text"] == f"{TEXTS[3]}，第23张"
    assert (own["text_source"], own["page_url"], own["host"]) == (
        "alt",
        "http://site3.example/23.html",
        "site3.example",
    )
    assert (own["page_lang"], own["crawl"], own["consent"], own["license_url"]) == (
        "zho",
        "CC-MAIN-2025-05",
        [],
        None,
    )
    assert own["fetched"].isoformat() == "2025-01-01T00:00:00+00:00"
    assert own["warc"]["offset"] == 940
    assert not {"key", "width", "height", "sha256", "phash", "caption"} & own.keys()


def test_rows_in_are_rows_out_and_drops_by_reason(whole: Path) -> None:
    funnel = json.loads((whole / "funnel.json").read_text())
    reasons: dict[str, int] = {}
    for step in funnel["steps"]:
        for reason, count in step["reasons"].items():
            reasons[reason] = reasons.get(reason, 0) + count
    # 60 Chinese pages of four links, and 60 English ones. Of 60 shared pairs 35 differ: 7 pictures, 5 texts.
    assert reasons == {"no_text": 60, "no_url": 60, "duplicate": 25}
    assert funnel["pairs"] == 240
    assert funnel["counters"]["pages/of another language"] == 60
    assert funnel["kept"] == 95 == len(pairs(whole))
    assert funnel["counters"]["pages"] == 120
    assert [one["row"] for one in funnel["paper"]] == [0, 1, 2]
    assert [one["found"] for one in funnel["paper"]] == pytest.approx([145 / 240, 0.0, 0.0])
    assert (funnel.pop("before"), funnel["stage"]) == ([], "crawl")
    assert earlier_funnels(str(whole), 95, pytest.fail) == [funnel]


def test_of_equal_pairs_the_first_of_the_crawl_is_kept(whole: Path) -> None:
    shared = {(one["url"], one["alt_text"]): one["page_url"] for one in pairs(whole) if "cdn" in one["url"]}
    assert shared["http://cdn.example/0.jpg", TEXTS[0]] == "http://site0.example/0.html"
    assert all(int(page.rpartition("/")[2].removesuffix(".html")) < 35 for page in shared.values())


def test_the_order_of_files_workers_and_ranks_makes_no_odds(
    source: Path, whole: Path, tmp_path: Path
) -> None:
    files = sorted((os.path.relpath(path, tmp_path) for path in source.iterdir()), reverse=True)
    (tmp_path / "list.txt").write_text("\n".join(files) + "\n")
    assert again(tmp_path / "list.txt", tmp_path / "out", "--workers", "3") == 0
    assert {name: data for name, data in made(tmp_path / "out").items() if name.startswith("data/")} == {
        name: data for name, data in made(whole).items() if name.startswith("data/")
    }
    for rank in (1, 0, 1, 0, 1, 0, 1):
        assert again(source, tmp_path / "ranks", "--rank", str(rank), "--world-size", "2") == 0
    assert made(tmp_path / "ranks") == made(whole)


@pytest.mark.parametrize("point", POINTS)
def test_a_full_disk_anywhere_ends_in_the_same_bytes(
    source: Path, whole: Path, tmp_path: Path, point: str
) -> None:
    CONTRACT.full_disk(source, whole, tmp_path / "out", point)


@pytest.mark.parametrize("point", POINTS)
def test_kill_9_anywhere_ends_in_the_same_bytes(
    source: Path, whole: Path, tmp_path: Path, forked: Forked, point: str
) -> None:
    CONTRACT.kill(forked, source, whole, tmp_path / "out", point)


def test_a_second_run_does_nothing(source: Path, tmp_path: Path) -> None:
    CONTRACT.second_run(source, tmp_path / "out")


def test_a_lost_shard_is_told_and_made_anew(source: Path, whole: Path, tmp_path: Path) -> None:
    CONTRACT.lost_shard(source, whole, tmp_path / "out")


def test_overwrite_removes_what_a_run_made_and_nothing_else(
    source: Path, whole: Path, tmp_path: Path
) -> None:
    CONTRACT.overwrite(source, whole, tmp_path / "out")


def test_other_options_and_other_files_are_refused(source: Path, tmp_path: Path) -> None:
    here(source, tmp_path / "out")
    with pytest.raises(
        UsageError, match="was made with --gate 'cld2' then, 'none' now; --shard-size 20 then, 30 now"
    ):
        here(source, tmp_path / "out", gate="none", shard_size=30)
    with pytest.raises(InputError, match="was begun with other files, 3 then, 2 now"):
        here(source, tmp_path / "out", limit_files=2)


def test_a_folder_of_somebody_else_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(UsageError, match="holds data: name another folder"):
        here(source, tmp_path)


def test_an_output_that_is_a_file_is_refused(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "b.wat.gz").write_bytes(b"")
    assert crawl(source, tmp_path / "b.wat.gz") == 2
    assert "b.wat.gz: is a file; OUTPUT is a folder" in capsys.readouterr().err


def test_a_dry_run_says_how_much_there_is_and_writes_nothing(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert crawl(source, tmp_path / "out", "--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["files"], told["files_to_do"]) == (3, 3)
    assert told["bytes"] == sum(path.stat().st_size for path in source.iterdir())
    assert not (tmp_path / "out").exists()


def test_candidates_are_a_manifest_of_which_only_data_counts(whole: Path, tmp_path: Path) -> None:
    manifest = open_manifest(str(whole), ManifestOptions())
    assert manifest.rows == {"train": 95}
    assert len(manifest.files) == 5
    shutil.copytree(whole, tmp_path / "half")
    (tmp_path / "half" / "data" / "train-00003-of-00005.parquet").unlink()
    with pytest.raises(InputError, match="danqing crawl is not done with it"):
        open_manifest(str(tmp_path / "half"), ManifestOptions())


def test_the_hosts_join_the_host_index(whole: Path) -> None:
    table = pq.read_table(whole / "ledger" / "crawl" / "hosts.parquet").to_pylist()
    assert [one["surt_host_name"] for one in table] == [f"example,site{n}" for n in range(5)]
    assert sum(one["kept"] for one in table) == 95
    assert sum(one["pairs"] for one in table) == 240
    assert sum(one["duplicate"] for one in table) == 25
    assert table[0]["host"] == "site0.example"


def test_denied_hosts_are_left_out_with_all_below_them(source: Path, tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"host": ["site1.example", "CDN.example"], "reason": ["spam", None]}),
        tmp_path / "deny.parquet",
    )
    here(source, tmp_path / "out", hosts=str(tmp_path / "deny.parquet"))
    assert {one["host"] for one in pairs(tmp_path / "out")} == {f"site{n}.example" for n in (0, 2, 3, 4)}
    assert not any("cdn" in one["url"] for one in pairs(tmp_path / "out"))


def test_dropped_rows_are_listed_with_their_reason(source: Path, whole: Path, tmp_path: Path) -> None:
    here(source, tmp_path / "out", dropped=str(tmp_path / "dropped"))
    listed = [
        row for path in (tmp_path / "dropped").rglob("*.parquet") for row in pq.read_table(path).to_pylist()
    ]
    assert Counter(one["reason"] for one in listed) == {
        "no_text": 60,
        "no_url": 60,
        "duplicate": 25,
    }
    assert made(tmp_path / "out") == made(whole)


def test_texts_and_urls_that_come_too_often(tmp_path: Path) -> None:
    many = [image(f"/menu/{number}.jpg", "关注我们的微信") for number in range(11)]
    icon = [image("/icon.png", f"第{number}条新闻的图标") for number in range(11)]
    few = [image(f"/few/{number}.jpg", "十张图的共同说明") for number in range(10)]
    (tmp_path / "a.warc.wat.gz").write_bytes(file(0, chinese(0, [*many, *icon, *few])))
    here(tmp_path / "a.warc.wat.gz", tmp_path / "out")
    assert {one["alt_text"] for one in pairs(tmp_path / "out")} == {"十张图的共同说明"}
    reasons = json.loads((tmp_path / "out" / "funnel.json").read_text())["steps"]
    assert [one["dropped"] for one in reasons[-2:]] == [11, 11]


def test_a_crawl_without_a_pair_says_so_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.warc.wat.gz").write_bytes(file(0, chinese(0, [image("/a.jpg", "no Chinese here at all")])))
    assert crawl(tmp_path / "a.warc.wat.gz", tmp_path / "out") == 1
    assert (
        "none of 1 pages holds a pair (1 without a Chinese text); --gate none judges"
        in capsys.readouterr().err
    )
    assert crawl(tmp_path / "a.warc.wat.gz", tmp_path / "out") == 1


def test_a_crawl_of_warc_files_is_not_told_to_read_warc_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    html = '<html lang="zh"><img src="/a.jpg"><img src="/b.jpg" alt="小花"><img src="/c.jpg">'
    (tmp_path / "a.warc.gz").write_bytes(members(response(html)))
    assert crawl(tmp_path / "a.warc.gz", tmp_path / "out", "--from", "warc", "--gate", "none") == 1
    err = capsys.readouterr().err
    assert "none of 3 rows is kept, 2 of them no_text" in err
    assert "--from warc" not in err


def test_status_tells_the_funnel_beside_the_paper(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(whole)]) == 0
    told = capsys.readouterr().out
    assert "crawl: 3 of 3 files, 1 of 1 buckets, 5 of 5 shards done, 240 rows" in told
    assert re.search(r"1 language, safety, source +0.00% +30.63%", told)
    assert (
        "another order than the paper's (steps of row 0, 1 come after later rows here): compare shares"
        in told
    )
    assert main(["status", str(whole), "--json"]) == 0
    funnel = json.loads(capsys.readouterr().out)["stages"]["crawl"]
    assert funnel["kept"] == 95
    assert funnel["units"] == {
        "file": {"done": 3, "total": 3},
        "bucket": {"done": 1, "total": 1},
        "train": {"done": 5, "total": 5},
    }


def test_unsafe_texts_by_a_classifier_whose_weights_are_part_of_the_plan(
    source: Path, tmp_path: Path
) -> None:
    model = classifiers.made(tmp_path / "model")
    links = [image("/a.jpg", "秋日的山间 bad 小路"), image("/b.jpg", "红烧牛肉面 good 做法")]
    (tmp_path / "a.warc.wat.gz").write_bytes(file(0, chinese(0, links)))
    here(tmp_path / "a.warc.wat.gz", tmp_path / "out", text_classifier=str(model))
    assert [one["alt_text"] for one in pairs(tmp_path / "out")] == ["红烧牛肉面 good 做法"]
    steps = json.loads((tmp_path / "out" / "funnel.json").read_text())["steps"]
    assert [one["reasons"] for one in steps if one["dropped"]] == [{"unsafe_text": 1}]
    classifiers.changed(model, {"classifier.bias": 0.5})
    with pytest.raises(InputError, match="other weights than"):
        here(tmp_path / "a.warc.wat.gz", tmp_path / "out", text_classifier=str(model))
    with pytest.raises(InputError):  # before anything is read
        here(source, tmp_path / "other", text_classifier=str(tmp_path))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("lost", ["common.parquet", "layout.json"])
def test_a_layout_that_is_not_whole_is_made_anew(
    source: Path, whole: Path, tmp_path: Path, lost: str
) -> None:
    with full_disk_at("4-shards/train-00001.json"):
        here(source, tmp_path / "out")
    spool = tmp_path / "out" / "ledger" / "crawl" / "spool"
    (spool / lost).unlink() if lost == "common.parquet" else (spool / lost).write_text(
        '{"kept": [], "shards": 0}'
    )
    here(source, tmp_path / "out")
    assert made(tmp_path / "out") == made(whole)
