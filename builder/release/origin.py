"""The data set that a root was rebuilt from, by evidence: what was said, or the files that its plan names.

    --source, else ledger/rebuild/plan.json ─▶ ORG/NAME of the Hub, or "" where nothing tells

That a manifest has the columns of a data set is no evidence that it is that data set. A path of this machine tells
readers nothing, and is nobody's business: it never becomes a source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from ..disk import ledger
from ..disk import release as document
from ..disk.location import is_path, repository_of
from ..disk.reading import reading
from ..errors import UsageError
from .config import Config


def sourced(config: Config) -> Config:
    """The configuration with the source of its root; UsageError where no license is said and none follows from it."""
    config = replace(config, source=config.source_name or source_of(config.root))
    if not config.license_id:
        known = config.source
        wanted = "what derives from it inherits its terms: add --license, with the identifier that the Hub has for it"
        unknown = "nothing tells what it was rebuilt from: add --license, and --source ORG/NAME for the card to name it"
        raise UsageError(
            f"{config.root}: " + (f"was rebuilt from {known}, and {wanted}" if known else unknown)
        )
    return config


def source_of(root: str) -> str:
    """The source by the files of the rebuild: the data set of the Hub they lie in, else that of their release."""
    plan = ledger.read_plan(root, "rebuild")
    files = list(plan["manifest"]["files"]) if plan and "manifest" in plan else []
    return _of_all(files, _repository) or _of_all({_top(file) for file in files}, _of_release)


def _of_all(places: Iterable[str], look: Callable[[str], str]) -> str:
    """What is found at every place alike; empty where they differ, or where there are none."""
    found = {look(place) for place in places}
    return found.pop() if len(found) == 1 else ""


def _repository(file: str) -> str:
    found = repository_of(file)
    return found.id if found else ""


def _top(file: str) -> str:
    """The folder of the release that a file may be a shard of; empty where it is none, or lies on the open web."""
    return "" if file.startswith("http") else file.rpartition("/manifest/")[0]


def _of_release(top: str) -> str:
    """The source that a released manifest names."""
    if not top:
        return ""
    with reading(top):
        release = document.read(top)
    if release is None or release.what != "manifest" or is_path(release.source):
        return ""
    return release.source
