"""What one GPU makes of a checkpoint: from JPEG shards on disk to scores, beside the synchronous loop of the field.

    python benchmarks/revalidate.py --gpu            # some minutes on an H200; needs this tree and the extra siglip2
    python benchmarks/revalidate.py --gpu --smoke    # the same code on the CPU, in a minute

The yardstick is this device's own rate of bfloat16 matrix products. FLOPs of a pair are counted by torch, not quoted;
the share is FLOPs done in a second over that rate. The peer is written as clip-retrieval's inference is: a DataLoader
whose workers run Pillow and the processor picture by picture, a forward without compile or autocast, `.cpu()` after
every batch. It runs as it is, in float32, and once more with bfloat16 weights, which tells what of the ratio is only
the precision.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import measure
import pyarrow.parquet as pq
import scorers
import shapes
from PIL import Image

PICTURE = (256, 256)
DRAWN = 2048  # different pictures; a root repeats them
SHARDS = 16
WANTED_SHARE, WANTED_RATIO = 0.45, 4.0
KERNELS = (  # part of the device's time -> names of its kernels
    ("matrix products", r"gemm|nvjet|cutlass|cublas|sm90_xmma|::mm|addmm"),
    ("attention", r"flash|fmha|attention|sdpa"),
    ("copies", r"memcpy|memset|_to_copy|copy_"),
    ("fused, norms and activations", r"triton|norm|gelu|elementwise|softmax|reduce"),
)


@dataclass(frozen=True, slots=True)
class Size:
    """How much to do with one shape. pairs: of ours; peer: of theirs, which is slower; batch: of theirs."""

    shape: str
    pairs: int
    peer: int
    batch: int = 256
    workers: int = 8  # clip-retrieval's default, of its num_prepro_workers


FULL = (Size("B/16-256", 131_072, 12_288), Size("L/16-256", 49_152, 6_144))
SMOKE = (Size("smoke", 512, 192, batch=64, workers=1),)


def main(folder: Path, out: Path, *, smoke: bool) -> None:
    """Measure, print Markdown tables, write JSON."""
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    device = torch.device("cpu" if smoke else "cuda")
    if not smoke and not torch.cuda.is_available():
        raise SystemExit("no CUDA here; --smoke tries the code on the CPU")
    sizes = SMOKE if smoke else FULL
    name = "CPU, to try the code" if smoke else torch.cuda.get_device_name()
    peak = matmul_rate(device, 512 if smoke else 8192)
    print(
        f"{name}, torch {torch.__version__}: bfloat16 matrix products at {peak / 1e12:.2f} TFLOP/s",
        flush=True,
    )
    drawn = shapes.pictures(64 if smoke else DRAWN, PICTURE)
    made = io_rates(folder, drawn)
    results = [one_shape(size, folder, drawn, device, peak) for size in sizes]
    rows = [line for result in results for line in result["lines"]]
    header = ("shape", "what runs", "pairs/s", "TFLOP/s", "of the matmul rate", "ours against it")
    wanted = (
        f"wanted: {WANTED_SHARE:.0%} of the matmul rate, {WANTED_RATIO:.0f}x the synchronous loop in float32"
    )
    print(measure.table(f"{name}; {wanted}", header, rows))
    for result in results:
        where = [(part, f"{ms:.1f}", f"{share:.0%}") for part, ms, share in result["where"]]
        title = (
            f"where the device's time goes, {result['shape']}: {result['busy']:.0%} of the wall it is at work"
        )
        print(measure.table(title, ("part", "ms", "of the device's time"), where))
    print(measure.table("what feeds it, on this machine's cores", ("part", "pairs/s"), made))
    known = {"device": name, "torch": torch.__version__, "matmul": peak, "feeds": made, "results": results}
    out.write_text(json.dumps(known, indent=1) + "\n", "utf-8")


def matmul_rate(device: Any, side: int) -> float:
    """FLOP/s of bfloat16 products of random square matrices, the median of ten after three."""
    import torch

    one, other = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(13):
        seconds.append(timed(lambda: one @ other, device))
    return 2 * side**3 / measure.median(seconds[3:])


def timed(run: Callable[[], object], device: Any) -> float:
    """Seconds of it, until the device is done."""
    synchronize(device)
    start = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: Any) -> None:
    """Wait for the device."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize()


def io_rates(folder: Path, drawn: list[tuple[bytes, str]]) -> list[tuple[str, str]]:
    """Pairs a second of what comes before the device: shards read by one thread, pictures decoded by all cores."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from builder.siglip2.pixels import Squash

    rows = 4 * len(drawn)
    shapes.root(folder / "feeds", drawn, rows, 4)
    start = time.perf_counter()
    pictures = [data for many, _ in scorers.batches(str(folder / "feeds"), 512) for data in many]
    read = time.perf_counter() - start
    squash = Squash(256, 2, fast=True)
    cores = len(os.sched_getaffinity(0))

    def decode(part: list[bytes]) -> None:
        row, grid = np.empty(squash.shape, np.uint8), np.ones(2, np.int32)
        for data in part:
            squash.fill(data, row, grid)

    parts = [pictures[at : at + 64] for at in range(0, rows, 64)]
    start = time.perf_counter()
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(decode, parts))
    decoded = time.perf_counter() - start
    return [
        ("shards read, one thread", f"{rows / read:,.0f}"),
        (f"JPEGs of {PICTURE[0]}x{PICTURE[1]} decoded, {cores} threads", f"{rows / decoded:,.0f}"),
    ]


def one_shape(size: Size, folder: Path, drawn: list[Any], device: Any, peak: float) -> dict[str, Any]:
    """Ours and the peer, twice, with one shape; the lines of the table, and where the device's time goes."""
    import torch

    shape = size.shape
    model = shapes.checkpoint(folder, shape)
    work = sum(shapes.flops(shape))
    roots = {}
    for name, rows in (("ours", size.pairs), ("peer", size.peer)):
        roots[name] = str(folder / f"{shape.replace('/', '-')}-{name}")
        shapes.root(Path(roots[name]), drawn, rows, SHARDS)
    rate, load, where, busy = ours(roots["ours"], str(model), device)
    whole = size.pairs / whole_stage(roots["ours"], str(model), device)
    rates = {"Siglip.embed": rate, "danqing revalidate, all of it, with loading": whole}
    for dtype in (torch.float32, torch.bfloat16):
        name = f"synchronous loop, {str(dtype).removeprefix('torch.')}"
        rates[name] = peer(size, roots["peer"], str(model), device, dtype)
    print(f"{shape}: {rates}; loaded and compiled in {load:.1f} s", file=sys.stderr, flush=True)
    lines = []
    for name, found in rates.items():
        against = f"{rate / found:.2f}x" if "loop" in name else ""
        lines.append(
            (
                shape,
                name,
                f"{found:,.0f}",
                f"{found * work / 1e12:.1f}",
                f"{found * work / peak:.1%}",
                against,
            )
        )
    first = rates["synchronous loop, float32"]
    return {
        "shape": shape, "flops": work, "pairs": size.pairs, "load": load, "rates": rates, "lines": lines,
        "share": rate * work / peak, "ratio": rate / first, "where": where, "busy": busy,
    }  # fmt: skip


def ours(root: str, model: str, device: Any) -> tuple[float, float, list[Any], float]:
    """Pairs a second of `Siglip.embed` from files to cosines, seconds of loading, and a profile of a part of it."""
    from builder.console import Console
    from builder.siglip2 import Options, Siglip, find

    start = time.perf_counter()
    siglip = Siglip.load(find(model), Options(device=device.type), Console())
    load = time.perf_counter() - start
    warm = 4 * siglip.batch_size
    embed(siglip, itertools.islice(scorers.batches(root, scorers.PIECE), max(1, warm // scorers.PIECE)))
    start = time.perf_counter()
    pairs = embed(siglip, scorers.batches(root, scorers.PIECE))
    rate = pairs / (time.perf_counter() - start)
    where, busy = profiled(
        lambda: embed(siglip, itertools.islice(scorers.batches(root, scorers.PIECE), 32)), device
    )
    return rate, load, where, busy


def embed(siglip: Any, batches: Iterator[tuple[list[bytes], list[str]]]) -> int:
    """Score the batches; how many pairs. The cosines come to the host, as they do in the stage."""
    from builder.siglip2 import Work

    works = (Work(None, pictures, (captions,)) for pictures, captions in batches)
    return sum(len((made.image * made.captions[0]).sum(-1).cpu()) for made in siglip.embed(works))


def profiled(run: Callable[[], object], device: Any) -> tuple[list[tuple[str, float, float]], float]:
    """(part, milliseconds, share) of the device's time, and the share of the wall that it was at work.

    Kernels of several streams overlap: the parts are sums, the share is of the union. On the CPU it sees one thread.
    """
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    cuda = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as record:
        wall = timed(run, device)
    parts: dict[str, float] = {}
    spans: list[tuple[float, float]] = []
    for event in record.events():
        if (event.device_type == DeviceType.CUDA) != cuda:
            continue
        start, stop = event.time_range.start, event.time_range.end  # microseconds
        name = next((part for part, names in KERNELS if re.search(names, event.name, re.IGNORECASE)), "other")
        parts[name] = parts.get(name, 0.0) + (stop - start if cuda else event.self_cpu_time_total) / 1e3
        spans.append((start, stop))
    total = sum(parts.values()) or 1.0
    ordered = sorted(parts.items(), key=lambda one: -one[1])
    return [(part, ms, ms / total) for part, ms in ordered], union(spans) / 1e6 / wall


def union(spans: list[tuple[float, float]]) -> float:
    """The length that intervals cover together."""
    covered, reached = 0.0, float("-inf")
    for start, stop in sorted(spans):
        covered += max(0.0, stop - max(start, reached))
        reached = max(reached, stop)
    return covered


def whole_stage(root: str, model: str, device: Any) -> float:
    """Seconds of `danqing revalidate`, from the folder to the verdicts, in this process."""
    from builder.console import Console
    from builder.revalidate import Config, run

    start = time.perf_counter()
    run(Config(root, model=model, device=device.type), Console())
    return time.perf_counter() - start


def peer(size: Size, root: str, model: str, device: Any, dtype: Any) -> float:
    """Pairs a second of the synchronous loop, after its first batch."""
    import torch
    from torch.utils.data import DataLoader
    from transformers import AutoModel

    tower = AutoModel.from_pretrained(model, dtype=dtype).to(device).eval()
    loader = DataLoader(
        Rows.of(root, model),
        batch_size=size.batch,
        num_workers=size.workers,
        pin_memory=device.type == "cuda",
    )
    scores: list[Any] = []
    pairs, start = 0, time.perf_counter()
    with torch.no_grad():
        for pixels, ids in loader:
            image = tower.get_image_features(pixel_values=pixels.to(device, dtype)).pooler_output
            caption = tower.get_text_features(input_ids=ids.to(device)).pooler_output
            image, caption = image.cpu().float(), caption.cpu().float()  # the wait for every batch
            scores.append(torch.nn.functional.cosine_similarity(image, caption))
            if len(scores) == 1:  # workers started, kernels chosen
                pairs, start = 0, time.perf_counter()
                continue
            pairs += len(pixels)
    return pairs / (time.perf_counter() - start)


@dataclass(frozen=True)
class Rows:
    """A map-style data set of pairs, prepared one at a time: what DataLoader's workers run."""

    pictures: list[bytes]
    captions: list[str]
    processor: Any

    @classmethod
    def of(cls, root: str, model: str) -> Rows:
        """The pairs of a root, in memory: reading costs the peer nothing."""
        from transformers import AutoImageProcessor, AutoTokenizer

        rows = pq.read_table(Path(root) / "images", columns=["image", "alt_text"]).to_pydict()
        processor = (
            AutoImageProcessor.from_pretrained(model, backend="pil"),
            AutoTokenizer.from_pretrained(model),
        )
        return cls([one["bytes"] for one in rows["image"]], rows["alt_text"], processor)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        images, tokens = self.processor
        picture = Image.open(io.BytesIO(self.pictures[index])).convert("RGB")
        pixels = images(images=picture, return_tensors="pt")["pixel_values"][0]
        length = shapes.TOKENS
        ids = tokens(
            self.captions[index],
            padding="max_length",
            max_length=length,
            truncation=True,
            return_tensors="pt",
        )
        return pixels, ids["input_ids"][0]
