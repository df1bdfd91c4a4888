"""Releases published on the loopback Hub by the real client, and into folders: what readers find, at every moment."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.console import Console
from builder.disk.release import NAME
from builder.errors import UsageError
from builder.release.config import ReleaseConfig
from builder.release.upload import open_target
from tests.hub import Fault, Hub
from tests.hub.access import Account
from tests.release.publishing import SHARDS, contents, killer, make, publish, start

REPO = "tester/x"


def requests(hub: Hub, method: str, part: str) -> list[Any]:
    return [seen for seen in hub.requests if seen.method == method and part in seen.target]


def branches(hub: Hub) -> set[str]:
    return set(hub.store.get("dataset", REPO).state.branches)  # type: ignore[union-attr]


@pytest.mark.parametrize("xet", [True, False], ids=["xet", "lfs"])
def test_what_is_published_is_the_folder(hub: Hub, tmp_path: Path, release: Path, xet: bool) -> None:
    parts = [list(SHARDS)[:2], list(SHARDS)[2:3]]
    hub.multipart = 20_000
    told = publish(hub, tmp_path, release, "v1", xet=xet, parts=parts)
    assert told["url"] == "hf://datasets/tester/x@v1"
    assert told["previous"] is None
    assert hub.contents(REPO) == hub.contents(REPO, "v1") == contents(release)
    assert branches(hub) == {"main"}
    assert {"xet-write-token" in seen.target for seen in hub.requests} >= {xet}
    assert bool(requests(hub, "PUT", "/contents/")) != xet


def watched(hub: Hub) -> list[frozenset[tuple[str, str]]]:
    """What main holds before each request from now on: paths and contents, in the order they are seen."""
    seen: list[frozenset[tuple[str, str]]] = []

    def look() -> None:
        found = hub.store.get("dataset", REPO)
        now = (
            frozenset((path, one.oid) for path, one in hub.head(REPO).files.items()) if found else frozenset()
        )
        if now and (not seen or seen[-1] != now):
            seen.append(now)

    hub.during("*", "", look, times=10_000)
    return seen


def test_a_reader_sees_one_release_or_the_other(
    hub: Hub, tmp_path: Path, release: Path, second: Path
) -> None:
    publish(hub, tmp_path, release, "v1")
    old = frozenset((path, one.oid) for path, one in hub.head(REPO).files.items())
    states = watched(hub)
    assert publish(hub, tmp_path, second, "v2", part=50_000)["previous"] == "v1"
    new = frozenset((path, one.oid) for path, one in hub.head(REPO).files.items())
    assert states == [old, new]
    assert hub.contents(REPO) == contents(second)
    assert hub.contents(REPO, "v1") == contents(release)


def test_what_lies_there_is_not_sent(hub: Hub, tmp_path: Path, release: Path, second: Path) -> None:
    publish(hub, tmp_path, release, "v1", xet=False)
    hub.forget()
    publish(hub, tmp_path, second, "v2", xet=False)
    assert len(requests(hub, "PUT", "/contents/")) == 2
    hub.forget()
    again = publish(hub, tmp_path, second, "v2", xet=False)
    assert again["previous"] == "v2"
    assert [seen for seen in hub.requests if seen.method == "PUT" or "commit" in seen.target] == []


def test_the_card_and_release_json_go_last(hub: Hub, tmp_path: Path, release: Path) -> None:
    seen: list[set[str]] = []
    hub.during("POST", "/commit/", lambda: seen.append(staged(hub)), times=100)
    publish(hub, tmp_path, release, "v1", part=50_000)
    assert all({"README.md", NAME}.isdisjoint(files) for files in seen[:-1])
    assert seen[-1] == {*contents(release), ".gitattributes"}  # before the commit on main


def staged(hub: Hub) -> set[str]:
    return set(hub.head(REPO, "release/v1").files)


def test_files_of_others_stay(hub: Hub, tmp_path: Path, release: Path, second: Path) -> None:
    hub.push(REPO, {"notes/a.txt": b"mine", "README.md": b"old"})
    publish(hub, tmp_path, release, "v1")
    publish(hub, tmp_path, second, "v2")
    found = hub.contents(REPO)
    assert found.pop("notes/a.txt") == b"mine"
    assert found == contents(second)
    assert ".gitattributes" in hub.head(REPO).files


def test_data_of_others_would_be_read_as_ours(hub: Hub, tmp_path: Path, release: Path) -> None:
    hub.push(REPO, {"manifest/train-00007-of-00009.parquet": b"x"})
    told = publish(hub, tmp_path, release, "v1")
    assert told["error"] == "UsageError"
    assert "holds manifest/train-00007-of-00009.parquet, which no release wrote" in told["message"]
    assert requests(hub, "POST", "/commit/") == []


@pytest.mark.parametrize("name", ["x.py", "danqing.py"])
def test_a_script_is_never_uploaded(hub: Hub, tmp_path: Path, release: Path, name: str) -> None:
    (release / name).write_text("raise SystemExit")
    told = publish(hub, tmp_path, release, "v1")
    assert told["error"] == "InputError"
    assert (
        f"{name}: load_dataset refuses a repository with a script of its name; leave it out"
        in told["message"]
    )
    assert name not in str(hub.contents(REPO)) + str(staged(hub))


def test_a_script_that_is_there_is_said(hub: Hub, tmp_path: Path, release: Path) -> None:
    hub.push(REPO, {"x.py": b"x"})
    assert "x.py: load_dataset refuses" in publish(hub, tmp_path, release, "v1")["message"]


# --- what goes wrong on the way -----------------------------------------------------------------------------


def fault(*arguments: Any, **more: Any) -> Callable[[Hub], Fault]:
    return lambda hub: hub.faults.add(Fault(*arguments, **more))


BUSY = [
    fault("POST", "/repos/create", status=503, retry_after=0),
    fault("POST", "/branch/", status=502, retry_after=0),
    fault("POST", "/preupload/", status=503, retry_after=0),
    fault("POST", "/commit/release", status=429, retry_after=0),
    fault("POST", "/commit/main", status=503, retry_after=0),
    fault("POST", "/tag/", status=429, retry_after=0),
]
LOST = [
    fault("POST", "/repos/create", cut="answer"),
    fault("POST", "/branch/", cut="answer"),
    fault("POST", "/commit/release", cut="answer"),
    fault("POST", "/commit/main", cut="answer"),
    fault("POST", "/tag/", cut="answer"),
    fault("DELETE", "/branch/", cut="answer"),
]
LARGE = [
    fault("POST", "/commit/release", status=413),
    fault("PUT", "/contents/", cut="request", after=20_000),
]
PASSING = {
    "busy, xet": (BUSY, True), "lost, xet": (LOST, True), "large and busy, lfs": ([*LARGE, BUSY[3]], False),
}  # fmt: skip


@pytest.mark.parametrize("name", PASSING)
def test_what_passes_is_waited_for(hub: Hub, tmp_path: Path, release: Path, name: str) -> None:
    faults, xet = PASSING[name]
    waiting = [cause(hub) for cause in faults]
    told = publish(hub, tmp_path, release, "v1", xet=xet)
    assert "error" not in told, told
    assert hub.contents(REPO) == hub.contents(REPO, "v1") == contents(release)
    assert branches(hub) == {"main"}
    assert len(list(hub.store.get("dataset", REPO).history(hub.head(REPO)))) == 2  # type: ignore[union-attr]
    assert [one.times for one in waiting] == [0] * len(faults)


STORAGE = "Private repository storage limit reached, please upgrade your plan"
LASTING: dict[str, tuple[Callable[[Hub], object], str, str]] = {
    "read token": (lambda hub: None, "hf_loopback_read", "the token of tester may only read"),
    "expired token": (lambda hub: None, "hf_loopback_expired", "the token has expired; log in"),
    "no token": (lambda hub: None, "", "there is no token; log in"),
    "quota": (fault("POST", "/preupload/", status=403, message=STORAGE), Hub.token, "no space is left there (Private"),
    "a card that is none": (
        fault("POST", "/validate-yaml", status=400), Hub.token, "the Hub takes no such README.md"
    ),
    "429 for an hour": (fault("POST", "/tag/", status=429, retry_after=3600), Hub.token, "in 1 h run the same command"),
}  # fmt: skip


def test_what_lasts_is_one_line_and_the_same_command_goes_on(hub: Hub, tmp_path: Path, release: Path) -> None:
    for name, (cause, token, words) in LASTING.items():
        cause(hub)
        told = publish(hub, tmp_path, release, "v1", token=token or None)
        assert words in told.get("message", ""), name
        assert "\n" not in told["message"]
        hub.forget()
    assert "error" not in publish(hub, tmp_path, release, "v1")
    assert hub.contents(REPO, "v1") == contents(release)


def test_the_metadata_of_a_card_is_checked(hub: Hub, tmp_path: Path, release: Path) -> None:
    (release / "README.md").write_text("---\nlicense: 3\n---\n")
    told = publish(hub, tmp_path, release, "v1")
    assert told["message"].endswith('takes no such README.md: "license" must be str or list')
    assert hub.contents(REPO) == {}


def test_a_commit_of_others_is_not_overwritten(hub: Hub, tmp_path: Path, release: Path, second: Path) -> None:
    publish(hub, tmp_path, release, "v1")
    hub.during("POST", "/commit/main", lambda: hub.push(REPO, {"README.md": b"theirs"}))
    told = publish(hub, tmp_path, second, "v2")
    assert "someone committed to main meanwhile" in told["message"]
    assert '"Update README.md" by somebody' in told["message"]
    assert hub.contents(REPO)["README.md"] == b"theirs"
    assert "error" not in publish(hub, tmp_path, second, "v2")
    assert hub.contents(REPO) == contents(second)


def test_a_tag_of_other_content_stays_unless_replaced(hub: Hub, tmp_path: Path, release: Path) -> None:
    publish(hub, tmp_path, release, "v1")
    before = contents(release)
    make(release, "v1", {next(iter(SHARDS)): 8})
    told = publish(hub, tmp_path, release, "v1")
    assert "the tag is taken by other content; say another --tag, or --overwrite" in told["message"]
    assert hub.contents(REPO) == hub.contents(REPO, "v1") == before
    assert "error" not in publish(hub, tmp_path, release, "v1", replaced="v1")
    assert hub.contents(REPO) == hub.contents(REPO, "v1") == contents(release)


def test_a_branch_that_was_touched_is_not_published(hub: Hub, tmp_path: Path, release: Path) -> None:
    path = next(iter(SHARDS))
    hub.during("POST", "/commit/release", lambda: hub.push(REPO, {path: b"other"}, "release/v1"), skip=1)
    told = publish(hub, tmp_path, release, "v1", part=50_000)
    assert told["error"] == "VerificationError"
    assert f"{path} is not there as release.json says" in told["message"]
    assert hub.contents(REPO) == {}


def test_many_files_go_in_several_commits_the_card_last(hub: Hub, tmp_path: Path, release: Path) -> None:
    hub.cut("POST", "/commit/main", "answer")  # and the answer of the first is lost
    states = watched(hub)
    assert "error" not in publish(hub, tmp_path, release, "v1", operations=3)
    assert hub.contents(REPO, "v1") == contents(release)
    assert [("README.md" in dict(state), NAME in dict(state)) for state in states] == [(False, False)] * 3 + [
        (True, True)
    ]


def test_of_several_commits_the_old_files_go_last_also_after_a_kill(
    hub: Hub, tmp_path: Path, release: Path, second: Path
) -> None:
    publish(hub, tmp_path, release, "v1")
    first = set(hub.contents(REPO))
    process: list[Any] = []
    wanted = (second / "README.md").read_bytes()

    def kill_when_the_card_is_new() -> None:
        if hub.contents(REPO)["README.md"] == wanted:
            killer(process)()

    hub.during("*", "", kill_when_the_card_is_new, times=10_000)
    process.append(start(hub, tmp_path, second, "v2", operations=2))
    process[0].communicate()
    assert process[0].returncode == -9
    assert set(hub.contents(REPO)) >= first
    hub.forget()
    assert "error" not in publish(hub, tmp_path, second, "v2", operations=2)
    assert hub.contents(REPO) == hub.contents(REPO, "v2") == contents(second)


def test_private_is_private_or_nothing(hub: Hub, tmp_path: Path, release: Path) -> None:
    assert "error" not in publish(hub, tmp_path, release, "v1", private=True)
    assert hub.store.get("dataset", REPO).state.private  # type: ignore[union-attr]
    hub.push("tester/open", {})
    told = publish(hub, tmp_path, release, "v1", private=True, repo="tester/open")
    assert "it exists and is public; make it private there or leave out --private" in told["message"]


def test_the_token_goes_to_the_hub_alone_and_is_written_nowhere(
    hub: Hub, tmp_path: Path, release: Path
) -> None:
    token = f"hf_testtoken{secrets.token_hex(12)}"
    hub.accounts[token] = Account("tester")
    hub.multipart = 20_000
    hub.fail("POST", "/commit/", 503)
    told = [
        publish(hub, tmp_path, release, "v1", xet=xet, token=token, repo=f"tester/{xet}")
        for xet in (False, True)
    ]
    stores = [seen for seen in hub.requests if seen.host.startswith("localhost")]
    assert stores
    assert {seen.authorization for seen in stores} == {""}
    assert {seen.authorization for seen in hub.requests if token in seen.authorization} == {f"Bearer {token}"}
    written = [path for path in tmp_path.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]
    assert (written, token in json.dumps(told)) == ([], False)


# --- progress -----------------------------------------------------------------------------------------------


def test_progress_is_told_in_bytes(hub: Hub, tmp_path: Path, release: Path) -> None:
    lines = publish(hub, tmp_path, release, "v1", part=50_000)["stderr"].splitlines()
    told = [line.partition(" · ")[0] for line in lines if "/180 kB" in line and "ETA" in line]
    assert {"45/180 kB (25.0%)", "90/180 kB (50.0%)", "180/180 kB (100.0%)"} <= set(told)
    assert told == sorted(told, key=lambda one: int(one.partition("/")[0]))
    assert not [line for line in lines if "Uploading" in line or "%|" in line]  # of the client's own


@pytest.mark.parametrize("output", ["hf://datasets/a", "hf://datasets/a/b@v1", "s3://a/b"])
def test_other_places_are_refused(output: str) -> None:
    with pytest.raises(UsageError, match="write a folder, or hf://datasets/ORG/NAME without a revision"):
        open_target(ReleaseConfig(root="r", output=output), Console(quiet=True))
