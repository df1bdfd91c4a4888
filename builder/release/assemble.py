"""The files of a release beside its shards: removals/, changes/, the card, and last release.json, which lists them all.

Staging with every shard made ─▶ Assembly.build ─▶ <stage>/release.json, README.md ...
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
from . import changes
from .folder import files_in
from .publication import Publication
from .staging import Staging

SEALED = (
    "sealed.json"  # in the work folder: release.json of a release that is complete, and only to be published
)


class Assembly:
    """Puts together the files of one release in the folder of its staging."""

    def __init__(self, publication: Publication, staging: Staging) -> None:
        self._publication, self._staging, self._plan = publication, staging, staging.plan
        self._removals = publication.removals.dated(staging.plan.version)

    def sealed(self) -> Release | None:
        """The release that an earlier run put together and did not finish publishing."""
        path = self._staging.work / SEALED
        return document.parse(path.read_bytes(), str(path)) if path.exists() else None

    def seal(self, release: Release) -> None:
        """Remember that only publishing is left."""
        write_atomic(str(self._staging.work / SEALED), release.as_json())

    def build(self, console: Console) -> Release:
        """Write everything but the shards; the release as release.json tells it."""
        folder, config = self._staging.folder, self._publication.config
        console.info("writing changes, card and figures")
        shards = self._staging.entries()
        dropped = self._write_changes()
        if len(self._removals):
            self._removals.write(folder / REMOVALS)
        listed = [name for name in files_in(folder) if name.startswith(("changes/", "removals/"))]
        release = self._release(shards | {name: entry(folder / name) for name in listed}, dropped)
        if not config.repository_id:
            console.warn(f"the card says {REPOSITORY}: say --repository if this folder goes to the Hub")
        repository = config.repository_id or REPOSITORY
        schema = self._staging.columns.schema
        release = named(release, schema, config.name, repository)
        write_card(folder, release, schema)
        left = [name for name in files_in(folder) if name not in release.files and name != document.NAME]
        files = release.files | {name: entry(folder / name) for name in left}
        release = replace(release, files=dict(sorted(files.items())))
        write_atomic(str(folder / document.NAME), release.as_json())
        return release

    def _release(self, files: dict[str, dict[str, object]], dropped: dict[str, int]) -> Release:
        config, plan, root, before = self._publication.config, self._plan, self._publication.root, None
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
            counts=self._staging.counts().as_dict(),
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
            removed=len(self._removals),
            danqing=__version__,
        )

    def _write_changes(self) -> dict[str, int]:
        """changes/ of this release and of those before it; how many pairs went for each reason."""
        folder, previous = self._staging.folder, self._publication.previous(self._plan)
        if previous is None:
            return {}
        for name in previous.release.files:
            if name.startswith("changes/"):
                fs, place = filesystem(join(previous.url, name))
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                fs.get_file(place, str(folder / name))
        version = self._plan.version
        path, root = folder / "changes" / f"{version}.parquet", self._publication.root.url
        return changes.write(root, previous, self._staging.places(), self._removals, path, version)


def entry(path: Path) -> dict[str, object]:
    """The entry of a file in release.json."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    rows = pq.read_metadata(path).num_rows if path.suffix == ".parquet" else None
    return {"rows": rows, "bytes": path.stat().st_size, "sha256": digest}
