"""Validation, against what can be worked out by hand and the plain formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from builder.train.validate import validate


@dataclass
class Pairs:
    """Vectors in place of pictures and captions."""

    pixels: Any
    ids: Any
    valid: Any
    grid: Any = None

    def __post_init__(self) -> None:
        self.grid = self.ids


class Plain(torch.nn.Module):
    """Takes vectors for what they are."""

    def forward(self, pixels: Any, grid: Any, ids: Any) -> Any:
        assert not self.training
        return pixels, ids, torch.tensor(10.0), torch.tensor(-5.0)


def pairs(image: Any, text: Any, valid: Any = None) -> Pairs:
    valid = torch.ones(len(image), dtype=torch.bool) if valid is None else torch.tensor(valid)
    return Pairs(torch.tensor(image), torch.tensor(text), valid)


FOUR = [[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]]


def test_by_hand() -> None:
    # the captions of pairs 2 and 3 are exchanged; picture 0 and 1 find their own, and so do their captions
    found = validate(Plain(), pairs(FOUR, [FOUR[0], FOUR[1], FOUR[3], FOUR[2]]), 4, 4)
    assert found["pairs"] == 4
    assert (found["image_to_text"], found["text_to_image"]) == (0.5, 0.5)
    right, wrong = np.log1p(np.exp(-5.0)), np.log1p(np.exp(5.0))  # of a logit of 5 and of -5
    # of each row of four: own and others; rows 2 and 3 have the logit 5 at another's caption
    by_row = 2 * (right + 3 * right) + 2 * (wrong + wrong + 2 * right)
    assert found["loss"] == pytest.approx(by_row / 4, rel=1e-6)


def test_a_tie_is_not_found_first() -> None:
    found = validate(Plain(), pairs(FOUR[:2], [FOUR[0], FOUR[0]]), 2, 2)
    assert (found["image_to_text"], found["text_to_image"]) == (0.0, 0.5)


@pytest.mark.parametrize(("micro", "chunk"), [(1, 3), (5, 16), (16, 1)])
def test_micro_batches_and_chunks_make_no_odds(micro: int, chunk: int) -> None:
    random = np.random.default_rng(0)
    image, text = (
        (one / np.linalg.norm(one, axis=1, keepdims=True)).astype(np.float32)
        for one in random.normal(size=(2, 16, 8))
    )
    valid = random.random(16) < 0.8
    whole = validate(Plain(), pairs(image, text, valid), 16, 16)
    found = validate(Plain(), pairs(image, text, valid), micro, chunk)
    assert found == pytest.approx(whole, rel=1e-5)
    cosines = image[valid] @ text[valid].T
    assert whole["pairs"] == valid.sum()
    assert whole["image_to_text"] == pytest.approx((cosines.argmax(1) == np.arange(len(cosines))).mean())
    assert whole["text_to_image"] == pytest.approx((cosines.argmax(0) == np.arange(len(cosines))).mean())


def test_no_pair_gives_no_number() -> None:
    found = validate(Plain(), pairs(FOUR, FOUR, [False] * 4), 4, 4)
    assert found["pairs"] == 0
    assert np.isnan([found[name] for name in ("loss", "image_to_text", "text_to_image")]).all()


def test_the_model_is_left_in_training() -> None:
    model = Plain().train()
    validate(model, pairs(FOUR, FOUR), 4, 4)
    assert model.training
