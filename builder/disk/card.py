"""The card of a root: the README.md by which stock `datasets` loads the folder without importing danqing.

In: the splits, the format and the carried columns, or a card and who judges its root now. Out: Markdown with the YAML
that `datasets` reads. Unless it is judged the config `pairs` is the default. Stock `datasets` joins no file to another,
so once there are verdicts all pairs are called `unfiltered` and no config is the default: loading stops and lists the
configs, and the card shows how to get the pairs that are kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources
from string import Template
from typing import Any, TypeGuard

import pyarrow as pa
import yaml

from ..console import harmless
from .documents import Document
from .files import join, read_bytes, write_atomic
from .schema import IMAGE, JUDGES, OUTCOMES, PAIR, PICTURE, STORED, is_list
from .tars import tar_schema

# Arrow's names of types where `datasets` has others.
_DTYPES = {"double": "float64", "float": "float32", "halffloat": "float16", "date32[day]": "date32"}

_PLACE = '"/absolute/path/of/this/folder"'
_PAIRS = f"""\
from datasets import load_dataset

pairs = load_dataset({_PLACE}, split="train", streaming=True)
"""
_USAGE = {
    "parquet": f"""\
{_PAIRS}tensors = pairs.remove_columns("fetched_at").with_format("torch")  # torch has no type for a date

import danqing  # or with the options of danqing: captions, broken pictures skipped, validation split

pairs = danqing.load({_PLACE}, split="train", streaming=True)""",
    "webdataset": f"""\
{_PAIRS}# A row has its picture under its extension, `txt` (the alt_text) and `json` (all other columns).""",
}
# For a judged root; what is shown of each judge.
_JUDGED = f"""\
import danqing  # yields the pairs that are kept, with $told

pairs = danqing.load({_PLACE}, split="train", streaming=True)

from datasets import concatenate_datasets, load_dataset  # or without danqing: row i of one is row i of the other

unfiltered = load_dataset({_PLACE}, "unfiltered", split="train", streaming=True)
$loaded
joined = concatenate_datasets([unfiltered, $selected], axis=1)
pairs = joined.filter($kept)
tensors = pairs.remove_columns("fetched_at").with_format("torch")  # torch has no type for a date"""
_TOLD = {"scores": "their scores", "curated": "what curate found"}
_KEPT = {
    ("scores",): 'bool, input_columns="kept"',
    ("curated",): 'lambda reason: reason is None, input_columns="reason"',
    ("scores", "curated"): 'lambda kept, reason: kept and reason is None, input_columns=["kept", "reason"]',
}
_SHOWN = re.compile(rf"```python\n(?:(?!```).)*{re.escape(_PLACE)}.*?\n```", re.DOTALL)


def root_card(
    splits: Sequence[str],
    format: str,  # noqa: A002  as the option is called
    carried: pa.Schema | None = None,
    encode: str = "jpeg",
) -> str:
    """README.md of a root with these splits; `format` and `encode` are the options of a rebuild.

    `datasets` reads a folder with one builder, so a root of tars offers its pictures and not its outcomes. It would
    guess the columns of tars from five pairs: a later picture of another kind would be None, and a value where those
    had none an error. So they are said, each kind of picture with a column of its own.
    """
    columns = pa.schema([*PAIR, *(carried or ()), *PICTURE])
    data: Document = {"pretty_name": "DanQing, rebuilt", "language": ["zh"], "tags": ["image-text"]}
    if format == "parquet":
        data["configs"] = [
            _config("pairs", "images", "parquet", splits),
            _config("outcomes", "outcomes", "parquet", splits),
        ]
        data["configs"][0]["default"] = True
        data["dataset_info"] = [_described("pairs", columns), _described("outcomes", OUTCOMES)]
    else:
        data["configs"] = [_config("pairs", "images", "tar", splits)]
        kinds = STORED if encode == "original" else (encode,)
        data["dataset_info"] = [_described("pairs", tar_schema(columns, kinds))]
    template = Template(resources.files("cards").joinpath("root.md").read_text(encoding="utf-8"))
    return template.substitute(metadata=dump(data), usage=_USAGE[format])


_OUTCOMES_ROW = "| `outcomes/` | one row per manifest row: kept or dropped, and why |\n"
_ROWS = {
    "scores": "| `scores/` | one row per row of `images/`: SigLIP score, verdict, and whether the pair is kept; "
    "`unfiltered` yields all of `images/` |\n",
    "curated": "| `curated/` | one row per row of `images/`: `reason`, why the pair is dropped, null where it is kept; "
    "cosine and duplicates |\n",
}
_ROW = re.compile(r"^\| `(?:scores|curated)/` \|.*\n", re.MULTILINE)


def is_ours(card: str) -> bool:
    """Whether the front matter of a README.md is what `root_card` writes, whatever else stands in the file."""
    return _pairs_of(parsed(card)[0]) is not None


def offer(root: str, *, scored: bool | None = None, curated: bool | None = None) -> bool:
    """Rewrite the README.md of a root of Parquet by who judges it now, as of offering; False: it is not ours."""
    path = join(root, "README.md")
    card = (read_bytes(path) or b"").decode("utf-8", "surrogateescape")
    if (turned := offering(card, scored=scored, curated=curated)) != card:
        write_atomic(path, turned.encode("utf-8", "surrogateescape"))
    return is_ours(card)


def offering(card: str, *, scored: bool | None = None, curated: bool | None = None) -> str:
    """The card of a root that is scored or curated now: `pairs` is `unfiltered` and no default; each judge is a config.

    Or the opposite: the card of a root that is neither any more. None: as the card has it. What a user wrote into the
    card stays; it comes back as it is where its front matter is not ours.
    """
    data, body = parsed(card)
    pairs = _pairs_of(data)
    if pairs is None or not pairs["data_files"][0]["path"].endswith(".parquet"):
        return card
    names = {judge.folder: judge.columns for judge in JUDGES}
    before, found = pairs["config_name"], {one.get("config_name") for one in data["configs"]}
    asked = dict(zip(names, (scored, curated), strict=True))
    there = tuple(name for name, known in asked.items() if (name in found if known is None else known))
    name = "unfiltered" if there else "pairs"
    if not there and before == name and not found & names.keys():
        return card
    splits = [file["split"] for file in pairs["data_files"]]
    config = {"config_name": name, "data_files": pairs["data_files"]}
    others = [one for one in data["configs"] if one.get("config_name") not in (before, *names)]
    infos = [one for one in data.get("dataset_info", ()) if one.get("config_name") not in names]
    data["configs"] = [
        config if there else config | {"default": True},
        *others,
        *(_config(one, one, "parquet", splits) for one in there),
    ]
    data["dataset_info"] = [
        info | {"config_name": name} if info.get("config_name") == before else info for info in infos
    ] + [_described(one, names[one]) for one in there]
    rows = "".join(_ROWS[one] for one in there)
    body = _ROW.sub("", body).replace(_OUTCOMES_ROW, _OUTCOMES_ROW + rows, 1)
    usage = f"```python\n{_usage(there)}\n```"
    body = _SHOWN.sub(lambda _: usage, body, count=1) if _SHOWN.search(body) else f"{body}\n{usage}\n"
    return f"---\n{dump(data)}\n---\n{body}"


def _usage(judges: tuple[str, ...]) -> str:
    """The code that loads a root which these folders judge."""
    if not judges:
        return _USAGE["parquet"]
    columns = {"scores": "kept", "curated": "reason"}
    return Template(_JUDGED).substitute(
        told=" and ".join(_TOLD[one] for one in judges),
        loaded="\n".join(
            f'{one} = load_dataset({_PLACE}, "{one}", split="train", streaming=True)' for one in judges
        ),
        selected=", ".join(f'{one}.select_columns("{columns[one]}")' for one in judges),
        kept=_KEPT[judges],
    )


def _pairs_of(data: Document) -> Document | None:
    """The config of the pictures, as it is written here; None where the front matter is not ours."""
    configs, infos = data.get("configs"), data.get("dataset_info", [])
    if not (_are_dicts(configs) and _are_dicts(infos)):
        return None
    for config in configs:
        files = config.get("data_files")
        if config.get("config_name") in ("pairs", "unfiltered") and _are_dicts(files):
            splits = [str(file.get("split")) for file in files]
            if files in [_config("", "images", kind, splits)["data_files"] for kind in ("parquet", "tar")]:
                return dict(config)
    return None


def _are_dicts(value: Any) -> TypeGuard[list[Document]]:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def parsed(card: str) -> tuple[Document, str]:
    """The front matter of a card and what follows it; an empty one where there is none that can be read.

    An editor may have given it a byte order mark or line ends of its own, which the hub reads all the same.
    """
    card = card.removeprefix("\ufeff").replace("\r\n", "\n")
    head, _, body = card.removeprefix("---\n").partition("\n---\n")
    try:
        data = yaml.safe_load(head) if card.startswith("---\n") else None
    except (yaml.YAMLError, RecursionError, ValueError):  # the last of a date that is none
        data = None
    return (data, body) if isinstance(data, dict) else ({}, card)


def dump(data: Document) -> str:
    """Front matter as the hub's DatasetCardData writes it, but for characters that nobody sees: those are escaped."""
    # Importing the hub would cost every rebuild 60 ms.
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True).strip()
    if harmless(text.replace("\n", "")) != text.replace("\n", ""):
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=False).strip()
    return text


def _described(name: str, schema: pa.Schema) -> Document:
    return {"config_name": name, "features": [_feature(field) for field in schema]}


def _config(name: str, folder: str, extension: str, splits: Sequence[str]) -> Document:
    files = [{"split": split, "path": f"{folder}/{split}-*.{extension}"} for split in splits]
    return {"config_name": name, "data_files": files}


def _feature(field: pa.Field[Any]) -> Document:
    """A column as the YAML of `datasets` spells it."""
    return {"name": field.name, **({"dtype": "image"} if field.type == IMAGE else _kind(field.type))}


def _kind(kind: Any) -> Document:
    if pa.types.is_struct(kind):
        return {"struct": [_feature(kind.field(i)) for i in range(kind.num_fields)]}
    if is_list(kind):
        inner = _kind(kind.value_type)
        length = {"length": kind.list_size} if pa.types.is_fixed_size_list(kind) else {}
        name = "large_list" if pa.types.is_large_list(kind) else "list"
        return {name: inner.get("dtype", inner.get("struct", inner)), **length}
    name = str(kind.value_type if pa.types.is_dictionary(kind) else kind)
    return {"dtype": _DTYPES.get(name, name)}
