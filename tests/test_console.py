"""The console: a bar on a terminal, lines elsewhere, nothing when quiet; aligned tables."""

import io
import threading

import pytest

from builder.console import Bar, Console, columns_wide, in_time, one_line, table, ticking


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_lines_come_when_the_interval_has_passed() -> None:
    clock, stream = Clock(), io.StringIO()
    with Console(stream=stream, clock=clock).progress(10_000, initial=1000) as bar:
        bar.update(500)
        assert stream.getvalue() == ""
        clock.now += 30
        reasons = [("http_4xx", 200), ("dns", 100), ("timeout", 50), ("tls", 1)]
        bar.update(500, kept_share=0.821, mb_per_s=4.52, top_reasons=reasons)
        assert stream.getvalue() == (
            "2,000/10,000 pairs (20.0%) · 33 pairs/s · kept 82.1% · 4.5 MB/s · "
            "http_4xx 10.0%, dns 5.0%, timeout 2.5% · ETA 4 min\n"
        )
        clock.now += 29.9
        bar.update(1)
        assert stream.getvalue().count("\n") == 1


def test_the_rate_is_of_the_last_interval_and_the_last_line_tells_the_average() -> None:
    clock, stream = Clock(), io.StringIO()
    with Console(stream=stream, clock=clock, interval=10).progress(4000, unit="rows") as bar:
        for count in (1000, 0, 3000):
            clock.now += 10
            bar.update(count)
    first, stalled, last, end = stream.getvalue().splitlines()
    assert first == "1,000/4,000 rows (25.0%) · 100 rows/s · ETA 30 s"
    assert stalled == "1,000/4,000 rows (25.0%) · 0 rows/s · ETA unknown"
    assert last == "4,000/4,000 rows (100.0%) · 300 rows/s · ETA 0 s"
    assert end == "4,000/4,000 rows (100.0%) · 133 rows/s · in 30 s"


def test_a_run_with_nothing_to_do_prints_no_progress() -> None:
    stream = io.StringIO()
    with Console(stream=stream).progress(7, initial=7) as bar:
        bar.update(0)
    assert stream.getvalue() == ""


def test_a_terminal_gets_one_bar_and_no_thread() -> None:
    stream, before = Terminal(), threading.active_count()
    console = Console(stream=stream, no_color=True)
    with console.progress(100, initial=20) as bar:
        bar.update(80, kept_share=0.5, top_reasons=[("dns", 50)])
        console.warn("beside the bar")
        assert threading.active_count() == before
    text = stream.getvalue()
    assert "100/100" in text
    assert "kept 50.0% · dns 50.0%" in text
    assert "warning: beside the bar\n" in text
    assert text.endswith("\n")


def test_the_clock_of_a_bar_goes_on_while_a_single_call_lasts() -> None:
    class Counted(Bar):
        """A bar that says when it was looked at."""

        def __init__(self) -> None:
            self.seen = threading.Semaphore(0)

        def update(self, count: int, **facts: object) -> None:
            assert count == 0
            self.seen.release()

    bar, before = Counted(), threading.active_count()
    with ticking(bar, seconds=0):
        assert [bar.seen.acquire() for _ in range(3)] == [True] * 3
    assert threading.active_count() == before


def test_a_terminal_draws_a_bar_that_stands_still() -> None:
    stream = Terminal()
    with Console(stream=stream).progress(100) as bar:
        bar.update(50)
        bar.bar.mininterval = 0  # type: ignore[attr-defined]  # of tqdm: draw it however soon
        drawn = stream.getvalue().count("50/100")
        bar.update(0)
        assert stream.getvalue().count("50/100") == drawn + 1


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_quiet_says_nothing_but_errors(stream: io.StringIO) -> None:
    console = Console(quiet=True, stream=stream, interval=0)
    with console.progress(3) as bar:
        bar.update(3)
        console.info("note")
        console.warn("warning")
    assert stream.getvalue() == ""
    console.error("broken")
    assert "danqing: broken" in stream.getvalue()


def test_json_keeps_warnings_only() -> None:
    console = Console(json=True, stream=io.StringIO())
    console.info("note")
    console.warn("careful")
    assert console.stream.getvalue() == "warning: careful\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("stream", "flag", "env", "coloured"),
    [
        (Terminal, False, {}, True),
        (Terminal, True, {}, False),
        (Terminal, False, {"NO_COLOR": "1"}, False),
        (Terminal, False, {"NO_COLOR": ""}, True),
        (Terminal, False, {"TERM": "dumb"}, False),
        (io.StringIO, False, {}, False),
    ],
)
def test_colour(
    monkeypatch: pytest.MonkeyPatch,
    stream: type[io.StringIO],
    flag: bool,
    env: dict[str, str],
    coloured: bool,
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    console = Console(no_color=flag, stream=stream())
    console.warn("x")
    console.error("x")
    assert ("\x1b[" in console.stream.getvalue()) is coloured  # type: ignore[attr-defined]


def test_a_log_that_is_gone_does_not_end_the_run() -> None:
    with open("/dev/full", "w") as full:
        Console(stream=full).info("note")
        full.buffer.raw.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (45, "45 s"),
        (60, "1 min"),
        (274, "4 min 34 s"),
        (3600, "1 h"),
        (97_200, "1 d 3 h"),
    ],
)
def test_in_time(seconds: float, text: str) -> None:
    assert in_time(seconds) == text


def test_one_line_disarms_control_characters() -> None:
    assert one_line("a\n b\t\x1b[31mc\x9b") == "a b ?[31mc?"


def test_table_is_aligned_with_chinese_in_it() -> None:
    lines = table([("host", "dropped"), ("图片.中国", "7"), ("e.com", "1,234"), ("é", "0")])
    assert lines == ["host       dropped", "图片.中国        7", "e.com        1,234", "é                0"]
    assert len({columns_wide(line) for line in lines}) == 1
