"""Trains the tiny SigLIP from scenes that it draws itself, and saves it: (steps, seed) -> a SiglipModel -> a folder.

A `SiglipModel` like any other, only small: a character tokenizer, 64 text positions, bfloat16 weights. The same seed
gives the same weights on the same version of torch, on one thread.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from builder.demo import scene as scenes

from .pairs import TOLD, Pool, captioned, make_pool

if TYPE_CHECKING:
    import torch

SIDE, PATCH = 64, 8  # pixels; four shapes in a picture are 12 px across, of less their outline is lost
WIDTH, VISION_LAYERS, TEXT_LAYERS, HEADS = 64, 3, 2, 2
LENGTH = 64  # text positions, as SigLIP2 has: the text tower reads the last one, so that padding counts
SPECIAL = ("<pad>", "</s>", "<unk>")
BATCH, STEPS = 64, 4000
POOL = 16_384  # pictures drawn for training: a quarter of the 60,480 scenes that the captions can tell apart
SHARES = (0.7, 0.15, 0.15)  # of the steps: the picture tower alone, the text tower alone, both
RATE, MUON = 4e-3, 0.03  # of AdamW, and of Muon for the matrices inside the layers


@functools.cache
def alphabet() -> tuple[str, ...]:
    """Every character of the world's captions, sorted."""
    rng = np.random.default_rng(0)
    pairs = (scenes.captions(scenes.attributes(index), rng) for index in range(2000))
    return tuple(sorted(set("".join(alt_text + recaption for alt_text, recaption in pairs))))


def make_tokenizer(length: int = LENGTH) -> Any:
    """A token a character, lower-cased; the end token follows the text, also a cut one, then padding."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pad, end, unknown = SPECIAL
    ids = {token: number for number, token in enumerate((*SPECIAL, *alphabet()))}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=unknown))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", special_tokens=[(end, ids[end])]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=pad,
        eos_token=end,
        unk_token=unknown,
        padding_side="right",
        model_max_length=length,
        model_input_names=["input_ids"],  # SigLIP attends to the padding: no mask
    )


def make_model(tokens: int) -> Any:
    """A SiglipModel of random weights for a vocabulary of so many tokens."""
    import torch
    from transformers import SiglipConfig, SiglipModel

    size = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_attention_heads": HEADS}
    text = {"vocab_size": tokens, "max_position_embeddings": LENGTH, "num_hidden_layers": TEXT_LAYERS}
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1, "projection_size": WIDTH}
    vision = {"image_size": SIDE, "patch_size": PATCH, "num_hidden_layers": VISION_LAYERS}
    model = SiglipModel(SiglipConfig(text_config=size | text | ids, vision_config=size | vision))
    with torch.no_grad():
        model.logit_scale.fill_(math.log(10))
        model.logit_bias.fill_(-math.log(BATCH))  # one pair in BATCH matches
        model.vision_model.embeddings.position_embedding.weight.copy_(positions())
    return model


def positions() -> torch.Tensor:
    """Sines and cosines of column and row, (patches, WIDTH): places need not be discovered."""
    import torch

    steps = torch.arange(SIDE // PATCH) / (SIDE // PATCH)
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    waves = math.pi * torch.logspace(-1, math.log2(SIDE // PATCH) - 1, WIDTH // 4, base=2)
    angles = [axis.reshape(-1, 1) * waves for axis in (columns, rows)]
    return 0.5 * torch.cat([turn(angle) for angle in angles for turn in (torch.sin, torch.cos)], 1)


def optimizers(part: torch.nn.Module, speed: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for the rest, the two scalars of the loss ten times as fast."""
    import torch

    named = [(name, one) for name, one in part.named_parameters() if one.requires_grad]
    inner = [one for name, one in named if one.ndim == 2 and ("layers" in name or "head" in name)]
    scalars = [one for name, one in named if "logit_" in name]
    taken = {id(one) for one in inner + scalars}
    rest = [one for _, one in named if id(one) not in taken]
    groups: list[dict[str, Any]] = [{"params": rest}, {"params": scalars, "lr": 10 * speed * RATE}]
    return [
        torch.optim.AdamW(groups, lr=speed * RATE, betas=(0.9, 0.98), weight_decay=0),
        torch.optim.Muon(inner, lr=speed * MUON, momentum=0.95, weight_decay=0.01),
    ]


def rate(done: float) -> float:
    """The learning rate's share after a share of the steps: up for a twentieth, then a half cosine down."""
    return min(1.0, 20 * done) * (1 + math.cos(math.pi * min(1.0, done))) / 2


def fit(part: torch.nn.Module, steps: int, loss_of: Callable[[], torch.Tensor], speed: float = 1.0) -> None:
    """Lower a loss by the parameters of `part`, at `speed` times RATE and MUON, and tell how it went."""
    import torch

    rules = optimizers(part, speed)
    schedule_of = torch.optim.lr_scheduler.LambdaLR
    rates = [schedule_of(rule, lambda step: rate((step + 0.5) / steps)) for rule in rules]
    losses = []
    for step in range(steps):
        loss = loss_of()
        part.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(part.parameters(), 1.0)
        for rule, schedule in zip(rules, rates, strict=True):
            rule.step()
            schedule.step()
        losses.append(loss.item())
        if step % 100 == 99:
            print(f"  step {step + 1:,}: loss {np.mean(losses[-100:]):.3f}", flush=True)
    tenth = steps // 10 + 1
    first, last = np.mean(losses[:tenth]), np.mean(losses[-tenth:])
    print(f"loss {first:.3f} to {last:.3f} in {steps:,} steps", flush=True)


def see(model: Any, pixels: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Normalised embeddings of pictures (n, 3, SIDE, SIDE)."""
    import torch

    values = torch.from_numpy(pixels).float() / 127.5 - 1
    return torch.nn.functional.normalize(model.get_image_features(pixel_values=values).pooler_output, dim=1)


def learn_words(model: Any, pool: Pool, steps: int, rng: np.random.Generator) -> None:
    """The picture tower learns to tell every attribute, by a linear head that is thrown away afterwards."""
    import torch

    words = [(column, word) for column in range(len(TOLD)) for word in sorted(set(pool.words[:, column]))]
    true = torch.from_numpy(np.stack([pool.words[:, column] == word for column, word in words], 1)).float()
    head = torch.nn.Linear(WIDTH, len(words))

    def loss() -> torch.Tensor:
        chosen = rng.choice(len(pool.shown), BATCH, replace=False)
        logits = head(10 * see(model, pool.pixels[chosen]))
        wrong = torch.nn.functional.binary_cross_entropy_with_logits(logits, true[chosen], reduction="sum")
        return wrong / BATCH

    fit(torch.nn.ModuleList([model.vision_model, head]), steps, loss)


def learn_captions(model: Any, pool: Pool, steps: tuple[int, int], rng: np.random.Generator) -> None:
    """The text tower learns what the pictures' embeddings are, which stand still; then both learn together."""
    import torch

    tokenizer = make_tokenizer()
    with torch.no_grad():
        seen = torch.cat([see(model, pixels) for pixels in np.array_split(pool.pixels, 32)])

    def loss(together: bool) -> torch.Tensor:
        chosen, captions, true = captioned(pool, BATCH, rng)
        ids = tokenizer(captions, padding="max_length", return_tensors="pt").input_ids
        texts = torch.nn.functional.normalize(model.get_text_features(input_ids=ids).pooler_output, dim=1)
        pictures = see(model, pool.pixels[chosen]) if together else seen[chosen]
        logits = texts @ pictures.T * model.logit_scale.exp() + model.logit_bias
        signs = torch.from_numpy(2.0 * true - 1).float()
        return -torch.nn.functional.logsigmoid(signs * logits).sum() / BATCH

    model.vision_model.requires_grad_(False)
    fit(model, steps[0], lambda: loss(False))
    model.vision_model.requires_grad_(True)
    fit(model, steps[1], lambda: loss(True), speed=0.5)


def train(steps: int, seed: int) -> Any:
    """A model trained in so many steps."""
    import torch

    torch.manual_seed(seed)
    rng = np.random.default_rng((seed, 1))
    pool = make_pool(min(POOL, BATCH * (1 + steps // 2)), SIDE, seed)
    model = make_model(len(SPECIAL) + len(alphabet()))
    first, second, third = (max(1, round(share * steps)) for share in SHARES)
    learn_words(model, pool, first, rng)
    learn_captions(model, pool, (second, third), rng)
    return model.eval()


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write the checkpoint as transformers does: weights as bfloat16, tokenizer, processor."""
    import torch
    from transformers import SiglipImageProcessor, SiglipProcessor

    half, size = [0.5] * 3, {"height": SIDE, "width": SIDE}
    pixels = SiglipImageProcessor(size=size, resample=2, image_mean=half, image_std=half)
    model.to(torch.bfloat16).save_pretrained(folder)
    SiglipProcessor(pixels, tokenizer).save_pretrained(folder)  # type: ignore[no-untyped-call]
