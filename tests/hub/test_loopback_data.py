"""The loopback Hub as a source of data: load_dataset in both modes, and ranged reads through fsspec."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.hub import Hub
from tests.hub.clients import answers, client_env, run_client

REPO = "danqing-org/x"
CARD = """---
configs:
- config_name: manifest
  data_files:
  - {split: train, path: manifest/train-*}
  - {split: test, path: manifest/test-*}
---
"""
READ = """
import json, os
import datasets, pyarrow.parquet as pq
datasets.config.SLEEP_TIME_ON_THREADS_SHUTDOWN = 0  # seconds lost after a stream that was not read to its end
from huggingface_hub import HfApi, HfFileSystem
R, said = "danqing-org/x", {}
HfApi().create_branch(R, branch="release/v1", repo_type="dataset")
HfApi().create_tag(R, tag="v1", repo_type="dataset")
stream = datasets.load_dataset(R, streaming=True)
said["stream"] = {split: sum(row["n"] for row in rows) for split, rows in stream.items()}
said["map"] = {split: rows.num_rows for split, rows in datasets.load_dataset(R, revision="v1").items()}
first = next(iter(datasets.load_dataset(R, split="test", streaming=True, revision="release/v1", columns=["n"])))
said["first"] = first
fs = HfFileSystem()
for revision in ("v1", "release%2Fv1", "main"):
    folder = f"datasets/{R}@{revision}/manifest"
    with fs.open(fs.ls(folder, detail=False)[0], block_size=1 << 10) as file:
        said[revision] = pq.ParquetFile(file).read_row_group(0, ["n"]).num_rows
print(json.dumps(said))
"""


def test_a_data_set_is_loaded(hub: Hub, tmp_path: Path) -> None:
    out, env = tmp_path / "out", client_env(hub, tmp_path)
    (out / "manifest").mkdir(parents=True)
    (out / "README.md").write_text(CARD)
    for split, rows in {"train": 3_000, "test": 100}.items():
        texts = [f"{n * 7919 % 65_537:x}" * 5 for n in range(rows)]
        table = pa.table({"n": range(rows), "text": texts})
        pq.write_table(table, out / "manifest" / f"{split}-00000-of-00001.parquet", row_group_size=1_000)
    run_client(["hf", "upload", REPO, str(out), ".", "--type", "dataset"], env)
    said = answers(READ, env)
    assert said["stream"] == {"train": sum(range(3_000)), "test": sum(range(100))}
    assert said["map"] == {"train": 3_000, "test": 100}
    assert said["first"] == {"n": 0}
    assert [said[revision] for revision in ("v1", "release%2Fv1", "main")] == [100, 100, 100]
    ranged = [one for one in hub.requests if one.status == 206]
    assert ranged
    assert all(one.host.startswith("localhost") and not one.authorization for one in ranged)
    assert {one.status for one in hub.requests} <= {200, 206, 302, 404}
