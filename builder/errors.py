"""One exception tree; every class carries its exit code and every message is one line.

    DanqingError                 (1)
    ├── VerificationError        (1)   it ran, but a threshold or a check failed, or nothing was kept
    ├── UsageError               (2)   the command line contradicts itself
    ├── InputError               (3)   a manifest, root or file is not what it should be
    ├── EnvironmentProblem       (4)   disk, network, permissions, a missing extra, a lock
    └── Interrupted            (130)   stopped on request; the same command goes on

A message says what happened, where, and what to do. The command line prints it without a traceback.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import ClassVar


class DanqingError(Exception):
    """Whatever danqing raises on purpose."""

    exit_code: ClassVar[int] = 1


class VerificationError(DanqingError):
    """The stage ran, and what it made does not hold what was asked of it."""


class UsageError(DanqingError):
    """Options that contradict each other or what the root was made with."""

    exit_code = 2


class InputError(DanqingError):
    """The input is missing, truncated, of another kind or lacks a column."""

    exit_code = 3


class EnvironmentProblem(DanqingError):
    """The machine cannot do it now: disk full, read-only, no network, locked by another run."""

    exit_code = 4


class Interrupted(DanqingError):
    """Stopped by a signal with everything finished so far on disk."""

    exit_code = 130


def need(extra: str, packages: Iterable[str]) -> None:
    """EnvironmentProblem, with the command that mends it, where packages of an extra are not installed."""
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        raise EnvironmentProblem(f"{' and '.join(missing)} missing; pip install 'danqing[{extra}]'")


def first_line(error: BaseException) -> str:
    """The first line of an exception that is not ours, as a part of a message; its class where it says nothing."""
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
