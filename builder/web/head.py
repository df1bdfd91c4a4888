"""The head of an answer as servers on the open web write it, mended so that an HTTP parser takes it.

Bytes of a head in, bytes of a head that says the same once out. Mended is what leaves no doubt about the body: one
length said twice, a length beside chunks (RFC 9112 6.3: chunks win), a line whose name is no token, which is left
out. What speaks of the body or of another place under such a name, and lengths that differ, are refused.
"""

from __future__ import annotations

import re

from .optout import RESERVATION, ROBOTS

MOST_BYTES, MOST_LINES = 256 << 10, 1000
END = re.compile(rb"\n\r?\n")
INTERIM = re.compile(rb"HTTP/1\.[01] 1(?!01)\d\d")  # another head follows
SWITCHED = re.compile(rb"HTTP/1\.[01] 101")  # what follows is anybody's guess

_START = b"HTTP/"
_BLANKS = b" \t"  # no other is, to a parser
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_NAME = re.compile(_TOKEN)
_PLAIN = re.compile(rb"HTTP/1\.[01] [^\r\n]*+\r\n(?:" + _TOKEN + rb":[^\r\n]*+\r\n)*+\r\n")
_FRAMING = re.compile(rb"\n(content-length|transfer-encoding):([^\r\n]*+)", re.IGNORECASE)
_CRITICAL = frozenset({b"content-length", b"transfer-encoding", b"content-encoding", b"location"})
_OPT_OUT = {name.lower().encode(): name.encode() for name in (ROBOTS, RESERVATION)}


def begins(data: bytes | bytearray) -> bool:
    """Whether what has come so far may be the head of an answer in HTTP/1."""
    return data[: len(_START)] == _START[: len(data)]


def mend(head: bytes) -> bytes:
    """The head, as it is where nothing is odd or it is none; ValueError where it cannot be told what it says."""
    if not begins(head):
        return head
    if len(head) > MOST_BYTES or head.count(b"\n") > MOST_LINES:
        raise ValueError("head too large")
    framing = _FRAMING.findall(head)
    if len(framing) < 2 and b"," not in b"".join(value for _, value in framing) and _PLAIN.fullmatch(head):
        return head
    status, *lines, _, _ = (line.removesuffix(b"\r") for line in head.split(b"\n"))
    named = [_named(line) for line in _unfolded(lines)]
    return b"\r\n".join([status, *_framed([line for line in named if line]), b"", b""])


def _unfolded(lines: list[bytes]) -> list[bytes]:
    """The lines, with those that begin with a blank as part of the one before (RFC 9112 5.2)."""
    whole: list[bytes] = []
    for line in lines:
        if whole and line[:1] in (b" ", b"\t") and _bare(line.partition(b":")[0]) not in _CRITICAL:
            whole[-1] = whole[-1].rstrip(_BLANKS) + b" " + line.strip(_BLANKS)
        else:
            whole.append(line)
    return whole


def _bare(name: bytes) -> bytes:
    """The name without the bytes that no name has."""
    return b"".join(_NAME.findall(name)).lower()


def _named(line: bytes) -> bytes | None:
    """The line as it may stand, None to leave it out; one without a colon is for the parser to judge."""
    name, colon, value = line.partition(b":")
    if not colon or _NAME.fullmatch(name):
        return line
    bare = _bare(name)
    if bare in _CRITICAL:
        raise ValueError(f"{bare.decode()} with bytes that no name has")
    meant = _OPT_OUT.get(bare)
    return None if meant is None else meant + b":" + value


def _framed(lines: list[bytes]) -> list[bytes]:
    """The lines with the length of the body said once, or not at all beside chunks."""
    said = [
        (name.lower(), value.strip(_BLANKS)) for name, _, value in (line.partition(b":") for line in lines)
    ]
    lengths = [
        one.strip(_BLANKS) for name, value in said if name == b"content-length" for one in value.split(b",")
    ]
    if not lengths:
        return lines
    if not lengths[0].isdigit() or len({*lengths}) > 1:
        raise ValueError("lengths that differ, or are none")
    codings = [value.lower() for name, value in said if name == b"transfer-encoding"]
    rest = [line for line, (name, _) in zip(lines, said, strict=True) if name != b"content-length"]
    return rest if codings == [b"chunked"] else [*rest, b"Content-Length: " + lengths[0]]
