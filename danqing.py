"""What the public imports: `load_dataset("danqing", ...)` for `datasets`, which runs no loading scripts.

    import danqing                      # registers the builder
    from datasets import load_dataset
    pairs = load_dataset("danqing", data_dir="./danqing", split="train", streaming=True)

In: a root made by `danqing rebuild`, a folder or an fsspec URL, or a manifest. Out: a Dataset or an
IterableDataset. This file stays small on purpose: `datasets` replaces `open`, `os.path` and others in the
module that defines a builder, so whatever else lived here would get the replacements. What looks into rows,
and the downloader behind the config `live`, is imported inside the functions that need it.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import itertools
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import datasets
import datasets.inspect
import datasets.load
import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.parquet as pq
from datasets import Features, Image, Value
from datasets.builder import Key
from datasets.data_files import DataFilesDict, DataFilesList

__version__ = "0.1.0"
NAME = "danqing"
SPLITS = ("train", "validation", "test")
CAPTIONS = ("alt_text", "recaption", "random")

log = logging.getLogger(NAME)
skipped: Counter[str] = Counter()  # shard -> rows that this process left out because their picture is broken

_PAIR = dict.fromkeys(("key", "url", "alt_text", "recaption"), Value("string"))
_PICTURE = {
    "image": Image(),
    **dict.fromkeys(("width", "height", "original_width", "original_height"), Value("int32")),
    **dict.fromkeys(("sha256", "phash", "format"), Value("string")),
    "fetched_at": Value("timestamp[ms, tz=UTC]"),
}
_OUTCOME = {
    **dict.fromkeys(("key", "url", "outcome", "reason"), Value("string")),
    "http_status": Value("int16"),
    "final_url": Value("string"),
    "bytes": Value("int64"),
    "attempts": Value("int16"),
    "milliseconds": Value("int32"),
    **dict.fromkeys(("content_type", "etag", "last_modified"), Value("string")),
    "hash_verified": Value("bool"),
    "decoder": Value("string"),
    "fetched_at": Value("timestamp[ms, tz=UTC]"),
}
# What each config promises; `pairs` and `manifest` add the columns that the shards carry from their manifest.
FEATURES = {
    "pairs": Features({**_PAIR, **_PICTURE}),
    "outcomes": Features(_OUTCOME),
    "manifest": Features(_PAIR),
    "live": Features({**_PAIR, **_PICTURE}),
}
_DESCRIPTIONS = {
    "pairs": "kept pairs with their pictures, from images/",
    "outcomes": "what happened to every row of the manifest, from outcomes/",
    "manifest": "pairs without pixels, from images/ of a root or from a manifest",
    "live": "pairs of a manifest whose pictures are fetched while they are streamed",
}
_REQUIRED = {"pairs": "image", "outcomes": "outcome", "manifest": "url", "live": "url"}


@dataclass
class DanqingConfig(datasets.BuilderConfig):  # type: ignore[misc]
    """The options of `load_dataset("danqing", ...)` beside those of `load_dataset` itself.

    - root: the same as data_dir; without either $DANQING_ROOT, and then ./danqing
    - revision: branch, tag or commit of an hf:// root
    - columns: those to read; filters: as of pyarrow.parquet.read_table, pushed down to the row groups
    - batch_size: rows of an Arrow batch; None: a row group
    - caption: adds a column `caption`: alt_text, recaption, or at random one of the two, dealt by key and
      seed (give another seed for each epoch)
    - decode: False gives the bytes as stored, and checks none
    - validation: share of the pairs carved off by key where the root has no validation split
    - rebuild: options of `danqing rebuild` by name, for the config live
    - fragment_scan_options: how Arrow reads Parquet, such as its read-ahead
    """

    root: str | None = None
    revision: str | None = None
    columns: list[str] | None = None
    filters: Any = None
    batch_size: int | None = None
    caption: str | None = None
    seed: int = 0
    decode: bool = True
    validation: float = 0.0
    rebuild: dict[str, Any] | None = None
    fragment_scan_options: pds.ParquetFragmentScanOptions | None = None
    data_files: Any = None

    def location(self) -> str:
        """The root as an absolute path, or as a URL with its revision."""
        root = str(self.root or self.data_dir or os.environ.get("DANQING_ROOT") or NAME).rstrip("/") or "/"
        if self.revision is None:
            return root if "://" in root else os.path.abspath(root)  # noqa: PTH100 - Path is replaced in here
        if not root.startswith("hf://") or "@" in root:
            raise ValueError(f"revision={self.revision!r} pins an hf:// root that has none yet, not {root}")
        kind, owner, name, *rest = root.removeprefix("hf://").split("/")
        return "hf://" + "/".join([kind, owner, f"{name}@{self.revision}", *rest])

    def _resolve_data_files(self, base_path: str | None, download_config: Any) -> None:
        self._check()
        if self.data_files is None:
            self.data_files = _find(self.name, self.location(), download_config)
        elif not any(self.data_files.values()):
            raise FileNotFoundError("data_files= matches no file: name files, or globs that match some")

    def _check(self) -> None:
        if self.caption not in (None, *CAPTIONS):
            raise ValueError(f"caption={self.caption!r} is not one of {', '.join(CAPTIONS)}")
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation={self.validation} is not a share: 0 <= validation < 1")

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: Features | None = None) -> str:
        """Name the Arrow cache after the options and the files found with their dates or ETags.

        The stock name holds only what the caller passed: a shard that was rewritten would be served stale.
        """
        place = ("root", "data_dir", "revision")
        kwargs = {
            name: value for name, value in config_kwargs.items() if name not in place and value is not None
        }
        return str(super().create_config_id({**kwargs, "data_files": self.data_files}, custom_features))


def _find(config: str, root: str, download_config: Any) -> DataFilesDict:
    """The files of a config by split; where there are none, an error of one line says what to do."""
    base = root.replace("[", "[[]").replace("*", "[*]").replace("?", "[?]")

    def glob(pattern: str) -> DataFilesList:
        return DataFilesList.from_patterns([pattern], base_path=base, download_config=download_config)

    files = glob("outcomes/*.parquet" if config == "outcomes" else "images/*.parquet")
    rest = None
    if not files and config != "outcomes" and glob("images/*.tar"):
        raise ValueError(f'{root} holds tars: use load_dataset("webdataset", data_dir="{root}/images")')
    if not files and config in ("manifest", "live"):
        files, rest = glob("**/*.parquet"), "train"
    found: dict[str, list[tuple[str, Any]]] = {}
    for file, origin in zip(files, files.origin_metadata, strict=True):
        split = file.rsplit("/", 1)[-1].split("-")[0]
        found.setdefault(split if split in SPLITS else rest or "", []).append((file, origin))
    found.pop("", None)
    if not found:
        remedy = f"make it with `danqing rebuild MANIFEST {root}`, or say data_dir= or DANQING_ROOT"
        if config in ("manifest", "live"):
            remedy = "name the folder of a manifest by data_dir=, or its files by data_files="
        elif "://" in root:
            remedy = "check the address, the revision and your access to it"
        raise FileNotFoundError(f"no shards for {config} at {root}: {remedy}")
    lists = {split: map(list, zip(*found[split], strict=True)) for split in sorted(found, key=SPLITS.index)}
    return DataFilesDict({split: DataFilesList(*pair) for split, pair in lists.items()})


class Danqing(datasets.ArrowBasedBuilder):  # type: ignore[misc]
    """The builder behind `load_dataset("danqing")`; a shard is a Parquet file, or a row group of one."""

    VERSION = datasets.Version(__version__)
    BUILDER_CONFIG_CLASS = DanqingConfig
    BUILDER_CONFIGS = [  # noqa: RUF012 - read by the base class under this name
        DanqingConfig(name=name, version=__version__, description=text)
        for name, text in _DESCRIPTIONS.items()
    ]
    DEFAULT_CONFIG_NAME = "pairs"

    def _create_builder_config(self, *args: Any, **kwargs: Any) -> tuple[DanqingConfig, str]:
        # Without any option the base class hands out, and then changes, the config that all builders share.
        kwargs.setdefault("root", None)
        return super()._create_builder_config(*args, **kwargs)  # type: ignore[no-any-return]

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(description=self.config.description)

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        found = dl_manager.download(self.config.data_files)
        if self.info.features is None:
            self.info.features = self._features(next(file for files in found.values() for file in files))
        parts: dict[str, tuple[str, str | None]] = {split: (split, None) for split in found}
        if self.config.validation and "validation" not in found and "train" in found:
            parts = {**parts, "train": ("train", "train"), "validation": ("train", "validation")}
        generators = []
        for split, (name, part) in parts.items():
            shards = {"files": list(found[name]), "row_groups": [None] * len(found[name]), "part": part}
            generators.append(datasets.SplitGenerator(name=split, gen_kwargs=shards))
        return generators

    def _features(self, file: str) -> Features:
        """What the options leave of the columns in a shard, with the types that FEATURES promises."""
        config = self.config
        promised = FEATURES[config.name]
        there = promised if config.name == "live" else self._found(file)
        found = Features({name: promised.get(name, feature) for name, feature in there.items()})
        if "image" in found and not config.decode:
            found["image"] = Image(decode=False)
        added = ["caption"] if config.caption else []
        found.update(dict.fromkeys(added, Value("string")))
        columns = dict.fromkeys([*(found if config.columns is None else config.columns), *added])
        if missing := columns.keys() - found.keys():
            raise ValueError(f"no column {', '.join(missing)} in {file}: there are {', '.join(found)}")
        return Features({name: found[name] for name in columns})

    def _found(self, file: str) -> Features:
        """The columns of a shard; a manifest has those of a pair even where it does not hold them."""
        try:
            with open(file, "rb") as source:  # noqa: PTH123 - reads URLs too: see above
                found = Features.from_arrow_schema(pq.read_schema(source))
        except pa.ArrowInvalid as error:
            raise ValueError(f"{file} is not a Parquet file: {str(error).splitlines()[0]}") from error
        required = _REQUIRED[self.config.name]
        if required not in found:
            raise ValueError(f"no column {required} in {file}: there are {', '.join(found)}")
        if self.config.name == "manifest":
            found.pop("image", None)
            return Features({**_PAIR, **found})
        return found

    def _generate_more_gen_kwargs(
        self, files: list[str], row_groups: list[Any], part: str | None
    ) -> Iterator[dict[str, Any]]:
        """For `IterableDataset.reshard()`: one shard a row group."""
        for file, groups in zip(files, row_groups, strict=True):
            every = [groups]
            if groups is None:
                with open(file, "rb") as source:  # noqa: PTH123
                    every = [(group,) for group in range(pq.read_metadata(source).num_row_groups)]
            yield {"files": [file] * len(every), "row_groups": every, "part": part}

    def _generate_tables(
        self, files: list[str], row_groups: list[Any], part: str | None
    ) -> Iterator[tuple[Key, pa.Table]]:
        read = self._live if self.config.name == "live" else self._shard
        for index, (file, groups) in enumerate(zip(files, row_groups, strict=True)):
            seen, before = 0, skipped[file]
            try:
                for number, table in enumerate(read(file, groups, part)):
                    seen += table.num_rows
                    yield Key(index, number), self._finish(table, file)
            finally:
                if left_out := skipped[file] - before:
                    log.warning("%s: %d of %d pictures are broken: skipped", file, left_out, seen)

    def _live(self, file: str, groups: tuple[int, ...] | None, part: str | None) -> Iterator[pa.Table]:
        from builder.rebuild.live import stream  # the downloader, and all that it imports

        options = {**(self.config.rebuild or {}), "validation": self.config.validation, "part": part}
        yield from stream([file], None if groups is None else _row_ranges(file, groups), options)

    def _shard(self, file: str, groups: tuple[int, ...] | None, part: str | None) -> Iterator[pa.Table]:
        from builder import batches

        at = self.config
        scan = (at.filters, at.batch_size, part, at.validation, at.fragment_scan_options)
        reading = batches.Reading(self._needed(part), *scan)
        with open(file, "rb") as source:  # noqa: PTH123
            yield from batches.read(source, groups, reading)

    def _needed(self, part: str | None) -> list[str]:
        """The columns to read for the features, the caption, the split and the key."""
        names = [name for name in self.info.features if name != "caption" or not self.config.caption]
        names += ["key"] if part else []
        names += ["key", "alt_text", "recaption"] if self.config.caption else []
        names += ["url", "alt_text"] if self.config.name == "manifest" and "key" in names else []
        return list(dict.fromkeys(names))

    def _finish(self, table: pa.Table, file: str) -> pa.Table:
        """Without the rows whose picture is broken, with the caption, and only the columns asked for."""
        from builder import batches

        features = self.info.features
        if self.config.decode and "image" in features:
            from builder.rebuild.intact import is_intact

            whole = batches.without_broken(table, is_intact)
            skipped.update({file: table.num_rows - whole.num_rows} if whole is not table else {})
            table = whole
        if self.config.caption:
            table = table.append_column(
                "caption", batches.caption(table, self.config.caption, self.config.seed)
            )
        return batches.conform(table, features.arrow_schema)


def _row_ranges(file: str, groups: tuple[int, ...]) -> list[tuple[int, int]]:
    """The half-open row ranges of some row groups of a file."""
    with open(file, "rb") as source:  # noqa: PTH123
        metadata = pq.read_metadata(source)
    sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    ends = list(itertools.accumulate(sizes))
    return [(ends[group] - sizes[group], ends[group]) for group in groups]


def load(root: str | os.PathLike[str] | None = None, config: str = "pairs", **options: Any) -> Any:
    """`datasets.load_dataset("danqing", config, data_dir=root, **options)`."""
    return datasets.load_dataset(NAME, config, data_dir=None if root is None else os.fspath(root), **options)


def register() -> None:
    """Make `datasets` resolve the name danqing to this builder; once, however often it is called.

    An entry in the registry of packaged modules would glob the working directory where no data_dir is given.
    """
    original = datasets.load.dataset_module_factory
    if getattr(original, "danqing", False):
        return

    @functools.wraps(original)
    def dataset_module_factory(path: str, revision: str | None = None, *args: Any, **kwargs: Any) -> Any:
        if path != NAME:
            return original(path, revision, *args, **kwargs)
        code = hashlib.sha256(inspect.getsource(sys.modules[__name__]).encode()).hexdigest()
        return datasets.load.DatasetModule(__name__, code, {"dataset_name": NAME, "revision": revision})

    dataset_module_factory.danqing = True  # type: ignore[attr-defined]
    for name in ("datasets.load", "datasets.inspect", "datasets.commands.test"):
        if name in sys.modules:
            vars(sys.modules[name])["dataset_module_factory"] = dataset_module_factory


register()
