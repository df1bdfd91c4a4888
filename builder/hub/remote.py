"""One data set repository of the Hub, as publishing needs it: looked at, given files in parts, committed to.

    files of a folder ─▶ send: parts of at most PART bytes, each a commit on a branch ─▶ commit, tag

Everything that goes through is of huggingface_hub; what it does not retry itself is retried here where that is safe.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..console import Bar, Console, ticking
from ..errors import EnvironmentProblem, InputError
from .client import api, hub_errors, hushed, patiently, sends_by_xet

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi

    Operation = CommitOperationAdd | CommitOperationCopy | CommitOperationDelete

T = TypeVar("T")

PART = 4 << 30  # bytes of a commit on the branch: what a kill may have to send again, 40 s at 100 MB/s
PART_FILES = 250  # the client's own first size of a commit
KIND = "dataset"


class Blob(NamedTuple):
    """A file of a commit. oid: its sha256 where it is large, else the name that git gives it."""

    size: int
    oid: str

    @property
    def large(self) -> bool:
        """Whether it lies in LFS or Xet."""
        return len(self.oid) == 64

    def holds(self, path: Path) -> bool:
        """Whether a local file has its content."""
        size = path.stat().st_size
        if size != self.size:
            return False
        git = functools.partial(hashlib.sha1, b"blob %d\0" % size, usedforsecurity=False)
        with path.open("rb") as file:
            return hashlib.file_digest(file, hashlib.sha256 if self.large else git).hexdigest() == self.oid


class RemoteState(NamedTuple):
    """A repository now. head: the commit of main; branches, tags: commits by name."""

    head: str
    private: bool
    branches: dict[str, str]
    tags: dict[str, str]


class RemoteCommit(NamedTuple):
    """A commit. described: its title, author and time, as a message has them."""

    oid: str
    parent: str
    title: str
    described: str


class Remote:
    """A data set repository. id: ORG/NAME; part: bytes sent in one go."""

    def __init__(self, name: str, console: Console, part: int = PART) -> None:
        self.id, self._console, self._part = name, console, part
        with hub_errors(self.where()):
            self._api: HfApi = api()

    def where(self, revision: str = "") -> str:
        """The repository, or a revision of it, in a message."""
        return f"hf://datasets/{self.id}" + (f"@{revision}" if revision else "")

    # --- looking ----------------------------------------------------------------------------------------

    def state(self) -> RemoteState | None:
        """The repository as it is now; None where there is none that this token may see."""
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

        with hub_errors(self.where()), hushed(self._console):
            try:
                info = self._try(lambda: self._api.dataset_info(self.id))
                refs = self._try(lambda: self._api.list_repo_refs(self.id, repo_type=KIND))
            except GatedRepoError:
                raise
            except RepositoryNotFoundError as error:
                if "token" in (error.server_message or "").lower():  # a 401 for a token that has expired
                    raise
                return None
        branches, tags = (
            {ref.name: ref.target_commit for ref in some} for some in (refs.branches, refs.tags)
        )
        return RemoteState(str(info.sha), bool(info.private), branches, tags)

    def files(self, revision: str) -> dict[str, Blob]:
        """The files of a revision, by path."""
        from huggingface_hub.hf_api import RepoFile

        with hub_errors(self.where(revision)), hushed(self._console):
            tree = self._api.list_repo_tree(self.id, recursive=True, revision=revision, repo_type=KIND)
            listed = [entry for entry in tree if isinstance(entry, RepoFile)]
        return {one.path: Blob(one.size, one.lfs.sha256 if one.lfs else one.blob_id) for one in listed}

    def read(self, path: str, revision: str) -> bytes | None:
        """A small file whole; None where there is none."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.errors import EntryNotFoundError

        url = hf_hub_url(self.id, path, repo_type=KIND, revision=revision, endpoint=self._api.endpoint)
        with hub_errors(f"{self.where(revision)}/{path}"), hushed(self._console):
            try:
                return bytes(_request("GET", url).content)
            except EntryNotFoundError:
                return None

    def last_commit(self) -> RemoteCommit:
        """The newest commit of main."""
        newest, *older = self._ask(lambda: self._api.list_repo_commits(self.id, repo_type=KIND))
        who = ", ".join(newest.authors) or "somebody"
        described = f'"{newest.title}" by {who}, {newest.created_at:%Y-%m-%d %H:%M} UTC'
        return RemoteCommit(newest.commit_id, older[0].commit_id if older else "", newest.title, described)

    def check_account(self) -> None:
        """EnvironmentProblem where there is no token, where it is none, and where it may only read."""
        account = self._ask(self._api.whoami)
        if (account.get("auth") or {}).get("accessToken", {}).get("role") == "read":
            raise EnvironmentProblem(
                f"{self.where()}: the token of {account.get('name')} may only read; make one of the role write on "
                "the settings page of the account, then `hf auth login` or HF_TOKEN"
            )

    def check_card(self, path: Path) -> None:
        """InputError where the Hub would take no such README.md."""
        from huggingface_hub.errors import BadRequestError

        card = {"repoType": KIND, "content": path.read_text(encoding="utf-8")}
        with hub_errors(f"{self.where()}: README.md"), hushed(self._console):
            try:
                answer = _request("POST", f"{self._api.endpoint}/api/validate-yaml", json=card).json()
            except BadRequestError as error:
                raise InputError(
                    f"{self.where()}: the Hub takes no such README.md: {_messages(error.response.json(), 'errors')}"
                ) from error
        if answer.get("warnings"):
            self._console.warn(f"README.md: {_messages(answer, 'warnings')}")

    # --- changing ---------------------------------------------------------------------------------------

    def create(self, private: bool) -> None:
        """Make it where it does not exist."""
        make = self._api.create_repo
        self._ask(lambda: make(self.id, repo_type=KIND, private=private or None, exist_ok=True))

    def branch(self, name: str, start: str) -> None:
        """Make a branch where it does not exist."""
        make = self._api.create_branch
        self._ask(lambda: make(self.id, branch=name, revision=start, repo_type=KIND, exist_ok=True), name)

    def drop(self, branch: str = "", tag: str = "") -> None:
        """Remove a branch or a tag, if it is there."""
        from huggingface_hub.errors import RevisionNotFoundError

        def remove() -> None:
            with contextlib.suppress(RevisionNotFoundError):  # what was asked for
                if branch:
                    self._api.delete_branch(self.id, branch=branch, repo_type=KIND)
                if tag:
                    self._api.delete_tag(self.id, tag=tag, repo_type=KIND)

        self._ask(remove, branch or tag)

    def tag(self, name: str, commit: str, message: str) -> None:
        """Tag a commit."""
        make, said = self._api.create_tag, {"tag_message": message, "revision": commit, "repo_type": KIND}
        self._ask(lambda: make(self.id, tag=name, exist_ok=True, **said), name)

    def commit(self, operations: Sequence[Operation], parent: str, message: str) -> str:
        """One commit on main, not tried again: 412 where main is not `parent`. Its oid. Raises the client's errors."""
        with hushed(self._console):
            made = self._api.create_commit(
                self.id, list(operations), repo_type=KIND, commit_message=message, parent_commit=parent
            )
        return str(made.oid)

    def send(self, folder: Path, files: Sequence[str], branch: str, message: str) -> None:
        """Commit files to a branch, part by part; those that lie there already are not sent. A bar tells the bytes."""
        there = self.files(branch)
        sizes = {file: (folder / file).stat().st_size for file in files}
        new = [file for file in files if file not in there or not there[file].holds(folder / file)]
        total = sum(sizes.values())
        sent = total - sum(sizes[file] for file in new)
        unit, name = (10**6, "MB") if total >= 10**7 else (10**3, "kB")
        with (
            hushed(self._console),
            self._console.progress(total // unit, unit=name, initial=sent // unit) as bar,
        ):
            for part in _parts(new, sizes, self._part):
                for size in self._send_part(
                    folder, {file: sizes[file] for file in part}, branch, message, bar
                ):
                    bar.update((sent + size) // unit - sent // unit)
                    sent += size

    def _send_part(
        self, folder: Path, part: Mapping[str, int], branch: str, message: str, bar: Bar
    ) -> Iterator[int]:
        """One upload_folder, or two halves of what is too large for one request; the bytes of each as they arrived.

        part: bytes by path; bar: whose clock goes on meanwhile.
        """
        from huggingface_hub.errors import HfHubHTTPError

        upload = functools.partial(
            self._api.upload_folder, repo_id=self.id, repo_type=KIND, folder_path=folder, revision=branch,
            commit_message=message, allow_patterns=[glob.escape(file) for file in part],
        )  # fmt: skip
        with hub_errors(f"uploading to {self.where(branch)}"):
            try:
                with ticking(bar):
                    if sends_by_xet():
                        upload()
                    else:  # the client reads each file twice, and does not try the commit again
                        patiently(upload, self._console, only="/commit/")
            except HfHubHTTPError as error:
                if error.response.status_code != 413 or len(part) == 1:
                    raise
            else:
                yield sum(part.values())
                return
        files, middle = [*part.items()], len(part) // 2
        for half in (files[:middle], files[middle:]):
            yield from self._send_part(folder, dict(half), branch, message, bar)

    def _ask(self, call: Callable[[], T], revision: str = "") -> T:
        """The answer to a call of the client, after patience; its errors are one line that names the repository."""
        with hub_errors(self.where(revision)), hushed(self._console):
            return self._try(call)

    def _try(self, call: Callable[[], T]) -> T:
        return patiently(call, self._console)


def _request(method: Any, url: str, **keywords: Any) -> Any:
    """The answer to a request of our own, with the client's backoff."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # public, but not said to be
        build_hf_headers,
        hf_raise_for_status,
        http_backoff,
    )

    response = http_backoff(method, url, headers=build_hf_headers(library_name="danqing"), **keywords)
    hf_raise_for_status(response)
    return response


def _messages(answer: Mapping[str, Any], kind: str) -> str:
    return "; ".join(str(one.get("message")) for one in answer.get(kind) or [])


def _parts(files: Sequence[str], sizes: Mapping[str, int], limit: int) -> Iterator[list[str]]:
    """The files in order, in groups of at most `limit` bytes and PART_FILES files; a larger one goes alone."""
    part: list[str] = []
    size = 0
    for file in files:
        if part and (size + sizes[file] > limit or len(part) >= PART_FILES):
            yield part
            part, size = [], 0
        part.append(file)
        size += sizes[file]
    if part:
        yield part
