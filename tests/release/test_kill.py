"""kill -9 in the middle of publishing, at random points: the same command finishes, and sends nothing twice."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest

from tests.hub import Hub
from tests.release.publishing import contents, killer, make, names, publish, start

PART = 100_000  # bytes: two shards of the nine
PARTS = 6  # five of shards, and one of the card and release.json
OLD, NEW = {"manifest/train-00000-of-00001.parquet": 77}, names(9)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The release before, and the one that is killed."""
    old, new = tmp_path_factory.mktemp("old"), tmp_path_factory.mktemp("new")
    make(old, "v1", OLD)
    make(new, "v2", NEW, previous="v1")
    return old, new


def rounds(hub: Hub, tmp: Path, folders: tuple[Path, Path], xet: bool, kill_at: int) -> tuple[int, int]:
    """Publish v1, then v2 with a kill at its request `kill_at`, then v2 again; requests of v2, bytes stored."""
    old, new = folders
    head = hub.push("tester/x", dict(contents(old)))
    hub.store.get("dataset", "tester/x").state.tags["v1"] = head  # type: ignore[union-attr]
    if kill_at:
        process: list[Any] = []
        hub.during("*", "", killer(process), skip=kill_at - 1)
        process.append(start(hub, tmp, new, "v2", xet=xet, part=PART))
        assert process[0].communicate()[0] == ""
        assert process[0].returncode == -9
    else:
        assert "error" not in publish(hub, tmp, new, "v2", xet=xet, part=PART)
    return len(hub.requests), hub.store.stored()


def part_commits(hub: Hub) -> int:
    """Commits of parts that were ever made on the branch, which is gone by now."""
    repository = hub.store.get("dataset", "tester/x")
    assert repository is not None
    found = (repository.commit(path.name) for path in (repository.folder / "commits").iterdir())
    return sum(commit.title == "Part of v2" for commit in found)


def put_bytes(hub: Hub) -> dict[str, list[int]]:
    """Bytes of each PUT, by content."""
    found: dict[str, list[int]] = {}
    for seen in hub.requests:
        if seen.method == "PUT":
            oid = re.sub(r"[?].*", "", seen.target).split("/")[2]
            found.setdefault(oid, []).append(seen.received)
    return found


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, folders: tuple[Path, Path]
) -> dict[bool, tuple[int, int]]:
    """Of a run that nothing disturbs, by Xet and by LFS: its requests, and what is stored after it."""
    found = {}
    for xet in (True, False):
        tmp = tmp_path_factory.mktemp("undisturbed")
        with Hub(tmp / "hub") as quiet:
            found[xet] = rounds(quiet, tmp, folders, xet, 0)
    return found


def check_end(hub: Hub, new: Path, again: dict[str, Any]) -> None:
    """What readers find is the new release, once, and nothing of the way there."""
    assert again.get("error") is None, again
    assert hub.contents("tester/x") == hub.contents("tester/x", "v2") == contents(new)
    state = hub.store.get("dataset", "tester/x").state  # type: ignore[union-attr]
    assert set(state.branches) == {"main"}
    assert set(state.tags) == {"v1", "v2"}
    history = [commit.title for commit in hub.store.get("dataset", "tester/x").history(hub.head("tester/x"))]  # type: ignore[union-attr]
    assert [history[0], *history[2:]] == ["Release v2", "initial commit"]


@pytest.mark.parametrize("seed", range(3))
def test_a_kill_by_xet(
    hub: Hub, tmp_path: Path, folders: tuple[Path, Path], undisturbed: dict[bool, tuple[int, int]], seed: int
) -> None:  # fmt: skip
    requests, stored = undisturbed[True]
    rounds(hub, tmp_path, folders, True, random.Random(seed).randint(1, requests))
    again = publish(hub, tmp_path, folders[1], "v2", part=PART)
    check_end(hub, folders[1], again)
    assert part_commits(hub) == PARTS
    assert hub.store.stored() <= stored + PART


@pytest.mark.parametrize("seed", range(3, 5))
def test_a_kill_by_lfs(
    hub: Hub, tmp_path: Path, folders: tuple[Path, Path], undisturbed: dict[bool, tuple[int, int]], seed: int
) -> None:  # fmt: skip
    hub.multipart = 20_000
    requests, stored = undisturbed[False]
    rounds(hub, tmp_path, folders, False, random.Random(seed).randint(1, requests))
    first = put_bytes(hub)
    whole = {oid for oid in first if hub.store.blob(oid).exists()}
    hub.forget()
    check_end(hub, folders[1], publish(hub, tmp_path, folders[1], "v2", xet=False, part=PART))
    again = put_bytes(hub)
    assert whole & set(again) == set()
    assert sum(map(sum, [*first.values(), *again.values()])) <= stored + PART
    assert hub.store.stored() == stored
