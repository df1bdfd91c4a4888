"""Limits of a fetch, and who makes it: plain values, which need no client of the web to be chosen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """The edges of one fetch. Seconds, bytes and counts; each is tested by a host that goes past it."""

    total: float = 20.0  # from the start of a request to the last byte of its body
    connect: float = 8.0  # TCP and TLS
    idle: float = 8.0  # between two reads, the first byte included
    max_bytes: int = 32 << 20
    redirects: int = 5
    header_bytes: int = 32 << 10


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks, and what it lets itself do."""

    user_agent: str
    ignore_opt_out: bool = False
    allow_private: bool = False
