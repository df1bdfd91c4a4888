"""The card of a root: the README.md that lets stock `datasets` load the folder without importing danqing.

In: the splits, the format and the carried columns, or a card and that its root is scored now. Out: Markdown with
the YAML that `datasets` reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from string import Template
from typing import Any

import pyarrow as pa
import yaml

from .schema import OUTCOMES, PAIR, PICTURE, SCORES

# Arrow's names of types where `datasets` has others.
_DTYPES = {"double": "float64", "float": "float32", "halffloat": "float16", "date32[day]": "date32"}

_USAGE = {
    "parquet": """\
from datasets import load_dataset

pairs = load_dataset("/absolute/path/of/this/folder", split="train", streaming=True)

import danqing  # or with the options of danqing: captions, broken pictures skipped, validation split

pairs = danqing.load("/absolute/path/of/this/folder", split="train", streaming=True)""",
    "webdataset": """\
from datasets import load_dataset

pairs = load_dataset("/absolute/path/of/this/folder", split="train", streaming=True)""",
}


def root_card(splits: Sequence[str], format: str, carried: pa.Schema | None = None) -> str:  # noqa: A002
    """README.md of a root with these splits; `format` is `parquet` or `webdataset`.

    `datasets` reads a folder with one builder, so a root of tars offers its pictures and not its outcomes.
    """
    data: dict[str, Any] = {"pretty_name": "DanQing, rebuilt", "language": ["zh"], "tags": ["image-text"]}
    if format == "parquet":
        data["configs"] = [
            _config("pairs", "images", "parquet", splits),
            _config("outcomes", "outcomes", "parquet", splits),
        ]
        data["configs"][0]["default"] = True
        features = {"pairs": pa.schema([*PAIR, *(carried or ()), *PICTURE]), "outcomes": OUTCOMES}
        described = [_described(name, schema) for name, schema in features.items()]
        data["dataset_info"] = [info for info in described if None not in info["features"]]
    else:
        data["configs"] = [_config("pairs", "images", "tar", splits)]
    template = Template(resources.files("cards").joinpath("root.md").read_text(encoding="utf-8"))
    return template.substitute(metadata=_dump(data), usage=_USAGE[format])


_OUTCOMES_ROW = "| `outcomes/` | one row per manifest row: kept or dropped, and why |\n"
_SCORES_ROW = (
    "| `scores/` | one row per row of `images/`: SigLIP score, verdict, and whether it is kept; "
    "danqing yields the kept pairs, stock `datasets` all of `images/` |\n"
)


def with_scores(card: str) -> str:
    """The card of a root that is scored now: with a config `scores`, its features, and a row in the table.

    The card comes back as it is where it has that config already, and where its front matter is not what
    `root_card` writes for Parquet.
    """
    data, body = _parsed(card)
    configs, described = data.get("configs"), data.get("dataset_info", [])
    if not (isinstance(configs, list) and isinstance(described, list)):
        return card
    named = {config.get("config_name"): config for config in configs if isinstance(config, dict)}
    if "scores" in named or "pairs" not in named:
        return card
    try:
        splits = [file["split"] for file in named["pairs"]["data_files"] if file["path"].endswith(".parquet")]
    except (KeyError, TypeError, AttributeError):
        return card
    if not splits:
        return card
    data["configs"] = [*configs, _config("scores", "scores", "parquet", splits)]
    data["dataset_info"] = [*described, _described("scores", SCORES)]
    return f"---\n{_dump(data)}\n---\n{body.replace(_OUTCOMES_ROW, _OUTCOMES_ROW + _SCORES_ROW, 1)}"


def _parsed(card: str) -> tuple[dict[str, Any], str]:
    """The front matter of a card and what follows it; an empty one where there is none that can be read."""
    head, _, body = card.removeprefix("---\n").partition("\n---\n")
    try:
        data = yaml.safe_load(head) if card.startswith("---\n") else None
    except yaml.YAMLError:
        data = None
    return (data, body) if isinstance(data, dict) else ({}, card)


def _dump(data: dict[str, Any]) -> str:
    # What the hub's DatasetCardData writes; importing the hub would cost every rebuild 60 ms.
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True).strip()


def _described(name: str, schema: pa.Schema) -> dict[str, Any]:
    return {"config_name": name, "features": [_feature(field) for field in schema]}


def _config(name: str, folder: str, extension: str, splits: Sequence[str]) -> dict[str, Any]:
    files = [{"split": split, "path": f"{folder}/{split}-*.{extension}"} for split in splits]
    return {"config_name": name, "data_files": files}


def _feature(field: pa.Field[Any]) -> dict[str, Any] | None:
    """A column as the YAML of `datasets` spells it; None for nested types, which it reads from the files."""
    if field.name == "image":
        return {"name": "image", "dtype": "image"}
    if pa.types.is_list(field.type) and not pa.types.is_nested(field.type.value_type):
        return {"name": field.name, "list": _dtype(field.type.value_type)}
    if pa.types.is_nested(field.type) or pa.types.is_dictionary(field.type):
        return None
    return {"name": field.name, "dtype": _dtype(field.type)}


def _dtype(kind: pa.DataType) -> str:
    return _DTYPES.get(str(kind), str(kind))
