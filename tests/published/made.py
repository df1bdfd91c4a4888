"""Small releases made by hand, and true: real pictures, real Parquet, real tars, every number counted.

    write(folder, Kind())      # the shards, removals and changes
    seal(folder)               # release.json, card and croissant.json to what lies there now

`seal` after a file was changed makes a release whose checksums are right and whose data are not.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from builder import __version__
from builder.card import croissant, readme
from builder.card.counts import Counts
from builder.disk import removals
from builder.disk.parquet import HUGGINGFACE, writer
from builder.disk.release import Release
from builder.disk.schema import CODE, IMAGES, PAIR, PICTURE, pair_key, saying
from builder.disk.tars import TarWriter
from tests.roots import FETCHED

VERSION, BEFORE = "v2026.11", "v2026.10"
TITLE, REPOSITORY = "Made by hand", "ORG/NAME"
MODEL = {
    "model": "google/tiny",
    "name": "tiny",
    "revision": "0" * 40,
    "fingerprint": "f" * 32,
    "caption": "alt_text",
}
TAGS = pa.field("tags", pa.list_(pa.string()))
SCORED = [pa.field("score", pa.float32()), pa.field("score_model", pa.string())]
VERDICT = [pa.field("verdict", pa.string()), pa.field("suspect", pa.bool_())]
GONE = [pair_key(f"http://gone.test/{number}", "没有了") for number in range(30)]
REASONS = {"drifted": 20, "removed": 10}


@dataclass(frozen=True)
class Kind:
    """What to make. shards: rows of each, by split; later: it has a release before it, and removals."""

    what: str = "images"
    tar: bool = False
    validated: bool = True
    later: bool = True
    shards: dict[str, tuple[int, ...]] = field(
        default_factory=lambda: {"train": (12, 10), "validation": (6,)}
    )


def schema_of(kind: Kind) -> pa.Schema:
    """The columns of such a release."""
    said = saying(pa.schema([]), MODEL).metadata if kind.validated else {}
    if kind.what == "images":
        judged = [*SCORED, pa.field("p", pa.float32()), *VERDICT, pa.field("kept", pa.bool_())]
        fields = [*PAIR, TAGS, *PICTURE]
        return pa.schema([*fields, *(judged if kind.validated else [])], metadata={**HUGGINGFACE, **said})
    texts = [PAIR.field(name) for name in ("url", "alt_text", "recaption")]
    verified = [
        pa.field("key", pa.string()),
        *(PICTURE.field(n) for n in ("width", "height", "sha256", "phash")),
    ]
    judged = [pa.field("code", CODE), *SCORED, *VERDICT] if kind.validated else []
    return pa.schema([*texts, TAGS, *verified, *judged, PICTURE.field("fetched_at")], metadata=said or None)


def jpeg(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (20 + number, 30), (number % 256, 9, 128)).save(file, "JPEG")
    return file.getvalue()


def pair(number: int) -> dict[str, Any]:
    """All columns of any kind; every fifth pair was dropped since."""
    url, alt_text = f"http://a{number % 3}.images.test/{number}.jpg", f"第{number}张图片"
    return {
        "key": pair_key(url, alt_text),
        "url": url,
        "alt_text": alt_text,
        "recaption": None if number % 4 == 0 else f"重写的第{number}句",
        "tags": ["图", str(number)],
        "image": {"bytes": jpeg(number), "path": f"{number}.jpg"},
        "width": 20 + number,
        "height": 30,
        "original_width": 40 + number,
        "original_height": 60,
        "sha256": f"{number:064x}",
        "phash": f"{number:016x}",
        "format": "jpeg",
        "fetched_at": FETCHED,
        "code": bytes([number]) * 32,
        "score": 0.1 + number / 1000,
        "score_model": "tiny",
        "p": None,
        "verdict": "drifted" if number % 5 == 4 else "same",
        "suspect": number == 3,
        "kept": number % 5 != 4,
    }


def table(kind: Kind, first: int, count: int) -> pa.Table:
    """So many rows; of a manifest and of tars, which are laid out anew each time, only kept pairs."""
    rows = map(pair, range(first, first + 2 * count))
    flagged = kind.validated and kind.what == "images" and not kind.tar
    chosen = [row for row in rows if flagged or row["kept"]][:count]
    schema = schema_of(kind)
    return pa.Table.from_pylist([{name: row[name] for name in schema.names} for row in chosen], schema)


def put(path: Path, rows: pa.Table) -> None:
    """Write a shard."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tar":
        out = TarWriter(path)
        out.write_table(rows)
        out.close()
        return
    with writer(path, rows.schema) as file:
        for start in range(0, rows.num_rows, 5):
            file.write_table(rows.slice(start, 5))


def write(folder: Path, kind: Kind) -> None:
    """The files of a release, but those that speak of the others."""
    first = 0
    for split, sizes in kind.shards.items():
        for number, count in enumerate(sizes):
            name = f"{split}-{number:05d}-of-{len(sizes):05d}.{'tar' if kind.tar else 'parquet'}"
            put(folder / kind.what / name, table(kind, first, count))
            first += 100
    (folder / "figures").mkdir()
    (folder / "figures/score.png").write_bytes(b"\x89PNG no more than bytes here")
    if kind.later:
        write_changes(
            folder, sorted(GONE), [reason for reason, count in REASONS.items() for _ in range(count)]
        )
        (folder / "removals").mkdir()
        taken = [("host", removals.digest_of("host", "gone.test"), VERSION), ("key", GONE[3], BEFORE)]
        removals.Removals.of(taken).write(folder / removals.PATH)


def write_changes(folder: Path, keys: list[str], reasons: list[str]) -> None:
    (folder / "changes").mkdir(exist_ok=True)
    rows = pa.table({"key": keys, "reason": reasons, "since": [VERSION] * len(keys)})
    pq.write_table(rows, folder / f"changes/{VERSION}.parquet")


def make(folder: Path, kind: Kind | None = None, **said: Any) -> Release:
    """A whole release."""
    kind = kind or Kind()
    write(folder, kind)
    return seal(folder, kind, **said)


def seal(folder: Path, kind: Kind | None = None, **said: Any) -> Release:
    """Write what speaks of the files that lie there. said: fields of Release that are to say something else."""
    kind = kind or Kind()
    for name in ("README.md", "croissant.json", "release.json"):
        (folder / name).unlink(missing_ok=True)
    counts, files = Counts(), {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            inside = path.relative_to(folder).as_posix()
            files[inside] = entry(path)
            if inside.startswith(kind.what):
                count(counts, kind, path)
    release = Release(
        what=kind.what,
        version=VERSION,
        created_at="2026-11-22T10:00:00+00:00",
        validated=kind.validated,
        license="cc-by-nc-4.0",
        source="DeepGlint-AI/DanQing100M",
        files=files,
        counts=counts.as_dict(),
        funnel=funnel(counts, kind),
        model=MODEL if kind.validated else {},
        previous=BEFORE if kind.later else None,
        dropped=REASONS if kind.later else {},
        removed=2 if kind.later else 0,
        danqing=__version__,
    )
    release, schema = replace(release, **said), schema_of(kind)
    release = readme.named(release, schema, TITLE, REPOSITORY)
    (folder / "croissant.json").write_text(croissant.document(release, schema, TITLE, REPOSITORY))
    (folder / "README.md").write_text(readme.render(release, schema, TITLE, REPOSITORY))
    for name in ("croissant.json", "README.md"):
        files[name] = entry(folder / name)
    (folder / "release.json").write_bytes(release.as_json())
    return release


def entry(path: Path) -> dict[str, Any]:
    """What release.json says of a file."""
    rows = None
    if path.suffix == ".parquet":
        rows = pq.read_metadata(path).num_rows
    if path.suffix == ".tar":
        rows = sum(name.endswith(".json") for name in members(path))
    return {
        "rows": rows,
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def members(path: Path) -> list[str]:
    import tarfile

    with tarfile.open(path) as tar:
        return tar.getnames()


def count(counts: Counts, kind: Kind, path: Path) -> None:
    split = path.name.split("-")[0]
    counts.file(split, path.stat().st_size)
    if not kind.tar:
        counts.add(split, pq.read_table(path))
        return
    number, index = 0, [*kind.shards].index(split) if split in kind.shards else 0
    before = sum(len(sizes) for sizes in [*kind.shards.values()][:index])
    number = before + int(path.name.split("-")[1])
    counts.add(split, table(kind, 100 * number, kind.shards[split][int(path.name.split("-")[1])]))


def funnel(counts: Counts, kind: Kind) -> dict[str, Any]:
    """A way from a manifest to these pairs, which adds up; some were not asked for, some dropped at every step."""
    drifted = max(4, counts.left_out["drifted"]) if kind.validated else 0
    fetched = counts.kept + drifted + 1
    told: dict[str, Any] = {
        "manifest": fetched + 10,
        "pending": 2,
        "reasons": {"dns": 1, "http_4xx": 7},
        "fetched": fetched,
        "verdicts": {},
        "left_out": {},
        "decision": {},
        "removed": 1,
        "duplicates": 0,
        "revisions": [],
    }
    if kind.validated:
        told |= {
            "verdicts": {"drifted": drifted, "matching": 1, "same": fetched - drifted - 1},
            "left_out": {"drifted": drifted},
        }
        told["decision"] = {"alpha": 0.05, "bound": 0.05 * 0.2, "pi0": 0.2, "tested": 9}
        told["decision"] |= {"threshold": 0.05 / 9, "suspects": counts.suspects, "min_score": None}
        told["decision"]["keep"] = ["same", "moved", "matching"]
    if kind.later:
        told["revisions"] = [
            {"version": BEFORE, "created_at": "2026-10-22T10:00:00+00:00", "kept": 50, "dropped": {}}
        ]
    return told


assert {*IMAGES.names} <= {*pair(0)}
