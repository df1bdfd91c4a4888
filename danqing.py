"""What the public imports: `load_dataset("danqing", ...)` for `datasets`, which runs no loading scripts.

    import danqing                      # registers the builder
    from datasets import load_dataset
    pairs = load_dataset("danqing", data_dir="./danqing", split="train", streaming=True)

In: a root made by `danqing rebuild`, a folder or an fsspec URL, or a manifest. Out: a Dataset or an
IterableDataset; of a root that `danqing revalidate` or `danqing curate` has judged, the kept pairs. This file
stays small on purpose: `datasets` replaces `open`, `os.path` and others in the module that defines a builder, so
whatever else lived here would get the replacements. What looks for files and into rows, and the downloader behind
the config `live`, is imported inside the functions that need it.
"""

from __future__ import annotations

if __name__ == "__main__":  # the command, before anything heavy and before a second registration
    from builder.cli import script

    script()

import contextlib
import functools
import hashlib
import inspect
import itertools
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import datasets
import datasets.inspect
import datasets.load
import pyarrow as pa
import pyarrow.dataset as pds
import pyarrow.parquet as pq
from datasets import Features, Image, Value
from datasets.builder import Key

__version__ = "0.2.0"
NAME = "danqing"

log = logging.getLogger(NAME)
skipped: Counter[str] = Counter()  # shard -> rows that this process left out because their picture is broken

_PAIR = dict.fromkeys(("key", "url", "alt_text", "recaption"), Value("string"))
_PICTURE = {
    "image": Image(),
    **dict.fromkeys(("width", "height", "original_width", "original_height"), Value("int32")),
    **dict.fromkeys(("sha256", "phash", "format"), Value("string")),
    "fetched_at": Value("int64"),
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
    "fetched_at": Value("int64"),
}
_SCORE = {
    **dict.fromkeys(("key", "host"), Value("string")),
    **dict.fromkeys(("score_alt_text", "score_recaption"), Value("float32")),
    "code": Value("binary"),
    **dict.fromkeys(("p_code", "p_caption"), Value("float32")),
    "same": Value("bool"),
    "code_distance": Value("int16"),
    "score_change": Value("float32"),
    **dict.fromkeys(("phash", "caption_hash"), Value("string")),
    "p": Value("float32"),
    **dict.fromkeys(("verdict", "cause"), Value("string")),
    **dict.fromkeys(("suspect", "kept"), Value("bool")),
}
_CURATED = {
    "key": Value("string"),
    "cos": Value("float32"),
    "nearest": Value("string"),
    "dup_count": Value("int32"),
    **dict.fromkeys(("dup_cluster", "reason"), Value("string")),
}
# What each config promises; `pairs` and `manifest` add the columns that the shards carry from their manifest, and
# in a judged root those that builder.disk.schema.JUDGES appends. Dates are milliseconds since 1970 and 64-bit
# hashes 16 hex characters, as torch has types for neither.
FEATURES = {
    "pairs": Features({**_PAIR, **_PICTURE}),
    "outcomes": Features(_OUTCOME),
    "scores": Features(_SCORE),
    "curated": Features(_CURATED),
    "manifest": Features(_PAIR),
    "live": Features({**_PAIR, **_PICTURE}),
}
_DESCRIPTIONS = {
    "pairs": "kept pairs with their pictures, from images/",
    "outcomes": "what happened to every row of the manifest, from outcomes/",
    "scores": "score and verdict of every pair that has a picture, from scores/",
    "curated": "what each pair that has a picture fails, if anything, from curated/",
    "manifest": "pairs without pixels, from images/ of a root or from a manifest",
    "live": "pairs of a manifest whose pictures are fetched while they are streamed",
}


@dataclass
class DanqingConfig(datasets.BuilderConfig):  # type: ignore[misc]
    """The options of `load_dataset("danqing", ...)` beside those of `load_dataset` itself.

    - root: the same as data_dir; without either $DANQING_ROOT, and then ./danqing
    - revision: branch, tag or commit of an hf:// root
    - columns: those to read, of a judged root also any of scores/ and curated/
    - filters: as of pyarrow.parquet.read_table, on any of these columns, pushed down to the row groups
    - verdicts: of a scored root or a release, one or several whose pairs to yield, without those that curate drops for
      anything else; or `all`, whatever was judged; None: those kept
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
    verdicts: Any = None
    batch_size: int | None = None
    caption: str | None = None
    seed: int = 0
    decode: bool = True
    validation: float = 0.0
    rebuild: dict[str, Any] | None = None
    fragment_scan_options: pds.ParquetFragmentScanOptions | None = None
    data_files: Any = None
    sidecars: Any = field(default=None, init=False, repr=False)  # builder.disk.layout.Sidecars of the shards

    def location(self) -> str:
        """The root as an absolute path, or as a URL with its revision."""
        from builder.disk.layout import location

        root = str(self.root or self.data_dir or os.environ.get("DANQING_ROOT") or NAME).rstrip("/") or "/"
        return location(root, self.revision, log.warning)

    def _resolve_data_files(self, base_path: str | None, download_config: Any) -> None:
        from builder.disk import asked, layout

        asked.check(self)
        self.data_files, self.sidecars = layout.resolve(self, download_config)

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: Features | None = None) -> str:
        """Name the Arrow cache after the options and the files found with their dates or ETags.

        The stock name holds only what the caller passed: a shard that was rewritten would be served stale.
        """
        place = ("root", "data_dir", "revision")
        kwargs = {
            name: value for name, value in config_kwargs.items() if name not in place and value is not None
        }
        found = {"data_files": self.data_files, "sidecars": self.sidecars}
        return str(super().create_config_id({**kwargs, **found}, custom_features))


class Danqing(datasets.ArrowBasedBuilder):  # type: ignore[misc]
    """The builder behind `load_dataset("danqing")`; a shard is a Parquet file, or a row group of one."""

    VERSION = datasets.Version(__version__)
    BUILDER_CONFIG_CLASS = DanqingConfig
    BUILDER_CONFIGS = [  # noqa: RUF012 - read by the base class under this name
        DanqingConfig(name=name, version=__version__, description=text)
        for name, text in _DESCRIPTIONS.items()
    ]
    DEFAULT_CONFIG_NAME = "pairs"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        from builder.disk.layout import placed

        super().__init__(*args, **placed(kwargs))

    def _create_builder_config(self, *args: Any, **kwargs: Any) -> tuple[DanqingConfig, str]:
        # Without any option the base class hands out, and then changes, the config that all builders share.
        kwargs.setdefault("root", None)
        return super()._create_builder_config(*args, **kwargs)  # type: ignore[no-any-return]

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(description=self.config.description)

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        if self.token is False:  # a download_config= of the caller does not say so
            dl_manager.download_config.token = False
        found = dl_manager.download(self.config.data_files)
        at = self.config.sidecars
        beside = at.beside(self.config.data_files, dl_manager.download(at.files))
        if self.info.features is None:
            self.info.features = self._features(next(itertools.chain(*found.values()), ""))
        parts: dict[str, tuple[str, str | None]] = {split: (split, None) for split in found}
        if self.config.validation and "validation" not in found and "train" in found:
            parts = {**parts, "train": ("train", "train"), "validation": ("train", "validation")}
        generators = []
        for split, (name, part) in parts.items():
            files = list(zip(found[name], beside[name], strict=True))
            shards = {"files": files, "row_groups": [None] * len(files), "part": part}
            generators.append(datasets.SplitGenerator(name=split, gen_kwargs=shards))
        return generators

    def _features(self, file: str) -> Features:
        """What the options leave of the columns in a shard, with the types that FEATURES promises."""
        from builder.disk import asked

        there = FEATURES["live"] if self.config.name == "live" else self._found(file)
        return asked.features(self.config, there, FEATURES, file)

    def _found(self, file: str) -> Features:
        """The columns of a shard; a manifest has those of a pair even where it does not hold them."""
        from builder.disk import asked
        from builder.disk.batches import named

        with named(file), open(file, "rb") as source:  # noqa: PTH123 - reads URLs too: see above
            schema = pq.read_schema(source)
        asked.check_schema(self.config, schema, file)
        found = Features.from_arrow_schema(schema)
        if self.config.name == "manifest":
            found.pop("image", None)
            return Features({**_PAIR, **found})
        return found

    def _generate_more_gen_kwargs(
        self, files: list[Any], row_groups: list[Any], part: str | None
    ) -> Iterator[dict[str, Any]]:
        """For `IterableDataset.reshard()`: one shard a row group."""
        for (file, beside), groups in zip(files, row_groups, strict=True):
            every = [groups]
            if groups is None:
                with open(file, "rb") as source:  # noqa: PTH123
                    every = [(group,) for group in range(pq.read_metadata(source).num_row_groups)]
            yield {"files": [(file, beside)] * len(every), "row_groups": every, "part": part}

    def _generate_tables(
        self, files: list[Any], row_groups: list[Any], part: str | None
    ) -> Iterator[tuple[Key, pa.Table]]:
        from builder.disk.batches import named

        read = self._live if self.config.name == "live" else self._shard
        target = self.info.features.arrow_schema  # made anew whenever asked for: 1 ms
        left_out = skipped  # a reader that stops early closes this when Python ends, and the globals are gone
        for index, ((file, beside), groups) in enumerate(zip(files, row_groups, strict=True)):
            seen, before = 0, left_out[file]
            try:
                with named(file):
                    for number, table in enumerate(read(file, beside, groups, part)):
                        seen += table.num_rows
                        yield Key(index, number), self._finish(table, file, target)
            finally:
                if broken := left_out[file] - before:
                    log.warning("%s: %d of %d pictures are broken: skipped", file, broken, seen)

    def _live(
        self, file: str, _: Any, groups: tuple[int, ...] | None, part: str | None
    ) -> Iterator[pa.Table]:
        from builder.disk.batches import row_ranges
        from builder.rebuild.live import stream  # the downloader, and all that it imports

        options = {**(self.config.rebuild or {}), "validation": self.config.validation, "part": part}
        ranges = None
        if groups is not None:
            with open(file, "rb") as source:  # noqa: PTH123
                ranges = row_ranges(source, groups)
        yield from stream([file], ranges, options, self.config.filters)

    def _shard(
        self, file: str, beside: Any, groups: tuple[int, ...] | None, part: str | None
    ) -> Iterator[pa.Table]:
        from builder.disk import asked, batches, sidecar

        at, check = self.config, functools.partial(asked.check_shard, self.config, place=file)
        scan = (at.filters, at.batch_size, part, at.validation, at.fragment_scan_options, at.verdicts)
        reading = batches.Reading(self._needed(part), *scan, judges=at.sidecars.judges, check=check)
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(open(file, "rb"))  # noqa: PTH123
            if beside:
                there = [(stack.enter_context(open(one.file, "rb")), one) for one in beside]  # noqa: PTH123
                yield from sidecar.read(source, groups, reading, there)
            else:
                yield from batches.read(source, groups, reading)

    def _needed(self, part: str | None) -> list[str]:
        """The columns to read for the features, the caption, the split and the key."""
        names = [name for name in self.info.features if name != "caption" or not self.config.caption]
        names += ["key"] if part else []
        names += ["key", "alt_text", "recaption"] if self.config.caption else []
        names += ["url", "alt_text"] if self.config.name == "manifest" and "key" in names else []
        return list(dict.fromkeys(names))

    def _finish(self, table: pa.Table, file: str, target: pa.Schema) -> pa.Table:
        """Without the rows whose picture is broken, with the caption, and only the columns asked for."""
        from builder.disk import batches

        if self.config.decode and "image" in target.names:
            from builder.picture.intact import is_intact

            whole = batches.without_broken(table, is_intact)
            skipped.update({file: table.num_rows - whole.num_rows} if whole is not table else {})
            table = whole
        if self.config.caption:
            table = table.append_column(
                "caption", batches.caption(table, self.config.caption, self.config.seed)
            )
        return batches.conform(table, target)


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
