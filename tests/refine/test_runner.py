"""The contract of a refinement: whatever happens, the same command goes on to the same bytes; every row counts."""

from __future__ import annotations

import datetime
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.cli import main
from builder.console import Console
from builder.disk.schema import pair_key
from builder.errors import InputError, UsageError
from builder.manifest import ManifestOptions, open_manifest
from builder.refine.config import RefineConfig
from builder.refine.read import ROWS, tasks
from builder.refine.runner import run
from builder.refine.spool import read_thresholds
from builder.stage.engine import Unit
from builder.stage.funnels import earlier_funnels
from builder.stage.rows import lay_out
from tests.crawl import crawls
from tests.forked import Forked
from tests.passes import PassContract, full_disk_at
from tests.refine.refinements import here, made, pairs, refine, rows, write
from tests.towers import test_classifier as classifiers

POINTS = [
    "ledger/refine/plan.json",
    "rows/input-00001-of-00003.arrow",
    "words/input-00002-of-00003.parquet",
    "1-steps/input-00001.json",
    "spool/words.parquet",
    "thresholds.json",
    "2-thresholds/thresholds-00000.json",
    "pairs/bucket-00000-of-00001.parquet",
    "3-buckets/bucket-00000.json",
    "data/train-00002-of-00005.parquet",
    "4-shards/train-00002.json",
    "4-shards/train-00004.json",
    "funnel.json",
]
COUNT = 2400  # rows, in three units


@pytest.fixture(scope="module")
def forked() -> Iterator[Forked]:
    with Forked("builder.refine.runner", "tests.refine.refinements") as run:
        yield run


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manifest")
    for number in range(3):
        write(
            folder / f"{number}.parquet",
            rows(COUNT)[number * 700 : (number + 1) * 700 if number < 2 else None],
        )
    return folder


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run makes that nothing disturbs."""
    output = tmp_path_factory.mktemp("whole") / "out"
    assert again(source, output, "--workers", "1") == 0
    return output


def thresholds(output: Path) -> dict[str, dict[str, float]]:
    """What a run decided."""
    found: dict[str, dict[str, float]] = json.loads((output / "ledger/refine/thresholds.json").read_text())
    return found


def again(source: Path, output: Path, *flags: str) -> int:
    return refine(source, output, "--shard-size", "400", *flags)


CONTRACT = PassContract(
    "refine", "tests.refine.refinements", here, again, made, "train-00001-of-00005.parquet"
)


def test_the_pairs_are_sorted_by_the_key_of_the_refined_text(whole: Path) -> None:
    found = pairs(whole)
    keys = [pair_key(one["url"], one["alt_text"]) for one in found]
    assert keys == sorted(set(keys))
    both = next(one for one in found if one["number"] % 35 == 0)  # with a star, and in traditional script
    number, raw = both["number"], rows(COUNT)[both["number"]]["alt_text"]
    assert both == {
        "url": f"http://h{number % 9}.example/{number}.jpg",
        "alt_text": raw.strip("★").replace("張", "张"),
        "alt_text_raw": raw,
        "source_key": pair_key(both["url"], raw),
        "number": number,
    }
    assert both["alt_text"] != raw.strip("★") != raw


def test_rows_in_are_rows_out_and_drops_by_reason(whole: Path) -> None:
    funnel = json.loads((whole / "funnel.json").read_text())
    reasons: Counter[str] = Counter()
    for step in funnel["steps"]:
        reasons.update(step["reasons"])
    assert funnel["pairs"] == COUNT
    assert funnel["kept"] == len(pairs(whole)) == COUNT - reasons.total()
    assert reasons.keys() == {"not_chinese", "stop_words", "low_entropy"}
    assert reasons["not_chinese"] == COUNT // 10
    found = {one["row"]: one["found"] for one in funnel["paper"]}
    assert [*found] == [2, 4, 5, 6, 7, 8, 9, 10, 11]
    assert found[4] == pytest.approx(0.1)
    assert found[9] == pytest.approx(0.0731, abs=0.01)  # as in the paper
    assert earlier_funnels(str(whole), funnel["kept"], pytest.fail) == [
        {name: value for name, value in funnel.items() if name != "before"}
    ]


def test_the_order_of_files_workers_and_ranks_makes_no_odds(
    source: Path, whole: Path, tmp_path: Path
) -> None:
    """Other names of the files, and so another order of rows and other units; other processes; two ranks."""
    turned = rows(COUNT)[::-1]
    for number in range(2):
        write(tmp_path / "turned" / f"{number}.parquet", turned[number::2])
    assert again(tmp_path / "turned", tmp_path / "out", "--workers", "3") == 0
    for rank in (1, 0, 1, 0, 1, 0, 1):
        assert again(source, tmp_path / "ranks", "--rank", str(rank), "--world-size", "2") == 0
    assert made(tmp_path / "ranks") == made(whole)
    assert made(tmp_path / "out").keys() == made(whole).keys()
    for name, data in made(whole).items():
        assert made(tmp_path / "out")[name] == data or name == "funnel.json"  # it counts units


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


def test_other_options_and_other_manifests_are_refused(source: Path, tmp_path: Path) -> None:
    here(source, tmp_path / "out")
    with pytest.raises(
        UsageError, match="was made with --skip '' then, 'nouns' now; --shard-size 400 then, 30 now"
    ):
        here(source, tmp_path / "out", skip="nouns", shard_size=30)
    write(tmp_path / "other.parquet", rows(50))
    with pytest.raises(InputError, match="the manifest has changed since"):
        here(tmp_path / "other.parquet", tmp_path / "out")
    (tmp_path / "words.txt").write_text("路口\n")
    here(source, tmp_path / "listed", blocklist=str(tmp_path / "words.txt"))
    (tmp_path / "words.txt").write_text("小路\n")
    with pytest.raises(InputError, match="--blocklist: has changed since"):
        here(source, tmp_path / "listed", blocklist=str(tmp_path / "words.txt"))


def test_the_folder_of_the_candidates_and_one_of_somebody_else_are_refused(
    source: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="the root is the folder of the manifest"):
        run(RefineConfig(str(source), str(source)), Console(quiet=True))
    (tmp_path / "data").mkdir()
    with pytest.raises(UsageError, match="holds data: name another folder"):
        here(source, tmp_path)


def test_an_output_that_is_a_file_and_a_column_of_another_language_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "m.parquet", rows(20))
    assert refine(path, path) == 2
    assert "m.parquet: is a file; OUTPUT is a folder" in capsys.readouterr().err
    assert refine(path, tmp_path / "out", "--url-column", "alt_text", "--caption-column", "url") == 1
    told = capsys.readouterr().err
    assert "20 of them not_chinese" in told
    assert "refine anew with --caption-column NAME" in told


def test_a_dry_run_says_how_much_there_is_and_writes_nothing(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert again(source, tmp_path / "out", "--dry-run", "--json", "--skip", "pii") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["units"], told["units_to_do"]) == ({"train": COUNT}, 3, 3)
    assert told["skipped"] == ["pii", "unknown"]  # there is no tokenizer
    assert again(source, tmp_path / "out", "--dry-run") == 0
    assert f"train {COUNT:,}" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_a_pilot_tells_cost_and_drop_of_each_step_and_writes_nothing(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert again(source, tmp_path / "out", "--pilot", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["funnel"]["pairs"] == 800
    assert told["funnel"]["kept"] == 800 - sum(one["dropped"] for one in told["funnel"]["steps"])
    assert told["microseconds"]["chinese"] > 0
    assert told["thresholds"]["used"] == told["thresholds"]["calibrated"]
    assert again(source, tmp_path / "out", "--pilot") == 0
    assert "chinese: the text is Chinese" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_a_refined_folder_is_a_manifest_of_which_only_data_counts(whole: Path, tmp_path: Path) -> None:
    manifest = open_manifest(str(whole), ManifestOptions())
    assert manifest.rows == {"train": len(pairs(whole))}
    shutil.copytree(whole, tmp_path / "half")
    (tmp_path / "half" / "data" / "train-00003-of-00005.parquet").unlink()
    with pytest.raises(InputError, match="danqing refine is not done with it"):
        open_manifest(str(tmp_path / "half"), ManifestOptions())


def test_refined_again_the_text_as_it_was_found_stays(whole: Path, tmp_path: Path) -> None:
    here(whole, tmp_path / "again", skip="stop-words,entropy")
    assert pairs(tmp_path / "again") == pairs(whole)
    assert [
        one["stage"] for one in json.loads((tmp_path / "again" / "funnel.json").read_text())["before"]
    ] == ["refine"]


def test_splits_stay_and_of_copies_that_of_the_test_split(tmp_path: Path) -> None:
    copies = rows(40)
    for split, some in {
        "train": copies,
        "validation": copies[:9] + rows(80)[40:],
        "test": copies[:3],
    }.items():
        write(tmp_path / "in" / f"{split}.parquet", some)
    here(tmp_path / "in", tmp_path / "out", skip="stop-words,entropy")
    found = {
        split: {one["number"] for one in pairs(tmp_path / "out", split)}
        for split in ("train", "validation", "test")
    }
    chinese = {number for number in range(80) if number % 10 != 9}
    assert found == {
        "test": chinese & {*range(3)},
        "validation": chinese & ({*range(3, 9)} | {*range(40, 80)}),
        "train": chinese & {*range(9, 40)},
    }
    assert open_manifest(str(tmp_path / "out"), ManifestOptions()).rows == {
        split: len(numbers) for split, numbers in found.items()
    }
    funnel = json.loads((tmp_path / "out" / "funnel.json").read_text())
    assert funnel["steps"][-1]["reasons"] == {"duplicate": 12}


def test_of_pairs_that_become_equal_one_is_kept_whatever_their_order(tmp_path: Path) -> None:
    url, texts = (
        "http://h.example/1.jpg",
        ["北京的春天很美丽", "★北京的春天很美丽", "北京的春天很美麗", "北京的春天很美丽"],
    )
    copies = [
        {"url": url, "alt_text": text, "seen": [place], "note": None} for place, text in enumerate(texts)
    ]
    kept = []
    for number, some in enumerate((copies, copies[::-1], copies[2:] + copies[:2])):
        here(write(tmp_path / f"{number}.parquet", some), tmp_path / str(number), skip="stop-words,entropy")
        kept.append(pairs(tmp_path / str(number)))
    assert len(kept[0]) == 1
    assert kept[0] == kept[1] == kept[2]
    assert kept[0][0]["alt_text"] == texts[0]


def test_the_columns_of_a_manifest_go_along_under_their_own_names(tmp_path: Path) -> None:
    row = {
        "URL": "http://h.example/1.jpg", "TEXT": "北京的春天很美丽", "key": "k1", "sha256": "0" * 64, "width": 3,
        "recaption": "春天的北京城", "words": ["a"], "order": 7, "alt_text": "else", "pair": {"key": 1},
    }  # fmt: skip
    here(write(tmp_path / "m.parquet", [row]), tmp_path / "out", schema="laion", skip="stop-words,entropy")
    (found,) = pairs(tmp_path / "out")
    own = {"url": row["URL"], "alt_text": row["TEXT"], "alt_text_raw": row["TEXT"]}
    rest = {name: row[name] for name in ("key", "sha256", "width", "recaption", "words", "order", "pair")}
    assert found == own | {"source_key": pair_key(row["URL"], row["TEXT"])} | rest | {
        "manifest_alt_text": "else"
    }
    options = ManifestOptions()
    assert (
        open_manifest(str(tmp_path / "out"), options).hash_column is not None
    )  # rebuild --verify-hash finds it


def test_dropped_rows_are_listed_but_for_personal_data(tmp_path: Path) -> None:
    some = [
        *rows(20),
        {"url": "http://h.example/p.jpg", "alt_text": "请拨打手机13800138000看房", "number": 99},
    ]
    here(write(tmp_path / "m.parquet", some), tmp_path / "out", dropped=str(tmp_path / "lost"))
    lost = [row for path in (tmp_path / "lost").rglob("*.parquet") for row in pq.read_table(path).to_pylist()]
    assert len(lost) == len(some) - len(pairs(tmp_path / "out"))
    by_reason = Counter(one["reason"] for one in lost)
    assert (by_reason["not_chinese"], by_reason["pii"]) == (2, 1)
    assert {one["alt_text"] for one in lost if one["reason"] == "pii"} == {None}
    assert {one["alt_text"] for one in lost if one["reason"] == "not_chinese"} <= {
        one["alt_text"] for one in some
    }
    written = b"".join(
        path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "m.parquet"
    )
    assert b"13800138000" not in written
    counters = json.loads((tmp_path / "out" / "funnel.json").read_text())["counters"]
    assert counters["pii/mobile"] == 1


def test_personal_data_is_written_nowhere_whatever_a_pair_is_dropped_for(tmp_path: Path) -> None:
    texts = ["call me on 13800138000", "春" * 60 + "13800138000", "看不清？换一换 13800138000", "春" * 20_000]
    some = [{"url": f"http://h.example/{n}", "alt_text": text, "number": n} for n, text in enumerate(texts)]
    source = write(tmp_path / "m.parquet", [*rows(20), *some])
    here(source, tmp_path / "out", dropped=str(tmp_path / "lost"))
    lost = [row for path in (tmp_path / "lost").rglob("*.parquet") for row in pq.read_table(path).to_pylist()]
    told = {one["url"]: (one["reason"], one["alt_text"]) for one in lost}
    assert told["http://h.example/0"] == ("not_chinese", None)
    assert told["http://h.example/1"] == told["http://h.example/3"] == ("long_text", None)
    assert told["http://h.example/2"][1] is None
    assert told["http://h0.example/9.jpg"] == ("not_chinese", "a picture of number 9")


def test_dropped_pairs_are_not_written_among_others(tmp_path: Path) -> None:
    source = write(tmp_path / "in" / "m.parquet", rows(20)).parent
    (tmp_path / "file").write_bytes(b"")
    for where, said in (
        (tmp_path / "out" / "data", "lies in"),
        (source, "lies in"),
        (tmp_path / "file", "a file"),
    ):
        with pytest.raises(UsageError, match=said):
            run(RefineConfig(str(source), str(tmp_path / "out"), dropped=str(where)), Console(quiet=True))
    with pytest.raises(UsageError, match="the root lies among the pairs"):
        run(RefineConfig(str(source), str(source / "data" / "x")), Console(quiet=True))
    (tmp_path / "root" / "images").mkdir(parents=True)
    with pytest.raises(UsageError, match="holds images: name another folder"):
        here(source, tmp_path / "root")


def test_a_refinement_that_keeps_nothing_says_so_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some = [{"url": f"http://h.example/{n}", "alt_text": f"a red house, number {n}"} for n in range(9)]
    assert refine(write(tmp_path / "m.parquet", some), tmp_path / "out") == 1
    assert "none of 9 rows is kept, 9 of them not_chinese" in capsys.readouterr().err
    assert refine(tmp_path / "m.parquet", tmp_path / "out") == 1  # and says it again


def test_status_tells_thresholds_and_the_funnel_beside_the_paper(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", str(whole)]) == 0
    told = capsys.readouterr().out
    assert "3 of 3 units, 1 of 1 buckets, 5 of 5 shards done" in told
    assert "the tokenizer knows the text (skipped)" in told
    used = thresholds(whole)["used"]
    assert f"the text says something: function words up to {used['stop_words']:.2%}" in told
    assert f"its words tell enough: {used['entropy']:.4g} bits at least" in told
    assert main(["status", str(whole), "--json"]) == 0
    stage = json.loads(capsys.readouterr().out)["stages"]["refine"]
    assert stage["kept"] + sum(stage["reasons"].values()) == stage["rows"]["done"] == COUNT


def test_the_funnel_of_the_crawl_travels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crawls.crawl(crawls.write(tmp_path / "wat"), tmp_path / "candidates") == 0
    assert refine(tmp_path / "candidates", tmp_path / "refined") == 0
    funnel = json.loads((tmp_path / "refined" / "funnel.json").read_text())
    assert [one["stage"] for one in funnel["before"]] == ["crawl"]
    assert funnel["before"][0]["kept"] == funnel["pairs"] == 95
    capsys.readouterr()
    assert main(["status", str(tmp_path / "refined")]) == 0
    told = capsys.readouterr().out
    assert all(
        f"\n{row}" in told for row in ("1 language, safety, source", "4 Chinese", "11 safety of the text")
    )
    assert {"page_url", "consent", "warc", "alt_text_raw"} <= pairs(tmp_path / "refined")[0].keys()


def test_unsafe_texts_by_a_classifier_whose_weights_are_part_of_the_plan(tmp_path: Path) -> None:
    some = rows(30)
    for one in some[::3]:
        one["alt_text"] += " bad "
    source, folder = write(tmp_path / "m.parquet", some), classifiers.made(tmp_path / "classifier")
    options = {"text_classifier": str(folder), "skip": "stop-words,entropy"}
    here(source, tmp_path / "out", **options)
    found = {one["number"] for one in pairs(tmp_path / "out")}
    assert found == {number for number in range(30) if number % 3 and number % 10 != 9}
    assert json.loads((tmp_path / "out/funnel.json").read_text())["steps"][7]["reasons"] == {"unsafe_text": 9}
    plan = json.loads((tmp_path / "out" / "ledger" / "refine" / "plan.json").read_text())
    assert plan["made_from"]["text-classifier"]
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(InputError, match="--text-classifier: has changed since"):
        here(source, tmp_path / "out", **options)


def test_thresholds_that_are_gone_or_cannot_be_read_are_told(
    source: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole, tmp_path / "out")
    (tmp_path / "out" / "ledger" / "refine" / "thresholds.json").write_text('{"used": {"entropy": "much"}}')
    assert again(source, tmp_path / "out") == 3
    assert "thresholds.json: no thresholds" in capsys.readouterr().err
    (tmp_path / "out" / "ledger" / "refine" / "thresholds.json").unlink()
    assert again(source, tmp_path / "out") == 3
    assert "thresholds.json is not there: restore it" in capsys.readouterr().err


def test_a_row_far_beyond_the_paper_is_told_with_the_number_that_would_do(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["refine", str(source), str(tmp_path / "out"), "--entropy", "9"]) == 1  # nothing is left
    assert main(["refine", str(source), str(tmp_path / "words"), "--stop-words", "0.0"]) == 1
    told = capsys.readouterr().err
    fit = f"--entropy {thresholds(tmp_path / 'out')['calibrated']['entropy']:.3g} drops as many"
    assert f"warning: entropy: 100.00% dropped, 7.31% in the paper; {fit}" in told
    calibrated = thresholds(tmp_path / "words")["calibrated"]
    assert f"--stop-words {calibrated['stop_words']:.4g} drops as many" in told


def test_types_that_a_manifest_may_have(tmp_path: Path) -> None:
    schema = pa.schema([
        ("url", pa.large_string()), ("alt_text", pa.dictionary(pa.int32(), pa.string())), ("page_lang", pa.string()),
        ("when", pa.timestamp("us")), ("half", pa.float16()), ("vector", pa.list_(pa.float32(), 2)),
    ])  # fmt: skip
    day = datetime.datetime(2025, 1, 1)
    some = [
        {"url": f"http://h.example/{n}.jpg", "alt_text": "北京的春天很美丽", "page_lang": "zh", "when": day,
         "half": 0.5, "vector": [1.0, 2.0]} for n in range(3)
    ]  # fmt: skip
    here(write(tmp_path / "m.parquet", some, schema), tmp_path / "out", skip="stop-words,entropy")
    assert [one["vector"] for one in pairs(tmp_path / "out")] == [[1.0, 2.0]] * 3


@pytest.mark.parametrize("pages", [["a", "b"], 7, None])
def test_a_column_page_url_that_is_no_text_is_left_out_of_the_lists(tmp_path: Path, pages: object) -> None:
    some = [one | {"page_url": pages} for one in [*rows(20), *rows(5)]]
    here(write(tmp_path / "m.parquet", some), tmp_path / "out", dropped=str(tmp_path / "lost"))
    lost = [row for path in (tmp_path / "lost").rglob("*.parquet") for row in pq.read_table(path).to_pylist()]
    assert {"not_chinese", "duplicate"} <= {one["reason"] for one in lost}
    assert {one["page_url"] for one in lost} == {None}


def test_rows_are_sent_compressed_and_no_more_at_once_than_a_batch(tmp_path: Path) -> None:
    """40,000 texts of 2.4 KB, which a dictionary makes a file of 400 KB."""
    long = "北京的春天很美丽" * 100
    some = [{"url": f"http://h.example/{n}.jpg", "alt_text": long} for n in range(40_000)]
    manifest = open_manifest(str(write(tmp_path / "m.parquet", some)), ManifestOptions())
    inputs = lay_out(manifest.rows, 40_000)
    (task,) = tasks(manifest, inputs, [Unit(0)])
    assert len(task.rows) < 8 << 20
    with pa.ipc.open_stream(task.rows) as stream:
        counts = [len(one) for one in stream]
    assert sum(counts) == 40_000
    assert max(counts) <= ROWS


def test_a_split_without_rows_is_a_unit_all_the_same(tmp_path: Path) -> None:
    write(tmp_path / "m" / "train.parquet", rows(20))
    schema = pa.schema([("url", pa.string()), ("alt_text", pa.string()), ("number", pa.int64())])
    write(tmp_path / "m" / "test.parquet", [], schema)
    here(tmp_path / "m", tmp_path / "out", skip="stop-words,entropy")
    assert len(pairs(tmp_path / "out")) == 18


@pytest.mark.parametrize(("point", "name"), [
    ("2-thresholds/thresholds-00000.json", "rows/input-00001-of-00003.arrow"),
    ("2-thresholds/thresholds-00000.json", "words/input-00001-of-00003.parquet"),
    ("4-shards/train-00002.json", "pairs/bucket-00000-of-00001.parquet"),
])  # fmt: skip
def test_what_lies_between_the_passes_is_named_where_it_is_damaged_and_made_anew(
    source: Path, whole: Path, tmp_path: Path, point: str, name: str
) -> None:
    with full_disk_at(point):
        here(source, tmp_path / "out")
    damaged = tmp_path / "out" / "ledger" / "refine" / "spool" / name
    damaged.write_bytes(bytes(damaged.stat().st_size))
    with pytest.raises(InputError, match=f"{name}: damaged; remove it, and the same command makes it anew"):
        here(source, tmp_path / "out")
    damaged.unlink()
    here(source, tmp_path / "out")
    assert made(tmp_path / "out") == made(whole)


def test_a_manifest_without_texts_is_not_to_be_crawled_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    some = [{"url": f"http://h.example/{n}", "alt_text": " "} for n in range(9)]
    assert refine(write(tmp_path / "m.parquet", some), tmp_path / "out") == 1
    told = capsys.readouterr().err
    assert "9 of them no_text: hardly a picture has a text; refine anew with --caption-column NAME" in told


@pytest.mark.parametrize("used", [{"entropy": 1e308}, {"stop_words": -0.5}, {"stop_words": 1.5}])
def test_thresholds_out_of_their_range_are_none(whole: Path, tmp_path: Path, used: dict[str, float]) -> None:
    shutil.copytree(whole, tmp_path / "out")
    path = tmp_path / "out" / "ledger" / "refine" / "thresholds.json"
    path.write_text(json.dumps(thresholds(whole) | {"used": used}))
    with pytest.raises(
        InputError, match=r"thresholds\.json: no thresholds \(.* out of its range\); remove it"
    ):
        read_thresholds(str(tmp_path / "out"))


def test_a_blocklist_that_is_none_is_refused_before_anything_is_written(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"list\.txt: no such file"):
        here(source, tmp_path / "out", blocklist=str(tmp_path / "list.txt"))
    assert not (tmp_path / "out").exists()
