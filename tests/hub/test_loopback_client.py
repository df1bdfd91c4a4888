"""The loopback Hub against the real huggingface_hub and its `hf`, by LFS and by Xet."""

import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.hub import Hub
from tests.hub.clients import answers, client_env, hub_contents, run_client

REPO = "danqing-org/x"
PRELUDE = f"""
import json, os, pathlib
from huggingface_hub import (HfApi, CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfFileSystem,
                             hf_hub_download, snapshot_download)
from huggingface_hub.errors import HfHubHTTPError
api, R, K = HfApi(), "{REPO}", dict(repo_type="dataset")
folder, said = pathlib.Path(os.environ["FOLDER"]), {{}}
def status(action, *arguments, **options):
    try:
        action(*arguments, **options, **K)
    except HfHubHTTPError as error:
        return error.response.status_code
"""
both = pytest.mark.parametrize("xet", [False, True], ids=["lfs", "xet"])
LARGE = bytes(range(256)) * 10_000 + b"end"  # 2.5 MB
FILES = {
    "README.md": b"---\nlicense: cc-by-nc-4.0\n---\n# x\n",
    "images/train-00000-of-00001.parquet": LARGE,
    "removals/removals.parquet": b"PAR1 small PAR1",
    "release.json": b"{}",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path, content in FILES.items():
        file = tmp_path / "out" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return tmp_path / "out"


def client(hub: Hub, tmp: Path, folder: Path, code: str, xet: bool = True) -> Any:
    """What the code leaves in `said`."""
    env = client_env(hub, tmp, xet) | {"FOLDER": str(folder)}
    return answers(PRELUDE + textwrap.dedent(code) + "\nprint(json.dumps(said))", env)


RELEASE = """
url = str(api.create_repo(R, **K))
assert url == str(api.create_repo(R, exist_ok=True, **K)) and status(api.create_repo, R) == 409
head = api.dataset_info(R).sha
api.create_branch(R, branch="release/v1", **K)
assert status(api.create_branch, R, branch="release/v1") == 409
api.upload_folder(repo_id=R, folder_path=folder, revision="release/v1", **K)
said["before"] = [one.path for one in api.list_repo_tree(R, **K)]
paths = [one.path for one in api.list_repo_tree(R, recursive=True, revision="release/v1", **K) if hasattr(one, "size")]
copies = [CommitOperationCopy(path, path, src_revision="release/v1") for path in paths if path != ".gitattributes"]
said["moved on"] = status(api.create_commit, R, copies, commit_message="v1", parent_commit="0" * 40)
api.create_commit(R, copies, commit_message="v1", parent_commit=head, **K)
api.create_tag(R, tag="v1", **K)
api.delete_branch(R, branch="release/v1", **K)
refs = api.list_repo_refs(R, **K)
said["refs"] = [[one.name for one in refs.branches], [one.name for one in refs.tags]]
infos = api.get_paths_info(R, paths, revision="v1", **K)
said["infos"] = {one.path: [one.size, one.lfs and one.lfs.sha256] for one in infos}
api.create_commit(R, [CommitOperationDelete("removals/", is_folder=True), CommitOperationDelete("release.json"),
                      CommitOperationAdd("new.txt", b"new")], commit_message="v2", commit_description="why", **K)
said["history"] = [one.title for one in api.list_repo_commits(R, **K)]
said["main"] = sorted(api.list_repo_files(R, **K))
said["card"] = api.dataset_info(R).card_data.to_dict()
there = pathlib.Path(snapshot_download(R, revision="v1", local_dir=folder.parent / "back", **K))
said["same"] = all((there / path).read_bytes() == (folder / path).read_bytes() for path in paths if path[0] != ".")
with HfFileSystem().open(f"datasets/{R}@v1/images/train-00000-of-00001.parquet", block_size=1000) as file:
    file.seek(2_560_000)
    said["tail"] = file.read().decode()
"""


@both
def test_a_release_goes_to_a_branch_then_to_main_and_is_tagged(
    hub: Hub, tmp_path: Path, folder: Path, xet: bool
) -> None:
    hub.multipart = 1_000_000
    said = client(hub, tmp_path, folder, RELEASE, xet)
    assert said["before"] == [".gitattributes"]  # main saw nothing of it
    assert said["moved on"] == 412
    assert said["refs"] == [["main"], ["v1"]]
    assert {path: size for path, (size, _) in said["infos"].items() if path in FILES} == {
        path: len(content) for path, content in FILES.items()
    }
    assert [path for path, (_, sha256) in said["infos"].items() if sha256] == [
        "images/train-00000-of-00001.parquet",
        "removals/removals.parquet",
    ]
    assert said["history"] == ["v2", "v1", "initial commit"]
    assert said["main"] == [".gitattributes", "README.md", "images/train-00000-of-00001.parquet", "new.txt"]
    assert said["card"] == {"license": "cc-by-nc-4.0"}
    assert said["same"]
    assert said["tail"] == "end"
    assert hub_contents(hub, REPO, "v1") == FILES
    uploads = [one for one in hub.requests if one.method == "PUT"]
    assert len(uploads) == (0 if xet else 4)  # three parts and the small one
    assert any(
        one.range.startswith("bytes=25") and one.sent < 5000 for one in hub.requests if one.status == 206
    )


@both
def test_what_lies_there_is_not_sent_again(hub: Hub, tmp_path: Path, folder: Path, xet: bool) -> None:
    code = """
    api.create_repo(R, **K)
    api.upload_folder(repo_id=R, folder_path=folder, **K)
    api.upload_folder(repo_id=R, folder_path=folder, **K)  # nothing to do: no commit
    content = (folder / "images/train-00000-of-00001.parquet").read_bytes()
    api.upload_file(repo_id=R, path_or_fileobj=content, path_in_repo="again.parquet", **K)
    said["commits"] = len(api.list_repo_commits(R, **K))
    adds = [CommitOperationAdd(f"{n}.bin", os.urandom(1000)) for n in range(3)]
    api.preupload_lfs_files(R, adds, **K)
    said["before"] = len(api.list_repo_files(R, **K))
    api.create_commit(R, adds, commit_message="three", create_pr=True, **K)
    said["after"] = len(api.list_repo_files(R, **K)), len(api.list_repo_files(R, revision="refs/pr/1", **K))
    """
    said = client(hub, tmp_path, folder, code, xet)
    assert said == {"commits": 3, "before": 6, "after": [6, 9]}
    assert hub.store.stored() < 2 * len(LARGE)


def test_a_tree_comes_in_pages(hub: Hub, tmp_path: Path, folder: Path) -> None:
    hub.push(REPO, {f"a/b{n % 2}/{n:03}.txt": b"%d" % n for n in range(60)})
    hub.page = 7
    code = """
said["all"] = len([one for one in api.list_repo_tree(R, recursive=True, **K)])
said["folders"] = [one.path for one in api.list_repo_tree(R, "a", **K)]
said["told"] = {one.last_commit["title"] for one in api.list_repo_tree(R, "a/b0", expand=True, **K)}.pop()
said["missing"] = status(lambda *a, **k: list(api.list_repo_tree(*a, **k)), R, "nowhere")
said["some"] = [one.path for one in api.get_paths_info(R, ["a/b1", "a/b1/001.txt", "nowhere"], **K)]
"""
    said = client(hub, tmp_path, folder, code)
    assert said["all"] == 60 + 1 + 3
    assert said["folders"] == ["a/b0", "a/b1"]
    assert said["told"].startswith("Update a/b0/000.txt")
    assert said["missing"] == 404
    assert said["some"] == ["a/b1", "a/b1/001.txt"]
    assert sum("cursor=" in one.target for one in hub.requests) > 9


@both
def test_the_command_line_uploads_and_downloads(hub: Hub, tmp_path: Path, folder: Path, xet: bool) -> None:
    env = client_env(hub, tmp_path, xet)
    run_client(["hf", "upload", REPO, str(folder), ".", "--type", "dataset"], env)
    assert hub_contents(hub, REPO) == FILES
    run_client(["hf", "download", REPO, "--type", "dataset", "--local-dir", str(tmp_path / "back")], env)
    assert (tmp_path / "back/images/train-00000-of-00001.parquet").read_bytes() == LARGE
    by_xet = any("/xet-read-token/" in one.target for one in hub.requests)
    assert by_xet == xet


MEANWHILE = """
import subprocess, sys
from huggingface_hub.utils._xet import get_xet_session
api.create_repo(R, **K)
api.upload_file(repo_id=R, path_or_fileobj=b"PAR1" * 1000, path_in_repo="first.parquet", **K)
token = {"authorization": f"Bearer {os.environ['HF_TOKEN']}"}
address = f"{api.endpoint}/api/datasets/{R}/xet-write-token/main"
with get_xet_session().new_upload_commit(token_refresh_url=address, token_refresh_headers=token) as held:
    held.start_upload_bytes(os.urandom(100_000))
    other = subprocess.run([sys.executable, "-c", os.environ["OTHER"]], capture_output=True, text=True)
    assert other.returncode == 0, other.stderr
    said["sizes"] = [len(pathlib.Path(path).read_bytes()) for path in other.stdout.split()]
"""
OTHER = """
import huggingface_hub as h
R, K = "danqing-org/x", dict(repo_type="dataset")
h.HfApi().upload_file(repo_id=R, path_or_fileobj=b"XYZ" * 1000, path_in_repo="second.parquet", **K)
for name in ("first.parquet", "second.parquet"):
    print(h.hf_hub_download(R, name, **K))
"""


def test_two_writers_and_a_reader_by_xet_at_once(
    hub: Hub, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """hf_xet's folder is open in one process at a time: the Hub gives the second writer another, readers HTTP."""
    monkeypatch.setenv("OTHER", OTHER)
    assert client(hub, tmp_path, folder, MEANWHILE) == {"sizes": [4000, 3000]}
    assert hub_contents(hub, REPO) == {"first.parquet": b"PAR1" * 1000, "second.parquet": b"XYZ" * 1000}
    assert sorted(path.name for path in hub.store.xet.iterdir()) == ["0", "1"]
