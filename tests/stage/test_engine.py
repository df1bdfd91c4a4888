"""The worker processes of a pass: what they note of themselves for the parent to find."""

from __future__ import annotations

from builder.stage.engine import Watch


def test_a_thread_notes_where_it_is() -> None:
    slots = [-1, -1]
    watch = Watch(slots)
    with watch(4, 17):
        assert slots == [4, 17]
    assert slots[0] == -1
