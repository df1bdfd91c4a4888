"""Whether embeddings are right on a device: the part `checks` of benchmarks/gpu.py.

    run(Bench) tells, of a fixed-size and a NaFlex shape and of the trained checkpoint, in float32 and bfloat16, how far
    rows are from transformers' own and from the CPU's; and what NaN and a want of memory come to.

A difference is the length of the difference of two rows of length one. Float32 lands at some 1e-6, and in tf32 it would
at some 1e-4; of bfloat16, with 8 bits, twelve layers make some hundredths.
"""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from gpu import Bench

PAIRS, BATCH = 37, 16  # the last batch is of five
MOST = {"float32": 3e-5, "bfloat16": 5e-2}
SAME = 1e-5  # of one checkpoint in float32 on one device: other rows beside it, another place in the batch
ASPECTS = ((1, 1), (4, 3), (3, 4), (2, 1), (1, 2), (4, 1), (1, 4), (3, 2))
STILL = "vision_model.post_layernorm.bias"
LARGE = 512  # a batch that fills a GPU


def run(bench: Bench) -> None:
    """All of it, each part told when it is known."""
    shapes = ("tiny", "smoke", "smoke-naflex") if bench.smoke else ("tiny", "B/16-256", "B/16-naflex")
    for shape in shapes:
        equal(bench, shape)
    for shape in shapes[1:]:
        neighbours(bench, shape)
        streams(bench, shape)
    not_a_number(bench)
    halving(bench)


class Theirs:
    """transformers' own processors, tokenizer and forward of a checkpoint; rows of length one, float32, on the host."""

    def __init__(self, bench: Bench, checkpoint: Any, dtype: str) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        folder = str(checkpoint.folder)
        self.images = bench.processor(checkpoint)
        self.tokens = AutoTokenizer.from_pretrained(folder)
        self.device, self.dtype = bench.device, getattr(torch, dtype)
        self.model = AutoModel.from_pretrained(folder, dtype=self.dtype).to(bench.device).eval()

    def rows(self, pictures: list[Any], captions: list[str]) -> Any:
        """Pictures' and captions' embeddings beside each other, in batches of BATCH."""
        return np.concatenate(
            [
                self._some(pictures[at : at + BATCH], captions[at : at + BATCH])
                for at in range(0, len(pictures), BATCH)
            ]
        )

    def _some(self, pictures: list[Any], captions: list[str]) -> Any:
        import torch

        seen = self.images([Image.fromarray(one) for one in pictures], return_tensors="pt")
        seen = {name: one.to(self.device) for name, one in seen.items()}
        seen["pixel_values"] = seen["pixel_values"].to(self.dtype)
        said = self.tokens(
            [caption.lower() for caption in captions],
            padding="max_length",
            max_length=self.model.config.text_config.max_position_embeddings,
            truncation=True,
            return_tensors="pt",
        )
        with torch.no_grad():
            image = self.model.get_image_features(**seen).pooler_output
            text = self.model.get_text_features(input_ids=said["input_ids"].to(self.device)).pooler_output
        both = [torch.nn.functional.normalize(one.float(), dim=-1) for one in (image, text)]
        return torch.stack(both, 1).cpu().numpy()


def pairs(bench: Bench, checkpoint: Any, count: int) -> tuple[list[Any], list[str]]:
    """Pictures of sizes that a checkpoint's processor leaves alone, and captions, the first of which comes again."""
    captions = [f"{bench.captions[n % len(bench.captions)]}{n or ''}" for n in range(count)]
    captions[-1] = captions[0]
    processor = bench.processor(checkpoint)
    found = []
    for n in range(count):
        picture = bench.pictures[n % len(bench.pictures)]
        if checkpoint.naflex:
            wide, high = ASPECTS[n % len(ASPECTS)]
            blank = Image.new("RGB", (60 * wide, 60 * high))
            high, wide = processor([blank], return_tensors="np")["spatial_shapes"][0] * processor.patch_size
            tiled = np.tile(picture, (-(-high // len(picture)), -(-wide // len(picture)), 1))
            found.append(np.ascontiguousarray(tiled[:high, :wide]))
        else:
            side = processor.size.height
            step = len(picture) // side
            found.append(np.ascontiguousarray(picture[::step, ::step][:side, :side]))
    return found, captions


def ours(siglip: Any, pictures: list[Any], captions: list[str], cuts: tuple[int, ...] = ()) -> Any:
    """The same of builder.towers, in works that end at `cuts`."""
    from builder.towers import ToEmbed

    ends = (*cuts, len(pictures))
    works = (ToEmbed(None, pictures[a:b], (captions[a:b],)) for a, b in zip((0, *cuts), ends, strict=True))
    return np.concatenate([beside(one) for one in siglip.embed(works)])


def beside(answer: Any) -> Any:
    """(n, 2, dim): a picture's row, a caption's row."""
    return np.stack([answer.image.cpu().numpy(), answer.captions[0].cpu().numpy()], 1)


def far(one: Any, other: Any) -> float:
    """The largest distance of two rows; NaN where there is one."""
    return float(np.linalg.norm(one - other, axis=-1).max())


def equal(bench: Bench, shape: str) -> None:
    """Rows against transformers' on the same device, and in float32 on the CPU."""
    import torch

    checkpoint = bench.checkpoint(shape)
    pictures, captions = pairs(bench, checkpoint, PAIRS)
    on_cpu = replace(bench, device=torch.device("cpu"))
    reference = Theirs(on_cpu, checkpoint, "float32").rows(pictures, captions)
    apart = np.linalg.norm(reference[:-1, None] - reference[None, :-1], axis=-1)
    apart[np.diag_indices(PAIRS - 1)] = np.inf
    bench.report.tell(f"{shape}, rows", f"different ones are {apart.min():.1e} apart and more")
    for dtype, most in MOST.items():
        found = ours(bench.load(checkpoint, dtype=dtype, batch_size=BATCH), pictures, captions)
        own = Theirs(bench, checkpoint, dtype).rows(pictures, captions)
        bench.report.within(f"{shape}, {dtype}, against transformers' on this device", far(found, own), most)
        bench.report.within(
            f"{shape}, {dtype}, against transformers' float32 on the CPU", far(found, reference), most
        )
    cpu = on_cpu.load(checkpoint, dtype="float32", batch_size=BATCH)
    bench.report.within(
        f"{shape}, float32 on the CPU, against transformers'",
        far(ours(cpu, pictures, captions), reference),
        MOST["float32"],
    )


def as_on_the_cpu(bench: Bench, shape: str) -> None:
    """Rows in float32 and bfloat16 on this device against ours in float32 on the CPU, whose parity tests hold."""
    import torch

    checkpoint = bench.checkpoint(shape)
    pictures, captions = pairs(bench, checkpoint, PAIRS)
    cpu = replace(bench, device=torch.device("cpu")).load(checkpoint, dtype="float32", batch_size=BATCH)
    reference = ours(cpu, pictures, captions)
    for dtype, most in MOST.items():
        found = ours(bench.load(checkpoint, dtype=dtype, batch_size=BATCH), pictures, captions)
        bench.report.within(f"{shape}, {dtype}, against float32 on the CPU", far(found, reference), most)


def neighbours(bench: Bench, shape: str) -> None:
    """Odd batches, other works, and captions that come twice."""
    checkpoint = bench.checkpoint(shape)
    pictures, captions = pairs(bench, checkpoint, PAIRS)
    siglip = bench.load(checkpoint, dtype="float32", batch_size=BATCH)
    whole = ours(siglip, pictures, captions)
    cut = ours(siglip, pictures, captions, (1, 6, 22))
    back = ours(siglip, pictures[::-1], captions[::-1])[::-1]
    bench.report.within(f"{shape}, cut into odd works", far(whole, cut), SAME)
    bench.report.within(f"{shape}, in the other order", far(whole, back), SAME)
    same = np.array_equal(whole[0, 1], whole[-1, 1])
    bench.report.check(f"{shape}, one caption twice", same, "equal to the bit" if same else "differs")


def streams(bench: Bench, shape: str) -> None:
    """Both towers at once, their answers read late in another stream, against one tower after the other."""
    import torch

    from builder.towers import ToEmbed

    checkpoint = bench.checkpoint(shape)
    pictures, captions = pairs(bench, checkpoint, PAIRS)
    siglip = bench.load(checkpoint, batch_size=BATCH)
    [seen] = siglip.embed([ToEmbed(None, pictures)])
    [said] = siglip.embed([ToEmbed(None, [None] * PAIRS, (captions,))])
    expected = torch.stack([seen.image, said.captions[0]], 1).cpu()
    side = 64 if bench.smoke else 4096
    busy = torch.randn(side, side, device=bench.device)
    turns, found = 8, []
    stream = None if bench.smoke else torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):  # None: whichever is current
        for answer in siglip.embed(ToEmbed(None, pictures, (captions,)) for _ in range(turns)):
            busy = torch.nn.functional.normalize(
                busy @ busy
            )  # the answer is read when its memory could be another's
            found.append(torch.stack([answer.image, answer.captions[0]], 1))
            del answer
        worst = max(far(one.cpu().numpy(), expected.numpy()) for one in found)
    bench.report.within(f"{shape}, {turns} times both towers at once, read late", worst, SAME)


def compiled(bench: Bench, shape: str) -> None:
    """Rows of towers as torch.compile makes them against those as Python says."""
    checkpoint = bench.checkpoint(shape)
    pictures, captions = pairs(bench, checkpoint, PAIRS)
    plain, other = (
        ours(bench.load(checkpoint, dtype="bfloat16", batch_size=BATCH, compile=how), pictures, captions)
        for how in ("off", "on")
    )
    bench.report.within(f"{shape}, compiled, against not", far(plain, other), MOST["bfloat16"])


def not_a_number(bench: Bench) -> None:
    """One NaN among the weights of a picture tower: no picture has a row of numbers, and every caption has."""
    from safetensors.torch import load_file, save_file

    whole = bench.checkpoint("smoke")
    folder = bench.folder / "not-a-number"
    shutil.copytree(whole.folder, folder)
    weights = load_file(folder / "model.safetensors")
    weights[STILL][0] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    pictures, captions = pairs(bench, whole, PAIRS)
    for dtype in MOST:
        rows = ours(
            bench.load(replace(whole, folder=folder), dtype=dtype, batch_size=BATCH), pictures, captions
        )
        refused = bool(np.isnan(rows[:, 0]).all() and np.isfinite(rows[:, 1]).all())
        text = (
            "each row of a picture is NaN, no row of a caption"
            if refused
            else "rows that are no numbers pass"
        )
        bench.report.check(f"a weight that is NaN, {dtype}", refused, text)


def halving(bench: Bench) -> None:
    """A batch for which the device lends too little memory is halved until it fits, to the same rows."""
    import torch

    from builder.console import Console

    if bench.smoke:
        bench.report.tell("want of memory", "skipped on a CPU, which has no limit to set")
        return
    checkpoint = bench.checkpoint("B/16-256")
    pictures, captions = pairs(bench, checkpoint, 2 * LARGE + 5)
    said = io.StringIO()
    siglip = bench.load(checkpoint, Console(stream=said), batch_size=LARGE)
    bench.fresh()
    held = torch.cuda.memory_allocated()
    expected = ours(siglip, pictures, captions)
    peak = bench.peak()
    bench.report.tell(
        "memory", f"{held / 1e9:.2f} GB for B/16-256 in bfloat16, {peak / 1e9:.2f} GB with batches of {LARGE}",
        held=held, peak=peak,
    )  # fmt: skip
    bench.fresh()
    lent = torch.cuda.memory_reserved() + (peak - held) // 3
    try:
        torch.cuda.set_per_process_memory_fraction(lent / torch.cuda.get_device_properties(0).total_memory)
        found = ours(siglip, pictures, captions)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    told = "; ".join(said.getvalue().splitlines())
    bench.report.check("want of memory, halved", siglip.batch_size < LARGE and "out of memory" in told, told)
    bench.report.within("want of memory, rows", far(found, expected), MOST["bfloat16"])
