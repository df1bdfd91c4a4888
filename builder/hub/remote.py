"""One data set repository of the Hub, as publishing needs it: looked at, given files in parts, committed to.

    files of a folder ─▶ send: parts of at most PART bytes, each a commit on a branch ─▶ commit, tag

Everything that goes through is of huggingface_hub; what it does not retry itself is retried here where that is safe.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..console import Console
from ..errors import EnvironmentProblem, InputError
from ..release.progress import Sent, sending, watching
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
        """Whether it is a local file."""
        return path.stat().st_size == self.size and oid_of(path, self.large) == self.oid


class State(NamedTuple):
    """A repository now. head: the commit of main; branches, tags: commits by name."""

    head: str
    private: bool
    branches: dict[str, str]
    tags: dict[str, str]


class Commit(NamedTuple):
    """A commit. told: it in a message."""

    oid: str
    parent: str
    title: str
    told: str


def oid_of(path: Path, large: bool) -> str:
    """The name of a file's content: sha256, or git's sha1."""
    digest = hashlib.sha256() if large else hashlib.sha1(b"blob %d\0" % path.stat().st_size)  # noqa: S324  git's
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class Remote:
    """A data set repository. id: ORG/NAME; part: bytes sent in one go."""

    def __init__(self, name: str, console: Console, part: int = PART) -> None:
        self.id, self._console, self._part = name, console, part
        with hub_errors(self.where()):
            self._api: HfApi = api()

    def where(self, revision: str = "") -> str:
        """It in a message."""
        return f"hf://datasets/{self.id}" + (f"@{revision}" if revision else "")

    # --- looking ----------------------------------------------------------------------------------------

    def state(self) -> State | None:
        """What it is now; None where there is none that this token may see."""
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

        with self._asking(self.where()):
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
        return State(str(info.sha), bool(info.private), branches, tags)

    def files(self, revision: str) -> dict[str, Blob]:
        """The files of a revision, by path."""
        from huggingface_hub.hf_api import RepoFile

        with self._asking(self.where(revision)):
            tree = self._api.list_repo_tree(self.id, recursive=True, revision=revision, repo_type=KIND)
            listed = [entry for entry in tree if isinstance(entry, RepoFile)]
        return {one.path: Blob(one.size, one.lfs.sha256 if one.lfs else one.blob_id) for one in listed}

    def read(self, path: str, revision: str) -> bytes | None:
        """A small file whole; None where there is none."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.errors import EntryNotFoundError

        url = hf_hub_url(self.id, path, repo_type=KIND, revision=revision, endpoint=self._api.endpoint)
        with self._asking(f"{self.where(revision)}/{path}"):
            try:
                return bytes(self._request("GET", url).content)
            except EntryNotFoundError:
                return None

    def last_commit(self) -> Commit:
        """The newest commit of main."""
        with self._asking(self.where()):
            newest, *older = self._try(lambda: self._api.list_repo_commits(self.id, repo_type=KIND))
        who = ", ".join(newest.authors) or "somebody"
        told = f'"{newest.title}" by {who}, {newest.created_at:%Y-%m-%d %H:%M} UTC'
        return Commit(newest.commit_id, older[0].commit_id if older else "", newest.title, told)

    def account(self) -> str:
        """Whose token it is; EnvironmentProblem where there is none, where it is none, and where it may only read."""
        with self._asking(self.where()):
            told = self._try(self._api.whoami)
        if (told.get("auth") or {}).get("accessToken", {}).get("role") == "read":
            raise EnvironmentProblem(
                f"{self.where()}: the token of {told.get('name')} may only read; make one of the role write on the "
                "settings page of the account, then `hf auth login` or HF_TOKEN"
            )
        return str(told.get("name"))

    def check_card(self, path: Path) -> None:
        """InputError where the Hub would take no such README.md."""
        from huggingface_hub.errors import BadRequestError

        card = {"repoType": KIND, "content": path.read_text(encoding="utf-8")}
        with self._asking(f"{self.where()}: README.md"):
            try:
                told = self._request("POST", f"{self._api.endpoint}/api/validate-yaml", json=card).json()
            except BadRequestError as error:
                raise InputError(
                    f"{self.where()}: the Hub takes no such README.md: {_messages(error.response.json(), 'errors')}"
                ) from error
        if told.get("warnings"):
            self._console.warn(f"README.md: {_messages(told, 'warnings')}")

    # --- changing ---------------------------------------------------------------------------------------

    def create(self, private: bool) -> None:
        """Make it where it does not exist."""
        with self._asking(self.where()):
            make = self._api.create_repo
            self._try(lambda: make(self.id, repo_type=KIND, private=private or None, exist_ok=True))

    def branch(self, name: str, start: str) -> None:
        """Make a branch where it does not exist."""
        with self._asking(self.where(name)):
            make = self._api.create_branch
            self._try(lambda: make(self.id, branch=name, revision=start, repo_type=KIND, exist_ok=True))

    def drop(self, branch: str = "", tag: str = "") -> None:
        """Remove a branch or a tag, if it is there."""
        from huggingface_hub.errors import RevisionNotFoundError

        def remove() -> None:
            try:
                if branch:
                    self._api.delete_branch(self.id, branch=branch, repo_type=KIND)
                if tag:
                    self._api.delete_tag(self.id, tag=tag, repo_type=KIND)
            except RevisionNotFoundError:
                return  # what was asked for

        with self._asking(self.where(branch or tag)):
            self._try(remove)

    def tag(self, name: str, commit: str, message: str) -> None:
        """Tag a commit."""
        with self._asking(self.where(name)):
            make, said = self._api.create_tag, {"tag_message": message, "revision": commit, "repo_type": KIND}
            self._try(lambda: make(self.id, tag=name, exist_ok=True, **said))

    def commit(self, operations: Sequence[Operation], parent: str, message: str) -> str:
        """One commit on main, not tried again: 412 where main is not `parent`. Its oid. Raises the client's errors."""
        with hushed(self._console), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the card's, which check_card told
            made = self._api.create_commit(
                self.id, list(operations), repo_type=KIND, commit_message=message, parent_commit=parent
            )
        return str(made.oid)

    def send(self, folder: Path, files: Sequence[str], branch: str, message: str) -> None:
        """Commit files to a branch, part by part; those that lie there already are not sent."""
        there = self.files(branch)
        sizes = {file: (folder / file).stat().st_size for file in files}
        new = [file for file in files if file not in there or not there[file].holds(folder / file)]
        size, left = sum(sizes.values()), sum(sizes[file] for file in new)
        with sending(self._console, size, size - left) as sent, hushed(self._console):
            for part in _parts(new, sizes, self._part):
                self._send_part(folder, part, branch, message, sent)

    def _send_part(self, folder: Path, part: Sequence[str], branch: str, message: str, sent: Sent) -> None:
        """One upload_folder; what is too large for one request goes in halves."""
        from huggingface_hub.errors import HfHubHTTPError

        def upload() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._api.upload_folder(
                    repo_id=self.id, repo_type=KIND, folder_path=folder, revision=branch, commit_message=message,
                    allow_patterns=[glob.escape(file) for file in part],
                )  # fmt: skip

        sizes = {str((folder / file).resolve()): (folder / file).stat().st_size for file in part}
        with hub_errors(f"uploading to {self.where(branch)}"):
            try:
                if sends_by_xet():
                    with watching(sent, sizes):
                        upload()
                else:  # the client reads each file twice, and does not try the commit again
                    patiently(upload, self._console, only="/commit/")
            except HfHubHTTPError as error:
                if error.response.status_code != 413 or len(part) == 1:
                    raise
            else:
                sent.finish(sum(sizes.values()))
                return
        middle = len(part) // 2
        self._send_part(folder, part[:middle], branch, message, sent)
        self._send_part(folder, part[middle:], branch, message, sent)

    @contextlib.contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        with hub_errors(what), hushed(self._console):
            yield

    def _try(self, call: Callable[[], T]) -> T:
        return patiently(call, self._console)

    def _request(self, method: Any, url: str, **keywords: Any) -> Any:
        """A request of our own, with the client's backoff."""
        from huggingface_hub.utils import (  # type: ignore[attr-defined]  # public, but not said to be
            build_hf_headers,
            hf_raise_for_status,
            http_backoff,
        )

        response = http_backoff(method, url, headers=build_hf_headers(library_name="danqing"), **keywords)
        hf_raise_for_status(response)
        return response


def _messages(told: dict[str, Any], kind: str) -> str:
    return "; ".join(str(one.get("message")) for one in told.get(kind) or [])


def _parts(files: Sequence[str], sizes: dict[str, int], limit: int) -> Iterator[list[str]]:
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
