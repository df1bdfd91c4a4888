"""The loopback Hub for tests: an environment for clients, and clients as processes. The fixture `hub` is conftest's.

    from tests.hub.clients import client_env, hub_contents, run_client

    def test_x(hub, tmp_path):
        done = run_client(["hf", "auth", "whoami"], client_env(hub, tmp_path))
        assert "tester" in done.stdout

A client is a process because huggingface_hub and datasets read HF_ENDPOINT once, at import, and because the tests'
own process is offline (conftest.py). Importing the client costs a second: let one process do several things.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.hub import Hub

ROOT = Path(__file__).resolve().parents[2]
_OTHERS = ("HF_", "HUGGING", "XDG_")


def client_env(hub: Hub | str, tmp: Path, xet: bool = True, token: str | None = Hub.token) -> dict[str, str]:
    """The environment of a client of this Hub, with caches of its own under tmp; token None: signed out."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
    said = {
        "HF_ENDPOINT": hub if isinstance(hub, str) else hub.url,
        "HF_HOME": str(tmp / "hf-home"),
        "XDG_CACHE_HOME": str(tmp / "cache"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_ETAG_TIMEOUT": "300",
        "HF_HUB_DOWNLOAD_TIMEOUT": "300",
        "PYTHONPATH": str(ROOT),
        "TZ": "UTC",
    }
    return kept | said | ({"HF_TOKEN": token} if token else {}) | ({} if xet else {"HF_HUB_DISABLE_XET": "1"})


def argv_of(code_or_argv: str | Sequence[str]) -> list[str]:
    """The words of a process: Python code, or words of which `hf` and `danqing` mean this environment's."""
    if isinstance(code_or_argv, str):
        # As builder.cli.script ends, and why: Arrow's threads may abort an interpreter that takes itself down.
        end = "\nimport os, sys\nsys.stdout.flush(), sys.stderr.flush(), os._exit(0)"
        return [sys.executable, "-W", "error::ResourceWarning", "-c", textwrap.dedent(code_or_argv) + end]
    first, *rest = code_or_argv
    if first == "danqing":
        return [sys.executable, "-m", "builder.cli", *rest]
    return [str(Path(sys.executable).with_name("hf")) if first == "hf" else first, *rest]


def run_client(
    code_or_argv: str | Sequence[str], env: Mapping[str, str], check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a client to its end; check: the test fails, with what it said, when it fails."""
    done = subprocess.run(argv_of(code_or_argv), env=dict(env), capture_output=True, text=True, check=False)
    if check and done.returncode:
        pytest.fail(f"the client ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


def answers(code: str, env: Mapping[str, str]) -> Any:
    """Run Python code in a client; what its last line prints, as JSON."""
    return json.loads(run_client(code, env).stdout.strip().rsplit("\n", 1)[-1])


def hub_contents(hub: Hub, repo: str, revision: str = "main") -> dict[str, bytes]:
    """All files of a data set on the Hub by path, without .gitattributes, read from the store."""
    return hub.contents(repo, revision)


@contextlib.contextmanager
def hub_process(folder: Path, port: int = 0) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A Hub as a process, for tests that kill it: its address and the process, which is ended afterwards."""
    words = [sys.executable, "-m", "tests.hub", str(folder), "--port", str(port)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield str(json.loads(process.stdout.readline())["url"]), process
        finally:
            process.terminate()
