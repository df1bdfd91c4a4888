"""An S3 on loopback for all tests: moto's server as a process, one for each session; the fixture `s3` is conftest's.

    def test_x(s3):
        s3.put("crawl-data/a.gz", b"...")      # s3.url("crawl-data/a.gz") is s3://BUCKET/crawl-data/a.gz
        s3.env                                 # endpoint and account, for processes; set in the test's own too

    python -m tests.s3 --port 0                # the server alone; prints {"url": ...}

moto takes unsigned requests as well: what must be signed is tested by what is asked, not by a refusal of its.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fsspec

ROOT = Path(__file__).resolve().parents[2]


def environment(url: str) -> dict[str, str]:
    """What a client of S3 at `url` reads in its environment: an account, and no other place to look for one."""
    return {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "AKIALOOPBACK", "AWS_SECRET_ACCESS_KEY": "loopback",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of a test's own."""

    name: str
    env: dict[str, str]

    def url(self, path: str = "") -> str:
        """The s3:// URL of a path in it."""
        return f"s3://{self.name}/{path}"

    def put(self, path: str, data: bytes) -> None:
        """Store an object."""
        fsspec.filesystem("s3").pipe_file(f"{self.name}/{path}", data)


@contextlib.contextmanager
def s3_process() -> Iterator[str]:
    """The server as a process; its URL."""
    words = [sys.executable, "-m", "tests.s3", "--port", "0"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield str(json.loads(process.stdout.readline())["url"])
        finally:
            process.terminate()
