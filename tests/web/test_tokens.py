"""Whom a token is shown: the Hub, this machine, and a Hub that the user says is theirs."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.console import Console
from builder.errors import UsageError
from builder.release.config import ReleaseConfig
from builder.release.upload import open_target
from builder.web.tokens import third_host, withhold
from tests.hub import Hub

from ..hub.clients import client_env, run_client

HOSTS = {
    "": None,
    "https://huggingface.co": None,
    "https://hf.co/": None,
    "http://127.0.0.1:8080": None,
    "http://localhost:8080": None,
    "https://hf-mirror.com": "hf-mirror.com",
    "https://huggingface.co.evil.com": "huggingface.co.evil.com",
    "http://huggingface.co": "huggingface.co",
    "https://huggingface.co@evil.com": "evil.com",
}


@pytest.mark.parametrize("endpoint", HOSTS)
def test_a_third_host_is_told_from_the_hub(endpoint: str) -> None:
    assert third_host({"HF_ENDPOINT": endpoint}) == HOSTS[endpoint]


def test_a_hub_of_ones_own_is_trusted_by_https_alone() -> None:
    own = {"HF_ENDPOINT": "https://hub.example.org", "DANQING_TRUST_ENDPOINT": "1"}
    assert third_host(own) is None
    assert third_host(own | {"HF_ENDPOINT": "http://hub.example.org"}) == "hub.example.org"


def test_a_token_is_withheld_from_a_third_host_only() -> None:
    mirror, hub = {"HF_ENDPOINT": "https://hf-mirror.com"}, {"HF_ENDPOINT": "https://huggingface.co"}
    withhold(mirror)
    withhold(hub)
    assert mirror["HF_HUB_DISABLE_IMPLICIT_TOKEN"] == "1"
    assert "HF_HUB_DISABLE_IMPLICIT_TOKEN" not in hub


def test_nothing_is_released_to_a_third_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://hf-mirror.com")
    with pytest.raises(UsageError, match=r"hf-mirror.com is not the Hub, and would be shown your token"):
        open_target(ReleaseConfig("root", "hf://datasets/org/x"), Console())


def test_the_command_line_withholds_the_token(tmp_path: Path) -> None:
    code = """
        import os
        from builder.cli import main
        main(["status", "nowhere"])
        from huggingface_hub.utils import build_hf_headers
        print("authorization" in build_hf_headers())
    """
    env = client_env("https://hf-mirror.com", tmp_path)
    assert run_client(code, env).stdout == "False\n"
    assert run_client(code, env | {"DANQING_TRUST_ENDPOINT": "1"}).stdout == "True\n"


def test_a_mirror_is_asked_without_the_token(tmp_path: Path, hub: Hub) -> None:
    """The same switch, on a host that answers: what huggingface_hub sends of its own accord stays here."""
    hub.push("org/x", {"README.md": b"# x"})
    env = client_env(hub, tmp_path) | {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    run_client("from huggingface_hub import HfFileSystem; HfFileSystem().ls('datasets/org/x')", env)
    assert hub.requests
    assert not any(one.authorization for one in hub.requests)


def test_the_loader_shows_no_token_to_a_third_host(tmp_path: Path, hub: Hub) -> None:
    """This machine answers to 0.0.0.0, which is no name of it: stock `datasets` would show it the token."""
    file = io.BytesIO()
    pq.write_table(pa.table({"url": ["http://127.0.0.1:9/1.jpg"], "alt_text": ["一"]}), file)
    hub.push("org/x", {"data/train-0.parquet": file.getvalue()})
    env = client_env(hub.url.replace("127.0.0.1", "0.0.0.0"), tmp_path, xet=False)
    code = """
        import danqing, datasets
        place = {"data_dir": "hf://datasets/org/x", "split": "train"}
        assert len(list(danqing.load("hf://datasets/org/x", "manifest", split="train", streaming=True))) == 1
        config = datasets.DownloadConfig()
        assert len(datasets.load_dataset("danqing", "manifest", download_config=config, **place)) == 1
        found = danqing.load("hf://datasets/org/x", "live", split="train", streaming=True, rebuild={"retries": 0})
        assert len(list(found)) == 0
    """
    run_client(code, env)
    assert hub.requests
    assert not any(one.authorization for one in hub.requests)
    run_client(code, env | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "own")})
    assert any(one.authorization for one in hub.requests)
