"""The worker processes of a pass: what they note of themselves, and what is told of their end."""

from __future__ import annotations

from builder.stage.engine import Watch, _how


def test_a_thread_notes_where_it_is() -> None:
    slots = [-1, -1]
    watch = Watch(slots)
    with watch(4, 17):
        assert slots == [4, 17]
    assert slots[0] == -1


def test_how_a_worker_ended_is_not_made_up() -> None:
    assert _how(1, True) == "a worker ended with 1; nothing is lost: run the same command again"
    assert "by signal 15; nothing is lost" in _how(-15, True)
    assert "(out of memory?)" in _how(-9, False)
