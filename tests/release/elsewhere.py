"""A place for releases that is another folder, and tells what it was asked: a whole Target, with nothing left out."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from builder.disk.release import Release, read


@dataclass
class Elsewhere:
    """Takes files by copying them into `folder`/staged, and publishes them in `folder`/public.

    budget: of the bytes that may lie in `watched` when it is called; log: what was asked, in order.
    """

    folder: Path
    watched: Path | None = None
    log: list[tuple[str, object]] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)

    def previous(self) -> Release | None:
        return read(str(self.folder / "public"))

    def versions(self) -> list[str]:
        path = self.folder / "tags.json"
        return json.loads(path.read_text()) if path.exists() else []

    def begin(self, version: str) -> None:
        self.log.append(("begin", version))

    def put(self, folder: Path, files: list[str]) -> None:
        self.log.append(("put", list(files)))
        self.look()
        for file in files:
            target = self.folder / "staged" / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / file, target)

    def staged(self, file: str) -> str:
        return str(self.folder / "staged" / file)

    def publish(self, folder: Path, files: list[str], keep: set[str], version: str, message: str) -> None:
        self.put(folder, files)
        public = self.folder / "public"
        shutil.rmtree(public, ignore_errors=True)
        for file in keep:
            (public / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.folder / "staged" / file, public / file)
        (self.folder / "tags.json").write_text(json.dumps([*self.versions(), version]))
        self.log.append(("publish", version))

    def url(self, version: str | None) -> str:
        return str(self.folder / "public")

    def look(self) -> None:
        """Note how many bytes of shards wait in the folder that is watched."""
        if self.watched is not None:
            self.seen.append(
                sum(path.stat().st_size for path in self.watched.rglob("train-*") if path.is_file())
            )
