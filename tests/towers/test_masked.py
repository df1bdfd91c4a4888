"""The perplexity of texts by a masked language model: by real weights, of which the logits are known."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from builder.errors import InputError
from builder.towers.masked import MOST_TOKENS, masked_model

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "花", "树"]


def made(folder: Path, bias: float = 0.0, mask: str | None = "[MASK]", broken: bool = False) -> Path:
    """A BERT of random weights that gives each token the same logit whatever stands beside it, and 花 `bias` more."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from tokenizers.processors import BertProcessing
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=512,
    )  # fmt: skip
    model = BertForMaskedLM(config)
    with torch.no_grad():
        model.cls.predictions.transform.LayerNorm.weight.fill_(0.0)  # so that nothing but the bias is left
        model.cls.predictions.bias[WORDS.index("花")] = bias
        if broken:
            model.cls.predictions.bias.fill_(float("nan"))
    model.save_pretrained(folder)
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Split("", "isolated")
    tokenizer.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    names |= {"mask_token": mask} if mask else {}
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_input_names=["input_ids", "attention_mask"], **names
    ).save_pretrained(folder)
    return folder


def test_where_every_token_is_as_likely_it_is_the_size_of_the_vocabulary(tmp_path: Path) -> None:
    perplexity = masked_model(str(made(tmp_path / "m")))
    assert perplexity("花") == pytest.approx(len(WORDS))
    assert perplexity("花树花" * 9) == pytest.approx(len(WORDS))


def test_it_is_the_mean_over_the_tokens_of_a_text(tmp_path: Path) -> None:
    perplexity = masked_model(str(made(tmp_path / "m", bias=2.0)))
    total = math.exp(2) + len(WORDS) - 1
    flower, other = math.log(math.exp(2) / total), math.log(1 / total)
    assert perplexity("花花树") == pytest.approx(math.exp(-(2 * flower + other) / 3))
    assert perplexity("花?") == pytest.approx(math.exp(-(flower + other) / 2))  # [UNK] is a token of the text


def test_a_token_is_never_its_own_neighbour(tmp_path: Path) -> None:
    """With weights that look at their surroundings, what stands at a place changes nothing but whose log is taken."""
    from safetensors.torch import load_file, save_file

    folder = made(tmp_path / "m")
    weights = load_file(folder / "model.safetensors")
    weights["cls.predictions.transform.LayerNorm.weight"].fill_(1.0)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    perplexity = masked_model(str(folder))
    alone = [1 / perplexity(word) for word in ("花", "树")]
    assert sum(alone) < 1  # two probabilities of one distribution
    assert alone[0] != pytest.approx(alone[1])


def test_a_text_without_a_token_has_none(tmp_path: Path) -> None:
    assert math.isnan(masked_model(str(made(tmp_path / "m")))(""))


def test_a_long_text_is_cut(tmp_path: Path) -> None:
    perplexity = masked_model(str(made(tmp_path / "m", bias=2.0)))
    assert perplexity("花" * MOST_TOKENS + "树" * 900) == perplexity("花" * MOST_TOKENS)


def test_what_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="its tokenizer has no mask"):
        masked_model(str(made(tmp_path / "a", mask=None)))
    with pytest.raises(InputError, match="gives no number for '花'; its weights are broken"):
        masked_model(str(made(tmp_path / "b", broken=True)))("花")
    (made(tmp_path / "c") / "model.safetensors").rename(tmp_path / "c" / "pytorch_model.bin")
    with pytest.raises(InputError, match="safetensors"):
        masked_model(str(tmp_path / "c"))
