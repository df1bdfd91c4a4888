"""The card of a root: the README.md that lets stock `datasets` load the folder without importing danqing.

In: the splits, the format and the carried columns. Out: Markdown with the YAML that `datasets` reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from string import Template
from typing import Any

import pyarrow as pa
import yaml

from .schema import OUTCOMES, PAIR, PICTURE

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
        described = {name: [_feature(field) for field in schema] for name, schema in features.items()}
        data["dataset_info"] = [
            {"config_name": name, "features": fields}
            for name, fields in described.items()
            if None not in fields
        ]
    else:
        data["configs"] = [_config("pairs", "images", "tar", splits)]
    # What the hub's DatasetCardData writes; importing the hub would cost every rebuild 60 ms.
    metadata = yaml.safe_dump(data, sort_keys=False, allow_unicode=True).strip()
    template = Template(resources.files("cards").joinpath("root.md").read_text(encoding="utf-8"))
    return template.substitute(metadata=metadata, usage=_USAGE[format])


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
