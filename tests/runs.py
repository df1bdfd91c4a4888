"""A run of `danqing train` as it lies on disk, without a training: for those who read of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BATCH, PAIRS, TOTAL = 64, 1600, 50
VALIDATED = 10  # steps between two looks
END = {"steps": TOTAL, "pairs": TOTAL * BATCH - 9, "lost": {"corrupt": 7, "no_text": 2}, "loss": 0.5,
       "checkpoint": "step-00000050", "seconds": 125.0, "validation": None}  # fmt: skip
PLAN = {
    "format": 2,
    "stage": "train",
    "version": "0.3",
    "rows": {"train": PAIRS, "validation": 40},
    "shards": {"train": 8},
    "config": {"steps": TOTAL, "batch_size": BATCH, "input": "/secret/place/danqing"},
    "config_hash": "c0",
    "checkpoint": {"model": "/secret/tiny", "name": "tiny", "revision": None, "fingerprint": "f" * 8},
    "made_from": {"identity": {"root": "/secret/place/danqing", "hash": "d" * 8}},
    "recipe": {
        "learning_rate": {"value": 0.001, "paper": 1e-05, "source": "DanQing, section 4.1"},
        "augmentation": {"value": None, "paper": None, "source": "ours: none"},
        "epochs": {"value": 2, "paper": 2, "source": "DanQing, section 4.1"},
    },
}


def step(number: int) -> dict[str, Any]:
    """A line about a step."""
    return {
        "step": number, "epoch": number * BATCH // PAIRS, "pairs": number * BATCH - 9, "loss": 4 / math.sqrt(number),
        "learning_rate": 1e-5, "scale": 10.0, "bias": -10.0, "gradient_norm": 1.5, "pairs_per_second": 32.0,
        "stall": 0.25, "seconds": 2.0 * number, "lost": {"corrupt": 7, "no_text": 2},
    }  # fmt: skip


def validation(number: int) -> dict[str, Any]:
    """A line about a validation."""
    found = {"pairs": 40.0, "loss": 2 / number, "image_to_text": number / 100, "text_to_image": number / 200}
    return {"step": number, "validation": found}


def lines(steps: int) -> list[dict[str, Any]]:
    """The log of so many steps."""
    found = []
    for number in range(1, steps + 1):
        found.append(step(number))
        found += [validation(number)] if number % VALIDATED == 0 else []
    return found


def make_run(
    folder: Path, steps: int = TOTAL, *, plan: Mapping[str, Any] = PLAN, log: bytes | None = None
) -> Path:
    """A run of so many steps, done where these are all of its plan; log: other bytes than those of `lines`."""
    ledger = folder / "ledger" / "train"
    ledger.mkdir(parents=True)
    (ledger / "plan.json").write_text(json.dumps(plan))
    written = "".join(json.dumps(line) + "\n" for line in lines(steps)).encode()
    (folder / "log.jsonl").write_bytes(written if log is None else log)
    for number in range(VALIDATED, steps + 1, VALIDATED):
        (folder / "checkpoints" / f"step-{number:08}").mkdir(parents=True)
    if steps == TOTAL:
        (ledger / "done.json").write_text(json.dumps(END))
    return folder
