"""Locks and files that appear whole."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builder.disk.files import Lock, environment, publish, read_bytes, sweep, write_atomic
from builder.errors import EnvironmentProblem, InputError


def test_who_waits_for_a_lock_whose_folder_is_removed_locks_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "work" / "world.lock"
    first, second = Lock(path), Lock(path)
    assert first.acquire()
    taken: list[bool] = []
    waiter = threading.Thread(target=lambda: taken.append(second.acquire(shared=True, wait=True)))
    waiter.start()
    shutil.rmtree(path.parent)
    first.release()
    waiter.join()
    assert taken == [True]
    third = Lock(path)
    assert not third.acquire()  # what the second holds is the file that is there
    third.release()
    second.release()


def test_who_locks_while_others_remove_the_folder_is_alone_until_it_leaves(tmp_path: Path) -> None:
    path = tmp_path / "work" / "world.lock"
    inside: list[int] = []

    def come_and_go(me: int) -> int:
        lock, rounds = Lock(path), 300
        for _ in range(rounds):
            lock.acquire(wait=True)
            inside.append(me)
            alone = inside == [me]
            inside.remove(me)
            lock.clear()
            lock.release()
            assert alone
        return rounds

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(come_and_go, range(4))) == 1200


def test_a_lock_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "work").touch()
    with pytest.raises(FileExistsError):
        Lock(tmp_path / "work" / "world.lock").acquire()


@pytest.mark.parametrize("folder", ["/proc/none/work", "/proc/none/deeper/work", "/dev/null/work"])
def test_a_lock_where_no_folder_can_be_made_is_refused_at_once(folder: str) -> None:
    with pytest.raises(OSError, match=r"No such file|File exists"):
        Lock(Path(folder, "world.lock")).acquire()


def test_a_lock_that_is_a_link_to_nowhere_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "work" / "world.lock"
    path.parent.mkdir()
    path.symlink_to(tmp_path / "none" / "world.lock")
    with pytest.raises(FileNotFoundError):
        Lock(path).acquire()


def test_a_folder_that_cannot_be_removed_does_not_hold_up_who_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(path: Path) -> None:  # a network disk keeps the lock, which is open, under another name
        raise OSError(errno.ENOTEMPTY, "Directory not empty", str(path))

    lock = Lock(tmp_path / "work" / "world.lock")
    assert lock.acquire()
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", busy)
        lock.clear()
    lock.release()
    assert len([*tmp_path.iterdir()]) == 1
    sweep(str(tmp_path))
    assert [*tmp_path.iterdir()] == []


def test_a_published_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    target, made = tmp_path / "a" / "shard", tmp_path / "shard.tmp"
    write_atomic(str(target), b"old")
    made.write_bytes(b"new")
    publish(made, str(target))
    assert target.read_bytes() == b"new"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["shard"]


def test_what_killed_writes_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    for name in (".train-00000.json.77.tmp", "train-00000.json", ".hidden", "notes.tmp"):
        (tmp_path / name).touch()
    (tmp_path / "..rebuild.77-1.tmp").mkdir()
    sweep(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "notes.tmp", "train-00000.json"]
    sweep(str(tmp_path / "missing"))


def test_a_folder_or_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(InputError, match=f"{name}: is no file, but a folder, a pipe or a device"):
            read_bytes(str(tmp_path / name))
    assert read_bytes(str(tmp_path / "none")) is None


def test_a_problem_of_the_disk_names_the_file(tmp_path: Path) -> None:
    target = tmp_path / "root" / "plan.json"
    target.mkdir(parents=True)
    said = rf"cannot use root: {target.parent}/.*: Is a directory; "
    with pytest.raises(EnvironmentProblem, match=said), environment("cannot use root"):
        write_atomic(str(target), b"{}")
    assert [*target.parent.iterdir()] == [target]  # nothing half written is left beside it
