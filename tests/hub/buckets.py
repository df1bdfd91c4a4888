"""The Hub's endpoints of buckets, as far as readers ask: what a bucket is, what lies in it, and its files.

A bucket is kept as a repository of that kind, of which the last commit counts. Files are given as those of a repository
are, by a link to the second host; not by Xet, by which the client has whole files unless HF_HUB_DISABLE_XET forbids it.
"""

from __future__ import annotations

import hashlib
from typing import Any

from .exchange import Answer, Call
from .resolve import resolve
from .store import Commit, Repository


def _bucket(call: Call) -> tuple[Repository, Commit, dict[str, dict[str, Any]]]:
    """The bucket of the path, its last commit, and what a listing says of each file."""
    call.parts["kind"] = "buckets"
    repository = call.repository
    commit = call.commit(repository)
    files = {
        path: {
            "type": "file", "path": path, "size": entry.size, "uploadedAt": commit.date, "mtime": commit.date,
            "xetHash": hashlib.sha256(entry.key.encode()).hexdigest(),
        }
        for path, entry in sorted(commit.files.items())
        if path != ".gitattributes"
    }  # fmt: skip
    return repository, commit, files


def summary(call: Call) -> Answer:
    """What the Hub says of a bucket."""
    repository, _, files = _bucket(call)
    said = {"id": repository.name, "private": repository.state.private, "createdAt": repository.state.created}
    return Answer(body=said | {"size": sum(one["size"] for one in files.values()), "totalFiles": len(files)})


def tree(call: Call) -> Answer:
    """The files whose path begins with the prefix, in pages; without `recursive` one folder's, and its folders."""
    _, commit, files = _bucket(call)
    prefix = call.parts.get("path", "")
    found = {path: said for path, said in files.items() if path.startswith(prefix)}
    if not call.asks("recursive"):
        folder = f"{prefix}/" if prefix else ""
        for path in [path for path in found if "/" in path.removeprefix(folder)]:
            del found[path]
            name = folder + path.removeprefix(folder).split("/")[0]
            found[name] = {"type": "directory", "path": name, "uploadedAt": commit.date}
    return call.page([found[path] for path in sorted(found)], call.hub.page)


def paths_info(call: Call) -> Answer:
    """What is known of each file asked for; those that are not there are left out."""
    _, _, files = _bucket(call)
    return Answer(body=[files[path] for path in call.json()["paths"] if path in files])


def content(call: Call) -> Answer:
    """A file: where it lies, or itself."""
    call.parts["kind"] = "buckets"
    return resolve(call)


ROUTES = [
    ("GET", "/api/buckets/{name}", summary),
    ("GET", "/api/buckets/{name}/tree", tree),
    ("GET", "/api/buckets/{name}/tree/{path}", tree),
    ("POST", "/api/buckets/{name}/paths-info", paths_info),
    ("GET", "/buckets/{name}/resolve/{path}", content),
    ("HEAD", "/buckets/{name}/resolve/{path}", content),
]
