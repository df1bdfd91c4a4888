"""Benchmarks with captions as FG-CLIP has them: DCI-CN, DOCCI-CN, and COCO-CN with 5,000 captions.

a text beside the pictures, a caption a line ─▶ Captioned

    images/test_00000.jpg<TAB>caption              DCI-CN, DOCCI-CN: a path, from wherever their owners ran their script
    COCO_val2014_000000182236#zhm#3 caption        pair.txt of FG-CLIP: val2014/COCO_val2014_000000182236.jpg
    1007129816.jpg,caption                         flickr30k_test_zh.txt of CLIP_benchmark, below a line of names
"""

from __future__ import annotations

import re

from ..disk.documents import LONGEST, SHOWN
from ..errors import InputError
from .archives import Tree, texts
from .recipe import Benchmark
from .tasks import PICTURES, Captioned, captioned, pictures_of, sized

LINE = 1 << 18  # bytes
# Groups 1 to 3: the picture, as each of the forms names it; 4: the caption.
FORM = re.compile(r"(?:([^\t]+?)(?:#(?:\w+#)?\d+)?\t|(\S+?)#(?:\w+#)?\d+ +|(\S+?\.jpe?g),)\s*(\S.*)")
COCO = re.compile(r"COCO_(train|val)2014_\d{12}")
ABOUT = ("readme", "licen")  # how texts begin that are no captions, in whatever encoding
HEADER = "image,caption"
DEEP, WIDE = 16, 16  # parts of a path, and folders at the top of a set, that are looked through


def caption_file(tree: Tree) -> str:
    """The text at the top of a set whose first line names a picture; empty where there is none, InputError for two."""
    found = []
    for path in tree.sizes:
        if "/" not in path and path.lower().endswith(".txt") and not path.lower().startswith(ABOUT):
            first = next((line for line in texts(tree, path, LINE) if line and line != HEADER), "")
            if FORM.fullmatch(first):
                found.append(path)
    if len(found) > 1:
        raise InputError(
            f"{tree.where}: {found[0]} and {found[1]} are both captions; leave one of them there"
        )
    return "".join(found)


def read(benchmark: Benchmark, tree: Tree, path: str) -> Captioned:
    """The benchmark whose captions are in `path`. InputError for a line that is none, and where there is no picture."""
    where = f"{tree.where}/{path}"
    tops = ["", *dict.fromkeys(f"{one.split('/')[0]}/" for one in tree.sizes if "/" in one)][: WIDE + 1]
    rows: dict[str, int] = {}
    places: list[str] = []
    captions: list[str] = []
    pairs: list[tuple[int, int]] = []
    for number, line in enumerate(texts(tree, path, LINE), 1):
        if not line or (number == 1 and line.lower() == HEADER):
            continue
        form = FORM.fullmatch(line)
        if form is None:
            raise InputError(f"{where}: line {number:,}: no picture and caption: {line[:SHOWN]!a}")
        name = _named(form[1] or form[2] or form[3], f"{where}: line {number:,}")
        place = _place(tree, tops, name)
        row = rows.setdefault(place or name, len(rows))
        places += [place] if row == len(places) else []
        pairs.append((row, len(captions)))
        captions.append(form[4])
    missing = [name for name, place in zip(rows, places, strict=True) if not place]
    if len(missing) == len(rows):
        raise InputError(f"{where}: none of its {len(rows):,} pictures is there; put {missing[0]} beside it")
    said = []
    if missing:
        said.append(
            f"{len(missing):,} of {len(rows):,} pictures are not there, the first {missing[0]}: they count as not found"
        )
    sizes = zip(rows, sized(tree, places), strict=True)
    return captioned(benchmark, [*sizes], pictures_of(tree, places), captions, pairs, said)


def _named(name: str, where: str) -> str:
    """The path of a picture as it is written; InputError where it leads out of a set, or cannot be shown."""
    if coco := COCO.fullmatch(name):
        return f"{coco[1]}2014/{name}.jpg"
    if ".." in name.split("/") or len(name) > LONGEST or not name.isprintable():
        raise InputError(f"{where}: {name[:SHOWN]!a} is no path within a set")
    return name if PICTURES.search(name) else f"{name}.jpg"


def _place(tree: Tree, tops: list[str], name: str) -> str:
    """Where a picture lies: at its path or the end of it, in the set or in a folder at its top; empty if nowhere."""
    parts = [part for part in name.split("/") if part not in ("", ".")][-DEEP:]
    ends = ("/".join(parts[at:]) for at in range(len(parts)))
    return next((top + end for end in ends for top in tops if top + end in tree.sizes), "")
