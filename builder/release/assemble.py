"""The files of a release beside its shards: removals/, changes/, the card, and last release.json, which lists them all.

Staging with every shard made ─▶ Assembly.build ─▶ <stage>/release.json, README.md ...
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from .. import __version__
from ..card import funnel
from ..console import Console
from ..disk import release as document
from ..disk.files import filesystem, join, write_atomic
from ..disk.release import Release
from ..disk.removals import PATH as REMOVALS
from ..disk.removals import Removals
from .config import Config
from .staging import Staging

SEALED = (
    "sealed.json"  # in the work folder: release.json of a release that is complete and only to be published
)


class Assembly:
    """Puts together the files of one release in the folder of its staging. removals: dated."""

    def __init__(self, config: Config, staging: Staging, removals: Removals) -> None:
        self._config, self._staging, self._removals = config, staging, removals

    def sealed(self) -> Release | None:
        """The release that an earlier run put together and did not finish publishing."""
        path = self._staging.work / SEALED
        return document.parse(path.read_bytes(), str(path)) if path.exists() else None

    def seal(self, release: Release) -> None:
        """Remember that only publishing is left."""
        write_atomic(str(self._staging.work / SEALED), release.as_json())

    def build(self, console: Console) -> Release:
        """Write everything but the shards; the release as release.json tells it."""
        from ..card.readme import REPOSITORY, write_card

        folder, config = self._staging.folder, self._config
        console.info("writing changes, card and figures")
        files = self._staging.entries()
        dropped = self._write_changes()
        if len(self._removals):
            self._removals.write(folder / REMOVALS)
        files |= {
            name: entry(folder / name)
            for name in _files(folder)
            if name.startswith(("changes/", "removals/"))
        }
        release = self._release(dict(sorted(files.items())), dropped)
        if not config.repository_id:
            console.warn(f"the card says {REPOSITORY}: say --repository if this folder goes to the Hub")
        repository = config.repository_id or REPOSITORY
        write_card(folder, release, self._staging.columns.schema, config.name, repository)
        for name in _files(folder):
            if name not in files and name != document.NAME:
                files[name] = entry(folder / name)
        release = replace(release, files=dict(sorted(files.items())))
        write_atomic(str(folder / document.NAME), release.as_json())
        return release

    def _release(self, files: dict[str, dict[str, Any]], dropped: dict[str, int]) -> Release:
        config, plan, root = self._config, self._staging.plan, self._staging.root
        return Release(
            what=config.what,
            version=plan.version,
            created_at=plan.created_at,
            validated=root.validated,
            license=config.license_id,
            license_name=config.license_name,
            license_link=config.license_link,
            source=config.source,
            files=files,
            counts=self._staging.counts().as_dict(),
            funnel=self._funnel(),
            model=root.model,
            previous=self._before(),
            dropped=dropped,
            removed=len(self._removals),
            danqing=__version__,
        )

    def _before(self) -> str | None:
        """The tag before this one; where a release of the same tag is replaced, the one before that."""
        plan = self._staging.plan
        if plan.previous is None:
            return None
        return plan.previous.previous if plan.previous.version == plan.version else plan.previous.version

    def _funnel(self) -> dict[str, Any]:
        plan, root = self._staging.plan, self._staging.root
        told = funnel.of_root(root.url, root.rows)
        told |= {name: plan.rows[name] for name in ("removed", "duplicates")}
        return told | {
            "revisions": funnel.revisions(plan.previous),
            "made_from": plan.made_from,
            "pinned": plan.pinned,
        }

    def _write_changes(self) -> dict[str, int]:
        """changes/ of this release and of those before it; how many pairs went for each reason."""
        plan, folder = self._staging.plan, self._staging.folder
        if plan.previous is None:
            return {}
        from . import changes

        where = self._staging.target.url(plan.previous.version)
        for name in plan.previous.files:
            if name.startswith("changes/"):
                fetch(join(where, name), folder / name)
        path = folder / "changes" / f"{plan.version}.parquet"
        before = changes.Previous(where, plan.previous)
        return changes.write(
            self._staging.root.url, before, self._staging.places(), self._removals, path, plan.version
        )


def _files(folder: Path) -> list[str]:
    """The files below a folder, by their paths in it, but hidden ones."""
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )


def entry(path: Path) -> dict[str, Any]:
    """What release.json says of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    rows = pq.read_metadata(path).num_rows if path.suffix == ".parquet" else None
    return {"rows": rows, "bytes": path.stat().st_size, "sha256": digest}


def fetch(url: str, path: Path) -> None:
    """Copy a small file to a local path."""
    fs, place = filesystem(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    fs.get_file(place, str(path))
