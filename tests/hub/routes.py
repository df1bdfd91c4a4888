"""Which endpoint answers which request: the tables of the modules, one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from . import api, buckets, commit, listing, resolve, upload, xet
from .access import HubError
from .exchange import Answer, Call

Endpoint = Callable[[Call], Answer]

# The words in braces. A segment is matched as it was sent, so that a revision may hold a quoted slash.
WORDS = {
    "kind": "(?P<kind>models|datasets|spaces)",
    "pages": "(?:(?P<kind>datasets|spaces)/)?",
    "name": r"(?P<name>[^/]+/[^/]+?)",
    "revision": "(?P<revision>[^/]+)",
    "path": "(?P<path>.+)",
    "oid": "(?P<oid>[0-9a-f]{40,64})",
    "number": r"(?P<number>\d+)",
}


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", lambda word: WORDS[word[1]], pattern))


ROUTES: list[tuple[str, re.Pattern[str], Endpoint]] = [
    (method, _compile(pattern), endpoint)
    for module in (api, buckets, listing, commit, upload, xet, resolve)
    for method, pattern, endpoint in module.ROUTES
]


def find(method: str, path: str) -> tuple[Endpoint, dict[str, str]]:
    """The endpoint of a request and the named pieces of its path; 404 for what the Hub here does not have."""
    for wanted, pattern, endpoint in ROUTES:
        if wanted == method and (match := pattern.fullmatch(path)):
            return endpoint, {name: unquote(part) for name, part in match.groupdict().items() if part}
    raise HubError(404, "", f"no such address: {method} {path}")
