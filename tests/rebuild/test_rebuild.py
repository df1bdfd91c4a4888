"""`danqing rebuild` end to end: what it stores, in which order, and what it says of every row."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from builder.cli import main
from builder.disk.schema import IMAGES, OUTCOMES, pair_key, validation_share
from tests.faulthost import FAULTS, FaultHost
from tests.faults import HASTE, PATIENCE, PICTURE, QUICK, SLOW, Fault
from tests.pictures import PICTURES, png_text_bomb

from .runs import ledgers, names, outcomes, reasons, rebuild, table, write_manifest

BY_FLAG = ("max_bytes", *PICTURE)


@pytest.fixture(scope="module")
def web() -> Iterator[FaultHost]:
    with FaultHost(hosts=8) as host:
        yield host


@pytest.fixture(scope="module")
def mixed(web: FaultHost, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str | None]]:
    """A root of 300 rows in 3 shards: pictures, dead links, HTML, and rows without a URL."""
    folder = tmp_path_factory.mktemp("mixed")
    urls: list[str | None] = [web.url(f"/picture/{i}.jpg", i % 8) for i in range(300)]
    urls[5], urls[17], urls[40], urls[41] = (
        web.url("/status/404/5"),
        web.url("/html/17"),
        None,
        "ftp://x/y.jpg",
    )
    score = [i / 300 for i in range(300)]
    manifest = write_manifest(folder / "m.parquet", urls, similarity=score, width=[7] * 300)
    assert rebuild(manifest, folder / "root", "--shard-size", "100") == 0
    return folder / "root", urls


def test_every_row_of_the_manifest_has_an_outcome_in_its_order(mixed: tuple[Path, list[str | None]]) -> None:
    root, urls = mixed
    told = outcomes(root)
    assert [one["url"] for one in told] == urls
    assert [one["key"] for one in told] == [pair_key(url, f"第{i}张图片") for i, url in enumerate(urls)]
    dropped = {i: one["reason"] for i, one in enumerate(told) if one["outcome"] == "dropped"}
    assert dropped == {5: "http_4xx", 17: "not_image", 40: "invalid_url", 41: "blocked_scheme"}


def test_rows_in_are_rows_kept_and_dropped(mixed: tuple[Path, list[str | None]]) -> None:
    root, _ = mixed
    marks = ledgers(root)
    assert sorted(marks) == ["train-00000", "train-00001", "train-00002"]
    assert sum(one["kept"] for one in marks.values()) == table(root, "images").num_rows == 296
    assert all(one["rows"] == one["kept"] + sum(one["reasons"].values()) for one in marks.values())


def test_the_files_have_the_schema_and_the_picture_is_one(mixed: tuple[Path, list[str | None]]) -> None:
    root, _ = mixed
    file = pq.ParquetFile(root / "images" / "train-00000-of-00003.parquet")
    schema = file.schema_arrow
    carried = [field for field in schema if field.name not in IMAGES.names]
    assert [field.name for field in carried] == ["similarity", "manifest_width"]
    assert [f for f in schema if f.name in IMAGES.names] == list(IMAGES)
    assert json.loads(schema.metadata[b"huggingface"])["info"]["features"]["image"] == {"_type": "Image"}
    assert file.metadata.row_group(0).column(0).has_offset_index
    pair = file.read().slice(3, 1).to_pylist()[0]
    picture = Image.open(io.BytesIO(pair["image"]["bytes"]))
    assert picture.size == (pair["width"], pair["height"])
    assert pair["image"]["path"] == f"{pair['key']}.jpg"
    assert pq.read_schema(root / "outcomes" / "train-00000-of-00003.parquet") == OUTCOMES


def test_nothing_but_the_contract_is_left_in_the_root(mixed: tuple[Path, list[str | None]]) -> None:
    root, _ = mixed
    stems = [f"train-0000{i}-of-00003.parquet" for i in range(3)]
    shards = [f"{kind}/{stem}" for kind in ("images", "outcomes") for stem in stems]
    marks = [f"ledger/rebuild/{name}.json" for name in ("plan", *ledgers(root))]
    assert names(root) == sorted(["README.md", *shards, *marks])


def test_the_whole_fault_table_with_one_retry(tmp_path: Path) -> None:
    with FaultHost(hosts=40, tls=True) as host:  # so many that none is given up for its faults
        told = reasons_of(host, QUICK, PATIENCE, tmp_path / "a", 0)
        told |= reasons_of(host, SLOW, HASTE, tmp_path / "b", 1)  # nothing is kept
        assert told == {fault.name: fault.reason for fault in FAULTS}
        counted = [fault for fault in FAULTS if fault.attempts is not None]
        assert {f.name: host.asked[f.target] for f in counted} == {f.name: f.attempts for f in counted}


def reasons_of(
    host: FaultHost, faults: tuple[Fault, ...], limits: dict[str, int], folder: Path, code: int
) -> dict[str, str | None]:
    """By name of the fault, of a run with one retry that ends with this code."""
    folder.mkdir()
    flags = {"timeout": limits["total"], **{name: (limits | PICTURE)[name] for name in BY_FLAG}}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in flags.items()]
    urls = [host.url(fault, n % 40) for n, fault in enumerate(faults)]
    manifest = write_manifest(folder / "m.parquet", urls)
    at_once = ("--retries=1", "--per-host=8", "--concurrency=256", "--workers=1")
    assert rebuild(manifest, folder / "root", *words, *at_once) == code
    return dict(zip((fault.name for fault in faults), reasons(folder / "root"), strict=True))


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_bytes_are_checked_against_the_hash_of_the_manifest(
    web: FaultHost, tmp_path: Path, algorithm: str
) -> None:
    body = (Path(__file__).parent / "runs.py").read_bytes()  # any bytes: the hash is looked at first
    web.files["/hashed.jpg"] = body
    right, wrong = hashlib.new(algorithm, body).hexdigest(), "0" * len(hashlib.new(algorithm).hexdigest())
    urls = [web.url("/hashed.jpg")] * 3
    manifest = write_manifest(tmp_path / "m.parquet", urls, **{algorithm: [right.upper(), wrong, None]})
    assert rebuild(manifest, tmp_path / "root", "--verify-hash") == 1  # nothing is kept
    told = outcomes(tmp_path / "root")
    assert [one["reason"] for one in told] == ["not_image", "hash_mismatch", "not_image"]
    assert [one["hash_verified"] for one in told] == [True, False, None]


def test_verify_hash_needs_a_hash(web: FaultHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = write_manifest(tmp_path / "m.parquet", [web.url("/picture/1.jpg")])
    assert rebuild(manifest, tmp_path / "root", "--verify-hash") == 3
    assert "no sha256 or md5 column; its columns are url, alt_text, recaption" in capsys.readouterr().err


def test_validation_pairs_are_the_same_whatever_the_layout(web: FaultHost, tmp_path: Path) -> None:
    urls = [web.url(f"/picture/{i}.jpg", i % 8) for i in range(120)]
    manifest = write_manifest(tmp_path / "m.parquet", urls)
    keys = [pair_key(url, f"第{i}张图片") for i, url in enumerate(urls)]
    held_out = [key for key in keys if validation_share(key) < 0.2]
    assert 0 < len(held_out) < 120  # about 24: the port, and so each key, is another in each run
    for size in ("120", "50"):
        root = tmp_path / size
        assert rebuild(manifest, root, "--validation", "0.2", "--shard-size", size) == 0
        assert table(root, "images", "validation")["key"].to_pylist() == held_out
        assert table(root, "outcomes", "train").num_rows == 120 - len(held_out)
        assert sum(one["rows"] for one in ledgers(root).values()) == 120


def test_originals_are_stored_as_served(web: FaultHost, tmp_path: Path) -> None:
    kinds = ["jpeg", "png", "webp", "gif"]
    made = {kind: _picture(kind) for kind in kinds}
    web.files.update({f"/original/{kind}": data for kind, data in made.items()})
    manifest = write_manifest(tmp_path / "m.parquet", [web.url(f"/original/{kind}") for kind in kinds])
    assert rebuild(manifest, tmp_path / "root", "--resize", "none", "--encode", "original") == 0
    pairs = table(tmp_path / "root", "images").to_pylist()
    assert [pair["image"]["bytes"] for pair in pairs] == [made[kind] for kind in kinds]
    assert [pair["format"] for pair in pairs] == kinds
    assert [pair["sha256"] for pair in pairs] == [hashlib.sha256(made[kind]).hexdigest() for kind in kinds]


def _picture(kind: str) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((300, 200)).save(out, kind)
    return out.getvalue()


def test_a_manifest_with_splits_of_its_own_keeps_them(web: FaultHost, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    for split, count in (("train", 6), ("test", 3)):
        write_manifest(
            folder / f"{split}-00000-of-00001.parquet", [web.url(f"/picture/{i}.jpg") for i in range(count)]
        )
    assert rebuild(str(folder), tmp_path / "root") == 0
    assert table(tmp_path / "root", "images", "test").num_rows == 3
    assert sorted(ledgers(tmp_path / "root")) == ["test-00000", "train-00000"]


def test_dry_run_prints_the_plan_and_touches_nothing(
    web: FaultHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_manifest(tmp_path / "m.parquet", [web.url("/picture/dry1.jpg")] * 20)
    assert rebuild(manifest, tmp_path / "root", "--dry-run", "--json", "--shard-size", "2") == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["rows"], plan["shards"], plan["shards_to_do"]) == ({"train": 20}, 16, 16)
    assert not (tmp_path / "root").exists()
    assert web.asked["/picture/dry1.jpg"] == 0


def test_a_log_gets_a_line_with_counts_rates_and_reasons(
    web: FaultHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = [web.url(f"/picture/{i}.jpg", i % 8) for i in range(9)] + [web.url("/status/404/1")]
    manifest = write_manifest(tmp_path / "m.parquet", urls)
    assert main(["rebuild", manifest, str(tmp_path / "root"), "--allow-private"]) == 0
    told = capsys.readouterr()
    assert re.search(r"10/10 pairs \(100.0%\) · .* pairs/s · kept 90.0% · .* MB/s · http_4xx 10.0%", told.err)
    assert "10 of 10 rows" in told.out


def test_odd_files_leave_no_lines_of_c_libraries_on_the_terminal(
    web: FaultHost, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    web.files["/bomb.png"] = png_text_bomb()
    web.files["/cut.tif"] = PICTURES["tiff"]()[:-200]
    manifest = write_manifest(tmp_path / "m.parquet", [web.url("/bomb.png"), web.url("/cut.tif")])
    assert rebuild(manifest, tmp_path / "root") == 0
    assert capfd.readouterr().err == ""


def test_connections_are_kept_across_shards(tmp_path: Path) -> None:
    with FaultHost(hosts=2) as host:
        urls = [host.url(f"/picture/{i}.jpg", i % 2) for i in range(200)]
        manifest = write_manifest(tmp_path / "m.parquet", urls)
        assert rebuild(manifest, tmp_path / "root", "--shard-size", "25", "--per-host", "4") == 0
        assert host.count() == 200
        assert host.connections <= 8
        assert max(host.busiest.values()) <= 4


def test_row_groups_are_bounded(web: FaultHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = [web.url(f"/picture/{i % 10}.jpg?{i}", i % 8) for i in range(1030)]
    manifest = write_manifest(tmp_path / "m.parquet", urls)
    assert rebuild(manifest, tmp_path / "root") == 0
    (file,) = (tmp_path / "root" / "images").iterdir()
    metadata = pq.read_metadata(file)
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [1000, 30]


def test_columns_of_every_type_are_carried(web: FaultHost, tmp_path: Path) -> None:
    lists = pa.array([[1, 2], None], pa.list_(pa.int32()))
    manifest = write_manifest(
        tmp_path / "m.parquet", [web.url("/picture/1.jpg")] * 2, boxes=lists, nsfw=[True, None]
    )
    assert rebuild(manifest, tmp_path / "root") == 0
    images = table(tmp_path / "root", "images")
    assert images["boxes"].to_pylist() == [[1, 2], None]
    assert images["nsfw"].to_pylist() == [True, None]
