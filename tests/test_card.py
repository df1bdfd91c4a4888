"""The card of a root says what its files hold, before and after it is scored."""

from __future__ import annotations

import datasets
import pyarrow as pa
import pytest
from huggingface_hub import DatasetCard

from builder.card import root_card, with_scores
from builder.shards import image_schema

from .roots import CARRIED


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


@pytest.mark.parametrize("kind", [*TYPES, pa.list_(pa.float32())])
def test_features_are_those_of_the_files(kind):
    carried = pa.schema([*CARRIED, ("extra", kind)])
    (info, _) = data(["train"], "parquet", carried).dataset_info
    assert datasets.Features._from_yaml_list(info["features"]) == datasets.Features.from_arrow_schema(
        image_schema(carried)
    )


def test_nested_columns_are_left_to_the_files():
    carried = pa.schema([("box", pa.struct([("x", pa.int32())]))])
    assert [info["config_name"] for info in data(["train"], "parquet", carried).dataset_info] == ["outcomes"]


def test_tars_offer_their_pictures():
    (config,) = data(["train"], "webdataset").configs
    assert config["data_files"] == [{"split": "train", "path": "images/train-*.tar"}]


@pytest.mark.parametrize("carried", [None, pa.schema([("box", pa.struct([("x", pa.int32())]))])])
def test_scores_are_added_once(carried):
    before = root_card(["train", "validation"], "parquet", carried)
    after = with_scores(before)
    card, old = DatasetCard(after), DatasetCard(before)
    assert card.data.configs[:-1] == old.data.configs
    assert card.data.dataset_info[:-1] == old.data.dataset_info
    assert card.data.configs[-1] == {
        "config_name": "scores",
        "data_files": [
            {"split": "train", "path": "scores/train-*.parquet"},
            {"split": "validation", "path": "scores/validation-*.parquet"},
        ],
    }
    added = [line for line in card.text.splitlines() if line not in old.text.splitlines()]
    assert [line[:13] for line in added] == ["| `scores/` |"]
    assert [line for line in card.text.splitlines() if line not in added] == old.text.splitlines()
    assert with_scores(after) == after


def test_what_a_user_wrote_into_the_card_stays():
    card = root_card(["train"], "parquet").replace(
        "pretty_name: DanQing, rebuilt", "pretty_name: 我的\nlicense: other"
    )
    found = with_scores(card.replace("| folder | holds |", "## 目录") + "\n---\n\nmore\n")
    assert DatasetCard(found).data.license == "other"
    assert "pretty_name: 我的\n" in found
    assert "## 目录\n" in found
    assert found.endswith("\n---\n\nmore\n")


OTHERS = {
    "empty": "",
    "no front matter": "# A set\n\n| `outcomes/` | one row per manifest row: kept or dropped, and why |\n",
    "not YAML": "---\n{ : [\n---\n\n# A set\n",
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
def test_other_cards_are_left_alone(card):
    assert with_scores(card) == card
