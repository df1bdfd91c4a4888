"""Queues that end, for either side's reason."""

from __future__ import annotations

import threading

import pytest

from builder.towers.channel import Channel, Stopped, Window


def test_the_writers_error_comes_after_its_last_item() -> None:
    channel: Channel[int] = Channel()
    channel.put(1)
    channel.end(ValueError("torn"))
    assert channel.get() == 1
    for _ in range(2):
        with pytest.raises(ValueError, match="torn"):
            channel.get()


def test_an_ended_channel_is_read_to_its_end() -> None:
    channel: Channel[int] = Channel()
    channel.put(1)
    channel.end()
    assert channel.get() == 1
    with pytest.raises(Stopped):
        channel.get()


def test_a_stopped_channel_lets_both_sides_go() -> None:
    channel: Channel[int] = Channel()
    gone: list[str] = []

    def read() -> None:
        with pytest.raises(Stopped):
            channel.get()
        gone.append("reader")

    reader = threading.Thread(target=read)
    reader.start()
    channel.stop()
    reader.join()
    with pytest.raises(Stopped):
        channel.put(1)
    assert gone == ["reader"]


def never(_: str) -> bool:
    return False


def test_a_window_has_room_by_weight_and_for_two_always() -> None:
    window: Window[str] = Window(10)
    for name, weight in (("a", 50), ("b", 3)):
        assert window.wait(never)
        window.enter(name, weight)
    assert not window.wait(lambda oldest: oldest == "a")
    window.leave()
    assert window.wait(never)
    window.enter("c", 3)
    assert window.wait(never)


def test_a_window_that_nobody_wants_lets_go() -> None:
    window: Window[str] = Window(1)
    for name in ("a", "b"):
        window.enter(name, 1)
    window.stop()
    with pytest.raises(Stopped):
        window.wait(never)
