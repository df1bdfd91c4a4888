"""Tiny random checkpoints with tokenizer and processor, made in milliseconds, and the ones that must be refused.

The weights are those of transformers' own initialisation; what is asked of them is parity, not sense. The tokenizer
knows bytes, so that any caption is told from any other, and lower-cases nothing, so that forgetting to do it shows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PAD, EOS, UNKNOWN = 0, 1, 2
DIM = 32
_TOWER = {"hidden_size": DIM, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def make_fixed(folder: Path, *, image_size: int = 32, patch_size: int = 8, **options: Any) -> Path:
    """A SiglipModel at a fixed resolution; options as of `_save`, and positions and resample."""
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

    vision = _TOWER | {"image_size": image_size, "patch_size": patch_size}
    config = SiglipConfig(text_config=_text(options.pop("positions", 64)), vision_config=vision)
    size = {"height": image_size, "width": image_size}
    images = SiglipImageProcessor(size=size, resample=options.pop("resample", 2), **_LEVELS)
    return _save(folder, (SiglipModel, config), (SiglipProcessor, images), **options)


def make_naflex(folder: Path, *, patches: int = 16, patch_size: int = 8, **options: Any) -> Path:
    """A Siglip2Model that takes up to `patches` patches of any shape of picture."""
    from transformers import Siglip2Config, Siglip2ImageProcessor, Siglip2Model, Siglip2Processor

    vision = _TOWER | {"num_patches": 16, "patch_size": patch_size}
    config = Siglip2Config(text_config=_text(options.pop("positions", 64)), vision_config=vision)
    images = Siglip2ImageProcessor(patch_size=patch_size, max_num_patches=patches, **_LEVELS)
    return _save(folder, (Siglip2Model, config), (Siglip2Processor, images), **options)


# Of published Chinese-CLIP: neither curly quotes nor most rare Han.
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "mask", "photo", "##s", *(chr(code) for code in range(33, 127)),
         *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"), *"一只白色的猫红苹果，。")  # fmt: skip


def make_chinese(folder: Path, **crop: Any) -> Path:
    """A ChineseCLIPModel whose towers have other widths than what they are projected to.

    crop: how its processor differs from the published.
    """
    from transformers import BertTokenizer, ChineseCLIPConfig, ChineseCLIPModel, ChineseCLIPProcessor
    from transformers.models.chinese_clip.image_processing_pil_chinese_clip import (
        ChineseCLIPImageProcessorPil,
    )

    text = _TOWER | {"vocab_size": len(WORDS), "hidden_size": 24, "max_position_embeddings": 128}
    vision = _TOWER | {"image_size": 32, "patch_size": 8, "hidden_size": 40}
    config = ChineseCLIPConfig(text_config=text, vision_config=vision, projection_dim=DIM)
    square = {"size": {"height": 32, "width": 32}, "do_center_crop": False}
    images = ChineseCLIPImageProcessorPil(**(square | crop))
    _write(folder, ChineseCLIPModel, config, seed=0)
    tokens = BertTokenizer(vocab={word: number for number, word in enumerate(WORDS)})
    ChineseCLIPProcessor(images, tokens).save_pretrained(folder)
    return folder


def make_clip(folder: Path) -> Path:
    """What says it is CLIP; its files are those of a SigLIP."""
    return edited(make_fixed(folder), "config.json", model_type="clip")


def without_weights(folder: Path) -> Path:
    """A checkpoint whose weights were not copied."""
    (folder / "model.safetensors").unlink()
    return folder


def edited(folder: Path, name: str, **values: Any) -> Path:
    """The checkpoint with values of one of its JSON files replaced."""
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


_LEVELS = {"image_mean": [0.5, 0.4, 0.5], "image_std": [0.5, 0.5, 0.4]}


def _text(positions: int) -> dict[str, Any]:
    special = {"pad_token_id": PAD, "eos_token_id": EOS, "bos_token_id": EOS}
    return (
        _TOWER | special | {"max_position_embeddings": positions, "vocab_size": 261, "projection_size": DIM}
    )


def _save(
    folder: Path,
    model: tuple[Any, Any],
    processor: tuple[Any, Any],
    *,
    seed: int = 0,
    pads: str = "right",
    ends: bool = True,
) -> Path:
    """Write everything. pads: the side the tokenizer pads on; ends: whether it closes a caption with </s>."""
    _write(folder, *model, seed=seed)
    processor[0](processor[1], tokenizer(pads=pads, ends=ends)).save_pretrained(folder)
    return folder


def _write(folder: Path, model: Any, config: Any, *, seed: int) -> None:
    """Random weights, in safetensors."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = model(config)
        for weight in made.parameters():  # the pictures' positions and the probe matter from the start
            weight.data += 0.02 * torch.randn_like(weight)
        made.logit_scale.data.fill_(2.3)
        if hasattr(made, "logit_bias"):
            made.logit_bias.data.fill_(-7.5)
    made.save_pretrained(folder)


def tokenizer(*, pads: str = "right", ends: bool = True) -> Any:
    """A token a byte of UTF-8, by way of what the published tokenizers do with a character they do not know."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "</s>", "<unk>", "<bos>", "<mask>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {word: number for number, word in enumerate(words)}
    made = Tokenizer(BPE(vocabulary, [], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if ends:
        made.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", EOS)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        bos_token="<bos>",
        mask_token="<mask>",
        padding_side=pads,
        model_max_length=64,
        model_input_names=["input_ids"],
    )
