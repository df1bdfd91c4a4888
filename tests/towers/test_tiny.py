"""The shipped checkpoint: it tells right pairs from wrong ones, and its trainer makes such a thing."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.tiny.__main__ import main
from benchmarks.tiny.measure import FIGURES, PAIRS, auc, measure, wrong_in
from benchmarks.tiny.pairs import TOLD, captioned, make_pool
from benchmarks.tiny.train import POOL, make_tokenizer, train
from builder.demo.scene import attributes, captions
from builder.towers.checkpoint import TINY as CHECKPOINT


@pytest.fixture(scope="module")
def figures() -> dict[str, float]:
    return measure(CHECKPOINT, PAIRS)


def test_auc_is_the_share_of_pairs_in_order() -> None:
    right, wrong = np.float32([0.9, 0.5, 0.2]), np.float32([0.1, 0.5])
    assert auc(right, wrong) == pytest.approx((2 + 1.5 + 1) / 6)


def test_it_tells_pairs_from_permuted_ones(figures: dict[str, float]) -> None:
    assert PAIRS == 2000
    assert figures["auc"] > 0.99
    assert figures["matched_low"] > figures["permuted"] + 0.2


def test_its_card_says_what_is_measured(figures: dict[str, float]) -> None:
    card = (CHECKPOINT / "README.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| (.+) \| (-?[\d.]+) \|$", card, re.MULTILINE))
    measured = {FIGURES[name]: value for name, value in figures.items()}
    assert {text: float(value) for text, value in told.items()} == pytest.approx(measured, abs=0.005)
    assert f"{POOL:,} scenes" in card


def test_it_is_small_and_no_package() -> None:
    files = {path.name: path.stat().st_size for path in CHECKPOINT.iterdir()}
    assert sum(files.values()) < 1_000_000
    assert not [name for name in files if name.endswith(".py")]


def test_its_tokenizer_is_the_trainers() -> None:
    from transformers import AutoTokenizer

    shipped, made = AutoTokenizer.from_pretrained(CHECKPOINT), make_tokenizer()
    texts = ["两个红色的圆形\n在左侧", "Ａ a", "红" * 90]
    options = {"padding": "max_length", "truncation": True}
    assert shipped(texts, **options).input_ids == made(texts, **options).input_ids


def test_the_end_token_follows_the_text_also_when_cut() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
    ids = tokenizer(["红" * 90, "红色"], padding="max_length", truncation=True)
    assert list(ids) == ["input_ids"]
    long, short = ids.input_ids
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    assert len(long) == len(short) == 64
    assert (long[-1], long.count(end)) == (end, 1)
    assert short[2:] == [end] + [pad] * 61


def test_lower_casing_makes_no_difference() -> None:
    tokenizer = make_tokenizer()
    assert tokenizer("Danqing 红色 É").input_ids == tokenizer("danqing 红色 é").input_ids
    assert tokenizer.unk_token_id in tokenizer("Danqing").input_ids


def test_every_character_of_the_world_is_a_token() -> None:
    tokenizer, rng = make_tokenizer(), np.random.default_rng(5)
    texts = [text for index in range(500) for text in captions(attributes(index, 9), rng)]
    assert not [text for text in texts if tokenizer.unk_token_id in tokenizer(text).input_ids]


def test_a_caption_is_true_of_pictures_that_show_all_it_tells() -> None:
    pool = make_pool(96, 16, 0)
    chosen, texts, true = captioned(pool, 96, np.random.default_rng(0))
    assert true.diagonal().all()
    assert len(true) < true.sum() < 2 * len(true)
    for row, column in np.argwhere(true):
        own, other = pool.words[chosen[row]], pool.words[chosen[column]]
        assert all(word not in texts[row] for word in own[own != other])


def test_a_wrong_caption_differs_in_one_attribute() -> None:
    shown = [attributes(index) for index in range(300)]
    for name in TOLD:
        true = [captions(one, np.random.default_rng(0))[1] for one in shown]
        assert all(one != other for one, other in zip(true, wrong_in(name, shown), strict=True))


def test_a_short_run_lowers_the_losses_and_saves_what_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(tmp_path), "--steps", "20", "--seed", "1", "--pairs", "64"])
    stages = re.findall(r"^loss ([\d.]+) to ([\d.]+)", capsys.readouterr().out, re.MULTILINE)
    assert len(stages) == 3
    assert all(float(last) < float(first) for first, last in stages)
    assert measure(tmp_path, 64, 1)["auc"] > 0
    assert "--seed 1 --steps 20" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_the_same_seed_gives_the_same_weights() -> None:
    one, again, other = (train(3, seed).state_dict() for seed in (0, 0, 1))
    assert all(one[name].equal(again[name]) for name in one)
    assert not one["logit_bias"].equal(other["logit_bias"])
