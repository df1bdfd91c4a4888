"""The contenders of benchmarks/revalidate.py: a root and a checkpoint in; seconds, and the scores, out.

    plain   what a user writes with transformers: processor and forward of 64 pairs at a time, in one thread of Python
    embed   builder.towers on the same files: no ranks, no verdicts
    stage   all of `danqing revalidate`, from the folder to the verdicts

Run as a program it is one contender in a process of its own, so that threads and memory of one are not another's:

    python benchmarks/scorers.py '{"name": "plain", "root": ..., "model": ...}'  ->  one line of JSON
"""

from __future__ import annotations

import functools
import inspect
import io
import json
import os
import resource
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from PIL import Image  # noqa: E402

from builder.console import Console  # noqa: E402

BATCH = 64  # of the plain loop
PIECE = 512  # pairs handed to `embed` at once
TOKENS = 64


@dataclass(frozen=True, slots=True)
class Work:
    """What a contender is to do. dtype: of ours; reference: of `stage`."""

    name: str
    root: str
    model: str
    dtype: str = "auto"
    reference: str | None = None
    scores: str | None = None  # file for the cosines, .npy
    parts: bool = False  # of `stage`: tell where the time goes


@dataclass(frozen=True, slots=True)
class Took:
    """pairs; seconds; cpu: without loading; load: the seconds of them before the first pair, where that can be told.

    parts: seconds inside each part of the stage, summed over threads, which overlap.
    """

    pairs: int
    seconds: float
    cpu: float
    load: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)


def batches(root: str, size: int) -> Iterator[tuple[list[bytes], list[str]]]:
    """Pictures and captions of a root, `size` at a time."""
    for path in sorted((Path(root) / "images").iterdir()):
        for batch in pq.ParquetFile(path).iter_batches(size, columns=["image", "alt_text"]):
            rows = batch.to_pydict()
            yield [one["bytes"] for one in rows["image"]], rows["alt_text"]


def plain(work: Work) -> Iterator[list[float]]:
    """The loop that a user writes; the first list, which is empty, says that all is loaded."""
    import torch
    from transformers import AutoModel, AutoProcessor

    model = AutoModel.from_pretrained(work.model, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(work.model)
    yield []
    for pictures, captions in batches(work.root, BATCH):
        images = [Image.open(io.BytesIO(data)).convert("RGB") for data in pictures]
        text = [caption.lower() for caption in captions]
        inputs = processor(
            text=text,
            images=images,
            padding="max_length",
            max_length=TOKENS,
            truncation=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            made = model(**inputs)
        image, caption = (
            torch.nn.functional.normalize(one, dim=-1) for one in (made.image_embeds, made.text_embeds)
        )
        yield (image * caption).sum(-1).tolist()


def embed(work: Work) -> Iterator[list[float]]:
    """Ours, without the stage around it."""
    from builder.towers import DualEncoder, Options, find
    from builder.towers import ToEmbed as Piece

    siglip = DualEncoder.load(find(work.model), Options(dtype=work.dtype), Console(quiet=True))
    yield []
    pieces = (Piece(None, pictures, (captions,)) for pictures, captions in batches(work.root, PIECE))
    for made in siglip.embed(pieces):
        yield (made.image * made.captions[0]).sum(-1).tolist()


def stage(work: Work) -> Iterator[list[float]]:
    """All of `danqing revalidate`."""
    from builder.cli import STAGES
    from builder.revalidate.config import RevalidateConfig
    from builder.revalidate.runner import run

    for name, value in STAGES["revalidate"].variables.items():
        os.environ.setdefault(name, value)
    for name in ("scores", "ledger"):
        shutil.rmtree(Path(work.root) / name, ignore_errors=True)
    config = RevalidateConfig(work.root, model=work.model, dtype=work.dtype, reference=work.reference)
    run(config, Console(quiet=True))
    for path in sorted((Path(work.root) / "scores").iterdir()):
        column = pq.read_table(path, columns=["score_alt_text"])["score_alt_text"]
        yield column.to_numpy(zero_copy_only=False).tolist()


CONTENDERS: dict[str, Callable[[Work], Iterator[list[float]]]] = {
    "plain": plain,
    "embed": embed,
    "stage": stage,
}


def run(work: Work) -> Took:
    """Do it, imports apart: they are the same for all."""
    import torch  # noqa: F401
    from transformers.utils import logging

    logging.disable_progress_bar()
    parts = watched() if work.parts else {}
    before, start, load = cpu(), time.perf_counter(), 0.0
    scores: list[float] = []
    for found in CONTENDERS[work.name](work):
        if not found:
            before, load = cpu(), time.perf_counter() - start
        scores += found
    took = Took(len(scores), time.perf_counter() - start, cpu() - before, load, parts)
    if work.scores:
        np.save(work.scores, np.array(scores, np.float32))
    return took


def watched() -> dict[str, float]:
    """Have the stage count the seconds inside its parts, from here on; the counts, which grow."""
    from builder.revalidate import panel, pieces, runner, score, scores
    from builder.towers import pixels, text
    from builder.towers import siglip2 as towers

    places: dict[str, list[tuple[Any, str]]] = {
        "read": [(pieces.PieceCutter, "pieces"), (panel, "select")],
        "decode": [(pixels.Squash, "fill"), (pixels.Patches, "fill")],
        "tokens": [(text.Captions, "ids")],
        "image tower": [(towers.Towers, "image")],
        "text tower": [(towers.Towers, "text")],
        "ranks": [(score.Scorer, "score")],
        "write": [(scores.ScoreWriter, "add")],
        "verdicts": [(runner, "decide")],
    }
    counts = dict.fromkeys(places, 0.0)
    lock = threading.Lock()
    for part, functions in places.items():
        for owner, name in functions:
            setattr(owner, name, counting(getattr(owner, name), part, counts, lock))
    return counts


def counting(
    function: Callable[..., Any], part: str, counts: dict[str, float], lock: Any
) -> Callable[..., Any]:
    """The function, adding the seconds inside it to counts[part]; of a generator, those of its steps."""

    def add(start: float) -> None:
        with lock:
            counts[part] += time.perf_counter() - start

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **options)
        finally:
            add(start)

    @functools.wraps(function)
    def steps(*args: Any, **options: Any) -> Iterator[Any]:
        items = function(*args, **options)
        while True:
            start = time.perf_counter()
            item = next(items, None)
            add(start)
            if item is None:
                return
            yield item

    return steps if inspect.isgeneratorfunction(function) else call


def cpu() -> float:
    """CPU seconds of this process, all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    print(json.dumps(asdict(run(Work(**json.loads(sys.argv[1]))))))
