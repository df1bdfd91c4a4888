"""A small web of drawn scenes as a rebuild would have stored it, with what is wrong with the real one planted in it.

    python benchmarks/worthroot.py FOLDER --pairs 12000 --seed 0

In: a number of pairs, a seed. Out: images/ of real files, and of each row what was planted in it. Half of the pairs are
a scene and what it shows; a fifth shows one of these again, a few of them over and over; the rest has the caption or
the picture of something else, or a picture that says little. The alt text is what a page said; the recaption, as
DanQing's, was written from the picture that was there at the time, so it is right where the alt text never was.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from plantedroot import WORDS, Plant, Rng, few_tones, flat, jpeg, png, slightly, text, write_root  # noqa: E402

from builder.demo.scene import Attributes, attributes, captions, draw, unlike  # noqa: E402
from builder.picture.phash import phash  # noqa: E402
from tests.drift import BANNERS, banner  # noqa: E402

SCENES = 4_000_000  # added to the seed of scenes: neither `tiny` nor another benchmark has these
SIZE, SMALL = (160, 120), (96, 72)  # pixels; the towers see 64 x 64
PLAIN, AGAIN, WRONG, REPLACED = "plain", "shown again", "wrong caption", "replaced"
PLACEHOLDER, TEXT = "placeholder", "text"
SHARES = {
    PLAIN: 0.46, AGAIN: 0.20, WRONG: 0.12, PLACEHOLDER: 0.08, REPLACED: 0.04, "blurred": 0.03, "too small": 0.02,
    "flat": 0.02, TEXT: 0.02, "few tones": 0.01,
}  # fmt: skip
UNTRUE = (WRONG, PLACEHOLDER, REPLACED, "flat", "few tones", TEXT)  # whose alt text is not of their picture
POPULAR = 3  # of the scenes that are shown again the first x have x ** (1 / POPULAR) of all the showings


@dataclass(frozen=True)
class Web:
    """A web of so many pairs. kinds: what each row is."""

    pairs: int
    seed: int

    def plants(self) -> list[Plant]:
        """The rows."""
        kinds = (
            np.random.default_rng((self.seed, 5)).choice([*SHARES], self.pairs, p=[*SHARES.values()]).tolist()
        )
        plain = [number for number, kind in enumerate(kinds) if kind == PLAIN]
        return [self._row(number, kind, plain) for number, kind in enumerate(kinds)]

    def _row(self, number: int, kind: str, plain: list[int]) -> Plant:
        rng = np.random.default_rng((self.seed, number, 17))
        origin = plain[int(len(plain) * rng.random() ** POPULAR)] if kind == AGAIN else number
        shown = self._shown(origin)
        other = self._shown(unlike(number, self.pairs, SCENES + self.seed, shown))
        alt_text, recaption = captions(shown, rng)
        if kind == WRONG:
            alt_text, _ = captions(other, rng)
        if kind == TEXT:
            alt_text = " ".join(rng.choice(WORDS, 4))
        makers: dict[str, Callable[[], bytes]] = {
            AGAIN: lambda: shown_again(self._drawn(shown, origin), rng),
            PLACEHOLDER: lambda: banner(self.seed, int(rng.integers(BANNERS))),
            REPLACED: lambda: jpeg(draw(other, rng)),
            "blurred": lambda: jpeg(self._drawn(shown, number).filter(ImageFilter.GaussianBlur(5))),
            "too small": lambda: jpeg(self._drawn(shown, number).resize(SMALL)),
            "flat": lambda: jpeg(flat(shown, rng)),
            TEXT: lambda: jpeg(text(alt_text, rng)),
            "few tones": lambda: png(few_tones(rng)),
        }
        data = makers.get(kind, lambda: jpeg(self._drawn(shown, number)))()
        with Image.open(io.BytesIO(data)) as image:
            size, digest = image.size, phash(np.asarray(image.convert("RGB")))
        return Plant(kind, number, origin, alt_text, data, size, digest, recaption)

    def _shown(self, number: int) -> Attributes:
        return replace(attributes(number, SCENES + self.seed), size=SIZE)

    def _drawn(self, shown: Attributes, number: int) -> Image.Image:
        """The same picture whenever it is asked for."""
        return draw(shown, np.random.default_rng((self.seed, number, 19)))


def shown_again(image: Image.Image, rng: Rng) -> bytes:
    """The picture as another page has it: the same file, stored anew, or cropped."""
    which = rng.integers(3)
    if which == 0:
        return jpeg(image)
    return jpeg(image, int(rng.integers(40, 75))) if which == 1 else jpeg(image.crop(slightly(image.size)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    plants = Web(asked.pairs, asked.seed).plants()
    write_root(asked.folder, plants)
    print(dict(Counter(one.kind for one in plants).most_common()))


if __name__ == "__main__":
    main()
