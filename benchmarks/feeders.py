"""The contenders of benchmarks/feed.py: stored pairs in; batches of uint8 pixels and token ids out, an epoch of them.

    ours        builder.train's Feed, from a root; with its own decoder, or with the peers'
    webdataset  tars, .decode("pilrgb"), batched by its workers
    litdata     chunks made by litdata.optimize, StreamingDataLoader
    streaming   mosaicml's MDS shards, its StreamingDataset below torch's DataLoader
    decode      no loader: the decoder alone, over bytes that lie in memory, in as many processes as there are workers

Each is written as its documentation shows, with shuffling, captions tokenised a batch at a time where batches are put
together, and pixels stacked in the memory that a worker shares. Run as a program it is one of them in its own process:

    PYTHON benchmarks/feeders.py '{"name": "webdataset", "folder": ..., ...}'  ->  one line of JSON

The peers' Pythons are theirs (benchmarks/peers), so no module of ours is imported at the top.
"""

from __future__ import annotations

import gc
import importlib.util
import io
import json
import multiprocessing
import os
import resource
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE, TOKENS = 256, 64
BUFFER = 1000  # pairs among which webdataset shuffles
CHUNK = 16 << 20  # bytes of a chunk of litdata and of a shard of MDS: several for each worker
Batch = tuple[list[str], Any, Any]  # keys, pixels (n, SIDE, SIDE, 3), token ids (n, TOKENS)


@dataclass(frozen=True, slots=True)
class Work:
    """What a contender is to do. decoder: pillow or own, of ours and of decode.

    look: a file for some of the pixels and token ids, by which contenders are compared, instead of a time.
    """

    name: str
    folder: str
    model: str
    batch: int
    workers: int
    streams: int = 8
    decoder: str = "pillow"
    look: str = ""


@dataclass(frozen=True, slots=True)
class Took:
    """Pairs that came, and how many different ones; seconds; cpu: of the process and its workers."""

    pairs: int
    distinct: int
    seconds: float
    cpu: float
    versions: dict[str, str] = field(default_factory=dict)


def pillow(data: bytes) -> Any:
    """A square of RGB, as peers decode it: Pillow's libjpeg, its bilinear filter where the shape is another."""
    return squared(Image.open(io.BytesIO(data)).convert("RGB"))


def squared(image: Image.Image) -> Any:
    """(SIDE, SIDE, 3), writable, as torch wants it."""
    return np.array(
        image if image.size == (SIDE, SIDE) else image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    )


class Pillow:
    """The peers' decoder in the place of ours: what Feed asks of a preparation."""

    name, shape = "pillow", (SIDE, SIDE, 3)

    def fill(self, picture: bytes, row: Any, grid: Any) -> bool:
        """Put the picture into `row`."""
        row[:] = pillow(picture)
        return True


def preparation(decoder: str) -> Any:
    """Pillow, or ours as `--decode fast` has it."""
    if decoder == "pillow":
        return Pillow()
    from builder.towers.pixels import Squash

    return Squash(SIDE, Image.Resampling.BILINEAR, fast=True)


class Collate:
    """(key, pixels, caption) of a batch -> keys, pixels, token ids. Made before the workers are forked."""

    def __init__(self, model: str) -> None:
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(model)

    def __call__(self, rows: list[tuple[str, Any, str]]) -> Batch:
        """A batch of rows."""
        from torch.utils.data import default_collate

        keys, pixels, captions = zip(*rows, strict=True)
        told = self._tokenizer(
            [caption.lower() for caption in captions],
            padding="max_length",
            max_length=TOKENS,
            truncation=True,
            return_attention_mask=False,
            return_tensors="pt",
        )
        return list(keys), default_collate(list(pixels)), told["input_ids"]


def ours(work: Work) -> Iterator[Batch]:
    """One epoch of Feed, from opening the root on."""
    from builder.towers import find
    from builder.towers.text import Captions
    from builder.train.batches import Feed
    from builder.train.config import TrainConfig
    from builder.train.data import open_source
    from builder.train.order import Order

    config = TrainConfig(
        input=f"{work.folder}/root", validation=0.0, batch_size=work.batch, streams=work.streams,
        workers=work.workers, device="cpu",
    )  # fmt: skip
    captions = Captions.load(find(work.model), TOKENS)
    yield [], None, None
    source = open_source(config)
    order = Order(source.train.sizes, config.batch_size, config.parts, config.seed)
    feed = Feed(source, order, config, preparation(work.decoder), captions)
    for batch in feed.batches(0, order.steps(1), 0, 1):
        assert bool(batch.valid.all()), dict(batch.lost)
        yield batch.keys, batch.pixels, batch.ids


def webdataset(work: Work) -> Iterator[Batch]:
    """Tars, decoded by its own handler for Pillow."""
    import webdataset as wds

    collate = Collate(work.model)

    def row(sample: dict[str, Any]) -> tuple[str, Any, str]:
        return sample["__key__"], squared(sample["jpg"]), sample["txt"]

    yield [], None, None
    tars = sorted(str(path) for path in Path(work.folder, "tars").iterdir())
    rows = wds.WebDataset(tars, shardshuffle=len(tars)).shuffle(BUFFER).decode("pilrgb").map(row)
    batches = rows.batched(work.batch, collation_fn=collate, partial=True)
    yield from wds.WebLoader(batches, batch_size=None, num_workers=work.workers)


def litdata(work: Work) -> Iterator[Batch]:
    """Its chunks; pictures lie in them as bytes, as its decoder is torchvision's."""
    import litdata

    def row(one: dict[str, Any]) -> tuple[str, Any, str]:
        return one["key"], pillow(one["image"]), one["text"]

    collate = Collate(work.model)
    yield [], None, None
    rows = litdata.StreamingDataset(f"{work.folder}/litdata", shuffle=True, drop_last=False, transform=row)
    yield from litdata.StreamingDataLoader(
        rows, batch_size=work.batch, num_workers=work.workers, collate_fn=collate
    )


def streaming(work: Work) -> Iterator[Batch]:
    """MDS shards; pictures lie in them as bytes."""
    from torch.utils.data import DataLoader

    base = streaming_base()

    class Rows(base.StreamingDataset):  # type: ignore[misc, name-defined]
        def __getitem__(self, at: int) -> tuple[str, Any, str]:
            one = super().__getitem__(at)
            return one["key"], pillow(one["image"]), one["text"]

    collate = Collate(work.model)
    yield [], None, None
    rows = Rows(local=f"{work.folder}/streaming", shuffle=True, batch_size=work.batch)
    yield from DataLoader(rows, work.batch, num_workers=work.workers, collate_fn=collate)


def streaming_base() -> Any:
    """The module streaming.base, without streaming/__init__.py, which imports torchvision for its own data sets."""
    found = importlib.util.find_spec("streaming")
    assert found is not None
    package = types.ModuleType("streaming")
    package.__path__ = list(found.submodule_search_locations or [])
    sys.modules["streaming"] = package
    return importlib.import_module("streaming.base")


def decode(work: Work) -> Iterator[Batch]:
    """The decoder alone; what it makes is thrown away."""
    made, pairs = preparation(work.decoder), list(stored(Path(work.folder)))
    fork = multiprocessing.get_context("fork")

    def some(first: int) -> None:
        row, grid = np.empty(made.shape, np.uint8), np.empty(2, np.int32)
        for _, data, _ in pairs[first :: work.workers]:
            assert made.fill(data, row, grid)

    yield [], None, None
    processes = [fork.Process(target=some, args=(first,)) for first in range(work.workers)]
    for one in processes:
        one.start()
    for one in processes:
        one.join()
        assert one.exitcode == 0
    yield [key for key, _, _ in pairs], None, None


def stored(folder: Path) -> Iterator[tuple[str, bytes, str]]:
    """Key, picture and caption of every pair of the root."""
    import pyarrow.parquet as pq

    for path in sorted((folder / "root" / "images").iterdir()):
        for some in pq.ParquetFile(path).iter_batches(256, columns=["key", "image", "alt_text"]):
            for one in some.to_pylist():
                yield one["key"], one["image"]["bytes"], one["alt_text"]


def write_tars(folder: Path) -> None:
    """The pairs as webdataset's writer lays them down, a shard of tar for each of Parquet."""
    import webdataset as wds

    (folder / "tars").mkdir()
    pairs = list(stored(folder))
    shards = len(list((folder / "root" / "images").iterdir()))
    for shard in range(shards):
        with wds.TarWriter(str(folder / "tars" / f"train-{shard:05d}.tar")) as tar:
            for key, data, caption in pairs[shard::shards]:
                tar.write({"__key__": key, "jpg": data, "txt": caption})


def write_litdata(folder: Path) -> None:
    """The pairs as litdata.optimize makes chunks of them."""
    import litdata

    litdata.optimize(
        _item, list(stored(folder)), str(folder / "litdata"), chunk_bytes=CHUNK, num_workers=1, verbose=False
    )


def _item(pair: tuple[str, bytes, str]) -> dict[str, Any]:
    return dict(zip(("key", "image", "text"), pair, strict=True))


def write_streaming(folder: Path) -> None:
    """The pairs as an MDSWriter lays them down."""
    columns = {"key": "str", "image": "bytes", "text": "str"}
    with streaming_base().MDSWriter(out=str(folder / "streaming"), columns=columns, size_limit=CHUNK) as file:
        for pair in stored(folder):
            file.write(_item(pair))


CONTENDERS: dict[str, Callable[[Work], Iterator[Batch]]] = {
    one.__name__: one for one in (ours, webdataset, litdata, streaming, decode)
}
WRITERS = {"webdataset": write_tars, "litdata": write_litdata, "streaming": write_streaming}


def run(work: Work) -> Took:
    """One epoch. The first batch, which is empty, says that imports are over and the clock runs."""
    keys: list[str] = []
    looks = Looks()
    batches = CONTENDERS[work.name](work)
    next(batches)
    warm(work)
    before, start = cpu(), time.perf_counter()
    for some, pixels, ids in batches:
        keys += some
        if work.look:
            looks.add(some, pixels, ids)
    batches.close()  # type: ignore[attr-defined]
    gc.collect()  # ends the workers, whose time counts when they have ended
    seconds, used = time.perf_counter() - start, cpu() - before
    if work.look:
        looks.save(work.look)
    return Took(len(keys), len(set(keys)), seconds, used)


def warm(work: Work) -> None:
    """Decode one picture: decoders are imported with the first that comes."""
    made, file = preparation(work.decoder), io.BytesIO()
    Image.new("RGB", (SIDE, SIDE)).save(file, "JPEG")
    assert made.fill(file.getvalue(), np.empty(made.shape, np.uint8), np.empty(2, np.int32))


class Looks:
    """Pixels and token ids of one pair in sixteen, by key."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Any, Any]] = {}

    def add(self, keys: list[str], pixels: Any, ids: Any) -> None:
        """Keep those of a batch."""
        for at, key in enumerate(keys):
            if key.endswith("0"):
                self._found[key] = np.array(pixels[at]), np.array(ids[at])

    def save(self, path: str) -> None:
        """In the order of their keys."""
        keys = sorted(self._found)
        pixels, ids = (np.stack([self._found[key][n] for key in keys]) for n in range(2))
        np.savez(path, keys=keys, pixels=pixels, ids=ids)


def cpu() -> float:
    """CPU seconds of this process, and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in usages)


def main() -> None:
    """`write NAME FOLDER` makes the form that a peer reads; a JSON of Work is done."""
    warnings.simplefilter("ignore")
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # a batch at a time is tokenised beside others
    if sys.argv[1] == "write":
        WRITERS[sys.argv[2]](Path(sys.argv[3]))
        return
    print(json.dumps(asdict(run(Work(**json.loads(sys.argv[1]))))))


if __name__ == "__main__":
    main()
