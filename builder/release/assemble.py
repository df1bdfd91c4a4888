"""The files of a release beside its shards: removals/, changes/, the card, and last release.json, which lists them all.

Staging with every shard made ─▶ assemble ─▶ <stage>/release.json, README.md ...
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from .. import __version__
from ..card import funnel
from ..card.readme import REPOSITORY, named, write_card
from ..console import Console
from ..disk import release as document
from ..disk.files import filesystem, join, write_atomic
from ..disk.release import Release
from ..disk.removals import PATH as REMOVALS
from ..disk.removals import Removals
from . import changes
from .folder import files_in
from .publication import Publication
from .staging import Staging


def assemble(publication: Publication, staging: Staging, console: Console) -> Release:
    """Write everything but the shards into the folder of the staging; the release as its release.json tells it."""
    folder, config, version = staging.folder, publication.config, staging.plan.version
    console.info("writing changes, card and figures")
    shards, removals = staging.entries(), publication.removals.dated(version)
    dropped = _write_changes(publication, staging, removals)
    if len(removals):
        removals.write(folder / REMOVALS)
    listed = [name for name in files_in(folder) if name.startswith(("changes/", "removals/"))]
    release = _release(
        publication, staging, shards | {name: entry(folder / name) for name in listed}, dropped
    )
    if not config.repository_id:
        console.warn(f"the card says {REPOSITORY}: say --repository if this folder goes to the Hub")
    schema = staging.columns.schema
    release = named(release, schema, config.name, config.repository_id or REPOSITORY)
    write_card(folder, release, schema)
    left = [name for name in files_in(folder) if name not in release.files and name != document.NAME]
    files = release.files | {name: entry(folder / name) for name in left}
    release = replace(release, files=dict(sorted(files.items())))
    write_atomic(str(folder / document.NAME), release.as_json())
    return release


def _release(
    publication: Publication, staging: Staging, files: dict[str, dict[str, object]], dropped: dict[str, int]
) -> Release:
    config, root, plan, before = publication.config, publication.root, staging.plan, None
    if plan.previous is not None:  # where a release of the same tag is replaced, the one before that
        same = plan.previous.version == plan.version
        before = plan.previous.previous if same else plan.previous.version
    return Release(
        what=config.what,
        version=plan.version,
        created_at=plan.created_at,
        validated=root.validated,
        license=config.license_id,
        license_name=config.license_name,
        license_link=config.license_link,
        source=config.source,
        files=dict(sorted(files.items())),
        counts=staging.counts().as_dict(),
        funnel={
            **funnel.of_root(root.url, root.rows),
            **{name: plan.rows[name] for name in ("removed", "duplicates")},
            "revisions": funnel.revisions(plan.previous),
            "made_from": plan.made_from,
            "pinned": plan.pinned,
        },
        model=root.model,
        previous=before,
        dropped=dropped,
        removed=len(publication.removals),
        danqing=__version__,
    )


def _write_changes(publication: Publication, staging: Staging, removals: Removals) -> dict[str, int]:
    """changes/ of this release and of those before it; how many pairs went for each reason."""
    folder, version, previous = staging.folder, staging.plan.version, publication.previous(staging.plan)
    if previous is None:
        return {}
    for name in previous.release.files:
        if name.startswith("changes/"):
            fs, place = filesystem(join(previous.url, name))
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            fs.get_file(place, str(folder / name))
    path = folder / "changes" / f"{version}.parquet"
    return changes.write(publication.root.url, previous, staging.places(), removals, path, version)


def entry(path: Path) -> dict[str, object]:
    """The entry of a file in release.json."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    rows = pq.read_metadata(path).num_rows if path.suffix == ".parquet" else None
    return {"rows": rows, "bytes": path.stat().st_size, "sha256": digest}
