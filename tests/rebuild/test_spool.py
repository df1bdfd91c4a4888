"""The spool keeps every row that was appended, and nothing that was torn."""

from __future__ import annotations

import json
import resource
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from builder.picture.measures import Measures
from builder.reasons import Reason
from builder.rebuild.outcome import Outcome, Picture
from builder.rebuild.spool import _HEAD, Spool, Tried, _digest

OWNER = "config shard"
PICTURE = Picture(
    b"\xff\xd8 a picture", 256, 300, 640, 750, "0123456789abcdef", "jpeg", "jpg", "simplejpeg-exact"
)
KEPT = Outcome(
    http_status=200, bytes=12, attempts=1, sha256="ab" * 32, etag="你好", fetched_at=17, picture=PICTURE
)
DROPPED = Outcome(reason=Reason.HTTP_4XX, http_status=404, attempts=1, fetched_at=18)


def opened(path: Path, owner: str = OWNER) -> closing[Spool]:
    return closing(Spool(path, owner))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "train-00000-of-00001.spool"
    spool = Spool(path, OWNER)
    spool.append(7, KEPT)
    spool.append(3, DROPPED)
    spool.close()
    return path


def test_rows_come_back_whole_in_another_process_life(path: Path) -> None:
    with opened(path) as spool:
        assert (len(spool), 7 in spool, 3 in spool, 0 in spool) == (2, True, True, False)
        assert spool.read(7) == KEPT
        assert spool.read(3) == DROPPED
        assert spool.read(3, picture=False) == DROPPED
        assert spool.read(7, picture=False).reason is None


@pytest.mark.parametrize("cut", [1, 5, 40, 80])
def test_a_torn_end_is_cut_off_and_written_over(path: Path, cut: int) -> None:
    path.write_bytes(path.read_bytes()[:-cut])
    with opened(path) as spool:
        assert (7 in spool, 3 in spool) == (True, False)
        spool.append(3, DROPPED)
    with opened(path) as spool:
        assert spool.read(3) == DROPPED


def test_every_cut_leaves_a_prefix(path: Path) -> None:
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with opened(path) as spool:
            assert len(spool) <= 1
            assert all(spool.read(row) == KEPT for row in (7,) if row in spool)


@pytest.mark.parametrize("at", [-1, -60, -100])
def test_a_flipped_byte_ends_the_spool_there(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with opened(path) as spool:
        assert 3 not in spool


def test_a_spool_of_other_options_is_not_used(path: Path) -> None:
    with opened(path, "other options") as spool:
        assert len(spool) == 0
    with opened(path) as spool:
        assert len(spool) == 0  # it is gone


def test_a_full_disk_raises_and_leaves_the_spool_as_it_was(path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(path) as spool:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50, hard))
        try:
            with pytest.raises(OSError, match="File too large"):
                spool.append(9, KEPT)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with opened(path) as spool:
        assert [row for row in range(10) if row in spool] == [3, 7]


def test_what_was_asked_and_is_due_comes_back_until_the_row_ends(path: Path) -> None:
    with opened(path) as spool:
        assert spool.tried(5) == Tried(0, 0.0, False)
        spool.append_tried(5, Tried(1, 1_700_000_000.25, False))
        spool.append_tried(5, Tried(2, 1_700_000_001.5, True))
        spool.append_tried(6, Tried(1, 1_700_000_000.25, False))
        spool.append(6, KEPT)
    with opened(path) as spool:
        assert spool.tried(5) == Tried(2, 1_700_000_001.5, True)
        assert [row for row in range(10) if row in spool] == [3, 6, 7]
        assert spool.read(6) == KEPT


def test_discard_removes_the_file(path: Path) -> None:
    Spool(path, OWNER).discard()
    assert not path.exists()


@pytest.mark.parametrize(
    "meta",
    [
        b"[]",
        b"[1]",
        b"{",
        b"[" * 10_000,
        b'[["dns"]]',
        b'[["no_reason",404,null,1,1,1,null,null,null,null,null,1]]',
        b'[["dns","404",null,1,1,1,null,null,null,null,null,1]]',
        b"[[null,200,null,1,1,1,null,null,null,null,null,1]]",  # kept, without a picture
    ],
)
def test_a_record_that_says_what_none_of_ours_does_is_asked_for_again(path: Path, meta: bytes) -> None:
    with path.open("ab") as file:
        file.write(_HEAD.pack(b"DQs1", 5, len(meta), 0, _digest(meta, b"")) + meta)
    with opened(path) as spool:
        assert (7 in spool, 3 in spool, 5 in spool) == (True, True, False)
        spool.append(5, DROPPED)
    with opened(path) as spool:
        assert spool.read(5) == DROPPED


def test_measures_come_back_to_the_last_bit(path: Path) -> None:
    picture = replace(PICTURE, measures=Measures(1 / 3, 12345.678901234567, 7.9))
    with opened(path) as spool:
        spool.append(5, replace(KEPT, picture=picture))
    with opened(path) as spool:
        assert spool.read(5).picture == picture
        assert spool.read(7).picture == PICTURE  # without any, as older builds wrote it


@pytest.mark.parametrize(
    "measures", [[1.0, 2.0], [1.0, 2.0, None], [1.0, 2.0, float("nan")], [1.0, 2.0, "3"], 7]
)
def test_a_record_of_other_measures_than_ours_is_asked_for_again(path: Path, measures: object) -> None:
    record = path.read_bytes()
    at = record.index(b"[[null,200")
    meta = json.loads(record[at : record.index(b"]]", at) + 2])
    forged = json.dumps([*meta, measures]).encode()
    data = PICTURE.data
    head = _HEAD.pack(b"DQs1", 11, len(forged), len(data), _digest(forged, data))
    path.write_bytes(record + head + forged + data)
    with opened(path) as spool:
        assert 11 not in spool
        assert 7 in spool
