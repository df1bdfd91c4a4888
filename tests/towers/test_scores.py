"""Scores equal those of transformers' processor and model, and each thing that makes them right is needed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder.errors import EnvironmentProblem
from builder.towers import DualEncoder, Embedded, ToEmbed

from ..pictures import jpeg
from .stock import CAPTIONS, output, pictures

Load = Callable[..., DualEncoder]


def embedded(siglip: DualEncoder, bodies: list[bytes | None], captions: list[str | None]) -> Embedded:
    [answer] = siglip.embed([ToEmbed(None, bodies, (captions,))])
    return answer


def cosines(answer: Embedded) -> np.ndarray[Any, Any]:
    return (answer.image * answer.captions[0]).sum(-1).cpu().numpy()


def stock_cosines(found: Any) -> np.ndarray[Any, Any]:
    return (found.image_embeds * found.text_embeds).sum(-1).numpy()


@pytest.fixture(params=["fixed", "naflex"])
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def test_cosines_equal_those_of_transformers(folder: Path, load: Load) -> None:
    lower = [caption.lower() for caption in CAPTIONS]
    expected = stock_cosines(output(folder, pictures(), lower))
    found = embedded(load(folder), pictures(), CAPTIONS)
    assert np.abs(cosines(found) - expected).max() < 1e-5
    assert np.ptp(expected) > 0.01


def test_scale_and_bias_turn_cosines_into_the_logits_of_the_checkpoint(folder: Path, load: Load) -> None:
    siglip = load(folder, dtype="bfloat16")  # which must not round them
    stock = output(folder, pictures(), CAPTIONS)
    logits = stock.logits_per_image.diagonal().numpy()
    assert np.abs(stock_cosines(stock) * siglip.scale + siglip.bias - logits).max() < 1e-5
    assert np.abs(stock_cosines(stock) - logits / 100).max() > 0.01


def test_embeddings_have_length_one(folder: Path, load: Load) -> None:
    answer = embedded(load(folder), pictures(), CAPTIONS)
    for found in (answer.image, *answer.captions):
        assert found.norm(dim=-1).sub(1).abs().max() < 1e-6


def test_capital_letters_make_no_difference(fixed: Path, load: Load) -> None:
    shouted = cosines(embedded(load(fixed), [jpeg()] * 2, ["TWO RED APPLES", "two red apples"]))
    as_written = stock_cosines(output(fixed, [jpeg()] * 2, ["TWO RED APPLES", "two red apples"]))
    assert shouted[0] == shouted[1]
    assert abs(as_written[0] - as_written[1]) > 1e-3


def test_captions_are_padded_to_the_full_length(fixed: Path, load: Load) -> None:
    captions = ["a cat", "two cats"]
    found = cosines(embedded(load(fixed), [jpeg()] * 2, captions))
    short = stock_cosines(output(fixed, [jpeg()] * 2, captions, padding=True))
    assert np.abs(found - short).min() > 1e-3


def test_padding_is_attended_to(fixed: Path, load: Load) -> None:
    found = cosines(embedded(load(fixed), [jpeg()], ["a cat"]))
    masked = stock_cosines(output(fixed, [jpeg()], ["a cat"], return_attention_mask=True))
    assert abs(found[0] - masked[0]) > 1e-3


def test_a_long_caption_keeps_its_end_token(fixed: Path, load: Load) -> None:
    siglip = load(fixed)
    ids = siglip._captions.ids(["b" * 500, "b"])
    assert ids.shape == (2, 64)
    assert ids[0, -1] == 1
    assert list(ids[1, 1:]) == [1] + [0] * 62


@pytest.mark.parametrize(("dtype", "tolerance"), [("bfloat16", 0.02), ("float16", 0.004)])
def test_half_precision_stays_near(folder: Path, load: Load, dtype: str, tolerance: float) -> None:
    expected = cosines(embedded(load(folder), pictures(), CAPTIONS))
    found = cosines(embedded(load(folder, dtype=dtype), pictures(), CAPTIONS))
    assert 0 < np.abs(found - expected).max() < tolerance


def test_fast_decoding_stays_near_and_says_so(folder: Path, load: Load) -> None:
    bodies = [jpeg((640, 480), noise=40), jpeg((480, 800), noise=40)]
    fast, exact = load(folder, decode="fast"), load(folder)
    difference = embedded(fast, bodies, ["a"] * 2).image - embedded(exact, bodies, ["a"] * 2).image
    assert 0 < difference.abs().max() < 0.02
    assert "fast" in fast.preprocessing
    assert fast.preprocessing.replace("fast", "exact") == exact.preprocessing


@pytest.mark.gpu
def test_cuda_scores_equal_those_of_the_cpu(folder: Path, load: Load) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    expected = cosines(embedded(load(folder), pictures(), CAPTIONS))
    for options, tolerance in (({"dtype": "float32"}, 1e-4), ({"compile": "on"}, 0.02)):
        found = cosines(embedded(load(folder, device="cuda", **options), pictures(), CAPTIONS))
        assert np.abs(found - expected).max() < tolerance


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch to itself
def test_compiled_once_for_one_shape_of_batch(
    fixed: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The C++ compiler would take a minute; what torch captures, and how often, does not depend on it."""
    import torch

    expected = cosines(embedded(load(fixed), pictures(), CAPTIONS))
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    siglip = load(fixed, compile="on", batch_size=8)
    with torch._dynamo.config.patch(error_on_recompile=True):  # monkeypatch would leave it deleted
        found = [cosines(embedded(siglip, pictures()[:count], CAPTIONS[:count])) for count in (7, 3)]
    assert np.abs(found[0] - expected).max() < 1e-6
    assert np.abs(found[1] - expected[:3]).max() < 1e-6


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_compiler_is_one_line_where_compiling_was_asked_for(fixed: Path, load: Load) -> None:
    from torch._inductor import config

    refused = pytest.raises(EnvironmentProblem, match=r"--compile on: .*leave it at auto")
    with config.patch({"cpp.cxx": ("/nonexistent/c++",)}), refused:
        load(fixed, compile="on", batch_size=2)
