"""A text classifier says which captions are unsafe: by real weights, of which one word decides."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder.errors import DanqingError, EnvironmentProblem, InputError, UsageError
from builder.towers.classifier import MOST_TOKENS, Classifier

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "bad", "good"]
TEXTS = ["good", "bad", "good bad good", "", "good " * 40 + "bad", "good " * 200, "a b c", "bad " * 300]
UNSAFE = [False, True, True, False, True, False, False, True]


def made(folder: Path, labels: Sequence[str] = ("safe", "porn"), **settings: Any) -> Path:
    """A classifier whose last label is likely where a text holds `bad`, and the first otherwise, as a folder.

    One layer of attention that averages: `bad` is the only word that has to do with dimension 1, none has with 3.
    """
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import BertProcessing
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=settings.pop("positions", 512), id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)}, **settings,
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    layer, eye = model.bert.encoder.layer[0], torch.eye(8)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0 if name.endswith("LayerNorm.weight") else 0.0)
        for number, word in enumerate(WORDS):
            model.bert.embeddings.word_embeddings.weight[number, {"bad": 1, "good": 2}.get(word, 0)] = 1.0
        for linear in (layer.attention.self.value, layer.attention.output.dense, model.bert.pooler.dense):
            linear.weight.copy_(eye)
        model.classifier.weight[-1, 1], model.classifier.weight[-1, 3] = 4000.0, -4000.0
        model.classifier.bias[-1] = -4.0
    model.save_pretrained(folder)
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)  # fmt: skip
    return folder


def changed(folder: Path, changes: Mapping[str, float | None]) -> Path:
    """The classifier with weights filled with a number, or left out for None."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    for name, value in changes.items():
        if value is None:
            del weights[name]
        else:
            weights[name].fill_(value)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def edited(folder: Path, name: str, **values: Any) -> Path:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


def problem(kind: type[DanqingError], model: object) -> str:
    """The message of the error of a classifier that is refused: one line."""
    with pytest.raises(kind) as caught:
        Classifier(str(model))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_one_word_decides(tmp_path: Path) -> None:
    classifier = Classifier(str(made(tmp_path / "m")))
    assert classifier.unsafe(TEXTS).tolist() == UNSAFE
    assert classifier.unsafe([]).tolist() == []


def test_neighbours_do_not_decide(tmp_path: Path) -> None:
    classifier = Classifier(str(made(tmp_path / "m")))
    order = np.random.default_rng(0).permutation(len(TEXTS) * 9)
    many = [(TEXTS * 9)[number] for number in order]
    assert classifier.unsafe(many).tolist() == [(UNSAFE * 9)[number] for number in order]
    assert [classifier.unsafe([text]).tolist() for text in TEXTS] == [[one] for one in UNSAFE]


def test_texts_are_cut_to_what_the_model_reads(tmp_path: Path) -> None:
    text = "good " * MOST_TOKENS + "bad"
    assert Classifier(str(made(tmp_path / "a"))).unsafe([text]).tolist() == [False]
    short = Classifier(str(made(tmp_path / "b", positions=16)))
    assert short.unsafe(["good " * 20 + "bad", "bad " * 20]).tolist() == [False, True]


def test_a_probability_of_a_half_is_unsafe(tmp_path: Path) -> None:
    even = {"classifier.weight": 0.0, "classifier.bias": 0.0}
    assert Classifier(str(changed(made(tmp_path / "m"), even))).unsafe(["good"]).tolist() == [True]


def test_what_is_no_number_is_refused(tmp_path: Path) -> None:
    classifier = Classifier(str(changed(made(tmp_path / "m"), {"classifier.bias": float("nan")})))
    with pytest.raises(InputError, match="gives no number for 'good'; its weights are broken"):
        classifier.unsafe(["good"])


@pytest.mark.parametrize(
    "labels",
    [
        ("LABEL_0", "LABEL_1"), ("not_toxic", "toxic"), ("SFW", "NSFW"), ("ham", "spam"), ("NotSpam", "IsSpam"),
        ("neutral", "Advertising"), ("normal", "other", "hate-speech"), ("正常", "色情"),
    ],
)  # fmt: skip
def test_labels_that_say_what_they_mean(tmp_path: Path, labels: tuple[str, ...]) -> None:
    assert Classifier(str(made(tmp_path / "m", labels))).unsafe(["good", "bad"]).tolist() == [False, True]


@pytest.mark.parametrize(
    "labels",
    [
        ("LABEL_0", "LABEL_1", "LABEL_2"),
        ("negative", "positive"),
        ("not_toxic", "nontoxic"),
        ("hate", "porn"),
    ],
)
def test_labels_that_do_not_are_asked_for(tmp_path: Path, labels: tuple[str, ...]) -> None:
    folder = made(tmp_path / "m", labels)
    said = problem(UsageError, folder)
    assert f"cannot be told: {', '.join(labels)}; say --text-classifier {folder}:LABEL" in said
    assert Classifier(f"{folder}:{labels[-1]}").unsafe(["good", "bad"]).tolist() == [False, True]
    assert Classifier(f"{folder}:{labels[0]}").unsafe(["bad"]).tolist() == [False]


def test_a_label_that_it_does_not_have(tmp_path: Path) -> None:
    assert "has no label bad; its labels are safe, porn" in problem(UsageError, f"{made(tmp_path / 'm')}:bad")


def test_a_folder_may_have_a_colon_in_its_name(tmp_path: Path) -> None:
    assert Classifier(str(made(tmp_path / "a:b"))).unsafe(["bad"]).tolist() == [True]


def test_each_label_of_several_counts_alone(tmp_path: Path) -> None:
    """Of probabilities that do not add up to one, the largest counts, and all may mean unsafe."""
    several = made(tmp_path / "m", ("insult", "threat"), problem_type="multi_label_classification")
    changed(several, {"classifier.bias": -4.0})
    assert Classifier(str(several)).unsafe(["good", "bad"]).tolist() == [False, True]
    single = made(tmp_path / "n", ("toxic",))
    assert Classifier(str(single)).unsafe(["good", "bad"]).tolist() == [False, True]


def test_other_weights_have_another_fingerprint(tmp_path: Path) -> None:
    one, same = Classifier(str(made(tmp_path / "a"))), Classifier(str(made(tmp_path / "b")))
    other = Classifier(str(changed(made(tmp_path / "c"), {"classifier.bias": 1.0})))
    assert one.fingerprint == same.fingerprint != other.fingerprint


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    folder = made(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "pytorch_model.bin is not read; save it anew" in problem(InputError, folder)


def test_no_code_of_a_repository_is_run(tmp_path: Path) -> None:
    """Neither where the model is of a kind of its own, nor where it names code for one that transformers knows."""
    folder = made(tmp_path / "m")
    (folder / "own.py").write_text("raise SystemExit('was run')")
    known = {"AutoConfig": "own.C", "AutoModelForSequenceClassification": "own.M"}
    edited(folder, "config.json", auto_map=known)
    edited(folder, "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.T", "own.T"]})
    assert Classifier(str(folder)).unsafe(["bad"]).tolist() == [True]
    edited(folder, "config.json", model_type="own")
    assert "cannot be read" in problem(InputError, folder)


def test_what_is_no_text_classifier(tmp_path: Path) -> None:
    headless = changed(made(tmp_path / "a"), {"classifier.weight": None, "classifier.bias": None})
    assert "2 of its weights are missing, such as classifier.bias; it is no text classifier" in problem(
        InputError, headless
    )
    assert "cannot be read" in problem(InputError, "tiny")  # the SigLIP that comes with danqing
    wordless = made(tmp_path / "b")
    (wordless / "tokenizer.json").unlink()
    assert "lacks tokenizer.json or vocab.txt" in problem(InputError, wordless)
    unpadded = made(tmp_path / "c")
    settings = json.loads((unpadded / "tokenizer_config.json").read_text())
    (unpadded / "tokenizer_config.json").write_text(
        json.dumps({name: value for name, value in settings.items() if name != "pad_token"})
    )
    assert "its tokenizer has no padding" in problem(InputError, unpadded)


def test_what_is_nowhere() -> None:
    assert "no such folder" in problem(InputError, "./nowhere")
    assert "not in the cache" in problem(EnvironmentProblem, "org/classifier:porn")
