"""Small releases made by hand, and true: real pictures, real Parquet, real tars, every number counted.

    write(folder, Kind())      # the shards, removals and changes
    seal(folder)               # release.json, card and croissant.json to what lies there now

`seal` after a file was changed makes a release whose checksums are right and whose data are not.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from datasets import DatasetInfo, Features
from PIL import Image

from builder.card.counts import Counts
from builder.disk import removals
from builder.disk.parquet import HUGGINGFACE, writer
from builder.disk.release import Release
from builder.disk.schema import CODE, IMAGES, PAIR, PICTURE, pair_key, saying
from builder.disk.tars import TarWriter
from builder.reasons import Verdict
from tests.roots import FETCHED

VERSION, BEFORE = "v2026.11", "v2026.10"
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


def make(folder: Path, kind: Kind | None = None) -> Release:
    """A whole release."""
    kind = kind or Kind()
    write(folder, kind)
    return seal(folder, kind)


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
        danqing="0.1.0",
    )
    (folder / "croissant.json").write_bytes(croissant(release, kind))
    (folder / "README.md").write_text(card(release, kind))
    for name in ("croissant.json", "README.md"):
        files[name] = entry(folder / name)
    whole = {name: getattr(release, name) for name in Release.__slots__} | said
    release = Release(**whole)
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
            "verdicts": {"drifted": drifted, "same": fetched - drifted},
            "left_out": {"drifted": drifted},
        }
        told["decision"] = {"alpha": 0.05, "bound": 0.05 * 0.2, "pi0": 0.2, "tested": 9, "threshold": 0.03}
        told["decision"] |= {"min_score": None, "keep": ["same", "moved", "matching"]}
    if kind.later:
        told["revisions"] = [
            {"version": BEFORE, "created_at": "2026-10-22T10:00:00+00:00", "kept": 50, "dropped": {}}
        ]
    return told


def croissant(release: Release, kind: Kind) -> bytes:
    """The files, and for tables their columns, as danqing has them described."""
    ending, of = ("tar", "x-tar") if kind.tar else ("parquet", "x-parquet")
    encoding = {"encodingFormat": f"application/{of}"}
    files: list[dict[str, Any]] = [
        {"@type": "cr:FileObject", "@id": p, "name": p, "contentUrl": p, "contentSize": f"{f['bytes']} B"}
        | {"sha256": f["sha256"], **encoding}
        for p, f in release.shards().items()
    ]
    files += [{"@type": "cr:FileSet", "@id": "shards", "name": "shards", **encoding}]
    files[-1]["includes"] = f"{kind.what}/*.{ending}"
    columns = {"split": {"fileProperty": "fullpath"}} | {n: {"column": n} for n in schema_of(kind).names}
    fields = [
        {"@id": f"{kind.what}/{name}", "name": f"{kind.what}/{name}"}
        | {"source": {"fileSet": {"@id": "shards"}, "extract": extract}}
        for name, extract in columns.items()
    ]
    records = [] if kind.tar else [{"@id": kind.what, "field": fields}]
    about = {"license": release.license, "description": f"pairs rebuilt from {release.source}"}
    return json.dumps(about | {"distribution": files, "recordSet": records}).encode()


def text(release: Release) -> str:
    """What a person is told, in the sentences of the real card."""
    kept, funnel, counts = release.counts["kept"], release.funnel, release.counts
    source = f"[{release.source}](https://huggingface.co/datasets/{release.source})"
    lines = [
        "# Made by hand",
        "",
        f"Version `{release.version}` of {release.created_at[:10]}, with {kept:,} pairs.",
        f"The source is {source}: URLs with captions.",
        "This release is under **CC-BY-NC 4.0**, inherited from its source.",
        "",
        f"| **rows of the source manifest** | {funnel['manifest']} | 100 % |",
        f"| **pairs with a picture** | {funnel['fetched']} | 50 % |",
        f"| **pairs in this release** | {kept} | 50 % |",
    ]
    lost = {
        "pending": funnel["pending"],
        **funnel["reasons"],
        **funnel["left_out"],
        "removed": funnel["removed"],
    }
    lines += [f"| `{name}`: why | \N{MINUS SIGN}{count} | 5 % |" for name, count in lost.items()]
    lines += [f"| `{s}` | {one['kept']} | {one['shards']} | 9.1 kB |" for s, one in counts["splits"].items()]
    if release.validated:
        lines += [
            "Every pair was scored with `tiny` (revision `" + "0" * 40 + "`).",
            "The weights have the fingerprint `" + "f" * 32 + "`.",
            "9 pairs with changed bytes were tested, at level 5 % decides.",
            "The share of junk is at most 5 % times, (pi0) is 20 %, no more than 1 % of those kept.",
        ]
        judged = {
            verdict.value: (funnel["verdicts"].get(verdict, 0), counts["verdicts"].get(verdict, 0))
            for verdict in Verdict
        }
        lines += [f"| `{name}` | told | {one} | {other} |" for name, (one, other) in judged.items()]
    dropped = "20 `drifted`, 10 `removed`" if release.previous else "none"
    lines += [f"| `{release.version}` | 2026-11-22 | {kept} | {dropped} |"]
    lines += [f"| `{one['version']}` | 2026-10-22 | 50 | none |" for one in funnel["revisions"]]
    return "\n".join([*lines, f"Made with danqing {release.danqing}.", ""])


def card(release: Release, kind: Kind) -> str:
    """A card as `datasets` reads it, with the least that a person is told."""
    ending = "tar" if kind.tar else "parquet"
    counted = release.counts["splits"]
    files = [{"split": split, "path": f"{kind.what}/{split}-*.{ending}"} for split in counted]
    config = {"config_name": kind.what, "data_files": files, "default": True}
    if kind.what == "images" and kind.validated and not kind.tar:
        config["filters"] = [["kept", "==", True]]
    size = sum(one["bytes"] for one in counted.values())
    described = [
        {"name": s, "num_bytes": one["bytes"], "num_examples": one["kept"]} for s, one in counted.items()
    ]
    info: dict[str, Any] = {
        "config_name": kind.what,
        "splits": described,
        "download_size": size,
        "dataset_size": size,
    }
    if not kind.tar:
        features = Features.from_arrow_schema(schema_of(kind))
        info |= {"features": DatasetInfo(features=features)._to_yaml_dict()["features"]}
    head = yaml.safe_dump(
        {
            "license": release.license,
            "source_datasets": [release.source],
            "configs": [config],
            "dataset_info": info,
        },
        sort_keys=False,
    )
    return f"---\n{head}---\n{text(release)}"


assert {*IMAGES.names} <= {*pair(0)}
