"""The making of one release, from its plan to what readers find: each step looks at what is there and does the rest.

plan ─▶ shards [─▶ parts sent] ─▶ changes, card, release.json ─▶ check ─▶ sealed ─▶ publish
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..card.readme import check_columns
from ..console import Console
from ..disk.release import NAME, Release
from ..errors import VerificationError
from ..published.check import check as check_release
from . import plan as plans
from .assemble import SEALED, Assembly
from .columns import columns_of
from .plan import ReleasePlan
from .publication import Publication
from .staging import STAGE, Staging

UNDER_WAY = (STAGE, "done", "sent", SEALED)  # what a run leaves in its work folder beside the plan
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
    assembly = Assembly(publication, staging)
    release = assembly.sealed()
    if release is None:
        workers = config.workers or min(MOST_WORKERS, len(os.sched_getaffinity(0)))
        staging.make(config.staging_budget, workers, console)
        release = assembly.build(console)
        if not staging.sent():
            remedy = "nothing was published; run again with --overwrite"
            check(str(staging.folder), "full", console, remedy)
        assembly.seal(release)
    files = [*sorted(release.files), NAME]
    waiting = [file for file in files if file not in staging.sent()]
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
