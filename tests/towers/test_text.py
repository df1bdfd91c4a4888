"""A tokenizer as the published SigLIP2 checkpoints have it: their files say Gemma's, which lower-cases nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from builder.towers.checkpoint import find
from builder.towers.text import Captions
from tests import checkpoints

WORDS = ["一张红色圆形的图片", "a photo of a cat", "灰色条纹背景上有两个蓝色的爱心"]
SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>"]


def bytes_and_pairs() -> Any:
    """Byte-pair encoding with byte fallback and a lower-casing normaliser, as SigLIP2's tokenizer.json."""
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(" ", "▁")])
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    made.train_from_iterator(WORDS, trainers.BpeTrainer(vocab_size=400, special_tokens=[*SPECIAL, *fallback]))
    made.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    return made


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import PreTrainedTokenizerFast

    folder = checkpoints.make_fixed(tmp_path_factory.mktemp("gemma") / "siglip2")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    named = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=bytes_and_pairs(), **named).save_pretrained(folder)
    says = {"tokenizer_class": "GemmaTokenizer", "add_bos_token": False, "add_eos_token": True}
    return checkpoints.edited(
        folder, "tokenizer_config.json", **says, padding_side="right", model_input_names=["input_ids"]
    )


def test_gemmas_class_is_read_and_closes_captions(published: Path) -> None:
    from transformers import AutoTokenizer

    assert type(AutoTokenizer.from_pretrained(published)).__name__ == "GemmaTokenizer"
    (ids,) = Captions.load(find(str(published)), 64).ids([WORDS[0]])
    end = ids.tolist().index(1)
    assert 0 < end < 63
    assert set(ids[end + 1 :].tolist()) == {0}


def test_capitals_come_to_the_ids_that_the_tower_was_trained_on(published: Path) -> None:
    captions = Captions.load(find(str(published)), 64)
    (ids,) = captions.ids(["A Photo of a CAT"]).tolist()
    trained_on = bytes_and_pairs().encode("A Photo of a CAT").ids
    assert ids[: len(trained_on)] == trained_on
