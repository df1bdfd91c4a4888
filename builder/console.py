"""What a person sees while a stage runs: notes, warnings and one progress bar, all of it on stderr.

A terminal gets a tqdm bar; anything else one line every 30 s with units, shares and an ETA, so that a log
file of a day's run stays readable. stdout belongs to the result and is never touched here.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

# C0, C1 and DEL; line and paragraph separators; marks, embeddings, overrides and isolates of direction.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
INTERVAL = 30.0  # seconds between two progress lines where there is no terminal
TICK = 5.0  # seconds between two looks at the clock while a single call lasts


@dataclass(frozen=True, slots=True)
class Facts:
    """What a bar tells beside the count. kept_share: 0 to 1; mb_per_s: 10^6 bytes; top_reasons: counted; rows: of them.

    also: what else there is to tell, in words.
    """

    kept_share: float | None = None
    mb_per_s: float | None = None
    top_reasons: Sequence[tuple[str, int]] = ()
    rows: int | None = None
    also: Sequence[str] = ()

    def parts(self, done: int) -> list[str]:
        """Short phrases; the reasons as shares of `done`."""
        parts = [] if self.kept_share is None else [f"kept {self.kept_share:.1%}"]
        if self.mb_per_s is not None:
            parts.append(f"{self.mb_per_s:.1f} MB/s")
        rows = done if self.rows is None else self.rows
        if self.top_reasons and rows:
            parts.append(", ".join(f"{reason} {count / rows:.1%}" for reason, count in self.top_reasons[:3]))
        return [*self.also, *parts]


class Bar:
    """A count on its way to a total; this one, of --quiet, is not shown."""

    def update(self, count: int, **facts: Any) -> None:
        """`count` more are done; `facts` are the fields of Facts. Call it with 0 too: it keeps the clock."""


@dataclass(slots=True)
class Console:
    """The stderr of a stage. quiet: nothing at all; json: no notes, as the reader is a program."""

    quiet: bool = False
    json: bool = False
    no_color: bool = False
    stream: TextIO = field(default_factory=lambda: sys.stderr)
    interval: float = INTERVAL
    clock: Callable[[], float] = time.monotonic
    _bar: tqdm[Any] | None = None

    def info(self, text: str) -> None:
        """Print a note."""
        if not (self.quiet or self.json):
            self._print(one_line(text))

    def warn(self, text: str) -> None:
        """Print what the user may want to act on."""
        if not self.quiet:
            self._print(self._paint("33", f"warning: {one_line(text)}"))

    def error(self, text: str) -> None:
        """Print why the command ends; also when quiet."""
        self._print(self._paint("31", f"danqing: {one_line(text)}"))

    @contextlib.contextmanager
    def progress(self, total: int, *, unit: str = "pairs", initial: int = 0) -> Iterator[Bar]:
        """A bar over `total` units of which `initial` were done before this run."""
        if self.quiet:
            yield Bar()
        elif self.stream.isatty():
            with _terminal_bar(total, unit, initial, self.stream) as bar:
                self._bar = bar
                try:
                    yield _Terminal(bar)
                finally:
                    self._bar = None
        else:
            lines = _Lines(self, total, unit, initial)
            try:
                yield lines
            finally:
                lines.close()

    def _paint(self, code: str, text: str) -> str:
        plain = self.no_color or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        return text if plain or not self.stream.isatty() else f"\x1b[{code}m{text}\x1b[0m"

    def _print(self, line: str) -> None:
        """One line; a log that cannot be written must not end a run of days."""
        with contextlib.suppress(OSError):
            if self._bar is None:
                print(line, file=self.stream, flush=True)
            else:
                self._bar.write(line, file=self.stream)


@contextlib.contextmanager
def ticking(bar: Bar, seconds: float = TICK) -> Iterator[None]:
    """Keep the clock of a bar that nobody else updates meanwhile: while a single long call of a library lasts.

    It takes a thread, so nothing may fork.
    """
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(seconds):
            bar.update(0)

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@dataclass(slots=True)
class _Terminal(Bar):
    """The bar of a terminal."""

    bar: tqdm[Any]

    def update(self, count: int, **facts: Any) -> None:
        """Move it; tqdm decides when to draw."""
        self.bar.set_postfix_str(" · ".join(Facts(**facts).parts(int(self.bar.n) + count)), refresh=False)
        self.bar.update(count)


def _terminal_bar(total: int, unit: str, initial: int, stream: TextIO) -> tqdm[Any]:
    from tqdm import tqdm

    class Quiescent(tqdm):  # type: ignore[type-arg]  # not subscriptable when it runs
        """Without tqdm's monitor thread: the caller forks processes, and a fork beside a thread may hang."""

        monitor_interval = 0

    return Quiescent(
        total=total, initial=initial, unit=f" {unit}", file=stream, dynamic_ncols=True, smoothing=0.05,
        miniters=0,  # an update by nothing draws it too
    )  # fmt: skip


class _Lines(Bar):
    """One line an interval, printed when an update finds it due: no thread, no sleep."""

    def __init__(self, console: Console, total: int, unit: str, initial: int) -> None:
        self._console, self._total, self._unit = console, total, unit
        self._initial = self._done = self._told = initial
        self._began = self._last = console.clock()
        self._facts = Facts()

    def update(self, count: int, **facts: Any) -> None:
        """Count, and print when the interval has passed."""
        self._done += count
        if facts:
            self._facts = Facts(**facts)
        now = self._console.clock()
        if now - self._last >= self._console.interval:
            rate = (self._done - self._told) / (now - self._last)
            eta = in_time((self._total - self._done) / rate) if rate else "unknown"
            self._line(rate, f"ETA {eta}")
            self._last, self._told = now, self._done

    def close(self) -> None:
        """The last line, with the average of the run; none where the run had nothing to do."""
        if self._done > self._initial:
            elapsed = self._console.clock() - self._began
            self._line((self._done - self._initial) / max(elapsed, 1e-9), f"in {in_time(elapsed)}")

    def _line(self, rate: float, end: str) -> None:
        share = f" ({self._done / self._total:.1%})" if self._total else ""
        parts = [f"{self._done:,}/{self._total:,} {self._unit}{share}", f"{rate:,.0f} {self._unit}/s"]
        self._console._print(" · ".join([*parts, *self._facts.parts(self._done), end]))


def in_time(seconds: float) -> str:
    """Seconds for people, in its two largest units: `45 s`, `4 min 34 s`, `2 d 3 h`."""
    whole = max(0, round(seconds))
    units = (("d", whole // 86400), ("h", whole // 3600 % 24), ("min", whole // 60 % 60), ("s", whole % 60))
    first = next((i for i, (_, count) in enumerate(units) if count), len(units) - 1)
    return " ".join(f"{count} {name}" for name, count in units[first : first + 2] if count) or "0 s"


def one_line(text: str) -> str:
    """`text` on one line, harmless: line breaks and runs of blanks become one blank."""
    return harmless(" ".join(text.split()))


def harmless(text: str) -> str:
    """`text` with ? for what moves a terminal's cursor or turns the direction of writing: names come from anybody."""
    return _UNSEEN.sub("?", text)


def harmless_json(text: str) -> str:
    """JSON that says the same with those characters escaped."""
    return _UNSEEN.sub(lambda one: f"\\u{ord(one[0]):04x}", text)


def columns_wide(text: str) -> int:
    """Columns of a terminal that `text` takes: two for a Chinese character, none for a combining mark."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with aligned columns: the first to the left, the others, which are numbers, to the right."""
    clean = [[one_line(cell) for cell in row] for row in rows]
    wide = [max(map(columns_wide, column)) for column in zip(*clean, strict=True)]
    lines = []
    for first, *others in clean:
        cells = [first + " " * (wide[0] - columns_wide(first))]
        cells += [" " * (width - columns_wide(c)) + c for c, width in zip(others, wide[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def shares(title: str, counts: Sequence[tuple[str, int]], rows: int) -> list[str]:
    """A table of counts of pairs, with their shares of so many."""
    told = ((name, f"{count:,}", f"{count / max(1, rows):.1%}") for name, count in counts)
    return table([(title, "pairs", "share"), *told])


def in_words(size: float) -> str:
    """A number of bytes for people: `32 MiB` where that is exact, else decimal, `17 B` or `3.1 GB`."""
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size % (1 << power) == 0 and 0 < size < 1024 << power:
            return f"{int(size) >> power} {unit}"
    for power, unit in ((12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        if size >= 10**power:
            return f"{size / 10**power:.1f} {unit}"
    return f"{int(size)} B"
