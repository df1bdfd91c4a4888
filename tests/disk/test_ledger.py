"""The ledger: markers that add up, that exist when a shard is done, and that say so when they are broken."""

import json
import uuid
from pathlib import Path

import pytest

from builder.disk import ledger
from builder.disk.ledger import ShardLedger, Tally, marker
from builder.errors import InputError
from builder.reasons import Reason
from builder.web.hostname import host_of


def tally(kept: int = 2, dropped: int = 1, host: str = "a.example") -> Tally:
    made = Tally()
    for _ in range(kept):
        made.add(None, 200, host, 1000, 1)
    for _ in range(dropped):
        made.add(Reason.HTTP_4XX, 404, host, 0, 2)
    return made


def shard(index: int, counts: Tally, split: str = "train") -> ShardLedger:
    stem = f"{split}-{index:05d}-of-00042"
    files = {f"images/{stem}.parquet": {"rows": counts.kept, "bytes": 5000, "xxh3_128": "0" * 32}}
    return ShardLedger.of("rebuild", stem, counts, files=files, config="c0", version="0.1.0", seconds=1.5)


def done(root: str) -> set[str]:
    return {one.shard for one in ledger.read_all(root, "rebuild")}


def test_a_tally_counts_outcomes() -> None:
    counts = Tally()
    counts.add(None, 200, "a", 10, 1)
    counts.add(Reason.DNS, None, "b", 0, 3)
    counts.add(Reason.INVALID_URL, None, None, 0, 0)
    assert counts.as_dict() == {
        "rows": 3, "kept": 1, "reasons": {"dns": 1, "invalid_url": 1}, "http_status": {"200": 1},
        "hosts": {"b": [0, 1]}, "bytes": 10, "requests": 4,
    }  # fmt: skip
    assert counts.kept_share == pytest.approx(1 / 3)
    assert Tally().kept_share is None


def test_tallies_merge() -> None:
    both = tally(2, 1, "a")
    both.merge(tally(0, 3, "b"))
    both.merge(shard(0, tally(1, 1, "a")))
    assert (both.rows, both.kept, both.requests, both.bytes) == (8, 3, 13, 3000)
    assert both.reasons == {"http_4xx": 5}
    assert both.hosts == {"a": [3, 2], "b": [0, 3]}
    assert both.worst_hosts(1) == [("b", [0, 3])]


def test_merging_does_not_change_what_was_merged() -> None:
    one, both = tally(), Tally()
    both.merge(one)
    both.merge(one)
    assert one == tally()


def test_hosts_of_a_hundred_million_rows_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "HOSTS_HELD", 10)
    total = tally(0, 3, "worst")
    for i in range(100):
        total.merge(tally(1, 1, f"host{i}"))
    assert len(total.hosts) <= 10
    assert total.hosts["worst"] == [0, 3]
    assert total.rows == 203


def test_top_reasons_are_ordered_by_count_then_name() -> None:
    assert Tally(reasons={"tls": 1, "dns": 1, "timeout": 5, "aspect": 1}).top_reasons() == [
        ("timeout", 5), ("aspect", 1), ("dns", 1),
    ]  # fmt: skip


def test_only_the_worst_hosts_reach_the_disk() -> None:
    counts = Tally(
        rows=300, kept=200, reasons={"dns": 100}, hosts={f"h{i}": [2, i % 100] for i in range(100)}
    )
    hosts = shard(0, counts).hosts
    assert len(hosts) == ledger.WORST_HOSTS
    assert min(dropped for _, dropped in hosts.values()) == 50


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
    shard(3, tally(host="图片.中国")).write(str(tmp_path))
    (file,) = [path for path in (tmp_path / "ledger").rglob("*") if path.is_file()]
    assert str(file) == marker(str(tmp_path), "rebuild", "train-00003-of-00042")
    assert file.name == "train-00003.json"
    text = file.read_text()
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert "图片.中国" in text


def test_a_host_that_is_no_unicode_is_written_and_read(tmp_path: Path) -> None:
    shard(3, tally(host="\udc80.example")).write(str(tmp_path))
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


def test_progress_of_all_ranks_is_read_the_later_word_counting(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(["2025-01-01T00:00:02Z", "2025-01-01T00:00:01Z"])
    monkeypatch.setattr(ledger, "_now", lambda: next(times))
    ledger.write_progress(root, "rebuild", 0, {"train-00000-of-00042": tally(5, 5)})
    ledger.write_progress(
        root, "rebuild", 1, {"train-00000-of-00042": tally(1, 1), "train-00001-of-00042": tally()}
    )
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
