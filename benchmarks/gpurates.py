"""How many pairs a second a device embeds: the parts `rates` and `embedder` of benchmarks/gpu.py.

    run(Bench, last) measures, by shape, batch and compile, `DualEncoder.embed` on pixels in memory to embeddings on the
    device, and a synchronous loop beside it; nothing is begun after `last` seconds, the least wanted comes last.
    embedder(Bench, last) does so for curate's embedder, a Chinese-CLIP, without a loop.

The yardstick is this device's own rate of bfloat16 matrix products. FLOPs of a pair are counted by torch, not quoted;
the share is FLOPs done in a second over that rate. The peer is written as clip-retrieval's inference is: a DataLoader
whose workers run processor and tokenizer pair by pair, a forward without compile or autocast, `.cpu()` after every
batch. It gets pixels too, so neither decodes. It runs as it is, in float32, and once more with bfloat16 weights, which
tells what of the ratio is only the precision.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gpuchecks
import measure
import numpy as np
import shapes
from PIL import Image

if TYPE_CHECKING:
    from gpu import Bench

Todo = list[tuple[str, Callable[[], None]]]
WANTED_SHARE, WANTED_RATIO = 0.45, 4.0  # hoped for, and not judged
MOST = 5e-2  # between rows of a compiled tower and of one that is not, in bfloat16
KERNELS = (  # part of the device's time -> names of its kernels
    ("matrix products", r"gemm|nvjet|cutlass|cublas|sm90_xmma|::mm|addmm"),
    ("attention", r"flash|fmha|attention|sdpa"),
    ("copies", r"memcpy|memset|_to_copy|copy_"),
    ("fused, norms and activations", r"triton|norm|gelu|elementwise|softmax|reduce"),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure: shapes by batches, so many seconds each; first: the batch that is compiled first.

    piece: pairs of a work; naflex: a shape that is compiled and compared alone; peer, workers: of the loop.
    """

    shapes: tuple[str, ...]
    batches: tuple[int, ...]
    first: int
    seconds: float
    piece: int
    naflex: str
    peer: int
    workers: int


# Of the loop, clip-retrieval's own: batches of 256, eight workers.
FULL = Plan(("B/16-256", "L/16-256"), (64, 256, 512, 1024), 512, 4.0, 512, "B/16-naflex", 256, 8)
SMOKE = Plan(("smoke",), (16, 64), 16, 0.05, 128, "smoke-naflex", 64, 1)
EMBEDDER = Plan(("zh-L/14",), (64, 512), 512, 4.0, 512, "", 0, 0)
SMOKE_EMBEDDER = Plan(("smoke-zh",), (16, 64), 16, 0.05, 128, "", 0, 0)


def run(bench: Bench, last: float) -> None:
    """All of it: the matrix rate, every batch as it comes, the peer, then what has to be compiled."""
    plan = SMOKE if bench.smoke else FULL
    rates = Rates(bench, plan, matrix_rate(bench))
    todo: Todo = []
    for shape in plan.shapes:
        todo += [rates.ours(shape, batch, "off") for batch in plan.batches]
        todo += [rates.peer(shape, dtype) for dtype in ("float32", "bfloat16")]
    todo += [rates.ours(shape, plan.first, "on") for shape in plan.shapes]
    todo.insert(-1, (f"{plan.naflex}, compiled", lambda: gpuchecks.compiled(bench, plan.naflex)))
    others = [batch for batch in reversed(plan.batches) if batch != plan.first]
    todo += [rates.ours(shape, batch, "on") for shape in plan.shapes for batch in others]
    measured(
        bench,
        rates,
        todo,
        last,
        f"wanted: {WANTED_SHARE:.0%} of the matrix rate, {WANTED_RATIO:.0f}x the loop in float32",
    )


def embedder(bench: Bench, last: float) -> None:
    """Curate's: rows on the device against the CPU's, every batch as it comes, then compiled."""
    plan = SMOKE_EMBEDDER if bench.smoke else EMBEDDER
    [shape] = plan.shapes
    gpuchecks.as_on_the_cpu(bench, shape)
    rates = Rates(bench, plan, matrix_rate(bench))
    todo = [rates.ours(shape, batch, "off") for batch in plan.batches]
    todo.append(rates.ours(shape, plan.first, "on"))
    measured(bench, rates, todo, last, f"curate's embedder; wanted: {WANTED_SHARE:.0%} of the matrix rate")


def measured(bench: Bench, rates: Rates, todo: Todo, last: float, title: str) -> None:
    """Do what there is time for, and print the table."""
    for name, one in todo:
        if bench.report.elapsed > last:
            bench.report.tell(name, "left out, for want of time")
        else:
            one()
    header = (
        "shape",
        "what runs",
        "batch",
        "pairs/s",
        "TFLOP/s",
        "of the matrix rate",
        "GB at most",
        "of the loop",
    )
    print(measure.table(title, header, rates.lines()), flush=True)


@dataclass(frozen=True, slots=True)
class Rate:
    """What was measured: pairs a second; peak: bytes of the device at most, 0 where that is not known."""

    shape: str
    name: str
    batch: int
    pairs: float
    peak: int


class Rates:
    """Measures one thing at a time, and holds them beside each other."""

    def __init__(self, bench: Bench, plan: Plan, peak: float) -> None:
        self._bench, self._plan, self._peak = bench, plan, peak
        self._found: list[Rate] = []
        self._rows: dict[str, Any] = {}
        self._flops = {shape: shapes.flops(shape) for shape in plan.shapes}

    def ours(self, shape: str, batch: int, compiled: str) -> tuple[str, Callable[[], None]]:
        """DualEncoder.embed at one batch: its name, and what measures it."""
        name = f"{shape}, batch {batch}, compile {compiled}"
        return name, lambda: self._ours(name, shape, batch, compiled)

    def peer(self, shape: str, dtype: str) -> tuple[str, Callable[[], None]]:
        """The loop of the field: its name, and what measures it."""
        name = f"{shape}, synchronous loop, {dtype}"
        return name, lambda: self._peer(name, shape, dtype)

    def lines(self) -> Iterator[tuple[str, ...]]:
        """The table, a line for each."""
        loops = {one.shape: one.pairs for one in self._found if one.name == "loop, float32"}
        for one in self._found:
            done = one.pairs * self._flops[one.shape]
            yield (
                one.shape, one.name, str(one.batch), f"{one.pairs:,.0f}", f"{done / 1e12:.2f}",
                f"{done / self._peak:.1%}", f"{one.peak / 1e9:.1f}" if one.peak else "",
                f"{one.pairs / loops[one.shape]:.2f}x" if one.shape in loops else "",
            )  # fmt: skip

    def _keep(self, name: str, rate: Rate) -> None:
        self._found.append(rate)
        share = rate.pairs * self._flops[rate.shape] / self._peak
        self._bench.report.tell(
            name, f"{rate.pairs:,.0f} pairs/s, {share:.1%} of the matrix rate", pairs=rate.pairs, share=share,
            bytes=rate.peak, batch=rate.batch, shape=rate.shape,
        )  # fmt: skip

    def _ours(self, name: str, shape: str, batch: int, compiled: str) -> None:
        from builder.errors import EnvironmentProblem

        bench, start = self._bench, time.perf_counter()
        bench.fresh()
        try:
            siglip = bench.load(bench.checkpoint(shape), dtype="bfloat16", batch_size=batch, compile=compiled)
        except (
            EnvironmentProblem
        ) as problem:  # a CPU may lack a compiler; a GPU on which Triton fails is a finding
            tell = (
                bench.report.tell if bench.smoke else lambda part, text: bench.report.check(part, False, text)
            )
            tell(name, str(problem))
            return
        loaded = time.perf_counter() - start
        warm = itertools.islice(self._works(shape), max(2, 2 * batch // self._plan.piece))
        rows, *_ = [gpuchecks.beside(one) for one in siglip.embed(warm)]
        far = gpuchecks.far(self._rows.setdefault(shape, rows), rows)
        bench.report.within(f"{name}, loaded in {loaded:.1f} s, rows against the first's", far, MOST)
        start = time.perf_counter()
        stop = start + self._plan.seconds
        enough = itertools.takewhile(lambda _: time.perf_counter() < stop, self._works(shape))
        rate = embed(siglip, enough) / (time.perf_counter() - start)
        self._keep(name, Rate(shape, f"embed, compile {compiled}", batch, rate, bench.peak()))
        if compiled == "on" and batch == self._plan.first:
            some = itertools.islice(self._works(shape), 2 if bench.smoke else 16)
            where(bench, shape, lambda: embed(siglip, some))

    def _works(self, shape: str) -> Iterator[Any]:
        """Works without an end: pictures over and over, each caption once."""
        from builder.towers import ToEmbed

        pictures, captions = squares(self._bench, shape), self._bench.captions
        for start in itertools.count(0, self._plan.piece):
            numbers = range(start, start + self._plan.piece)
            seen = [pictures[n % len(pictures)] for n in numbers]
            yield ToEmbed(None, seen, ([f"{captions[n % len(captions)]}{n}" for n in numbers],))

    def _peer(self, name: str, shape: str, dtype: str) -> None:
        rate = peer(self._bench, self._plan, shape, dtype)
        self._keep(name, Rate(shape, f"loop, {dtype}", self._plan.peer, rate, self._bench.peak()))


def squares(bench: Bench, shape: str) -> list[Any]:
    """The pictures in the size of a shape."""
    side = shapes.SHAPES[shape].side
    step = bench.pictures.shape[1] // side
    return [np.ascontiguousarray(one[::step, ::step][:side, :side]) for one in bench.pictures]


def embed(siglip: Any, some: Iterator[Any]) -> int:
    """Score the works; how many pairs. The cosines come to the host, as they do in the stage."""
    return sum(len((made.image * made.captions[0]).sum(-1).cpu()) for made in siglip.embed(some))


def peer(bench: Bench, plan: Plan, shape: str, dtype: str) -> float:
    """Pairs a second of the synchronous loop, after its first batch."""
    import torch
    from torch.utils.data import DataLoader
    from transformers import AutoModel, AutoTokenizer

    checkpoint = bench.checkpoint(shape)
    folder, processor = str(checkpoint.folder), bench.processor(checkpoint)
    weights, device = getattr(torch, dtype), bench.device
    tower = AutoModel.from_pretrained(folder, dtype=weights).to(device).eval()
    rows = Rows(squares(bench, shape), bench.captions, processor, AutoTokenizer.from_pretrained(folder))
    loader = DataLoader(rows, plan.peer, num_workers=plan.workers, pin_memory=device.type == "cuda")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # it does not survive the fork
    batches = iter(loader)
    del os.environ["TOKENIZERS_PARALLELISM"]
    pairs, start = -1, 0.0
    with torch.no_grad():
        for pixels, ids in batches:
            image = tower.get_image_features(pixel_values=pixels.to(device, weights)).pooler_output
            caption = tower.get_text_features(input_ids=ids.to(device)).pooler_output
            image, caption = image.cpu().float(), caption.cpu().float()  # the wait for every batch
            torch.nn.functional.cosine_similarity(image, caption)
            if pairs < 0:  # workers started, kernels chosen
                bench.fresh()
                pairs, start = 0, time.perf_counter()
                continue
            pairs += len(pixels)
            if time.perf_counter() > start + plan.seconds:
                break
    return pairs / (time.perf_counter() - start)


@dataclass(frozen=True)
class Rows:
    """A map-style data set of pairs, prepared one at a time: what DataLoader's workers run."""

    pictures: list[Any]
    captions: list[str]
    images: Any
    tokens: Any

    def __len__(self) -> int:
        return 1 << 30

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        picture = Image.fromarray(self.pictures[index % len(self.pictures)])
        pixels = self.images(images=picture, return_tensors="pt")["pixel_values"][0]
        ids = self.tokens(
            f"{self.captions[index % len(self.captions)]}{index}",
            padding="max_length",
            max_length=shapes.TOKENS,
            truncation=True,
            return_tensors="pt",
        )
        return pixels, ids["input_ids"][0]


def where(bench: Bench, shape: str, run: Callable[[], object]) -> None:
    """Tell where the device's time goes: a sum for each part, and the share of the wall that it was at work.

    Kernels of several streams overlap: the parts are sums, the share is of the union. On a CPU it sees one thread.
    """
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity, profile

    cuda = bench.device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as record:
        wall = timed(run, bench.device)
    parts: dict[str, float] = {}
    spans: list[tuple[float, float]] = []
    for event in record.events():
        if (event.device_type == DeviceType.CUDA) != cuda:
            continue
        start, stop = event.time_range.start, event.time_range.end  # microseconds
        name = next((part for part, names in KERNELS if re.search(names, event.name, re.IGNORECASE)), "other")
        parts[name] = parts.get(name, 0.0) + (stop - start if cuda else event.self_cpu_time_total)
        spans.append((start, stop))
    total = sum(parts.values()) or 1.0
    shares = [f"{part} {took / total:.0%}" for part, took in sorted(parts.items(), key=lambda one: -one[1])]
    text = f"at work {union(spans) / 1e6 / wall:.0%} of the wall; of that, {', '.join(shares)}"
    bench.report.tell(f"{shape}, where the device's time goes", text)


def union(spans: list[tuple[float, float]]) -> float:
    """The length that intervals cover together."""
    covered, reached = 0.0, float("-inf")
    for start, stop in sorted(spans):
        covered += max(0.0, stop - max(start, reached))
        reached = max(reached, stop)
    return covered


def matrix_rate(bench: Bench) -> float:
    """FLOP/s of bfloat16 matrix products on this device, measured now and told."""
    rate = matmul_rate(bench.device, 512 if bench.smoke else 8192)
    bench.report.tell("matrix rate", f"{rate / 1e12:.2f} TFLOP/s of bfloat16", rate=rate)
    return rate


def matmul_rate(device: Any, side: int) -> float:
    """FLOP/s of bfloat16 products of random square matrices, the median of ten after three."""
    import torch

    one, other = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = [timed(lambda: one @ other, device) for _ in range(13)]
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
