"""The peer: img2dataset in a virtual environment of its own for each Python, and how it is asked for our work.

In: a Python version. Out: a `Peer` that makes command lines and reads what they stored. The flags ask for the
same pixels as ours and spare the peer what we do not do (EXIF text, wandb, progress to a service).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

VERSION = "1.47.0"
PIXELS = ["--resize_mode", "keep_ratio", "--resize_only_if_bigger", "True", "--image_size", "256",
          "--encode_quality", "95", "--encode_format", "jpg"]  # fmt: skip
ORIGINALS = ["--resize_mode", "no", "--disable_all_reencoding", "True"]


@dataclass(frozen=True)
class Peer:
    """img2dataset on one Python."""

    python: str
    program: Path

    def command(
        self, manifest: Path, out: Path, flags: list[str], threads: int, retries: int = 0
    ) -> list[str]:
        """The command line that rebuilds `manifest` into `out`."""
        return [
            str(self.program), "--url_list", str(manifest), "--input_format", "parquet", "--url_col", "url",
            "--caption_col", "alt_text", "--output_folder", str(out), "--output_format", "parquet",
            "--processes_count", "2", "--thread_count", str(threads), "--number_sample_per_shard", "1000",
            "--timeout", "10", "--retries", str(retries), "--extract_exif", "False", "--compute_hash", "sha256",
            "--enable_wandb", "False", *flags,
        ]  # fmt: skip


def environment() -> dict[str, str]:
    """Ours, without what would slow the peer's start: a version check over the network."""
    return {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled"}


def interpreter(version: str) -> str | None:
    """A Python `version` (such as 3.11) on the PATH or under pyenv that runs, or None."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [
        shutil.which(f"python{version}"),
        *sorted(map(str, root.glob(f"versions/{version}*/bin/python3"))),
    ]
    for candidate in filter(None, found):
        probe = [candidate, "-c", "import sys, venv, ssl, ctypes; print('%d.%d' % sys.version_info[:2])"]
        answer = subprocess.run(probe, capture_output=True, text=True, check=False)
        if answer.stdout.strip() == version:
            return candidate
    return None


def install(out: Path, version: str) -> Peer | None:
    """The peer on that Python, installed under `out` on first use; None where there is no such Python."""
    folder = out / f"peer-{version}"
    program = folder / "bin" / "img2dataset"
    if not program.exists():
        python = interpreter(version)
        if python is None:
            return None
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "-q"]
        subprocess.run([*pip, f"img2dataset=={VERSION}"], check=True)
    return Peer(version, program)


def kept(out: Path) -> int:
    """Images that the peer counts as stored."""
    return sum(json.loads(path.read_text())["successes"] for path in out.glob("*_stats.json"))


def images(out: Path) -> Iterator[tuple[str, bytes]]:
    """(URL, stored bytes) of what it kept."""
    for path in sorted(out.glob("*.parquet")):
        for row in pq.read_table(path, columns=["url", "jpg"]).to_pylist():
            if row["jpg"] is not None:
                yield row["url"], row["jpg"]
