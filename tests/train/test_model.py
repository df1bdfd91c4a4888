"""The model that is trained: its features are those that score, and every weight gets the gradient that it should."""

from __future__ import annotations

import io
import json
import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from builder.console import Console
from builder.errors import EnvironmentProblem, InputError
from builder.towers import DualEncoder, Options, ToEmbed, find
from builder.train.config import TrainConfig
from builder.train.model import Opened, open_model, optimizer_of
from builder.train.step import gradients
from tests.forked import Forked

from ..checkpoints import make_chinese, make_fixed, make_naflex
from ..towers import stock
from .ranks import on_ranks

CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=["fixed", "naflex"])
def folder(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    make = {"fixed": make_fixed, "naflex": make_naflex}[request.param]
    return make(tmp_path_factory.mktemp("checkpoints") / request.param)


def opened(model: Path | str, console: Console | None = None, **options: Any) -> Opened:
    config = TrainConfig(model=str(model), **({"decode": "exact", "compile": "off"} | options))
    return open_model(find(str(model)), config, CPU, console or Console(stream=io.StringIO()))


def batch(one: Opened, bodies: list[bytes], captions: list[str]) -> tuple[torch.Tensor, ...]:
    """What Feed makes of pairs, by hand."""
    pixels = np.zeros((len(bodies), *one.preparation.shape), np.uint8)
    grid = np.ones((len(bodies), 2), np.int32)
    for body, row, cells in zip(bodies, pixels, grid, strict=True):
        assert one.preparation.fill(body, row, cells)
    return tuple(map(torch.from_numpy, (pixels, grid, one.captions.ids(captions))))


def loss(model: torch.nn.Module, pairs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    image, text, scale, bias = model(*pairs)
    signs = 2 * torch.eye(len(image)) - 1
    return -torch.nn.functional.logsigmoid(signs * (scale * image @ text.T + bias)).sum() / len(image)


def test_embeds_as_transformers_processor_and_model_do(folder: Path) -> None:
    one = opened(folder)
    with torch.no_grad():
        image, text, scale, bias = one.model(*batch(one, stock.pictures(), stock.CAPTIONS))
    theirs = stock.output(folder, stock.pictures(), [caption.lower() for caption in stock.CAPTIONS])
    torch.testing.assert_close(image, theirs.image_embeds, atol=2e-5, rtol=0)
    torch.testing.assert_close(text, theirs.text_embeds, atol=2e-5, rtol=0)
    torch.testing.assert_close(scale * image @ text.T + bias, theirs.logits_per_image, atol=2e-4, rtol=0)


def test_embeds_as_the_dual_encoder_that_scores(folder: Path) -> None:
    one = opened(folder)
    with torch.no_grad():
        image, text, scale, bias = one.model(*batch(one, stock.pictures(), stock.CAPTIONS))
    options = Options(device="cpu", dtype="float32", decode="exact", workers=1)
    scorer = DualEncoder.load(find(str(folder)), options, Console(stream=io.StringIO()))
    (found,) = scorer.embed([ToEmbed("a", stock.pictures(), (stock.CAPTIONS,))])
    torch.testing.assert_close(image, found.image, atol=2e-6, rtol=0)
    torch.testing.assert_close(text, found.captions[0], atol=2e-6, rtol=0)
    assert (float(scale), float(bias)) == pytest.approx((scorer.scale, scorer.bias))
    assert one.model.levels() == pytest.approx((scorer.scale, scorer.bias))


def test_gradients_are_those_of_transformers_and_reach_every_parameter(folder: Path) -> None:
    one = opened(folder)
    pairs = batch(one, stock.pictures(), stock.CAPTIONS)
    loss(one.model, pairs).backward()
    mine: dict[str, Any] = {name: weight.grad for name, weight in one.model.model.named_parameters()}
    from PIL import Image
    from transformers import AutoModel, AutoProcessor

    theirs, processor = AutoModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    pictures = [Image.open(io.BytesIO(body)) for body in stock.pictures()]
    inputs = processor.image_processor(pictures, return_tensors="pt")
    theirs(input_ids=pairs[2], **inputs, return_loss=True).loss.backward()
    for name, weight in theirs.named_parameters():
        assert mine[name].abs().max() > 0, name
        torch.testing.assert_close(mine[name], weight.grad, atol=1e-4, rtol=1e-3, msg=name)


def test_a_step_changes_the_features_of_shapes_seen_before(folder: Path) -> None:
    one = opened(folder)
    pairs = batch(one, stock.pictures(), stock.CAPTIONS)
    optimizer = optimizer_of(one.model, TrainConfig(learning_rate=1e-3).recipe)
    with torch.no_grad():  # as for cached features: nothing of it may be kept
        before = one.model(*pairs)[0]
    loss(one.model, pairs).backward()
    optimizer.step()
    with torch.no_grad():
        after = one.model(*pairs)[0]
        table = one.model.model.vision_model.embeddings.position_embedding.weight
        table.add_(torch.arange(len(table))[:, None] / len(table) * torch.randn(table.shape[1]))
        moved = one.model(*pairs)[0]
    assert (after - before).abs().max() > 1e-4
    assert (moved - after).abs().max() > 1e-4


@pytest.mark.parametrize("tower", ["image", "text"])
def test_a_frozen_tower_has_no_graph_and_no_optimizer(folder: Path, tower: str) -> None:
    one = opened(folder, freeze=tower)
    image, text, scale, bias = one.model(*batch(one, stock.pictures(), stock.CAPTIONS))
    graphs = {"image": image.requires_grad, "text": text.requires_grad}
    assert graphs == {"image": tower != "image", "text": tower != "text"}
    assert (scale.requires_grad, bias.requires_grad) == (True, True)
    optimizer = optimizer_of(one.model, TrainConfig().recipe)
    held = {weight for group in optimizer.param_groups for weight in group["params"]}
    prefix = {"image": "vision_model.", "text": "text_model."}[tower]
    for name, weight in one.model.model.named_parameters():
        assert (weight in held) == (not name.startswith(prefix)), name


def test_matrices_decay_and_vectors_and_scalars_do_not(folder: Path) -> None:
    one = opened(folder)
    optimizer = optimizer_of(one.model, TrainConfig().recipe)
    decay = {weight: group["weight_decay"] for group in optimizer.param_groups for weight in group["params"]}
    assert {group["lr"] for group in optimizer.param_groups} == {1e-5}
    assert {group["betas"] for group in optimizer.param_groups} == {(0.9, 0.98)}
    named = dict(one.model.model.named_parameters())
    assert set(decay) == set(named.values())
    assert all(decay[weight] == (0.1 if weight.ndim > 1 else 0) for weight in named.values())
    assert decay[named["logit_scale"]] == decay[named["logit_bias"]] == 0


def test_gradient_checkpointing_gives_the_same_gradients(folder: Path) -> None:
    found = []
    for on in (False, True):
        one = opened(folder, gradient_checkpointing=on)
        loss(one.model, batch(one, stock.pictures(), stock.CAPTIONS)).backward()
        found.append({name: weight.grad for name, weight in one.model.named_parameters()})
    for name, grad in found[0].items():
        torch.testing.assert_close(found[1][name], grad, atol=1e-6, rtol=1e-5)


def test_an_embedding_without_a_direction_shows_in_the_loss(folder: Path) -> None:
    one = opened(folder)
    with torch.no_grad():
        one.model.model.text_model.head.weight.zero_()
        one.model.model.text_model.head.bias.zero_()
    found = loss(one.model, batch(one, stock.pictures(), stock.CAPTIONS))
    assert torch.isnan(found)


def test_autocast_keeps_embeddings_scale_and_loss_in_float32(folder: Path) -> None:
    one = opened(folder)
    pairs = batch(one, stock.pictures(), stock.CAPTIONS)
    whole = one.model(*pairs)
    with torch.autocast("cpu", torch.bfloat16):
        half = one.model(*pairs)
    assert {part.dtype for part in half} == {torch.float32}
    assert {weight.dtype for weight in one.model.parameters()} == {torch.float32}
    torch.testing.assert_close(half[0], whole[0], atol=0.03, rtol=0)
    assert not torch.equal(half[0], whole[0])
    torch.testing.assert_close(half[2], whole[2])


def test_dropout_of_a_checkpoint_is_off(tmp_path: Path) -> None:
    path = make_fixed(tmp_path / "dropping") / "config.json"
    config = json.loads(path.read_text())
    for tower in ("text_config", "vision_config"):
        config[tower]["attention_dropout"] = 0.5
    path.write_text(json.dumps(config))
    one = opened(tmp_path / "dropping")
    pairs = batch(one, stock.pictures(), stock.CAPTIONS)
    first, second = one.model(*pairs), one.model(*pairs)
    assert all(map(torch.equal, first, second))


def test_chinese_clip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Chinese-CLIP.*give a SigLIP or SigLIP2"):
        opened(make_chinese(tmp_path / "chinese"))


def test_a_tokenizer_that_pads_on_the_left_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pads on the left"):
        opened(make_fixed(tmp_path / "left", pads="left"))


def _learned() -> Any:
    """The gradients of DDP over this rank's share of pairs: directly, and by features that are cached."""
    rank, world = dist.get_rank(), dist.get_world_size()
    one = opened(os.environ["LEARN_FROM"])
    pairs = batch(one, stock.pictures()[:4], stock.CAPTIONS[:4])
    pixels, grid, ids = (part.tensor_split(world)[rank] for part in pairs)
    share = SimpleNamespace(pixels=pixels, grid=grid, ids=ids, valid=torch.ones(len(ids), dtype=torch.bool))
    model = DistributedDataParallel(one.model)
    found: list[Any] = []
    for micro in (len(ids), 1):
        gradients(model, share, micro, 3)
        found.append({name: weight.grad for name, weight in one.model.named_parameters()})
        model.zero_grad()
    return found


def test_ranks_learn_what_one_process_does(
    forked: Forked, folder: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("LEARN_FROM", str(folder))
    found = on_ranks(forked, _learned, tmp_path, [1, 2])
    alone, (first, second) = found[1][0], found[2]
    for number, wanted in enumerate(alone):
        for name, tensor in wanted.items():
            assert torch.equal(first[number][name], second[number][name]), name
            torch.testing.assert_close(first[number][name], tensor, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute")  # of torch to itself
def test_compiled_towers_have_the_same_gradients(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The C++ compiler would take a minute; what torch captures does not depend on it."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    found = []
    for compiled in ("off", "on"):
        one = opened(folder, compile=compiled)
        loss(one.model, batch(one, stock.pictures(), stock.CAPTIONS)).backward()
        found.append({name: weight.grad for name, weight in one.model.named_parameters()})
    for name, grad in found[0].items():
        torch.testing.assert_close(found[1][name], grad, atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_compiler_is_one_line_where_compiling_was_asked_for() -> None:
    from torch._inductor import config

    said = io.StringIO()
    with config.patch({"cpp.cxx": ("/nonexistent/c++",)}):
        with pytest.raises(EnvironmentProblem, match=r"--compile on: .*leave it at auto"):
            opened("tiny", compile="on")
        opened("tiny").model.compile_towers("auto", Console(stream=said))
    assert "running without torch.compile" in said.getvalue()


def test_gradient_checkpointing_holds_less(folder: Path) -> None:
    held = []
    for on in (False, True):
        one = opened(folder, gradient_checkpointing=on)
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, sizes=sizes: (sizes.append(tensor.nbytes), tensor)[1], lambda tensor: tensor
        ):
            loss(one.model, batch(one, stock.pictures(), stock.CAPTIONS))
        held.append(sum(sizes))
    assert held[1] < held[0] / 2
