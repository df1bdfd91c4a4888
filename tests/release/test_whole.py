"""`danqing release` onto the loopback Hub: the real client, the whole stage, and a disk smaller than the release."""

import json
from pathlib import Path

import pyarrow.parquet as pq

from builder.reasons import Cause
from tests.hub import Hub
from tests.hub.clients import answers, client_env, hub_contents, run_client
from tests.release.roots import FROM, SOME, scored_root
from tests.roots import pair

REPO = "tester/pairs"
SHIFTED = (*SOME[:-1], Cause.UNRELATED)
STREAM = """
    import json
    from datasets import load_dataset
    splits = load_dataset("tester/pairs", streaming=True, revision="v2")
    print(json.dumps(sorted(pair["key"] for split in splits.values() for pair in split.decode(False))))
"""  # with nothing of ours


def command(hub: Hub, tmp: Path, *flags: str) -> dict:
    words = [
        "danqing",
        "release",
        str(tmp / "root"),
        f"hf://datasets/{REPO}",
        *FROM,
        "--json",
        "--quiet",
        *flags,
    ]
    return json.loads(run_client(words, client_env(hub, tmp)).stdout)


def rows(hub: Hub, tmp: Path, revision: str) -> list[dict]:
    """The pairs of a revision of the data set, without their pictures."""
    found = []
    for path, data in sorted(hub_contents(hub, REPO, revision).items()):
        if path.startswith("images/"):
            (tmp / "shard.parquet").write_bytes(data)
            found += pq.read_table(tmp / "shard.parquet", columns=["key", "kept"]).to_pylist()
    return found


def test_two_releases_in_parts(hub: Hub, tmp_path: Path) -> None:
    scored_root(tmp_path, rows=300)
    first = command(hub, tmp_path, "--what", "images", "--staging-budget", "100kB", "--tag", "v1")
    scored_root(tmp_path, mix=SHIFTED, decision="e" * 16)
    (tmp_path / "gone.txt").write_text(pair(8)["url"])
    flags = ["--staging-budget", "100kB", "--tag", "v2", "--remove", str(tmp_path / "gone.txt")]
    second = command(hub, tmp_path, "--what", "images", *flags)
    assert (first["previous"], second["previous"]) == (None, "v1")
    assert second["dropped"] == {"drifted": 77, "removed": 1}
    assert len(rows(hub, tmp_path, "v1")) == first["kept"]
    now = rows(hub, tmp_path, "main")
    assert len(now) > sum(row["kept"] for row in now) == second["kept"]
    assert pair(8)["key"] not in {row["key"] for row in now}
    assert not list((tmp_path / "cache").rglob("*.parquet"))
    environment = client_env(hub, tmp_path)
    told = run_client(["danqing", "verify", f"{REPO}@v2", "--sample", "0", "--quiet"], environment).stdout
    assert told.endswith("it holds what it says\n")
    assert answers(STREAM, environment) == sorted(row["key"] for row in now if row["kept"])


def test_the_same_again_sends_nothing(hub: Hub, tmp_path: Path) -> None:
    scored_root(tmp_path)
    command(hub, tmp_path)
    before = hub_contents(hub, REPO)
    hub.forget()
    again = command(hub, tmp_path)
    assert again["unchanged"]
    assert hub_contents(hub, REPO) == before
    assert not [
        seen for seen in hub.requests if seen.method in ("PUT", "DELETE") or "/commit/" in seen.target
    ]
