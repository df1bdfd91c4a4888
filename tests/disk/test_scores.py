"""A scored root yields the pairs that are kept, joined with their scores, or says in one line why it cannot."""

from __future__ import annotations

import io
import json
import pickle
import random

import datasets
import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader

import danqing
from builder.disk import batches, schema, sidecar
from builder.disk.sidecar import Sidecar
from builder.reasons import Cause, Verdict
from tests.processes import loaded

from ..roots import CARRIED, FETCHED, jpeg, make_root, pair, write_shard
from ..scored import DECISION, Scoring, make_scored, write_scores

LIGHT = ["key", "score_alt_text", "p", "verdict"]


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / ".cache")
    monkeypatch.delenv("DANQING_ROOT", raising=False)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A root of 4 x 25 pairs, and the rows of its scores/."""
    root = tmp_path_factory.mktemp("scored")
    make_root(root)
    return root, make_scored(root)


def stream(root, config="pairs", split="train", **options):
    return danqing.load(root, config, split=split, streaming=True, **options)


def keys(rows):
    return [row["key"] for row in rows]


def kept(rows):
    return [row["key"] for row in rows if row["kept"]]


def test_kept_pairs_with_their_scores(scored):
    root, rows = scored
    found = list(stream(root))
    assert keys(found) == kept(rows)
    assert len(found) == 70
    by_key = {row["key"]: row for row in rows}
    for row in found:
        score = by_key[row["key"]]
        assert row["verdict"] == score["verdict"]
        assert row["suspect"] is score["suspect"]
        assert row["score_alt_text"] == pytest.approx(score["score_alt_text"])
        assert (row["p"] is None) == (score["p"] is None)
        assert (row["score_recaption"] is None) == (row["recaption"] is None)
        assert row["image"].size == (16, 16)


def test_features_are_those_of_pairs_and_of_scores(scored):
    served = {name: danqing.FEATURES["scores"][name] for name in schema.SERVED}
    carried = datasets.Features.from_arrow_schema(CARRIED)
    promised = danqing.FEATURES["pairs"]
    assert stream(scored[0]).features == datasets.Features({**promised, **carried, **served})
    assert [*stream(scored[0]).features][-len(served) :] == [*served]


CHOICES = ["drifted", ("drifted",), ["same", "dead"], "all", ("all",), ("matching",)]


@pytest.mark.parametrize("verdicts", CHOICES)
@pytest.mark.parametrize("config", ["pairs", "manifest"])
def test_verdicts_choose_the_pairs(scored, config, verdicts):
    root, rows = scored
    words = {verdicts} if isinstance(verdicts, str) else {*verdicts}
    expected = [row["key"] for row in rows if words & {row["verdict"], "all"}]
    assert keys(stream(root, config, verdicts=verdicts, columns=LIGHT)) == expected
    assert expected


def test_manifest_of_a_scored_root_leaves_the_same_pairs_out(scored):
    root, rows = scored
    found = list(stream(root, "manifest"))
    assert keys(found) == kept(rows)
    assert "image" not in found[0]
    assert found[0]["verdict"] == "same"


def test_root_without_scores_is_as_ever(tmp_path):
    found = make_root(tmp_path, shards=1, rows=3)
    assert keys(stream(tmp_path)) == found
    assert not {*schema.SERVED} & {*stream(tmp_path).features}
    with pytest.raises(ValueError, match=r"verdicts= needs a root with scores.*`danqing revalidate ROOT`"):
        stream(tmp_path, verdicts="drifted")


@pytest.mark.parametrize(
    ("config", "verdicts", "message"),
    [
        ("pairs", "drift", f"verdicts='drift': give some of {', '.join(Verdict)}, or all"),
        ("pairs", (), r"verdicts=\(\): give some of"),
        ("pairs", ("all", "same"), "give some of"),
        ("outcomes", "same", "give it to the configs pairs or manifest, not to outcomes"),
    ],
)
def test_verdicts_that_make_no_sense(scored, config, verdicts, message):
    with pytest.raises(ValueError, match=message):
        stream(scored[0], config, verdicts=verdicts)


def test_scores_are_a_config(scored):
    root, rows = scored
    found = list(stream(root, "scores"))
    assert stream(root, "scores").features == danqing.FEATURES["scores"]
    assert keys(found) == keys(rows)
    assert [row["cause"] for row in found] == [row["cause"] for row in rows]
    assert len(found[0]["code"]) * 8 == schema.CODE_BITS


def test_scores_before_the_verdicts(tmp_path):
    make_root(tmp_path, shards=1, rows=3)
    with pytest.raises(FileNotFoundError, match=r"no shards for scores at .*`danqing revalidate"):
        stream(tmp_path, "scores")
    make_scored(tmp_path, Scoring(decided=False))
    assert list(stream(tmp_path, "scores").features) == schema.SCORED.names


# What spoils a root, by what the message must say of it.


def _file(root):
    return root / "scores" / "train-00001-of-00003.parquet"


def _respell_a_key(root, rows):
    rows = [*rows[25:50]]
    rows[13] = rows[13] | {"key": "0" * 32}
    write_scores(_file(root), rows, Scoring())


def _swap_two(root, rows):
    write_scores(_file(root), [*rows[25:38], rows[39], rows[38], *rows[40:50]], Scoring())


def _shorten(root, rows):
    write_scores(_file(root), rows[25:49], Scoring())


def _decide_otherwise(root, rows):
    write_scores(_file(root), rows[25:50], Scoring(decision="a" * 16))


def _leave_undecided(root, rows):
    write_scores(_file(root), rows[25:50], Scoring(decided=False))


def _rewrite(root, rows):
    _file(root).write_bytes(b"none")


def _without_a_column(root, rows):
    pq.write_table(pq.read_table(_file(root)).drop_columns(["kept"]), _file(root))


def _with_another_type(root, rows):
    table = pq.read_table(_file(root))
    at = table.schema.get_field_index("kept")
    pq.write_table(table.set_column(at, "kept", table["kept"].cast(pa.int8())), _file(root))


SPOILT = {
    r"scores/train-00001-of-00003.parquet: no scores of this version: column kept is missing": _without_a_column,
    r"scores/train-00001-of-00003.parquet: no scores of this version: column kept is int8": _with_another_type,
    r"decision.json is not JSON": lambda root, _: (root / "ledger/revalidate/decision.json").write_text(
        "[" * 100_000
    ),
    r"scores/train-00001-of-00003.parquet: row 13 is of pair 0{32}, in images/ it is \w{32}": _respell_a_key,
    r"scores/train-00001-of-00003.parquet: row 13 is of pair": _swap_two,
    r"scores/train-00001-of-00003.parquet: 24 rows, in images/ there are 25": _shorten,
    r"scores/train-00001-of-00003.parquet: of decision a{16}, ledger/ has d{16}": _decide_otherwise,
    r"scores/train-00001-of-00003.parquet: without a decision": _leave_undecided,
    r"scores/train-00001-of-00003.parquet: not there, though": lambda root, _: _file(root).unlink(),
    r"scores/train-00001-of-00003.parquet is not a Parquet file": _rewrite,
    r"decision.json: not there": lambda root, _: (root / "ledger/revalidate/decision.json").unlink(),
    r"decision.json: no decision": lambda root, _: (root / "ledger/revalidate/decision.json").write_text(
        "[]"
    ),
}


@pytest.mark.parametrize(("message", "spoil"), SPOILT.items(), ids=list(SPOILT))
def test_scores_of_something_else_are_refused(tmp_path, message, spoil):
    make_root(tmp_path, shards=3)
    spoil(tmp_path, make_scored(tmp_path))
    with pytest.raises(ValueError, match=message) as caught:
        list(stream(tmp_path, columns=["key"], verdicts="all"))
    assert str(caught.value).count("\n") == 0
    assert f"run `danqing revalidate {tmp_path}`" in str(caught.value)


def test_a_shard_in_another_order_is_found_out_where_the_row_is_in_the_middle_of_the_groups_read(tmp_path):
    """The wrong row is named by its place in the file, though the groups before it were not read."""
    make_root(tmp_path, shards=1, rows=50)
    mix = [*[Cause.UNRELATED] * 20, *[Cause.HASH] * 30]
    rows = make_scored(tmp_path, Scoring(mix=mix))
    rows[34], rows[35] = rows[35], rows[34]
    write_scores(tmp_path / "scores" / "train-00000-of-00001.parquet", rows, Scoring())
    with pytest.raises(ValueError, match="row 34 is of pair"):
        list(stream(tmp_path, batch_size=4))


class Recording(io.BytesIO):
    """A file that remembers which of its bytes were read."""

    def __init__(self, data):
        super().__init__(data)
        self.reads = []

    def read(self, size=-1, /):
        start = self.tell()
        data = super().read(size)
        self.reads.append((start, start + len(data)))
        return data


def groups_read(file, column):
    """The row groups of which a byte of a column was read."""
    metadata = pq.read_metadata(io.BytesIO(file.getvalue()))
    footer = len(file.getvalue()) - 8 - metadata.serialized_size  # read together with what is in front of it
    (leaf,) = [i for i in range(metadata.num_columns) if metadata.schema.column(i).path == column]
    found = set()
    for group in range(metadata.num_row_groups):
        chunk = metadata.row_group(group).column(leaf)
        start = chunk.dictionary_page_offset or chunk.data_page_offset
        end = start + chunk.total_compressed_size
        found |= {group for low, high in file.reads if low < end and start < high <= footer}
    return found


@pytest.fixture(scope="module")
def heavy(tmp_path_factory):
    """One shard of 6 groups of 10 pairs with pictures of 4 KB; in groups 1 and 4 no pair is kept."""
    root = tmp_path_factory.mktemp("heavy")
    noise = random.Random(0)
    rows = [pair(number, noise.randbytes(4096)) for number in range(60)]
    images = root / "images" / "train-00000-of-00001.parquet"
    write_shard(images, rows, row_group=10)
    lost, other = [Cause.UNRELATED] * 10, [Cause.HASH, Cause.CODE, Cause.UNRELATED, Cause.CAPTION, Cause.HASH]
    mix = [*other, *other, *lost, *other, *other, *other, *other, *lost, *other, *other]
    make_scored(root, Scoring(mix=mix, row_group=7))
    return images.read_bytes(), (root / "scores" / images.name).read_bytes()


def read(heavy, groups=None, verdicts=None, **reading):
    images, scores = Recording(heavy[0]), io.BytesIO(heavy[1])
    where = Sidecar(schema.SCORING, "scores.parquet", "/root/scores/scores.parquet", DECISION)
    reading = batches.Reading(verdicts=verdicts, **{"columns": ["key", "image", *schema.SERVED]} | reading)
    tables = sidecar.read(images, groups, reading, [(scores, where)])
    found = [row for table in tables for row in table.to_pylist()]
    return images, found


@pytest.mark.parametrize(
    ("options", "groups"),
    [
        ({}, {0, 2, 3, 5}),
        ({"verdicts": "all"}, {0, 1, 2, 3, 4, 5}),
        ({"verdicts": ("drifted",)}, {0, 1, 2, 3, 4, 5}),
        ({"verdicts": ("placeholder",)}, set()),
        ({"groups": (1, 2)}, {2}),
        ({"groups": (4,)}, set()),
        ({"filters": [("similarity", ">=", 0.035)]}, {3, 5}),
        ({"filters": pc.field("similarity") >= 0.035}, {3, 5}),
        ({"filters": [[("similarity", ">=", 0.035), ("score_alt_text", ">", -1)]]}, {3, 5}),
        ({"filters": [("p", ">", 0.9)], "verdicts": "all"}, {0, 1, 2, 3, 4, 5}),
        ({"filters": [("p", ">", 2.0)], "verdicts": "all"}, set()),
        ({"part": "validation", "share": 1e-9}, set()),
    ],
)
def test_pictures_of_a_group_without_a_wanted_pair_are_not_read(heavy, options, groups):
    images, _ = read(heavy, **options)
    assert groups_read(images, "image.bytes") == groups


def test_columns_without_the_picture_read_none(heavy):
    images, found = read(heavy, columns=["key", "alt_text"])
    assert groups_read(images, "image.bytes") == set()
    assert groups_read(images, "alt_text") == {0, 2, 3, 5}
    assert [*found[0]] == ["key", "alt_text"]
    assert len(found) == 32


def test_of_the_scores_only_the_groups_at_the_side_are_read(heavy):
    recording = Recording(heavy[1])
    where = Sidecar(schema.SCORING, "scores.parquet", "/root/scores/scores.parquet", DECISION)
    reading = batches.Reading(["key", "verdict"])
    tables = sidecar.read(io.BytesIO(heavy[0]), (3,), reading, [(recording, where)])
    assert sum(table.num_rows for table in tables) == 8
    assert groups_read(recording, "verdict") == {4, 5}


FILTERS = [
    [("score_alt_text", ">=", 0.1)],
    [("score_alt_text", ">=", 0.1), ("similarity", "<", 0.0505)],
    [[("verdict", "==", "moved")], [("p", "<", 0.0007), ("similarity", ">", 0.0205)]],
    [("verdict", "in", ("moved", "matching")), ("suspect", "==", False)],
    [("cause", "==", "caption")],
    [("phash", "<", f"{30:016x}"), ("code_distance", "<", 20)],
    pc.field("score_alt_text") >= 0.1,
    (pc.field("score_alt_text") >= 0.1) & (pc.field("similarity") < 0.0505),
    pc.field("p").is_null() | (pc.field("width") > 16),
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("verdicts", [None, "all"])
def test_filters_on_both_sides(scored, filters, verdicts):
    root, rows = scored
    images = [pair(number) for number in range(100)]
    scores = pa.Table.from_pylist(rows, schema.SCORES).drop_columns(["phash", "key"])
    joined = pa.Table.from_pylist(images)
    for name in scores.column_names:
        joined = joined.append_column(name, scores[name])
    if verdicts is None:
        joined = joined.filter(joined["kept"])
    expression = pq.filters_to_expression(filters) if isinstance(filters, list) else filters
    expected = joined.filter(expression)["key"].to_pylist()
    assert 0 < len(expected) < joined.num_rows
    pairs = stream(root, verdicts=verdicts, filters=filters, columns=["key"])
    assert keys(pairs) == keys(pairs.reshard()) == expected


@pytest.mark.parametrize("filters", [pc.field("clip") > 1, pc.field("_") > 1, [("clip", ">", 1)]], ids=str)
def test_filter_on_a_column_of_neither(scored, filters):
    with pytest.raises(ValueError, match=r"^filters: no column (clip|_) in .*: there are key, .*, kept$"):
        stream(scored[0], filters=filters)


@pytest.mark.parametrize("options", [{}, {"batch_size": 3}, {"verdicts": ("moved", "drifted")}])
def test_resharded_shuffled_and_shared_out(scored, options):
    pairs = stream(scored[0], columns=LIGHT, **options)
    expected = keys(pairs)
    assert keys(pairs.reshard()) == expected
    parts = [split_dataset_by_node(pairs.reshard().shuffle(seed=1), rank, 3) for rank in range(3)]
    assert sorted(key for part in parts for key in keys(part)) == sorted(expected)


def test_workers_yield_every_kept_pair_once(scored):
    root, rows = scored
    loader = DataLoader(
        stream(root), batch_size=8, num_workers=2, collate_fn=list, multiprocessing_context="fork"
    )
    assert sorted(key for batch in loader for key in keys(batch)) == sorted(kept(rows))


@pytest.mark.parametrize("stop", [1, 17, 18, 50, 69])
def test_resume_is_exact(scored, stop):
    root, rows = scored
    pairs = stream(root, columns=LIGHT)
    iterator = iter(pairs)
    head = keys(next(iterator) for _ in range(stop))
    again = stream(root, columns=LIGHT)
    again.load_state_dict(pickle.loads(pickle.dumps(pairs.state_dict())))
    assert head + keys(again) == kept(rows)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_validation_is_carved_from_the_kept_pairs(scored, share):
    root, rows = scored
    splits = danqing.load(root, streaming=True, validation=share, columns=["key"])
    held = [key for key in kept(rows) if schema.validation_share(key) < share]
    assert keys(splits["validation"]) == keys(splits["validation"].reshard()) == held
    assert keys(splits["train"]) == [key for key in kept(rows) if key not in held]


def test_splits_have_their_own_scores(tmp_path):
    make_root(tmp_path, shards=1, rows=20)
    make_root(tmp_path, shards=2, rows=10, split="validation")
    rows = make_scored(tmp_path)
    splits = danqing.load(tmp_path, columns=["key"])
    assert splits["train"]["key"] == kept(rows[:20])
    assert splits["validation"]["key"] == kept(rows[20:])


def test_map_style_with_processes(scored):
    root, rows = scored
    assert loaded(root)[0] == kept(rows)
    assert (
        danqing.load(root, split="train", verdicts="drifted", columns=["verdict"])["verdict"]
        == ["drifted"] * 10
    )


def test_nothing_to_yield(tmp_path):
    make_root(tmp_path, shards=2, rows=5)
    make_scored(tmp_path, Scoring(mix=[Cause.UNRELATED]))
    assert list(stream(tmp_path)) == list(stream(tmp_path).reshard()) == []


def test_empty_shards_are_no_trouble(tmp_path):
    make_root(tmp_path, shards=2, rows=0)
    make_scored(tmp_path)
    assert list(stream(tmp_path)) == list(stream(tmp_path).reshard()) == []


def test_captions_of_kept_pairs(scored):
    root, rows = scored
    found = list(stream(root, caption="recaption", columns=["verdict"]))
    assert [*found[1]] == ["verdict", "caption"]
    assert [row["caption"] for row in found][:2] == ["第0张图片", "重写的第1句"]
    assert len(found) == len(kept(rows))


def test_broken_pictures_are_skipped_whatever_their_verdict(tmp_path):
    rows = [pair(number, jpeg(number) if number % 2 else b"") for number in range(6)]
    write_shard(tmp_path / "images" / "train-00000-of-00001.parquet", rows, row_group=4)
    make_scored(tmp_path, Scoring(mix=[Cause.NO_PICTURE, Cause.HASH]))
    assert keys(stream(tmp_path, verdicts="all")) == keys(rows[1::2])
    assert keys(stream(tmp_path, verdicts="dead", decode=False)) == keys(rows[::2])


def test_a_carried_column_does_not_stand_in_for_a_score(tmp_path):
    """A verified manifest carries the score of its own day under the name that this one's has."""
    carried = pa.schema([("score_alt_text", "float64"), ("code", "binary")])
    rows = [pair(number) | {"score_alt_text": 0.9, "code": b"old"} for number in range(20)]
    write_shard(tmp_path / "images" / "train-00000-of-00001.parquet", rows, row_group=8, carried=carried)
    make_scored(tmp_path)
    found = list(stream(tmp_path, filters=[("score_alt_text", "<", 0.5), ("code", "==", b"old")]))
    assert len(found) == 14
    assert max(row["score_alt_text"] for row in found) < 0.5
    assert {row["code"] for row in found} == {b"old"}


AWAY = ["judged/danqing", "judged/danqing@v1.0/a b", "judged/100%25 %5B1%5D/#2"]


@pytest.mark.parametrize("place", AWAY)
def test_root_on_another_file_system(scored, place):
    root, rows = scored
    memory = fsspec.filesystem("memory")
    for folder in ("images", "scores", "ledger"):
        memory.put(str(root / folder), f"/{place}/{folder}", recursive=True)
    pairs = stream(f"memory://{place}", columns=LIGHT)
    assert keys(pairs) == keys(pairs.reshard()) == kept(rows)


def test_data_files_are_joined_and_each_must_have_scores(tmp_path):
    roots = [tmp_path / "[1]", tmp_path / "two"]
    rows = []
    for root, decision in zip(roots, ("a" * 16, "b" * 16), strict=True):
        make_root(root, shards=2, rows=20)
        rows += [make_scored(root, Scoring(decision=decision))]
    files = {"train": [str(roots[1] / "images" / "*-00001-*"), f"{tmp_path}/[[]1]/images/*-00000-*"]}
    found = danqing.load(data_files=files, split="train", streaming=True, columns=["key"])
    assert keys(found) == kept(rows[1][20:]) + kept(rows[0][:20])
    (roots[0] / "scores" / "train-00000-of-00002.parquet").unlink()
    with pytest.raises(ValueError, match=r"1\]/scores/train-00000-of-00002.parquet: not there, though"):
        danqing.load(data_files=files, split="train", streaming=True)


def test_data_files_out_of_no_root_have_no_scores(tmp_path):
    write_shard(tmp_path / "part-0.parquet", [pair(0)], row_group=1)
    found = danqing.load(data_files=str(tmp_path / "*.parquet"), split="train", streaming=True)
    assert keys(found) == [pair(0)["key"]]


def test_a_new_decision_is_not_served_from_the_cache(tmp_path):
    make_root(tmp_path, shards=2, rows=20)
    first = make_scored(tmp_path)
    assert danqing.load(tmp_path, split="train")["key"] == kept(first)
    second = make_scored(tmp_path, Scoring(mix=[Cause.HASH, Cause.UNRELATED], decision="e" * 16))
    assert danqing.load(tmp_path, split="train")["key"] == kept(second) != kept(first)
    again = datasets.load_dataset_builder("danqing", data_dir=str(tmp_path)).cache_dir
    assert datasets.load_dataset_builder("danqing", data_dir=str(tmp_path)).cache_dir == again


def test_a_stream_of_before_a_new_decision_ends(tmp_path):
    make_root(tmp_path, shards=1, rows=5)
    make_scored(tmp_path)
    pairs = stream(tmp_path)
    make_scored(tmp_path, Scoring(decision="e" * 16))
    with pytest.raises(ValueError, match=f"of decision e{{16}}, ledger/ has {DECISION}"):
        list(pairs)


def test_the_decision_is_the_one_of_the_ledger(scored):
    said = json.loads((scored[0] / "ledger" / "revalidate" / "decision.json").read_text())
    assert said["kept"] == len(list(stream(scored[0], columns=["key"])))
    dates = {row["fetched_at"] for row in stream(scored[0], columns=["fetched_at"])}
    assert dates == {int(FETCHED.timestamp() * 1000)}


@pytest.mark.parametrize("streaming", [True, False])
def test_pairs_and_scores_become_tensors_and_hashes_stay_whole(scored, streaming):
    """Of a 64-bit hash torch would make a negative number."""
    root, rows = scored
    found = danqing.load(root, "scores", split="train", streaming=streaming).with_format("torch")
    for name in ("phash", "caption_hash"):
        wanted = [None if row[name] is None else f"{row[name]:016x}" for row in rows]
        assert [row[name] for row in found] == wanted
        some = rows[7][name]
        for spelling in (some, f"{some:016x}"):
            chosen = stream(root, "scores", filters=[(name, "in", [spelling])], columns=["key"])
            assert rows[7]["key"] in keys(chosen)
            assert len(keys(chosen)) < len(rows)
    pairs = danqing.load(root, split="train", streaming=streaming).with_format("torch")
    assert len([row["fetched_at"].item() for row in pairs]) == len(kept(rows))


def test_a_hash_in_a_filter_may_be_of_the_scores(scored):
    root, rows = scored
    some = next(row for row in rows if row["kept"])
    filters = [("caption_hash", "==", f"{some['caption_hash']:016x}")]
    assert keys(stream(root, filters=filters)) == [some["key"]]


def test_a_root_of_which_nothing_is_kept_warns_once(tmp_path, caplog):
    make_root(tmp_path, shards=2)
    make_scored(tmp_path, Scoring(mix=(Cause.UNRELATED,), decision="e" * 16))
    with caplog.at_level("WARNING", "danqing"):
        assert [list(stream(tmp_path, columns=["key"])) for _ in range(2)] == [[], []]
        assert len(list(stream(tmp_path, columns=["key"], verdicts="all"))) == 50
    (said,) = (one.getMessage() for one in caplog.records)
    assert said.startswith(f"{tmp_path}: none of its pairs is kept by their verdicts")
    assert f"danqing revalidate {tmp_path} --decide --alpha LEVEL" in said
