"""Writes the demo's small web: picture files, a manifest of their addresses, and the truth about every row.

    folder/web/*        the files that the host serves
    folder/manifest/*   Parquet: url, alt_text, recaption, as a user would have it
    folder/truth.parquet  row by row: key, url, fault, kind, outcome, reason, thumbnail

`write` returns the routes, which say how the host answers each target. The thumbnail is a 12 x 12 RGB picture
of what the row's picture shows, upright and on white: enough to tell a turned, a negative or another picture.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from ..disk.schema import pair_key
from .faults import FAULTS, FORMS, Fault
from .host import Route
from .pictures import File, file, file_of, png, save

MANIFEST_FILES = 3
THUMBNAIL = (12, 12)
LIMITED = 1  # the last of the addresses are the limited host's
TYPES = {"jpg": "image/jpeg", "tif": "image/tiff"}
MANIFEST = pa.schema([("url", pa.string()), ("alt_text", pa.string()), ("recaption", pa.string())])
_TRUTH: list[pa.Field[Any]] = [
    pa.field("key", pa.string()),
    pa.field("url", pa.string()),
    pa.field("fault", pa.string()),  # null: none
    pa.field("kind", pa.string()),  # of file, where the picture of the scene is served
    pa.field("outcome", pa.string()),
    pa.field("reason", pa.string()),
    pa.field("thumbnail", pa.binary()),  # 12 x 12 x 3 bytes, where the pair is kept
]
TRUTH = pa.schema(_TRUTH)
_HTML = "<!DOCTYPE html><html><title>找不到页面</title><body><p>您访问的图片不存在。</p></body></html>"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the host is: `netlocs` are ip:port of its addresses, `refused` a port that refuses."""

    netlocs: tuple[str, ...]
    refused: int


@dataclass(slots=True)
class Row:
    """One row of the manifest, its truth, and the routes of the host that belong to it."""

    manifest: dict[str, str | None]
    truth: dict[str, str | bytes | None]
    routes: dict[str, Route] = field(default_factory=dict)


def write(folder: Path, pairs: int, seed: int, address: Address) -> dict[str, Route]:
    """Write web, manifest and truth of `pairs` rows into `folder`; returns the routes by request target."""
    (folder / "web").mkdir(parents=True)
    (folder / "manifest").mkdir()
    bodies = _bodies(folder / "web")
    plan = _plan(pairs, seed)
    maker = _Maker(folder / "web", seed, address, bodies)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = list(pool.map(maker.row, range(pairs), plan))
    table = pa.Table.from_pylist([row.manifest for row in rows], MANIFEST)
    bounds = np.linspace(0, pairs, MANIFEST_FILES + 1).astype(int).tolist()
    for number, (start, end) in enumerate(itertools.pairwise(bounds)):
        pq.write_table(table.slice(start, end - start), folder / "manifest" / f"part-{number:03d}.parquet")
    pq.write_table(pa.Table.from_pylist([row.truth for row in rows], TRUTH), folder / "truth.parquet")
    return {target: route for row in rows for target, route in row.routes.items()}


def thumbnail(image: Image.Image) -> bytes:
    """The 12 x 12 RGB picture by which two pictures are told apart, 432 bytes."""
    return image.convert("RGB").resize(THUMBNAIL, Image.Resampling.BOX).tobytes()


def target_of(url: str) -> str:
    """The request target that a client sends for `url`: byte for byte, but for what cannot stand in one."""
    rest = url.strip().split("#")[0].split("//", 1)[1]
    path = rest[rest.index("/") :]
    return "".join(one if "!" <= one <= "~" else quote(one) for one in path)


def _plan(pairs: int, seed: int) -> list[Fault | None]:
    """Which fault each row has: each at least once, in a shuffled order."""
    planted = [fault for fault in FAULTS for _ in range(max(1, round(fault.share * pairs)))]
    plan: list[Fault | None] = [*planted, *[None] * (pairs - len(planted))]
    order = np.random.default_rng(seed).permutation(len(plan))
    return [plan[place] for place in order[:pairs].tolist()]


def _bodies(web: Path) -> dict[str, tuple[Path, Image.Image | None]]:
    """The files that stand for faults, by the name of the body, and what is seen in them."""
    placeholder = Image.new("RGB", (400, 300), (232, 232, 236))
    brush = ImageDraw.Draw(placeholder)
    brush.rectangle((140, 100, 260, 200), outline=(170, 170, 178), width=6)
    brush.line((140, 200, 260, 100), (170, 170, 178), 6)
    bodies = {
        "html": (_HTML.encode(), None),
        "json": (b'{"code": 404, "message": "not found"}', None),
        "nothing": (b"", None),
        "placeholder": (save(placeholder, "PNG"), placeholder),
        "pixel": (save(Image.new("P", (1, 1)), "GIF"), None),
        "bomb": (png(40_000, 40_000, 8, 2, bytes(120_001)), None),  # says 1.6 gigapixels, holds one line
    }
    for name, (data, _) in bodies.items():
        (web / f"_{name}").write_bytes(data)
    return {name: (web / f"_{name}", seen) for name, (_, seen) in bodies.items()}


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes rows, in any order and in threads: everything follows from the index and the seed."""

    web: Path
    seed: int
    address: Address
    bodies: dict[str, tuple[Path, Image.Image | None]]

    def row(self, index: int, fault: Fault | None) -> Row:
        """Draw scene `index`, write its file and plant the fault."""
        made = file_of("jpeg", index, self.seed) if fault and fault.body == "half" else file(index, self.seed)
        url = self._url(index, fault, made)
        reason = fault.reason if fault else None
        path, seen = self._store(index, fault, made)
        row = Row(
            {"url": url, "alt_text": made.scene.alt_text, "recaption": made.scene.recaption},
            {
                "key": pair_key(url, made.scene.alt_text),
                "url": url,
                "fault": fault.name if fault else None,
                "kind": made.kind if seen is made.seen else None,
                "outcome": "dropped" if reason else "kept",
                "reason": reason.value if reason else None,
                "thumbnail": None if reason or seen is None else thumbnail(seen),
            },
        )
        if url and not (fault and fault.urls):
            row.routes = self._routes(index, target_of(url), fault or Fault("", 0, None), path, made)
        return row

    def _url(self, index: int, fault: Fault | None, made: File) -> str | None:
        """The address of row `index` in one of the usual forms, or one that the fault is in."""
        if fault and fault.urls:
            url = fault.urls[index % len(fault.urls)]
            return url and url.format(index=index, refused=self.address.refused)
        usual, limited = self.address.netlocs[:-LIMITED], self.address.netlocs[-LIMITED:]
        hosts = limited if fault and fault.act == "limited" else usual or limited
        weights = np.array([weight for weight, _ in FORMS])
        form = FORMS[
            int(np.random.default_rng((self.seed, index, 13)).choice(len(FORMS), p=weights / weights.sum()))
        ][1]
        shown = made.scene.attributes
        return form.format(
            host=hosts[index % len(hosts)],
            name=f"{index:06d}.{made.extension}",
            words=shown.colour + shown.shape,
        )

    def _store(self, index: int, fault: Fault | None, made: File) -> tuple[Path, Image.Image | None]:
        """Write what the row's route serves; returns its path and what is seen in it."""
        if fault and fault.body in self.bodies:
            return self.bodies[fault.body]
        path = self.web / f"{index:06d}.{made.extension}"
        half = fault is not None and fault.body == "half"
        path.write_bytes(made.data[: len(made.data) // 2] if half else made.data)
        return path, made.seen

    def _routes(self, index: int, target: str, fault: Fault, path: Path, made: File) -> dict[str, Route]:
        content_type = fault.content_type or TYPES.get(made.extension, f"image/{made.extension}")
        there = Route(path, content_type, fault.status, fault.act, fault.headers)
        turns: dict[str, Callable[[], dict[str, Route]]] = {
            "redirect": lambda: {
                target: self._to(f"/moved/{index}"),
                f"/moved/{index}": Route(path, content_type),
            },
            "loop": lambda: {target: self._to(f"/loop/{index}"), f"/loop/{index}": self._to(target)},
            "ftp": lambda: {target: Route(status=302, headers=(("Location", f"ftp://127.0.0.1/{index}"),))},
        }
        return turns[fault.act]() if fault.act in turns else {target: there}

    def _to(self, target: str) -> Route:
        """A redirect to another target, on another address of the host."""
        location = f"http://{self.address.netlocs[len(target) % len(self.address.netlocs)]}{target}"
        return Route(status=302, headers=(("Location", location),))
