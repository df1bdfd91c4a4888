"""The card of a root says what its files hold, before and after it is scored."""

from __future__ import annotations

import datasets
import pyarrow as pa
import pytest
from huggingface_hub import DatasetCard

from builder.disk.card import is_ours, offer, offering, root_card
from builder.disk.parquet import image_schema

from ..roots import CARRIED


def data(*arguments):
    return DatasetCard(root_card(*arguments)).data


def test_configs_and_splits():
    configs = {config["config_name"]: config for config in data(["train", "validation"], "parquet").configs}
    assert list(configs) == ["pairs", "outcomes"]
    assert configs["pairs"]["default"] is True
    assert configs["outcomes"]["data_files"] == [
        {"split": "train", "path": "outcomes/train-*.parquet"},
        {"split": "validation", "path": "outcomes/validation-*.parquet"},
    ]


TYPES = [
    pa.float64(),
    pa.float16(),
    pa.date32(),
    pa.timestamp("us"),
    pa.large_string(),
    pa.binary(),
    pa.bool_(),
]


LISTS = [
    pa.list_(pa.float32()),
    pa.list_(pa.list_(pa.int8())),
    pa.large_list(pa.string()),
    pa.list_(pa.int8(), 3),
]
BOX = pa.struct([("x", pa.int32()), ("tags", pa.list_(pa.struct([("k", pa.string())])))])
OTHERS_OF_ARROW = [BOX, pa.list_(BOX), pa.dictionary(pa.int32(), pa.string()), pa.decimal128(10, 2)]


@pytest.mark.parametrize("kind", [*TYPES, *LISTS, *OTHERS_OF_ARROW], ids=str)
def test_features_are_those_of_the_files(kind):
    carried = pa.schema([*CARRIED, ("extra", kind)])
    (info, _) = data(["train"], "parquet", carried).dataset_info
    assert datasets.Features._from_yaml_list(info["features"]) == datasets.Features.from_arrow_schema(
        image_schema(carried)
    )


def test_tars_offer_their_pictures():
    (config,) = data(["train"], "webdataset").configs
    assert config["data_files"] == [{"split": "train", "path": "images/train-*.tar"}]


NESTED = pa.schema([("box", pa.struct([("x", pa.int32())]))])


@pytest.mark.parametrize("carried", [None, NESTED])
def test_scores_are_added_once_and_no_config_is_the_default_any_more(carried):
    before = root_card(["train", "validation"], "parquet", carried)
    after = offering(before, scored=True)
    card, old = DatasetCard(after), DatasetCard(before)
    (pairs, *others), (unfiltered, *rest, scores) = old.data.configs, card.data.configs
    assert unfiltered == {"config_name": "unfiltered", "data_files": pairs["data_files"]}
    assert rest == others
    assert scores == {
        "config_name": "scores",
        "data_files": [
            {"split": "train", "path": "scores/train-*.parquet"},
            {"split": "validation", "path": "scores/validation-*.parquet"},
        ],
    }
    described = [
        info | {"config_name": "unfiltered"} for info in old.data.dataset_info if "pairs" in info.values()
    ]
    described += [info for info in old.data.dataset_info if "pairs" not in info.values()]
    assert card.data.dataset_info[:-1] == described
    rows = [line for line in card.text.splitlines() if line.startswith("|") and line not in old.text]
    assert [line[:13] for line in rows] == ["| `scores/` |"]
    assert offering(after, scored=True) == after
    assert offering(after, scored=False) == before
    assert offering(before, scored=False) == before


OLD = """
- config_name: scores
  data_files:
  - split: train
    path: scores/train-*.parquet
dataset_info:"""


def test_a_card_of_the_first_build_that_offered_scores_is_turned_too():
    """There `pairs` stayed the default, and yielded what was dropped."""
    before = root_card(["train"], "parquet")
    old = before.replace("\ndataset_info:", OLD, 1)
    old = old.replace(
        "| `ledger/` |", "| `scores/` | one row per row of `images/`: old words |\n| `ledger/` |"
    )
    assert offering(old, scored=True) == offering(before, scored=True)
    assert offering(old, scored=False) == before


def test_what_a_user_wrote_into_the_card_stays():
    card = root_card(["train"], "parquet").replace(
        "pretty_name: DanQing, rebuilt", "pretty_name: 我的\nlicense: other"
    )
    found = offering(card.replace("| folder | holds |", "## 目录") + "\n---\n\nmore\n", scored=True)
    assert DatasetCard(found).data.license == "other"
    assert "pretty_name: 我的\n" in found
    assert "## 目录\n" in found
    assert is_ours(found)
    assert found.endswith("\n---\n\nmore\n")


OTHERS = {
    "empty": "",
    "no front matter": "# A set\n\n| `outcomes/` | one row per manifest row: kept or dropped, and why |\n",
    "not YAML": "---\n{ : [\n---\n\n# A set\n",
    "no date": root_card(["train"], "parquet").replace("pretty_name:", "date: 2026-02-30\npretty_name:", 1),
    "nested": "---\nconfigs: " + "[" * 1000 + "\n---\n",  # deeper than Python goes
    "open front matter": "---\nconfigs: []\n",
    "a list": "---\n- configs\n---\n",
    "no configs": "---\nlicense: mit\n---\n",
    "other configs": "---\nconfigs:\n- config_name: default\n  data_files: images/*.parquet\n---\n",
    "files as text": "---\nconfigs:\n- config_name: pairs\n  data_files: images/*.parquet\n---\n",
    "configs as text": "---\nconfigs: pairs\n---\n",
    "one dataset_info": "---\nconfigs:\n- config_name: pairs\ndataset_info:\n  features: []\n---\n",
    "tars": root_card(["train"], "webdataset"),
}


@pytest.mark.parametrize("card", OTHERS.values(), ids=list(OTHERS))
def test_other_cards_are_left_alone(card, tmp_path):
    (tmp_path / "README.md").write_text(card)
    assert offer(str(tmp_path), scored=True) == is_ours(card) == (card == OTHERS["tars"])
    assert (
        (tmp_path / "README.md").read_text()
        == offering(card, scored=True)
        == offering(card, scored=False)
        == card
    )


def test_usage_that_a_user_took_out_comes_back_with_the_scores():
    card = root_card(["train"], "parquet").partition("```")[0] + "Ask me.\n"
    assert "Ask me.\n\n```python\nimport danqing" in offering(card, scored=True)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_card_that_an_editor_saved_anew_is_turned_too(mark, tmp_path):
    """With a byte order mark or other line ends the hub reads it as before, and offered what was dropped."""
    card = mark + root_card(["train"], "parquet").replace("\n", "\r\n")
    (tmp_path / "README.md").write_bytes(card.encode())
    assert offer(str(tmp_path), scored=True)
    found = DatasetCard((tmp_path / "README.md").read_text(encoding="utf-8"))
    assert [config["config_name"] for config in found.data.configs] == ["unfiltered", "outcomes", "scores"]
