"""Chinese-CLIP: cosines equal those of transformers' processor and model, and captions are read as it was trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder.errors import InputError
from builder.towers import DualEncoder, ToEmbed, find
from builder.towers.text import PADDING, WORD_PIECES, Captions, WordPieces

from ..checkpoints import WORDS, edited, make_chinese, tokenizer, without_weights
from ..pictures import jpeg
from .stock import CAPTIONS, output, pictures
from .test_scores import cosines, embedded, stock_cosines

Load = Callable[..., DualEncoder]
BRACKETS = ["[MASK]", "[UNK]", "[SEP]", "[CLS]", "[PAD]"]


def stock(folder: Path, bodies: list[bytes], captions: list[str]) -> Any:
    return stock_cosines(output(folder, bodies, captions, max_length=WORD_PIECES))


def ids(folder: Path, *captions: str) -> list[list[str]]:
    """The word pieces of captions, without what is behind them."""
    found = Captions.load(find(str(folder)), WORD_PIECES).ids(captions)
    return [[WORDS[one] for one in row if one != PADDING] for row in found.tolist()]


def test_cosines_equal_those_of_transformers(chinese: Path, load: Load) -> None:
    expected = stock(chinese, pictures(), [caption.lower() for caption in CAPTIONS])
    found = cosines(embedded(load(chinese), pictures(), CAPTIONS))
    assert np.abs(found - expected).max() < 1e-5
    assert np.ptp(expected) > 0.01


def test_embeddings_are_the_projected_vectors_at_length_one(chinese: Path, load: Load) -> None:
    answer = embedded(load(chinese), pictures(), CAPTIONS)
    for rows in (answer.image, *answer.captions):
        assert rows.shape == (len(CAPTIONS), 32)
        assert rows.norm(dim=-1).sub(1).abs().max() < 1e-6


def test_scale_turns_cosines_into_logits_and_there_is_no_bias(chinese: Path, load: Load) -> None:
    siglip = load(chinese)
    assert (siglip.scale, siglip.bias) == (pytest.approx(np.exp(2.3), rel=1e-6), 0.0)
    assert siglip.preprocessing == "pil-exact-bicubic-32"


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_a_row_does_not_depend_on_its_neighbours(chinese: Path, load: Load, batch: int) -> None:
    siglip = load(chinese, batch_size=batch)
    whole = embedded(siglip, pictures(), CAPTIONS)
    for row, (body, caption) in enumerate(zip(pictures(), CAPTIONS, strict=True)):
        alone = embedded(siglip, [body], [caption])
        assert alone.image[0].equal(whole.image[row])
        assert alone.captions[0][0].equal(whole.captions[0][row])


def test_captions_are_lower_case_with_straight_quotes(chinese: Path) -> None:
    [found] = ids(chinese, "Photos，“MASK”")
    assert found == ["[CLS]", "photo", "##s", "，", '"', "mask", '"', "[SEP]"]


@pytest.mark.parametrize("word", BRACKETS)
def test_special_tokens_in_a_caption_are_text(chinese: Path, word: str) -> None:
    """As of a tokenizer that knows of no special tokens: brackets apart, then letters."""
    found, spelt, alone = ids(chinese, f"猫 {word}红", f"猫 [ {word[1:-1]} ] 红", "猫")
    assert found == spelt
    assert (found[0], found[1], found[2], found[-3], found[-1]) == ("[CLS]", "猫", "[", "]", "[SEP]")
    assert not {*found[1:-1]} & {*BRACKETS}
    assert alone == ["[CLS]", "猫", "[SEP]"]


def test_a_long_caption_ends_with_sep_at_52(chinese: Path) -> None:
    [found] = ids(chinese, "猫" * 500)
    assert len(found) == 52
    assert found[-2:] == ["猫", "[SEP]"]


def test_what_a_position_behind_the_caption_holds_makes_no_difference(chinese: Path, load: Load) -> None:
    captions = ["一只猫", "红"]
    found = cosines(embedded(load(chinese), [jpeg()] * 2, captions))
    short = stock_cosines(output(chinese, [jpeg()] * 2, captions, padding=True))
    unmasked = stock_cosines(
        output(chinese, [jpeg()] * 2, captions, max_length=WORD_PIECES, return_attention_mask=False)
    )
    assert np.abs(found - short).max() < 1e-5
    assert np.abs(found - unmasked).max() > 1e-4


def test_a_vocabulary_alone_is_a_tokenizer(chinese: Path, tmp_path: Path) -> None:
    """As the published repositories have it."""
    folder = make_chinese(tmp_path / "published")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(InputError, match=r"lacks tokenizer\.json or vocab\.txt"):
        find(str(folder))
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    texts = [*CAPTIONS, *BRACKETS, "Photos，“MASK”"]
    assert ids(folder, *texts) == ids(chinese, *texts)
    assert find(str(folder)).fingerprint != find(str(chinese)).fingerprint


def test_weights_that_were_published_as_pickles_are_read(chinese: Path, tmp_path: Path, load: Load) -> None:
    import torch
    from safetensors.torch import load_file

    folder = make_chinese(tmp_path / "pickled")
    weights = load_file(folder / "model.safetensors")
    # Buffers that checkpoints of 2022 hold.
    weights["text_model.embeddings.position_ids"] = torch.arange(128)[None]
    weights["vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    torch.save(weights, without_weights(folder) / "pytorch_model.bin")
    found = cosines(embedded(load(folder), pictures(), CAPTIONS))
    assert np.array_equal(found, cosines(embedded(load(chinese), pictures(), CAPTIONS)))


class Code:
    """What a pickle may hold besides tensors."""

    def __reduce__(self) -> Any:
        return print, ("ran",)


def test_a_pickle_runs_no_code(tmp_path: Path, load: Load, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    folder = without_weights(make_chinese(tmp_path / "a"))
    torch.save({"logit_scale": Code()}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="cannot be read") as caught:
        load(folder)
    assert "\n" not in str(caught.value)
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("crop", "words"),
    [
        ({"do_center_crop": True}, "crops pictures"),
        ({"size": {"shortest_edge": 32}}, "crops pictures or keeps their shape"),
        ({"size": {"height": 48, "width": 48}}, "prepared as 48x48, and the tower takes 32x32"),
        ({"image_std": [0.0, 1.0, 1.0]}, "its processor divides levels by"),
    ],
)
def test_a_processor_that_does_something_else_is_refused(
    tmp_path: Path, load: Load, crop: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        load(make_chinese(tmp_path / "a", **crop))


def test_a_tokenizer_that_pads_left_is_refused(tmp_path: Path, load: Load) -> None:
    folder = edited(make_chinese(tmp_path / "a"), "tokenizer_config.json", padding_side="left")
    with pytest.raises(
        InputError, match="or pads on the left; take the tokenizer that was published with it"
    ):
        load(folder)


def test_tokenizers_of_other_models_are_refused() -> None:
    assert "has no [CLS], [SEP] and [PAD]" in str(WordPieces.fault(tokenizer(), 52))
    named = tokenizer()
    named.add_special_tokens({"cls_token": "<bos>", "sep_token": "</s>"})
    assert "between [CLS] and [SEP]" in str(WordPieces.fault(named, 52))


def test_a_tokenizer_that_takes_words_for_special_tokens_is_refused(chinese: Path) -> None:
    from transformers import AutoTokenizer

    assert WordPieces.fault(AutoTokenizer.from_pretrained(chinese, **WordPieces.OPTIONS), 52) is None
    assert "takes the word [CLS]" in str(WordPieces.fault(AutoTokenizer.from_pretrained(chinese), 52))


def test_missing_weights_are_never_made_up(tmp_path: Path, load: Load) -> None:
    from safetensors.torch import load_file, save_file

    folder = make_chinese(tmp_path / "a")
    weights = load_file(folder / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"missing, such as visual_projection\.weight"):
        load(folder)
    assert [one.image.shape for one in load(make_chinese(tmp_path / "b")).embed([ToEmbed(0, [])])] == [
        (0, 32)
    ]
