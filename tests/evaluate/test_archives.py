"""Folders, zips and LMDBs that somebody else made: what is read, and that whatever they hold is one line."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import InputError
from builder.evaluate.archives import Tree, archive, folder, lines, reader, zipped
from builder.evaluate.tasks import pictures_of
from tests.evaluate import sets


def packed(
    place: Path, *members: tuple[str | zipfile.ZipInfo, bytes], kind: int = zipfile.ZIP_DEFLATED
) -> Path:
    with zipfile.ZipFile(place / "s.zip", "w", kind) as file:
        for name, data in members:
            file.writestr(name, data)
    return place / "s.zip"


def whole(tree: Tree) -> dict[str, bytes]:
    with tree.reading() as read:
        return {path: b"".join(read(path)) for path in tree.sizes}


@pytest.mark.parametrize("kind", ["folder", "zip", "lmdb"])
def test_files_come_in_the_order_of_their_names_and_whole(tmp_path: Path, kind: str) -> None:
    large = os.urandom(3 << 20)
    files = {"a": b"1", "b": large, "empty": b""}
    if kind == "folder":
        (tmp_path / "s").mkdir()
        for name, data in files.items():
            (tmp_path / "s" / name).write_bytes(data)
        tree = folder(tmp_path / "s")
    elif kind == "zip":
        tree = archive(packed(tmp_path, *reversed(files.items())))
    else:
        tree = archive(sets.database(tmp_path / "s", files))
    assert tree.sizes == {"a": 1, "b": 3 << 20, "empty": 0}
    assert [*tree.sizes] == ["a", "b", "empty"]
    assert whole(tree) == files


def test_hidden_files_do_not_count(tmp_path: Path) -> None:
    tree = archive(
        packed(tmp_path, ("s/a", b"1"), ("s/.DS_Store", b"2"), ("__MACOSX/s/._a", b"3"), ("s/b/", b""))
    )
    assert [*tree.sizes] == ["s/a"]
    assert [*tree.below("s").sizes] == ["a"]
    assert whole(tree.below("s")) == {"a": b"1"}


def link() -> zipfile.ZipInfo:
    member = zipfile.ZipInfo("a.jpg")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../a.jpg", r"'\.\./a\.jpg' is no path within a set"),
        ("a/../../b.jpg", "is no path within a set"),
        ("/etc/a.jpg", "'/etc/a.jpg' is no path within a set"),
        ("a\\b.jpg", "is no path within a set"),
        ("c:/b.jpg", "is no path within a set"),
        ("a\x1b.jpg", r"'a\\x1b\.jpg' is no path within a set"),
        ("x" * 2000, "is no path within a set"),
        (link(), "'a.jpg' is a link; zip what it leads to"),
    ],
)
def test_a_member_that_leads_elsewhere_is_refused(
    tmp_path: Path, name: str | zipfile.ZipInfo, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        zipped(packed(tmp_path, ("fine.jpg", b"1"), (name, b"/etc/passwd")))


def test_what_unpacks_to_far_more_than_it_is_is_refused_unread(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'a' unpacks to over 200 times its size"):
        zipped(packed(tmp_path, ("a", bytes(4 << 20))))
    with pytest.raises(InputError, match=r"s\.zip: unpacks to over 200 times its size"):
        zipped(packed(tmp_path, *((f"{n}", bytes(1 << 19)) for n in range(6))))


def test_a_member_packed_in_another_way_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'a' is packed in a way that is not read; zip it again by deflate"):
        zipped(packed(tmp_path, ("a", b"1"), kind=zipfile.ZIP_BZIP2))


def test_an_encrypted_member_and_a_name_that_comes_twice_are_refused(tmp_path: Path) -> None:
    place = packed(tmp_path, ("a", b"1"), ("b", b"2"))
    data = place.read_bytes()
    place.write_bytes(data.replace(b"b" + b"PK\5\6", b"a" + b"PK\5\6"))
    with pytest.raises(InputError, match="'a' is there twice"):
        zipped(place)
    at = data.index(b"PK\1\2") + 8
    place.write_bytes(data[:at] + b"\1" + data[at + 1 :])
    with pytest.raises(InputError, match="'a' is encrypted"):
        zipped(place)


def test_damage_is_one_line(tmp_path: Path) -> None:
    place = packed(tmp_path, ("a", b"some bytes"), kind=zipfile.ZIP_STORED)
    place.write_bytes(place.read_bytes().replace(b"some bytes", b"same bytes"))
    tree = archive(place)
    with pytest.raises(InputError, match=r"s\.zip: Bad CRC-32 for file 'a': damaged, fetch it again$"):
        whole(tree)
    place.write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"s\.zip: File is not a zip file: damaged, fetch it again$"):
        archive(place)
    (tmp_path / "db").mkdir()
    (tmp_path / "db/data.mdb").write_bytes(b"no database" * 1000)
    with pytest.raises(InputError, match=r"db: .*MDB_INVALID.*: damaged, fetch it again$"):
        archive(tmp_path / "db")
    os.mkfifo(tmp_path / "pipe.zip")
    with pytest.raises(InputError, match=r"pipe\.zip: is no file, but a folder, a pipe or a device"):
        archive(tmp_path / "pipe.zip")


def test_a_reader_has_no_more_memory_than_it_is_given(tmp_path: Path) -> None:
    members = [zipfile.ZipInfo(f"{n}") for n in range(600)]
    for member in members:
        member.comment = bytes(65_535)  # the index of a zip is read whole: 40 MB
    place = packed(tmp_path, *((member, b"") for member in members))
    said = r"s\.zip: takes more than 33,554,432 bytes of memory to read"
    with pytest.raises(InputError, match=said), reader(place, memory=32 << 20) as read:
        [*read("")]


def signalled(place: Path, number: int, silence: float) -> None:
    """Asks a reader that has been sent a signal."""
    with reader(place, silence=silence) as read:
        (process,) = multiprocessing.active_children()
        assert process.pid is not None
        os.kill(process.pid, number)
        [*read("a")]


@pytest.mark.parametrize(
    ("number", "silence", "said"),
    [
        (signal.SIGSEGV, 600, r"s\.zip: reading it ended its process by SIGSEGV; damaged, fetch it again"),
        (signal.SIGSTOP, 0.1, r"s\.zip: no answer from its reader in 0\.1 s; damaged, fetch it again"),
    ],
)
def test_a_reader_that_dies_or_hangs_is_one_line_and_none_is_left(
    tmp_path: Path, number: int, silence: float, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        signalled(packed(tmp_path, ("a", b"1")), number, silence)
    assert multiprocessing.active_children() == []


def test_pictures_come_one_by_one_in_any_thread_and_as_often_as_asked(tmp_path: Path) -> None:
    tree = archive(packed(tmp_path, ("a", b"1"), ("b", b"2")))
    pictures = pictures_of(tree, ["b", "", "a"])
    got: list[list[bytes]] = []
    threads = [threading.Thread(target=lambda: got.append([*pictures()])) for _ in range(2)]
    for thread in threads:
        thread.start()
    first, second = pictures(), pictures()
    assert [next(first), next(second), next(first)] == [b"2", b"2", b""]
    for thread in threads:
        thread.join()
    assert got == [[b"2", b"", b"1"]] * 2
    del first, second
    assert multiprocessing.active_children() == []


Change = Callable[[Path], None]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda place: (place / "b.jpg").symlink_to(place.parent / "secret.jpg"),
            r"b\.jpg: is a link out of the set",
        ),
        (
            lambda place: (place / "sub").symlink_to(place.parent),
            "sub: is a link out of the set, or to a folder",
        ),
        (
            lambda place: (place / "b.jpg").symlink_to("/nowhere"),
            r"b\.jpg: is a link out of the set, or to a folder",
        ),
        (
            lambda place: (place / "in").symlink_to(place / "some"),
            "in: is a link out of the set, or to a folder",
        ),
        (lambda place: (place / "a\x1b.jpg").write_bytes(b"1"), r"'a\\x1b\.jpg' is no path within a set"),
        (
            lambda place: Path(os.fsdecode(bytes(place) + b"/\xff.jpg")).touch(),
            r"'\\udcff\.jpg' is no path within",
        ),
    ],
)
def test_what_leads_out_of_a_folder_is_refused(tmp_path: Path, change: Change, said: str) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "s/some").mkdir(parents=True)
    change(tmp_path / "s")
    with pytest.raises(InputError, match=said):
        folder(tmp_path / "s")


def test_links_within_a_folder_are_files_and_pipes_are_none(tmp_path: Path) -> None:
    (tmp_path / "s/sub").mkdir(parents=True)
    (tmp_path / "s/a.jpg").write_bytes(b"123")
    (tmp_path / "s/sub/b.jpg").symlink_to("../a.jpg")
    os.mkfifo(tmp_path / "s/pipe.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "s")  # the user's own, to where there is room
    assert whole(folder(tmp_path / "link")) == {"a.jpg": b"123", "sub/b.jpg": b"123"}


@given(st.lists(st.binary(max_size=12).map(lambda data: data.replace(b"\0", b"\n"))))
def test_lines_do_not_depend_on_how_the_bytes_come(blocks: list[bytes]) -> None:
    data = b"".join(blocks)
    assert [*lines(iter(blocks), 1000, "f")] == data.split(b"\n")[: None if data.rpartition(b"\n")[2] else -1]


@given(st.integers(1, 20), st.integers(0, 3))
def test_a_line_that_is_too_long_is_refused_before_it_is_held(size: int, before: int) -> None:
    read = 0

    def blocks() -> object:
        nonlocal read
        yield b"a\n" * before
        for _ in range(1000):
            read += size
            yield b"x" * size

    with pytest.raises(InputError, match="f: a line of more than 10 bytes"):
        [*lines(blocks(), 10, "f")]  # type: ignore[arg-type]
    assert read <= 10 + size
