"""The Hub's endpoints about repositories: create, delete, settings, branches, tags, discussions, and checking cards."""

from __future__ import annotations

from typing import Any

import yaml

from .access import HubError, may_write
from .exchange import Answer, Call
from .store import MAIN, PULLS, Repository


def whoami(call: Call) -> Answer:
    """Who the token speaks for."""
    if call.account is None:
        raise HubError(401, "", "Invalid username or password.")
    name, role = call.account.name, call.account.role
    organization = {
        "type": "org",
        "name": call.hub.organization,
        "id": "2",
        "fullname": call.hub.organization,
    }
    return Answer(
        body={
            "type": "user", "id": "1", "name": name, "fullname": name, "email": f"{name}@example.org", "isPro": False,
            "orgs": [{**organization, "roleInOrg": "admin"}] if call.account.member else [],
            "auth": {"type": "access_token", "accessToken": {"displayName": role, "role": role}},
        }
    )  # fmt: skip


def create(call: Call) -> Answer:
    """A new repository; 409 with its address where it exists."""
    asked = call.json()
    kind, hub = asked.get("type") or "model", call.hub
    account = call.account
    owner = asked.get("organization") or (account.name if account else "")
    account = may_write(
        account, f'You don\'t have the rights to create a {kind} under the namespace "{owner}"'
    )
    if owner not in (account.name, hub.organization):
        raise HubError(
            403, "", f'You don\'t have the rights to create a {kind} under the namespace "{owner}"'
        )
    name = f"{owner}/{asked['name']}"
    private = asked.get("visibility") == "private" or bool(asked.get("private"))
    with hub.store.lock:
        found = hub.store.get(kind, name)
        repository = found or hub.store.create(kind, name, private, account.name)
    url = f"{hub.url}/{repository.address}"
    if found:
        return Answer(409, {"error": f"You already created this {kind} repo: {name}", "url": url})
    return Answer(body={"url": url, "name": name, "id": name})


def delete(call: Call) -> Answer:
    """Remove a repository."""
    account, asked = may_write(call.account), call.json()
    name = f"{asked.get('organization') or account.name}/{asked['name']}"
    call.parts = {"kind": (asked.get("type") or "model") + "s", "name": name}
    with call.hub.store.lock:
        call.hub.store.delete(call.repository)
    return Answer(body={})


def settings(call: Call) -> Answer:
    """Private or public, gated or open."""
    repository, asked = call.repository, call.json()
    may_write(call.account)
    with call.hub.store.lock:
        repository.state.gated = asked.get("gated", repository.state.gated)
        if "private" in asked or "visibility" in asked:
            repository.state.private = asked.get("visibility") == "private" or bool(asked.get("private"))
        repository.save()
    return Answer(body=asked)


def check_card(call: Call) -> Answer:
    """Whether the metadata of a README.md is YAML and says what the Hub asks for: errors 400, warnings 200."""
    errors, data = metadata_of(str(call.json().get("content", "")))
    if errors:
        return Answer(400, {"errors": errors, "warnings": []})
    warnings = [] if data else [{"message": "empty or missing yaml metadata in repo card"}]
    return Answer(body={"errors": [], "warnings": warnings})


def metadata_of(content: str) -> tuple[list[dict[str, str]], dict[str, Any]]:
    """What is wrong with a card's metadata, and the metadata."""
    lines = content.removeprefix("\ufeff").splitlines()
    if not lines or lines[0].strip() != "---":
        return [], {}
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == "---"), None)
    if end is None:
        return [{"message": "the metadata has no end: a line of --- is missing"}], {}
    try:
        data = yaml.safe_load("\n".join(lines[1:end])) or {}
    except yaml.YAMLError as error:
        return [{"message": f"YAML: {error}"}], {}
    if not isinstance(data, dict):
        return [{"message": '"value" must be of type object'}], {}
    return [{"message": message} for message in _mistakes(data)], data


# Enough of the Hub's own list: where a field is there, it is one of these types; of a list, its items too.
_FIELDS: dict[str, tuple[type, ...]] = {
    "license": (str, list), "language": (str, list), "pretty_name": (str,), "size_categories": (str, list),
    "task_categories": (list,), "tags": (list,), "configs": (list,), "dataset_info": (dict, list),
}  # fmt: skip
_TEXTS = ("license", "language", "size_categories", "task_categories", "tags")


def _mistakes(data: dict[str, Any]) -> list[str]:
    wrong = []
    for name, types in _FIELDS.items():
        value = data.get(name)
        if value is None:
            continue
        if not isinstance(value, types):
            wrong.append(f'"{name}" must be {" or ".join(one.__name__ for one in types)}')
        elif name in _TEXTS and isinstance(value, list) and not all(isinstance(one, str) for one in value):
            wrong.append(f'"{name}" must hold strings')
    for number, config in enumerate(data.get("configs") or [] if "configs" in data else []):
        if not isinstance(config, dict) or not isinstance(config.get("config_name"), str):
            wrong.append(f'"configs[{number}].config_name" is required')
    return wrong


def card_of(call: Call, repository: Repository) -> dict[str, Any]:
    """The metadata of a repository's card on main; empty where it has none or it is broken."""
    commit = repository.find(MAIN)
    entry = commit.files.get("README.md") if commit else None
    if entry is None:
        return {}
    return metadata_of(call.hub.content(entry).read_text(encoding="utf-8", errors="replace"))[1]


# --- branches and tags -------------------------------------------------------------------------------------


def make_branch(call: Call) -> Answer:
    """A branch from a revision, main where none is said."""
    repository, name = call.repository, call.parts["path"]
    call.parts["revision"] = call.json().get("startingPoint") or MAIN
    return _point(call, repository, repository.state.branches, name, f'Reference "refs/heads/{name}"')


def drop_branch(call: Call) -> Answer:
    """Remove a branch, though never main."""
    repository, name = call.repository, call.parts["path"]
    may_write(call.account)
    with call.hub.store.lock:
        if name == MAIN:
            raise HubError(403, "", "Cannot delete the default branch")
        if repository.state.branches.pop(name, None) is None:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: refs/heads/{name}")
        repository.save()
    return Answer(body={})


def make_tag(call: Call) -> Answer:
    """A tag at a revision; 409 where it exists."""
    repository, name = call.repository, call.json()["tag"]
    call.parts["revision"] = call.parts["path"]
    return _point(call, repository, repository.state.tags, name, f'Tag reference "refs/tags/{name}"')


def drop_tag(call: Call) -> Answer:
    """Remove a tag."""
    repository, name = call.repository, call.parts["path"]
    may_write(call.account)
    with call.hub.store.lock:
        if repository.state.tags.pop(name, None) is None:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: refs/tags/{name}")
        repository.save()
    return Answer(body={})


def _point(call: Call, repository: Repository, references: dict[str, str], name: str, told: str) -> Answer:
    """Have a new one of the references of a repository point at the call's revision; 409 where it exists."""
    may_write(call.account)
    with call.hub.store.lock:
        if name in references:
            raise HubError(409, "", f"{told} already exists")
        references[name] = call.commit(repository).oid
        repository.save()
    return Answer(body={})


# --- pull requests -----------------------------------------------------------------------------------------


def open_pull(repository: Repository, title: str, author: str, oid: str) -> int:
    """Open a pull request with the commit as its head; its number. The state is saved by the caller."""
    repository.state.pulls.append({"title": title, "author": author, "status": "open"})
    number = len(repository.state.pulls)
    repository.state.branches[f"{PULLS}{number}"] = oid
    return number


def discuss(call: Call) -> Answer:
    """Open a discussion, or a draft of a pull request."""
    repository, asked = call.repository, call.json()
    account = may_write(call.account)
    with call.hub.store.lock:
        number = open_pull(repository, asked["title"], account.name, repository.state.branches[MAIN])
        repository.save()
    return Answer(body={"num": number, "title": asked["title"], "status": "draft", "pullRequest": True})


def discussion(call: Call) -> Answer:
    """What a discussion or pull request is about."""
    repository, number = call.repository, int(call.parts["number"])
    if not 0 < number <= len(repository.state.pulls):
        raise HubError(404, "", "Discussion not found")
    pull = repository.state.pulls[number - 1]
    return Answer(
        body={
            "num": number, "title": pull["title"], "author": {"name": pull["author"]}, "status": pull["status"],
            "isPullRequest": True, "createdAt": repository.state.created, "events": [], "filesWithConflicts": [],
            "repo": {"name": repository.name, "type": repository.kind}, "changes": {"base": "refs/heads/main"},
            "diffUrl": None,
        }
    )  # fmt: skip


ROUTES = [
    ("GET", "/api/whoami-v2", whoami),
    ("POST", "/api/repos/create", create),
    ("DELETE", "/api/repos/delete", delete),
    ("POST", "/api/validate-yaml", check_card),
    ("PUT", "/api/{kind}/{name}/settings", settings),
    ("POST", "/api/{kind}/{name}/branch/{path}", make_branch),
    ("DELETE", "/api/{kind}/{name}/branch/{path}", drop_branch),
    ("POST", "/api/{kind}/{name}/tag/{path}", make_tag),
    ("DELETE", "/api/{kind}/{name}/tag/{path}", drop_tag),
    ("POST", "/api/{kind}/{name}/discussions", discuss),
    ("GET", "/api/{kind}/{name}/discussions/{number}", discussion),
]
