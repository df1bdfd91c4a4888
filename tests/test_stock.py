"""What stock `datasets` makes of a root by its card alone: pairs, or where there are verdicts a list of configs."""

from __future__ import annotations

import re

import datasets
import pytest

import danqing
from builder.card import offer, root_card

from .roots import CARRIED, make_root
from .scored import make_scored


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / ".cache")


@pytest.fixture
def root(tmp_path):
    """A root of 2 x 10 pairs with its card."""
    make_root(tmp_path / "danqing", shards=2, rows=10)
    (tmp_path / "danqing" / "README.md").write_text(root_card(["train"], "parquet", CARRIED))
    return tmp_path / "danqing"


@pytest.fixture
def scored(root):
    """The same with verdicts, and the rows of its scores/."""
    rows = make_scored(root)
    assert offer(str(root), scored=True)
    return root, rows


def keys(pairs):
    return [pair["key"] for pair in pairs]


def snippets(root):
    """The Python code of the card, for this root."""
    card = (root / "README.md").read_text()
    found = re.findall(r"^```python\n(.*?)^```", card, re.MULTILINE | re.DOTALL)
    return [code.replace("/absolute/path/of/this/folder", str(root)) for code in found]


class Said(dict):
    """The names that a piece of code leaves, and everything that it called `pairs`."""

    def __init__(self, code):
        self.pairs = []
        exec(code, {}, self)

    def __setitem__(self, name, value):
        super().__setitem__(name, value)
        self.pairs += [value] * (name == "pairs")


@pytest.mark.parametrize("streaming", [True, False])
def test_a_scored_root_stops_without_a_config(scored, streaming, monkeypatch):
    root, rows = scored
    monkeypatch.chdir(root.parent)
    for options in ({}, {"split": "train"}):
        with pytest.raises(ValueError, match=r"pick one among .*\['unfiltered', 'outcomes', 'scores'\]"):
            datasets.load_dataset(str(root), streaming=streaming, **options)
    with pytest.raises(ValueError, match="data_files=None"):
        datasets.load_dataset(str(root), streaming=streaming, columns=["key"])
    with pytest.raises(ValueError, match="'pairs' not found"):
        datasets.load_dataset(str(root), "pairs", streaming=streaming)
    found = datasets.load_dataset(str(root), "unfiltered", split="train", streaming=streaming)
    assert keys(found) == keys(rows)


def test_scores_are_a_config_of_the_card(scored):
    root, rows = scored
    found = datasets.load_dataset(str(root), "scores", split="train", streaming=True)
    assert keys(found) == keys(rows)
    assert found.features["phash"] == datasets.Value("uint64")


def test_what_the_card_of_a_scored_root_shows_yields_the_kept_pairs(scored):
    root, rows = scored
    (code,) = snippets(root)
    said = Said(code)
    kept = [row["key"] for row in rows if row["kept"]]
    assert [keys(pairs) for pairs in said.pairs] == [kept, kept]
    assert keys(said["unfiltered"]) == keys(rows)
    assert next(iter(said["tensors"]))["width"].item() == 16


def test_what_the_card_shows_yields_the_pairs(root):
    (code,) = snippets(root)
    said = Said(code)
    first, second = map(keys, said.pairs)
    assert first == second
    assert len(first) == 20
    assert next(iter(said["tensors"]))["width"].item() == 16


def test_a_root_that_lost_its_verdicts_is_loaded_as_before(scored):
    root, _ = scored
    assert offer(str(root), scored=False)
    assert (root / "README.md").read_text() == root_card(["train"], "parquet", CARRIED)
    assert len(keys(datasets.load_dataset(str(root), split="train", streaming=True))) == 20


def test_the_name_without_the_import_stops_too(scored):
    """A folder ./danqing is found by stock `datasets` under the name, where danqing is not imported."""
    from .test_register import python

    root, rows = scored
    code = """
from datasets import load_dataset
try:
    load_dataset("danqing", split="train", streaming=True)
except ValueError as error:
    print(error)
"""
    assert "['unfiltered', 'outcomes', 'scores']" in python(code, root.parent)
    found = danqing.load(root, split="train", streaming=True)
    assert len(keys(found)) < len(rows)
