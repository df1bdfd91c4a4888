"""Locks and files that appear whole."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from builder.files import Lock, publish, write_atomic


def test_who_waits_for_a_lock_whose_folder_is_removed_locks_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "work" / "world.lock"
    first, second = Lock(path), Lock(path)
    assert first.acquire()
    taken: list[bool] = []
    waiter = threading.Thread(target=lambda: taken.append(second.acquire(shared=True, wait=True)))
    waiter.start()
    shutil.rmtree(path.parent)
    first.release()
    waiter.join(20)
    assert taken == [True]
    third = Lock(path)
    assert not third.acquire()  # what the second holds is the file that is there
    third.release()
    second.release()


def test_a_published_file_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    target, made = tmp_path / "a" / "shard", tmp_path / "shard.tmp"
    write_atomic(str(target), b"old")
    made.write_bytes(b"new")
    publish(made, str(target))
    assert target.read_bytes() == b"new"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["shard"]
