"""Small releases made of real Parquet, and a process that publishes one on the loopback Hub with the real client.

make(folder, "v1", {"manifest/train-00000-of-00002.parquet": 1, ...}) ─▶ Release, files in folder
python -m tests.release.publishing '{"repo": ..., "folder": ..., "version": ...}' ─▶ one JSON line
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from builder.disk.release import NAME, Release
from builder.errors import DanqingError
from tests.forked import Forked
from tests.hub.clients import argv_of, client_env

CARD = "---\npretty_name: test\nlicense: cc-by-nc-4.0\n---\n# Pairs of {version}\n"
MODULE = "tests.release.publishing"


def table(seed: int, rows: int = 40) -> pa.Table:
    """Rows that do not compress: about 1 kB each."""
    noise = np.random.default_rng(seed).bytes(rows * 1000)
    pieces = [noise[1000 * row : 1000 * (row + 1)] for row in range(rows)]
    return pa.table({"key": [f"{seed:08x}{row:024x}" for row in range(rows)], "noise": pieces})


def make(
    folder: Path, version: str, shards: Mapping[str, int], previous: str | None = None, rows: int = 40
) -> Release:
    """A release in a folder; shards: the seed of each shard's content by path."""
    for path, seed in shards.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table(seed, rows), folder / path)
    (folder / "README.md").write_text(CARD.format(version=version))
    (folder / "croissant.json").write_text(json.dumps({"name": version}))
    files = {path: described(folder, path, rows if path in shards else None) for path in paths(folder)}
    release = Release(
        what="manifest", version=version, created_at="2026-11-26T00:00:00Z", validated=False, license="cc-by-nc-4.0",
        source="test/test", files=files, counts={}, funnel={}, previous=previous,
    )  # fmt: skip
    (folder / NAME).write_bytes(release.as_json())
    return release


def paths(folder: Path) -> list[str]:
    """The files of a release, by path, without release.json."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if path != NAME)


def described(folder: Path, path: str, rows: int | None) -> dict[str, Any]:
    data = (folder / path).read_bytes()
    return {"rows": rows, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def names(count: int, kind: str = "manifest") -> dict[str, int]:
    """Shards of one split by path, with their number as the seed."""
    return {f"{kind}/train-{number:05}-of-{count:05}.parquet": number for number in range(count)}


SHARDS = names(4)


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder whole, by path."""
    return {path: (folder / path).read_bytes() for path in [*paths(folder), NAME]}


def _asked(
    hub: Any, tmp: Path, folder: Path, version: str, more: dict[str, Any]
) -> tuple[dict[str, str], str]:
    """The environment of a process that publishes, and its word."""
    environment = client_env(hub, tmp, more.pop("xet", True), more.pop("token", hub.token))
    return environment, json.dumps({"repo": "tester/x", "folder": str(folder), "version": version, **more})


def start(hub: Any, tmp: Path, folder: Path, version: str, **more: Any) -> subprocess.Popen[str]:
    """Publish a folder on `tester/x` in a process of its own; more: see `main`, and xet and token of client_env."""
    environment, wanted = _asked(hub, tmp, folder, version, more)
    return subprocess.Popen(
        [*argv_of([sys.executable, "-m", MODULE]), wanted],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def publish(hub: Any, tmp: Path, folder: Path, version: str, **more: Any) -> dict[str, Any]:
    """Publish a folder on `tester/x`; what the process told, with its stderr."""
    environment, wanted = _asked(hub, tmp, folder, version, more)
    done = _forked()(f"import sys, {MODULE} as one; one.tell(sys.argv[1])", [wanted], environment)
    assert done.stdout, done.stderr
    return json.loads(done.stdout.strip().rsplit("\n", 1)[-1]) | {"stderr": done.stderr}


@functools.cache
def _forked() -> Forked:
    """What has loaded all but the client, which reads its environment as it is loaded."""
    forked = Forked("builder.release.upload", MODULE, "yaml", "tqdm.auto")
    atexit.register(forked.close)
    return forked


def main(wanted: dict[str, Any]) -> dict[str, Any]:
    """What the runner does: previous, begin, put the parts, publish."""
    from builder.console import Console
    from builder.release.upload import Hub

    folder, parts = Path(wanted["folder"]), wanted.get("parts", [])
    options = {name: wanted[name] for name in ("private", "replaced", "part", "operations") if name in wanted}
    target = Hub(wanted["repo"], Console(no_color=True, interval=0), **options)
    before, versions = target.previous(), target.versions()
    target.begin(wanted["version"])
    for part in parts:
        target.put(folder, part)
    every = {*paths(folder), NAME}
    left = sorted(every - {file for part in parts for file in part})
    target.publish(folder, left, every - {NAME}, wanted["version"], wanted.get("message", ""))
    return {"previous": before and before.version, "versions": versions, "url": target.url(wanted["version"])}


def killer(process: list[subprocess.Popen[str]]) -> Any:
    """What kills the process in the list, as power cuts do."""
    return lambda: os.kill(process[0].pid, signal.SIGKILL)


def tell(wanted: str) -> None:
    """Publish, and print what came of it."""
    try:
        said = main(json.loads(wanted))
    except DanqingError as error:
        said = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    tell(sys.argv[1])
