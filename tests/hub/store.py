"""What the loopback Hub keeps: repositories, commits and contents, in a folder that outlives the process.

    folder/repositories/dataset/org/name/state.json        branches, tags, settings, pull requests
    folder/repositories/dataset/org/name/commits/<oid>     a commit: path -> git oid, size, sha256, xet hash
    folder/blobs/<sha1 or sha256>                          contents that came by HTTP
    folder/xet/                                            contents that came by Xet (xet.py)
    folder/parts/ spool/ cache/                            uploads under way, and what can be made again

A commit's file is written before the state that names it, each by rename: a Hub that is killed at any moment and
started again on the same folder has either the commit or not. Contents are never deleted.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

MAIN = "main"
PULLS = "refs/pr/"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a commit. oid: of the git blob, or of its LFS pointer; sha256, xet: empty for what git itself holds."""

    oid: str
    size: int
    sha256: str = ""
    xet: str = ""

    @property
    def key(self) -> str:
        """The name of its content among the blobs."""
        return self.sha256 or self.oid


@dataclass(frozen=True, slots=True)
class Commit:
    """A state of a repository, whole."""

    oid: str
    parent: str
    title: str
    description: str
    date: str
    author: str
    files: dict[str, Entry]


@dataclass(slots=True)
class State:
    """What changes in a repository. branches also holds the heads of pull requests, as refs/pr/1."""

    private: bool = False
    gated: str | bool = False
    created: str = ""
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: list[dict[str, Any]] = field(default_factory=list)


def git_oid(content: bytes) -> str:
    """The name that git gives a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def goes_to_lfs(path: str, size: int, sample: bytes) -> bool:
    """Whether a file is kept as a large one: by its name, its length, or because its first bytes are no text."""
    return bool(_LARGE.search(path)) or size > REGULAR or b"\0" in sample


def pointer_oid(sha256: str, size: int) -> str:
    """The name of the LFS pointer that git holds in place of a large file."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
    return git_oid(pointer.encode())


def now() -> str:
    """The time as the Hub writes it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


class Repository:
    """One repository: its state in memory, its commits on disk."""

    def __init__(self, kind: str, name: str, folder: Path) -> None:
        self.kind, self.name, self.folder = kind, name, folder
        self.state = State()
        self._read = cache(self._read_commit)

    @property
    def address(self) -> str:
        """The path of its pages: datasets/org/name, of a model org/name."""
        return self.name if self.kind == "model" else f"{self.kind}s/{self.name}"

    def load(self) -> None:
        """Read the state that another process left."""
        self.state = State(**json.loads((self.folder / "state.json").read_text(encoding="utf-8")))

    def save(self) -> None:
        """Write the state; what it names must be there."""
        _replace(self.folder / "state.json", json.dumps(asdict(self.state)))

    def add(self, commit: Commit) -> None:
        """Write a commit; no branch names it yet."""
        files = {path: [one.oid, one.size, one.sha256, one.xet] for path, one in commit.files.items()}
        said = {name: getattr(commit, name) for name in Commit.__slots__} | {"files": files}
        _replace(self.folder / "commits" / commit.oid, json.dumps(said))

    def commit(self, oid: str) -> Commit:
        """A commit by its whole name."""
        return self._read(oid)

    def find(self, revision: str) -> Commit | None:
        """The commit that a branch, tag, pull request or the beginning of a commit's name means."""
        name = revision.removeprefix("refs/heads/")
        oid = self.state.branches.get(name) or self.state.tags.get(revision.removeprefix("refs/tags/"))
        if oid is None and len(revision) >= 5 and set(revision) <= set("0123456789abcdef"):
            found = (self.folder / "commits").glob(f"{revision}*")
            oid = next((path.name for path in found if len(path.name) == 40), None)
        return self.commit(oid) if oid else None

    def history(self, commit: Commit) -> Iterator[Commit]:
        """A commit and those before it, the newest first."""
        yield commit
        while commit.parent:
            commit = self.commit(commit.parent)
            yield commit

    def _read_commit(self, oid: str) -> Commit:
        said = json.loads((self.folder / "commits" / oid).read_text(encoding="utf-8"))
        files = {path: Entry(*entry) for path, entry in said.pop("files").items()}
        return Commit(files=files, **said)


class Store:
    """All repositories of a folder and their contents. `lock` is held by whoever changes a state."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.lock = threading.RLock()
        self.xet = self.folder / "xet"
        self._count = itertools.count()
        self._repositories: dict[tuple[str, str], Repository] = {}
        shutil.rmtree(self.folder / "spool", ignore_errors=True)
        for name in ("repositories", "blobs", "parts", "spool", "cache", "xet"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for state in sorted((self.folder / "repositories").glob("*/*/*/state.json")):
            kind, owner, name = state.parent.parts[-3:]
            repository = Repository(kind, f"{owner}/{name}", state.parent)
            repository.load()
            self._repositories[kind, repository.name] = repository

    def get(self, kind: str, name: str) -> Repository | None:
        """A repository, if there is one of this kind and name."""
        return self._repositories.get((kind, name))

    def create(self, kind: str, name: str, private: bool, author: str) -> Repository:
        """A new repository with the first commit that the Hub makes."""
        repository = Repository(kind, name, self.folder / "repositories" / kind / name)
        (repository.folder / "commits").mkdir(parents=True, exist_ok=True)
        repository.state.private, repository.state.created = private, now()
        content = ATTRIBUTES.encode()
        files = {".gitattributes": Entry(self.put(content), len(content))}
        self._repositories[kind, name] = repository
        self.record(repository, MAIN, files, ("initial commit", "", author))
        return repository

    def delete(self, repository: Repository) -> None:
        """Remove a repository; its contents stay."""
        del self._repositories[repository.kind, repository.name]
        shutil.rmtree(repository.folder)

    def record(
        self, repository: Repository, branch: str, files: Mapping[str, Entry], said: tuple[str, str, str],
        parent: str = "",
    ) -> Commit:  # fmt: skip
        """Make a commit of these files and move the branch to it; said: title, description, author."""
        title, description, author = said
        seed = json.dumps([parent, said, now(), os.urandom(8).hex(), sorted(files)])
        oid = hashlib.sha1(seed.encode()).hexdigest()
        commit = Commit(oid, parent, title, description, now(), author, dict(files))
        with self.lock:
            repository.add(commit)
            repository.state.branches[branch] = oid
            repository.save()
        return commit

    # --- contents ---------------------------------------------------------------------------------------

    def blob(self, key: str) -> Path:
        """Where a content that came by HTTP lies."""
        return self.folder / "blobs" / key

    def spool(self) -> Path:
        """A name for a file under way, used once."""
        return self.folder / "spool" / str(next(self._count))

    def put(self, content: bytes) -> str:
        """Keep the content of a small file; its git oid."""
        oid = git_oid(content)
        if not self.blob(oid).exists():
            path = self.spool()
            path.write_bytes(content)
            path.replace(self.blob(oid))
        return oid

    def entry(self, path: str, content: bytes) -> Entry:
        """Keep a file as it is kept when a client sends it."""
        if not goes_to_lfs(path, len(content), content[:512]):
            return Entry(self.put(content), len(content))
        sha256 = hashlib.sha256(content).hexdigest()
        self.blob(sha256).write_bytes(content)
        return Entry(pointer_oid(sha256, len(content)), len(content), sha256)

    def stored(self) -> int:
        """Bytes that count towards the quota: contents as they lie, chunks of Xet once."""
        chunks = [path for path in self.xet.glob("*/xet/xorbs/xorbs/*") if path.suffix != ".tagset"]
        return sum(path.stat().st_size for path in [*(self.folder / "blobs").iterdir(), *chunks])


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.{threading.get_ident()}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


# What a new dataset repository holds on the Hub (shortened): these go to LFS whatever their size.
SUFFIXES = (
    "7z", "arrow", "avro", "bin", "bz2", "gz", "h5", "jpg", "jpeg", "lz4", "mp4", "npy", "npz", "parquet", "png",
    "pickle", "pt", "safetensors", "tar", "tgz", "wasm", "webp", "xz", "zip", "zst",
)  # fmt: skip
REGULAR = 10 << 20  # bytes up to which git itself holds a file that is text
_LARGE = re.compile(rf"\.({'|'.join(SUFFIXES)})$", re.IGNORECASE)
ATTRIBUTES = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in SUFFIXES)
