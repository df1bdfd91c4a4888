"""The records of whole and of damaged WARC files."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from builder.crawl.records import DAMAGED, TOO_LARGE, records
from builder.errors import InputError

from . import made


def numbered(number: int, size: int = 300) -> bytes:
    """A record with content that hardly compresses."""
    content = bytes(random.Random(number).choices(range(32, 127), k=size))
    return made.record("metadata", content, WARC_Target_URI=f"http://example.com/{number}")


def read(path: Path, content: bytes, **options: int) -> tuple[list[int], Counter[str]]:
    """The numbers of the records that are read, and the damage."""
    path.write_bytes(content)
    damage: Counter[str] = Counter()
    found = list(records(path, damage, **options))
    for record in found:
        number = int(str(record.headers.get("WARC-Target-URI")).rpartition("/")[2])
        assert record.content == numbered(number, len(record.content)).partition(b"\r\n\r\n")[2][:-4]
    return [int(str(record.headers.get("WARC-Target-URI")).rpartition("/")[2]) for record in found], damage


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test writes its file."""
    return tmp_path / "a.warc.gz"


SMALL = [numbered(number) for number in range(5)]
MEMBERS = [gzip.compress(record, mtime=0) for record in SMALL]
STARTS = [sum(map(len, MEMBERS[:number])) for number in range(6)]


def damaged(where: int, content: bytes = b"".join(MEMBERS)) -> bytes:
    return content[:where] + bytes(byte ^ 0xFF for byte in content[where : where + 8]) + content[where + 8 :]


@pytest.mark.parametrize(
    "content", [b"".join(SMALL), b"".join(MEMBERS), gzip.compress(b"".join(SMALL), mtime=0)]
)
def test_whole(path: Path, content: bytes) -> None:
    """A record a member, several of one member, and no compression; none of them has a digest."""
    assert read(path, content) == ([0, 1, 2, 3, 4], {})


def test_offsets(path: Path) -> None:
    path.write_bytes(b"".join(MEMBERS))
    assert [record.offset for record in records(path, Counter())] == STARTS[:5]


@pytest.mark.parametrize("where", [2, 5, 50, 200, -8])
@pytest.mark.parametrize("number", range(5))
def test_damage_costs_one_member(path: Path, number: int, where: int) -> None:
    at = STARTS[number] + where % len(MEMBERS[number])
    assert read(path, damaged(at)) == ([each for each in range(5) if each != number], {DAMAGED: 1})


def test_empty_members(path: Path) -> None:
    empty = gzip.compress(b"", mtime=0)
    content = empty + MEMBERS[0] + empty * 2 + MEMBERS[1] + MEMBERS[2] + empty
    assert read(path, content) == ([0, 1, 2], {})


@pytest.mark.parametrize("cut", [1, 8, 9, 100, len(MEMBERS[4]) - 1])
def test_truncated(path: Path, cut: int) -> None:
    with pytest.raises(
        InputError, match=f"{path.name}: ends inside the record at byte {STARTS[4]:,}; fetch the file"
    ):
        read(path, b"".join(MEMBERS)[:-cut])
    with pytest.raises(InputError, match="ends inside"):
        read(path, b"".join(SMALL)[: -4 - cut])


def test_short_last_record(path: Path) -> None:
    short = gzip.compress(made.record("metadata", b"abc", length=10), mtime=0)
    with pytest.raises(InputError, match=f"ends inside the record at byte {STARTS[1]:,}"):
        read(path, MEMBERS[0] + short)


def test_length_that_lies(path: Path) -> None:
    """FastWARC takes the bytes that lack from the members behind."""
    for length in (2, 50, 500, 10**9, 10**18):
        lying = gzip.compress(made.record("metadata", b"abc" * 10, length=length), mtime=0)
        numbers, damage = read(path, MEMBERS[0] + lying + b"".join(MEMBERS[1:]))
        assert (numbers, damage[DAMAGED]) == ([0, 1, 2, 3, 4], 1), length


def test_too_large(path: Path) -> None:
    large = gzip.compress(numbered(9, 5000), mtime=0)
    assert read(path, MEMBERS[0] + large + MEMBERS[1], largest=4999) == ([0, 1], {TOO_LARGE: 1})
    assert read(path, MEMBERS[0] + large, largest=4999) == ([0], {TOO_LARGE: 1})
    assert read(path, MEMBERS[0] + large, largest=5000) == ([0, 9], {})


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"PAR1" * 100, gzip.compress(b"<html>", mtime=0), gzip.compress(b"", mtime=0)]
)
def test_no_warc(path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match=path.name):
        read(path, content)


MEASURE = """
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from builder.crawl.records import records
peak = lambda: int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
before = peak()
print(sum(len(record.content) for record in records(sys.argv[1], Counter())), peak() - before)
"""


def test_memory_is_flat(path: Path) -> None:
    """A record over the limit is passed over without being read, and what was read is let go."""
    large = made.record("metadata", b"\0" * ((64 << 20) + 1))
    path.write_bytes(
        gzip.compress(large, 1, mtime=0) + gzip.compress(made.record("metadata", b"\0" * (4 << 20)), 1) * 25
    )
    command = [sys.executable, "-c", MEASURE, str(path)]
    read, grown = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert read == 25 * (4 << 20)
    assert grown << 10 < 50 << 20


@given(
    st.lists(st.tuples(st.integers(0, STARTS[5] - 1), st.binary(max_size=9)), max_size=3),
    st.sampled_from(STARTS) | st.integers(0, STARTS[5]),
)
@example([], STARTS[5])
def test_any_damage_is_counted_or_named(changes: list[tuple[int, bytes]], length: int) -> None:
    """Whole members are read as they were, and nothing is read otherwise."""
    content = bytearray(b"".join(MEMBERS)[:length])
    for where, change in changes:
        content[where : where + len(change)] = change
    with tempfile.TemporaryDirectory() as folder, suppress(InputError):
        numbers, damage = read(Path(folder) / "a.warc.gz", bytes(content))
        whole = [number for number, member in enumerate(MEMBERS) if member in content]
        assert set(whole) <= set(numbers)
        assert numbers == sorted(numbers)
        assert damage or len(numbers) == sum(start < len(content) for start in STARTS[:5])
