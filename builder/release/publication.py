"""A publication: a root and its source, the release that readers find there now, and all that is to be out.

    ReleaseConfig ─▶ Publication ─▶ ReleasePlan, new or of the run before

The source is told by evidence: --source, else the files that the plan of the rebuild names. That a manifest has the
columns of a data set is no evidence that it is that data set. A path of this machine tells readers nothing, and is
nobody's business: it never becomes a source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from pathlib import Path

from ..console import Console
from ..disk import ledger
from ..disk import release as document
from ..disk import removals as lists
from ..disk.files import join
from ..disk.location import is_path, repository_of
from ..disk.reading import reading
from ..disk.removals import Removals
from ..errors import UsageError
from . import plan as plans
from .config import ReleaseConfig
from .plan import Previous, ReleasePlan
from .source import Root, open_root
from .upload import Target, open_target


@dataclass(frozen=True)
class Publication:
    """A root and where it is released. before: what readers find there; removals: all that is to be out, undated."""

    config: ReleaseConfig
    root: Root
    target: Target
    before: Previous | None
    removals: Removals

    @cached_property
    def made_from(self) -> str:
        """See `plan.fingerprint`."""
        return plans.fingerprint(self.config, self.root, self.removals)

    @property
    def is_released(self) -> bool:
        """Whether readers find just this already."""
        if self.before is None or self.config.overwrite:
            return False
        funnel, version = self.before.release.funnel, self.before.release.version
        return (
            funnel.get("made_from") == self.made_from
            and self.config.tag in ("", version)
            and not (self.config.compact and funnel.get("pinned"))
        )

    def plan(self, tell: Callable[[str], None] | None = None) -> ReleasePlan:
        """A new plan, with its version; tell: see `plan.make`."""
        plan = plans.make(self.config, self.root, self.removals, self.before, tell)
        older = self.before.release.funnel.get("revisions", []) if self.before else []
        taken = [*self.target.versions(), *(one["version"] for one in older)]
        return replace(plan, version=plans.version_of(self.config, plan, taken))

    def unfinished(self, work: Path) -> ReleasePlan | None:
        """The plan of a run that was interrupted, if it was of the same release and of what readers find now."""
        plan = plans.read(work)
        if plan is None or plan.made_from != self.made_from or self.config.tag not in ("", plan.version):
            return None
        now, then = self.before and self.before.release.version, plan.previous and plan.previous.version
        return plan if now in (then, plan.version) and not self.config.overwrite else None

    def previous(self, plan: ReleasePlan) -> Previous | None:
        """The release before the one of a plan, and where it is."""
        release = plan.previous
        return None if release is None else Previous(self.target.url(release.version), release)

    def remember(self, version: str) -> None:
        """Keep in the root what was taken out for good."""
        removals = self.removals.dated(version)
        if len(removals) and removals.as_parquet() != lists.known(self.root.url).as_parquet():
            lists.keep(self.root.url, removals)


def open_publication(config: ReleaseConfig, console: Console) -> Publication:
    """Look at the root and its source, at what is released already, and at the removal lists of both."""
    root, config = open_root(config.root), sourced(config)
    target = open_target(config, console)
    release = target.previous()
    if release is not None and release.what != config.what:
        raise UsageError(
            f"{config.output}: holds a release of --what {release.what}; choose another place for {config.what}"
        )
    before = None if release is None else Previous(target.url(release.version), release)
    found = [lists.known(config.root), lists.read(join(config.root, "ledger/rebuild/removals.parquet"))]
    if before is not None and before.release.removed:
        found.append(lists.read(before.url))
    found += map(lists.parse_file, config.removed)
    removals = reduce(Removals.union, (one for one in found if one is not None))
    return Publication(config, root, target, before, removals)


def sourced(config: ReleaseConfig) -> ReleaseConfig:
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
    found = {repository.id if (repository := repository_of(file)) else "" for file in files}
    if len(found) != 1 or "" in found:
        tops = {"" if file.startswith("http") else file.rpartition("/manifest/")[0] for file in files}
        found = {_of_release(top) if top else "" for top in tops}
    return found.pop() if len(found) == 1 else ""


def _of_release(top: str) -> str:
    """The source that a released manifest names; empty where there is none in the folder."""
    with reading(top):
        release = document.read(top)
    if release is None or release.what != "manifest" or is_path(release.source):
        return ""
    return release.source
