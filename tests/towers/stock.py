"""What transformers' own processor and model say of pairs: the reference that the scores are held against."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from ..pictures import jpeg

CAPTIONS = ["一只白色的猫", "Two RED apples on a Table", "", "ÄÖÜ ß İ", "长" * 90, "end. " * 30, "x"]
SIZES = [(32, 32), (64, 48), (48, 64), (200, 31), (33, 200), (300, 300), (17, 19)]


def pictures() -> list[bytes]:
    """JPEGs of every kind of shape, grainy, so that resampling has something to do."""
    return [jpeg(size, noise=90, quality=90) for size in SIZES]


@cache
def _loaded(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoProcessor

    return AutoModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)


def output(folder: Path, bodies: list[bytes], captions: list[str], **options: Any) -> Any:
    """The output of the model for pairs, prepared as its documentation says; options change the tokenizer's."""
    import torch

    model, processor = _loaded(folder)
    text = {"padding": "max_length", "max_length": 64, "truncation": True, "return_tensors": "pt"} | options
    images = [Image.open(io.BytesIO(body)) for body in bodies]
    inputs = {
        **processor.tokenizer(captions, **text),
        **processor.image_processor(images, return_tensors="pt"),
    }
    with torch.no_grad():
        return model(**inputs)
