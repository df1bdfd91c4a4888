"""Gradients by micro-batches against those of the whole batch, alone and on two ranks; and where memory runs out."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import normalize
from torch.nn.parallel import DistributedDataParallel

from builder.console import Console
from builder.errors import EnvironmentProblem
from builder.train.step import gradients, trial, within_memory

from .ranks import on_ranks

PAIRS = 16
CHUNK = 5


@dataclass
class Batch:
    """Pairs of noise: pictures of 12 numbers, captions of three tokens of ten."""

    pixels: Tensor
    grid: Tensor
    ids: Tensor
    valid: Tensor

    @classmethod
    def of(cls, rows: slice = slice(0, PAIRS), lost: int = 2) -> Batch:
        made = torch.Generator().manual_seed(3)
        pixels = torch.randint(0, 256, (PAIRS, 12), generator=made, dtype=torch.uint8)
        ids = torch.randint(0, 10, (PAIRS, 3), generator=made, dtype=torch.int32)
        return cls(pixels[rows], torch.ones(PAIRS, 2)[rows], ids[rows], (torch.arange(PAIRS) >= lost)[rows])


class Small(nn.Module):
    """Two towers that are no more than they must be. most: pairs that fit into memory."""

    def __init__(self, most: int = 1 << 20) -> None:
        super().__init__()
        made = torch.Generator().manual_seed(4)
        self.image = nn.Parameter(torch.randn(12, 8, generator=made))
        self.text = nn.Parameter(torch.randn(10, 8, generator=made))
        self.scale, self.bias = nn.Parameter(torch.tensor([4.0])), nn.Parameter(torch.tensor([-2.0]))
        self.most = most
        self.seen: list[int] = []

    def forward(self, pixels: Tensor, grid: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        assert len(pixels) == len(grid) == len(ids)
        self.seen.append(len(pixels))
        if len(pixels) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        image = torch.tanh((pixels.float() / 128 - 1) @ self.image)
        text = torch.tanh(self.text[ids.long()].sum(1))
        return normalize(image, dim=1), normalize(text, dim=1), self.scale, self.bias


@dataclass
class Said:
    """A console whose words can be read."""

    stream: io.StringIO = field(default_factory=io.StringIO)

    @property
    def console(self) -> Console:
        return Console(stream=self.stream)

    @property
    def text(self) -> str:
        return self.stream.getvalue()


def grads(model: nn.Module) -> dict[str, Tensor]:
    return {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}


def equal(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, one in wanted.items():
        assert (found[name] - one).abs().max() <= 1e-5 * one.abs().max(), name


def whole() -> tuple[Tensor, dict[str, Tensor]]:
    model = Small()
    return gradients(model, Batch.of(), PAIRS, CHUNK), grads(model)


@pytest.mark.parametrize("micro", [PAIRS, PAIRS // 2, PAIRS // 8, 7, 1])
def test_the_gradient_is_that_of_the_whole_batch_by_whatever_micro_batch(micro: int) -> None:
    model, (loss, wanted) = Small(), whole()
    found = gradients(model, Batch.of(), micro, CHUNK)
    assert not found.requires_grad
    assert found.item() == pytest.approx(loss.item(), rel=1e-6)
    equal(grads(model), wanted)


def test_no_more_than_a_micro_batch_goes_through_the_model() -> None:
    model = Small()
    gradients(model, Batch.of(), 7, CHUNK)
    assert model.seen == [7, 7, 2, 7, 7, 2]
    model.seen.clear()
    gradients(model, Batch.of(), PAIRS, CHUNK)
    assert model.seen == [PAIRS]


@pytest.mark.parametrize("frozen", ["image", "text"])
def test_a_frozen_tower_has_no_gradient(frozen: str) -> None:
    model, (_, wanted) = Small(), whole()
    getattr(model, frozen).requires_grad_(False)
    gradients(model, Batch.of(), 7, CHUNK)
    equal(grads(model), {name: one for name, one in wanted.items() if name != frozen})


def test_under_autocast_the_gradient_reaches_every_weight() -> None:
    found = []
    for micro in (PAIRS, 7):
        model = Small()
        with torch.autocast("cpu", torch.bfloat16):
            gradients(model, Batch.of(), micro, CHUNK)
        found.append(grads(model))
    assert found[1].keys() == {"image", "text", "scale", "bias"}
    for name, one in found[0].items():
        assert (found[1][name] - one).abs().max() <= 2**-6 * one.abs().max()


MICROS = (PAIRS, PAIRS // 4, 3)


def counted() -> list[dict[str, Any]]:
    """For each micro-batch: loss, gradients, and how often ranks summed gradients up; then a trial."""
    rank, world = distributed.get_rank(), distributed.get_world_size()
    own = Batch.of(slice(rank * PAIRS // world, (rank + 1) * PAIRS // world))
    told: list[dict[str, Any]] = []
    for micro in MICROS:
        sums: list[int] = []

        def hook(_, bucket, sums=sums):  # type: ignore[no-untyped-def]  # torch compares annotations
            sums.append(len(bucket.gradients()))
            done = distributed.all_reduce(bucket.buffer().div_(world), async_op=True).get_future()
            return done.then(lambda one: one.value()[0])

        model = DistributedDataParallel(Small())
        model.register_comm_hook(None, hook)
        loss = gradients(model, own, micro, CHUNK)
        told.append({"loss": loss, "grads": grads(model.module), "sums": sum(sums)})
    # The second rank has room for three pairs alone.
    bare = Small(most=100 if rank == 0 else 3)
    said = Said()
    fits = trial(DistributedDataParallel(bare), own, PAIRS, CHUNK, said.console)
    told.append({"fits": fits, "said": said.text})
    with pytest.raises(torch.OutOfMemoryError):
        within_memory(DistributedDataParallel(Small(most=0)), own, 3, CHUNK, said.console)
    with pytest.raises(EnvironmentProblem, match="one pair"):
        trial(Small(most=100 * rank), own, 3, CHUNK, said.console)
    return told


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[list[dict[str, Any]]]]:
    return on_ranks(counted, tmp_path_factory.mktemp("ranks"), (2,))


@pytest.mark.parametrize("number", range(len(MICROS)))
def test_on_two_ranks_too_and_summed_up_once(
    ranks: dict[int, list[list[dict[str, Any]]]], number: int
) -> None:
    loss, wanted = whole()
    for rank in ranks[2]:
        found = rank[number]
        assert found["loss"].item() == pytest.approx(loss.item(), rel=1e-6)
        equal(found["grads"], wanted)
        assert found["sums"] == len(wanted)  # every weight's gradient, once


def test_ranks_agree_on_what_fits_all(ranks: dict[int, list[list[dict[str, Any]]]]) -> None:
    for rank in ranks[2]:
        assert rank[-1]["fits"] == 2
        assert "--micro-batch 2" in rank[-1]["said"]


def test_a_trial_halves_until_it_fits_and_leaves_nothing_behind() -> None:
    model, said = Small(most=5), Said()
    before = {name: one.clone() for name, one in model.state_dict().items()}
    assert trial(model, Batch.of(), PAIRS, CHUNK, said.console) == 4
    assert model.seen == [16, 8, 4]
    assert said.text.splitlines()[-1].endswith("to the same gradient; --micro-batch 4 starts so")
    assert grads(model) == {}
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


def test_a_trial_takes_no_more_pairs_than_there_are() -> None:
    model, said = Small(), Said()
    assert trial(model, Batch.of(), 4096, CHUNK, said.console) == PAIRS
    assert (model.seen, said.text) == ([PAIRS], "")


def test_a_step_that_lacks_memory_is_done_again_by_halves() -> None:
    model, said, (loss, wanted) = Small(most=5), Said(), whole()
    found, micro = within_memory(model, Batch.of(), PAIRS, CHUNK, said.console)
    assert micro == 4
    assert found.item() == pytest.approx(loss.item(), rel=1e-6)
    equal(grads(model), wanted)
    assert [line.split("--")[1] for line in said.text.splitlines()] == [
        "micro-batch 8 starts so",
        "micro-batch 4 starts so",
    ]


class Late(Small):
    """Memory runs out in the second micro-batch, when the first has left its gradient."""

    def forward(self, pixels: Tensor, grid: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if len(pixels) == 8 and self.seen == [8, 8, 8]:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().forward(pixels, grid, ids)


def test_what_a_failed_try_left_is_not_counted() -> None:
    model, (_, wanted) = Late(), whole()
    _, micro = within_memory(model, Batch.of(), 8, CHUNK, Said().console)
    assert micro == 4
    equal(grads(model), wanted)


@pytest.mark.parametrize("call", [trial, within_memory])
def test_one_pair_that_does_not_fit_is_one_line(call: Any) -> None:
    with pytest.raises(EnvironmentProblem, match=r"out of memory with one pair; .*--gradient-checkpointing"):
        call(Small(most=0), Batch.of(), 4, CHUNK, Said().console)


@pytest.mark.parametrize("call", [trial, within_memory])
def test_another_failure_is_no_want_of_memory(call: Any) -> None:
    batch = Batch.of()
    batch.pixels = batch.pixels[:, :5]
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        call(Small(), batch, 4, CHUNK, Said().console)
