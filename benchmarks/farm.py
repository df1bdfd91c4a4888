"""A farm of photo-like images and the nginx that serves it over http and https on many loopback addresses.

In: how many images. Out: files under out/farm that are the same on every machine with the same libraries
(image i depends on i alone, so a larger farm begins with the smaller one), and URLs. Sizes and formats follow
what the web serves: median long side 751 px, mean 0.62 MP, mean 148 KB; 80 % JPEG (29 % of them progressive),
10 % PNG, 8 % WebP, 2 % GIF. Texture is noise with the spectrum of photographs (amplitude 1/f).
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import pwd
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HOSTS = [f"127.0.0.{i}" for i in range(1, 65)]
FIELD = 1024  # side of a noise field; fields are periodic, so that any crop of any size is seamless
FIELDS = 32
MEDIAN_LONG, SPREAD = 775.0, 0.437  # px, and the sigma of a log-normal: with the smaller PNG and GIF, 0.62 MP
JPEG, PROGRESSIVE, PNG, WEBP = 0.80, 0.29, 0.10, 0.08  # the rest is GIF


@dataclass(frozen=True)
class Farm:
    """`names` of the files in `root`, in order, and what they are like."""

    root: Path
    names: list[str]
    figures: dict[str, Any]


@cache
def field(index: int) -> Image.Image:
    """An RGB picture of 1/f noise, periodic at its edges: sharp luminance, softer colour."""
    rng = np.random.default_rng([7, index])
    f = np.hypot(np.fft.fftfreq(FIELD)[:, None], np.fft.rfftfreq(FIELD)[None, :])
    f[0, 0] = 1.0
    planes = []
    for exponent in (1.33, 2.0, 2.0):
        noise = np.fft.rfft2(rng.standard_normal((FIELD, FIELD), dtype=np.float32)) / f**exponent
        noise[0, 0] = 0.0
        plane = np.fft.irfft2(noise, s=(FIELD, FIELD))
        planes.append(plane / plane.std())
    light, red, blue = planes
    rgb = np.stack([light + 0.5 * red, light - 0.25 * red - 0.2 * blue, light + 0.5 * blue], axis=-1)
    return Image.fromarray(np.clip(rgb * 46 + 120, 0, 255).astype(np.uint8))


def crop(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """A random window of a random field, mirrored or turned at random, wrapping round at the edges."""
    source = np.asarray(field(int(rng.integers(FIELDS))))
    y, x = rng.integers(FIELD, size=2)
    rows, columns = np.arange(y, y + height) % FIELD, np.arange(x, x + width) % FIELD
    if rng.random() < 0.5:
        columns = columns[::-1]
    return Image.fromarray(np.ascontiguousarray(source[rows][:, columns][..., rng.permutation(3)]))


def picture(rng: np.random.Generator, scale: float) -> Image.Image:
    """Two blended crops with a horizon and a few flat shapes, so that there are edges and smooth parts."""
    long = float(np.clip(math.exp(rng.normal(math.log(MEDIAN_LONG), SPREAD)), 160, 2600)) * scale
    short = long * float(rng.choice([9 / 16, 2 / 3, 3 / 4, 3 / 4, 4 / 5, 1.0]))
    width, height = (round(long), round(short)) if rng.random() < 0.62 else (round(short), round(long))
    image = Image.blend(crop(rng, width, height), crop(rng, width, height), float(rng.uniform(0.1, 0.5)))
    image = image.point(
        [round(min(255, max(0, (v - 128) * g + o))) for g, o in shades(rng) for v in range(256)]
    )
    for _ in range(int(rng.integers(0, 5))):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        image.paste(tuple(int(v) for v in rng.integers(256, size=3)), (x, y, x + width // 5, y + height // 6))
    return image


def shades(rng: np.random.Generator) -> list[tuple[float, float]]:
    """Gain and offset of the three channels."""
    gain, offset = rng.uniform(0.7, 1.15), rng.uniform(100, 150)
    return [(gain * rng.uniform(0.9, 1.1), offset + rng.uniform(-20, 20)) for _ in range(3)]


def make(task: tuple[str, int]) -> tuple[str, int, int, int]:
    """Writes image `index` of the folder: (name, bytes, width, height)."""
    root, index = task
    rng = np.random.default_rng([11, index])
    kind = rng.random()
    if kind < JPEG:
        image, suffix = picture(rng, 1.0), "jpg"
        options: dict[str, Any] = {
            "quality": int(rng.integers(78, 95)),
            "progressive": rng.random() < PROGRESSIVE,
        }
    elif kind < JPEG + PNG:
        image, suffix, options = picture(rng, 0.62), "png", {"compress_level": 6}
    elif kind < JPEG + PNG + WEBP:
        image, suffix, options = (
            picture(rng, 1.0),
            "webp",
            {"quality": int(rng.integers(70, 90)), "method": 2},
        )
    else:
        image, suffix, options = picture(rng, 0.7).quantize(128, dither=Image.Dither.NONE), "gif", {}
    path = Path(root, f"{index:06d}.{suffix}")
    image.save(path, **options)
    return path.name, path.stat().st_size, image.width, image.height


def build(root: Path, count: int) -> Farm:
    """The first `count` images of the farm in `root`, making those that are not there yet."""
    root.mkdir(parents=True, exist_ok=True)
    ledger = root.parent / f"{root.name}.json"
    rows = json.loads(ledger.read_text()) if ledger.exists() else []
    if len(rows) < count:
        tasks = [(str(root), index) for index in range(len(rows), count)]
        with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
            rows += pool.map(make, tasks, chunksize=16)
        ledger.write_text(json.dumps(rows))
    rows = rows[:count]
    size, width, height = (np.array([row[i] for row in rows], float) for i in (1, 2, 3))
    figures = {
        "images": count,
        "mean_kb": round(float(size.mean()) / 1000, 1),
        "mean_mp": round(float((width * height).mean()) / 1e6, 3),
        "median_long_side": float(np.median(np.maximum(width, height))),
        "formats": {s: sum(row[0].endswith(s) for row in rows) for s in ("jpg", "png", "webp", "gif")},
    }
    return Farm(root, [row[0] for row in rows], figures)


def build_small(root: Path, count: int = 256) -> Farm:
    """Small JPEG files (about 5 KB), for runs that are about rows and not about pixels."""
    root.mkdir(parents=True, exist_ok=True)
    names = [f"{index:04d}.jpg" for index in range(count)]
    for index, name in enumerate(names):
        if not (root / name).exists():
            crop(np.random.default_rng([13, index]), 160, 120).save(root / name, quality=80)
    return Farm(root, names, {"images": count})


# --- the server ---------------------------------------------------------------------------------------------


def free_port() -> int:
    """A port that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def certificates(folder: Path) -> Path:
    """Makes an authority and a certificate for all hosts; returns the bundle a client has to trust.

    The bundle also holds the system's authorities, as on a real machine: the time a client takes to load them
    is part of what https costs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bundle = folder / "bundle.pem"
    if bundle.exists():
        return bundle
    names = ",".join(f"IP:{host}" for host in HOSTS)
    extensions = f"subjectAltName={names}\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n"
    (folder / "host.ext").write_text(extensions)
    curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    for step in (
        f"req -x509 {curve} -keyout ca.key -out ca.pem -days 3650 -subj /CN=benchmark-authority"
        " -addext keyUsage=critical,keyCertSign,cRLSign",
        f"req {curve} -keyout host.key -out host.csr -subj /CN=benchmark-host",
        "x509 -req -in host.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out host.pem -days 3650 -extfile host.ext",
    ):
        subprocess.run(["openssl", *step.split()], cwd=folder, check=True, capture_output=True)
    paths = ssl.get_default_verify_paths()
    known = [p for p in (paths.cafile, paths.openssl_cafile, "/etc/ssl/certs/ca-certificates.crt") if p]
    system = next((Path(p).read_text() for p in known if Path(p).exists()), "")
    bundle.write_text(system + (folder / "ca.pem").read_text())
    return bundle


def configuration(folder: Path, root: Path, certs: Path, http: int, https: int) -> str:
    """An nginx configuration that needs no privilege and writes only into `folder`."""
    user = f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else ""  # workers read our files
    temp = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in
                   ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))  # fmt: skip
    listen = "".join(
        f"listen {h}:{http} backlog=4096;\nlisten {h}:{https} ssl backlog=4096;\n" for h in HOSTS
    )
    return f"""
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 8192; }}
http {{
{temp}
access_log off;
sendfile on;
tcp_nopush on;
keepalive_requests 1000000;
open_file_cache max=20000;
types {{ image/jpeg jpg; image/png png; image/webp webp; image/gif gif; }}
server {{
{listen}
ssl_certificate {certs}/host.pem;
ssl_certificate_key {certs}/host.key;
root {root};
}}
}}
"""


@dataclass(frozen=True)
class Site:
    """A running nginx: its ports and the bundle that verifies it."""

    http: int
    https: int
    bundle: Path

    def url(self, scheme: str, name: str, index: int) -> str:
        """URL of a file; `index` chooses the host."""
        port = self.http if scheme == "http" else self.https
        return f"{scheme}://{HOSTS[index % len(HOSTS)]}:{port}/{name}"


@contextmanager
def serve(out: Path) -> Iterator[Site]:
    """Serves the folders of `out` (farm/, small/) until the block ends."""
    folder, certs = out / "nginx", out / "certificates"
    folder.mkdir(parents=True, exist_ok=True)
    bundle = certificates(certs)
    site = Site(free_port(), free_port(), bundle)
    config = folder / "nginx.conf"
    config.write_text(configuration(folder, out, certs, site.http, site.https))
    nginx = next((p for p in ("/usr/sbin/nginx", "/usr/local/sbin/nginx") if Path(p).exists()), "nginx")
    command = [nginx, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        await_port(process, HOSTS[-1], site.https)
        yield site
    finally:
        process.terminate()
        process.wait(10)


def await_port(process: subprocess.Popen[Any], host: str, port: int, seconds: float = 15.0) -> None:
    """Returns when something listens there; RuntimeError when the process ended or took too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with status {process.returncode}")
        try:
            socket.create_connection((host, port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"nothing listens on {host}:{port}")
