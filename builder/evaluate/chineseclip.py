"""Benchmarks with captions as Chinese-CLIP has them: MUGE, Flickr30K-CN, COCO-CN.

<split>_texts.jsonl, and <split>_imgs.tsv or lmdb/<split>/imgs ─▶ Captioned

A line of JSON is {"text_id", "text", "image_ids"}; in the files that Tianchi has of MUGE, MR_<split>_queries.jsonl and
MR_<split>_imgs.tsv, it is {"query_id", "query_text", "item_ids"}. A line of the tsv, or an entry of the LMDB, is an
image id and the picture in base64. lmdb/<split>/pairs, which says again what the JSON does, is a pickle and never
opened.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path

from ..disk.documents import SHOWN, parse
from ..errors import InputError, need
from .archives import Tree, archive, lines, texts, whole
from .recipe import Benchmark
from .tasks import LARGEST, Captioned, Pictures, captioned

# Split, texts and pictures. The test of MUGE has no labels, and its package no test.
FILES = [
    (split, told.format(split), images.format(split))
    for split in ("test", "valid")
    for told, images in (("{}_texts.jsonl", "{}_imgs.tsv"), ("MR_{}_queries.jsonl", "MR_{}_imgs.tsv"))
]
COUNT = "num_images"  # key of an LMDB that is no picture
LONGEST = 1 << 20  # bytes of a line of JSON
ENCODED = LARGEST * 4 // 3 + 1024  # bytes of a line with a picture
STANDARD = bytes.maketrans(b"-_", b"+/")
Row = tuple[str, int]  # id of a picture, and the bytes of its base64


def is_one(tree: Tree) -> bool:
    """Whether these files are in this format."""
    return any(path in tree.sizes for _, path, _ in FILES)


def read(benchmark: Benchmark, tree: Tree) -> Captioned:
    """The benchmark of the first split with labels. InputError where there is none, or it is damaged."""
    said: list[str] = []
    for split, path, images in FILES:
        captions, wanted = _captions(tree, path) if path in tree.sizes else ([], [])
        if any(wanted):
            rows, pictures = _tsv(tree, images) if images in tree.sizes else _lmdb(tree, split)
            pairs = _paired(rows, wanted, f"{tree.where}/{path}")
            return captioned(benchmark, rows, pictures, captions, pairs, [*said, f"read from {split}"])
        said += [f"{path} has no labels"] if captions else []
    raise InputError(f"{tree.where}: neither test_texts.jsonl nor valid_texts.jsonl has labels")


def _paired(rows: list[Row], wanted: list[list[str]], where: str) -> list[tuple[int, int]]:
    """Rows of pictures and texts that belong together; InputError where an id is of two pictures, or of none."""
    places = {name: row for row, (name, _) in enumerate(rows)}
    if len(places) < len(rows):
        raise InputError(f"{where}: {len(rows) - len(places):,} ids of its pictures come twice")
    if strange := [name for names in wanted for name in names if name not in places]:
        raise InputError(f"{where}: there is no picture {strange[0]!a}, which it names")
    return [(places[name], text) for text, names in enumerate(wanted) for name in names]


def _captions(tree: Tree, path: str) -> tuple[list[str], list[list[str]]]:
    """The texts of a file, and the ids of the pictures of each."""
    found, wanted = [], []
    for number, line in enumerate(texts(tree, path, LONGEST), 1):
        if not line:
            continue
        try:
            row = parse(line.encode())
            text = row.get("text", row.get("query_text"))
            ids = row.get("image_ids", row.get("item_ids", []))
            if not isinstance(text, str) or not isinstance(ids, list):
                raise ValueError("no text with a list of image_ids")
            text.encode()  # JSON may hold halves of characters, which nothing can write
            found.append(text)
            wanted.append([_id(one) for one in ids])
        except ValueError as error:
            raise InputError(f"{tree.where}/{path}: line {number:,}: {error}") from None
    return found, wanted


def _id(value: object) -> str:
    if type(value) is int or isinstance(value, str):
        return str(value)
    raise ValueError("an image id is a whole number or a text")


def _tsv(tree: Tree, path: str) -> tuple[list[Row], Pictures]:
    """The pictures of a tsv."""
    rows = [(name, len(value)) for name, value in _lines(tree, path)]
    return rows, lambda: (_decoded(value) for _, value in _lines(tree, path))


def _lmdb(tree: Tree, split: str) -> tuple[list[Row], Pictures]:
    """The pictures of the LMDB of a split, for where there is no tsv."""
    base = f"lmdb/{split}/imgs"
    if f"{base}/data.mdb" not in tree.sizes:
        raise InputError(
            f"{tree.where}: neither {split}_imgs.tsv nor {base}/data.mdb; unzip or fetch it again"
        )
    if not Path(tree.where).is_dir():
        raise InputError(
            f"{tree.where}: its pictures are in an LMDB, which is not read within a zip; unzip it"
        )
    need("evaluate", ["lmdb"])
    stored = archive(Path(tree.where, base))
    sizes = {name: size for name, size in stored.sizes.items() if name != COUNT}

    def pictures() -> Iterator[bytes]:
        with stored.reading() as take:
            for name in sizes:
                yield _decoded(whole(take(name)))

    with stored.reading() as take:
        said = whole(take(COUNT))[:SHOWN] if COUNT in stored.sizes else b""
    if said != str(len(sizes)).encode():
        raise InputError(
            f"{stored.where}: {len(sizes):,} pictures, where {COUNT} says {said!a}; fetch it again"
        )
    if large := [name for name, size in sizes.items() if size > ENCODED]:
        raise InputError(f"{stored.where}: {large[0]!a}: more than {ENCODED:,} bytes, so it is no picture")
    return [*sizes.items()], pictures


def _lines(tree: Tree, path: str) -> Iterator[tuple[str, bytes]]:
    """The id and the base64 of each picture of a tsv."""
    where = f"{tree.where}/{path}"
    with tree.reading() as take:
        for number, line in enumerate(lines(take(path), ENCODED, where), 1):
            name, tab, value = line.strip(b" \r").partition(b"\t")
            try:
                if line and not tab:
                    raise ValueError("no tab")
                if line:
                    yield name.decode(), value
            except ValueError as error:
                raise InputError(f"{where}: line {number:,}: {error}; fetch it again") from None


def _decoded(value: bytes) -> bytes:
    """The bytes of base64, URL-safe or not, padded or not; nothing where it is none."""
    value = value.strip().rstrip(b"=").translate(STANDARD)
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    except binascii.Error:
        return b""
