"""How a run is stopped from outside: the first Ctrl-C lets it finish what is in flight, the second stops it now."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Self

from ..console import Console

SAID = "stopping when what is in flight is written; Ctrl-C again stops now, and redoes it"


class Stop:
    """Hears SIGINT and SIGTERM: `asked` is set by the first where `graceful` is; any other is a KeyboardInterrupt."""

    def __init__(self, console: Console) -> None:
        self.asked, self.graceful, self._console = False, False, console
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked or not self.graceful:
            raise KeyboardInterrupt
        self.asked = True
        # at once, but not here: the signal may have come in the midst of a write to the same stream
        threading.Thread(target=self._console.warn, args=(SAID,)).start()
