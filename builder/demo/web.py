"""Writes the demo's small web: picture files, their addresses and captions, and the truth about every row.

    folder/web/*        the files that the host serves
    folder/truth.parquet  row by row: PlantedRow

`write` returns the rows, with routes that say how the host answers each target. Most come to the manifest by a crawl
of the pages that name them, the others by a list of somebody else. The thumbnail is a 12 x 12 RGB picture of what the
row's picture shows, upright and on white: enough to tell a turned, a negative or another picture.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypedDict
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from ..crawl.recipe import TEXT_PAIRS
from ..disk.schema import pair_key
from ..reasons import Reason
from .faults import FAULTS, FORMS, WRITINGS, Fault, written
from .host import Host, Route
from .pictures import AGAIN, COPY, FLAWS, File, file, file_of, flawed, png, save
from .scene import COMMA, scene, unlike

WAT, WARC, LIST = "wat", "warc", "list"  # where a row comes from
PLACES = (*(WAT,) * 6, WARC, LIST)  # of the rows by turns
THUMBNAIL = (12, 12)
TYPES = {"jpg": "image/jpeg", "tif": "image/tiff"}
MANIFEST = pa.schema([(name, pa.string()) for name in ("url", "alt_text", "recaption")])
_HTML = "<!DOCTYPE html><html><title>找不到页面</title><body><p>您访问的图片不存在。</p></body></html>"
_SOUND = Fault("", 0, None)
LISTED = (Reason.INVALID_URL.value, Reason.BLOCKED_SCHEME.value)  # of addresses that no crawl lets through


class PlantedRow(TypedDict):
    """The truth about a row of the manifest.

    fault: None without one; kind: of file, where the picture of the scene is served and has no flaw; scene: its
    number, which rows that show the same have in common; thumbnail: 12 x 12 x 3 bytes, where the pair is kept; change:
    what a year did to it (changes.py).
    """

    key: str
    url: str | None
    fault: str | None
    kind: str | None
    scene: str
    outcome: str
    reason: str | None
    thumbnail: bytes | None
    change: str | None


class WebRow(NamedTuple):
    """A row of the refined manifest, its truth, and the routes of the host that belong to it.

    src, text: its address and its alt text as they are written down; place: where it comes from, WAT, WARC or LIST.
    """

    manifest: dict[str, str | None]
    truth: PlantedRow
    routes: dict[str, Route]
    src: str | None
    text: str
    place: str = LIST

    def crawled(self, place: str) -> WebRow:
        """The row as it comes out of a crawl, with the address that a browser sends."""
        url = sent(self.src or "")
        truth: PlantedRow = {**self.truth, "url": url, "key": pair_key(url, self.manifest["alt_text"])}
        return self._replace(manifest={**self.manifest, "url": url}, truth=truth, place=place)


def write(folder: Path, pairs: int, seed: int, host: Host) -> list[WebRow]:
    """Write web and truth of `pairs` rows into `folder`; returns them."""
    (folder / "web").mkdir(parents=True)
    plan = _plan(pairs, seed)
    maker = _RowMaker(folder / "web", seed, host, _bodies(folder / "web"), _twins(plan), pairs)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = list(_placed(pool.map(maker.row, range(pairs), plan)))
    write_truth(folder / "truth.parquet", (row.truth for row in rows))
    return rows


def routes_of(rows: Iterable[WebRow]) -> dict[str, Route]:
    """The routes of the host by request target."""
    return {target: route for row in rows for target, route in row.routes.items()}


def _placed(rows: Iterable[WebRow]) -> Iterator[WebRow]:
    """The rows where they come from: what a crawl would drop, as no picture or for its text, is left to the list."""
    texts: Counter[str] = Counter()
    for number, row in enumerate(rows):
        place, text = PLACES[number % len(PLACES)], row.text
        lost = row.truth["reason"] in LISTED and not row.routes
        if place == LIST or lost or texts[text] == TEXT_PAIRS:
            yield row
        else:
            texts[text] += 1
            yield row.crawled(place)


def write_truth(path: Path, rows: Iterable[PlantedRow]) -> None:
    """Write rows as Parquet, each column of text but the thumbnail."""
    names = PlantedRow.__annotations__
    schema = pa.schema([(name, pa.binary() if name == "thumbnail" else pa.string()) for name in names])
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema), path)


def thumbnail(image: Image.Image) -> bytes:
    """The 12 x 12 RGB picture by which two pictures are told apart, 432 bytes."""
    return image.convert("RGB").resize(THUMBNAIL, Image.Resampling.BOX).tobytes()


def sent(url: str) -> str:
    """The address that a browser sends for `url`, which stands on a page of http."""
    host = url.strip().split("//", 1)[1].split("/")[0]
    return f"http://{host}{target_of(url)}"


def target_of(url: str) -> str:
    """The request target that a client sends for `url`: byte for byte, but for what cannot stand in one."""
    rest = url.strip().split("#")[0].split("//", 1)[1]
    path = rest[rest.index("/") :]
    return "".join(one if "!" <= one <= "~" else quote(one) for one in path)


def _plan(pairs: int, seed: int) -> list[Fault]:
    """Which fault each row has: each at least once, in a shuffled order."""
    planted = [fault for fault in FAULTS for _ in range(max(1, round(fault.share * pairs)))]
    plan = [*planted, *[_SOUND] * (pairs - len(planted))]
    order = np.random.default_rng(seed).permutation(len(plan))
    return [plan[place] for place in order[:pairs].tolist()]


def _twins(plan: Sequence[Fault]) -> dict[int, int]:
    """Index of each row that shows the picture of another -> the index of that one, which has no fault."""
    sound = (index for index, fault in enumerate(plan) if fault is _SOUND)
    twins = [index for index, fault in enumerate(plan) if fault.body in (COPY, AGAIN)]
    return dict(zip(twins, sound, strict=False))


def _bodies(web: Path) -> dict[str, tuple[Path, Image.Image | None]]:
    """The files that stand for faults, by the name of the body, and what is seen in them."""
    placeholder = Image.new("RGB", (400, 300), (232, 232, 236))
    brush = ImageDraw.Draw(placeholder)
    brush.rectangle((140, 100, 260, 200), outline=(170, 170, 178), width=6)
    brush.line((140, 200, 260, 100), (170, 170, 178), 6)
    bodies = {
        "html": _HTML.encode(),
        "json": b'{"code": 404, "message": "not found"}',
        "nothing": b"",
        "placeholder": save(placeholder, "PNG"),
        "pixel": save(Image.new("P", (1, 1)), "GIF"),
        "bomb": png(40_000, 40_000, 8, 2, bytes(120_001)),  # says 1.6 gigapixels, holds one line
    }
    for name, data in bodies.items():
        (web / f"_{name}").write_bytes(data)
    return {name: (web / f"_{name}", placeholder if name == "placeholder" else None) for name in bodies}


@dataclass(frozen=True, slots=True)
class _RowMaker:
    """Makes rows, in any order and in threads: everything follows from the index and the seed."""

    web: Path
    seed: int
    host: Host
    bodies: dict[str, tuple[Path, Image.Image | None]]
    twins: dict[int, int]
    pairs: int

    def row(self, index: int, fault: Fault) -> WebRow:
        """Draw scene `index`, write its file and plant the fault."""
        made = self._file(index, fault)
        url, reason = self._url(index, fault, made), fault.reason
        text = made.scene.alt_text
        if not (url or "").strip():
            text += (
                f"{COMMA}第{index}张"  # without an address nothing else tells it from one of the same text
            )
        path, seen = self._store(index, fault, made)
        truth: PlantedRow = {
            "key": pair_key(url, text),
            "url": url,
            "fault": fault.name or None,
            "kind": None if fault.body else made.kind,
            "scene": str(self.twins.get(index, index)),
            "outcome": "dropped" if reason else "kept",
            "reason": reason.value if reason else None,
            "thumbnail": None if reason or seen is None else thumbnail(seen),
            "change": None,
        }
        manifest = {"url": url, "alt_text": text, "recaption": made.scene.recaption}
        routes = self._routes(index, target_of(url), fault, path, made) if url and not fault.urls else {}
        return WebRow(manifest, truth, routes, url, written(text, self._chosen(index, 23, WRITINGS)))

    def _file(self, index: int, fault: Fault) -> File:
        """The file that shows scene `index`, or that of its twin, with the flaw of the fault."""
        shown, seed = self.twins.get(index, index), self.seed
        made = file_of("jpeg", shown, seed) if fault.body == "half" else file(shown, seed)
        if fault.body not in FLAWS:
            return made
        told = made.scene.attributes
        return flawed(made, fault.body, lambda: scene(unlike(index, self.pairs, seed, told), seed).image)

    def _url(self, index: int, fault: Fault, made: File) -> str | None:
        """The address of row `index` in one of the usual forms, or one that the fault is in."""
        if fault.urls:
            url = fault.urls[index % len(fault.urls)]
            return url and url.format(index=index, refused=self.host.refused_port)
        *usual, limited = self.host.netlocs  # the last is the limited one's
        hosts = [limited] if fault.act == "limited" or not usual else usual
        return self._chosen(index, 13, FORMS).format(
            host=hosts[index % len(hosts)],
            name=f"{index:06d}.{made.extension}",
            words=made.scene.attributes.colour + made.scene.attributes.shape,
        )

    def _chosen(self, index: int, stream: int, forms: Sequence[tuple[float, str]]) -> str:
        """One of several forms, by their weights."""
        weights = np.array([weight for weight, _ in forms])
        chosen = np.random.default_rng((self.seed, index, stream)).choice(
            len(forms), p=weights / weights.sum()
        )
        return forms[int(chosen)][1]

    def _store(self, index: int, fault: Fault, made: File) -> tuple[Path, Image.Image | None]:
        """Write what the row's route serves; returns its path and what is seen in it."""
        if fault.body in self.bodies:
            return self.bodies[fault.body]
        path = self.web / f"{index:06d}.{made.extension}"
        path.write_bytes(made.data[: len(made.data) // 2] if fault.body == "half" else made.data)
        return path, made.seen

    def _routes(self, index: int, target: str, fault: Fault, path: Path, made: File) -> dict[str, Route]:
        """What answers the target, and the targets that it is sent on to."""
        content_type = fault.content_type or TYPES.get(made.extension, f"image/{made.extension}")
        if fault.act == "redirect":
            moved = f"/moved/{index}"
            return {target: self._to(moved), moved: Route(path, content_type)}
        if fault.act == "loop":
            return {target: self._to(f"/loop/{index}"), f"/loop/{index}": self._to(target)}
        if fault.act == "ftp":
            return {target: _sent_to(f"ftp://127.0.0.1/{index}")}
        return {target: Route(path, content_type, fault.status, fault.act, fault.headers)}

    def _to(self, target: str) -> Route:
        """A redirect to another target, on another address of the host."""
        netlocs = self.host.netlocs
        return _sent_to(f"http://{netlocs[len(target) % len(netlocs)]}{target}")


def _sent_to(location: str) -> Route:
    return Route(status=302, headers=(("Location", location),))
