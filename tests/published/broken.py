"""Ways to break a release of made.py, and what is then said of it.

FORGED   the files are other than they should be, and release.json is made anew: its checksums are right
WRONG    release.json, the card or a file says something else than the rest
MEMBERS  a tar that holds something else
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from builder.disk import removals
from builder.disk.schema import saying

from . import made
from .made import Kind

PICTURES, MANIFEST, TARS = Kind(), Kind(what="manifest"), Kind(tar=True)
KINDS = {
    "images": PICTURES,
    "manifest": MANIFEST,
    "tars": TARS,
    "first": Kind(later=False),
    "images-unscored": Kind(validated=False),
    "manifest-unscored": Kind(what="manifest", validated=False),
    "tars-unscored": Kind(tar=True, validated=False),
}
FIRST = "train-00000-of-00002"
IMAGE_SHARD, TEXT_SHARD, TAR = f"images/{FIRST}.parquet", f"manifest/{FIRST}.parquet", f"images/{FIRST}.tar"


def replaced(table: pa.Table, column: str, row: int, value: Any) -> pa.Table:
    number = table.schema.get_field_index(column)
    values = table[column].to_pylist()
    values[row] = value
    return table.set_column(
        number, table.schema.field(number), pa.array(values, table.schema.field(number).type)
    )


def edit(path: str, change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], None]:
    """A shard written anew with other rows."""

    def do(folder: Path) -> None:
        made.put(folder / path, change(pq.read_table(folder / path)))

    return do


def cell(column: str, value: Any, path: str = IMAGE_SHARD, row: int = 7) -> Callable[[Path], None]:
    return edit(path, lambda table: replaced(table, column, row, value))


def unpaged(folder: Path) -> None:
    pq.write_table(pq.read_table(folder / IMAGE_SHARD), folder / IMAGE_SHARD)


def cut(path: str, keep: float) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        data = (folder / path).read_bytes()
        (folder / path).write_bytes(data[: int(len(data) * keep)])

    return do


def torn(path: str, marker: bytes) -> Callable[[Path], None]:
    """Zeros over 40 bytes from a marker on, so that the footer still reads."""

    def do(folder: Path) -> None:
        data = bytearray((folder / path).read_bytes())
        place = data.index(marker)
        data[place : place + 40] = bytes(40)
        (folder / path).write_bytes(bytes(data))

    return do


def doubled(source: str, target: str) -> Callable[[Path], None]:
    """The first row of a shard appended to another."""

    def do(folder: Path) -> None:
        first, second = pq.read_table(folder / source), pq.read_table(folder / target)
        made.put(folder / target, pa.concat_tables([second, first.slice(0, 1)]))

    return do


def renamed(old: str, new: str) -> Callable[[Path], None]:
    return lambda folder: (folder / old).rename(folder / new) and None


def written(path: str, data: bytes) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(data)

    return do


def removal(kind: str, text: str) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        known = removals.read(str(folder))
        known = known.union(removals.Removals.of([(kind, removals.digest_of(kind, text), made.VERSION)]))
        known.write(folder / removals.PATH)

    return do


def picture(data: bytes) -> dict[str, Any]:
    return {"bytes": data, "path": "7.jpg"}


def other_model(table: pa.Table) -> pa.Table:
    said = saying(pa.schema([]), made.MODEL | {"fingerprint": "e" * 32}).metadata
    return table.replace_schema_metadata({**table.schema.metadata, **said})


def wide() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (99, 30)).save(file, "PNG")
    return file.getvalue()


KEY7 = made.pair(7)["key"]
# What is done to a release of which kind, and what is then said. All of these are sealed anew: its checksums are right.
FORGED: dict[str, tuple[Kind, Callable[[Path], None], str]] = {
    "key": (
        PICTURES,
        cell("key", "0" * 32),
        rf"{IMAGE_SHARD}: row 7: key should be {KEY7} by its url and alt_text, it is 0{{32}}",
    ),
    "key-shape": (PICTURES, cell("key", "xyz"), r"row 7: key should be 32 hex characters, it is xyz"),
    "key-of-manifest": (
        MANIFEST,
        cell("alt_text", "换了", TEXT_SHARD),
        rf"{TEXT_SHARD}: row 7: key should be \w+ by its",
    ),
    "url-null": (PICTURES, cell("url", None), r"row 7: url should be there, it is None"),
    "sha256": (PICTURES, cell("sha256", "f00"), r"row 7: sha256 should be 64 hex characters, it is f00"),
    "phash": (
        MANIFEST,
        cell("phash", "G" * 16, TEXT_SHARD),
        r"row 7: phash should be 16 hex characters, it is G+",
    ),
    "code": (MANIFEST, cell("code", b"short", TEXT_SHARD), r"row 7: code should have 32 bytes"),
    "width": (MANIFEST, cell("width", 0, TEXT_SHARD), r"row 7: width should be positive, it is 0"),
    "score": (PICTURES, cell("score", 1.5), r"row 7: score should be from -1 to 1, it is 1.5"),
    "score-nan": (PICTURES, cell("score", float("nan")), r"row 7: score should be from -1 to 1, it is nan"),
    "p": (PICTURES, cell("p", -0.5), r"row 7: p should be from 0 to 1, it is -0.5"),
    "verdict": (PICTURES, cell("verdict", "fine"), r"row 7: verdict should be one of dead, same"),
    "kept-drifted": (
        PICTURES,
        cell("verdict", "drifted"),
        r"row 7: verdict should be one that is kept: .*, it is drifted",
    ),
    "listed-drifted": (
        MANIFEST,
        cell("verdict", "dead", TEXT_SHARD),
        r"row 7: verdict should be one that is kept: .*, it is dead",
    ),
    "kept-null": (PICTURES, cell("kept", None), r"row 7: kept should be there"),
    "score-model": (PICTURES, cell("score_model", "huge"), r"row 7: score_model should be tiny, it is huge"),
    "model": (
        PICTURES,
        edit(IMAGE_SHARD, other_model),
        rf"{IMAGE_SHARD}: metadata fingerprint should be f+, it is e+",
    ),
    "twice": (
        PICTURES,
        doubled(IMAGE_SHARD, IMAGE_SHARD.replace("-00000-", "-00001-")),
        r"train-00001-of-00002.parquet: row 10: pair \w+ should be here alone",
    ),
    "two-splits": (
        MANIFEST,
        doubled(TEXT_SHARD, "manifest/validation-00000-of-00001.parquet"),
        r"validation-00000-of-00001.parquet: row 6: pair \w+ should be here alone, it is manifest/train-0",
    ),
    "removed-url": (
        PICTURES,
        removal("url", "https://a1.images.test/7.jpg"),
        rf"{IMAGE_SHARD}: row 7: pair {KEY7} is on the removal list",
    ),
    "removed-host": (
        MANIFEST,
        removal("host", "images.test"),
        rf"{TEXT_SHARD}: row 0: pair \w+ is on the removal list",
    ),
    "removed-key-of-tar": (TARS, removal("key", KEY7), rf"{TAR}: row 6: pair {KEY7} is on the removal list"),
    "removals-count": (
        PICTURES,
        removal("url", "http://x.test/"),
        r"removals/removals.parquet: entries should be 2, it is 3",
    ),
    "removals-lost": (
        PICTURES,
        lambda folder: (folder / removals.PATH).unlink(),
        r"removals/removals.parquet: entries should be 2, it is 0",
    ),
    "changed-kept": (
        PICTURES,
        lambda folder: made.write_changes(
            folder, sorted([*made.GONE[:29], KEY7]), ["drifted"] * 20 + ["removed"] * 10
        ),
        rf"row 7: pair {KEY7} is kept, though changes/v2026.11.parquet says it is out",
    ),
    "changes-count": (
        PICTURES,
        lambda folder: made.write_changes(folder, sorted(made.GONE), ["drifted"] * 30),
        r"changes/v2026.11.parquet: rows of reason drifted should be 20, it is 30",
    ),
    "changes-order": (
        PICTURES,
        lambda folder: made.write_changes(
            folder, sorted(made.GONE)[::-1], ["drifted"] * 20 + ["removed"] * 10
        ),
        r"changes/v2026.11.parquet: keys should be sorted, and each once",
    ),
    "changes-lost": (
        PICTURES,
        lambda folder: (folder / "changes/v2026.11.parquet").unlink(),
        r"changes/v2026.11.parquet: should hold 30 pairs by release.json, it is not there",
    ),
    "type": (
        PICTURES,
        edit(
            IMAGE_SHARD,
            lambda t: t.set_column(t.schema.get_field_index("width"), "width", t["width"].cast(pa.int64())),
        ),
        r"column width should be int32, it is int64",
    ),
    "column-lost": (
        MANIFEST,
        edit(TEXT_SHARD, lambda table: table.drop_columns(["phash"])),
        rf"{TEXT_SHARD}: column phash should be string, it is not there",
    ),
    "no-image-feature": (
        PICTURES,
        edit(
            IMAGE_SHARD,
            lambda table: table.replace_schema_metadata(saying(pa.schema([]), made.MODEL).metadata),
        ),
        r"metadata b'huggingface' should be .*, it is None",
    ),
    "other-schema": (
        PICTURES,
        edit(IMAGE_SHARD.replace("-00000-", "-00001-"), lambda table: table.drop_columns(["tags"])),
        r"train-00001-of-00002.parquet: column tags should be list.* as in images/train-00000.*, it is not there",
    ),
    "no-page-index": (PICTURES, unpaged, rf"{IMAGE_SHARD}: no page index of column key"),
    "gap": (
        PICTURES,
        renamed(IMAGE_SHARD, "images/train-00000-of-00003.parquet"),
        r"images/train: the names count 2, 3 shards; they should agree",
    ),
    "shard-lost": (
        PICTURES,
        lambda folder: (folder / IMAGE_SHARD).unlink(),
        r"images/train: of 2 shards these are missing: 0",
    ),
    "odd-name": (
        PICTURES,
        renamed(IMAGE_SHARD, "images/part-0.parquet"),
        r"images/part-0.parquet: no name of a shard",
    ),
    "no-picture": (
        PICTURES,
        cell("image", picture(b"<html>")),
        rf"{IMAGE_SHARD}: row 7: picture of pair {KEY7}: cannot be decoded",
    ),
    "null-picture": (
        PICTURES,
        cell("image", None),
        rf"{IMAGE_SHARD}: row 7: picture of pair {KEY7}: no bytes",
    ),
    "cut-picture": (
        PICTURES,
        cell("image", picture(made.jpeg(7)[:-60])),
        r"row 7: picture of pair \w+: cannot be decoded: .*[Tt]runcated",
    ),
    "other-size": (
        PICTURES,
        cell("image", picture(wide())),
        r"row 7: picture of pair \w+: width and height should be 27 × 30 as the columns say, they are 99 × 30",
    ),
}


def rewritten(**fields: Any) -> Callable[[Path], None]:
    """release.json with other contents."""

    def do(folder: Path) -> None:
        path = folder / "release.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return do


def recounted(*path: str, value: Any) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        document = json.loads((folder / "release.json").read_text())
        inner = document
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value
        (folder / "release.json").write_text(json.dumps(document))

    return do


def carded(old: str, new: str) -> Callable[[Path], None]:
    """The card with other words, and its checksum right."""

    def do(folder: Path) -> None:
        card = folder / "README.md"
        text = card.read_text()
        assert re.search(old, text)
        card.write_text(re.sub(old, new, text, count=1))
        recounted("files", "README.md", value=made.entry(card))(folder)

    return do


def instead(wanted: str, found: str, of: str = "README.md") -> str:
    """What is said of the first line of a document that is not as danqing writes it."""
    return rf"^{of}: line [\d,]+ should have .*{wanted}.*, it has .*{found}.*$"


BOTH, FULL = ("full", "quick"), ("full",)
# These are not sealed anew: what is said of the files is wrong.
WRONG: dict[str, tuple[Kind, Callable[[Path], None], tuple[str, ...], str]] = {
    "missing": (
        PICTURES,
        lambda folder: (folder / IMAGE_SHARD).unlink(),
        BOTH,
        rf"^{IMAGE_SHARD}: should be there by release.json, it is missing$",
    ),
    "no-card": (
        PICTURES,
        lambda folder: (folder / "README.md").unlink(),
        BOTH,
        r"^README.md: should be there",
    ),
    "removals-junk": (
        PICTURES,
        written(removals.PATH, b"junk"),
        BOTH,
        r"removals/removals.parquet: Parquet magic bytes|removals/removals.parquet: .*smaller than the minimum",
    ),
    "extra": (
        PICTURES,
        written("images/train-00002-of-00003.parquet", b"x"),
        BOTH,
        r"^images/train-00002-of-00003.parquet: should not be there, release.json does not list it",
    ),
    "script": (PICTURES, written("danqing.py", b"x"), BOTH, r"^danqing.py: should not be there"),
    "unfinished": (PICTURES, written(".release/x", b"x"), BOTH, r"^.release/x: should not be there"),
    "bytes": (
        PICTURES,
        cut(IMAGE_SHARD, 0.9),
        BOTH,
        rf"^{IMAGE_SHARD}: bytes should be [\d,]+, it is [\d,]+$",
    ),
    "footer-lost": (
        PICTURES,
        cut(IMAGE_SHARD, 0.9),
        BOTH,
        rf"^{IMAGE_SHARD}: damaged or truncated: .*magic bytes",
    ),
    "empty": (PICTURES, cut(IMAGE_SHARD, 0), BOTH, rf"^{IMAGE_SHARD}: damaged or truncated"),
    "rot": (
        PICTURES,
        torn(IMAGE_SHARD, b"JFIF"),
        BOTH,
        rf"^{IMAGE_SHARD}: sha256 should be \w{{64}}, it is \w{{64}}$",
    ),
    "rot-of-figure": (
        PICTURES,
        written("figures/score.png", b"\x89PNG no more than bytes HERE"),
        BOTH,
        r"^figures/score.png: sha256 should be",
    ),
    "cut-tar": (TARS, cut(TAR, 0.5), FULL, rf"^{TAR}: damaged or truncated"),
    "rows": (
        PICTURES,
        recounted("files", IMAGE_SHARD, "rows", value=13),
        BOTH,
        rf"^{IMAGE_SHARD}: rows should be 13, it is 12$",
    ),
    "rows-of-tar": (
        TARS,
        recounted("files", TAR, "rows", value=13),
        FULL,
        rf"^{TAR}: rows should be 13, it is 12$",
    ),
    "rows-of-changes": (
        PICTURES,
        recounted("files", "changes/v2026.11.parquet", "rows", value=13),
        BOTH,
        r"^changes/v2026.11.parquet: rows should be 13, it is 30$",
    ),
    "count-rows": (
        PICTURES,
        recounted("counts", "splits", "train", "rows", value=23),
        BOTH,
        r"^release.json: counts.splits.train.rows says 23, the shards have 22$",
    ),
    "count-bytes": (
        TARS,
        recounted("counts", "splits", "train", "bytes", value=1),
        BOTH,
        r"^release.json: counts.splits.train.bytes says 1, the shards have \d+$",
    ),
    "count-split": (
        PICTURES,
        recounted("counts", "splits", "test", value={"rows": 1}),
        BOTH,
        r"^release.json: counts.splits.test says",
    ),
    "count-kept": (
        PICTURES,
        recounted("counts", "kept", value=28),
        FULL,
        r"^release.json: counts.kept says 28, the shards have 23$",
    ),
    "count-verdicts": (
        PICTURES,
        recounted("counts", "verdicts", value={"same": 1}),
        FULL,
        r"^release.json: counts.verdicts.same says 1, the shards have 23$",
    ),
    "count-of-tar": (
        TARS,
        recounted("counts", "captioned", "recaption", value=1),
        FULL,
        r"^release.json: counts.captioned.recaption says 1, the shards have \d+$",
    ),
    "counts-junk": (
        PICTURES,
        recounted("counts", "splits", value=[1]),
        BOTH,
        r"^release.json: counts.splits says \[1\]",
    ),
    "histogram": (
        MANIFEST,
        recounted("counts", "histograms", "resolution", value=[9]),
        FULL,
        r"counts.histograms.resolution says \[9\], the shards have \[28\]",
    ),
    "card-examples": (
        PICTURES,
        carded("num_examples: 18", "num_examples: 19"),
        BOTH,
        instead(r"    num_examples: 18", r"    num_examples: 19"),
    ),
    "card-bytes": (
        PICTURES,
        carded(r"num_bytes: \d+", "num_bytes: 5"),
        BOTH,
        instead(r"    num_bytes: \d+", r"    num_bytes: 5"),
    ),
    "card-size": (
        PICTURES,
        carded(r"download_size: \d+", "download_size: 5"),
        BOTH,
        instead(r"  download_size: \d+", r"  download_size: 5"),
    ),
    "card-type": (
        PICTURES,
        carded(r"name: width\n    dtype: int32", "name: width\n    dtype: int64"),
        BOTH,
        instead(r"    dtype: int32", r"    dtype: int64"),
    ),
    "card-features": (
        PICTURES,
        carded(r"features:\n", "features:\n  - 5\n"),
        BOTH,
        instead(r"  - name: key", r"  - 5"),
    ),
    "card-no-info": (
        MANIFEST,
        carded("dataset_info", "other"),
        BOTH,
        instead(r"dataset_info:", r"other:"),
    ),
    "card-filters": (
        PICTURES,
        carded("  filters:\n  - - kept\n    - ==\n    - true\n", ""),
        BOTH,
        instead(r"  filters:", r"- config_name: removals"),
    ),
    "card-glob": (
        PICTURES,
        carded("path: images/validation", "path: images/valid"),
        BOTH,
        instead(r"    path: images/validation-.*", r"    path: images/valid-.*"),
    ),
    "card-glob-wide": (
        PICTURES,
        carded(r"path: images/validation-\*.*", "path: '*/*.parquet'"),
        BOTH,
        instead(r"    path: images/validation-.*", r"    path: '\*/\*\.parquet'"),
    ),
    "card-license": (
        PICTURES,
        carded("license: cc-by-nc-4.0", "license: mit"),
        BOTH,
        instead(r"license: cc-by-nc-4.0", r"license: mit"),
    ),
    "card-version": (
        PICTURES,
        carded("Version `v2026.11`", "Version `v2026.12`"),
        BOTH,
        instead(r"Version `v2026.11` of .*", r"Version `v2026.12` of .*"),
    ),
    "card-count": (
        PICTURES,
        carded("23 pairs", "230 pairs"),
        BOTH,
        instead(r".*23 pairs.*", r".*230 pairs.*"),
    ),
    "card-unfilled": (
        PICTURES,
        carded("Made by hand", "Made by {{ hand }}"),
        BOTH,
        instead(r"pretty_name: Made by hand", r"pretty_name: Made by \{\{ hand \}\}"),
    ),
    "card-yaml": (
        PICTURES,
        carded("license:", "license: ["),
        BOTH,
        instead(r"license: cc-by-nc-4.0", r"license: \[ cc-by-nc-4.0"),
    ),
    "croissant": (
        PICTURES,
        written("croissant.json", b"{}"),
        BOTH,
        r"^croissant.json: line 1 should have '\{', it has '\{\}'$",
    ),
    "croissant-hash": (
        PICTURES,
        recounted("files", IMAGE_SHARD, "sha256", value="0" * 64),
        BOTH,
        r"^croissant.json: line \d+ should have '   .sha256.: .0+.'",
    ),
    "dropped": (
        PICTURES,
        rewritten(dropped={"drifted": 20, "dead": 1, "removed": 10}),
        BOTH,
        r"rows of reason dead should be 1, it is 0",
    ),
    "removed": (
        PICTURES,
        rewritten(removed=0),
        BOTH,
        r"removals/removals.parquet: entries should be 0, it is 2",
    ),
    "validated": (
        PICTURES,
        rewritten(validated=False),
        BOTH,
        r"column kept though release.json says validated: false",
    ),
    "not-validated": (
        Kind(validated=False),
        rewritten(validated=True),
        BOTH,
        r"column verdict should be string, it is not there",
    ),
    "keep": (
        PICTURES,
        rewritten(funnel={"decision": {"keep": ["moved"]}}),
        FULL,
        r"row 0: verdict should be one that is kept: moved, it is same",
    ),
    "other-what": (PICTURES, rewritten(what="manifest"), BOTH, r"manifest/: release.json lists no shards"),
}


def tar_of(*files: tuple[str, bytes]) -> Callable[[Path], None]:
    def do(folder: Path) -> None:
        with tarfile.open(folder / TAR, "w") as tar:
            for name, data in files:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))

    return do


def pair7(text: bytes | None = None, **columns: Any) -> list[tuple[str, bytes]]:
    """The members of a pair with other columns, or with another text for its JSON."""
    told = json.dumps({"key": KEY7, "alt_text": "第7张图片"} | columns).encode()
    return [
        (f"{KEY7}.jpg", b"x"),
        (f"{KEY7}.txt", "第7张图片".encode()),
        (f"{KEY7}.json", told if text is None else text),
    ]


JSON7 = json.dumps({"key": KEY7, "alt_text": "第7张图片", "url": 5, "width": "wide"}).encode()
MEMBERS = {
    "no-json": (
        [(f"{KEY7}.jpg", b"x"), (f"{KEY7}.txt", b"x")],
        r"row 0: pair \w+ should have a picture, txt and json, it has jpg, txt",
    ),
    "other-key": ([("a.jpg", b"x"), ("a.txt", b""), ("a.json", JSON7)], r"row 0: a.json should be of key a"),
    "other-text": (
        [(f"{KEY7}.jpg", b"x"), (f"{KEY7}.txt", b"y"), (f"{KEY7}.json", JSON7)],
        r"row 0: \w+.txt should be the alt_text of",
    ),
    "types": (
        [(f"{KEY7}.jpg", b"x"), (f"{KEY7}.txt", "第7张图片".encode()), (f"{KEY7}.json", JSON7)],
        r"row 0: width should be int32, it is str",
    ),
    "junk-json": (
        [(f"{KEY7}.jpg", b"x"), (f"{KEY7}.txt", b""), (f"{KEY7}.json", b"{")],
        rf"row 0: {KEY7}.json: Expecting",
    ),
    **{
        f"text-{type(value).__name__}": (
            pair7(alt_text=value),
            rf"row 0: alt_text should be string, it is {told}",
        )
        for value, told in ((5, "int"), ([5], "list"), ({}, "dict"), (True, "bool"))
    },
    "text-null": (pair7(alt_text=None), rf"row 0: {KEY7}.txt should be the alt_text"),
    "text-surrogate": (pair7(alt_text="\ud800"), rf"row 0: {KEY7}.txt should be the alt_text"),
    "key-list": (pair7(key=[KEY7]), rf"row 0: {KEY7}.json should be of key"),
    "key-null": (pair7(key=None), rf"row 0: {KEY7}.json should be of key"),
    "score-text": (pair7(score="high"), r"row 0: score should be float, it is str"),
    "width-huge": (pair7(width=1 << 70), r"width should be int32"),
    "date-number": (pair7(fetched_at=5), r"row 0: fetched_at should be timestamp.*, it is int"),
    "no-object": (pair7(b"[]"), rf"row 0: {KEY7}.json: no object of JSON"),
    "deep": (pair7(b'{"a":' + b"[" * 100_000), rf"row 0: {KEY7}.json: maximum recursion depth"),
    "no-utf-8": (pair7(b'{"a": "\xff"}'), rf"row 0: {KEY7}.json: 'utf-8' codec can't decode"),
    "many": (
        [(f"{KEY7}.{number}", b"") for number in range(1000)],
        r"row 0: pair \w+ should have a picture, txt and json, it has 0, 1, 10, .{,100}$",
    ),
    "twice": (
        [*pair7(), (f"{KEY7}.png", b"x")],
        r"row 0: pair \w+ should have a picture, txt and json, it has jpg, json, png, txt",
    ),
    "large-text": (
        [(f"{KEY7}.jpg", b"x"), (f"{KEY7}.txt", bytes((4 << 20) + 1))],
        rf"'{KEY7}.txt' has 4,194,305 bytes: too large",
    ),
    "folder": ([("../../etc/passwd", b"x")], r"'../../etc/passwd' is no member of a pair"),
}
