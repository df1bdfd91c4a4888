"""What `load_dataset("danqing", config, ...)` yields, option by option."""

from __future__ import annotations

import logging
import os

import datasets
import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import danqing
from builder.disk import batches, schema
from builder.disk.card import offering, root_card
from tests.processes import loaded

from .roots import CARRIED, FETCHED, jpeg, make_root, outcome, pair, write_shard
from .scored import make_scored


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / ".cache")
    monkeypatch.delenv("DANQING_ROOT", raising=False)


MILLISECONDS = int(FETCHED.timestamp() * 1000)


def stream(root, config="pairs", split="train", **options):
    return danqing.load(root, config, split=split, streaming=True, **options)


SCHEMAS = {
    "pairs": schema.IMAGES,
    "outcomes": schema.OUTCOMES,
    "scores": schema.SCORES,
    "manifest": schema.PAIR,
    "live": schema.IMAGES,
}


SERVED = {
    schema.TIMESTAMP: pa.int64(),
    pa.uint64(): pa.string(),
}  # instead of what lies on disk, as torch has none


@pytest.mark.parametrize("config", SCHEMAS)
def test_features_are_the_schema(config):
    promised = danqing.FEATURES[config].arrow_schema
    assert promised.names == SCHEMAS[config].names
    assert promised.types == [SERVED.get(kind, kind) for kind in SCHEMAS[config].types]


@pytest.mark.parametrize("config", ["pairs", "outcomes", "scores"])
def test_features_are_the_yaml_of_the_card(config):
    from huggingface_hub import DatasetCard

    card = DatasetCard(offering(root_card(["train"], "parquet"), scored=True))
    described = {info["config_name"]: info["features"] for info in card.data.dataset_info}
    name = "unfiltered" if config == "pairs" else config
    assert datasets.Features._from_yaml_list(described[name]).arrow_schema.types == SCHEMAS[config].types
    assert [*datasets.Features._from_yaml_list(described[name])] == SCHEMAS[config].names


def test_pairs_carry_the_columns_of_the_manifest(tmp_path):
    make_root(tmp_path, shards=1, rows=3)
    pairs = stream(tmp_path)
    first = next(iter(pairs))
    expected = pair(0)
    assert list(first) == list(pairs.features) == list(expected)
    assert first["image"].size == (16, 16)
    assert {name: first[name] for name in ("key", "tags")} == {
        name: expected[name] for name in ("key", "tags")
    }
    assert first["fetched_at"] == MILLISECONDS


def test_outcomes(tmp_path):
    make_root(tmp_path, shards=2, rows=3)
    rows = list(stream(tmp_path, "outcomes"))
    assert [row["outcome"] for row in rows] == [outcome(number)["outcome"] for number in range(6)]


def test_manifest_of_a_root_has_no_pixels(tmp_path):
    keys = make_root(tmp_path, shards=2, rows=3)
    rows = list(stream(tmp_path, "manifest"))
    assert [row["key"] for row in rows] == keys
    assert "image" not in rows[0]
    assert rows[2]["sha256"] == pair(2)["sha256"]


@pytest.mark.parametrize("how", ["data_dir", "data_files"])
def test_manifest_that_is_no_root(tmp_path, how):
    file = tmp_path / "data" / "part-0.parquet"
    file.parent.mkdir()
    pq.write_table(pa.table({"url": ["http://a.test/1"], "alt_text": ["一只猫"], "clip": [0.5]}), file)
    place = {"data_dir": str(tmp_path), "data_files": str(file)}[how]
    (row,) = datasets.load_dataset("danqing", "manifest", split="train", streaming=True, **{how: place})
    key = schema.pair_key("http://a.test/1", "一只猫")
    assert row == {"key": key, "url": "http://a.test/1", "alt_text": "一只猫", "recaption": None, "clip": 0.5}


def test_columns_are_read_alone_and_in_order(tmp_path):
    make_root(tmp_path, shards=1, rows=3)
    pairs = stream(tmp_path, columns=["width", "key"])
    assert next(iter(pairs)) == {"width": 16, "key": pair(0)["key"]}
    with pytest.raises(ValueError, match=r"no column hight in .*: there are key, url"):
        stream(tmp_path, columns=["hight"])


def test_filters_are_pushed_down(tmp_path):
    make_root(tmp_path, shards=2, rows=25, row_group=10)
    pairs = stream(tmp_path, columns=["sha256"], filters=[("similarity", ">", 0.0445)])
    assert [int(row["sha256"], 16) for row in pairs] == [45, 46, 47, 48, 49]


SPELLINGS = {
    "milliseconds": [("fetched_at", ">=", MILLISECONDS)],
    "milliseconds, one of": [[("fetched_at", "in", [1, MILLISECONDS])]],
    "date": [("fetched_at", "==", FETCHED)],
    "expression": pc.field("fetched_at") == pa.scalar(FETCHED, schema.TIMESTAMP),
}


@pytest.mark.parametrize("filters", SPELLINGS.values(), ids=list(SPELLINGS))
@pytest.mark.parametrize("config", ["pairs", "outcomes", "manifest"])
def test_dates_are_filtered_by_either_spelling(tmp_path, config, filters):
    make_root(tmp_path, shards=1, rows=3)
    assert [row["fetched_at"] for row in stream(tmp_path, config, filters=filters)] == [MILLISECONDS] * 3
    assert list(stream(tmp_path, config, filters=[("fetched_at", ">", MILLISECONDS)])) == []


@pytest.mark.parametrize("config", ["pairs", "outcomes", "manifest"])
@pytest.mark.parametrize("streaming", [True, False])
def test_every_config_becomes_tensors(tmp_path, config, streaming):
    make_root(tmp_path, shards=1, rows=3)
    found = danqing.load(tmp_path, config, split="train", streaming=streaming).with_format("torch")
    assert [row["fetched_at"].item() for row in found] == [MILLISECONDS] * 3


REFUSED = {
    "list": ([("clip", ">", 1)], "filters: no column clip in .*: there are key"),
    "lists": ([[("key", "==", "a")], [("clip", ">", 1)]], "filters: no column clip in"),
    "expression": (pc.field("clip") > 1, "filters: no column clip in"),
    "types": ([("key", ">", 1)], r"filters=\[\('key', '>', 1\)\]: .*no kernel"),
    "tuple": (("key", "==", "a"), "filters=.*: give a list such as"),
    "text": ("key == 'a'", "filters=.*: give a list such as"),
    "short": ([("key", "==")], "filters=.*: give a list such as"),
    "no term": ([[]], "filters=.*: give a list such as"),
    "null": ([None], "filters=.*: give a list such as"),
}


@pytest.mark.parametrize(("filters", "message"), REFUSED.values(), ids=list(REFUSED))
@pytest.mark.parametrize("config", ["pairs", "outcomes", "scores", "manifest"])
def test_filters_that_cannot_be_applied_are_refused_at_once(tmp_path, config, filters, message):
    make_root(tmp_path, shards=1, rows=3)
    make_scored(tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        stream(tmp_path, config, filters=filters)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("config", SCHEMAS)
def test_columns_that_are_not_there_are_refused(tmp_path, config):
    make_root(tmp_path, shards=1, rows=3)
    make_scored(tmp_path)
    options = {"verdicts": "all"} if config == "live" else {}
    with pytest.raises(ValueError, match=r"no column clip in .*: there are key"):
        stream(tmp_path, config, columns=["key", "clip"], **options)
    with pytest.raises(ValueError, match=r"^columns='key': columns takes a list, as \['key'\]$"):
        stream(tmp_path, config, columns="key", **options)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [("alt_text", ["第0张图片", "第1张图片"]), ("recaption", ["第0张图片", "重写的第1句"])],
)
def test_caption(tmp_path, choice, expected):
    make_root(tmp_path, shards=1, rows=2)
    assert [row["caption"] for row in stream(tmp_path, caption=choice, columns=["url"])] == expected


def test_caption_among_the_columns(tmp_path):
    make_root(tmp_path, shards=1, rows=1)
    rows = stream(tmp_path, caption="alt_text", columns=["caption", "width"])
    assert list(rows) == [{"caption": "第0张图片", "width": 16}]


def test_random_caption_depends_on_key_and_seed_alone(tmp_path):
    make_root(tmp_path, shards=2, rows=200, row_group=64)

    def dealt(**options):
        return {
            row["key"]: row["caption"]
            for row in stream(tmp_path, caption="random", columns=["key"], **options)
        }

    first, second = dealt(seed=1), dealt(seed=2)
    assert first == dealt(seed=1, batch_size=7)
    rewritten = {number for number in range(400) if first[pair(number)["key"]].startswith("重写")}
    assert 120 < len(rewritten) < 200  # half of the 320 that have a recaption
    assert 120 < sum(first[key] != second[key] for key in first) < 200


def test_decode_false_gives_bytes(tmp_path):
    make_root(tmp_path, shards=1, rows=2)
    rows = list(stream(tmp_path, decode=False))
    assert [row["image"]["bytes"] for row in rows] == [jpeg(0), jpeg(1)]


BROKEN = {
    "null": None,
    "empty": b"",
    "cut": jpeg(1)[:200],
    "html": b"<html>gone</html>",
    "head": jpeg(1)[200:],
}


def test_broken_pictures_are_skipped_and_counted(tmp_path, caplog):
    rows = [
        pair(0),
        *(pair(1) | {"image": {"bytes": data, "path": None}} for data in BROKEN.values()),
        pair(2),
    ]
    rows += [pair(3) | {"image": None}]
    file = tmp_path / "images" / "train-00000-of-00001.parquet"
    write_shard(file, rows, row_group=3)
    with caplog.at_level(logging.WARNING, "danqing"):
        keys = [row["key"] for row in stream(tmp_path)]
    assert keys == [pair(0)["key"], pair(2)["key"]]
    assert danqing.skipped[str(file)] == 6
    assert [record.getMessage() for record in caplog.records] == [
        f"{file}: 6 of 8 pictures are broken: skipped"
    ]
    assert len(list(stream(tmp_path, decode=False))) == len(list(stream(tmp_path, columns=["key"]))) == 8


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_validation_is_carved_by_key(tmp_path, share):
    keys = make_root(tmp_path, shards=3, rows=60, row_group=7)
    splits = danqing.load(tmp_path, streaming=True, validation=share, columns=["key"])
    held = [key for key in keys if schema.validation_share(key) < share]
    found = {split: [row["key"] for row in rows] for split, rows in splits.items()}
    assert found == {
        "train": [key for key in keys if key not in held],
        **({"validation": held} if share else {}),
    }


def test_validation_of_the_root_comes_first(tmp_path):
    make_root(tmp_path, shards=1, rows=20)
    held = make_root(tmp_path, shards=1, rows=2, split="validation")
    splits = danqing.load(tmp_path, streaming=True, validation=0.5, columns=["key"])
    assert len(list(splits["train"])) == 20
    assert [row["key"] for row in splits["validation"]] == held


def test_root_from_the_environment(tmp_path, monkeypatch):
    keys = make_root(tmp_path / "set [1]*", shards=1, rows=2)
    monkeypatch.setenv("DANQING_ROOT", str(tmp_path / "set [1]*"))
    assert [row["key"] for row in stream(None)] == keys


def test_relative_root_and_any_file_system(tmp_path, monkeypatch):
    keys = make_root(tmp_path / "here", shards=2, rows=2)
    monkeypatch.chdir(tmp_path)
    assert [row["key"] for row in stream("here")] == keys
    assert [row["key"] for row in stream(f"file://{tmp_path}/here")] == keys


def test_root_on_another_file_system(tmp_path):
    keys = make_root(tmp_path, shards=2, rows=3, row_group=2)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "images"), "/far/danqing/images", recursive=True)
    pairs = stream("memory://far/danqing", columns=["key"])
    assert [row["key"] for row in pairs] == [row["key"] for row in pairs.reshard()] == keys


def test_data_files(tmp_path):
    keys = make_root(tmp_path, shards=2, rows=2)
    files = {"train": str(tmp_path / "images" / "*-00001-*.parquet")}
    pairs = danqing.load(data_files=files, split="train", streaming=True)
    assert [row["key"] for row in pairs] == keys[2:]
    path = tmp_path / "images" / "train-00001-of-00002.parquet"
    for one in (path, [path], {"train": path}):
        found = danqing.load(data_files=one, split="train", streaming=True)
        assert [row["key"] for row in found] == keys[2:]
    with pytest.raises(FileNotFoundError, match="data_files= matches no file"):
        danqing.load(data_files=str(tmp_path / "none-*.parquet"), streaming=True)


PLACES = {
    "text": "images/*-00001-*",
    "list": ["images/train-00001-of-00002.parquet"],
    "splits": {"train": ["images/train-00001*"]},
    "home": "~/root/images/*-00001-*",
}


@pytest.mark.parametrize("files", PLACES.values(), ids=list(PLACES))
@pytest.mark.parametrize("option", ["data_dir", "root"])
def test_data_files_lie_below_the_root(tmp_path, monkeypatch, files, option):
    """As in stock `datasets`, where they were looked for in the working directory."""
    keys = make_root(tmp_path / "root", shards=2, rows=2)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for place in (str(tmp_path / "root"), "../root", "~/root"):
        pairs = datasets.load_dataset(
            "danqing", split="train", streaming=True, data_files=files, **{option: place}
        )
        assert [row["key"] for row in pairs] == keys[2:]


def test_a_root_at_home(tmp_path, monkeypatch):
    keys = make_root(tmp_path / "root", shards=1, rows=2)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [row["key"] for row in stream("~/root")] == keys
    monkeypatch.setenv("DANQING_ROOT", "~/root")
    assert [row["key"] for row in stream(None)] == keys


def test_empty_shards_are_no_trouble(tmp_path):
    make_root(tmp_path, shards=3, rows=0)
    assert list(stream(tmp_path)) == []
    assert list(stream(tmp_path, validation=0.5, split="validation")) == []


def test_root_of_tars_names_the_way_to_read_it(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "train-00000-of-00001.tar").write_bytes(b"")
    with pytest.raises(ValueError, match=f'load_dataset\\("webdataset", data_dir="{tmp_path}/images"\\)'):
        stream(tmp_path)


def test_manifest_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no shards for manifest at {tmp_path}: name the folder"):
        stream(tmp_path, "manifest")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"caption": "title"}, "caption='title' is not one of alt_text, recaption, random"),
        ({"validation": 1.5}, "validation=1.5 is not a share"),
        ({"validation": "some"}, "validation='some' is not a share"),
        ({"revision": "v1"}, "revision='v1' pins an hf:// root"),
        ({"columns": []}, r"columns=\[\]: columns takes a list"),
        ({"columns": [3]}, r"columns=\[3\]: columns takes a list"),
        ({"verdicts": 3}, "verdicts=3: give some of"),
        ({"batch_size": -1}, "batch_size=-1 is not a number of rows"),
        ({"config": "outcomes", "caption": "random"}, "caption= .* outcomes has none"),
        ({"config": "live", "rebuild": "all"}, "rebuild='all' is no dict"),
        ({"rebuild": {"timeout": 1}}, "rebuild= is about what live fetches, and pairs"),
    ],
)
def test_options_that_make_no_sense(tmp_path, options, message):
    make_root(tmp_path, shards=1, rows=1)
    with pytest.raises(ValueError, match=message):
        stream(tmp_path, **options)


@pytest.mark.parametrize("content", [b"", b"PAR1 no", b"url,alt_text\n"])
def test_file_that_is_not_parquet(tmp_path, content):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "train-00000-of-00001.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"train-00000-of-00001.parquet is not a Parquet file"):
        stream(tmp_path)


def test_a_later_file_that_is_not_parquet_is_named(tmp_path):
    make_root(tmp_path, shards=2, rows=1)
    (tmp_path / "images" / "train-00001-of-00002.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ValueError, match=r"train-00001-of-00002.parquet is not a Parquet file, or damaged"):
        list(stream(tmp_path))


def test_a_damaged_page_is_named_by_its_file(tmp_path):
    make_root(tmp_path, shards=1, rows=1)
    shard = tmp_path / "images" / "train-00000-of-00001.parquet"
    shard.write_bytes(b"PAR1" + bytes(200) + shard.read_bytes()[204:])
    with pytest.raises(ValueError, match=r"train-00000-of-00001.parquet is not a Parquet file, or damaged"):
        list(stream(tmp_path))


def test_a_reader_that_stops_early_hears_nothing_when_python_ends(tmp_path, monkeypatch):
    """Then the globals of a module are None, and the generator is closed in it."""
    make_root(tmp_path, shards=1, rows=4, row_group=2)
    builder = datasets.load_dataset_builder("danqing", data_dir=str(tmp_path))
    (split,) = builder._split_generators(datasets.DownloadManager())
    tables = builder._generate_tables(**split.gen_kwargs)
    next(tables)
    monkeypatch.setattr(danqing, "skipped", None)
    monkeypatch.setattr(danqing, "log", None)
    monkeypatch.setattr(batches, "pa", None)
    tables.close()


def test_a_caption_needs_a_caption(tmp_path):
    (tmp_path / "images").mkdir()
    table = pa.table({"url": ["a"], "image": pa.array([None], schema.IMAGES.field("image").type)})
    pq.write_table(table, tmp_path / "images" / "train-0.parquet")
    with pytest.raises(ValueError, match=r"no column alt_text in .*train-0.parquet: there are url, image"):
        stream(tmp_path, caption="random")


def test_shard_without_pictures(tmp_path):
    (tmp_path / "images").mkdir()
    pq.write_table(pa.table({"url": ["a"], "text": ["b"]}), tmp_path / "images" / "train-0.parquet")
    with pytest.raises(ValueError, match=r"no column image in .*train-0.parquet: there are url, text"):
        stream(tmp_path)


@pytest.mark.parametrize(
    ("root", "revision", "expected"),
    [
        ("hf://datasets/org/danqing", "abc", "hf://datasets/org/danqing@abc"),
        ("hf://datasets/org/danqing/part", "v1", "hf://datasets/org/danqing@v1/part"),
        ("hf://datasets/org/danqing@v0", None, "hf://datasets/org/danqing@v0"),
    ],
)
def test_revision_pins_the_root(root, revision, expected):
    assert danqing.DanqingConfig(root=root, revision=revision).location() == expected


def test_map_style_with_processes_and_slices(tmp_path):
    keys = make_root(tmp_path, shards=4, rows=5)
    assert loaded(tmp_path) == (keys, [16, 16])
    assert danqing.load(tmp_path, split="train[:10%]")["key"] == keys[:2]


def test_cache_follows_the_shards_and_nothing_else(tmp_path):
    make_root(tmp_path, shards=2, rows=2)
    first = datasets.load_dataset_builder("danqing", data_dir=str(tmp_path)).cache_dir
    (tmp_path / "README.md").write_text("new")
    (tmp_path / "outcomes" / "train-00000-of-00002.parquet").unlink()
    assert datasets.load_dataset_builder("danqing", root=str(tmp_path)).cache_dir == first
    assert datasets.load_dataset_builder("danqing", root=str(tmp_path), columns=["key"]).cache_dir != first
    shard = tmp_path / "images" / "train-00001-of-00002.parquet"
    write_shard(shard, [pair(9)], row_group=1)
    os.utime(shard, (1, 1))
    assert datasets.load_dataset_builder("danqing", data_dir=str(tmp_path)).cache_dir != first


def test_rewritten_shard_is_not_served_from_the_cache(tmp_path):
    make_root(tmp_path, shards=1, rows=2)
    assert len(danqing.load(tmp_path, split="train")) == 2
    write_shard(tmp_path / "images" / "train-00000-of-00001.parquet", [pair(9)], row_group=1, carried=CARRIED)
    assert danqing.load(tmp_path, split="train")["key"] == [pair(9)["key"]]
