"""The loss against the same written out in double precision, on one rank and on several, and what it keeps."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, distributed, nn
from torch.nn.functional import normalize
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from builder.train.loss import sigmoid_loss
from tests.forked import Forked

from .ranks import on_ranks

PAIRS, WIDTH, DIM = 24, 6, 8
CHUNKS = (1, 5, 6, 512)
# Which pairs take part: all; odd ones out, not as many on each rank; none of the first six.
VALID = {
    "all": torch.ones(PAIRS, dtype=torch.bool),
    "some": torch.tensor([number % 7 != 3 and number != 23 for number in range(PAIRS)]),
    "none on a rank": torch.arange(PAIRS) >= PAIRS // 4,
}


def features(pairs: int = PAIRS, dim: int = DIM, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Unit vectors of pictures and of captions."""
    made = torch.Generator().manual_seed(seed)
    image, text = (normalize(torch.randn(pairs, dim, generator=made), dim=1) for _ in range(2))
    return image, normalize(image + text, dim=1)


def written_out(image: Tensor, text: Tensor, valid: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """The loss by its formula, with all logits at once, in double precision."""
    image, text = image.double()[valid], text.double()[valid]
    logits = scale.double() * image @ text.T + bias.double()
    sign = 2 * torch.eye(len(image), dtype=torch.float64) - 1
    return -nn.functional.logsigmoid(sign * logits).sum() / max(1, len(image))


def leaves(*tensors: Tensor) -> list[Tensor]:
    return [one.clone().requires_grad_() for one in tensors]


def close(found: Tensor | None, wanted: Tensor | None, within: float = 1e-5) -> None:
    """Equal, relative to the largest; of a sum whose parts cancel out, to these."""
    assert found is not None
    assert wanted is not None
    assert found.shape == wanted.shape
    assert (found.double() - wanted.double()).abs().max() <= within * max(wanted.abs().max().item(), 0.1)


def test_two_pairs_by_hand() -> None:
    image, text = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    found = sigmoid_loss(
        image, text, torch.ones(2, dtype=torch.bool), torch.tensor(2.0), torch.tensor(-1.0), 1
    )
    # Logits 1 and 0.2 of the first picture, -1 and 0.6 of the second; the diagonal is right.
    wrong = [-1.0, 0.2, -1.0, -0.6]
    assert found.item() == pytest.approx(sum(math.log1p(math.exp(one)) for one in wrong) / 2, rel=1e-6)


def test_an_equal_caption_of_another_pair_is_a_negative() -> None:
    image, _ = features(2)
    text = image[:1].repeat(2, 1)
    (found,) = leaves(text)
    sigmoid_loss(
        image[:1].repeat(2, 1),
        found,
        torch.ones(2, dtype=torch.bool),
        torch.tensor(1.0),
        torch.tensor(0.0),
        8,
    ).backward()
    assert found.grad is not None
    # Drawn by its own picture with sigmoid(-1), pushed off by the equal one with sigmoid(1): off, in sum.
    close(found.grad, (torch.sigmoid(torch.tensor(1.0)) - torch.sigmoid(torch.tensor(-1.0))) / 2 * text)


@pytest.mark.parametrize("which", VALID)
@pytest.mark.parametrize("chunk", CHUNKS)
def test_value_and_gradients_are_those_of_the_formula(chunk: int, which: str) -> None:
    given = (*features(), torch.tensor([7.5]), torch.tensor([-3.0]))
    ours, theirs = leaves(*given), leaves(*given)
    found = sigmoid_loss(ours[0], ours[1], VALID[which], ours[2], ours[3], chunk)
    wanted = written_out(theirs[0], theirs[1], VALID[which], theirs[2], theirs[3]).sum()
    (3 * found).backward()
    (3 * wanted).backward()
    assert found.dtype == torch.float32
    assert found.shape == ()
    close(found, wanted)
    for one, other in zip(ours, theirs, strict=True):
        close(one.grad, other.grad)


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(1, 13), st.integers(0, 99))
def test_a_pair_that_takes_no_part_has_no_gradient_and_is_no_negative(
    valid: list[bool], chunk: int, seed: int
) -> None:
    took = torch.tensor(valid)
    image, text = features(len(valid), seed=seed)
    lost = torch.full_like(image, math.nan)
    ours = leaves(
        torch.where(took[:, None], image, lost),
        torch.where(took[:, None], text, lost),
        torch.tensor(5.0),
        torch.tensor(-2.0),
    )
    theirs = leaves(image, text, torch.tensor(5.0), torch.tensor(-2.0))
    found = sigmoid_loss(ours[0], ours[1], took, ours[2], ours[3], chunk)
    wanted = written_out(theirs[0], theirs[1], took, theirs[2], theirs[3])
    found.backward()
    wanted.backward()
    close(found, wanted)
    for one, other in zip(ours, theirs, strict=True):
        close(one.grad, other.grad)


def test_a_batch_without_a_pair_that_takes_part_costs_nothing() -> None:
    ours = leaves(*features(), torch.tensor(5.0), torch.tensor(-2.0))
    found = sigmoid_loss(ours[0], ours[1], torch.zeros(PAIRS, dtype=torch.bool), ours[2], ours[3], 5)
    found.backward()
    assert found.item() == 0
    assert all(one.grad is not None and not one.grad.any() for one in ours)


@pytest.mark.parametrize(("scale", "bias"), [(1e30, 0.0), (1e4, -1e4), (0.0, 88.0), (0.0, -200.0)])
def test_extreme_logits(scale: float, bias: float) -> None:
    given = (*features(), torch.tensor(scale), torch.tensor(bias))
    ours, theirs = leaves(*given), leaves(*given)
    found = sigmoid_loss(ours[0], ours[1], VALID["all"], ours[2], ours[3], 5)
    wanted = written_out(theirs[0], theirs[1], VALID["all"], theirs[2], theirs[3])
    found.backward()
    wanted.backward()
    close(found, wanted)
    for one, other in zip(ours, theirs, strict=True):
        close(one.grad, other.grad, 1e-4)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", range(4))
def test_what_is_not_finite_is_seen(place: int, value: float) -> None:
    # Pictures that agree with their own captions alone: infinite logits of the right sign would cost nothing.
    image = torch.eye(4) * 2 - 1
    given = [image, image.clone(), torch.tensor(1.0), torch.tensor(0.0)]
    given[place].view(-1)[0] = value
    ours = leaves(*given)
    found = sigmoid_loss(ours[0], ours[1], torch.ones(4, dtype=torch.bool), ours[2], ours[3], 3)
    found.backward()
    assert not found.isfinite()


def test_float32_inside_whatever_the_inputs_and_autocast() -> None:
    image, text = (one.bfloat16() for one in features())
    given = (image, text, torch.tensor(50.0), torch.tensor(-10.0))
    ours, theirs = leaves(*given), leaves(*given)
    with torch.autocast("cpu", torch.bfloat16):
        found = sigmoid_loss(ours[0], ours[1], VALID["some"], ours[2], ours[3], 5)
        found.backward()
    wanted = written_out(theirs[0], theirs[1], VALID["some"], theirs[2], theirs[3])
    wanted.backward()
    close(found, wanted)
    close(ours[2].grad, theirs[2].grad)
    for one, other in zip(ours[:2], theirs[:2], strict=True):
        assert one.grad is not None
        assert one.grad.dtype == torch.bfloat16
        close(one.grad, other.grad, 2**-8)


class Toy(nn.Module):
    """Two towers of one matrix each; a dtype for their features."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        made = torch.Generator().manual_seed(1)
        self.image, self.text = (
            nn.Parameter(torch.randn(WIDTH, DIM, generator=made, dtype=torch.float64).float())
            for _ in range(2)
        )
        self.scale, self.bias = nn.Parameter(torch.tensor([4.0])), nn.Parameter(torch.tensor([-2.0]))
        self.dtype = dtype

    def forward(self, pictures: Tensor, captions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        image, text = (
            normalize(one @ by, dim=1).to(self.dtype)
            for one, by in ((pictures, self.image), (captions, self.text))
        )
        return image, text, self.scale, self.bias


def trained(chunk: int, which: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """The loss over all ranks and the gradients of the weights on this one, under DistributedDataParallel."""
    rank, world = distributed.get_rank(), distributed.get_world_size()
    own = slice(rank * PAIRS // world, (rank + 1) * PAIRS // world)
    pictures, captions = features(PAIRS, WIDTH, seed=2)
    model = DistributedDataParallel(Toy(dtype))
    image, text, scale, bias = model(pictures[own], captions[own])
    loss = sigmoid_loss(image, text, VALID[which][own], scale, bias, chunk)
    loss.backward()
    total = loss.detach().clone()
    distributed.all_reduce(total)
    grads = {name: one.grad for name, one in model.module.named_parameters() if one.grad is not None}
    return {"loss": total / world, **grads}


CASES = [*itertools.product((5, 512), VALID, [torch.float32]), (5, "some", torch.bfloat16)]


def every_case() -> list[dict[str, Tensor]]:
    return [trained(*case) for case in CASES]


@pytest.fixture(scope="module")
def ranks(
    forked: Forked, tmp_path_factory: pytest.TempPathFactory
) -> dict[int, list[list[dict[str, Tensor]]]]:
    return on_ranks(forked, every_case, tmp_path_factory.mktemp("ranks"), (1, 2, 4))


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{a}-{b}-{c}" for a, b, c in CASES])
def test_the_gradients_of_ranks_are_those_of_one_process(
    ranks: dict[int, list[list[dict[str, Tensor]]]], number: int
) -> None:
    _, which, dtype = CASES[number]
    model = Toy(dtype)
    wanted = written_out(*_split(model(*features(PAIRS, WIDTH, seed=2)), VALID[which]))
    wanted.backward()
    exact = dtype == torch.float32
    for world, found in ranks.items():
        for rank in found:
            close(rank[number]["loss"], wanted)
            for name, one in model.named_parameters():
                # A gradient of bfloat16 features is rounded to these before it goes on to the weights.
                close(rank[number][name], one.grad, 1e-5 if exact or name in ("scale", "bias") else 2**-8)
                close(rank[number][name], found[0][number][name], 0)
                if exact or name in ("scale", "bias"):
                    close(rank[number][name], ranks[1][0][number][name])
        assert len(found) == world


def _split(found: tuple[Tensor, ...], valid: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    image, text, scale, bias = found
    return image, text, valid, scale, bias.sum()


def kept(pairs: int) -> list[Tensor]:
    """What the loss of so many pairs saves for its gradient."""
    saved: list[Tensor] = []

    def save(one: Tensor) -> Tensor:
        saved.append(one)
        return one

    given = leaves(*features(pairs), torch.tensor(5.0), torch.tensor(-2.0))
    valid = torch.ones(pairs, dtype=torch.bool)
    with torch.autograd.graph.saved_tensors_hooks(save, lambda one: one):
        sigmoid_loss(given[0], given[1], valid, given[2], given[3], 16)
    inputs = {one.data_ptr() for one in (*given, valid)}
    return [one for one in saved if one.data_ptr() not in inputs]


@pytest.mark.parametrize("pairs", [16, 32, 512])
def test_nothing_is_kept_beside_the_inputs(pairs: int) -> None:
    assert kept(pairs) == []


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        found = func(*args, **(kwargs or {}))
        sizes = [one.numel() for one in tree_leaves(found) if isinstance(one, Tensor)]
        self.elements = max(self.elements, *sizes, 0)
        return found


@pytest.mark.parametrize("which", ["all", "some"])
def test_no_table_of_all_logits_is_ever_made(which: str) -> None:
    pairs, chunk = 256, 8
    given = leaves(*features(pairs), torch.tensor(5.0), torch.tensor(-2.0))
    valid = torch.arange(pairs) % 5 != 0 if which == "some" else torch.ones(pairs, dtype=torch.bool)
    with Largest() as seen:
        sigmoid_loss(given[0], given[1], valid, given[2], given[3], chunk).backward()
    assert chunk * int(valid.sum()) <= seen.elements <= pairs * max(chunk, DIM)
