"""`danqing release`: from a rebuilt root to a release that readers find, checked before and after.

    ReleaseConfig ─▶ Publication ─▶ with --dry-run a preview, else work.make ─▶ check ─▶ summary

Everything unfinished lies in one work folder. A run that was killed anywhere goes on from there by the same command,
and ends in the same bytes.
"""

from __future__ import annotations

from ..card.metadata import check_license
from ..console import Console
from ..disk.files import environment, is_local, local_path, work_folder
from ..disk.location import bare
from ..disk.parquet import without_pandas
from ..errors import UsageError, need
from .config import ReleaseConfig
from .publication import open_publication
from .summary import Preview, ReleaseSummary, preview
from .work import check, held, make

EXTRA = ("jinja2", "matplotlib", "mlcroissant")  # of the card


def run(config: ReleaseConfig, console: Console) -> ReleaseSummary | Preview:
    """Make the release and publish it.

    Raises UsageError, InputError and EnvironmentProblem with one line that says what to do, and VerificationError
    where the release does not hold what it says: then nothing was published. Whatever is raised, the same command
    goes on.
    """
    config.check()
    without_pandas()
    _check_places(config)
    _check_needs(config)
    with environment(f"releasing {config.root} to {config.output}"):
        publication = open_publication(config, console)
        work = work_folder(config.output, ".release", "release-")
        if config.dry_run:
            return preview(publication, work, console)
        before = publication.before
        with held(work, config.output):
            if before is not None and publication.is_released:
                publication.remember(before.release.version)
                done = ReleaseSummary(before.url, before.release, unchanged=True)
            else:
                release = make(publication, work, console)
                done = ReleaseSummary(publication.target.url(release.version), release)
        # Only now: a folder that is being released holds what is unfinished.
        check(done.url, "quick", console, f"--tag {done.release.version} --overwrite makes it anew")
        return done


def _check_needs(config: ReleaseConfig) -> None:
    """Refuse now what would end the run hours later, when the card is written: a missing extra, an unknown license."""
    if not config.dry_run:
        need("release", EXTRA)
    if config.license:
        check_license(config.license)


def _check_places(config: ReleaseConfig) -> None:
    """UsageError where the release would lie in the root, or the root in it, or its place could be two."""
    if is_local(config.root) and is_local(config.output):
        root, output = local_path(config.root).resolve(), local_path(config.output).resolve()
        inside = output.is_relative_to(root) or root.is_relative_to(output)
    else:
        inside = f"{config.output.rstrip('/')}/".startswith(f"{config.root.rstrip('/')}/")
    hub = bare(config.output)
    if hub and not local_path(config.output).parent.is_dir():
        raise UsageError(
            f"{config.output}: a folder, or the Hub? write ./{config.output}, or {hub.at(None).url}"
        )
    if inside:
        raise UsageError(f"{config.output}: is the root, or in it; choose a folder beside it for the release")
