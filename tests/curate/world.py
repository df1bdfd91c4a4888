"""A root whose pairs have measures and embeddings already, planted by hand, for tests of what is decided by them.

    root = Root(folder, vectors)      # images/, measures/, embeddings/ and the markers of those passes
    danqing curate folder --embedder tiny

The pictures are not looked at: pair i has the embedding that the test says, and plain measures where it says nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from builder.console import Console
from builder.curate.config import CurateConfig
from builder.curate.plan import CuratePlan
from builder.curate.runner import Curation
from builder.curate.spool import EMBEDDED, mark
from builder.disk import ledger
from builder.disk.ledger import Tally
from builder.disk.parquet import image_schema, writer
from builder.disk.schema import MEASURES, pair_key
from builder.stage.engine import Pass
from builder.stage.run import Result, run
from builder.stage.shards import find_shards
from builder.towers import find

Halves = npt.NDArray[np.float16]
PLAIN = {"spread": 40.0, "sharpness": 900.0, "entropy": 7.0}


def units(vectors: npt.NDArray[Any]) -> Halves:
    """Vectors of length one, as they are stored."""
    wide = vectors.astype(np.float64)
    return (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float16)


def world(n: int, dim: int = 24, seed: int = 0) -> Halves:
    """Vectors of which every third is near an earlier one, at cosines of .84 to 1, and every eleventh equals one."""
    rng = np.random.default_rng(seed)
    found = units(rng.standard_normal((n, dim))).astype(np.float64)
    for row in range(1, n):
        other = found[rng.integers(0, row)]
        if row % 3 == 0:
            aside = rng.standard_normal(dim)
            aside -= aside @ other / (other @ other) * other
            cos = rng.uniform(0.84, 1)
            found[row] = cos * other + np.sqrt(1 - cos**2) * aside / np.linalg.norm(aside)
        if row % 11 == 0:
            found[row] = other
    return units(found)


@dataclass
class Root:
    """Such a root. vectors: of the pictures (n, d); columns: of images/ beside the usual; order: of the pairs in it.

    captions: embeddings (n, d), by default those of the pictures turned a little; missing: pairs without embedding.
    """

    path: Path
    vectors: Halves
    shards: int = 3
    captions: Halves | None = None
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    measures: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    order: Sequence[int] | None = None
    missing: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        n = len(self.vectors)
        order = list(self.order if self.order is not None else range(n))
        captions = self.vectors if self.captions is None else self.captions
        slug = find("tiny").slug
        for shard in range(self.shards):
            some = order[shard * n // self.shards : (shard + 1) * n // self.shards]
            name = f"train-{shard:05d}-of-{self.shards:05d}.parquet"
            keys = pa.array([self.key(row) for row in some], pa.string())
            self._images(name, some)
            measured = {one: self.measures.get(one, [PLAIN[one]] * n) for one in PLAIN}
            table = {
                one: pa.array([values[row] for row in some], pa.float32()) for one, values in measured.items()
            }
            self._write("measures", name, pa.table({"key": keys, **table}, schema=MEASURES))
            gone = np.array([row in self.missing for row in some], np.bool_)
            lists = {
                one: _lists(values[some], gone)
                for one, values in (("image", self.vectors), ("alt_text", captions))
            }
            self._write(f"embeddings/{slug}", name, pa.table({"key": keys, **lists}))
        self._rebuilt(n)
        for one in find_shards(str(self.path), "curated"):
            path = f"embeddings/{slug}/{one.stem}.parquet"
            outputs = {path: ledger.entry(self.path / path, one.rows)}
            mark(str(self.path), EMBEDDED, one, Tally(one.rows, one.rows), outputs, f"{slug} alt_text")

    def _rebuilt(self, rows: int) -> None:
        """The ledger of the rebuild that made it."""
        root = str(self.path)
        ledger.write_plan(
            root, "rebuild", {"stage": "rebuild", "rows": {"train": rows}, "shards": {"train": self.shards}}
        )
        for path in sorted((self.path / "images").iterdir()):
            count = pq.read_metadata(path).num_rows
            files = {
                f"{one}/{path.name}": ledger.entry(self.path / one / path.name, count)
                for one in ("images", "measures")
            }
            done = ledger.ShardLedger.of(
                "rebuild", path.stem, Tally(count, count), outputs=files, config="c", seconds=1.0
            )
            done.write(root)

    def key(self, row: int) -> str:
        """The key of a pair."""
        return pair_key(f"http://images.test/{row}.jpg", f"第{row}张图片")

    def _images(self, name: str, rows: Sequence[int]) -> None:
        more = {
            one: values
            for one, values in self.columns.items()
            if one not in image_schema(pa.schema([])).names
        }
        carried = pa.schema([pa.field(one, pa.array(list(values)).type) for one, values in more.items()])
        schema = image_schema(carried)
        made = []
        for row in rows:
            pair: dict[str, Any] = {
                "key": self.key(row), "url": f"http://images.test/{row}.jpg", "alt_text": f"第{row}张图片",
                "image": {"bytes": b"", "path": f"{row}.jpg"}, "phash": f"{row:016x}", "sha256": f"{row:064x}",
                **dict.fromkeys(("width", "height", "original_width", "original_height"), 300),
            }  # fmt: skip
            made.append(pair | {one: values[row] for one, values in self.columns.items()})
        path = self.path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with writer(path, schema) as file:
            for start in range(0, len(made), 40):
                file.write_table(pa.Table.from_pylist(made[start : start + 40], schema))

    def _write(self, folder: str, name: str, table: pa.Table) -> None:
        (self.path / folder).mkdir(parents=True, exist_ok=True)
        pq.write_table(table, self.path / folder / name, row_group_size=30)

    def curate(self, **options: Any) -> dict[str, dict[str, Any]]:
        """Curate it in this process, and return the rows of curated/ by key."""
        curate(str(self.path), **{"align": "-1,1", **options})
        return self.rows()

    def rows(self) -> dict[str, dict[str, Any]]:
        """The rows of curated/ by key."""
        return {row["key"]: row for row in pq.read_table(self.path / "curated").to_pylist()}

    def reasons(self, **options: Any) -> list[str | None]:
        """The reasons of the pairs, by their numbers."""
        found = self.curate(**options)
        return [found[self.key(row)]["reason"] for row in range(len(self.vectors))]


class InProcess(Curation):
    """A curation whose passes are done in this process."""

    def passes(self, plan: CuratePlan, work: Path) -> Iterator[Pass]:
        """The passes, without processes."""
        for one in super().passes(plan, work):
            yield dataclasses.replace(one, processes=0)


def curate(root: str, **options: Any) -> Result:
    """Curate a root in this process, by `tiny`."""
    config = CurateConfig(root, **{"embedder": "tiny", **options})
    config.check()
    return run(InProcess(config, Console(quiet=True)))


def _lists(values: Halves, gone: npt.NDArray[np.bool_]) -> Any:
    flat = pa.array(values.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1], mask=pa.array(gone))
