"""A curated root yields the pairs that every judge keeps, joined with what curate found, or says why it cannot."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading

import datasets
import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import danqing
from builder.disk import schema
from builder.disk.schema import CURATED
from builder.reasons import Cause, Reason

from ..curated import Curating, make_curated, write_curated
from ..roots import CARRIED, make_root, pair, write_shard
from ..scored import MIX, Scoring, make_scored

APPENDED = ("cos", "dup_count")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / ".cache")
    monkeypatch.delenv("DANQING_ROOT", raising=False)


def make(root, judges):
    """A root of 4 x 25 pairs that these have judged; its rows of both sidecars in one."""
    made = make_root(root)
    scores = make_scored(root) if "scores" in judges else [{"verdict": None, "kept": True}] * len(made)
    curated = make_curated(root) if "curated" in judges else [dict.fromkeys(CURATED.names)] * len(made)
    return [{**one, **other, "key": key} for one, other, key in zip(scores, curated, made, strict=True)]


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A root that was scored and curated, and its rows of both."""
    root = tmp_path_factory.mktemp("judged")
    return root, make(root, ("scores", "curated"))


def stream(root, config="pairs", split="train", **options):
    return danqing.load(root, config, split=split, streaming=True, **options)


def keys(rows):
    return [row["key"] for row in rows]


def kept(rows):
    return [row["key"] for row in rows if row["kept"] and row["reason"] is None]


@pytest.mark.parametrize("judges", [(), ("scores",), ("curated",), ("scores", "curated")])
@pytest.mark.parametrize("config", ["pairs", "manifest"])
def test_a_pair_is_served_where_all_judges_that_are_there_keep_it(tmp_path, judges, config):
    rows = make(tmp_path, judges)
    pairs = stream(tmp_path, config)
    assert keys(pairs) == keys(pairs.reshard()) == kept(rows)
    assert len(kept(rows)) == {(): 100, ("scores",): 70, ("curated",): 61}.get(judges, 42)
    assert ({*APPENDED} <= {*pairs.features}) is ("curated" in judges)
    assert ("verdict" in pairs.features) is ("scores" in judges)


def test_what_curate_dropped_does_not_come_back_though_scores_keep_it(judged):
    root, rows = judged
    lost = {row["key"] for row in rows if row["kept"] and row["reason"] is not None}
    assert lost
    assert not lost & {*keys(stream(root))}


def test_cosine_and_count_are_appended_and_the_others_come_when_asked_for(judged):
    root, rows = judged
    pairs = stream(root)
    appended = {name: danqing.FEATURES["curated"][name] for name in APPENDED}
    served = {name: danqing.FEATURES["scores"][name] for name in schema.SERVED}
    carried = datasets.Features.from_arrow_schema(CARRIED)
    promised = danqing.FEATURES["pairs"]
    assert pairs.features == datasets.Features({**promised, **carried, **served, **appended})
    by_key = {row["key"]: row for row in rows}
    for row in pairs.select_columns(["key", *APPENDED]):
        of = by_key[row["key"]]
        assert (row["cos"], row["dup_count"]) == (pytest.approx(of["cos"]), of["dup_count"])
    columns = ["key", "dup_cluster", "nearest", "reason", "cause"]
    found = list(stream(root, columns=columns, verdicts="all"))
    assert [*found[0]] == columns
    assert found == [{name: row[name] for name in columns} for row in rows]
    assert {row["reason"] for row in found} > {Reason.VERDICT, Reason.COPY, None}


@pytest.mark.parametrize("verdicts", ["drifted", ("same", "drifted"), "matching"])
def test_verdicts_bring_back_what_they_dropped_and_nothing_else_that_curate_dropped(judged, verdicts):
    root, rows = judged
    words = {verdicts} if isinstance(verdicts, str) else {*verdicts}
    expected = [
        row["key"] for row in rows if row["verdict"] in words and row["reason"] in (None, Reason.VERDICT)
    ]
    assert keys(stream(root, verdicts=verdicts, columns=["key", "verdict"])) == expected
    assert expected


def test_all_serves_whatever_was_judged(judged):
    root, rows = judged
    assert keys(stream(root, verdicts="all")) == keys(rows)


def test_verdicts_need_scores(tmp_path):
    make(tmp_path, ("curated",))
    with pytest.raises(ValueError, match=r"verdicts= needs a root with scores"):
        stream(tmp_path, verdicts="same")
    assert len(keys(stream(tmp_path, verdicts="all"))) == 100


FILTERS = [
    [("cos", ">=", 0.35)],
    [("dup_count", "==", 1), ("similarity", "<", 0.05)],
    [[("dup_cluster", "!=", "")], [("verdict", "==", "same"), ("cos", "<", 0.33)]],
    [("nearest", "in", [pair(0)["key"], pair(5)["key"]])],
    pc.field("reason").is_valid() & (pc.field("similarity") > 0.02),
    pc.field("cos") > pc.field("score_alt_text") * 3,
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
@pytest.mark.parametrize("verdicts", [None, "all"])
def test_filters_on_every_side(judged, filters, verdicts):
    root, rows = judged
    joined = pa.Table.from_pylist([pair(number) for number in range(100)])
    for names in (schema.SCORES, CURATED):
        table = pa.Table.from_pylist(rows, names)
        for name in {*names.names} - {*joined.column_names}:
            joined = joined.append_column(name, table[name])
    if verdicts is None:
        joined = joined.filter(pc.field("kept") & pc.field("reason").is_null())
    expression = pq.filters_to_expression(filters) if isinstance(filters, list) else filters
    expected = joined.filter(expression)["key"].to_pylist()
    assert expected or verdicts is None
    pairs = stream(root, verdicts=verdicts, filters=filters, columns=["key"])
    assert keys(pairs) == keys(pairs.reshard()) == expected


def test_validation_is_carved_from_the_kept_pairs(judged):
    root, rows = judged
    splits = danqing.load(root, streaming=True, validation=0.3, columns=["key"])
    held = [key for key in kept(rows) if schema.validation_share(key) < 0.3]
    assert keys(splits["validation"]) == held
    assert keys(splits["train"]) == [key for key in kept(rows) if key not in held]


def test_curated_is_a_config(judged):
    root, rows = judged
    found = stream(root, "curated")
    assert found.features == danqing.FEATURES["curated"]
    assert [row["reason"] for row in found] == [row["reason"] for row in rows]
    assert danqing.load(root, "curated", split="train")["key"] == keys(rows)


def test_curated_before_the_decision(tmp_path):
    make_root(tmp_path, shards=1, rows=3)
    with pytest.raises(FileNotFoundError, match=r"no shards for curated at .*`danqing curate"):
        stream(tmp_path, "curated")


def test_a_carried_column_does_not_stand_in_for_what_curate_found(tmp_path):
    carried = pa.schema([("cos", "float64"), ("reason", "string"), ("dup_count", "int64")])
    rows = [pair(number) | {"cos": 9.0, "reason": "old", "dup_count": 7} for number in range(20)]
    write_shard(tmp_path / "images" / "train-00000-of-00001.parquet", rows, row_group=8, carried=carried)
    made = make_curated(tmp_path)
    found = list(stream(tmp_path, filters=[("cos", "<", 0.5), ("dup_count", "<", 4)]))
    assert [row["cos"] for row in found] == pytest.approx([row["cos"] for row in made if not row["reason"]])
    assert {row["dup_count"] for row in found} <= {1, 2, 3}


def test_map_style_and_a_new_decision_is_not_served_from_the_cache(tmp_path):
    rows = make(tmp_path, ("scores", "curated"))
    assert danqing.load(tmp_path, split="train")["key"] == kept(rows)
    again = make_curated(tmp_path, Curating(mix=(None, Reason.COPY), decision="e" * 16))
    second = [row | other for row, other in zip(rows, again, strict=True)]
    assert danqing.load(tmp_path, split="train")["key"] == kept(second) != kept(rows)


# What spoils a root, by what the message must say of it.


def _file(root):
    return root / "curated" / "train-00001-of-00004.parquet"


def _respell_a_key(root, rows):
    part = rows[25:50]
    write_curated(_file(root), [*part[:13], part[13] | {"key": "0" * 32}, *part[14:]], Curating())


def _rebuild_a_shard(root, rows):
    shard = root / "images" / _file(root).name
    write_shard(shard, [pair(number) for number in (*range(25, 38), 39, 38, *range(40, 50))], 10)


def _decide_scores_anew(root, rows):
    make_scored(root, Scoring(decision="e" * 16))


def _remove_scores(root, rows):
    shutil.rmtree(root / "scores")
    shutil.rmtree(root / "ledger" / "revalidate")


def _document(root, document):
    (root / "ledger" / "curate" / "decision.json").write_text(json.dumps(document))


SPOILT = {
    r"curated/train-00001-of-00004.parquet: row 13 is of pair 0{32}, in images/ it is \w{32}": _respell_a_key,
    r"curated/train-00001-of-00004.parquet: 24 rows, in images/ there are 25": lambda root, rows: (
        write_curated(_file(root), rows[25:49], Curating())
    ),
    r"curated/train-00001-of-00004.parquet: of decision a{16}, ledger/ has c{16}": lambda root, rows: (
        write_curated(_file(root), rows[25:50], Curating(decision="a" * 16))
    ),
    r"curated/train-00001-of-00004.parquet: not there, though": lambda root, _: _file(root).unlink(),
    r"curated/train-00000-of-00004.parquet: not there, though": lambda root, _: shutil.rmtree(
        root / "curated"
    ),
    r"curated/train-00001-of-00004.parquet is not a Parquet file": lambda root, _: _file(root).write_bytes(
        b"none"
    ),
    r"curated/train-00001-of-00004.parquet: no curated of this version: column reason": lambda root, _: (
        pq.write_table(pq.read_table(_file(root)).drop_columns(["reason"]), _file(root))
    ),
    r"curate/decision.json is not JSON": lambda root, _: (root / "ledger/curate/decision.json").write_text(
        "["
    ),
    r"curate/decision.json: no decision": lambda root, _: _document(root, []),
    r"curate/decision.json: not there": lambda root, _: (root / "ledger/curate/decision.json").unlink(),
}


@pytest.mark.parametrize(("message", "spoil"), SPOILT.items(), ids=list(SPOILT))
def test_curated_of_something_else_is_refused(tmp_path, message, spoil):
    spoil(tmp_path, make(tmp_path, ("scores", "curated")))
    with pytest.raises(ValueError, match=message) as caught:
        list(stream(tmp_path, columns=["key"]))
    assert str(caught.value).count("\n") == 0
    assert f"run `danqing curate {tmp_path}`" in str(caught.value)


def test_a_shard_that_was_rebuilt_since_is_refused_though_its_scores_are_new(tmp_path):
    _rebuild_a_shard(tmp_path, make(tmp_path, ("curated",)))
    with pytest.raises(ValueError, match=r"row 13 .* made anew since it was curated; run `danqing curate"):
        list(stream(tmp_path, columns=["key"]))


@pytest.mark.parametrize("config", ["pairs", "manifest", "live"])
@pytest.mark.parametrize(
    ("judges", "then", "said"),
    [
        (
            ("scores", "curated"),
            _decide_scores_anew,
            "curated by scores of decision d{16}, .*revalidate has e{16}",
        ),
        (("curated",), _decide_scores_anew, "curated by no scores, and ledger/revalidate has e{16}"),
        (
            ("scores", "curated"),
            _remove_scores,
            "curated by scores of decision d{16}, .*revalidate has no decision",
        ),
    ],
)
def test_scores_that_were_decided_anew_ask_for_another_decision_of_curate(
    tmp_path, config, judges, then, said
):
    then(tmp_path, make(tmp_path, judges))
    for place in ({"data_dir": str(tmp_path)}, {"data_files": f"{tmp_path}/images/*.parquet"}):
        with pytest.raises(ValueError, match=rf"{said}: run `danqing curate {tmp_path} --decide`$"):
            datasets.load_dataset("danqing", config, split="train", streaming=True, **place)


def test_live_does_not_fetch_what_curate_dropped(tmp_path):
    make(tmp_path, ("curated",))
    with pytest.raises(ValueError, match=r"is of a root that was curated, and live would fetch"):
        stream(tmp_path, "live")


def test_a_root_of_which_curate_keeps_nothing_warns(tmp_path, caplog):
    make_root(tmp_path, shards=2)
    make_curated(tmp_path, Curating(mix=(Reason.FLAT,), decision="0" * 16))
    with caplog.at_level("WARNING", "danqing"):
        assert list(stream(tmp_path, columns=["key"])) == []
    (said,) = (one.getMessage() for one in caplog.records)
    assert said.startswith(f"{tmp_path}: curate keeps none of its pairs")


def test_several_roots_each_by_its_own_judges(tmp_path):
    rows = []
    for number, judges in enumerate([(), ("scores",), ("curated",), ("scores", "curated")]):
        rows.append(make(tmp_path / str(number), judges))
    found = danqing.load(data_files=f"{tmp_path}/*/images/*.parquet", split="train", streaming=True)
    assert keys(found) == keys(found.reshard()) == [key for one in rows for key in kept(one)]
    assert [row["dup_count"] is None for row in found.select_columns(["dup_count"])] == [True] * 170 + [
        False
    ] * 103
    options = {"verdicts": ["same"], "filters": [("cos", "<", 0.35)], "columns": ["key", "cos", "verdict"]}
    some = danqing.load(data_files=f"{tmp_path}/*/images/*.parquet", split="train", streaming=True, **options)
    expected = [row["key"] for row in rows[3] if row["reason"] is None and row["verdict"] == "same"]
    assert keys(some) == [key for key in expected if key in {r["key"] for r in rows[3] if r["cos"] < 0.35}]


def test_links_lead_to_the_root_they_come_from(judged, tmp_path):
    root, rows = judged
    (tmp_path / "linked").symlink_to(root / "images")
    found = danqing.load(data_files=f"{tmp_path}/linked/*.parquet", split="train", streaming=True)
    assert keys(found) == kept(rows)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "images").symlink_to(root / "images")
    own = make_curated(tmp_path / "other", Curating(mix=(Reason.COPY, None)))
    assert keys(stream(tmp_path / "other")) == [row["key"] for row in own if row["reason"] is None]


def test_root_on_another_file_system(judged):
    root, rows = judged
    memory = fsspec.filesystem("memory")
    for folder in ("images", "scores", "curated", "ledger"):
        memory.put(str(root / folder), f"/curated/danqing/{folder}", recursive=True)
    pairs = stream("memory://curated/danqing", columns=["key", "cos"])
    assert keys(pairs) == keys(pairs.reshard()) == kept(rows)


class Server(http.server.SimpleHTTPRequestHandler):
    """A server that lists no folder."""

    def list_directory(self, path):
        self.send_error(404)

    def log_message(self, *_):
        pass


def test_root_over_http(tmp_path):
    make_root(tmp_path, shards=2, rows=10)
    scores = make_scored(tmp_path, Scoring(mix=[*MIX[:5], Cause.HASH]))
    rows = [row | other for row, other in zip(scores, make_curated(tmp_path), strict=True)]
    (tmp_path / "ledger" / "rebuild").mkdir(parents=True)
    plan = {"shards": {"train": 2}, "rows": {}, "config": {"format": "parquet", "validation": 0.0}}
    (tmp_path / "ledger" / "rebuild" / "plan.json").write_text(json.dumps(plan))
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Server, directory=tmp_path)
    ) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert keys(stream(address)) == kept(rows)
        assert len(keys(stream(address, "curated"))) == 20
        shutil.rmtree(tmp_path / "curated")
        with pytest.raises(ValueError, match=r"/curated/.*: not there.*`danqing curate http"):
            stream(address)
        server.shutdown()
        thread.join()
