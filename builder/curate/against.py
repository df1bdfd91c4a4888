"""Earlier data sets that a root is held against: roots by their embeddings, releases by what they record of pictures.

--against ─▶ Compared ... of the pairs that an earlier root serves ─▶ compared like pictures of the root itself
          ─▶ releases: sha256, or the perceptual hash where more than that agrees ─▶ rows that they have

A perceptual hash alone says little of banners and logos: it counts where the 32-byte codes agree too, if both were made
by one checkpoint, else where the picture is rich.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as compute

from ..disk import release
from ..disk.digests import KEY, Bools, Digests, blobs, hex_of, keys_of, unhex, within
from ..disk.files import listdir
from ..disk.location import read_from
from ..disk.parquet import parquet
from ..disk.schema import CODE_BITS, said_by
from ..errors import InputError
from ..manifest.find import find
from ..stage.shards import served
from .spool import MATCHES, Compared

pc: Any = compute  # its stubs know no mix of column and constant
CODE_NEAR = 16  # bits of 256 that codes of two files of one picture differ in at most: cosine .98
RECORDED = ("key", "sha256", "phash", "code")


def roots_and_releases(named: Sequence[str], tell: Callable[[str], None]) -> tuple[list[str], list[str]]:
    """The addresses of roots, and of files of releases, that --against names; InputError for what is neither."""
    roots: list[str] = []
    files: list[str] = []
    for text in named:
        url = read_from(text, tell)
        if _is_root(url):
            roots.append(url)
            continue
        fs, found = find(url)
        for one in found:
            path = fs.unstrip_protocol(one.path)
            with parquet(path) as file:
                _check_release(path, file.schema_arrow)
            files.append(path)
    return roots, files


def _check_release(url: str, schema: pa.Schema) -> None:
    """InputError where a file lacks what is recorded of pictures, or has it as something else than text."""
    if not {"key", "sha256"} <= {*schema.names}:
        raise InputError(
            f"{url}: no root with embeddings, and no release: it needs the columns key and sha256; it has "
            f"{', '.join(schema.names)}"
        )
    for name in ("key", "sha256", "phash"):
        if name in schema.names and not _is_text(kind := schema.field(name).type):
            raise InputError(f"{url}: no release: column {name} is {kind}, not text")


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)


def _is_root(url: str) -> bool:
    try:
        there = listdir(url)
    except NotADirectoryError:
        return False
    return "ledger" in there and release.NAME not in there


def serves(source: Compared) -> Bools | None:
    """The pairs of an earlier root that it serves (rows,); None for a shard of the root itself, of which all count."""
    return None if source.own else served(source.root, source.stem, source.rows)


@dataclass(frozen=True, slots=True)
class Own:
    """What is recorded of the pictures of the root, (n,): digests of 16 bytes of the file, perceptual hashes, codes.

    rich: whether a perceptual hash says something of it; model: of the codes, by name and fingerprint.
    """

    sha256: Digests
    phash: npt.NDArray[np.uint64]
    hashed: Bools
    rich: Bools
    code: npt.NDArray[np.uint8] | None
    model: tuple[object, ...]


def matches(own: Own, files: Sequence[str]) -> pa.Table:
    """The rows of the root that releases have, and the least key of those there, as MATCHES."""
    by_sha, by_phash = (np.argsort(values, kind="stable") for values in (own.sha256, own.phash))
    found: list[tuple[npt.NDArray[np.int64], Digests]] = []
    for url in files:
        for table, model in _recorded(url):
            keys, named = keys_of(table["key"])  # what has no key is no pair
            digests, valid = unhex(table["sha256"], 32)
            at = np.flatnonzero(valid & named)
            heads = np.ascontiguousarray(digests[at, 16:]).view(KEY).reshape(-1)
            rows, of = _equal(own.sha256, by_sha, heads)
            found.append((rows, keys[at[of]]))
            if "phash" in table.column_names:
                hashes, valid = unhex(table["phash"], 8)
                at = np.flatnonzero(valid & named)
                rows, of = _equal(own.phash, by_phash, hashes[at].view(">u8").reshape(-1).astype(np.uint64))
                agree = own.hashed[rows] & _agree(own, rows, table, at[of], coded=model == own.model)
                found.append((rows[agree], keys[at[of[agree]]]))
    row = np.concatenate([np.empty(0, np.int64), *(rows for rows, _ in found)])
    key = np.concatenate([np.empty(0, KEY), *(keys for _, keys in found)])
    order = np.lexsort((key, row))
    row, first = np.unique(row[order], return_index=True)
    return pa.Table.from_arrays([pa.array(row.astype(np.int32)), hex_of(key[order][first])], schema=MATCHES)


def _recorded(url: str) -> Iterator[tuple[pa.Table, tuple[object, ...]]]:
    """What a file of a release records of pictures, some rows at a time, and by what checkpoint its codes are."""
    with parquet(url) as file:
        said = said_by(file.schema_arrow)
        names = [name for name in RECORDED if name in file.schema_arrow.names]
        if "code" in names and not _is_bytes(file.schema_arrow.field("code").type):
            names.remove("code")
        for batch in file.iter_batches(65_536, columns=names):
            yield pa.Table.from_batches([batch]), (said.get("name"), said.get("fingerprint"))


def _equal(
    values: npt.NDArray[Any], order: npt.NDArray[np.intp], wanted: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All pairs of a row of `values`, which ascend by `order`, and one of `wanted`, that are equal."""
    low, high = (np.searchsorted(values, wanted, side, sorter=order) for side in ("left", "right"))
    place, of = within(low, high)
    return order[place].astype(np.int64), of


def _agree(
    own: Own, rows: npt.NDArray[np.int64], table: pa.Table, at: npt.NDArray[np.int64], *, coded: bool
) -> Bools:
    """Whether pictures of one perceptual hash are one, by their codes, or by how rich that of the root is."""
    if not coded or own.code is None or "code" not in table.column_names:
        return own.rich[rows]
    codes: Any = table["code"]
    theirs, there = blobs(codes.take(pa.array(at)), CODE_BITS // 8)
    bits: Any = np.bitwise_count(theirs ^ own.code[rows]).sum(axis=1)
    agree: Bools = there & (bits <= CODE_NEAR)
    return agree
