"""Where a release is published: `Hub`, a data set of the Hub, or `Folder`, one of this machine.

    begin     branch release/<version> of main               a reader sees: the release before
    put       parts, each a commit on the branch                            the same
    publish   README.md and release.json, there too; then ONE commit on
              main that copies what is new and deletes what is old;         the new release
              then the tag; then the branch goes

A kill at any point costs at most one part: each step looks at what is there and does the rest.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..console import Console
from ..disk import release as document
from ..disk.files import is_local
from ..disk.location import Repository, repository
from ..disk.release import Release
from ..errors import EnvironmentProblem, InputError, UsageError, VerificationError
from ..hub.client import hub_errors, patiently
from ..hub.remote import PART, Blob, Remote, RemoteState
from ..web.tokens import TRUST, third_host
from .config import ReleaseConfig
from .folder import Folder

if TYPE_CHECKING:
    from ..hub.remote import Operation

CARD = "README.md"
LAST = (CARD, document.NAME)
DATA = (*(f"{kind}/" for kind in document.KINDS), "removals/", "changes/")
COMMIT = 1000  # operations in one commit, as many as the client's own uploads make at most


class Target(Protocol):
    """A place for releases: the face between what makes files and what publishes them.

    Whatever is raised, and wherever the process is killed, the same calls go on: `begin`, `put` and `publish` are
    given the same arguments again, with the files that are still there.
    """

    def previous(self) -> Release | None:
        """The release that a reader finds there now; None where there is none.

        Raises UsageError where it holds files that are of no release, as a reader would take them for a part of it.
        """

    def versions(self) -> list[str]:
        """The tags that are taken, in any order."""

    def begin(self, version: str) -> None:
        """Make it ready to take the files of a release; a reader sees nothing of it."""

    def put(self, folder: Path, files: list[str]) -> None:
        """Take some files for good, given by their paths in `folder`; afterwards the caller may delete them."""

    def staged(self, file: str) -> str:
        """The URL at which a file that was `put` can be read before it is published."""

    def publish(self, folder: Path, files: list[str], keep: set[str], version: str, message: str) -> None:
        """Let readers see the release: take the last files, of which README.md and release.json are two, then the tag.

        files: those of `folder` that were not `put`; keep: all files of the release, by path. Files of the release
        before it that are not kept go; files that no release wrote stay.
        """

    def url(self, version: str | None) -> str:
        """The folder or fsspec URL at which readers find the release of that tag, or with None the newest."""


def open_target(config: ReleaseConfig, console: Console) -> Target:
    """The target that a configuration names; UsageError where it names none."""
    if is_local(config.output):
        return Folder(config.output)
    found = repository(config.output)
    if found is None or found.revision:
        raise UsageError(f"{config.output}: write a folder, or hf://datasets/ORG/NAME without a revision")
    if host := third_host(os.environ):
        raise UsageError(
            f"HF_ENDPOINT: {host} is not the Hub, and would be shown your token; unset it, or say {TRUST}=1 where "
            "it is a Hub of your own, by https"
        )
    return Hub(found.id, console, private=config.private, replaced=config.tag if config.overwrite else "")


class Hub:
    """A data set repository of the Hub, as a Target.

    private: make it a private one where it does not exist; replaced: a tag that may be moved to other content; part:
    bytes sent in one go; operations: of one commit on main.
    """

    def __init__(
        self, name: str, console: Console, *, private: bool = False, replaced: str = "", part: int = PART,
        operations: int = COMMIT,
    ) -> None:  # fmt: skip
        self.id, self._console, self._most = name, console, operations
        self._private, self._replaced = private, replaced
        self._remote = Remote(name, console, part)
        self._version = self._untagged = ""
        self._previous: str | None = None  # the tag of the release before the one that is published
        self._written: set[str] = set()  # files of this release and of those before it that main may hold
        self._head = ""  # of main, as it was when this run first looked: what our commit builds on

    def previous(self) -> Release | None:
        """See Target. While a release is being published, and for one that is replaced, it is the one before that."""
        state = self._look()
        if state is None:
            return None
        release = self._release(state.head)
        self._check_strays(state, release)
        self._untagged = release.version if release and release.version not in state.tags else ""
        if release is not None and self._unfinished(release.version, state):
            before = release.previous
            return self._release(before) if before in state.tags else None
        return release

    def versions(self) -> list[str]:
        """See Target: the tags whose publishing is finished."""
        state = self._look()
        return [tag for tag in state.tags if not self._unfinished(tag, state)] if state else []

    def begin(self, version: str) -> None:
        """See Target: a repository, a token that may write to it, and the branch."""
        self._remote.check_account()
        self._remote.create(self._private)
        state = self._look()
        if state is None:
            raise EnvironmentProblem(f"{self._where}: made, but not to be seen; run the same command again")
        if self._private and not state.private:
            raise UsageError(
                f"{self._where}: it exists and is public; make it private there or leave out --private"
            )
        there = self._remote.files(state.head)
        self._refuse_scripts(there, "delete it there")
        if CARD in there and document.NAME not in there:
            self._console.info(f"{self._where}: its {CARD} gives way to the card; the history keeps it")
        self._remote.branch(_branch(version), state.head)
        self._version = version

    def put(self, folder: Path, files: list[str]) -> None:
        """See Target."""
        self._refuse_scripts(files, "leave it out")
        self._remote.send(folder, files, _branch(self._version), f"Part of {self._version}")

    def staged(self, file: str) -> str:
        """See Target."""
        return f"{Repository(self.id, _branch(self._version)).url}/{file}"

    def publish(self, folder: Path, files: list[str], keep: set[str], version: str, message: str) -> None:
        """See Target."""
        self._version, self._untagged = version, ""
        release = document.read(str(folder))
        if release is None:
            raise InputError(f"{folder}: no {document.NAME} to publish")
        self._previous = release.previous
        self._remote.check_card(folder / CARD)
        self.put(folder, sorted(file for file in files if file not in LAST))
        self.put(folder, [file for file in LAST if file in files])
        staged = self._remote.files(_branch(version))
        wanted = {file: staged[file] for file in keep | {*LAST} if file in staged}
        self._check_staged(wanted, keep | {*LAST}, release)
        if not self._is_tagged(version, wanted):
            commit = self._to_main(folder, wanted, message or f"Release {version}")
            self._remote.tag(version, commit, message or f"Release {version}")
        self._remote.drop(branch=_branch(version))

    def url(self, version: str | None) -> str:
        """See Target. A release that somebody put there with `hf upload` may have no tag: it is on main."""
        return Repository(self.id, None if version == self._untagged else version).url

    # --- looking ----------------------------------------------------------------------------------------

    @property
    def _where(self) -> str:
        return self._remote.where()

    def _look(self) -> RemoteState | None:
        state = self._remote.state()
        if state is not None and not self._head:
            self._head = state.head
        return state

    def _release(self, revision: str | None) -> Release | None:
        """The release of a revision."""
        data = self._remote.read(document.NAME, revision) if revision else None
        where = f"{self._remote.where(revision or '')}/{document.NAME}"
        return None if data is None else document.parse(data, where)

    def _unfinished(self, version: str, state: RemoteState) -> bool:
        """Whether a release on main is being published: its branch goes last. So is one that is being replaced."""
        return version == self._replaced or _branch(version) in state.branches

    def _check_strays(self, state: RemoteState, release: Release | None) -> None:
        """UsageError where main has data that no release wrote: a reader would take it for a part of ours."""
        there = {file for file in self._remote.files(state.head) if file.startswith(DATA)}
        strays = sorted(there.difference(release.files if release else ()))
        if not strays or any(branch.startswith(_branch("")) for branch in state.branches):
            return  # a publication of more than one commit, interrupted: it is finished before anything is read
        raise UsageError(
            f"{self._where}: holds {strays[0]}, which no release wrote and readers would take for a part of this one; "
            "delete it there or choose another repository"
        )

    def _refuse_scripts(self, files: Collection[str], what: str) -> None:
        """InputError for what makes `datasets` refuse the whole repository: a script of its name."""
        scripts = {f"{self.id.rpartition('/')[2]}.py", "danqing.py"} & {*files}
        if scripts:
            raise InputError(
                f"{self._where}: {min(scripts)}: load_dataset refuses a repository with a script of its name; {what}"
            )

    def _check_staged(self, wanted: dict[str, Blob], keep: set[str], release: Release) -> None:
        """VerificationError where the branch does not hold the release as release.json says."""
        for file in sorted(keep):
            blob, said = wanted.get(file), release.files.get(file)
            whole = blob and (
                not said or blob == Blob(said["bytes"], said["sha256"] if blob.large else blob.oid)
            )
            if not whole:
                raise VerificationError(
                    f"{self._remote.where(_branch(release.version))}: {file} is not there as {document.NAME} says; "
                    "run again with --overwrite"
                )

    def _is_tagged(self, version: str, wanted: dict[str, Blob]) -> bool:
        """Whether the tag holds the release already; UsageError where it holds another, which is not to be replaced."""
        state = self._remote.state()
        if state is None or version not in state.tags:
            return False
        tagged = self._remote.files(version)
        if all(tagged.get(file) == blob for file, blob in wanted.items()):
            return True
        if version != self._replaced:
            raise UsageError(
                f"{self._remote.where(version)}: the tag is taken by other content; say another --tag, or --overwrite"
            )
        self._remote.drop(tag=version)
        return False

    # --- main -------------------------------------------------------------------------------------------

    def _to_main(self, folder: Path, wanted: dict[str, Blob], message: str) -> str:
        """Bring main from the release before to this one; the commit that holds it.

        One commit. Over COMMIT operations it takes several: new files, then the card and release.json, then what is
        old goes. A card names the number of its shards, so it reads its own release all the while, but for shards
        that have the same name in both.
        """
        with hub_errors(f"publishing on {self._where}"):
            while True:
                head, done = patiently(lambda: self._commit_some(folder, wanted, message), self._console)
                if done:
                    return head

    def _commit_some(self, folder: Path, wanted: dict[str, Blob], message: str) -> tuple[str, bool]:
        """One commit of what main lacks: main's head, and whether that was all. Safe to repeat, as it looks first."""
        from huggingface_hub.errors import HfHubHTTPError

        state = self._remote.state()
        if state is None:
            raise EnvironmentProblem(
                f"{self._where}: gone while it was published; run the same command again"
            )
        head, operations = state.head, self._operations(folder, wanted, state)
        if not operations:
            return head, True
        if head != self._head:
            self._check_ours(message)
        try:
            self._head = self._remote.commit(self._next(operations), head, message)
        except HfHubHTTPError as error:
            if error.response.status_code != 412:
                raise
            self._check_ours(message)
            return self._head, False
        return self._head, len(operations) <= self._most

    def _next(self, operations: list[Operation]) -> list[Operation]:
        """Files of the next commit: all, or as many as may be; the card and release.json come after all new files."""
        if len(operations) <= self._most:
            return operations
        new = list(itertools.takewhile(lambda one: one.path_in_repo not in LAST, operations))
        return (new or operations)[: self._most]

    def _operations(self, folder: Path, wanted: dict[str, Blob], state: RemoteState) -> list[Operation]:
        """Operations that make main the release: new files, the card and release.json, and what is old goes.

        Files that no release wrote are left alone.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete

        source, main = _branch(self._version), self._remote.files(state.head)
        operations: list[Operation] = []
        for file in sorted(wanted, key=lambda file: (file in LAST, file)):
            if main.get(file) == wanted[file]:
                continue
            if not wanted[file].large and (folder / file).is_file():
                operations.append(CommitOperationAdd(file, folder / file))
            else:
                operations.append(CommitOperationCopy(file, file, src_revision=source))
        for revision in (state.head, state.tags.get(self._previous or "")):
            before = self._release(revision)
            self._written |= set(before.files) if before else set()
        old = sorted(self._written & set(main) - set(wanted))
        return operations + [CommitOperationDelete(file) for file in old]

    def _check_ours(self, message: str) -> None:
        """EnvironmentProblem where main was moved by others, not by a commit of ours whose answer was lost."""
        newest = self._remote.last_commit()
        if (newest.title, newest.parent) != (message, self._head):
            raise EnvironmentProblem(
                f"{self._where}: someone committed to main meanwhile, {newest.described}; nothing of it was "
                "overwritten: look at it, then run the same command again, nothing is sent twice"
            )
        self._head = newest.oid


def _branch(version: str) -> str:
    return f"release/{version}"
