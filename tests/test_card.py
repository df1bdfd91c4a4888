"""The card of a root says what its files hold."""

from __future__ import annotations

import datasets
import pyarrow as pa
import pytest
from huggingface_hub import DatasetCard

from builder.card import root_card
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
