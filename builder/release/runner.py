"""`danqing release`: from a rebuilt root to a release that readers find, checked before and after.

    Config ─▶ Publication ─▶ with --dry-run a preview, else work.make in a work folder of its own ─▶ check ─▶ summary

Everything unfinished lies in one work folder. A run that was killed anywhere goes on from there by the same command,
and ends in the same bytes.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from ..card.metadata import check_license
from ..console import Console
from ..disk.files import Lock, environment, is_local, listdir, local_path, refuse_links, sweep, work_folder
from ..disk.parquet import without_pandas
from ..errors import DanqingError, EnvironmentProblem, UsageError
from .config import Config
from .publication import check_places, open_publication
from .summary import Preview, ReleaseSummary, preview
from .work import UNDER_WAY, check, make

# What a work folder holds: the run's own files, and those of a release that is being published in a folder.
WORK = ("lock", "plan.json", "place.npy", *UNDER_WAY, "taken", "before.json")
EXTRA = ("jinja2", "matplotlib", "mlcroissant")  # of the card


def run(config: Config, console: Console) -> ReleaseSummary | Preview:
    """Make the release and publish it.

    Raises UsageError, InputError and EnvironmentProblem with one line that says what to do, and VerificationError
    where the release does not hold what it says: then nothing was published. Whatever is raised, the same command
    goes on.
    """
    config.check()
    without_pandas()
    check_places(config)
    _check_needs(config)
    with environment(f"releasing {config.root} to {config.output}"):
        publication = open_publication(config, console)
        work = work_folder(config.output, ".release", "release-")
        if config.dry_run:
            return preview(publication, work, console)
        before = publication.before
        with _locked(work, config.output):
            if before is not None and publication.is_released:
                publication.remember(before.release.version)
                done = ReleaseSummary(before.url, before.release, unchanged=True)
            else:
                release = make(publication, work, console)
                done = ReleaseSummary(publication.target.url(release.version), release)
        # Only now: a folder that is being released holds what is unfinished.
        check(done.url, "quick", console, f"--tag {done.release.version} --overwrite makes it anew")
        return done


def _check_needs(config: Config) -> None:
    """Refuse now what would end the run hours later, when the card is written: a missing extra, an unknown license."""
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing and not config.dry_run:
        raise EnvironmentProblem(f"{' and '.join(missing)} missing; pip install 'danqing[release]'")
    if config.license:
        check_license(config.license)


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
