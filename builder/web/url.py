"""URLs as found in the wild -> URLs that can be sent, ASCII `scheme://host[:port]/path[?query]`.

The scheme and host are rewritten as a browser does; path and query go out byte for byte. Only what cannot
stand in a request line (blanks, quotes, non-ASCII) is percent-encoded, as UTF-8; escapes that are there stay
as they are, because signed URLs and URLs inside URLs break when `%3A` becomes `:` or `%7e` becomes `%7E`.
The sets of characters are those of https://url.spec.whatwg.org/#path-percent-encode-set and the query's. The
one byte lost on the way is a `?` with nothing behind it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote

from ..reasons import Dropped, Reason
from .hostname import EDGES, canonical

LONGEST = 8192  # characters of the result; servers refuse longer request lines (nginx and Apache: 8 KiB)

PORTS = {"http": 80, "https": 443}
SAFE = "!$%&'()*+,-./:;=@[\\]_|~"
SAFE_IN_PATH = SAFE.replace("\\", "")
SAFE_IN_QUERY = SAFE.replace("'", "") + "?^`{}"

_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_PARTS = re.compile(r"([^/\\?#]*)([^?#]*)(?:\?([^#]*))?")
# What is sent as it stands, of an address and of a path from the root: no segment that may be dots, nothing to encode.
_PLAIN = re.compile(
    r"(https?://(?:[a-z0-9-]{1,63}\.){1,3}[a-z]{2,20})?"
    r"(?:/(?:[A-Za-z0-9_~!$'()*+,;=:@-][A-Za-z0-9_~!$'()*+,;=:@%.-]*)?)+(?:\?[A-Za-z0-9_~!$()*+,;=:@%./&-]+)?"
)
_BREAKS = str.maketrans("", "", "\t\n\r")
_RAW_BYTES = re.compile(r"[\udc80-\udcff]")
_ESCAPED_AND = re.compile(r"&(?:amp;)+")


def normalise(raw: str | None) -> str:
    """The URL to send for `raw`.

    `//host/path` gets http: hosts that speak only https nearly always redirect there from http, hosts that
    speak only http never answer on https. Hosts written as numbers (`2130706433`, `0x7f.1`) become the
    dotted address they mean, so that the guard on addresses judges what a browser would reach.

    Raises Dropped: BLOCKED_SCHEME for a scheme other than http and https; INVALID_URL for null, empty,
    relative, without host, with user or password, with control characters inside, longer than 8,192
    characters.
    """
    text = (raw or "").strip(EDGES)
    if not text or len(text) > LONGEST or _CONTROL.search(text):
        raise Dropped(Reason.INVALID_URL)
    scheme, rest = _scheme(text)
    if rest[:2].replace("\\", "/") != "//":
        raise Dropped(Reason.INVALID_URL)
    match = _PARTS.match(rest, 2)
    assert match is not None  # every part may be empty
    authority, path, query = match.groups()
    path = quote(path.replace("\\", "/") or "/", safe=SAFE_IN_PATH)
    query = "?" + quote(query, safe=SAFE_IN_QUERY) if query else ""
    url = f"{scheme}://{_authority(authority, scheme)}{path}{query}"
    if len(url) > LONGEST:
        raise Dropped(Reason.INVALID_URL)
    return url


def fallback(url: str) -> str | None:
    """The URL to try after a 4xx: `&amp;` unescaped, or None where there is none.

    Only after a 4xx, because `&amp;` may be what the server wants: the URL is first sent as the manifest has
    it.
    """
    unescaped = _ESCAPED_AND.sub("&", url)
    return unescaped if unescaped != url else None


def join(base: str, raw: str) -> str:
    """The URL to send for `raw` where it stands on the page `base`, which is as `normalise` gives it.

    As browsers resolve it (https://url.spec.whatwg.org/#url-parsing): line breaks and tabs are taken out, `.` and `..`
    resolved, `//host` has the scheme of the page, `https:a` is relative on a page of https and a host on one of http.
    Raises Dropped as `normalise` does.
    """
    plain = _PLAIN.fullmatch(raw)
    if plain is not None and len(raw) <= LONGEST // 2 and not raw.startswith("//"):  # nearly all; 3 of 5 µs
        return raw if plain[1] else base[: base.index("/", 8)] + raw
    text = raw.translate(_BREAKS).strip(EDGES).partition("#")[0]
    scheme, _, rest = base.partition("://")
    match = _SCHEME.match(text)
    absolute = text[:2].replace("\\", "/") == "//"
    if match is not None:
        named, text = match[1].lower(), text[match.end() :]
        if named not in PORTS:
            raise Dropped(Reason.BLOCKED_SCHEME)
        absolute = named != scheme or text[:2].replace("\\", "/") == "//"
        scheme = named
    if absolute:
        return _without_dots(normalise(f"{scheme}://{text.lstrip('/' + chr(92))}"))
    authority, _, behind = rest.partition("/")
    path = "/" + behind.partition("?")[0]
    if text[:1] == "?":
        text = path + text
    elif text and text[0] not in "/\\":
        text = path[: path.rindex("/") + 1] + text
    return _without_dots(normalise(f"{scheme}://{authority}{text}")) if text else base


def redirect(base: str, location: str) -> str:
    """The URL that a `Location` header names, seen from the URL `base` that answered with it.

    `location` is the header as aiohttp decodes it: UTF-8, other bytes as surrogate escapes; those bytes go
    out as they came, percent-encoded. Raises Dropped: REDIRECTS where it names nothing, BLOCKED_SCHEME.
    """
    location = _RAW_BYTES.sub(lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", location)
    if not location.strip(EDGES).partition("#")[0]:
        raise Dropped(Reason.REDIRECTS)
    try:
        return join(base, location)
    except Dropped as dropped:
        if dropped.reason is Reason.INVALID_URL:
            raise Dropped(Reason.REDIRECTS) from None
        raise


def _without_dots(url: str) -> str:
    """A URL whose path has no segments `.` and `..`, which are resolved."""
    path, mark, query = url.partition("?")
    if "/." not in path and "/%2" not in path:
        return url
    *origin, rest = path.split("/", 3)
    kept: list[str] = []
    for segment in rest.split("/"):
        dots = segment.lower().replace("%2e", ".")
        if dots == "..":
            del kept[-1:]
        elif dots != ".":
            kept.append(segment)
    if dots in (".", ".."):
        kept.append("")
    return "/".join([*origin, *kept]) + mark + query


def _scheme(text: str) -> tuple[str, str]:
    """(`http` or `https`, all behind the colon)."""
    if text[:2].replace("\\", "/") == "//":
        return "http", text
    match = _SCHEME.match(text)
    if match is None or "." in match[1]:  # the second: host:port without a scheme
        raise Dropped(Reason.INVALID_URL)
    scheme = match[1].lower()
    if scheme not in PORTS:
        raise Dropped(Reason.BLOCKED_SCHEME)
    return scheme, text[match.end() :]


@lru_cache(maxsize=1024)  # the links of a page have few hosts
def _authority(authority: str, scheme: str) -> str:
    host, bracket, port = authority.rpartition("]")
    if bracket:
        host += bracket
        if port and port[0] != ":":
            raise Dropped(Reason.INVALID_URL)
        port = port[1:]
    else:
        host, _, port = authority.partition(":")
    if not host or "@" in authority or not re.fullmatch("[0-9]{0,5}", port, re.ASCII):
        raise Dropped(Reason.INVALID_URL)
    try:
        host = canonical(host)
    except ValueError:
        raise Dropped(Reason.INVALID_URL) from None
    if not port or int(port) == PORTS[scheme]:
        return host
    if not 0 < int(port) < 65536:
        raise Dropped(Reason.INVALID_URL)
    return f"{host}:{int(port)}"
