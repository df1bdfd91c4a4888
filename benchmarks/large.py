"""How much memory pictures at the limit of pixels take: eight rows of each form, in one worker with two threads.

    python benchmarks/large.py [--only NAME ...] [--tree PATH] [--smoke] [--json FILE]

In: nothing; it makes the pictures and serves them on loopback. Out: for each form the peak of resident memory beyond
that of a run of the same 400 small pictures without them. Exits 1 where one that can be kept within 600 MB is not.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path

import cv2
import measure
import numpy as np
import ours
from duel import Side, manifest, once, say
from PIL import Image

SMALL, ROWS, CORES, WANTED = 400, 8, 2, 600
# Their decoders hold more on their own: OpenJPEG 4 bytes a sample, libjpeg every coefficient, libavif two copies.
BEYOND = {"jp2", "avif-alpha", "jpeg-cmyk-progressive"}


def pixels(side: int) -> np.ndarray:
    """RGBA of few colours, so that files are small, without two rows alike next to each other."""
    across, down = np.meshgrid(np.arange(side), np.arange(side))
    grey = ((across >> 7) * 3 + (down >> 6) * 5).astype(np.uint8)
    return np.dstack([grey, grey[::-1], grey.T, grey * 2])


def by_pillow(mode: str, kind: str, **options: object) -> Callable[[np.ndarray], bytes]:
    """Makes a file of that mode and format."""

    def made(rgba: np.ndarray) -> bytes:
        file = io.BytesIO()
        stored = rgba if mode in ("RGBA", "CMYK") else rgba[:, :, :3]
        image = (
            Image.frombytes("CMYK", rgba.shape[:2], rgba.tobytes())
            if mode == "CMYK"
            else Image.fromarray(stored)
        )
        image = image if image.mode == mode else image.convert(mode)
        more = {"append_images": [image]} if options.get("save_all") else {}
        image.save(file, kind, **options, **more)
        return file.getvalue()

    return made


FORMS: dict[str, Callable[[np.ndarray], bytes]] = {
    "webp-alpha": by_pillow("RGBA", "WEBP", quality=30, method=0),
    "png-rgba-16-bit": lambda rgba: cv2.imencode(".png", rgba.astype(np.uint16) * 257)[1].tobytes(),
    "webp-animated": by_pillow("RGBA", "WEBP", quality=30, method=0, save_all=True),
    "png-palette-transparent": by_pillow("P", "PNG", transparency=3, compress_level=3),
    "png-gray-alpha": by_pillow("LA", "PNG", compress_level=3),
    "gif-transparent": by_pillow("P", "GIF", transparency=3),
    "jpeg-progressive": by_pillow("RGB", "JPEG", quality=30, progressive=True),
    "jpeg-progressive-444": by_pillow("RGB", "JPEG", quality=30, progressive=True, subsampling=0),
    "jpeg-cmyk": by_pillow("CMYK", "JPEG", quality=30),
    "jpeg-cmyk-progressive": by_pillow("CMYK", "JPEG", quality=30, progressive=True),
    "tiff-rgba": by_pillow("RGBA", "TIFF", compression="tiff_adobe_deflate"),
    "avif": by_pillow("RGB", "AVIF", quality=20, speed=10),
    "avif-alpha": by_pillow("RGBA", "AVIF", quality=20, speed=10),
    "jp2": by_pillow("RGB", "JPEG2000", quality_mode="rates", quality_layers=[200], irreversible=True),
}


class Site(ThreadingHTTPServer):
    """Answers /KIND/anything with the body of that name."""

    def __init__(self, bodies: dict[str, bytes]) -> None:
        self.bodies = bodies
        super().__init__(("127.0.0.1", 0), Answer)

    def urls(self, kind: str, count: int) -> list[str]:
        """So many URLs of one body."""
        return [f"http://127.0.0.1:{self.server_port}/{kind}/{i}" for i in range(count)]


class Answer(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Site

    def do_GET(self) -> None:
        """The body."""
        body = self.server.bodies[self.path.split("/")[1]]
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Says nothing."""


def made(name: str, side: int = 8192) -> bytes:
    """A file of that form, by a process that goes: a run begins at the peak of memory of whoever starts it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(make, name, side).result()


def make(name: str, side: int) -> bytes:
    """The same, here."""
    return FORMS[name](pixels(side))


def peak(side: Side, urls: list[str], work: Path) -> float:
    """The larger of two runs, in MB of the whole tree; all rows are kept."""
    used = [once(side, manifest(work / "m.parquet", urls), work) for _ in range(2)]
    if side.kept(work / side.name) != len(urls):
        raise RuntimeError(f"{side.kept(work / side.name)} of {len(urls)} were kept")
    return max(one.tree_mb for one in used)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument(
        "--tree", default=str(Path(__file__).resolve().parent.parent), help="the source tree to measure"
    )
    parser.add_argument("--smoke", action="store_true", help="the two forms that took most")
    parser.add_argument("--json", type=Path, help="where the figures go")
    args = parser.parse_args()
    names = list(FORMS)[:2] if args.smoke else args.only
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    site = Site({"small": by_pillow("RGB", "JPEG")(pixels(700))})
    threading.Thread(target=site.serve_forever, daemon=True).start()
    flags = [*ours.EXACT, "--workers", "1"]
    side = Side("ours", lambda m, o: ours.command(m, o, flags), ours.kept, ours.environment(Path(args.tree)))
    found: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as work:
        few = site.urls("small", SMALL)
        base = peak(side, few, Path(work))
        for name in names:
            site.bodies[name] = made(name)
            urls = [*few[: SMALL // 2], *site.urls(name, ROWS), *few[SMALL // 2 :]]
            found[name] = round(peak(side, urls, Path(work)) - base)
            say(f"{name}, {len(site.bodies.pop(name))} bytes: {found[name]:+d} MB")
    rows = [[name, f"{mb:+d}", "" if name in BEYOND else f"<= +{WANTED}"] for name, mb in found.items()]
    title = f"Eight pictures of 8192 x 8192 beside {SMALL} small ones ({base:.0f} MB), one worker, {CORES} threads"
    print(measure.table(title, ["form", "MB more", "wanted"], rows))
    if args.json:
        args.json.write_text(json.dumps({"base_mb": round(base), "more_mb": found}, indent=1) + "\n", "utf-8")
    return int(any(mb > WANTED for name, mb in found.items() if name not in BEYOND))


if __name__ == "__main__":
    sys.exit(main())
