"""The panel: the fixed set of pairs among which every pair of a root is ranked.

The shards in, `ledger/revalidate/panel.npz` out: the rules.PANEL pairs that come first by (has the recorded
bytes, key), changed pairs before others, without those whose picture cannot be decoded or that have no caption.
It depends on the pairs alone, so that shard layout, rank, batch size and order of arrival cannot change a p-value.
It is made once a root, and read again by every rank and every later run.

Choosing reads two columns of every shard; the pictures cost a row group each, for that is what Parquet can read.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from ..disk.digests import KEY, keys_of, locate, pc
from ..disk.files import join, read_bytes, write_atomic
from ..disk.parquet import rows_by_number
from ..errors import InputError
from ..stage.shards import Shard
from .judge import check_numbers
from .plan import NEEDED, STAGE, opened
from .reference import Reference

if TYPE_CHECKING:
    from ..towers import DualEncoder, ToEmbed

PARALLEL = 8  # shards whose keys are read at once
SLACK = 32  # candidates beyond the panel, for those that turn out to have no picture or no caption
CHUNK = 1024  # pictures held at once
PLACE = np.dtype([("same", "?"), ("key", KEY), ("sha256", "S32"), ("shard", "<i4"), ("row", "<i4")])
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Panel:
    """M pairs, in the order of their choice. image and each of `captions`, by column: (M, d), normalised float32.

    keys: (M,); caption: (M, d), the mean of the captions that a pair has; identities: (M,) hashes of what a
    pair is, by which its row is found again in its shard.
    """

    keys: npt.NDArray[np.bytes_]
    identities: npt.NDArray[np.uint64]
    image: Floats
    captions: dict[str, Floats]

    @property
    def caption(self) -> Floats:
        """The mean of the captions that a pair has, not normalised again: scores are bilinear in it. (M, d)."""
        captions = list(self.captions.values())
        count = np.sum([caption.any(axis=1) for caption in captions], axis=0)
        return np.asarray(sum(captions[1:], captions[0]) / np.maximum(count, 1)[:, None], np.float32)

    @property
    def digest(self) -> str:
        """Hash of the whole panel: scores say which one they were ranked in."""
        hasher = xxhash.xxh3_128(self.keys.tobytes() + self.identities.tobytes() + self.image.tobytes())
        for name, caption in self.captions.items():
            hasher.update(name.encode() + caption.tobytes())
        return hasher.hexdigest()

    def sound(self, root: str) -> Panel:
        """The panel without the pairs that came to no numbers; VerificationError where they are too many."""
        vectors = np.stack([self.image, *self.captions.values()])
        sound = np.asarray(np.isfinite(vectors).all(axis=(0, 2)), np.bool_)
        sound &= self.image.any(axis=1) & self.caption.any(axis=1)
        check_numbers(f"{root}: panel", int(np.count_nonzero(~sound)), len(sound))
        return self.only(sound)

    def only(self, which: npt.NDArray[np.bool_] | slice) -> Panel:
        """Some of its pairs."""
        captions = {name: caption[which] for name, caption in self.captions.items()}
        return Panel(self.keys[which], self.identities[which], self.image[which], captions)

    def write(self, root: str) -> None:
        """Publish panel.npz: the arrays by name, keys as 32 hex characters."""
        keys = np.frombuffer(self.keys.tobytes().hex().encode(), "S32")
        arrays = {"keys": keys, "identities": self.identities, "image": self.image, "caption": self.caption}
        sink = io.BytesIO()
        np.savez(sink, **arrays, **(self.captions if len(self.captions) > 1 else {}))  # type: ignore[arg-type]
        write_atomic(_path(root), sink.getvalue())


def read_panel(root: str, columns: Sequence[str]) -> Panel | None:
    """The panel that a run has published, None where none has; columns: of the captions. InputError when torn.

    Of one that a build up to 0.1.0 made the pairs without numbers are left out: what was ranked among them is ranked
    anew, as the panel is another one now.
    """
    data = read_bytes(_path(root))
    if data is None:
        return None
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            keys = np.frombuffer(bytes.fromhex(b"".join(arrays["keys"]).decode()), KEY)
            names = {name: name if len(columns) > 1 else "caption" for name in columns}
            captions = {name: arrays[array] for name, array in names.items()}
            return Panel(keys, arrays["identities"], arrays["image"], captions).sound(root)
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{_path(root)}: no panel ({error}); --overwrite scores the root anew") from error


def _path(root: str) -> str:
    return join(root, "ledger", STAGE, "panel.npz")


def make_panel(
    shards: Sequence[Shard], reference: Reference, siglip: DualEncoder, columns: Sequence[str], size: int
) -> Panel:
    """Choose and embed the panel of `size` pairs; columns: of the captions that are scored.

    Raises InputError where no pair of the root is in the reference, and for a damaged shard; VerificationError where
    too many pairs come to no numbers.
    """
    root = shards[0].root if shards else ""
    asked, looked = size + SLACK, 0
    parts: list[Panel] = []
    while True:
        places = select(shards, reference, asked, columns)
        parts.append(_embedded(shards, places[looked:], siglip, columns))
        panel = _together(parts).sound(root)
        lacking = size - len(panel.keys)
        if lacking <= 0 or len(places) < asked:
            return panel.only(slice(size))
        # Many without picture or caption: look at the next ones too, at as many as if half of them were.
        asked, looked = asked + 2 * lacking + SLACK, len(places)


def select(
    shards: Sequence[Shard], reference: Reference, count: int, columns: Sequence[str] = ()
) -> npt.NDArray[np.void]:
    """The first `count` pairs of a root by (has the recorded bytes, key), as PLACE; of equal keys one.

    columns: that every shard must have. InputError where one has not, and where the reference knows no pair.
    """
    first = np.empty(0, PLACE)
    known = rows = 0

    def look(shard: Shard) -> tuple[npt.NDArray[np.void], int]:
        places, found = _places(shard, reference, columns)
        return _first(places, count), found

    with ThreadPoolExecutor(PARALLEL) as pool:
        for start in range(0, len(shards), 4 * PARALLEL):  # no more of them waiting, whatever the root's size
            for places, found in pool.map(look, shards[start : start + 4 * PARALLEL]):
                first = _first(np.concatenate([first, places]), count)
                known += found
                rows += len(places)
    if len(reference.keys) and rows and not known:
        raise InputError(
            "no pair of the root is in the reference: it is of another data set, or its keys were made otherwise; "
            "give the reference of this data set by --reference, or none"
        )
    return first


def _places(shard: Shard, reference: Reference, columns: Sequence[str]) -> tuple[npt.NDArray[np.void], int]:
    """All pairs of a shard as PLACE, and how many the reference knows."""
    places = np.zeros(shard.rows, PLACE)
    if not shard.rows:
        return places, 0
    with opened(shard, (*NEEDED, *columns)) as file:
        names = [name for name in ("key", "sha256") if name in file.schema_arrow.names]
        table = file.read(columns=names)
    keys, valid = keys_of(table["key"])
    if not valid.all():
        raise InputError(f"{shard.url}: row {int(np.argmin(valid))} has no key of 32 hex characters")
    found, digests = reference.compare(keys, table)
    places["key"], places["shard"], places["row"] = keys, shard.number, np.arange(shard.rows)
    places["sha256"], places["same"] = digests.view("S32").reshape(-1), found["same"]
    return places, int(found["known"].sum())


def _first(places: npt.NDArray[np.void], count: int) -> npt.NDArray[np.void]:
    ordered = places[np.lexsort((places["sha256"], places["key"], places["same"]))]
    _, once = np.unique(ordered["key"], return_index=True)
    return ordered[np.sort(once)[:count]]


def _embedded(
    shards: Sequence[Shard], places: npt.NDArray[np.void], siglip: DualEncoder, columns: Sequence[str]
) -> Panel:
    """The pairs at `places` embedded, without those that have no picture or no caption."""
    image = np.zeros((len(places), siglip.dim), np.float32)
    captions = {name: np.zeros_like(image) for name in columns}
    hashes = np.zeros(len(places), np.uint64)
    usable = np.zeros(len(places), np.bool_)
    for made in siglip.embed(_works(shards, places, columns, hashes)):
        image[made.tag] = made.image.cpu().numpy()
        usable[made.tag] = made.intact
        for name, caption in zip(columns, made.captions, strict=True):
            captions[name][made.tag] = caption.cpu().numpy()
    usable &= np.any([caption.any(axis=1) for caption in captions.values()], axis=0)
    keys = np.ascontiguousarray(places["key"])
    return Panel(keys, identities(keys, places["sha256"], hashes), image, captions).only(usable)


def _together(parts: Sequence[Panel]) -> Panel:
    """Panels that follow each other."""
    return Panel(
        np.concatenate([part.keys for part in parts]),
        np.concatenate([part.identities for part in parts]),
        np.concatenate([part.image for part in parts]),
        {name: np.concatenate([part.captions[name] for part in parts]) for name in parts[0].captions},
    )


def _works(
    shards: Sequence[Shard],
    places: npt.NDArray[np.void],
    columns: Sequence[str],
    hashes: npt.NDArray[np.uint64],
) -> Iterator[ToEmbed]:
    """The pictures and captions at `places`, in the order of the files; `hashes` is filled with their captions'."""
    from ..towers import ToEmbed

    taken: list[npt.NDArray[np.intp]] = []
    parts: list[pa.Table] = []

    def work() -> ToEmbed:
        table, tag = pa.concat_tables(parts), np.concatenate(taken)
        captions = texts_of(table, columns)
        hashes[tag], _ = caption_hashes(captions)
        return ToEmbed(tag, pc.struct_field(table["image"], "bytes").to_pylist(), captions)

    for number in np.unique(places["shard"]):
        inside = np.flatnonzero(places["shard"] == number)
        with opened(shards[number], (*NEEDED, *columns)) as file:
            for rows, table in rows_by_number(file, places["row"][inside], ["image.bytes", *columns]):
                taken.append(inside[rows])
                parts.append(table)
                if sum(map(len, taken)) >= CHUNK:
                    yield work()
                    taken, parts = [], []
    if taken:
        yield work()


def finder(values: npt.NDArray[Any]) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.intp]]:
    """What finds the place of each of some values among these, which differ, in any order; -1: it is not there."""
    order = np.argsort(values)
    ordered = values[order]

    def find(wanted: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        at, there = locate(ordered, wanted)
        places = np.full(len(wanted), -1, np.intp)
        places[there] = order[at[there]]
        return places

    return find


def texts_of(table: pa.Table, columns: Sequence[str]) -> tuple[list[str | None], ...]:
    """The captions of rows, by column; an empty one is none."""
    return tuple([text or None for text in table[name].to_pylist()] for name in columns)


def caption_hashes(
    captions: Sequence[Sequence[str | None]],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """XXH3-64 of each pair's captions as they are scored, in lower case, (n,); and which have one at all.

    captions: columns of the same length. Of two columns the texts that are there are joined by a zero byte.
    """
    joined = ["\0".join(filter(None, row)).lower() for row in zip(*captions, strict=True)]
    found = [xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) for text in joined]
    return np.array(found, np.uint64), np.array([bool(text) for text in joined], np.bool_)


def identities(
    keys: npt.NDArray[np.bytes_], digests: npt.NDArray[Any], captions: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    """A hash of key, sha256 and captions of each pair, (n,): pairs that are equal in these embed equally."""
    rows = np.zeros(len(keys), np.dtype([("key", KEY), ("digest", "S32"), ("captions", "<u8")]))
    rows["key"], rows["captions"] = keys, captions
    rows["digest"] = np.ascontiguousarray(digests).view("S32").reshape(-1)
    return np.array([xxhash.xxh3_64_intdigest(row.tobytes()) for row in rows], np.uint64)
