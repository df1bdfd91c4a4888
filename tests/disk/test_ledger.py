"""The ledger: markers that add up, that exist when a shard is done, and that say so when they are broken."""

import dataclasses
import json
import uuid
from pathlib import Path

import pytest

from builder.disk import ledger
from builder.disk.files import read_bytes, write_atomic
from builder.disk.ledger import ShardLedger, Tally, WrittenFile, marker
from builder.errors import InputError
from builder.reasons import Reason
from builder.web.hostname import host_of


def tally(kept: int = 2, dropped: int = 1) -> Tally:
    made = Tally()
    for _ in range(kept):
        made.add(None, {"http_status/200": 1, "bytes": 1000, "requests": 1})
    for _ in range(dropped):
        made.add(Reason.HTTP_4XX, {"http_status/404": 1, "requests": 2})
    return made


def shard(index: int, counts: Tally, split: str = "train", host: str = "a.example") -> ShardLedger:
    stem = f"{split}-{index:05d}-of-00042"
    outputs: dict[str, WrittenFile] = {
        f"images/{stem}.parquet": {"rows": counts.kept, "bytes": 5000, "xxh3_128": "0" * 32}
    }
    hosts = {host: [counts.kept, counts.rows - counts.kept]}
    return ShardLedger.of("rebuild", stem, counts, outputs=outputs, hosts=hosts, config="c0", seconds=1.5)


def done(root: str) -> set[str]:
    return {one.shard for one in ledger.read_all(root, "rebuild")}


def test_a_tally_counts_outcomes() -> None:
    counts = Tally()
    counts.add(None, {"http_status/200": 1, "bytes": 10, "requests": 1})
    counts.add(Reason.DNS, {"requests": 3})
    counts.add(Reason.INVALID_URL, {})
    assert dataclasses.asdict(counts) == {
        "rows": 3, "kept": 1, "reasons": {"dns": 1, "invalid_url": 1},
        "counters": {"http_status/200": 1, "bytes": 10, "requests": 4},
    }  # fmt: skip
    assert (counts.counter("requests"), counts.counter("words")) == (4, 0)
    assert (counts.counters_of("http_status"), counts.counters_of("bytes")) == ({"200": 1}, {})
    assert counts.kept_share == pytest.approx(1 / 3)
    assert Tally().kept_share is None


def test_tallies_merge() -> None:
    both = tally(2, 1)
    both.merge(tally(0, 3))
    both.merge(shard(0, tally(1, 1)))
    assert (both.rows, both.kept, both.counter("requests"), both.counter("bytes")) == (8, 3, 13, 3000)
    assert both.reasons == {"http_4xx": 5}


def test_merging_does_not_change_what_was_merged() -> None:
    one, both = tally(), Tally()
    both.merge(one)
    both.merge(one)
    assert one == tally()


def test_top_reasons_are_ordered_by_count_then_name() -> None:
    assert Tally(reasons={"tls": 1, "dns": 1, "timeout": 5, "aspect": 1}).top_reasons() == [
        ("timeout", 5), ("aspect", 1), ("dns", 1),
    ]  # fmt: skip


def test_a_ledger_that_does_not_add_up_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="4 rows in, but 2 kept and 1 dropped"):
        shard(0, Tally(rows=4, kept=2, reasons={"dns": 1}))


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "local" else f"memory://{uuid.uuid4().hex}"


def test_what_is_written_is_read(root: str) -> None:
    made = [shard(0, tally()), shard(1, tally(0, 5)), shard(0, tally(1, 0), "validation")]
    for one in reversed(made):
        one.write(root)
    assert list(ledger.read_all(root, "rebuild")) == made
    assert done(root) == {one.shard for one in made}


def test_one_marker_alone_is_read(root: str) -> None:
    shard(7, tally()).write(root)
    assert done(root) == {"train-00007-of-00042"}


def test_an_empty_root_has_no_shard_done(root: str) -> None:
    assert done(root) == set()
    assert ledger.read_progress(root, "rebuild") == (None, {})
    assert ledger.read_plan(root, "rebuild") is None


def test_a_marker_that_a_run_removes_meanwhile_is_left_out(tmp_path: Path) -> None:
    for index in range(3):
        shard(index, tally()).write(str(tmp_path))
    reading = ledger.read_all(str(tmp_path), "rebuild")
    assert next(reading).shard == "train-00000-of-00042"
    Path(marker(str(tmp_path), "rebuild", "train-00001-of-00042")).unlink()
    assert [one.shard for one in reading] == ["train-00002-of-00042"]


def test_a_marker_is_sorted_json_at_its_place(tmp_path: Path) -> None:
    shard(3, tally(), host="图片.中国").write(str(tmp_path))
    (file,) = [path for path in (tmp_path / "ledger").rglob("*") if path.is_file()]
    assert str(file) == marker(str(tmp_path), "rebuild", "train-00003-of-00042")
    assert file.name == "train-00003.json"
    text = file.read_text()
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert "图片.中国" in text


def test_a_host_that_is_no_unicode_is_written_and_read(tmp_path: Path) -> None:
    shard(3, tally(), host="\udc80.example").write(str(tmp_path))
    (one,) = ledger.read_all(str(tmp_path), "rebuild")
    assert list(one.hosts) == ["\udc80.example"]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "\xff", "{}", '{"shard": "train-00000-of-00042"}', '{"rows": 3, "surprise": 1}'],
)
def test_a_broken_marker_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ledger" / "rebuild" / "train-00000.json"
    path.parent.mkdir(parents=True)
    path.write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=r"train-00000\.json: "):
        done(str(tmp_path))


FIRST = {
    "stage": "rebuild", "shard": "train-00003-of-00042", "rows": 3, "kept": 2, "reasons": {"dns": 1},
    "http_status": {"200": 2}, "hosts": {"b.example": [0, 1]}, "bytes": 2000, "requests": 4, "seconds": 1.5,
    "files": {"images/train-00003-of-00042.parquet": {"rows": 2, "bytes": 50, "xxh3_128": "1" * 32}},
    "config": "c0", "version": "0.1.0", "finished_at": "2025-01-01T00:00:00Z",
}  # fmt: skip


def first(root: Path, **changes: object) -> None:
    """A marker as a build up to 0.1.0 wrote it."""
    document = FIRST | changes
    path = root / "ledger" / str(document["stage"]) / "train-00003.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(document))


def test_a_marker_of_format_1_is_read(tmp_path: Path) -> None:
    first(tmp_path)
    (one,) = ledger.read_all(str(tmp_path), "rebuild")
    assert one.counters == {"http_status/200": 2, "bytes": 2000, "requests": 4}
    assert (one.inputs, one.outputs, one.hosts) == ({}, FIRST["files"], FIRST["hosts"])
    assert (one.version, one.finished_at) == ("0.1.0", "2025-01-01T00:00:00Z")


def test_a_marker_of_format_1_of_a_stage_that_wrote_no_pictures_has_read_them(tmp_path: Path) -> None:
    pictures = {"images/train-00003-of-00042.parquet": {"rows": 3, "bytes": 0, "xxh3_128": "2" * 32}}
    scores = {"scores/train-00003-of-00042.parquet": {"rows": 3, "bytes": 70, "xxh3_128": "3" * 32}}
    nothing = {"http_status": {}, "bytes": 0, "requests": 0}
    first(tmp_path, stage="revalidate", files=pictures | scores, **nothing)
    (one,) = ledger.read_all(str(tmp_path), "revalidate")
    assert one.inputs == {"images/train-00003-of-00042.parquet": {"rows": 3, "xxh3_128": "2" * 32}}
    assert (one.outputs, one.counters) == (scores, {})
    assert one.input_checksum("images/train-00003-of-00042.parquet") == "2" * 32
    assert one.input_checksum("images/train-00004-of-00042.parquet") is None


@pytest.mark.parametrize(
    "change",
    [
        {"files": 1},
        {"files": {"../x": {"rows": 1, "bytes": 1}}},
        {"requests": -1},
        {"http_status": {"200": "x"}},
    ],
)
def test_a_broken_marker_of_format_1_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    first(tmp_path, **change)
    with pytest.raises(InputError, match=r"train-00003\.json: no done marker"):
        done(str(tmp_path))


def test_progress_of_format_1_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger" / "rebuild" / "progress-0.json"
    path.parent.mkdir(parents=True)
    counts = {name: FIRST[name] for name in ("rows", "kept", "reasons", "http_status", "bytes", "requests")}
    path.write_text(json.dumps({"at": "then", "shards": {"train-00003-of-00042": {**counts, "hosts": {}}}}))
    at, told = ledger.read_progress(str(tmp_path), "rebuild")
    wanted = Tally(3, 2, {"dns": 1}, {"http_status/200": 2, "bytes": 2000, "requests": 4})
    assert (at, told) == ("then", {"train-00003-of-00042": wanted})


def test_a_plan_says_its_format_and_one_without_is_read(tmp_path: Path) -> None:
    plan: ledger.PlanDocument = {"rows": {"train": 1}, "shards": {"train": 1}}
    ledger.write_plan(str(tmp_path), "rebuild", plan)
    path = tmp_path / "ledger" / "rebuild" / "plan.json"
    assert ledger.read_plan(str(tmp_path), "rebuild") == {**plan, "format": ledger.FORMAT}
    path.write_text(json.dumps(plan))
    assert ledger.read_plan(str(tmp_path), "rebuild") == plan


@pytest.mark.parametrize("name", ["plan.json", "train-00000.json", "progress-0.json"])
def test_a_document_of_a_later_build_is_refused(tmp_path: Path, name: str) -> None:
    root, path = str(tmp_path), tmp_path / "ledger" / "rebuild" / name
    shard(0, tally()).write(root)
    ledger.write_plan(root, "rebuild", {"rows": {"train": 1}, "shards": {"train": 1}})
    ledger.write_progress(root, "rebuild", 0, {})
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": ledger.FORMAT + 1}))
    with pytest.raises(
        InputError, match=rf"{name}: format 3 of a later danqing, this one reads 2: update danqing$"
    ):
        ledger.read_plan(root, "rebuild"), done(root), ledger.read_progress(root, "rebuild")


@pytest.mark.parametrize("change", [{"rows": 4}, {"reasons": None}, {"reasons": {"dns": "x"}}])
def test_a_marker_with_wrong_counts_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    shard(0, tally()).write(str(tmp_path))
    path = tmp_path / "ledger" / "rebuild" / "train-00000.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=r"train-00000\.json: no done marker"):
        done(str(tmp_path))


def test_other_files_are_no_markers(tmp_path: Path) -> None:
    folder = tmp_path / "ledger" / "rebuild"
    folder.mkdir(parents=True)
    for name in (
        ".train-00000.json.77.tmp",
        "plan.json",
        "notes.txt",
        "train-00000.json.bak",
        "progress-10000.json",
    ):
        (folder / name).write_text("not read")
    assert done(str(tmp_path)) == set()


def test_progress_of_all_ranks_is_read_the_later_word_counting(root: str) -> None:
    ledger.write_progress(root, "rebuild", 0, {"train-00000-of-00042": tally(5, 5)})
    ledger.write_progress(
        root, "rebuild", 1, {"train-00000-of-00042": tally(1, 1), "train-00001-of-00042": tally()}
    )
    for rank, second in ((0, 2), (1, 1)):
        path = f"{root}/ledger/rebuild/progress-{rank}.json"
        document = json.loads(read_bytes(path) or b"")
        write_atomic(path, json.dumps(document | {"at": f"2025-01-01T00:00:0{second}Z"}).encode())
    at, told = ledger.read_progress(root, "rebuild")
    assert at == "2025-01-01T00:00:02Z"
    assert {stem: one.rows for stem, one in told.items()} == {
        "train-00000-of-00042": 10,
        "train-00001-of-00042": 3,
    }


@pytest.mark.parametrize(
    "content", ["{", "{}", '{"at": "", "shards": {"a": {"surprise": 1}}}', '{"at": 1, "shards": 1}']
)
def test_broken_progress_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ledger" / "rebuild" / "progress-0.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(InputError, match=r"progress-0\.json: "):
        ledger.read_progress(str(tmp_path), "rebuild")


@pytest.mark.parametrize("content", ["{", "{}", '{"rows": 1, "shards": {}}'])
def test_a_broken_plan_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ledger" / "rebuild" / "plan.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(InputError, match=r"plan\.json: "):
        ledger.read_plan(str(tmp_path), "rebuild")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Img.Example.COM:8443/a.jpg?u=http://b", "img.example.com"),
        ("//a.example/x", "a.example"),
        ("http://u:p@a.example#f", "a.example"),
        ("http://图片.中国/图.jpg", "图片.中国"),
        ("http://[2001:DB8::1]:80/", "[2001:db8::1]"),
        ("http://a.example?q", "a.example"),
        ("http://a.example\\b", "a.example"),
        ("http://" + "a" * 300, "a" * 253),
        *((url, None) for url in ("http:///x", "a.jpg", "", None)),
    ],
)
def test_host_of(url: str | None, host: str | None) -> None:
    assert host_of(url) == host
