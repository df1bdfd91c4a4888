"""The towers run where there is torch, transformers, tokenizers, safetensors, numpy and Pillow, on pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from builder.siglip2 import Siglip, Work

from ..checkpoints import make_fixed, make_naflex
from . import bare

EMBED = """
import numpy as np
from pathlib import Path
from builder.console import Console
from builder.siglip2 import Checkpoint, Options, Siglip, Work

_, folder, file, naflex = sys.argv
checkpoint = Checkpoint(Path(folder), folder, "tiny", None, "", naflex == "True")
siglip = Siglip.load(checkpoint, Options(device="cpu"), Console())
[answer] = siglip.embed([Work(None, list(np.load(file)), (["一", "二", "一"],))])
np.save(file, np.hstack([answer.image.numpy(), answer.captions[0].numpy()]))
"""


@pytest.mark.parametrize("make", [make_fixed, make_naflex])
def test_pixels_are_embedded_without_arrow_opencv_and_datasets(
    make: Callable[..., Path], tmp_path: Path, load: Callable[..., Siglip]
) -> None:
    folder, file = make(tmp_path / "checkpoint"), tmp_path / "rows.npy"
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    np.save(file, pictures)
    done = bare.run(EMBED, str(folder), str(file), str(make is make_naflex))
    assert done.returncode == 0, done.stderr
    [here] = load(folder).embed([Work(None, list(pictures), (["一", "二", "一"],))])
    assert np.array_equal(np.load(file), np.hstack([here.image.numpy(), here.captions[0].numpy()]))
