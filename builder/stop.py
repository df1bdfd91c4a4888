"""How a run is stopped from outside: the first Ctrl-C lets it finish the shards in flight, the second stops it now."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any, Self

from .console import Console


class Stop:
    """Hears SIGINT and SIGTERM: `asked` is set by the first where `graceful` is; any other is a KeyboardInterrupt."""

    def __init__(self) -> None:
        self.asked = self.graceful = self._told = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def tell(self, console: Console) -> None:
        """Say, once it was asked and once only, what is being waited for."""
        if self.asked and not self._told:
            self._told = True
            console.warn("stopping when what is in flight is written; Ctrl-C again stops now, and redoes it")

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked or not self.graceful:
            raise KeyboardInterrupt
        self.asked = True
