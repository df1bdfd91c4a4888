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
TOKENS, CHINESE_TOKENS = 64, 52


@dataclass(frozen=True, slots=True)
class Shape:
    """Width, layers, heads and MLP of both towers; side of the picture and of a patch. naflex: any shape of as many.

    chinese: a Chinese-CLIP, which has this picture tower, and a text tower of half its layers and 3/4 its width.
    """

    width: int
    layers: int
    heads: int
    mlp: int
    side: int
    patch: int
    naflex: bool = False
    chinese: bool = False

    @property
    def patches(self) -> int:
        """Of a picture, at most."""
        return (self.side // self.patch) ** 2


# google/siglip2-base-patch16-256, -large-patch16-256, -base-patch16-naflex, OFA-Sys/chinese-clip-vit-large-patch14
SHAPES = {
    "B/16-256": Shape(768, 12, 12, 3072, 256, 16),
    "L/16-256": Shape(1024, 24, 16, 4096, 256, 16),
    "B/16-naflex": Shape(768, 12, 12, 3072, 256, 16, naflex=True),
    "zh-L/14": Shape(1024, 24, 16, 4096, 224, 14, chinese=True),
    "smoke": Shape(64, 2, 2, 128, 32, 8),  # to try the code where there is no GPU
    "smoke-naflex": Shape(64, 2, 2, 128, 32, 8, naflex=True),
    "smoke-zh": Shape(64, 2, 4, 128, 32, 8, chinese=True),
}


def config(shape: str) -> Any:
    """The SiglipConfig, Siglip2Config or ChineseCLIPConfig of a shape."""
    from transformers import ChineseCLIPConfig, Siglip2Config, SiglipConfig

    one = SHAPES[shape]
    tower = {
        "hidden_size": one.width,
        "num_hidden_layers": one.layers,
        "num_attention_heads": one.heads,
        "intermediate_size": one.mlp,
    }
    if one.chinese:
        width = one.width * 3 // 4
        text = {
            "vocab_size": 21_128, "hidden_size": width, "intermediate_size": 4 * width, "pad_token_id": 0,
            "num_hidden_layers": one.layers // 2, "num_attention_heads": one.heads * 3 // 4,
        }  # fmt: skip
        seen = tower | {"image_size": one.side, "patch_size": one.patch}
        return ChineseCLIPConfig(text_config=text, vision_config=seen, projection_dim=width)
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
    from transformers import ChineseCLIPModel, Siglip2Model, SiglipModel

    made, one = folder / shape.replace("/", "-").lower(), SHAPES[shape]
    if not made.exists():
        made.mkdir(parents=True)
        _prepare(made, one)
        torch.manual_seed(0)
        kind = ChineseCLIPModel if one.chinese else Siglip2Model if one.naflex else SiglipModel
        with torch.device(device):
            model = kind(config(shape))
        model.save_pretrained(made)
    return made


def _prepare(made: Path, one: Shape) -> None:
    """Write the processor and the tokenizer of a checkpoint."""
    from tests.checkpoints import WORDS, tokenizer

    if one.chinese:
        from transformers import BertTokenizer, ChineseCLIPProcessor
        from transformers.models.chinese_clip import image_processing_pil_chinese_clip as pil

        size = {"height": one.side, "width": one.side}
        images = pil.ChineseCLIPImageProcessorPil(size=size, do_center_crop=False)
        tokens = BertTokenizer(vocab={word: number for number, word in enumerate(WORDS)})
        ChineseCLIPProcessor(images, tokens).save_pretrained(made)
        return
    without = shutil.ignore_patterns("config.json", "model.safetensors", "README.md")
    shutil.copytree(TINY, made, ignore=without, dirs_exist_ok=True)
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


def flops(shape: str) -> float:
    """Floating-point operations of a square picture and a caption, counted by torch on tensors without data."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import ChineseCLIPModel, SiglipModel

    one = SHAPES[shape]
    length = CHINESE_TOKENS if one.chinese else TOKENS
    with torch.device("meta"):
        model = (ChineseCLIPModel if one.chinese else SiglipModel)(config(shape))
        pixels, ids = torch.empty(1, 3, one.side, one.side), torch.zeros(1, length, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model.get_image_features(pixels)
        model.get_text_features(ids)
    return float(counter.get_total_flops())
