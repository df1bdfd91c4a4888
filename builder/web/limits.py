"""The edges of one fetch: how long, how large, how often it may be sent on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The edges of one fetch. Seconds, bytes and counts; each is tested by a host that goes past it."""

    total: float = 20.0  # from the start of a request to the last byte of its body
    connect: float = 8.0  # TCP and TLS
    idle: float = 8.0  # between two reads, the first byte included
    max_bytes: int = 32 << 20
    redirects: int = 5
    header_bytes: int = 32 << 10
