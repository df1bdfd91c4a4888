"""The towers run where there is torch, transformers, tokenizers, safetensors, numpy and Pillow, on pixels."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from builder.towers import DualEncoder, ToEmbed

from ..checkpoints import make_fixed, make_naflex
from . import bare

EMBED = """
import sys
import numpy as np
from pathlib import Path
from builder.console import Console
from builder.towers import Checkpoint, Options, DualEncoder, ToEmbed

for kind, folder in zip(["siglip", "siglip2", "chinese_clip"], sys.argv[2:]):
    checkpoint = Checkpoint(Path(folder), folder, "tiny", None, "", kind)
    siglip = DualEncoder.load(checkpoint, Options(device="cpu"), Console())
    [answer] = siglip.embed([ToEmbed(None, list(np.load(sys.argv[1])), (["一", "二", "一"],))])
    np.save(Path(folder) / "rows.npy", np.hstack([answer.image.numpy(), answer.captions[0].numpy()]))
"""


def test_pixels_are_embedded_without_arrow_opencv_and_datasets(
    tmp_path: Path, load: Callable[..., DualEncoder]
) -> None:
    folders = [make_fixed(tmp_path / "fixed"), make_naflex(tmp_path / "naflex")]
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    np.save(tmp_path / "rows.npy", pictures)
    done = bare.run(tmp_path, sys.executable, "-c", EMBED, str(tmp_path / "rows.npy"), *map(str, folders))
    assert done.returncode == 0, done.stderr
    for folder in folders:
        [here] = load(folder).embed([ToEmbed(None, list(pictures), (["一", "二", "一"],))])
        there = np.load(folder / "rows.npy")
        assert np.array_equal(there, np.hstack([here.image.numpy(), here.captions[0].numpy()]))


def test_what_is_absent_there_cannot_be_imported(tmp_path: Path) -> None:
    done = bare.run(tmp_path, sys.executable, "-c", "import pyarrow.parquet")
    assert "ModuleNotFoundError" in done.stderr


ASKED = (
    ("checks rates", {"tiny", "smoke", "smoke-naflex", "a weight that is NaN"}, {"want of memory", "matrix rate"}),
    ("train embedder tests", {"train", "smoke-zh"}, {"matrix rate", "tests"}),
)  # fmt: skip


@pytest.mark.timeout(600)  # seconds on an idle machine
@pytest.mark.parametrize(("parts", "judged", "told"), ASKED)
def test_what_a_gpu_is_to_be_asked_is_tried_on_the_cpu(
    tmp_path: Path, parts: str, judged: set[str], told: set[str]
) -> None:
    """All of benchmarks/gpu.sh: every part tells its line, every check passes, and the figures are kept."""
    file = tmp_path / "figures.json"
    drawn = ("--pictures", str(tmp_path / "drawn.npz"))
    command = (str(bare.ROOT / "benchmarks" / "gpu.sh"), "--smoke", "--part", *parts.split(), *drawn)
    done = bare.run(tmp_path, *command, "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    marks: dict[str, set[str]] = {}
    for figure in json.loads(file.read_text()):
        assert f"{figure['part']}: {figure['text']}" in done.stdout
        marks.setdefault(figure["part"].split(",")[0], set()).add(figure["mark"])
    assert {part for part, found in marks.items() if "PASS" in found} == judged | {"done"}
    assert set(marks) == judged | told | {"done", "machine"}
    assert not any("FAIL" in found for found in marks.values())
    assert (tmp_path / "drawn.npz").stat().st_size < 8 << 20
