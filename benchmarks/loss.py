"""The sigmoid loss of 8,192 pairs in one process: what it keeps, holds at once and costs, beside open_clip's and HF's.

    python benchmarks/loss.py --open-clip loss.py    # some five minutes on two quiet cores
    python benchmarks/loss.py                        # without that peer
    python benchmarks/loss.py --smoke                # small; 1 where a figure is missed that is no speed

| name | what runs |
|---|---|
| ours | builder.train.loss, in blocks of --chunk pictures |
| open_clip | SigLipLoss(chunk_size=--chunk) of `src/open_clip/loss.py`, alone, at the commit COMMIT |
| hf | the loss of transformers' SiglipModel with return_loss, given features in place of towers |

In: features of length one, width --dim, float32. Forward and backward. Out: `kept`, bytes that autograd saves beside
the inputs, each once; `live`, the most bytes of tensors at once beside the inputs, counted at each operation; `rss`, by
how much the peak of the resident set grew, which has what operations and allocators hold to themselves too; CPU seconds
of one thread. Every figure in a process of its own, after a small loss that loads what is loaded once. hf also makes
features one long, and its gradients by features are those of features before that.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
os.environ["OMP_NUM_THREADS"] = "1"

import measure  # noqa: E402
import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

# github.com/mlfoundations/open_clip, its newest main of June 2026, and the SHA-256 of its loss.py.
COMMIT = "89fb801f1e6087880e951fc8354b8a2077b79c6d"
SHA256 = "87709a59578cb861b5d2f53c7751738692095c5ecbd4603af4002ea7e32767a5"
KEPT, PEAK = 0.1, 0.2  # of open_clip's, at most
SCALARS = ("loss", "by scale", "by bias")
BY_FEATURE = ("norm by image", "norm by text", "by image 7, 3", "by text 7, 3")
Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def ours(chunk: int, _: Path | None) -> Loss:
    """The loss that danqing trains with."""
    from builder.train.loss import sigmoid_loss

    return lambda image, text, scale, bias: sigmoid_loss(
        image, text, torch.ones(len(image), dtype=torch.bool), scale, bias, chunk
    )


def open_clip(chunk: int, path: Path | None) -> Loss:
    """The one file of open_clip, as pinned."""
    assert path is not None
    spec = importlib.util.spec_from_file_location("open_clip_loss", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    loss: Loss = module.SigLipLoss(chunk_size=chunk)
    return loss


class Given(nn.Module):
    """A tower that has its features already."""

    def forward(self, **given: Any) -> Any:
        """What was put in as pixels or ids."""
        features = given.get("pixel_values", given.get("input_ids"))
        return SimpleNamespace(pooler_output=features)


def hf(_: int, __: Path | None) -> Loss:
    """transformers' own forward; its model takes the logarithm of the scale."""
    from transformers import SiglipConfig, SiglipModel

    tower = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = SiglipConfig(
        text_config=tower | {"vocab_size": 8, "bos_token_id": 1, "eos_token_id": 1}, vision_config=tower
    )
    model = SiglipModel(config)
    model.vision_model, model.text_model = Given(), Given()

    def loss(image: Tensor, text: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        del model.logit_scale, model.logit_bias
        model.logit_scale, model.logit_bias = scale.log(), bias
        found: Tensor = model(input_ids=text, pixel_values=image, return_loss=True).loss
        return found

    return loss


CONTENDERS = {"ours": ours, "open_clip": open_clip, "hf": hf}


class Live(TorchDispatchMode):
    """Bytes of all tensors that operations made and that are not gone; most: at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: weakref.WeakSet[Any] = weakref.WeakSet()

    def start_from(self, *tensors: Tensor) -> None:
        """Count none of these."""
        self.known.update(one.untyped_storage() for one in tensors)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count what an operation made."""
        found = func(*args, **(kwargs or {}))
        for one in tree_leaves(found):
            if isinstance(one, Tensor) and (storage := one.untyped_storage()) not in self.known:
                self.known.add(storage)
                self.now += storage.nbytes()
                weakref.finalize(storage, self._gone, storage.nbytes())
        self.most = max(self.most, self.now)
        return found

    def _gone(self, size: int) -> None:
        self.now -= size


def inputs(pairs: int, dim: int) -> list[Tensor]:
    """Pictures and captions that agree a little, with the scale and the bias that SigLIP begins with."""
    made = torch.Generator().manual_seed(0)
    image, text = (torch.randn(pairs, dim, generator=made) for _ in range(2))
    text = nn.functional.normalize(0.3 * image + text, dim=1)
    image = nn.functional.normalize(image, dim=1)
    return [one.requires_grad_() for one in (image, text, torch.tensor([10.0]), torch.tensor([-10.0]))]


def watched(loss: Loss, given: list[Tensor]) -> dict[str, float]:
    """Bytes saved for the gradient, and the most bytes of tensors at once, both beside the inputs."""
    sizes: dict[int, int] = {}

    def save(one: Tensor) -> Tensor:
        sizes[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
        return one

    with Live() as seen:
        seen.start_from(*given)
        with torch.autograd.graph.saved_tensors_hooks(save, lambda one: one):
            found = loss(given[0], given[1], given[2], given[3])
        found.backward()  # type: ignore[no-untyped-call]
    for one in given:
        sizes.pop(one.untyped_storage().data_ptr(), None)
    return {"kept": sum(sizes.values()), "live": seen.most}


def _resident(field: str) -> int:
    (kilobytes,) = re.findall(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) * 1024


def plain(loss: Loss, given: list[Tensor]) -> dict[str, float]:
    """CPU seconds and growth of the resident set, with nothing watching; and the numbers, to compare."""
    Path("/proc/self/clear_refs").write_text("5")  # the kernel's peak begins anew
    before, cpu = _resident("VmRSS"), time.process_time()
    found = loss(given[0], given[1], given[2], given[3])
    found.backward()  # type: ignore[no-untyped-call]
    cpu, rss = time.process_time() - cpu, _resident("VmHWM") - before
    by_image, by_text, by_scale, by_bias = (one.grad for one in given if one.grad is not None)
    told = {"loss": found.detach(), "by scale": by_scale, "by bias": by_bias}
    for side, by in (("image", by_image), ("text", by_text)):
        told |= {f"norm by {side}": by.norm(), f"by {side} 7, 3": by[7, 3]}
    return {"cpu": cpu, "rss": rss, **{name: float(one) for name, one in told.items()}}


HOW = {"watched": watched, "plain": plain}


def contend(words: list[str]) -> None:
    """Be one contender, and print its figures."""
    name, how, pairs, dim, chunk, path = words
    loss = CONTENDERS[name](int(chunk), Path(path) if path else None)
    small = inputs(64, int(dim))
    loss(small[0], small[1], small[2], small[3]).backward()  # type: ignore[no-untyped-call]
    print(json.dumps(HOW[how](loss, inputs(int(pairs), int(dim)))))


def asked(name: str, how: str, options: argparse.Namespace) -> dict[str, float]:
    """What a contender says, from a process of its own."""
    sizes = map(str, (options.pairs, options.dim, options.chunk, options.open_clip or ""))
    words = [sys.executable, __file__, "--contend", name, how, *sizes]
    found: dict[str, float] = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout)
    print(name, how, {what: round(one, 2) for what, one in found.items()}, file=sys.stderr, flush=True)
    return found


def report(figures: dict[str, dict[str, float]], options: argparse.Namespace) -> list[str]:
    """Print the table; the lines of what is not as wanted."""
    rows, missed = [], []
    for name, one in figures.items():
        sizes = [f"{one[what] / 1e6:,.0f} MB" for what in ("kept", "live", "rss")]
        own = [f"{figures['ours'][what] / one[what]:.2f}x" for what in ("kept", "live", "rss", "cpu")]
        rows.append([name, *sizes, f"{one['cpu']:.2f} s", *(own if name != "ours" else [""] * 4)])
        for what in SCALARS if name == "hf" else (*SCALARS, *BY_FEATURE):
            wanted, found = one[what], figures["ours"][what]
            if abs(found - wanted) > 1e-4 * abs(wanted):
                missed.append(f"{what}: ours {found}, {name} {wanted}")
    if "open_clip" in figures:
        for what, most in (("kept", KEPT), ("live", PEAK)):
            share = figures["ours"][what] / figures["open_clip"][what]
            if share > most:
                missed.append(f"{what}: {share:.3f} of open_clip's, {most} wanted")
    features = 2 * 4 * options.pairs * options.dim / 1e6
    title = (
        f"sigmoid loss, forward and backward: {options.pairs} pairs, width {options.dim}, blocks of {options.chunk}, "
        f"float32, one thread; {options.rounds} rounds; bytes beside the features, which are {features:,.0f} MB"
    )
    header = ["", "kept", "live", "rss", "CPU", *(f"ours: {what}" for what in ("kept", "live", "rss", "CPU"))]
    print(measure.table(title, header, rows))
    return missed


def main() -> int:
    """Run all contenders in turn."""
    if sys.argv[1:2] == ["--contend"]:
        contend(sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--open-clip", type=Path, help=f"src/open_clip/loss.py of open_clip at {COMMIT}")
    parser.add_argument("--pairs", type=int, default=8192)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--chunk", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="a sixteenth of the bytes, one round")
    parser.add_argument("--json", type=Path, default=HERE / "out" / "loss.json")
    options = parser.parse_args()
    if options.smoke:
        options.pairs, options.dim, options.chunk, options.rounds = 2048, 192, 128, 1
    names = [name for name in CONTENDERS if name != "open_clip" or options.open_clip]
    if options.open_clip is None:
        print("open_clip is left out: --open-clip says where its loss.py is", file=sys.stderr)
    elif hashlib.sha256(options.open_clip.read_bytes()).hexdigest() != SHA256:
        parser.error(f"{options.open_clip} is not src/open_clip/loss.py of open_clip at {COMMIT}")
    figures = {name: asked(name, "watched", options) for name in names}
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for turn in range(options.rounds):
        for name in names if turn % 2 == 0 else names[::-1]:
            rounds[name].append(asked(name, "plain", options))
    for name, one in rounds.items():
        figures[name] |= {what: measure.median(each[what] for each in one) for what in one[0]}
    missed = report(figures, options)
    sizes = {what: getattr(options, what) for what in ("pairs", "dim", "chunk", "rounds")}
    measure.save(options.json, "loss", {**sizes, **figures})
    return measure.verdict(missed, [])


if __name__ == "__main__":
    sys.exit(main())
