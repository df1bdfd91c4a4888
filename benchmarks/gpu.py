"""What one GPU makes of this: whether embeddings and gradients are right there, and how many pairs a second it does.

    benchmarks/gpu.sh                           # a GPU, at most eight minutes
    benchmarks/gpu.sh --part train embedder     # some parts, each with all the time
    benchmarks/gpu.sh --smoke                   # the same code on the CPU with toys of models, in a minute or two
    benchmarks/gpu.sh --make                    # draw the pictures beforehand, into out/gpu-pictures.npz, and stop

Python, torch, transformers, tokenizers, safetensors, numpy and Pillow are all it needs: towers and training are driven
on pixels, as a bare GPU machine has no decoders. Checkpoints have published shapes and random weights, made here;
beside them stands the trained one that ships. Each line is told as soon as it is known, with the seconds since the
start, and the file of --json is written after each part.

| part | what is shown |
|---|---|
| checks | gpuchecks.py: embeddings equal transformers' and the CPU's, NaN is refused, want of memory halves the batch |
| train | gputrain.py: gradients equal the CPU's; steps a second by batch, micro-batch, chunk, compile, checkpointing |
| embedder | gpurates.py: pairs a second of curate's, a Chinese-CLIP of L/14 |
| rates | gpurates.py: of revalidate's, by shape, batch and compile, against the matrix rate and the loop of the field |
| tests | the tests that are marked `gpu`, where pytest and what they need are there |

PASS or FAIL stands before what does not depend on speed; with one FAIL it exits 1, as without a GPU.
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np  # noqa: E402

PICTURES = HERE / "out" / "gpu-pictures.npz"
DRAWN, SIDE = 64, 256  # different pictures; what is measured goes over them again and again
# Seconds after which nothing of a part is begun, so that all is told before the eight minutes are over.
LAST_STARTS = {"checks": 90, "train": 220, "embedder": 280, "rates": 390, "tests": 420}
ALONE = 400


@dataclass
class Report:
    """What was found, told line by line and kept for --json. failed: what should not have been so."""

    start: float = field(default_factory=time.perf_counter)
    figures: list[dict[str, Any]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def tell(self, part: str, text: str, mark: str = "    ", **known: Any) -> None:
        """One line, or a table."""
        print(f"{self.elapsed:6.1f} s  {mark}  {part}: {text}", flush=True)
        self.figures.append({"part": part, "text": text, "mark": mark.strip(), **known})

    def check(self, part: str, passed: bool, text: str, **known: Any) -> None:
        """A line with its judgement."""
        if not passed:
            self.failed.append(part)
        self.tell(part, text, "PASS" if passed else "FAIL", **known)

    def within(self, part: str, found: float, most: float) -> None:
        """Whether a difference is small enough; NaN never is."""
        self.check(part, found <= most, f"differ by {found:.1e}, at most {most:.0e}", found=found, most=most)

    def save(self, path: Path | None) -> None:
        """Keep the figures so far."""
        if path is not None:
            path.write_text(json.dumps(self.figures, indent=1, ensure_ascii=False) + "\n", "utf-8")

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.start


@dataclass(frozen=True)
class Bench:
    """What the parts share. folder: for checkpoints; pictures: uint8 (n, 256, 256, 3); captions: one each."""

    device: Any
    folder: Path
    pictures: Any
    captions: list[str]
    report: Report

    @property
    def smoke(self) -> bool:
        """Whether this is a trial on the CPU."""
        return bool(self.device.type == "cpu")

    def checkpoint(self, shape: str) -> Any:
        """A checkpoint of a shape. It has no fingerprint, which takes a package that may not be here."""
        import shapes

        from builder.towers import Checkpoint

        folder = shapes.checkpoint(self.folder, shape, self.device.type)
        one = shapes.SHAPES.get(shape)
        kind = "siglip2" if one and one.naflex else "chinese_clip" if one and one.chinese else "siglip"
        return Checkpoint(folder, str(folder), folder.name, None, "", kind)

    def load(self, checkpoint: Any, console: Any = None, **options: Any) -> Any:
        """The checkpoint in memory, on the device and not compiled unless `options`, of Options, say otherwise."""
        from builder.console import Console
        from builder.towers import DualEncoder, Options

        chosen = {"device": self.device.type, "compile": "off"} | options
        return DualEncoder.load(checkpoint, Options(**chosen), console or Console())

    def processor(self, checkpoint: Any) -> Any:
        """transformers' own, of Pillow; by its module, as 5.17 gives the class only beside torchvision."""
        from transformers.models.auto.image_processing_auto import AutoImageProcessor

        return AutoImageProcessor.from_pretrained(str(checkpoint.folder), backend="pil")

    def fresh(self) -> None:
        """Count the device's memory at most from here on, without checkpoints that nobody uses any more."""
        import torch

        gc.collect()
        if not self.smoke:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def peak(self) -> int:
        """Bytes of the device at most since then; 0 on a CPU."""
        import torch

        return 0 if self.smoke else torch.cuda.max_memory_allocated()


def made(path: Path) -> tuple[Any, list[str]]:
    """Pictures and captions from a file, which is drawn where it is not there."""
    if not path.exists():
        from dataclasses import replace

        from builder.demo.scene import attributes, captions, draw

        drawn, said = [], []
        for index in range(DRAWN):
            rng, shown = np.random.default_rng(index), attributes(index)
            drawn.append(np.asarray(draw(replace(shown, size=(SIDE, SIDE)), rng)))
            said.append(captions(shown, rng)[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, pictures=np.stack(drawn), captions=np.array(said))
    kept = np.load(path)
    return kept["pictures"], kept["captions"].tolist()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="on the CPU, with toys of models")
    parser.add_argument("--make", action="store_true", help="draw the pictures, and stop")
    parser.add_argument(
        "--pictures", type=Path, default=PICTURES, help="an .npz; drawn where it is not there"
    )
    parser.add_argument(
        "--part", nargs="+", choices=LAST_STARTS, default=list(LAST_STARTS), help="parts to run"
    )
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()
    report = Report()
    pictures, captions = made(options.pictures)
    if options.make:
        report.tell("pictures", f"{len(pictures)} in {options.pictures}")
        return 0
    import torch
    import transformers
    from transformers.utils import logging

    if not options.smoke and not torch.cuda.is_available():
        for part in options.part:
            report.check(part, False, "left out: no CUDA here; --smoke tries the code on the CPU")
        return 1
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    if options.smoke:  # captured and run as captured: a C++ compiler would take minutes
        torch.compile = functools.partial(torch.compile, backend="eager")  # type: ignore[assignment]
    device = torch.device("cpu" if options.smoke else "cuda")
    name = "a CPU, to try the code, compiling nothing" if options.smoke else torch.cuda.get_device_name()
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    report.tell("machine", f"{name}; {versions}; {len(os.sched_getaffinity(0))} cores")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(device, Path(folder), pictures, captions, report)
        for part in options.part:
            last = LAST_STARTS[part] if len(options.part) > 2 else ALONE
            run_part(bench, part, math.inf if bench.smoke else last)
            report.save(options.json)
    failed = len(report.failed)
    report.check("done", not failed, f"{failed} of the checks failed: {', '.join(report.failed) or 'none'}")
    report.save(options.json)
    return bool(failed)


def run_part(bench: Bench, part: str, last: float) -> None:
    """One part, unless its time is over. What breaks it is told, and the next part runs."""
    import gpuchecks
    import gpurates
    import gputrain

    runs: dict[str, Callable[[Bench, float], None]] = {
        "checks": lambda bench, _: gpuchecks.run(bench), "train": gputrain.run, "embedder": gpurates.embedder,
        "rates": gpurates.run, "tests": marked,
    }  # fmt: skip
    if bench.report.elapsed > last:
        bench.report.tell(part, "left out, for want of time")
        return
    try:
        runs[part](bench, last)
    except Exception as error:
        traceback.print_exc()
        bench.report.check(part, False, f"{type(error).__name__}: {error}")
    bench.fresh()


def marked(bench: Bench, last: float) -> None:
    """The tests that want a GPU; where packages that any test needs are missing, that is told."""
    lacking = [one for one in ("pytest", "hypothesis", "pyarrow", "cv2", "datasets") if not there(one)]
    if lacking:
        bench.report.tell(
            "tests", f"left out: no {', '.join(lacking)} here; `checks` asks the same of the towers"
        )
        return
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-m",
        "gpu",
        "-rs",
        "tests/towers",
        "tests/train",
    ]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=False)
    said = "; ".join(done.stdout.strip().splitlines()[-3:])
    bench.report.check("tests", done.returncode == 0, said)


def there(package: str) -> bool:
    """Whether a package can be imported."""
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # it is told to be absent
        return False


if __name__ == "__main__":
    raise SystemExit(main())
