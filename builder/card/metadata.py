"""The front matter of a release's card: what the Hub shows and what stock `datasets` loads by.

    Release, schema ─▶ DatasetCardData ─▶ YAML

Configurations, splits, features and sizes are those of the files. The Hub checks it once more before an upload.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from ..disk.card import dump
from ..disk.location import DANQING, bare
from ..disk.release import Release, split_of
from ..disk.schema import IMAGE, STORED
from ..disk.tars import tar_schema
from ..errors import InputError
from .words import COLUMNS

# The identifiers that the Hub takes, but `other`, which needs a name and a link of its own.
_LICENSES = """
    afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
    bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
    cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0
    eupl-1.1 eupl-1.2 fair-noncommercial-research-license gfdl gpl gpl-2.0 gpl-3.0 intel-research isc lgpl lgpl-2.1
    lgpl-3.0 lgpl-lr lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 open-mdw openrail openrail++ osl-3.0 pddl
    postgresql unlicense unknown wtfpl zlib
"""
LICENSES = frozenset(_LICENSES.split())
READ = (
    "license",
    "license_name",
    "license_link",
    "source_datasets",
    "configs",
    "dataset_info",
)  # by programs
TASKS = ("image-to-text", "text-to-image", "zero-shot-image-classification")
_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B")


def check_license(identifier: str) -> None:
    """InputError for a license that the Hub does not know by this identifier."""
    if identifier not in LICENSES | {"other"}:
        near = sorted(one for one in LICENSES if one.split("-")[0] == identifier.lower().split("-")[0])
        raise InputError(
            f"license {identifier}: no identifier of the Hub; there are {', '.join(near or sorted(LICENSES))}"
        )


def size_category(pairs: int) -> str:
    """The Hub's word for a number of pairs."""
    return _SIZES[min(max(len(str(pairs)) - 3, 0), len(_SIZES) - 1)]


def columns_said(schema: pa.Schema) -> str:
    """The columns for release.json: as `datasets` has them in JSON, a text because their order counts."""
    from datasets import Features

    return json.dumps(Features.from_arrow_schema(schema).to_dict(), ensure_ascii=False)


def columns_told(said: str) -> pa.Schema:
    """The columns that columns_said gave, with types as stock `datasets` has them."""
    from datasets import Features

    columns: pa.Schema = Features.from_dict(json.loads(said)).arrow_schema
    return columns


def front_matter(release: Release, schema: pa.Schema, title: str) -> str:
    """The YAML of a card, without the lines of dashes; InputError for a license that the Hub does not know."""
    check_license(release.license)
    return dump(head(release, schema, title))


def head(release: Release, schema: pa.Schema, title: str) -> dict[str, object]:
    """The front matter as a mapping, in the order in which the Hub writes it."""
    from datasets.info import DatasetInfosDict
    from datasets.utils.metadata import MetadataConfigs

    of_danqing, source = release.source == DANQING, release.source
    tags = {"image-text": True, "vision-language": True, "chinese": of_danqing, "danqing": True}
    tags["webdataset"] = release.has_tars
    known: dict[str, object] = {
        "annotations_creators": ["machine-generated" if release.validated else "no-annotation"],
        "language": "zh" if of_danqing else None,
        "license": release.license,
        "multilinguality": "monolingual",
        "size_categories": [size_category(release.counts["kept"])],
        # The id of the source on the Hub, else that there is one.
        "source_datasets": [source if bare(source) else "extended"] if source else None,
        "task_categories": [*TASKS],
        "pretty_name": title,
        "license_name": release.license_name,
        "license_link": release.license_link,
        "tags": [tag for tag, there in tags.items() if there],
    }
    data = {name: value for name, value in known.items() if value}
    MetadataConfigs(configs(release)).to_dataset_card_data(data)
    DatasetInfosDict(_infos(release, schema)).to_dataset_card_data(data)
    return data


def configs(release: Release) -> dict[str, dict[str, object]]:
    """The configurations by name, the data first by `default`.

    `datasets` reads a repository with one builder, so one of tars offers its pairs and no tables. The patterns name the
    number of shards: a card takes in none of another layout, as there are while a large release is being published.
    """
    extension = "tar" if release.has_tars else "parquet"
    ends = {split_of(path): path.rpartition("-")[2] for path in release.shards()}
    main: dict[str, object] = {
        "data_files": [
            {"split": split, "path": f"{release.what}/{split}-*-of-{ends[split]}"} for split in release.splits
        ],
        "default": True,
    }
    if release.what == "images" and (release.validated or release.curated) and extension == "parquet":
        main["filters"] = [["kept", "==", True]]
    found = {release.what: main}
    if extension == "parquet":
        for name in COLUMNS:
            if release.part(name):
                found[name] = {"data_files": [{"split": "train", "path": f"{name}/*.parquet"}]}
    return found


def _infos(release: Release, schema: pa.Schema) -> dict[str, object]:
    """dataset_info of every configuration; sizes are those of the files, as a footer tells no other that is stable."""
    from datasets import Features

    infos = {}
    counted = {
        split: (one["kept"], one["bytes"])
        for split, one in ((s, release.counts["splits"][s]) for s in release.splits)
    }
    features = _tar_features(release, schema) if release.has_tars else Features.from_arrow_schema(schema)
    infos[release.what] = _info(release.what, features, counted)
    if not release.has_tars:
        for name, columns in COLUMNS.items():
            if files := release.part(name):
                rows, size = sum(file["rows"] for file in files), sum(file["bytes"] for file in files)
                infos[name] = _info(name, Features.from_arrow_schema(columns), {"train": (rows, size)})
    return infos


def _tar_features(release: Release, schema: pa.Schema) -> Any:
    """Features of a pair in a tar: its picture by the extension, `txt` and `json`.

    `datasets` would guess it from five pairs, and fail at the first that has a value where those had none. Where no
    ledger tells how the pictures were stored, they may be of any kind.
    """
    from datasets import Features, Image

    encode = release.funnel.get("options", {}).get("encode")
    kinds = sorted(release.counts["formats"]) if encode == "original" else [encode] if encode else STORED
    told = tar_schema(schema, kinds)
    found = Features.from_arrow_schema(told)
    return Features({f.name: Image() if f.type == IMAGE else found[f.name] for f in told})


def _info(name: str, features: Any, counted: dict[str, tuple[int, int]]) -> Any:
    from datasets import DatasetInfo, SplitDict, SplitInfo

    size = sum(size for _, size in counted.values())
    splits = {
        split: SplitInfo(name=split, num_examples=rows, num_bytes=size)
        for split, (rows, size) in counted.items()
    }
    return DatasetInfo(
        config_name=name,
        features=features,
        splits=SplitDict(splits),
        download_size=size,
        dataset_size=size,
    )
