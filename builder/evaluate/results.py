"""Results: what a checkpoint answered to every picture and text of a benchmark. Figures are made from these alone.

    Answers ─▶ <folder>/evaluate/<slug of the checkpoint>/<benchmark>.parquet ─▶ Answers ─▶ figures and their draws

A file is there when its benchmark is done. The same draws of pictures and texts are taken for every checkpoint, so the
difference of two has an interval of its own, which is narrower than those of the two.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ..disk import documents
from ..disk.files import join, listdir, read_bytes, write_atomic
from ..disk.parquet import pc
from ..errors import InputError
from . import metrics
from .metrics import UNFOUND
from .recipe import AUC, BENCHMARKS, MAP, PER_CLASS, RANKS, SHORT, TOP1, WAYS, ZERO_SHOT, Benchmark, own

FOLDER = "evaluate"
FORMAT = 1
NONE = -1  # an answer that is none: the picture is lost, or two classes are equally near
_SAID = b"danqing evaluate"
# scores: cosines of the classes, where a measure ranks pictures by them.
_LABELLED: list[Any] = [
    pa.field("picture", pa.string(), False),
    pa.field("truth", pa.list_(pa.int32()), False),
    pa.field("answer", pa.int32(), False),
    pa.field("scores", pa.list_(pa.float32())),
]
LABELLED = pa.schema(_LABELLED)
# pictures: rows of the picture that the query is, or of those that belong to it; rank: null where none is found.
_RETRIEVED: list[Any] = [
    pa.field("way", pa.string(), False),
    pa.field("query", pa.string(), False),
    pa.field("pictures", pa.list_(pa.int32()), False),
    pa.field("rank", pa.int32()),
    pa.field("tied", pa.bool_(), False),
]
RETRIEVED = pa.schema(_RETRIEVED)
Floats = npt.NDArray[np.float64]
Drawn = Mapping[str, Floats]  # by measure: the figure, then its draws (1 + draws,)
Figure = Callable[[Floats], Floats]  # weights (b, n) ─▶ (b,)


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers to one benchmark. rows: of LABELLED or RETRIEVED; said: what people should know of them, a line each.

    lost: pictures that could not be decoded; identity: what the answers follow from.
    """

    benchmark: Benchmark
    rows: pa.Table
    identity: Mapping[str, object]
    said: tuple[str, ...] = ()
    lost: int = 0

    @property
    def tied(self) -> int:
        """Queries whose best positive is no nearer than another."""
        return 0 if self.benchmark.family == ZERO_SHOT else int(np.count_nonzero(self._column("tied")))

    def _column(self, name: str) -> npt.NDArray[Any]:
        found: npt.NDArray[Any] = self.rows[name].to_numpy(zero_copy_only=False)
        return found

    def save(self, folder: str) -> None:
        """Write them into the folder of a checkpoint, whole or not at all."""
        told = {"format": FORMAT, "identity": self.identity, "said": self.said, "lost": self.lost}
        sink = io.BytesIO()
        pq.write_table(self.rows.replace_schema_metadata({_SAID: json.dumps(told)}), sink, compression="zstd")
        write_atomic(path_of(folder, self.benchmark), sink.getvalue())

    def drawn(self, draws: int, seed: int, keep: npt.NDArray[np.bool_] | None = None) -> Drawn:
        """Every measure, in shares of 1, and so many draws of it. keep: pictures to count; None: all."""
        found: dict[str, Floats] = {}
        for stream, rows, figures in self._streams(keep):
            ones = np.ones((1, rows))
            blocks = [ones, *(metrics.draws_of(rows, draws, seed, stream) if rows else ())]
            for name, figure in figures.items():
                found[name] = np.concatenate([figure(one) for one in blocks]) if rows else np.array([np.nan])
        return found

    def _streams(self, keep: npt.NDArray[np.bool_] | None) -> Iterator[tuple[str, int, Mapping[str, Figure]]]:
        """What is drawn together: its name, how many rows it has, and its measures."""
        name = self.benchmark.name
        if self.benchmark.family == ZERO_SHOT:
            rows = self.rows if keep is None else self.rows.filter(pa.array(keep))
            yield name, len(rows), _labelled(rows, self.benchmark.elevater)
            return
        way = self._column("way")
        counted = np.ones(len(way), np.bool_)
        if keep is not None:
            pictures: Any = self.rows["pictures"].to_pylist()
            wanted = {*np.flatnonzero(keep).tolist()}
            counted = np.array([wanted.issuperset(some) for some in pictures], np.bool_)
        ranks: Any = pc.fill_null(self.rows["rank"], UNFOUND).to_numpy()
        for one in WAYS:
            mask = (way == one) & counted
            rank = ranks[mask]
            figures = {f"{one} R@{most}": _recall(rank, most) for most in RANKS}
            yield f"{name} {one}", len(rank), figures


def _recall(rank: npt.NDArray[np.int32], most: int) -> Figure:
    return lambda weights: metrics.recall(rank, weights, most)


def _labelled(rows: pa.Table, elevater: str) -> Mapping[str, Figure]:
    """The measures of pictures of classes: top-1, and what ELEVATER takes."""
    answer: npt.NDArray[np.int32] = rows["answer"].to_numpy()
    truths: Any = rows["truth"].to_pylist()
    right = np.array([one in truth for one, truth in zip(answer, truths, strict=True)], np.bool_)
    label = np.array([truth[0] for truth in truths], np.int64)
    figures: dict[str, Figure] = {TOP1: lambda weights: metrics.top1(right, weights)}
    if elevater == PER_CLASS:
        figures[PER_CLASS] = lambda weights: metrics.mean_per_class(right, label, weights)
    elif elevater in (MAP, AUC):
        scores = np.array(rows["scores"].to_pylist(), np.float32)
        if elevater == AUC:
            figures[AUC] = lambda weights: metrics.auc(scores[:, 1] - scores[:, 0], label == 1, weights)
        else:
            truth = np.zeros(scores.shape, np.bool_)
            for row, classes in enumerate(truths):
                truth[row, classes] = True
            figures[MAP] = lambda weights: metrics.mean_average_precision(scores, truth, weights)
    return figures


def path_of(folder: str, benchmark: Benchmark) -> str:
    """The file of a benchmark in the folder of a checkpoint."""
    return join(folder, f"{benchmark.name}.parquet")


def load(folder: str, benchmark: Benchmark, identity: Mapping[str, object] | None = None) -> Answers | None:
    """The answers that lie there; None where there are none, or of another identity where one is given.

    Raises InputError where a file of that name holds something else.
    """
    found = _read(path_of(folder, benchmark), benchmark.name)
    return found if found and identity in (None, found.identity) else None


def stored(folder: str, chosen: Set[str] = frozenset()) -> dict[str, Answers]:
    """Answers in a checkpoint's folder by benchmark, those of the paper first. Raises as `load` does.

    chosen: names of those to read, or nothing for all.
    """
    names = {name.removesuffix(".parquet") for name in listdir(folder) if name.endswith(".parquet")}
    names &= chosen or names
    order = [*(name for name in BENCHMARKS if name in names), *sorted(names - BENCHMARKS.keys())]
    found = ((name, _read(join(folder, f"{name}.parquet"), name)) for name in order)
    return {name: answers for name, answers in found if answers is not None}


def _read(path: str, name: str) -> Answers | None:
    """The answers of a file; None where there is none, or of a later format."""
    if (data := read_bytes(path)) is None:
        return None
    try:
        rows = pq.read_table(io.BytesIO(data))
        told = documents.parse((rows.schema.metadata or {})[_SAID])
        if told["format"] != FORMAT:
            return None
        zero_shot = "answer" in rows.column_names
        kind = LABELLED if zero_shot else RETRIEVED
        benchmark = BENCHMARKS.get(name) or own(name, ZERO_SHOT if zero_shot else SHORT)
        if (benchmark.family == ZERO_SHOT) != zero_shot:
            raise ValueError("answers of another kind of benchmark")
        rows = rows.select(kind.names).cast(kind)
        _check(rows, benchmark)
        said = tuple(map(str, told["said"]))
        return Answers(benchmark, rows, dict(told["identity"]), said, int(told["lost"]))
    except (pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: no result of danqing evaluate ({error}); move it away") from error


def _check(rows: pa.Table, benchmark: Benchmark) -> None:
    """ValueError where the rows cannot be counted."""
    if benchmark.family != ZERO_SHOT:
        least = [pc.min(one).as_py() for one in (pc.list_flatten(rows["pictures"]), rows["rank"])]
        if {*rows["way"].unique().to_pylist()} - {*WAYS} or min(filter(None, least), default=1) < 0:
            raise ValueError("a way, a picture or a rank that is none")
        return
    truths: Any = rows["truth"].to_pylist()
    wide = {len(one or ()) for one in rows["scores"].to_pylist()}
    if any(not truth or min(truth) < 0 for truth in truths) or len(wide) > 1:
        raise ValueError("a row without a class, or with other classes than the one before")
    if benchmark.elevater in (MAP, AUC) and truths and min(wide) < max(2, 1 + max(map(max, truths))):
        raise ValueError("lacks the cosines of its classes")
