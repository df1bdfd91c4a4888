"""The parts in which files go to the Hub, and the errors of its client that are told by name."""

from __future__ import annotations

import pytest
from huggingface_hub import errors

from builder.hub.refusals import _ERRORS
from builder.hub.remote import _parts

SIZES = {"a": 5, "b": 5, "c": 20, "d": 1}
PARTS = {"one each": (4, ["a", "b", "c", "d"]), "two": (10, ["ab", "c", "d"]), "all": (99, ["abcd"])}


@pytest.mark.parametrize("name", PARTS)
def test_parts(name: str) -> None:
    limit, wanted = PARTS[name]
    assert ["".join(part) for part in _parts(list(SIZES), SIZES, limit)] == wanted


@pytest.mark.parametrize("name", [name for texts in _ERRORS.values() for name in texts])
def test_the_client_still_has_the_errors_that_are_told_by_name(name: str) -> None:
    assert issubclass(getattr(errors, name), Exception)
