"""How far an upload is, in bytes: one bar over all parts, which also moves while a part is under way.

    the files that huggingface_hub and hf_xet have open, and how far they have read them (/proc) ─▶ Console.progress

Neither tells its caller how much went out. Both read a file once from its beginning as they send it, at most some
100 MB ahead of the network, so the positions of their open files tell; where there is no /proc the bar moves by parts.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..console import Bar, Console

EVERY = 0.5
_DESCRIPTORS, _DETAILS = Path("/proc/self/fd"), Path("/proc/self/fdinfo")


class Sent:
    """Bytes that have gone out, shown in whole units of `unit` bytes. It never goes back."""

    def __init__(self, bar: Bar, unit: int, done: int = 0) -> None:
        self._bar, self._unit = bar, unit
        self._shown = done // unit
        self.done = done  # of the parts that are finished

    def finish(self, size: int) -> None:
        """A part of so many bytes has arrived."""
        self.done += size
        self.show(0)

    def show(self, more: int) -> None:
        """So many bytes have gone out beyond the finished parts."""
        now = max(self._shown, (self.done + more) // self._unit)
        self._bar.update(now - self._shown)
        self._shown = now


@contextlib.contextmanager
def sending(console: Console, size: int, done: int = 0) -> Iterator[Sent]:
    """A bar over `size` bytes, of which `done` are there already."""
    unit, name = (10**6, "MB") if size >= 10**7 else (10**3, "kB")
    with console.progress(size // unit, unit=name, initial=done // unit) as bar:
        yield Sent(bar, unit, done)


@contextlib.contextmanager
def watching(sent: Sent, sizes: Mapping[str, int], every: float = EVERY) -> Iterator[None]:
    """Move the bar while files are being sent. sizes: bytes by absolute path; every: seconds between two looks."""
    stop, seen = threading.Event(), dict.fromkeys(sizes, 0)

    def look() -> None:
        while not stop.wait(every):
            for path, position in positions(sizes).items():
                seen[path] = max(seen[path], position)
            sent.show(sum(seen.values()))

    thread = threading.Thread(target=look, name="upload-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def positions(sizes: Mapping[str, int]) -> dict[str, int]:
    """How far this process has read those of the files that it has open; nothing where there is no /proc."""
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(_DESCRIPTORS):  # noqa: PTH208  names alone
            with contextlib.suppress(OSError, ValueError, IndexError):  # it was closed meanwhile
                path = os.readlink(_DESCRIPTORS / descriptor)  # noqa: PTH115
                if path in sizes:
                    position = int((_DETAILS / descriptor).read_text().split()[1])
                    found[path] = max(found.get(path, 0), min(position, sizes[path]))
    return found
