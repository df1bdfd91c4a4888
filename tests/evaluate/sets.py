"""Small benchmarks in the formats of their owners, written from given pictures, labels and captions.

elevater(root / "cifar-10", ["飞机", "汽车"], [(picture(0), 0), (picture(1), 1)])
chinese_clip(root / "MUGE", {7: picture(0)}, [("一只猫", [7])], split="valid")
"""

from __future__ import annotations

import base64
import functools
import io
import json
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from PIL import Image


@functools.cache
def picture(number: int, size: tuple[int, int] = (40, 32)) -> bytes:
    """A JPEG of one colour and a bar, another for each number."""
    image = Image.new("RGB", size, (number * 67 % 256, number * 131 % 256, number * 29 % 256))
    image.paste((255 - number * 13 % 256, 40, 90), (0, 0, 4 + number % 30, 8))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


def elevater(
    folder: Path, classes: Sequence[str], pictures: Iterable[tuple[bytes, int | Sequence[int]]]
) -> Path:
    """A set with classes, as ELEVATER-CN has them; a picture of several classes lies in the folder of each."""
    folder.mkdir(parents=True)
    (folder / "label_cn.txt").write_text("\n".join(classes) + "\n", encoding="utf-8")
    (folder / "label.txt").write_text("\n".join(f"class {n}" for n in range(len(classes))) + "\n")
    for number, (data, labels) in enumerate(pictures):
        for label in [labels] if isinstance(labels, int) else labels:
            place = folder / "test" / (f"{label}" if len(classes) <= 10 else f"{label:03d}")
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{number:05d}.jpg").write_bytes(data)
    return folder


def chinese_clip(
    folder: Path,
    pictures: Mapping[int | str, bytes],
    texts: Iterable[tuple[str, Sequence[int | str]]],
    *,
    split: str = "test",
    tianchi: bool = False,
    lmdb: bool = False,
    urlsafe: bool = True,
) -> Path:
    """A split of a set with captions, as Chinese-CLIP or Tianchi have them; the pictures in a tsv, or in an LMDB."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = ("query_id", "query_text", "item_ids") if tianchi else ("text_id", "text", "image_ids")
    rows = [dict(zip(fields, (n, text, [*ids]), strict=True)) for n, (text, ids) in enumerate(texts)]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    told, images = (
        (f"MR_{split}_queries", f"MR_{split}_imgs") if tianchi else (f"{split}_texts", f"{split}_imgs")
    )
    (folder / f"{told}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    encode = base64.urlsafe_b64encode if urlsafe else base64.b64encode
    encoded = {str(name): encode(data) for name, data in pictures.items()}
    if lmdb:
        database(folder / "lmdb" / split / "imgs", encoded | {"num_images": str(len(encoded)).encode()})
    else:
        tsv = b"".join(name.encode() + b"\t" + value + b"\n" for name, value in encoded.items())
        (folder / f"{images}.tsv").write_bytes(tsv)
    return folder


def fg_clip(
    folder: Path,
    captions: Iterable[tuple[str, str]],
    pictures: Mapping[str, bytes],
    name: str = "captions.txt",
) -> Path:
    """A set with a caption a line, path<TAB>caption, as FG-CLIP has them. pictures: the files there are, by path."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{path}\t{caption}\n" for path, caption in captions)
    (folder / name).write_text(lines, encoding="utf-8")
    return _written(folder, pictures)


def pair_txt(folder: Path, captions: Iterable[tuple[str, int, str]], pictures: Mapping[str, bytes]) -> Path:
    """COCO-CN with 5,000 captions, as FG-CLIP has them: (train or val, number of the picture, caption).

    pictures: the files that are there, by path, such as val2014/COCO_val2014_000000000007.jpg.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seen = Counter[int]()
    lines = []
    for part, number, caption in captions:
        lines.append(f"COCO_{part}2014_{number:012d}#zhm#{seen[number]} {caption}")
        seen[number] += 1
    (folder / "pair.txt").write_text("\n".join(lines), encoding="utf-8")  # without an end, as theirs
    return _written(folder, pictures)


def _written(folder: Path, pictures: Mapping[str, bytes]) -> Path:
    for path, data in pictures.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def database(folder: Path, values: Mapping[str, bytes]) -> Path:
    """An LMDB, with the map of 1 TiB that Chinese-CLIP gives it."""
    import lmdb

    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=1 << 40) as opened, opened.begin(write=True) as change:
        for name, value in values.items():
            change.put(name.encode(), value)
    return folder


def zipped(folder: Path, *, inside: bool = True) -> Path:
    """The folder as a zip beside where it was, all in a folder of its name, as published; or without that."""
    target = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            packed.write(path, path.relative_to(folder.parent if inside else folder))
    shutil.rmtree(folder)
    return target
