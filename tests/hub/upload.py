"""The Hub's endpoints that take contents: what goes how (preupload), and Git LFS, whole or in parts.

Contents go to the second host, as to the real Hub's storage: by addresses that are signed, without a token.
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
from typing import Any

from .access import HubError, may_write
from .exchange import PIECE, Answer, Call
from .resolve import check_signature, signed
from .store import Commit, goes_to_lfs

BATCH = 256  # files of one preupload


def preupload(call: Call) -> Answer:
    """How each file goes, and what lies at its path now: the client sends nothing that is the same."""
    repository = call.repository
    may_write(call.account)
    commit, asked = call.commit(repository), call.json()
    if len(asked["files"]) > BATCH:
        raise HubError(413, "", f"at most {BATCH} files at once")
    lines = [line.strip() for line in (asked.get("gitIgnore") or "").splitlines()]
    ignored = [line for line in lines if line and not line.startswith("#")]
    files = [_planned(one, commit, ignored) for one in asked["files"]]
    return Answer(body={"files": files, "commitOid": commit.oid})


def _planned(file: dict[str, Any], commit: Commit, ignored: list[str]) -> dict[str, Any]:
    path = file["path"]
    mode = "lfs" if goes_to_lfs(path, file["size"], base64.b64decode(file["sample"])) else "regular"
    said = {
        "path": path,
        "uploadMode": mode,
        "shouldIgnore": any(fnmatch.fnmatch(path, one) for one in ignored),
    }
    entry = commit.files.get(path)
    return said | ({"oid": entry.key} if entry else {})


def batch(call: Call) -> Answer:
    """Where each large content is to be sent; nothing of those that are here."""
    repository, hub = call.repository, call.hub
    may_write(call.account)
    asked = call.json()
    missing = [
        one
        for one in asked["objects"]
        if not hub.store.blob(one["oid"]).exists() and not hub.xet.find(one["oid"])
    ]
    if missing:
        hub.quota.check(hub.store, sum(one["size"] for one in missing), repository.state.private)
    objects = [
        {**one, "authenticated": True} | ({"actions": _actions(call, one)} if one in missing else {})
        for one in asked["objects"]
    ]
    headers = [("Content-Type", "application/vnd.git-lfs+json")]
    return Answer(body={"transfer": "basic", "objects": objects}, headers=headers)


def _actions(call: Call, wanted: dict[str, Any]) -> dict[str, Any]:
    hub, oid, size = call.hub, wanted["oid"], wanted["size"]
    upload: dict[str, Any] = {"href": signed(hub, f"/contents/{oid}"), "header": {}}
    if hub.multipart and size > hub.multipart:
        parts = range(1, -(-size // hub.multipart) + 1)
        addresses = {str(part): signed(hub, f"/contents/{oid}/parts/{part}") for part in parts}
        # As on the Hub: the parts go to the storage, and the word that all are there to the Hub.
        complete = signed(hub, f"/{call.repository.address}.git/info/lfs/complete/{oid}", hub.url)
        upload = {"href": complete, "header": {"chunk_size": str(hub.multipart), **addresses}}
    verify = f"{hub.url}/{call.repository.address}.git/info/lfs/verify/{oid}"
    return {"upload": upload, "verify": {"href": verify, "header": {}}}


def put(call: Call) -> Answer:
    """Take a content whole; 400 where it is not what its name says."""
    check_signature(call)
    path = call.hub.store.spool()
    try:
        if call.save(path) != call.parts["oid"]:
            raise HubError(400, "", "the content does not match its sha256")
        path.replace(call.hub.store.blob(call.parts["oid"]))
    finally:
        path.unlink(missing_ok=True)
    return Answer()


def put_part(call: Call) -> Answer:
    """Take a part of a content; its ETag."""
    check_signature(call)
    path, store = call.hub.store.spool(), call.hub.store
    tag = call.save(path)
    target = store.folder / "parts" / call.parts["oid"] / call.parts["number"]
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)
    return Answer(headers=[("ETag", f'"{tag}"')])


def complete(call: Call) -> Answer:
    """Put the parts together; 400 where one is missing or the whole is not what its name says."""
    check_signature(call)
    oid, store, asked = call.parts["oid"], call.hub.store, call.json()
    path, folder, digest = store.spool(), store.folder / "parts" / call.parts["oid"], hashlib.sha256()
    parts = [folder / str(one["partNumber"]) for one in asked["parts"]]
    try:
        with path.open("wb") as whole:
            for part in parts:
                with part.open("rb") as file:
                    while piece := file.read(PIECE):
                        digest.update(piece)
                        whole.write(piece)
        if digest.hexdigest() != oid:
            raise HubError(400, "", "the parts do not match the sha256 of the whole")
        path.replace(store.blob(oid))
    except FileNotFoundError:
        raise HubError(400, "", "a part is missing") from None
    finally:
        path.unlink(missing_ok=True)
    for part in parts:
        part.unlink(missing_ok=True)
    return Answer(body={"success": True})


def verify(call: Call) -> Answer:
    """Whether a content arrived whole."""
    may_write(call.account)
    blob, size = call.hub.store.blob(call.parts["oid"]), call.json()["size"]
    if not blob.exists() or blob.stat().st_size != size:
        raise HubError(422, "", "the content did not arrive whole")
    return Answer(body={})


ROUTES = [
    ("POST", "/api/{kind}/{name}/preupload/{revision}", preupload),
    ("POST", r"/{pages}{name}\.git/info/lfs/objects/batch", batch),
    ("POST", r"/{pages}{name}\.git/info/lfs/complete/{oid}", complete),
    ("POST", r"/{pages}{name}\.git/info/lfs/verify/{oid}", verify),
    ("PUT", "/contents/{oid}", put),
    ("PUT", "/contents/{oid}/parts/{number}", put_part),
]
