"""Gradients by micro-batches against those of the whole batch, alone and on two ranks; and where memory runs out."""

from __future__ import annotations

import io
import re
import resource
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.functional import normalize
from torch.nn.parallel import DistributedDataParallel

from builder.console import Console
from builder.errors import EnvironmentProblem
from builder.train.step import gradients, trial, within_memory
from tests.forked import Forked

from .ranks import on_ranks

TINY = Path(__file__).resolve().parents[2] / "builder" / "towers" / "tiny"
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


def shared_out() -> dict[str, Any]:
    """What two ranks tell: gradients by micro-batch, how often they summed up; under FSDP2; what a trial found."""
    rank, world = distributed.get_rank(), distributed.get_world_size()
    own = Batch.of(slice(rank * PAIRS // world, (rank + 1) * PAIRS // world))
    told: dict[str, Any] = {"ddp": [], "fsdp": []}
    for micro in MICROS:
        sums: list[int] = []

        def hook(_, bucket, sums=sums):  # type: ignore[no-untyped-def]  # torch compares annotations
            sums.append(len(bucket.gradients()))
            done = distributed.all_reduce(bucket.buffer().div_(world), async_op=True).get_future()
            return done.then(lambda summed: summed.value()[0])

        model = DistributedDataParallel(Small())
        model.register_comm_hook(None, hook)
        loss = gradients(model, own, micro, CHUNK)
        told["ddp"].append({"loss": loss, "grads": grads(model.module), "sums": sum(sums)})
        sharded = fully_shard(Small())
        loss = gradients(sharded, own, micro, CHUNK)
        whole = {name: one.full_tensor() for name, one in grads(sharded).items()}
        told["fsdp"].append({"loss": loss, "grads": whole})
    said = Said()
    # The second rank has room for three pairs alone.
    small = DistributedDataParallel(Small(most=100 if rank == 0 else 3))
    told["fits"] = trial(small, own, PAIRS, CHUNK, said.console), said.text
    told["untried"] = trial(sharded, own, PAIRS, CHUNK, said.console)
    with pytest.raises(torch.OutOfMemoryError):
        within_memory(DistributedDataParallel(Small(most=0)), own, 3, CHUNK, said.console)
    with pytest.raises(EnvironmentProblem, match="one pair"):
        trial(Small(most=100 * rank), own, 3, CHUNK, said.console)
    return told


class Wide(Small):
    """Small, with 16 MiB a pair that its gradient is made from."""

    def forward(self, pixels: Tensor, grid: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        image, text, scale, bias = super().forward(pixels, grid, ids)
        wide = torch.tanh(image.repeat(1, 1 << 19))  # 16 MiB a pair, and as much for the gradient
        return image + 0 * wide.mean(1, keepdim=True), text, scale, bias


def confined() -> dict[str, Any]:
    """What one process tells when it may have 192 MiB more than it has."""
    (pages,) = re.findall(r"VmSize:\s+(\d+) kB", Path("/proc/self/status").read_text())
    resource.setrlimit(resource.RLIMIT_AS, (int(pages) * 1024 + (192 << 20), resource.RLIM_INFINITY))
    said, model = Said(), Wide()
    fits = trial(model, Batch.of(), PAIRS, CHUNK, said.console)
    loss, micro = within_memory(model, Batch.of(), PAIRS, CHUNK, said.console)
    return {"fits": fits, "micro": micro, "loss": loss, "grads": grads(model), "said": said.text}


def on_a_rank() -> dict[str, Any]:
    return confined() if distributed.get_world_size() == 1 else shared_out()


@pytest.fixture(scope="module")
def ranks(forked: Forked, tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, Any]]]:
    return on_ranks(forked, on_a_rank, tmp_path_factory.mktemp("ranks"), (1, 2))


@pytest.mark.parametrize("wrapped", ["ddp", "fsdp"])
@pytest.mark.parametrize("number", range(len(MICROS)))
def test_on_two_ranks_too(ranks: dict[int, list[dict[str, Any]]], number: int, wrapped: str) -> None:
    loss, wanted = whole()
    for rank in ranks[2]:
        found = rank[wrapped][number]
        assert found["loss"].item() == pytest.approx(loss.item(), rel=1e-6)
        equal(found["grads"], wanted)


def test_ranks_sum_up_once_a_step(ranks: dict[int, list[dict[str, Any]]]) -> None:
    assert [[one["sums"] for one in rank["ddp"]] for rank in ranks[2]] == [
        [4] * len(MICROS)
    ] * 2  # four weights


def test_ranks_agree_on_what_fits_all(ranks: dict[int, list[dict[str, Any]]]) -> None:
    for rank in ranks[2]:
        fits, said = rank["fits"]
        assert fits == 2
        assert said.count("\n") == 1
        assert "--micro-batch 2" in said
        assert rank["untried"] == PAIRS // 2


def test_memory_that_is_not_there(ranks: dict[int, list[dict[str, Any]]]) -> None:
    (found,), (loss, wanted) = ranks[1], whole()
    assert 0 < found["fits"] < PAIRS
    assert 0 < found["micro"] < PAIRS
    assert found["loss"].item() == pytest.approx(loss.item(), rel=1e-6)
    equal(found["grads"], wanted)


class Published(nn.Module):
    """The checkpoint that comes with danqing, by transformers."""

    def __init__(self) -> None:
        from transformers import SiglipModel

        super().__init__()
        self.model = SiglipModel.from_pretrained(TINY, dtype=torch.float32)

    def forward(self, pixels: Tensor, grid: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        found = self.model(pixel_values=pixels, input_ids=ids)
        return found.image_embeds, found.text_embeds, self.model.logit_scale.exp(), self.model.logit_bias


def test_a_real_checkpoint_gets_the_gradients_of_its_own_loss() -> None:
    model, made = Published(), torch.Generator().manual_seed(5)
    text, side = model.model.config.text_config, model.model.config.vision_config.image_size
    batch = Batch(
        torch.randn(5, 3, side, side, generator=made),
        torch.ones(5, 2),
        torch.randint(0, text.vocab_size, (5, text.max_position_embeddings), generator=made),
        torch.ones(5, dtype=torch.bool),
    )
    theirs = model.model(pixel_values=batch.pixels, input_ids=batch.ids, return_loss=True).loss
    theirs.backward()
    wanted = grads(model)
    largest = max(one.abs().max() for one in wanted.values())
    for micro in (5, 2):
        model.zero_grad()
        found = gradients(model, batch, micro, 2)
        assert found.item() == pytest.approx(theirs.item(), rel=1e-5)
        assert grads(model).keys() == wanted.keys()
        for name, one in grads(model).items():
            assert (one - wanted[name]).abs().max() <= 1e-5 * largest, name


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
