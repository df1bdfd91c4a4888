"""The making of one release, from its plan to what readers find: each step looks at what is there and does the rest.

held: a work folder for one run
plan ─▶ shards [─▶ parts sent] ─▶ changes, card, release.json ─▶ check ─▶ sealed ─▶ publish
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..card.readme import check_columns
from ..console import Console
from ..disk import release as document
from ..disk.files import Lock, is_local, listdir, local_path, refuse_links, sweep, write_atomic
from ..disk.release import NAME, Release
from ..errors import DanqingError, EnvironmentProblem, UsageError, VerificationError
from ..published.check import check as check_release
from . import plan as plans
from .assemble import assemble
from .columns import columns_of
from .plan import ReleasePlan
from .publication import Publication
from .staging import STAGE, Staging

SEALED = "sealed.json"  # release.json of a release that is complete, and only to be published
UNDER_WAY = (STAGE, "done", "sent", SEALED)  # what a run leaves in its work folder beside the plan
# All that a work folder holds: the run's own files, and those of a release that is being published in a folder.
WORK = ("lock", "plan.json", "place.npy", *UNDER_WAY, "taken", "before.json")
MOST_WORKERS = 4  # a disk gives no more, and each holds a row group or two


def make(publication: Publication, work: Path, console: Console) -> Release:
    """Make a release in the work folder and publish it, or go on with one that an earlier run began.

    VerificationError where it does not hold what it says: then nothing was published.
    """
    config, target = publication.config, publication.target
    columns = columns_of(publication.root, config.what)
    check_columns(config.what, columns.schema)
    plan = _begin(publication, work, console)
    staging = Staging(work, plan, publication.root, columns, target)
    sealed = work / SEALED
    if sealed.exists():
        release = document.parse(sealed.read_bytes(), str(sealed))
    else:
        workers = config.workers or min(MOST_WORKERS, len(os.sched_getaffinity(0)))
        staging.make(config.staging_budget, workers, console)
        release = assemble(publication, staging, console)
        if not staging.sent():
            remedy = "nothing was published; run again with --overwrite"
            check(str(staging.folder), "full", console, remedy)
        write_atomic(str(sealed), release.as_json())
    files, sent = [*sorted(release.files), NAME], staging.sent()
    waiting = [file for file in files if file not in sent]
    message = config.message or f"Release {release.version}"
    target.publish(staging.folder, waiting, {*files}, release.version, message)
    publication.remember(release.version)
    return release


def _begin(publication: Publication, work: Path, console: Console) -> ReleasePlan:
    """The plan of the run that was interrupted, if it was of the same release; else a new one."""
    plan = publication.unfinished(work)
    if plan is None:
        if plans.read(work) is not None:
            output = publication.config.output
            console.info(f"{output}: an unfinished release of other content is begun anew")
        for name in ("plan.json", *UNDER_WAY):
            path = work / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        root = publication.root
        console.info(f"{root.url}: {root.rows:,} pairs; laying out the shards")
        plan = publication.plan(console.warn)
        plan.write(work)
    publication.target.begin(plan.version)
    return plan


def check(url: str, depth: str, console: Console, remedy: str) -> None:
    """VerificationError, naming what differs first, where a release does not hold what it says."""
    found = check_release(url, depth, console)
    if found.differences:
        more = f" (and {len(found.differences) - 1:,} more)" if len(found.differences) > 1 else ""
        raise VerificationError(f"{url}: {found.differences[0]}{more}; {remedy}")


@contextlib.contextmanager
def held(work: Path, output: str) -> Iterator[None]:
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
