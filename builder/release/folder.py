"""A release in a local folder: `hf upload` takes it as it is, and so does whoever has the disk.

    put       OUT/.release/taken/<file>                             a reader sees: the release before
    publish   release.json aside to OUT/.release/before.json, then
              the files by rename, old ones out, README.md            no release
              release.json                                             the new release

A folder cannot change in one step. While it does, it has no release.json, and `danqing verify` says so; killed there,
the same command goes on from before.json.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ..disk import release as document
from ..disk.files import environment, fsync_folder, inside, local_path, publish, write_atomic
from ..disk.release import Release
from ..errors import InputError, UsageError

WORK = ".release"
CARD = "README.md"
FOLDERS = ("manifest", "images", "removals", "changes", "figures")
NOTHING = b"null\n"  # before.json where there was no release


class Folder:
    """A local folder as a Target."""

    def __init__(self, url: str) -> None:
        self._out = local_path(url).absolute()
        self._before = self._out / WORK / "before.json"
        self._taken = self._out / WORK / "taken"

    def previous(self) -> Release | None:
        """See Target. While a release is being published it is the one before that."""
        if self._before.exists():
            return _read(self._before)
        if self._out.exists() and not self._out.is_dir():
            raise UsageError(f"{self._out}: not a folder; choose another one for the release")
        release = document.read(str(self._out))
        known = {*(release.files if release else ()), document.NAME}
        strays = [file for file in files_in(self._out) if file not in known]
        if strays:
            raise UsageError(
                f"{self._out}: holds {strays[0]}, which is of no release; choose an empty folder, or one with a release"
            )
        return release

    def versions(self) -> list[str]:
        """See Target."""
        release = self.previous()
        if release is None:
            return []
        return sorted(
            {release.version, *(Path(file).stem for file in release.files if file.startswith("changes/"))}
        )

    def begin(self, version: str) -> None:
        """See Target. UsageError where a folder of the release is a link."""
        for name in (*FOLDERS, WORK):
            inside(self._out, f"{name}/file")
        with environment(f"{self._out}"):
            self._taken.mkdir(parents=True, exist_ok=True)

    def put(self, folder: Path, files: list[str]) -> None:
        """See Target: by rename, as the caller's folder is meant to be on the same disk."""
        with environment(f"{self._out}: taking files"):
            for file in files:
                if (folder / file).exists():  # else it was moved before a kill
                    self._move(folder / file, f"{WORK}/taken/{file}")

    def staged(self, file: str) -> str:
        """See Target."""
        return str(self._taken / file)

    def publish(self, folder: Path, files: list[str], keep: set[str], version: str, message: str) -> None:
        """See Target."""
        self.put(folder, files)
        with environment(f"{self._out}: publishing"):
            old = self._set_aside()
            for file in sorted(files_in(self._taken), key=lambda file: file == CARD):
                if file != document.NAME:
                    self._move(self._taken / file, file)
            for file in sorted(set(old.files if old else ()) - keep - {CARD, document.NAME}):
                inside(self._out, file).unlink(missing_ok=True)
            self._sweep()
            if (self._taken / document.NAME).exists():
                self._move(self._taken / document.NAME, document.NAME)
            elif not (self._out / document.NAME).exists():
                raise InputError(f"{folder}: no {document.NAME} to publish")
            self._before.unlink()
            shutil.rmtree(self._taken)

    def url(self, version: str | None) -> str:
        """See Target."""
        return str(self._out)

    def _set_aside(self) -> Release | None:
        """Take release.json from the readers, and remember it; the release before."""
        shown = self._out / document.NAME
        if not self._before.exists():
            write_atomic(str(self._before), shown.read_bytes() if shown.exists() else NOTHING)
        if (self._taken / document.NAME).exists():  # else what is shown is the new one, and a kill came after
            shown.unlink(missing_ok=True)
            fsync_folder(self._out)
        return _read(self._before)

    def _sweep(self) -> None:
        """Remove the folders that are empty now."""
        for path in self._out.iterdir():
            empty = path.is_dir() and not path.is_symlink() and not any(path.iterdir())
            if empty and not path.name.startswith("."):
                path.rmdir()

    def _move(self, source: Path, path: str) -> None:
        publish(source, str(inside(self._out, path)))


def _read(path: Path) -> Release | None:
    """The release that was set aside; InputError where it is none."""
    data = path.read_bytes()
    return None if data == NOTHING else document.parse(data, str(path))


def files_in(folder: Path) -> list[str]:
    """Paths of the files in a folder, sorted; hidden ones, as of git and of the Hub's client, are nobody's."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))
