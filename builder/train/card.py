"""The card of a checkpoint: what it was trained on and how, beside what the paper did, every number as it was counted.

plan, State, Opened ─▶ card ─▶ README.md of a checkpoint, filled from cards/trained.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..card.metadata import LICENSES
from ..card.template import fill
from ..card.values import decimal, number, share
from ..card.words import REASONS
from ..disk.card import dump, parsed
from ..disk.files import is_local, local_path
from ..disk.location import address, bare, repository_of
from ..towers.pixels import Patches
from .recipe import PAPER, RECIPE, SOURCES

if TYPE_CHECKING:
    from .checkpoints import State
    from .model import Opened
    from .plan import TrainPlan

SIZE, TOKENS = 256, 64  # of the paper's pictures and captions
UNSAID = "not said"
LIMIT = 1 << 20  # bytes of a card that are read
FIGURES: dict[str, tuple[str, Callable[[float], str]]] = {
    "loss": ("loss of the pairs held out", decimal),
    "image_to_text": ("R@1 of them, picture to caption", lambda part: share(part, 1)),
    "text_to_image": ("R@1 of them, caption to picture", lambda part: share(part, 1)),
}


def card(plan: TrainPlan, at: State, opened: Opened, precision: str) -> str:
    """Markdown with the front matter of the Hub. precision: of the towers. Raises as `fill` does."""
    base, identity, origin = opened.checkpoint, plan.identity, _origin(opened)
    rows = [*_recipe(plan, opened, precision)]
    size = plan.config.batch_size
    facts = {
        "title": f"{base.name}, step {number(at.step)}",
        "base": base.model if base.revision else base.name,
        "root": root_of(str(identity["root"])),
        "hash": identity["hash"],
        "served": identity["served"],
        "epoch": identity["pairs"],
        "held": identity["validation"],
        "subset": plan.config.subset,
        "text": plan.config.text,
        "length": opened.captions.length,
        "recipe": rows,
        "departs": ", ".join(row["name"] for row in rows if row["departs"]),
        "step": at.step,
        "steps": plan.steps,
        "pairs": at.pairs,
        "first": at.first,
        "loss": at.loss,
        "epochs": at.step * size / plan.pairs,
        "lost": [{"reason": REASONS.get(name, name), "pairs": count} for name, count in at.lost.items()],
        "validation": [*_figures(at.validation or {})],
        "evaluation": [],
        "license": origin.get("license"),
    }
    return f"---\n{dump(_head(plan, opened, origin))}\n---\n{fill('trained.md', facts)}"


def root_of(root: str) -> str:
    """A root as others may read of it: its address, or of a folder here its name alone."""
    return local_path(root).resolve().name if is_local(root) else root


def _recipe(plan: TrainPlan, opened: Opened, precision: str) -> Iterator[Mapping[str, Any]]:
    """A row for each value of SOURCES: here, in the paper, its source, and whether this departs from the paper."""
    here: Mapping[str, Any] = asdict(plan.config.recipe)
    if plan.config.steps:
        here = {**here, "epochs": round(plan.steps * plan.config.batch_size / plan.pairs, 3)}
    made, length = opened.preparation, opened.captions.length
    side = f"up to {made.limit} patches of {made.patch}" if isinstance(made, Patches) else f"{made.size}"
    told = {
        "loss": ("sigmoid, over all pairs of the batch",) * 2,
        "pictures": (f"{side} pixels", f"{SIZE} pixels"),
        "captions": (f"{length} tokens", f"{TOKENS} tokens"),
        "precision": (precision, UNSAID),
        "augmentation": ("none", UNSAID),
    }
    for name, source in SOURCES.items():
        value, paper = told.get(name) or (_plain(here[name]), _plain(getattr(RECIPE, name)))
        given = source.startswith(PAPER)
        yield {
            "name": name.replace("_", " "),
            "here": value,
            "paper": paper if given else UNSAID,
            "source": source,
            "departs": given and value != paper,
        }


def _plain(value: float | str) -> str:
    """A value of a recipe as one reads it."""
    return value if isinstance(value, str) else number(value) if isinstance(value, int) else f"{value:g}"


def _figures(found: Mapping[str, float]) -> Iterator[dict[str, str]]:
    """Rows of what the validation split said; a figure that was no number is not there."""
    if found:
        yield {"name": "pairs of those held out that were looked at", "value": number(int(found["pairs"]))}
    for name, (words, written) in FIGURES.items():
        if name in found:
            yield {"name": words, "value": written(found[name])}


def _origin(opened: Opened) -> dict[str, str]:
    """What the card beside the weights of origin says of them, of what the Hub would take: license and base_model."""
    path = opened.checkpoint.folder / "README.md"
    if not path.is_file() or path.stat().st_size > LIMIT:
        return {}
    said = parsed(path.read_text("utf-8", "replace"))[0]
    found = {name: str(said.get(name)) for name in ("license", "base_model")}
    known = {"license": found["license"] in LICENSES, "base_model": bare(found["base_model"]) is not None}
    return {name: one for name, one in found.items() if known[name]}


def _head(plan: TrainPlan, opened: Opened, origin: Mapping[str, str]) -> dict[str, object]:
    """The front matter, as the Hub reads it."""
    base, data = opened.checkpoint, repository_of(address(plan.config.input))
    head = {
        "base_model": base.model if base.revision else origin.get("base_model"),
        "license": origin.get("license"),
        "language": ["zh"],
        "library_name": "transformers",
        "pipeline_tag": "zero-shot-image-classification",
        "tags": ["danqing", base.kind],
        "datasets": [data.id] if data else None,
    }
    return {name: value for name, value in head.items() if value}
