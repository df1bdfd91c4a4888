"""Makes the roots and releases of an earlier build, which every later one opens, resumes, scores and verifies.

    git worktree add ../earlier d150304 && cd ../earlier && python .../make.py FOLDER    # and FOLDER.tar.xz

It runs the commands of the tree that it is started in, and so is kept for the record: what it made lies beside it,
and is not made anew. 48 pairs of small drawn scenes; the web that served them is put up again from `whole`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, os.getcwd())

from tests.drift import plant
from tests.faulthost import FaultHost

ADDRESS, PORT, SEED, PAIRS, DEAD = "127.77.0.1", 28417, 11, 48, (5, 30)
KEPT = ("--allow-private", "--encode", "original", "--resize", "none", "--shard-size", "12", "--workers", "1")


def danqing(*words: str) -> subprocess.Popen[bytes]:
    """The command of this tree, started."""
    return subprocess.Popen([sys.executable, "-m", "builder.cli", *words, "--quiet"], start_new_session=True)


def done(*words: str) -> None:
    """The command of this tree, run."""
    assert danqing(*words).wait() == 0, words


def main() -> None:
    os.environ["PYTHONPATH"] = os.getcwd()
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    shutil.copytree("builder/demo/checkpoint", folder / "checkpoint")
    os.chdir(folder)
    pairs = [plant(SEED, number) for number in range(PAIRS)]
    urls = [f"http://{ADDRESS}:{PORT}/{number}.jpg" for number in range(PAIRS)]
    columns = {"url": urls, "alt_text": [pair.alt_text for pair in pairs]}
    pq.write_table(pa.table(columns | {"similarity": [n / 64 for n in range(PAIRS)]}), "manifest.parquet")
    lines = [f"{url}\t{pair.alt_text}\n" for url, pair in zip(urls[:6], pairs, strict=False)]
    Path("captions.tsv").write_text("".join(["url\tcaption\n", *lines]), encoding="utf-8")
    host = FaultHost(port=PORT)
    host.addresses = [ADDRESS]
    host.files = {f"/{n}.jpg": pair.before for n, pair in enumerate(pairs) if n not in DEAD}
    with host:
        half = danqing("rebuild", "manifest.parquet", "half", *KEPT, "--concurrency", "4")
        host.wait_for(32)
        os.killpg(half.pid, signal.SIGKILL)
        half.wait()
        done("rebuild", "manifest.parquet", "whole", *KEPT)
        done("rebuild", "manifest.parquet", "tars", *KEPT, "--format", "webdataset")
        done("rebuild", "captions.tsv", "text", *KEPT)
    score = ("--model", "checkpoint", "--device", "cpu", "--alpha", "0.5")
    for name in ("half-scored", "scored"):
        shutil.copytree("whole", name)
    done("revalidate", "half-scored", *score, "--rank", "0", "--world-size", "2")
    done("revalidate", "scored", *score)
    said = ("--license", "cc0-1.0", "--source", "demo/scenes", "--tag", "v1", "--divide-by", "2")
    done("release", "scored", "release-manifest", "--what", "manifest", *said)
    done("release", "scored", "release-images", "--what", "images", *said)
    done("release", "scored", "release-tars", "--what", "images", "--format", "webdataset", *said)
    shutil.rmtree("checkpoint")
    os.chdir("..")
    with tarfile.open(f"{folder.name}.tar.xz", "w:xz", preset=9) as archive:
        archive.add(folder.name)


if __name__ == "__main__":
    main()
