"""Buckets on the loopback Hub, as the real client reads them, and as a crawl does."""

from __future__ import annotations

from pathlib import Path

from tests.hub import Hub
from tests.hub.clients import answers, client_env

BUCKET = "danqing-org/crawls"


def test_the_real_client_lists_and_reads_a_bucket(hub: Hub, tmp_path: Path) -> None:
    hub.push(BUCKET, {"a/b.gz": b"0123456789", "a/b/c.txt": b"c", "ab.txt": b"ab"}, kind="bucket")
    hub.page = 2
    code = f"""
        import json
        from huggingface_hub import HfApi, HfFileSystem
        fs, top, api = HfFileSystem(), "buckets/{BUCKET}", HfApi()
        print(json.dumps({{
            "info": api.bucket_info("{BUCKET}").total_files,
            "find": {{name: one["size"] for name, one in fs.find(top + "/a", detail=True).items()}},
            "ls": sorted((one["name"], one["type"]) for one in fs.ls(top)),
            "file": fs.info(top + "/a/b.gz")["size"],
            "glob": fs.glob(top + "/*/*.gz"),
            "range": fs.cat_file(top + "/a/b.gz", start=3, end=6).decode(),
            "whole": fs.cat_file(top + "/a/b/c.txt").decode(),
            "paths": [one.path for one in api.get_bucket_paths_info("{BUCKET}", ["ab.txt", "gone"])],
            "gone": fs.exists(top + "/a/gone"),
            "nobody's": fs.exists("buckets/danqing-org/gone/x"),
        }}))
    """
    top = f"buckets/{BUCKET}"
    assert answers(code, client_env(hub, tmp_path)) == {
        "info": 3,
        "find": {f"{top}/a/b.gz": 10, f"{top}/a/b/c.txt": 1},
        "ls": [[f"{top}/a", "directory"], [f"{top}/ab.txt", "file"]],
        "file": 10,
        "glob": [f"{top}/a/b.gz"],
        "range": "345",
        "whole": "c",
        "paths": ["ab.txt"],
        "gone": False,
        "nobody's": False,
    }
