"""Tokens go to the Hub alone: not to a mirror that HF_ENDPOINT names, and not into what we print.

any text, or an exception and those it came from ─▶ the same without tokens and without queries that sign URLs
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from urllib.parse import urlsplit

_SECRET = re.compile(
    r"\b(?:hf|api_org)_(?:oauth_|jwt_)?[A-Za-z0-9]{10,}[\w.-]*|(?<=Bearer )\S+", re.IGNORECASE
)
_QUERY = re.compile(r"(https?://[^\s?'\"<>]+)\?[^\s'\"<>]+")
HIDDEN = "hf_***"
TRUST = "DANQING_TRUST_ENDPOINT"  # 1: HF_ENDPOINT is one's own Hub
_HUB = ("huggingface.co", "hf.co")


def third_host(environment: Mapping[str, str]) -> str | None:
    """The host of HF_ENDPOINT where it is to see no token: neither the Hub, nor this machine, nor a trusted one."""
    parts = urlsplit(environment.get("HF_ENDPOINT") or "https://huggingface.co")
    host = parts.hostname or ""
    if is_loopback(host) or (parts.scheme == "https" and environment.get(TRUST) == "1"):
        return None
    return None if parts.scheme == "https" and host.removeprefix("www.") in _HUB else host


def withhold(environment: MutableMapping[str, str]) -> None:
    """Have huggingface_hub send no token of its own accord to a third host; it must not be imported yet."""
    if third_host(environment) is not None:
        environment["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"  # noqa: S105  a switch


def is_loopback(host: str) -> bool:
    """Whether a host name is of this machine."""
    return host in {"localhost", "::1"} or host.startswith("127.")


def mask(text: str) -> str:
    """`text` without tokens and without the queries of URLs."""
    for token in _tokens():
        text = text.replace(token, HIDDEN)
    return _QUERY.sub(r"\1?...", _SECRET.sub(HIDDEN, text))


def mask_chain(error: BaseException) -> None:
    """Take the secrets out of an exception and of those it came from: --debug prints them all."""
    for one in chain(error):
        with contextlib.suppress(AttributeError, TypeError):  # of a class that keeps its arguments elsewhere
            one.args = tuple(mask(part) if isinstance(part, str) else part for part in one.args)
        if isinstance(one, OSError) and isinstance(one.filename, str):
            one.filename = mask(one.filename)
        if hasattr(one, "__notes__"):
            one.__notes__ = [mask(note) for note in one.__notes__]


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, the one it came from, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _tokens() -> list[str]:
    """The tokens that may be in use, from where the client reads them: asking it could ask the network."""
    found = [os.environ.get(name, "") for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")]
    with contextlib.suppress(OSError, UnicodeDecodeError):
        from huggingface_hub import constants

        with open(constants.HF_TOKEN_PATH, encoding="utf-8") as file:  # noqa: PTH123  the library has it as str
            found.append(file.read())
    return sorted({token.strip() for token in found if len(token.strip()) >= 6}, key=len, reverse=True)
