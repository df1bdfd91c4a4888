"""The model that is trained: a SigLIP or SigLIP2 checkpoint, and what its optimizer does with each of its parameters.

checkpoint ─▶ open_model ─▶ pixels as uint8 and token ids in, embeddings of length one, scale and bias out

The towers are those that `towers` embeds with, so that a checkpoint scores as it was trained; but nothing that
follows from weights is kept from one forward to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from ..console import Console
from ..errors import EnvironmentProblem, InputError, first_line
from ..towers.checkpoint import CHINESE_CLIP
from ..towers.siglip2 import LearningTowers, Whole, explained, read
from ..towers.text import Captions
from .config import TrainConfig
from .recipe import TrainingRecipe

if TYPE_CHECKING:
    from ..towers.checkpoint import Checkpoint
    from ..towers.pixels import Preparation


def full(tensor: Tensor) -> Tensor:
    """A tensor without its graph, and put together where ranks share it out, which is a collective then."""
    found: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return found.detach()


class Trainable(nn.Module):
    """Both towers, with the scale and the bias of their logits. model: of transformers, in float32."""

    def __init__(self, whole: Whole, device: torch.device, *, naflex: bool) -> None:
        super().__init__()
        self.model = whole.model.to(device).train()
        # What is random would differ between the two forwards that cached features take.
        for module in self.model.modules():
            if isinstance(getattr(module, "dropout", None), float):
                module.dropout = 0.0
        gain, shift = (one.to(device) for one in whole.levels)
        self._towers = LearningTowers(self.model, (gain, shift), naflex=naflex)

    def forward(self, pixels: Tensor, grid: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(image, text, scale, bias): logits are scale * image @ text.T + bias.

        pixels: uint8 (n, *shape), with grid: (n, 2) height and width in patches, as Preparation.fill leaves them; ids:
        (n, length). image, text: float32 (n, dim) of length one, NaN where an embedding has no direction; scale, bias:
        float32 of one element.
        """
        image, text = self._towers.image(pixels, grid), self._towers.text(ids)
        # A copy: the parameter itself would ask for its gradient where nobody does.
        return image, text, self.model.logit_scale.float().exp(), self.model.logit_bias.float().clone()

    def levels(self) -> tuple[float, float]:
        """The scale and the bias as they are; a collective where ranks share them out."""
        return float(full(self.model.logit_scale).exp()), float(full(self.model.logit_bias))

    def compile_towers(self, asked: str, console: Console) -> None:
        """Run both towers by torch.compile; where there is no compiler without it, unless `asked` is on.

        Raises EnvironmentProblem where it is on.
        """
        try:
            probe = torch.compile(torch.sin, dynamic=False)
            probe(self.model.logit_bias.detach())
        except Exception as error:  # the compiler, its compiler and their tools raise classes of their own
            if asked == "on":
                raise EnvironmentProblem(f"--compile on: {first_line(error)}; leave it at auto") from error
            console.warn(f"running without torch.compile: {first_line(error)}")
        else:
            self._towers.compile()


@dataclass(frozen=True, slots=True)
class Opened:
    """A checkpoint as training takes it: the model, and how its pictures and captions are prepared."""

    model: Trainable
    preparation: Preparation
    captions: Captions
    checkpoint: Checkpoint


def open_model(checkpoint: Checkpoint, config: TrainConfig, device: torch.device, console: Console) -> Opened:
    """The model of a checkpoint on its device, with what the options freeze, recompute and compile.

    Raises InputError where the checkpoint is no SigLIP, or not whole; EnvironmentProblem for what the machine lacks.
    """
    if checkpoint.kind == CHINESE_CLIP:
        raise InputError(
            f"{checkpoint.model}: a Chinese-CLIP, which was trained by another loss and is not trained here; give a "
            "SigLIP or SigLIP2"
        )
    whole = read(checkpoint, config.decode)
    captions = Captions.load(checkpoint, whole.length)
    with explained(checkpoint.model):
        model = Trainable(whole, device, naflex=checkpoint.naflex)
    if config.freeze != "none":
        towers = {"image": model.model.vision_model, "text": model.model.text_model}
        towers[config.freeze].requires_grad_(False)
    if config.gradient_checkpointing:
        model.model.activation_checkpointing_enable({"use_reentrant": False})
    if config.compile == "on" or (config.compile == "auto" and device.type == "cuda"):
        model.compile_towers(config.compile, console)
    return Opened(model, whole.preparation, captions, checkpoint)


def optimizer_of(model: nn.Module, recipe: TrainingRecipe) -> torch.optim.AdamW:
    """AdamW over what is not frozen; weights of one dimension, as of biases, norms, scale and bias, do not decay."""
    learning = [one for one in model.parameters() if one.requires_grad]
    decays, stays = [one for one in learning if one.ndim > 1], [one for one in learning if one.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decays, "weight_decay": recipe.weight_decay},
        {"params": stays, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=recipe.learning_rate,
        betas=(recipe.beta1, recipe.beta2),
        fused=all(one.device.type == "cuda" for one in learning) or None,
    )
