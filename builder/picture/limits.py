"""Limits on pixels: of one picture, and of all large ones in work at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Pixels of a picture, by its header, that `rebuild` takes where nobody chose.
USUAL_PIXELS = 1 << 26
# Beyond, whatever was chosen then, no reader of stored pictures decodes one: it is a bomb. At 4 bytes a pixel, Pillow
# would take over 1 GiB in every thread.
MAX_PIXELS = 4 * USUAL_PIXELS


class Room:
    """Memory for large pictures in work, told in pixels, each of which takes 3 to 8 bytes meanwhile (see `decode`).

    Whoever wants more than there is waits, and those behind it with it. A picture larger than all of the room is in
    work alone; one of at most `small` pixels needs no room, so that ordinary ones never wait.
    """

    def __init__(self, pixels: int, small: int) -> None:
        self._free = self.pixels = pixels
        self.small = small
        self._turn, self._freed = threading.Lock(), threading.Condition()

    @contextmanager
    def share(self, pixels: int) -> Iterator[None]:
        """Room for a picture of so many pixels."""
        pixels = 0 if pixels <= self.small else min(pixels, self.pixels)
        if pixels:
            with self._turn, self._freed:
                self._freed.wait_for(lambda: self._free >= pixels)
                self._free -= pixels
        try:
            yield
        finally:
            if pixels:
                with self._freed:
                    self._free += pixels
                    self._freed.notify()


ROOM = Room(USUAL_PIXELS, 1 << 23)
