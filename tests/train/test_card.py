"""The card of a checkpoint: every number counted, every departure from the paper said, and its code runs."""

from __future__ import annotations

import io
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from builder.console import Console
from builder.errors import VerificationError
from builder.towers import find
from builder.towers.checkpoint import TINY
from builder.train.card import card
from builder.train.checkpoints import State
from builder.train.config import TrainConfig
from builder.train.model import Opened, open_model
from builder.train.plan import TrainPlan
from builder.train.recipe import RECIPE, SOURCES

from ..checkpoints import make_naflex
from ..pictures import jpeg

AT = State(
    step=40,
    pairs=490_000,
    lost={"corrupt": 1_500, "no_text": 20},
    loss=1.25,
    first=3.5,
    validation={"pairs": 97.0, "loss": 2.125, "image_to_text": 0.5, "text_to_image": 0.375},
    seconds=60.0,
)
IDENTITY = {"root": "./danqing", "hash": "0f" * 16, "served": 1_000_001, "pairs": 983_040, "validation": 961}


@pytest.fixture(scope="module")
def tiny() -> Opened:
    return opened("tiny")


def opened(model: str) -> Opened:
    config = TrainConfig(model=model, compile="off")
    return open_model(find(model), config, torch.device("cpu"), Console(stream=io.StringIO()))


def plan_of(one: Opened, **options: Any) -> TrainPlan:
    config = TrainConfig(**({"input": "./danqing", "model": one.checkpoint.model} | options))
    return TrainPlan(config, IDENTITY, one.checkpoint.as_dict(), 983_040, 97, config.steps or 160, 1)


def head_of(text: str) -> dict[str, Any]:
    found = yaml.safe_load(text.split("---\n")[1])
    assert isinstance(found, dict)
    return found


def table(text: str, title: str) -> dict[str, list[str]]:
    """The rows of the table under a heading, by their first cell."""
    lines = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {name: rest for name, *rest in rows}


def test_tells_what_was_counted(tiny: Opened) -> None:
    text = card(plan_of(tiny), AT, tiny, "float32")
    assert table(text, "Trained on") | table(text, "Seen") == {
        "data": [""],
        "root": ["`danqing`"],
        "its hash: of the pairs that it serves, and of what was decided about them": [f"`{'0f' * 16}`"],
        "pairs that it serves": ["1,000,001"],
        "pairs of an epoch": ["983,040"],
        "pairs held out, to validate on": ["961"],
        "captions": ["`alt_text`"],
        "": [""],
        "steps": ["40"],
        "epochs": ["0.5"],
        "pairs trained on": ["490,000"],
        "pairs lost: the picture cannot be decoded": ["1,500"],
        "pairs lost: the page gives no text for the picture": ["20"],
        "loss of the first step": ["3.500"],
        "loss of step 40": ["1.250"],
        "pairs of those held out that were looked at": ["97"],
        "loss of the pairs held out": ["2.125"],
        "R@1 of them, picture to caption": ["50.0 %"],
        "R@1 of them, caption to picture": ["37.5 %"],
    }
    assert "step 40 of 160." in text


def test_the_recipe_stands_beside_the_papers_with_its_sources(tiny: Opened) -> None:
    rows = table(card(plan_of(tiny), AT, tiny, "float32"), "Recipe")
    assert rows.keys() == {"", *(name.replace("_", " ") for name in SOURCES)}
    assert rows["batch size"] == ["12,288", "12,288", SOURCES["batch_size"]]
    assert rows["learning rate"] == ["1e-05", "1e-05", SOURCES["learning_rate"]]
    assert rows["schedule"] == ["cosine", "not said", SOURCES["schedule"]]
    assert rows["precision"] == ["float32", "not said", SOURCES["precision"]]
    assert rows["captions"] == ["64 tokens", "64 tokens", SOURCES["captions"]]
    assert rows["pictures"] == ["**64 pixels**", "256 pixels", SOURCES["pictures"]]


DEPARTURES = {
    "batch_size": 1024,
    "epochs": 3,
    "learning_rate": 2e-5,
    "weight_decay": 0.0,
    "beta1": 0.8,
    "beta2": 0.95,
    "warmup": 10,
}


@pytest.mark.parametrize("name", DEPARTURES)
def test_a_departure_from_the_paper_is_said(tiny: Opened, name: str) -> None:
    text = card(plan_of(tiny, **{name: DEPARTURES[name]}), AT, tiny, "float32")
    here, paper, _ = table(text, "Recipe")[name.replace("_", " ")]
    assert here.startswith("**")
    assert here.strip("*") != paper
    said = re.search(r"\*\*This run departs from its recipe in (.*)\.\*\*", text)
    assert said is not None
    assert set(said[1].split(", ")) == {name.replace("_", " "), "pictures"}


def test_what_the_paper_leaves_open_is_no_departure(tiny: Opened) -> None:
    text = card(plan_of(tiny, schedule="linear", clip=0.0, freeze="image"), AT, tiny, "bfloat16")
    assert "departs from its recipe in pictures.**" in text
    assert table(text, "Recipe")["freeze"][:2] == ["image", "not said"]


def test_steps_are_told_as_epochs(tiny: Opened) -> None:
    row = table(card(plan_of(tiny, steps=40), AT, tiny, "float32"), "Recipe")["epochs"]
    assert row[:2] == ["**0.5**", "2"]


def test_naflex_takes_no_square(tmp_path: Path) -> None:
    one = opened(str(make_naflex(tmp_path / "naflex")))
    row = table(card(plan_of(one), AT, one, "float32"), "Recipe")["pictures"]
    assert row[:2] == ["**up to 16 patches of 8 pixels**", "256 pixels"]


def test_front_matter_names_origin_and_data_where_the_hub_has_them(tiny: Opened) -> None:
    common = {
        "language": ["zh"],
        "library_name": "transformers",
        "pipeline_tag": "zero-shot-image-classification",
    }
    text = card(plan_of(tiny), AT, tiny, "float32")
    assert head_of(text) == common | {"license": "apache-2.0", "tags": ["danqing", "siglip"]}
    assert "apache-2.0, as the checkpoint that it was trained from says of itself" in text
    hub = replace(tiny.checkpoint, model="google/siglip2-base-patch16-256", revision="a" * 40)
    plan = plan_of(tiny, input="hf://datasets/org/name@v1/sub")
    found = head_of(card(plan, AT, replace(tiny, checkpoint=hub), "float32"))
    assert found["base_model"] == "google/siglip2-base-patch16-256"
    assert found["datasets"] == ["org/name"]


@pytest.mark.parametrize(
    "said",
    ["license: mine", "license: [mit]", "base_model: ../x", "base_model: 5", "[", "x: &a [*a]", "\ufffe"],
)
def test_the_card_of_origin_is_not_believed(tmp_path: Path, said: str) -> None:
    folder = tmp_path / "origin"
    shutil.copytree(TINY, folder)
    (folder / "README.md").write_text(f"---\n{said}\n---\n# x\n", "utf-8")
    one = opened(str(folder))
    text = card(plan_of(one), AT, one, "float32")
    assert not head_of(text).keys() & {"license", "base_model"}
    assert "The terms are those of the checkpoint that it was trained from" in text


def test_a_run_without_validation_and_losses_tells_none(tiny: Opened) -> None:
    text = card(plan_of(tiny), replace(AT, lost={}, validation=None), tiny, "float32")
    assert "held out that were looked at" not in text
    assert "R@1" not in text
    assert "pairs lost" not in text


def test_a_loss_that_is_no_number_fails(tiny: Opened) -> None:
    with pytest.raises(VerificationError, match="nan"):
        card(plan_of(tiny), replace(AT, loss=float("nan")), tiny, "float32")


def test_words_of_a_root_break_no_table(tiny: Opened) -> None:
    plan = replace(plan_of(tiny), identity=IDENTITY | {"root": "a|b`c\n# d"})
    text = card(plan, AT, tiny, "float32")
    assert "\n# d" not in text
    assert "| root | `` a\\|b`c # d `` |" in text


def test_its_code_runs(tiny: Opened, tmp_path: Path) -> None:
    text = card(plan_of(tiny), AT, tiny, "float32")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    pictures = [Image.open(io.BytesIO(jpeg((64, 64))))] * 2
    known: dict[str, Any] = {"folder": TINY, "captions": ["Ein BILD", "x", "红色"], "pictures": pictures}
    exec(code[1], known)
    assert known["likely"].shape == (2, 3)


def test_the_papers_recipe_departs_in_nothing(tiny: Opened) -> None:
    made = replace(tiny.preparation, size=256)
    text = card(plan_of(tiny), AT, replace(tiny, preparation=made), "bfloat16")
    assert plan_of(tiny).config.recipe == RECIPE
    assert "departs from its recipe in no value that it gives" in text
    assert "凡论文给出的训练参数均与论文一致" in text
