"""What a removal list holds of keys, URLs and hosts: 16 bytes each, the same for every spelling of one thing.

http://u@EXAMPLE.com.:80/a.jpg#x ─▶ http://example.com/a.jpg ─▶ BLAKE2b-128; a key is its own digest
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as compute

from ..web.hostname import EDGES, canonical, host_of, is_address

KINDS = ("host", "key", "url")
KEY = np.dtype("S16")  # 16 bytes; NumPy sorts and compares these as bytes, a zero at the end included

pc: Any = compute  # its stubs know no mix of column and constant
Bools = npt.NDArray[np.bool_]
Digests = npt.NDArray[np.bytes_]  # of dtype KEY

_HEX = np.full(256, 255, np.uint8)
for _i, _digit in enumerate(b"0123456789abcdef"):
    _HEX[_digit] = _HEX[ord(chr(_digit).upper())] = _i
_KEY = re.compile(r"[0-9a-fA-F]{32}")
_URL = re.compile(r"(?i)(?:(https?):)?[\\/]{2}([^/\\?#]*)([^#]*)")
# URLs that are written as they are digested, which is nearly all; the rest is looked at one by one.
_HOST = r"(?:[a-z0-9_-]+\.)*[a-z_][a-z0-9_-]*|(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})"
_PLAIN = rf'^https?://(?P<host>{_HOST})/(?:[^#\s\x00-\x20\x7f]*[!"$-~])?$'


def digest_of(kind: str, text: str) -> str:
    """What the list holds of a key, a URL or a host, 32 hex characters; ValueError where the text is none."""
    if kind == "key":
        if not is_key(text):
            raise ValueError("a key has 32 hex characters")
        return text.lower()
    return hash_of(host_text(text) if kind == "host" else url_text(text)).hex()


def url_text(raw: str) -> str:
    """A URL as it is digested: the host as a browser reaches it, no user, no fragment; the rest byte for byte."""
    match = _URL.fullmatch(raw.strip(EDGES).partition("#")[0])
    if match is None:
        raise ValueError("neither http nor https")
    scheme, rest = (match[1] or "http").lower(), match[3]
    port = re.fullmatch(r".*:([0-9]{1,5})", match[2].rpartition("@")[2])
    number = int(port[1]) if port and int(port[1]) != {"http": 80, "https": 443}[scheme] else 0
    rest = rest if rest[:1] in "/\\" and rest else "/" + rest
    return f"{scheme}://{host_text(match[2])}{f':{number}' if number else ''}{rest}"


def host_text(raw: str) -> str:
    """A host as it is digested: without user, port and the dot at its end; ValueError where it is none."""
    host = (host_of("//" + raw) or "").removesuffix(".")
    return canonical(host)


def is_key(text: str) -> bool:
    """Whether a text is a key of a pair."""
    return bool(_KEY.fullmatch(text))


def hash_of(text: str) -> bytes:
    """The digest of a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def keys_of(column: Any) -> tuple[Digests, Bools]:
    """Keys, or digests, in hex as 16 bytes each (n,), and which are such (n,); the others are zeros."""
    data, valid = unhex(column, KEY.itemsize)
    return data.view(KEY).reshape(-1), valid


def halves_of(keys: Digests) -> npt.NDArray[np.uint64]:
    """The first 8 bytes of keys, as numbers that sort as they do: keys are hashes, so hardly two pairs share one."""
    return np.ascontiguousarray(keys).view(">u8")[::2].astype(np.uint64)


def unhex(column: Any, width: int) -> tuple[npt.NDArray[np.uint8], Bools]:
    """Hex strings as bytes (n, width), and which are such (n,); a null or any other text is zeros."""
    text = array_of(column)
    valid = np.array(pc.fill_null(pc.equal(pc.binary_length(text), 2 * width), False), np.bool_)
    filled = text if valid.all() else pc.if_else(pa.array(valid), text, "0" * 2 * width)
    if not len(filled):
        return np.empty((0, width), np.uint8), valid
    _, offsets, characters = filled.buffers()
    start = int(np.frombuffer(offsets, np.int32)[filled.offset])
    data = np.frombuffer(characters, np.uint8, 2 * width * len(filled), start)
    digits = _HEX[data].reshape(-1, 2 * width)
    valid &= (digits != 255).all(1)
    digits[~valid] = 0
    return np.ascontiguousarray(digits[:, ::2] << 4 | digits[:, 1::2]), valid


def hex_of(digests: Digests) -> Any:
    """Digests (n,) in hex, as an array of strings."""
    offsets = pa.py_buffer(np.arange(0, 32 * len(digests) + 1, 32, dtype=np.int32).tobytes())
    text = pa.py_buffer(np.ascontiguousarray(digests).tobytes().hex().encode())
    return pa.StringArray.from_buffers(len(digests), offsets, text)


def locate(known: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], Bools]:
    """Where each of `wanted` is in `known`, which ascends, and which are there at all; of equal ones the first."""
    places, found = np.zeros(len(wanted), np.int64), np.zeros(len(wanted), np.bool_)
    if len(known):
        order = np.argsort(wanted)  # in order, the search finds what it needs in the cache: 5 times as fast
        ordered = wanted[order]
        places[order] = inside = np.minimum(np.searchsorted(known, ordered), len(known) - 1)
        found[order] = known[inside] == ordered
    return places, found


def array_of(column: Any) -> Any:
    """A column, or a list, as one array of strings."""
    if not isinstance(column, pa.Array | pa.ChunkedArray):
        return pa.array(column, pa.string())
    column = column if column.type == pa.string() else column.cast(pa.string())
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def plain_hosts(urls: Any) -> Any:
    """The host of every URL that is written as it is digested; null for the others."""
    return pc.struct_field(pc.extract_regex(urls, _PLAIN), "host")


def mend(url: str) -> tuple[str | None, str | None]:
    """Host and text, as they are digested, of a URL that is not plain; None twice where it leads nowhere."""
    try:
        text = url_text(url)
        return host_text(text.split("/", 3)[2]), text
    except ValueError:
        return None, None


def other_scheme(text: str) -> str:
    """A URL as it is digested, with https for http or the other way round."""
    return f"http{text[5:]}" if text.startswith("https") else f"https{text[4:]}"


def domains_of(host: str) -> list[str]:
    """A host as it is digested, and the domains that it lies in, down to two labels; an address lies in none."""
    labels = host.split(".")
    return [host] if is_address(host) else [".".join(labels[i:]) for i in range(max(1, len(labels) - 1))]
