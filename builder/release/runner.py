"""`danqing release`: from a rebuilt root to a release that readers find, checked before and after.

root, last release ─▶ plan ─▶ shards [─▶ parts sent] ─▶ changes, card, release.json ─▶ check ─▶ publish ─▶ check

Everything unfinished lies in one work folder. A run that was killed anywhere goes on from there by the same command,
and ends in the same bytes.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from pathlib import Path
from typing import TYPE_CHECKING

from ..card.metadata import check_license
from ..console import Console
from ..disk import removals as lists
from ..disk.files import Lock, environment, is_local, listdir, local_path, refuse_links, sweep, work_folder
from ..disk.location import bare
from ..disk.parquet import without_pandas
from ..disk.release import Release
from ..disk.removals import Removals
from ..errors import DanqingError, EnvironmentProblem, UsageError, VerificationError
from . import plan as plans
from .assemble import Assembly
from .columns import columns_of
from .config import Config
from .origin import sourced
from .plan import Plan
from .source import Root, open_root
from .staging import STAGE, Limits, Staging
from .summary import Summary
from .target import Target
from .upload import open_target

if TYPE_CHECKING:
    from .preview import Preview

# What a work folder holds: the run's own files, and those of a release that is being published in a folder.
UNDER_WAY = (STAGE, "done", "sent", "sealed.json")
WORK = ("lock", "plan.json", "place.npy", *UNDER_WAY, "taken", "before.json")
EXTRA = ("jinja2", "matplotlib", "mlcroissant")  # of the card
MOST_WORKERS = 4  # a disk gives no more, and each holds a row group or two


@dataclass(frozen=True)
class Job:
    """What is released to where. previous: what readers find there now; removals: all that is to be out, undated."""

    config: Config
    root: Root
    target: Target
    previous: Release | None
    removals: Removals

    @cached_property
    def made_from(self) -> str:
        """Of all that decides the release."""
        return plans.fingerprint(self.config, self.root, self.removals)

    @property
    def before(self) -> tuple[str, Release] | None:
        """The release before and where it is."""
        return None if self.previous is None else (self.target.url(self.previous.version), self.previous)

    @property
    def is_released(self) -> bool:
        """Whether readers find just this already."""
        old, config = self.previous, self.config
        return (
            old is not None
            and old.funnel.get("made_from") == self.made_from
            and config.tag in ("", old.version)
            and not config.overwrite
            and not (config.compact and old.funnel.get("pinned"))
        )


def run(config: Config, console: Console) -> Summary | Preview:
    """Make the release and publish it.

    Raises UsageError, InputError and EnvironmentProblem with one line that says what to do, and VerificationError
    where the release does not hold what it says: then nothing was published. Whatever is raised, the same command
    goes on.
    """
    config.check()
    without_pandas()
    check_places(config)
    check_needs(config)
    with environment(f"releasing {config.root} to {config.output}"):
        job = open_job(config, console)
        work = work_folder(config.output, ".release", "release-")
        if config.dry_run:
            from .preview import preview

            return preview(job, _tried(job, work), console)
        with _locked(work, config.output):
            done = _released(job) if job.is_released else _Run(job, work, console).whole()
        # Only now: a folder that is being released holds what is unfinished.
        remedy = f"--tag {done.release.version} --overwrite makes it anew"
        check(done.url, "quick", console, remedy)
        return done


def check_needs(config: Config) -> None:
    """Refuse now what would end the run hours later, when the card is written: a missing extra, an unknown license."""
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing and not config.dry_run:
        raise EnvironmentProblem(f"{' and '.join(missing)} missing; pip install 'danqing[release]'")
    if config.license:
        check_license(config.license)


def check_places(config: Config) -> None:
    """UsageError where the release would lie in the root, or the root in it, or its place could be two."""
    if not (is_local(config.root) and is_local(config.output)):
        same = config.root.rstrip("/") == config.output.rstrip("/")
        inside = config.output.startswith(config.root.rstrip("/") + "/")
    else:
        root, output = local_path(config.root).resolve(), local_path(config.output).resolve()
        same, inside = root == output, output.is_relative_to(root) or root.is_relative_to(output)
    hub = bare(config.output)
    if hub and not local_path(config.output).parent.is_dir():
        raise UsageError(
            f"{config.output}: a folder, or the Hub? write ./{config.output}, or {hub.at(None).url}"
        )
    if same or inside:
        raise UsageError(f"{config.output}: is the root, or in it; choose a folder beside it for the release")


def open_job(config: Config, console: Console) -> Job:
    """Look at the root and its source, at what is released already, and at the removal lists of both."""
    root = open_root(config.root)
    config = sourced(config)
    target = open_target(config, console)
    previous = target.previous()
    if previous is not None and previous.what != config.what:
        raise UsageError(
            f"{config.output}: holds a release of --what {previous.what}; choose another place for {config.what}"
        )
    found = [
        lists.known(config.root),
        lists.read(f"{config.root.rstrip('/')}/ledger/rebuild/removals.parquet"),
    ]
    if previous is not None and previous.removed:
        found.append(lists.read(target.url(previous.version)))
    found += [lists.parse_file(name) for name in config.removed]
    known = [one for one in found if one is not None]
    return Job(config, root, target, previous, reduce(Removals.union, known))


def _plan(job: Job, tell: Callable[[str], None] | None = None) -> Plan:
    """A plan with its version."""
    plan = plans.make(job.config, job.root, job.removals, job.before, tell)
    older = job.previous.funnel.get("revisions", []) if job.previous else []
    taken = [*job.target.versions(), *(one["version"] for one in older)]
    return replace(plan, version=plans.version_of(job.config, plan, taken))


def _tried(job: Job, work: Path) -> Plan:
    """The plan that a run would go by, or that what is released already went by."""
    plan = plans.read(work)
    if plan is not None and plan.made_from == job.made_from:
        return plan
    if job.previous is not None and job.is_released:
        plan = plans.make(job.config, job.root, job.removals, job.before)
        return replace(plan, version=job.previous.version)
    return _plan(job)


@contextlib.contextmanager
def _locked(work: Path, output: str) -> Iterator[None]:
    """The work folder for one run; it goes where nothing in it is worth keeping."""
    for name in listdir(str(work)):
        if name not in WORK and not name.endswith(".tmp"):
            raise UsageError(
                f"{work / name}: is none of ours, in a folder that a release makes and removes; move it"
            )
    refuse_links(work)
    lock = Lock(work / "lock")
    if not lock.acquire():
        lock.release()
        raise EnvironmentProblem(f"another danqing release is at work on {output}; wait for it, or end it")
    try:
        sweep(output)
        yield
    except DanqingError:
        if not (work / "plan.json").exists():
            _leave(lock, output)
        raise
    else:
        _leave(lock, output)
    finally:
        lock.release()


def _leave(lock: Lock, output: str) -> None:
    lock.clear()
    if is_local(output) and not any(local_path(output).iterdir()):
        local_path(output).rmdir()


def _released(job: Job) -> Summary:
    """What readers find already."""
    assert job.previous is not None
    _remember(job, job.previous.version)
    return Summary(job.target.url(job.previous.version), job.previous, unchanged=True)


def _remember(job: Job, version: str) -> None:
    """Keep in the root what was taken out for good."""
    removals = job.removals.dated(version)
    if len(removals) and removals.as_parquet() != lists.known(job.config.root).as_parquet():
        lists.keep(job.config.root, removals)


def check(url: str, depth: str, console: Console, remedy: str) -> None:
    """VerificationError, naming what differs first, where a release does not hold what it says."""
    from ..published.check import check as check_release

    found = check_release(url, depth, console)
    if found.differences:
        more = f" (and {len(found.differences) - 1:,} more)" if len(found.differences) > 1 else ""
        raise VerificationError(f"{url}: {found.differences[0]}{more}; {remedy}")


class _Run:
    """One run that has something to release."""

    def __init__(self, job: Job, work: Path, console: Console) -> None:
        self._job, self._work, self._console = job, work, console

    def whole(self) -> Summary:
        """From the plan, made or found, to the release."""
        from ..card.readme import check_columns

        job = self._job
        columns = columns_of(job.root, job.config.what)
        check_columns(job.config.what, columns.schema)
        plan = self._begin()
        staging = Staging(self._work, plan, job.root, columns, job.target)
        assembly = Assembly(job.config, staging, job.removals.dated(plan.version))
        release = assembly.sealed()
        if release is None:
            staging.make(Limits(job.config.staging_budget, self._workers()), self._console)
            release = assembly.build(self._console)
            if not staging.sent():
                check(
                    str(staging.folder),
                    "full",
                    self._console,
                    "nothing was published; run again with --overwrite",
                )
            assembly.seal(release)
        self._publish(release, staging)
        return Summary(job.target.url(plan.version), release)

    def _begin(self) -> Plan:
        """The plan of the run that was interrupted, if it was of the same release; else a new one."""
        job, plan = self._job, plans.read(self._work)
        if plan is None or not self._goes_on(plan):
            if plan is not None:
                self._console.info(
                    f"{job.config.output}: an unfinished release of other content is begun anew"
                )
            self._forget()
            self._console.info(f"{job.root.url}: {job.root.rows:,} pairs; laying out the shards")
            plan = _plan(job, self._console.warn)
            plan.write(self._work)
        job.target.begin(plan.version)
        return plan

    def _goes_on(self, plan: Plan) -> bool:
        """Whether a plan is of this release, and of what readers find now."""
        job = self._job
        now, then = (one.version if one else None for one in (job.previous, plan.previous))
        same = plan.made_from == job.made_from and job.config.tag in ("", plan.version)
        return same and now in (then, plan.version) and not job.config.overwrite

    def _forget(self) -> None:
        """Remove what an earlier run left of a release that is not this one."""
        (self._work / "plan.json").unlink(missing_ok=True)
        for name in UNDER_WAY:
            path = self._work / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def _publish(self, release: Release, staging: Staging) -> None:
        target, sent = self._job.target, staging.sent()
        files = [*sorted(release.files), "release.json"]
        message = self._job.config.message or f"Release {release.version}"
        waiting = [file for file in files if file not in sent]
        target.publish(staging.folder, waiting, {*files}, release.version, message)
        _remember(self._job, release.version)

    def _workers(self) -> int:
        return self._job.config.workers or min(MOST_WORKERS, len(os.sched_getaffinity(0)))
