"""The Hub's endpoints that list: a repository's summary, its tree page by page, paths, branches and tags, history."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import parse_qs

from .access import HubError
from .api import card_of
from .exchange import TRUE, Answer, Call
from .store import PULLS, Commit, Entry

EXPANDED, HISTORY = 50, 50  # entries of a page: of a tree that tells of last commits, of the commits


def summary(call: Call) -> Answer:
    """What the Hub says of a repository at a revision, with the names of all its files."""
    repository = call.repository
    commit, state = call.commit(repository), repository.state
    files = [_sibling(path, entry, call.asks("blobs")) for path, entry in sorted(commit.files.items())]
    card = card_of(call, repository)
    said = {
        "_id": hashlib.sha256(repository.name.encode()).hexdigest()[:24], "id": repository.name,
        "author": repository.name.split("/")[0], "sha": commit.oid, "lastModified": commit.date,
        "createdAt": state.created, "private": state.private, "gated": state.gated, "disabled": False,
        "downloads": 0, "likes": 0, "tags": _tags(card), "cardData": card, "siblings": files,
    }  # fmt: skip
    return Answer(body=said)


def _tags(card: dict[str, Any]) -> list[str]:
    tags = [str(tag) for tag in card.get("tags") or []]
    for name in ("license", "language", "task_categories", "size_categories"):
        value = card.get(name) or []
        tags += [f"{name}:{one}" for one in ([value] if isinstance(value, str) else value)]
    return tags


def _sibling(path: str, entry: Entry, blobs: bool) -> dict[str, Any]:
    said: dict[str, Any] = {"rfilename": path}
    if blobs:
        said |= {"size": entry.size, "blobId": entry.oid}
        if entry.sha256:
            said["lfs"] = {"sha256": entry.sha256, "size": entry.size, "pointerSize": 134}
    return said


def _last(commit: Commit, expand: bool) -> dict[str, Any]:
    """What an expanded entry says of its last commit: here that of the revision."""
    return {"lastCommit": {"id": commit.oid, "title": commit.title, "date": commit.date}} if expand else {}


def _file(call: Call, path: str, commit: Commit) -> dict[str, Any]:
    entry, expand = commit.files[path], call.asks("expand")
    said: dict[str, Any] = {"type": "file", "oid": entry.oid, "size": entry.size, "path": path}
    if entry.sha256:
        said["lfs"] = {"oid": entry.sha256, "size": entry.size, "pointerSize": 134}
    if call.hub.xet.offers(entry):  # a client that saw it here asks no more
        said["xetHash"] = entry.xet
    safe = (
        {"securityFileStatus": {"status": "safe", "avScan": None, "pickleImportScan": None}} if expand else {}
    )
    return said | _last(commit, expand) | safe


def _folder(path: str, commit: Commit, expand: bool) -> dict[str, Any]:
    oid = hashlib.sha256(f"{commit.oid}/{path}".encode()).hexdigest()[:40]
    return {"type": "directory", "oid": oid, "size": 0, "path": path} | _last(commit, expand)


def tree(call: Call) -> Answer:
    """The entries of a folder, or of all below it, in pages."""
    repository = call.repository
    commit, folder = call.commit(repository), call.parts.get("path", "").strip("/")
    expand, prefix = call.asks("expand"), f"{folder}/" if folder else ""
    paths = sorted(path for path in commit.files if path.startswith(prefix))
    if folder and not paths:
        raise HubError(404, "EntryNotFound", f'{folder} does not exist on "{call.parts["revision"]}"')
    entries: dict[str, dict[str, Any]] = {}
    for path in paths:
        *folders, _ = path[len(prefix) :].split("/")
        depths = range(1, len(folders) + 1) if call.asks("recursive") else range(1, min(len(folders), 1) + 1)
        for depth in depths:
            name = prefix + "/".join(folders[:depth])
            entries.setdefault(name, _folder(name, commit, expand))
        if call.asks("recursive") or not folders:
            entries[path] = _file(call, path, commit)
    return call.page(list(entries.values()), min(call.hub.page, EXPANDED) if expand else call.hub.page)


def paths_info(call: Call) -> Answer:
    """What is known of each path asked for; those that are not there are left out."""
    repository = call.repository
    commit = call.commit(repository)
    if "json" in call.headers.get("Content-Type", ""):
        asked = call.json()
        paths, expand = asked["paths"], str(asked.get("expand", False)) in TRUE
    else:
        form = parse_qs(call.body.read().decode())
        paths, expand = form.get("paths", []), form.get("expand", [""])[0] in TRUE
    if len(paths) > 1000:
        raise HubError(413, "", "too many parameters")
    call.query["expand"] = str(expand)
    found = []
    for path in (path.strip("/") for path in paths):
        if path in commit.files:
            found.append(_file(call, path, commit))
        elif any(name.startswith(f"{path}/") for name in commit.files):
            found.append(_folder(path, commit, expand))
    return Answer(body=found)


def refs(call: Call) -> Answer:
    """Branches, tags and pull requests with their heads."""
    state = call.repository.state
    branches = {name: oid for name, oid in state.branches.items() if not name.startswith(PULLS)}
    pulls = {name: oid for name, oid in state.branches.items() if name.startswith(PULLS)}

    def listed(heads: dict[str, str], prefix: str) -> list[dict[str, str]]:
        return [{"name": name, "ref": prefix + name, "targetCommit": oid} for name, oid in heads.items()]

    said = {
        "branches": listed(branches, "refs/heads/"),
        "tags": listed(state.tags, "refs/tags/"),
        "converts": [],
    }
    return Answer(body=said | ({"pullRequests": listed(pulls, "")} if call.asks("include_prs") else {}))


def history(call: Call) -> Answer:
    """The commits up to a revision, the newest first, in pages."""
    repository = call.repository
    commits = [
        {
            "id": one.oid, "title": one.title, "message": one.description, "date": one.date,
            "authors": [{"user": one.author}],
        }
        for one in repository.history(call.commit(repository))
    ]  # fmt: skip
    return call.page(commits, HISTORY)


ROUTES = [
    ("GET", "/api/{kind}/{name}/revision/{revision}", summary),
    ("GET", "/api/{kind}/{name}/tree/{revision}", tree),
    ("GET", "/api/{kind}/{name}/tree/{revision}/{path}", tree),
    ("POST", "/api/{kind}/{name}/paths-info/{revision}", paths_info),
    ("GET", "/api/{kind}/{name}/refs", refs),
    ("GET", "/api/{kind}/{name}/commits/{revision}", history),
    ("GET", "/api/{kind}/{name}", summary),
]
