"""Makes what benchmarks/revalidate.py scores: checkpoints of a published shape, pictures, roots and references.

The weights are random: speed does not ask for sense, and nothing needs a network. The vocabulary is that of the demo's
tokenizer in an embedding of VOCABULARY rows, not SigLIP2's 256,000: looking a row up costs the same in either.
"""

from __future__ import annotations

import io
import json
import random
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from builder.demo.scene import attributes, captions, draw
from builder.schema import pair_key
from builder.shards import image_schema, writer
from builder.siglip2.checkpoint import find

TINY = Path(__file__).resolve().parent.parent / "builder" / "demo" / "checkpoint"
VOCABULARY = 32_000
TOKENS = 64
ROW_GROUP = 256
# Width, layers, heads and MLP of both towers; side and patch of the picture: google/siglip2-{base,large}-patch16-256.
SHAPES: dict[str, tuple[int, int, int, int, int, int]] = {
    "B/16-256": (768, 12, 12, 3072, 256, 16),
    "L/16-256": (1024, 24, 16, 4096, 256, 16),
    "smoke": (64, 2, 2, 128, 32, 16),  # to try the code where there is no GPU
}


def config(shape: str) -> Any:
    """The SiglipConfig of a shape."""
    from transformers import SiglipConfig

    width, layers, heads, mlp, side, patch = SHAPES[shape]
    tower = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": mlp,
    }
    text = {
        "vocab_size": VOCABULARY, "max_position_embeddings": TOKENS, "projection_size": width,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1,
    }  # fmt: skip
    return SiglipConfig(
        text_config=tower | text, vision_config=tower | {"image_size": side, "patch_size": patch}
    )


def checkpoint(folder: Path, shape: str) -> Path:
    """A checkpoint of a shape with random weights; `tiny` is the one that ships. Made once a folder."""
    if shape == "tiny":
        return TINY
    import torch
    from transformers import SiglipModel

    made = folder / shape.replace("/", "-").lower()
    if not made.exists():
        shutil.copytree(
            TINY, made, ignore=shutil.ignore_patterns("config.json", "model.safetensors", "README.md")
        )
        torch.manual_seed(0)
        SiglipModel(config(shape)).save_pretrained(made)
        processor = json.loads((made / "processor_config.json").read_text())
        processor["image_processor"]["size"] = {"height": SHAPES[shape][4], "width": SHAPES[shape][4]}
        (made / "processor_config.json").write_text(json.dumps(processor))
    return made


def flops(shape: str) -> tuple[float, float]:
    """Floating-point operations of one picture and of one caption, counted by torch on tensors without data."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import SiglipModel

    side = SHAPES[shape][4]
    with torch.device("meta"):
        model = SiglipModel(config(shape))
        pixels, ids = torch.empty(1, 3, side, side), torch.zeros(1, TOKENS, dtype=torch.long)
    counts = []
    for run in (lambda: model.get_image_features(pixels), lambda: model.get_text_features(ids)):
        with FlopCounterMode(display=False) as counter:
            run()
        counts.append(float(counter.get_total_flops()))
    return counts[0], counts[1]


def picture(index: int, size: tuple[int, int]) -> tuple[bytes, str]:
    """A JPEG of a scene with grain, of some 2 bits a pixel as photographs on the web have, and its caption."""
    shown = attributes(index)
    rng = np.random.default_rng(index)
    image = draw(replace(shown, size=size), rng)
    noise = rng.normal(0, 5, (size[1], size[0], 1))
    pixels = (np.asarray(image, np.float32) + noise).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    return file.getvalue(), captions(shown, rng)[0]


def pictures(count: int, size: tuple[int, int]) -> list[tuple[bytes, str]]:
    """So many different pictures with their captions, drawn on all cores."""
    with ProcessPoolExecutor() as pool:
        return list(pool.map(picture, range(count), [size] * count, chunksize=16))


def root(folder: Path, drawn: list[tuple[bytes, str]], rows: int, shards: int) -> list[str]:
    """A root of `rows` pairs, each url and caption once, the pictures over and over; the keys in order."""
    (folder / "images").mkdir(parents=True)
    keys = []
    for shard in range(shards):
        numbers = range(shard * rows // shards, (shard + 1) * rows // shards)
        path = folder / "images" / f"train-{shard:05d}-of-{shards:05d}.parquet"
        with writer(path, image_schema()) as file:
            for start in range(0, len(numbers), ROW_GROUP):
                pairs = [
                    pair(number, *drawn[number % len(drawn)]) for number in numbers[start : start + ROW_GROUP]
                ]
                file.write_table(pa.Table.from_pylist(pairs, image_schema()))
                keys += [one["key"] for one in pairs]
    return keys


def pair(number: int, data: bytes, caption: str) -> dict[str, Any]:
    """A row of images/."""
    url, alt_text = f"http://images.test/{number}.jpg", f"{caption} {number}"
    sides = dict.fromkeys(("width", "height", "original_width", "original_height"), 256)
    found = {"sha256": f"{number:064x}", "phash": f"{number:016x}", "format": "jpeg", "fetched_at": number}
    texts = {"key": pair_key(url, alt_text), "url": url, "alt_text": alt_text, "recaption": None}
    return {**texts, "image": {"bytes": data, "path": None}, **sides, **found}


def reference(folder: Path, keys: list[str], same: float, model: Path) -> None:
    """A verified manifest of these keys; a share `same` of its hashes is that of `root`, dealt at random."""
    rng = random.Random(0)
    hashes = [f"{number if rng.random() < same else number + 2**40:064x}" for number in range(len(keys))]
    table = pa.table(
        {
            "key": keys,
            "sha256": hashes,
            "code": [rng.randbytes(32) for _ in keys],
            "score_alt_text": pa.array([0.1] * len(keys), pa.float32()),
        }
    )
    meta = json.dumps(find(str(model)).as_dict()).encode()
    folder.mkdir()
    pq.write_table(table.replace_schema_metadata({b"danqing": meta}), folder / "part-0.parquet")
