"""What was dropped comes back nowhere by itself: not among other roots, from a copy of a part, or over HTTP."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
import zipfile

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import danqing
from builder.reasons import Cause

from .published import made
from .roots import make_root, pair, write_shard
from .scored import Scoring, make_scored


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / ".cache")
    monkeypatch.delenv("DANQING_ROOT", raising=False)


@pytest.fixture
def scored(tmp_path):
    """A root of 2 x 10 pairs with verdicts, and the rows of its scores/."""
    make_root(tmp_path / "scored", shards=2, rows=10)
    return tmp_path / "scored", make_scored(tmp_path / "scored")


def load(config="pairs", streaming=True, **options):
    return datasets.load_dataset("danqing", config, split="train", streaming=streaming, **options)


def keys(rows):
    return [row["key"] for row in rows]


def kept(rows):
    return [row["key"] for row in rows if row["kept"]]


@pytest.fixture
def mixed(scored, tmp_path):
    """The same beside a root without verdicts, by a glob over both: the files, and the keys of each."""
    _, rows = scored
    write_shard(
        tmp_path / "fresh" / "images" / "train-00000-of-00001.parquet", [pair(n) for n in range(50, 60)], 4
    )
    return {"train": [f"{tmp_path}/*/images/*.parquet"]}, [pair(n)["key"] for n in range(50, 60)], rows


@pytest.mark.parametrize("config", ["pairs", "manifest"])
@pytest.mark.parametrize("streaming", [True, False])
def test_several_roots_each_by_its_own_verdicts(mixed, config, streaming):
    files, fresh, rows = mixed
    found = load(config, streaming, data_files=files)
    assert keys(found) == fresh + kept(rows)
    assert [row["verdict"] for row in found][9:11] == [None, "same"]
    if streaming:
        assert keys(found.reshard()) == fresh + kept(rows)


CHOSEN = {
    "all": ({"verdicts": "all"}, lambda fresh, rows: fresh + keys(rows)),
    "drifted": (
        {"verdicts": "drifted"},
        lambda _, rows: [row["key"] for row in rows if row["verdict"] == "drifted"],
    ),
    "filters": (
        {"filters": [("p_caption", "<", 0.01)]},
        lambda _, rows: [row["key"] for row in rows if row["kept"] and (row["p_caption"] or 1) < 0.01],
    ),
    "filters of both": (
        {"filters": [[("similarity", ">", 0.055)], [("verdict", "==", "same")]]},
        lambda fresh, rows: fresh[6:] + [row["key"] for row in rows if row["verdict"] == "same"],
    ),
    "columns": ({"columns": ["key", "p"]}, lambda fresh, rows: fresh + kept(rows)),
    "split": ({"validation": 1e-9}, lambda fresh, rows: fresh + kept(rows)),
}


@pytest.mark.parametrize(("options", "expected"), CHOSEN.values(), ids=list(CHOSEN))
def test_options_mean_the_same_in_several_roots(mixed, options, expected):
    files, fresh, rows = mixed
    assert keys(load(data_files=files, **options)) == expected(fresh, rows)


def test_a_release_among_them_keeps_to_its_own_verdicts(scored, tmp_path):
    root, rows = scored
    made.make(tmp_path / "release", made.Kind())
    found = load(data_files=[f"{tmp_path}/release/images/train-*.parquet", f"{root}/images/*.parquet"])
    release = keys(load(data_dir=str(tmp_path / "release")))
    assert keys(found) == release + kept(rows)
    assert set(release).isdisjoint(keys(rows))


def test_a_file_deeper_down_takes_no_verdict_away(scored):
    root, rows = scored
    write_shard(root / "images" / "more" / "train-0.parquet", [pair(90)], 1)
    found = load(data_files=[f"{root}/images/*.parquet", f"{root}/images/more/*.parquet"])
    assert keys(found) == [*kept(rows), pair(90)["key"]]


@pytest.mark.parametrize("config", ["pairs", "manifest"])
def test_other_tables_of_the_root_bring_nothing_back(scored, config):
    """The outcomes name the URL of every pair, whatever its verdict."""
    root, _ = scored
    for files in ("**/*.parquet", ["images/*.parquet", "outcomes/*.parquet"], "outcomes/*.parquet"):
        with pytest.raises(ValueError, match=r"outcomes/train-00000-of-00002.parquet"):
            keys(load(config, data_dir=str(root), data_files=files))
    with pytest.raises(ValueError, match=r"no column (image|url) in .*/scores/train-00000-of-00002.parquet"):
        keys(load(config, data_dir=str(root), data_files=["images/*.parquet", "scores/*.parquet"]))
    shutil.rmtree(root / "images")
    if config == "manifest":
        with pytest.raises(ValueError, match=r"is no manifest, but outcomes of a rebuild"):
            load(config, data_dir=str(root))


def test_keys_are_the_same_in_other_string_types(scored):
    root, rows = scored
    for shard in (root / "images").iterdir():
        table = pq.read_table(shard)
        pq.write_table(table.set_column(0, "key", table["key"].cast(pa.large_string())), shard)
    assert keys(load(data_dir=str(root))) == kept(rows)


def test_links_lead_to_the_root_they_come_from(scored, tmp_path):
    root, rows = scored
    (tmp_path / "gathered").mkdir()
    for file in (root / "images").iterdir():
        (tmp_path / "gathered" / file.name).symlink_to(file)
    (tmp_path / "linked").symlink_to(root / "images")
    for place in ("gathered", "linked"):
        assert keys(load(data_files=f"{tmp_path}/{place}/*.parquet")) == kept(rows)
    assert keys(load(data_files=f"{root}/images/../images/*.parquet")) == kept(rows)
    for place in ("whole", "each"):
        (tmp_path / place).mkdir()
    (tmp_path / "whole" / "images").symlink_to(root / "images")
    (tmp_path / "each" / "images").mkdir()
    for file in (root / "images").iterdir():
        (tmp_path / "each" / "images" / file.name).symlink_to(file)
    for place in ("whole", "each"):
        assert keys(load(data_dir=str(tmp_path / place))) == kept(rows)


def test_a_root_of_links_that_was_scored_itself_goes_by_its_own_verdicts(scored, tmp_path):
    root, rows = scored
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "images").symlink_to(root / "images")
    own = make_scored(tmp_path / "other", Scoring(decision="e" * 16, mix=(Cause.UNRELATED, Cause.HASH)))
    assert keys(load(data_dir=str(tmp_path / "other"))) == kept(own) != kept(rows)


def test_a_root_in_an_archive(scored, tmp_path):
    root, rows = scored
    with zipfile.ZipFile(tmp_path / "root.zip", "w") as archive:
        for file in root.rglob("*.*"):
            archive.write(file, file.relative_to(tmp_path))
    files = [
        f"zip://scored/images/train-0000{number}-of-00002.parquet::{tmp_path}/root.zip" for number in range(2)
    ]
    assert keys(load(data_files=files)) == kept(rows)


PARTS = {"scores": "scores/train-00000-of-00002.parquet: not there", "ledger": "decision.json: not there"}


@pytest.mark.parametrize(("gone", "message"), PARTS.items())
@pytest.mark.parametrize("config", ["pairs", "manifest", "live"])
def test_a_copy_of_a_part_is_refused(scored, gone, message, config):
    root, rows = scored
    shutil.rmtree(root / gone)
    for place in ({"data_dir": str(root)}, {"data_files": f"{root}/images/*.parquet"}):
        for options in ({}, *([{"verdicts": "same"}] if config != "live" else [])):
            with pytest.raises(ValueError, match=f"{message}.*run `danqing revalidate {root}`") as caught:
                load(config, **place, **options)
            assert "\n" not in str(caught.value)
    if gone == "scores" and config == "pairs":
        assert keys(load(config, data_dir=str(root), verdicts="all")) == keys(rows)


def test_live_does_not_fetch_what_was_dropped(scored):
    root, _ = scored
    with pytest.raises(ValueError, match=r"is of a root that was scored.*verdicts=\"all\""):
        load("live", data_dir=str(root))
    assert load("live", data_dir=str(root), verdicts="all").features == danqing.FEATURES["live"]


class Server(http.server.SimpleHTTPRequestHandler):
    """A server that lists no folder; of paths in `broken` it says 503."""

    broken: tuple[str, ...] = ()

    def list_directory(self, path):
        self.send_error(404)

    def send_head(self):
        if self.path.endswith(self.broken):
            return self.send_error(503)
        return super().send_head()

    def log_message(self, *_):
        pass


@pytest.fixture
def web(tmp_path):
    """The address of a server of what lies in the folder, whose class is `web.kind`."""
    kind = type("Broken", (Server,), {})
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(kind, directory=tmp_path)
    ) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", kind
        server.shutdown()
        thread.join()


def planned(root, shards, **config):
    """The plan by which a root is found where nothing can be listed."""
    (root / "ledger" / "rebuild").mkdir(parents=True)
    plan = {"shards": shards, "rows": {}, "config": {"format": "parquet", "validation": 0.0, **config}}
    (root / "ledger" / "rebuild" / "plan.json").write_text(json.dumps(plan))


def test_a_scored_root_over_http(scored, web):
    root, rows = scored
    address, _ = web
    planned(root, {"train": 2})
    names = [f"{address}/scored/images/train-0000{number}-of-00002.parquet" for number in range(2)]
    for place in ({"data_dir": f"{address}/scored"}, {"data_files": names}):
        assert keys(load(**place)) == kept(rows)
    assert keys(load(data_files=names[1:])) == kept(rows[10:])
    assert len(keys(load("scores", data_dir=f"{address}/scored"))) == 20
    shutil.rmtree(root / "scores")
    for place in ({"data_dir": f"{address}/scored"}, {"data_files": names}):
        with pytest.raises(ValueError, match=r"/scores/.*: not there.*`danqing revalidate http"):
            load(**place)


def test_an_unscored_root_over_http(tmp_path, web):
    address, _ = web
    held = make_root(tmp_path / "fresh", shards=1, rows=2, split="validation")
    found = make_root(tmp_path / "fresh", shards=2, rows=3)
    planned(tmp_path / "fresh", {"train": 2}, validation=0.1)
    (tmp_path / "fresh" / "images" / "validation-00000-of-00001.parquet").rename(
        tmp_path / "fresh" / "images" / "validation-00001-of-00002.parquet"
    )
    splits = danqing.load(f"{address}/fresh", streaming=True)
    assert {split: keys(rows) for split, rows in splits.items()} == {"train": found, "validation": held}
    (tmp_path / "fresh" / "images" / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"train-00001-of-00002.parquet: not there, though the plan"):
        danqing.load(f"{address}/fresh", streaming=True)


@pytest.mark.parametrize("verdicts", [None, "all"])
def test_a_server_in_trouble_is_not_taken_for_an_unscored_root(scored, web, verdicts):
    """fsspec says of a 503 that there is no such file."""
    address, kind = web
    kind.broken = ("decision.json",)
    with pytest.raises(ValueError, match=r"decision.json: cannot be asked for"):
        load(data_files=f"{address}/scored/images/train-00000-of-00002.parquet", verdicts=verdicts)
