"""The Hub's commit endpoint: JSON lines that add, copy and delete files, applied as one or not at all.

{"key": "header", "value": {"summary", "description", "parentCommit"}}
{"key": "file", "value": {"path", "content", "encoding"}}        small files, in base64
{"key": "lfsFile", "value": {"path", "oid", "size"}}             contents that were uploaded before
{"key": "copyFile", "value": {"path", "srcPath", "srcRevision"}}
{"key": "deletedFile" or "deletedFolder", "value": {"path"}}
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .access import HubError, may_write
from .api import metadata_of, open_pull
from .exchange import Answer, Call
from .store import MAIN, PULLS, Entry, Repository, pointer_oid

Files = dict[str, Entry]
Operation = Callable[[Files], None]


@dataclass(slots=True)
class Wanted:
    """What a request asks for: the header's words, and what to do with the files of the branch, in order."""

    title: str = ""
    description: str = ""
    parent: str = ""
    operations: list[Operation] | None = None


def commit(call: Call) -> Answer:
    """Apply the lines to the head of a branch; 412 when it has moved on from the parent that the client names."""
    repository, branch = call.repository, call.parts["revision"].removeprefix("refs/heads/")
    account, hub = may_write(call.account), call.hub
    hub.quota.check(hub.store, 0, repository.state.private)
    if branch not in repository.state.branches:
        raise HubError(404, "RevisionNotFound", f"Invalid rev id: {branch}")
    wanted = _read(call, repository)
    with hub.store.lock:
        head = repository.find(branch)
        if head is None:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {branch}")
        if wanted.parent and not head.oid.startswith(wanted.parent):
            raise HubError(412, "", "A commit has happened since. Please refresh and try again.")
        files = dict(head.files)
        for operation in wanted.operations or []:
            operation(files)
        said = (wanted.title, wanted.description, account.name)
        pull = ""
        if call.asks("create_pr"):
            number = open_pull(repository, wanted.title, account.name, head.oid)
            branch, pull = f"{PULLS}{number}", f"{hub.url}/{repository.address}/discussions/{number}"
        made = hub.store.record(repository, branch, files, said, head.oid)
    url = f"{hub.url}/{repository.address}/commit/{made.oid}"
    return Answer(
        body={
            "success": True,
            "commitOid": made.oid,
            "commitUrl": url,
            "hookOutput": "",
            "pullRequestUrl": pull or None,
        }
    )


def _read(call: Call, repository: Repository) -> Wanted:
    """The lines of the request; contents are kept as they come, which is no harm when the commit fails."""
    wanted = Wanted(operations=[])
    assert wanted.operations is not None
    for line in call.lines():
        key, value = line.get("key"), line.get("value")
        if key == "header":
            wanted.title, wanted.description = value.get("summary", ""), value.get("description", "")
            wanted.parent = value.get("parentCommit") or ""
        elif key in _OPERATIONS:
            wanted.operations.append(_OPERATIONS[key](call, repository, value))
        else:
            raise HubError(400, "", f"unknown operation {key}")
    return wanted


def _checked(path: str) -> str:
    if not path or path.startswith("/") or any(part in ("", ".", "..", ".git") for part in path.split("/")):
        raise HubError(400, "", f"invalid path {path!r}")
    return path


def _file(call: Call, _: Repository, value: dict[str, Any]) -> Operation:
    path, content = _checked(value["path"]), base64.b64decode(value["content"])
    if path == "README.md" and (wrong := metadata_of(content.decode(errors="replace"))[0]):
        raise HubError(400, "", f"Invalid metadata in README.md: {wrong[0]['message'].splitlines()[0]}")
    entry = Entry(call.hub.store.put(content), len(content))
    return lambda files: files.update({path: entry})


def _large(call: Call, _: Repository, value: dict[str, Any]) -> Operation:
    path, sha256, blob = _checked(value["path"]), value["oid"], call.hub.store.blob(value["oid"])
    xet = call.hub.xet.find(sha256)
    if xet is None and not blob.exists():
        raise HubError(400, "", f"LFS pointer pointed to a file that does not exist: {path} {sha256}")
    size = xet.size if xet else blob.stat().st_size
    if value.get("size", size) != size:
        raise HubError(400, "", f"{path} has {size} bytes, not {value['size']}")
    entry = Entry(pointer_oid(sha256, size), size, sha256, xet.xet if xet else "")
    return lambda files: files.update({path: entry})


def _copy(_: Call, repository: Repository, value: dict[str, Any]) -> Operation:
    path, source = _checked(value["path"]), value["srcPath"]
    revision = value.get("srcRevision") or MAIN
    found = repository.find(revision)
    entry = found.files.get(source) if found else None
    if entry is None:
        raise HubError(404, "EntryNotFound", f"{source} does not exist on {revision}")
    return lambda files: files.update({path: entry})


def _deleted(_: Call, __: Repository, value: dict[str, Any]) -> Operation:
    path = value["path"]

    def apply(files: Files) -> None:
        if files.pop(path, None) is None:
            raise HubError(404, "EntryNotFound", f"{path} does not exist")

    return apply


def _deleted_folder(_: Call, __: Repository, value: dict[str, Any]) -> Operation:
    prefix = value["path"].rstrip("/") + "/"

    def apply(files: Files) -> None:
        for path in [path for path in files if path.startswith(prefix)]:
            del files[path]

    return apply


_OPERATIONS: dict[str, Callable[[Call, Repository, dict[str, Any]], Operation]] = {
    "file": _file,
    "lfsFile": _large,
    "copyFile": _copy,
    "deletedFile": _deleted,
    "deletedFolder": _deleted_folder,
}

ROUTES = [("POST", "/api/{kind}/{name}/commit/{revision}", commit)]
