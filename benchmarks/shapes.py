"""Makes checkpoints of a published shape for benchmarks/revalidate.py and benchmarks/gpu.py.

The weights are random: speed does not ask for sense, and nothing needs a network. The vocabulary is that of `tiny`'s
tokenizer in an embedding of VOCABULARY rows, not SigLIP2's 256,000: looking a row up costs the same in either. It needs
torch and transformers, and nothing that a machine with a GPU may lack.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TINY = Path(__file__).resolve().parent.parent / "builder" / "towers" / "tiny"
VOCABULARY = 32_000
TOKENS = 64


@dataclass(frozen=True, slots=True)
class Shape:
    """Width, layers, heads and MLP of both towers; side of the picture and of a patch. naflex: any shape of as many."""

    width: int
    layers: int
    heads: int
    mlp: int
    side: int
    patch: int
    naflex: bool = False

    @property
    def patches(self) -> int:
        """Of a picture, at most."""
        return (self.side // self.patch) ** 2


SHAPES = {  # google/siglip2-base-patch16-256, -large-patch16-256, -base-patch16-naflex
    "B/16-256": Shape(768, 12, 12, 3072, 256, 16),
    "L/16-256": Shape(1024, 24, 16, 4096, 256, 16),
    "B/16-naflex": Shape(768, 12, 12, 3072, 256, 16, naflex=True),
    "smoke": Shape(64, 2, 2, 128, 32, 8),  # to try the code where there is no GPU
    "smoke-naflex": Shape(64, 2, 2, 128, 32, 8, naflex=True),
}


def config(shape: str) -> Any:
    """The SiglipConfig or Siglip2Config of a shape."""
    from transformers import Siglip2Config, SiglipConfig

    one = SHAPES[shape]
    tower = {
        "hidden_size": one.width,
        "num_hidden_layers": one.layers,
        "num_attention_heads": one.heads,
        "intermediate_size": one.mlp,
    }
    text = {
        "vocab_size": VOCABULARY, "max_position_embeddings": TOKENS, "projection_size": one.width,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1,
    }  # fmt: skip
    seen = {"num_patches": one.patches} if one.naflex else {"image_size": one.side}
    made = Siglip2Config if one.naflex else SiglipConfig
    return made(text_config=tower | text, vision_config=tower | seen | {"patch_size": one.patch})


def checkpoint(folder: Path, shape: str, device: str = "cpu") -> Path:
    """A checkpoint of a shape with random weights, drawn on a device once a folder; `tiny` is the one that ships."""
    if shape == "tiny":
        return TINY
    import torch
    from transformers import Siglip2Model, SiglipModel

    from tests.checkpoints import tokenizer

    made, one = folder / shape.replace("/", "-").lower(), SHAPES[shape]
    if not made.exists():
        shutil.copytree(
            TINY, made, ignore=shutil.ignore_patterns("config.json", "model.safetensors", "README.md")
        )
        torch.manual_seed(0)
        with torch.device(device):
            model = (Siglip2Model if one.naflex else SiglipModel)(config(shape))
        model.save_pretrained(made)
        processor = json.loads((made / "processor_config.json").read_text())
        how = processor["image_processor"]
        if one.naflex:
            del how["size"]
            how |= {"patch_size": one.patch, "max_num_patches": one.patches}
            how["image_processor_type"] = "Siglip2ImageProcessor"
            tokenizer().save_pretrained(made)  # transformers reads a Siglip2's as BPE, whatever it is
        else:
            how["size"] = {"height": one.side, "width": one.side}
        (made / "processor_config.json").write_text(json.dumps(processor))
    return made


def flops(shape: str) -> float:
    """Floating-point operations of a square picture and a caption, counted by torch on tensors without data."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import SiglipModel

    side = SHAPES[shape].side
    with torch.device("meta"):
        model = SiglipModel(config(shape))
        pixels, ids = torch.empty(1, 3, side, side), torch.zeros(1, TOKENS, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model.get_image_features(pixels)
        model.get_text_features(ids)
    return float(counter.get_total_flops())
