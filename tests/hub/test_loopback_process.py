"""The loopback Hub as a process: killed and started again on the same folder, and large uploads in little memory."""

import os
from pathlib import Path

from tests.hub import Hub
from tests.hub.clients import answers, client_env, hub_process, run_client

REPO = "danqing-org/x"
SIZE = 96_000_000


def test_it_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "x.parquet").write_bytes(os.urandom(100_000))
    (out / "a.txt").write_text("a")
    with hub_process(tmp_path / "hub") as (url, process):
        env = client_env(url, tmp_path)
        run_client(["hf", "upload", REPO, str(out), ".", "--type", "dataset"], env)
        run_client(["hf", "repos", "tag", "create", REPO, "v1", "--type", "dataset"], env)
        process.kill()
    with Hub(tmp_path / "hub") as hub:
        assert hub.head(REPO, "v1") == hub.head(REPO)
        assert hub.contents(REPO, "v1") == {path.name: path.read_bytes() for path in out.iterdir()}
        assert hub.contents(REPO, hub.head(REPO).oid[:8])


def test_a_large_upload_and_download_take_little_memory(tmp_path: Path) -> None:
    with (tmp_path / "x.parquet").open("wb") as file:
        file.truncate(SIZE)
    code = """
    import json, os, sys
    from huggingface_hub import HfApi, hf_hub_download
    api = HfApi()
    api.create_repo("danqing-org/x", repo_type="dataset")
    api.upload_file(repo_id="danqing-org/x", path_or_fileobj=os.environ["FILE"], path_in_repo="x.parquet",
                    repo_type="dataset")
    print(os.path.getsize(hf_hub_download("danqing-org/x", "x.parquet", repo_type="dataset")))
    """
    with hub_process(tmp_path / "hub") as (url, process):
        before = peak(process.pid)
        env = client_env(url, tmp_path, xet=False) | {"FILE": str(tmp_path / "x.parquet")}
        assert answers(code, env) == SIZE
        assert peak(process.pid) - before < 30_000_000


def peak(pid: int) -> int:
    """The most memory that a process ever had, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1000 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
