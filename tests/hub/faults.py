"""Faults on demand: what the loopback Hub shall do wrong, and with which of the requests to come.

faults.add(Fault("POST", "/commit/", status=503))      the next commit is answered 503
faults.take("POST", "/api/datasets/org/x/commit/main") the faults of a request, each used up after its times
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

Where = Literal["", "request", "response", "answer"]


@dataclass(slots=True)
class Fault:
    """One fault: of the requests that match, `skip` pass unharmed and the next `times` meet it.

    method: of the request, `*` any. regex: searched in its target, as sent and unquoted. status: answered in place
    of everything, where not 0; retry_after: seconds, told with it; message, code: what the Hub says of it.
    cut: `request` closes the connection once `after` bytes of its body were read, `response` once `after` bytes of
    the answer's body were sent, `answer` when all was done and before the first byte of the answer.
    action: called before the request is handled, on the thread that handles it.
    """

    method: str
    regex: str
    times: int = 1
    skip: int = 0
    status: int = 0
    message: str = "injected"
    code: str = ""
    retry_after: int | None = None
    cut: Where = ""
    after: int = 0
    action: Callable[[], object] | None = None

    def matches(self, method: str, target: str) -> bool:
        """Whether the request is one of those meant."""
        fits = self.method in ("*", method)
        return fits and any(re.search(self.regex, text) for text in (target, unquote(target)))


class Faults:
    """The faults that wait for their requests."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        """Let a fault wait; its `times` counts down to 0 as requests meet it."""
        with self._lock:
            self._waiting.append(fault)
        return fault

    def clear(self) -> None:
        """Forget all faults that wait."""
        with self._lock:
            self._waiting.clear()

    def take(self, method: str, target: str) -> list[Fault]:
        """The faults that this request meets: of each sort (status, cut, action) the first at most."""
        found: dict[str, Fault] = {}
        with self._lock:
            for fault in self._waiting:
                sort = "status" if fault.status else "cut" if fault.cut else "action"
                if sort in found or fault.times < 1 or not fault.matches(method, target):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                found[sort] = fault
        return list(found.values())
