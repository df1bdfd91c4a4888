"""Whether two pictures are of one photograph, by the rule of `danqing evaluate --leaks`: what it finds, and what not.

    python benchmarks/leaks.py PHOTOGRAPHS.parquet     # a column `image` of files; half an hour on two quiet cores
    python benchmarks/leaks.py PHOTOGRAPHS.parquet --smoke

Each photograph is made anew in the ways of HOW, and held against itself: recall. Then pairs of two photographs, drawn
at random: false hits. Of photographs that come twice the file is told, for a person to look at.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageEnhance

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import measure  # noqa: E402

from builder.towers.alike import SHARE, Seen, agreement, see  # noqa: E402

RECALL = 0.98
HARD = ("cut to .5 a side",)  # a quarter of the photograph: told, and no more is wanted of it


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    """The image as a JPEG."""
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=quality)
    return file.getvalue()


def scaled(image: Image.Image, share: float) -> Image.Image:
    """The image at so much of its sides."""
    return image.resize((max(1, round(image.width * share)), max(1, round(image.height * share))))


def cut(image: Image.Image, side: float) -> Image.Image:
    """So much of each side, off the middle."""
    left, top = 0.8 * (1 - side) * image.width, 0.3 * (1 - side) * image.height
    return image.crop(
        (round(left), round(top), round(left + side * image.width), round(top + side * image.height))
    )


HOW: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG of quality 20": lambda image: jpeg(image, 20),
    "half the size": lambda image: jpeg(scaled(image, 0.5)),
    "enlarged": lambda image: jpeg(scaled(image, 1.6)),
    "64 pixels": lambda image: jpeg(image.resize((64, 64))),
    "squashed to 256": lambda image: jpeg(image.resize((256, 256))),
    "cut to .8 a side": lambda image: jpeg(cut(image, 0.8)),
    "cut to .5 a side": lambda image: jpeg(cut(image, 0.5)),
    "cut to .8, half the size": lambda image: jpeg(scaled(cut(image, 0.8), 0.5), 70),
    "darker": lambda image: jpeg(ImageEnhance.Brightness(image).enhance(0.8)),
    "more contrast": lambda image: jpeg(ImageEnhance.Contrast(image).enhance(1.3)),
    "grey": lambda image: jpeg(image.convert("L")),
}


def main() -> int:
    """Measure both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--smoke", action="store_true", help="12 photographs, 60 pairs")
    parser.add_argument("--json", type=Path, default=HERE / "out" / "leaks.json")
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    bodies: list[bytes] = pq.read_table(asked.photographs, columns=["image"])["image"].to_pylist()
    bodies = bodies[:12] if asked.smoke else bodies
    began = time.process_time()
    seen = [one for one in map(see, bodies) if one is not None]
    found = {"see, ms": 1e3 * (time.process_time() - began) / len(seen)}
    found |= {f"recall: {how}": recalled(bodies, seen, make) for how, make in HOW.items()}
    count = 60 if asked.smoke else asked.pairs
    ends = np.random.default_rng(0).integers(0, len(seen), (2, 2 * count))
    pairs = [(i, j) for i, j in ends.T.tolist() if i != j][:count]
    began = time.process_time()
    shares = [agreement(seen[i], seen[j]) for i, j in pairs]
    found |= {"agreement, ms": 1e3 * (time.process_time() - began) / count, "pairs": float(count)}
    hits = sorted({(i, j) for (i, j), share in zip(pairs, shares, strict=True) if share >= SHARE})
    found |= {"hits": float(len(hits)), "most below": max(share for share in shares if share < SHARE)}
    print(measure.table("one photograph or two", ["what", ""], [(k, f"{v:.3f}") for k, v in found.items()]))
    print(f"rows called one photograph, to be looked at: {hits}")
    measure.save(asked.json, "smoke" if asked.smoke else "all", {"figures": found, "hits": hits})
    wanted = [f"recall: {how}" for how in HOW if how not in HARD]
    missed = [f"{name} {found[name]:.3f} of {RECALL}" for name in wanted if found[name] < RECALL]
    return measure.verdict(missed, [])


def recalled(bodies: list[bytes], seen: list[Seen], make: Callable[[Image.Image], bytes]) -> float:
    """The share of photographs that are found in what is made of them."""
    made = (see(make(Image.open(io.BytesIO(body)).convert("RGB"))) for body in bodies)
    return float(
        np.mean(
            [
                other is not None and agreement(one, other) >= SHARE
                for one, other in zip(seen, made, strict=True)
            ]
        )
    )


if __name__ == "__main__":
    sys.exit(main())
