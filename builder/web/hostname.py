"""A host as a browser would reach it, whatever way it is spelt: what a request goes to and a removal list speaks of.

EXAMPLE.com · ex%61mple.com · 例子.中国 · 0x7f.1 · [::0:1] ─▶ example.com · xn--fsqu00a.xn--fiqs8s · 127.0.0.1 · [::1]
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from urllib.parse import unquote

# Around a URL: blanks of every script, controls, and the invisible marks that come along when text is copied.
EDGES = "".join(map(chr, (*range(0x21), *range(0x7F, 0xA1), *range(0x2000, 0x2010), *range(0x2028, 0x2030))))
EDGES += "\u1680\u205f\u2060\u3000\ufeff"
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")  # an edge hyphen or an underscore is against the rules and in use
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def canonical(host: str) -> str:
    """A host without user and port, in lower-case ASCII: by IDNA 2008 and UTS 46; a number as the address it means.

    A dot at its end stays. Raises ValueError for what is no host.
    """
    if host.startswith("["):
        return _bracketed(host)
    if "%" in host:
        host = unquote(host, errors="replace")
    if not host.isascii():
        host = _punycode(host)
    host = host.lower()
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _dotted(labels)
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("no host")
    return host


def is_address(host: str) -> bool:
    """Whether a canonical host is an address: it is no part of a domain then."""
    return host.startswith("[") or host.rpartition(".")[2].isdecimal()


def _bracketed(host: str) -> str:
    address = ipaddress.IPv6Address(host[1:-1] if host.endswith("]") else "")
    if address.scope_id:
        raise ValueError("an address of one link alone")
    return f"[{address.compressed}]"


def _punycode(host: str) -> str:
    import idna  # its tables are large

    try:
        mapped = idna.uts46_remap(host, std3_rules=False)
        return ".".join(
            label if label.isascii() else idna.alabel(label).decode("ascii") for label in mapped.split(".")
        )
    except (UnicodeError, IndexError):  # IDNAError is a UnicodeError
        raise ValueError("no host name") from None


def _dotted(labels: list[str]) -> str:
    """The dotted form of an IPv4 address in any of the spellings that inet_aton and browsers accept."""
    if all(
        _NUMBER.fullmatch(label) for label in labels
    ):  # inet_aton itself would pass over what follows a blank
        with contextlib.suppress(OSError):
            plain = ".".join("0" if label == "0x" else label for label in labels)
            return socket.inet_ntoa(socket.inet_aton(plain))
    raise ValueError("no address")


def host_of(url: str | None) -> str | None:
    """The host of a URL as the manifest has it: lower case, no user, no port; None where there is none."""
    _, slashes, rest = (url or "").partition("//")
    host = re.split(r"[/?#\\]", rest, maxsplit=1)[0].rpartition("@")[2]
    host = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
    return host.strip().lower()[:253] or None if slashes else None
