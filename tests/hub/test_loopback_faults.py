"""The loopback Hub does wrong on demand, and the real client meets it; plain requests show what it says."""

import http.client
import json
import subprocess
from pathlib import Path

import pytest

from tests.hub import Hub
from tests.hub.clients import answers, argv_of, client_env, hub_contents, run_client

REPO = "danqing-org/x"
UPLOAD = """
import json, os, time
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError
import huggingface_hub.utils._http as http
http.time.sleep = lambda seconds: None
api = HfApi()
try:
    api.upload_folder(repo_id="danqing-org/x", folder_path=os.environ["FOLDER"], repo_type="dataset")
    said = "done"
except Exception as error:
    cause = error
    while cause.__cause__:
        cause = cause.__cause__
    said = f"{type(error).__name__}: {getattr(getattr(error, 'response', None), 'status_code', cause)}"
print(json.dumps(said))
"""


@pytest.fixture
def env(hub: Hub, tmp_path: Path) -> dict[str, str]:
    """A client with 3 MB to upload, by LFS, to a repository that is there."""
    hub.push(REPO, {"a.txt": b"a"})
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "x.parquet").write_bytes(bytes(3_000_000))
    return client_env(hub, tmp_path, xet=False) | {"FOLDER": str(folder)}


def ask(
    hub: Hub, method: str, target: str, body: bytes | None = None, **headers: str
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=300)
    given = {"Authorization": f"Bearer {hub.token}"} | {
        name.replace("_", "-"): text for name, text in headers.items()
    }
    try:
        connection.request(method, target, body, given)
        answer = connection.getresponse()
        answer.body = answer.read()  # type: ignore[attr-defined]
    finally:
        connection.close()
    return answer


def test_a_client_goes_on_after_faults_that_pass(hub: Hub, env: dict[str, str]) -> None:
    """Statuses that pass, a connection that breaks in the upload, another in the list of what to send."""
    hub.fail("POST", "/preupload/", 503)
    hub.fail("POST", "/objects/batch", 429, retry_after=0)
    hub.fail("PUT", "/contents/", 500)
    hub.cut("PUT", "/contents/", "request", after=1_000_000, skip=1)
    hub.cut("POST", "/objects/batch", "response", after=10, skip=1)
    assert answers(UPLOAD, env) == "done"
    assert [one.status for one in hub.requests if one.method == "PUT"] == [500, 0, 200]
    broken = next(one for one in hub.requests if one.method == "PUT" and not one.status)
    assert broken.received == 1_000_000
    assert len(hub_contents(hub, REPO)["x.parquet"]) == 3_000_000
    assert not list((hub.folder / "spool").iterdir())


@pytest.mark.parametrize("status", [401, 403, 503])
def test_a_client_stops_at_faults_that_stay(hub: Hub, env: dict[str, str], status: int) -> None:
    hub.fail("POST", "/preupload/", status, times=100)
    assert answers(UPLOAD, env) == f"HfHubHTTPError: {status}"
    assert hub_contents(hub, REPO) == {"a.txt": b"a"}


def test_a_commit_whose_answer_is_lost_is_there(hub: Hub, env: dict[str, str]) -> None:
    hub.cut("POST", "/commit/main", "answer")
    assert answers(UPLOAD, env).startswith(("RemoteProtocolError", "ReadError"))
    assert "x.parquet" in hub_contents(hub, REPO)


def test_somebody_else_commits_meanwhile(hub: Hub, env: dict[str, str]) -> None:
    head = hub.head(REPO).oid
    hub.during("POST", "/commit/main", lambda: hub.push(REPO, {"theirs.txt": b"t"}))
    code = f"""
    import json
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError
    add = CommitOperationAdd("ours.txt", b"o")
    try:
        HfApi().create_commit("{REPO}", [add], commit_message="m", parent_commit="{head}", repo_type="dataset")
    except HfHubHTTPError as error:
        print(json.dumps([error.response.status_code, error.server_message]))
    """
    status, words = answers(code, env)
    assert (status, words) == (412, "A commit has happened since. Please refresh and try again.")
    assert sorted(hub_contents(hub, REPO)) == ["a.txt", "theirs.txt"]


@pytest.mark.parametrize("xet", [False, True], ids=["lfs", "xet"])
def test_a_client_is_killed_and_begins_again(
    hub: Hub, env: dict[str, str], tmp_path: Path, xet: bool
) -> None:
    env = client_env(hub, tmp_path, xet) | {"FOLDER": env["FOLDER"]}
    running: list[subprocess.Popen[bytes]] = []
    hub.during("POST", "/commit/main", lambda: (running[0].kill(), running[0].wait()))
    running.append(subprocess.Popen(argv_of(UPLOAD), env=env, stdout=subprocess.DEVNULL))
    assert running[0].wait() == -9
    assert answers(UPLOAD, env) == "done"
    assert len(hub_contents(hub, REPO)["x.parquet"]) == 3_000_000
    assert sum(one.received for one in hub.requests if one.method == "PUT") == (0 if xet else 3_000_000)


def test_a_client_asks_again_for_a_download_that_was_cut(
    hub: Hub, env: dict[str, str], tmp_path: Path
) -> None:
    hub.push(REPO, {"b.txt": b"b" * 3_000_000})
    hub.cut("GET", "/b.txt", "response", after=1_000_000)
    run_client(["hf", "download", REPO, "b.txt", "--type", "dataset", "--local-dir", str(tmp_path)], env)
    assert (tmp_path / "b.txt").stat().st_size == 3_000_000
    assert [one.sent for one in hub.requests if one.method == "GET" and "/b.txt" in one.target] == [
        1_000_000,
        3_000_000,
    ]


@pytest.mark.parametrize(
    ("asked", "status", "content", "told"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("lines=1-2", 200, b"0123456789", None),
    ],
)
def test_ranges(hub: Hub, asked: str, status: int, content: bytes, told: str | None) -> None:
    hub.push(REPO, {"a.txt": b"0123456789"})
    answer = ask(hub, "GET", f"/datasets/{REPO}/resolve/main/a.txt", Range=asked)
    assert (answer.status, answer.body, answer.headers["Content-Range"]) == (status, content, told)  # type: ignore[attr-defined]


def test_contents_open_with_a_signature_alone(hub: Hub) -> None:
    answer = ask(hub, "GET", f"/contents/{'0' * 64}?Signature=guessed")
    assert answer.status == 403


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ({"key": "file", "value": {"path": "../x", "content": ""}}, 400),
        ({"key": "file", "value": {"path": "a//b", "content": ""}}, 400),
        ({"key": "lfsFile", "value": {"path": "x", "oid": "0" * 64, "size": 1}}, 400),
        ({"key": "deletedFile", "value": {"path": "nowhere"}}, 404),
        ({"key": "copyFile", "value": {"path": "x", "srcPath": "nowhere", "srcRevision": "main"}}, 404),
        ({"key": "file", "value": {"path": "README.md", "content": "LS0tCmE6IFsxCi0tLQo="}}, 400),
        ({"key": "renamed", "value": {}}, 400),
        ({"key": "copyFile", "value": {"path": "x", "srcPath": "a.txt", "srcRevision": "main"}}, 200),
    ],
    ids=["outside", "empty name", "no content", "no file", "no source", "bad card", "unknown", "copy"],
)
def test_a_commit_is_made_whole_or_not_at_all(hub: Hub, line: dict[str, object], status: int) -> None:
    hub.push(REPO, {"a.txt": b"a"})
    first = {"key": "file", "value": {"path": "first.txt", "content": "Zg==", "encoding": "base64"}}
    body = "\n".join(json.dumps(one) for one in ({"key": "header", "value": {"summary": "s"}}, first, line))
    answer = ask(hub, "POST", f"/api/datasets/{REPO}/commit/main", body.encode())
    assert answer.status == status
    assert sorted(hub_contents(hub, REPO)) == (["a.txt", "first.txt", "x"] if status == 200 else ["a.txt"])


def test_what_is_not_there(hub: Hub) -> None:
    hub.push(REPO, {"a.txt": b"a"})
    for target, code in {
        f"/datasets/{REPO}/resolve/main/none.txt": "EntryNotFound",
        f"/datasets/{REPO}/resolve/v9/a.txt": "RevisionNotFound",
        "/datasets/danqing-org/none/resolve/main/a.txt": "RepoNotFound",
        "/no/such/address": None,
    }.items():
        answer = ask(hub, "GET", target)
        assert (answer.status, answer.headers["X-Error-Code"]) == (404, code)
