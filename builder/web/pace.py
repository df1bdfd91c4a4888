"""Politeness: what one host may be asked now, learnt from how it answers.

A host has a few connection slots and no pace. A 429 or 503 is taken to be about its URL alone: that URL waits, and the
host is asked one thing at a time until it answers another. Three URLs that object, in a row or with few answers
between them, speak for the host: it is paused, and asked again at a rate that grows until the next objection. A host
that only objects or only fails is given up for a while, so that ten thousand rows of a dead site cost a handful of
time-outs and not days.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..reasons import Reason

Row = TypeVar("Row")  # whatever is asked of a host

PAUSE_CAP = 30.0  # seconds in all; a URL that asks for more is given up instead of waited for
SPEAK_FOR_HOST = 3  # different URLs that object, and no answer between them
FORGIVEN = 1 / 8  # of an objection by each answer: a limit is met where more than one URL in nine objects
TRIP_AFTER = 8  # failures or objections in a row, none of them an answer, before a host is given up
TRIP_SECONDS = 60.0  # then one request is let through to see
FIRST_PACE = 8.0  # requests a second after the first 429: under every limit met, doubled each second
BACK_OFF = 0.7  # of the pace at which the host objected
UNANSWERED = frozenset({Reason.DNS, Reason.CONNECT, Reason.TLS, Reason.TIMEOUT, Reason.THROTTLED})


@dataclass(slots=True)
class HostQueue(Generic[Row]):
    """The queue of one host and what is known of it. Times are seconds of a monotonic clock."""

    name: str
    slots: int
    queue: deque[Row] = field(default_factory=deque)
    active: int = 0
    listed: bool = False  # in the scheduler's ready list or timer heap
    ready_at: float = 0.0
    pace: float = 0.0  # requests a second; 0: as fast as the slots allow
    objected_at: float = -1.0
    growing: bool = True  # until the second objection
    # URLs that objected since the last answer: do they ask too much?
    objectors: dict[str, bool] = field(default_factory=dict)
    doubt: float = 0.0  # objections of different URLs, less what answers have forgiven
    pauses: int = 0
    failures: int = 0
    tripped_until: float = -1.0
    trip_reason: Reason = Reason.CONNECT

    @property
    def full(self) -> bool:
        """Whether no further request may start: one at a time while it is in doubt that the host answers at all."""
        in_doubt = self.objectors or self.tripped_until > 0
        return self.active >= (1 if in_doubt else self.slots)

    def given_up(self, now: float) -> bool:
        """Whether rows of this host fail now without a request."""
        return now < self.tripped_until

    def busy(self, now: float) -> bool:
        """Whether there is anything to remember: rows, requests, timers, a pace or a verdict."""
        return bool(self.queue or self.active or self.listed or self.pace) or self.given_up(now)

    def started(self, now: float) -> None:
        """Note that a request goes out."""
        self.active += 1
        if self.pace:
            self.ready_at = max(now, self.ready_at) + 1.0 / self.pace

    def answered(self) -> None:
        """Note an answer, whatever its status: the host lives, and a pace may grow."""
        self.failures = self.pauses = 0
        self.objectors.clear()
        self.doubt = max(0.0, self.doubt - FORGIVEN)
        self.tripped_until = -1.0
        if self.pace:
            # 0.69 a request doubles the pace each second; later it grows by one request a second each second
            self.pace += 0.69 if self.growing else min(0.69, 1.0 / self.pace)

    def failed(self, reason: Reason, now: float) -> None:
        """Note that no answer came: after TRIP_AFTER in a row the host is given up."""
        self.failures += 1
        if self.failures >= TRIP_AFTER:
            self.trip(reason, now)

    def throttled(
        self, url: str, started_at: float, now: float, retry_after: float | None, again: bool = False
    ) -> None:
        """Note a 429 or 503 for `url`; `again`: not for the first time, which says nothing new of the host.

        Answers to requests sent before the last pause belong to it, and pause no more.
        """
        self.doubt += not again and url not in self.objectors
        self.objectors[url] = retry_after is not None and retry_after > PAUSE_CAP
        if sum(self.objectors.values()) >= SPEAK_FOR_HOST:
            self.trip(Reason.THROTTLED, now)
        elif (self.pace or self.doubt >= SPEAK_FOR_HOST) and started_at > self.objected_at:
            self._pause(now, retry_after)

    def _pause(self, now: float, retry_after: float | None) -> None:
        """Wait, and go on at a lower pace; or give the host up, at what then is its eighth objection in a row."""
        self.objected_at = now
        self.pauses = max(self.pauses + 1, 0 if self.pace else SPEAK_FOR_HOST)
        if self.pace:
            self.pace, self.growing = max(0.5, self.pace * BACK_OFF), False
        else:
            self.pace = FIRST_PACE
        if self.pauses >= TRIP_AFTER:
            self.trip(Reason.THROTTLED, now)
        else:
            wait = 2.0 ** max(0, self.pauses - SPEAK_FOR_HOST)
            if retry_after is not None and retry_after <= PAUSE_CAP:
                wait = retry_after
            self.ready_at = max(self.ready_at, now + wait)

    def trip(self, reason: Reason, now: float) -> None:
        """Give the host up for a while; the next failure after that gives it up again at once."""
        self.tripped_until = now + TRIP_SECONDS
        self.trip_reason = reason
        self.failures = self.pauses = TRIP_AFTER - 1


@dataclass(slots=True)
class Limit:
    """Number of pairs that may be in flight in one worker: fixed, or adapted once a second.

    It grows while requests wait for a slot and the decoder has nothing to do, and shrinks when the share of
    unanswered requests jumps: the sign of a saturated line, resolver or router.
    """

    value: int
    fixed: bool
    floor: int = 16
    ceiling: int = 256
    ended: int = 0
    unanswered: int = 0
    usual: float = 0.0  # share of unanswered requests, a moving average
    starved: bool = False  # a row was ready and no slot free

    @classmethod
    def of(cls, concurrency: int) -> Limit:
        """The limit of --concurrency: adaptive from 32 for 0, else fixed."""
        return cls(concurrency or 32, fixed=concurrency > 0)

    def count(self, reason: Reason | None) -> None:
        """Note that one request ended."""
        self.ended += 1
        self.unanswered += reason in UNANSWERED

    def adapt(self, decoding: int, threads: int) -> None:
        """Adapt, once a second; `decoding` pairs wait for or are in one of `threads` decode threads."""
        if not self.fixed and self.ended >= 10:
            share = self.unanswered / self.ended
            if share > 2 * self.usual + 0.2:
                self.value = max(self.floor, int(self.value * 0.7))
            elif self.starved and decoding <= 4 * threads:
                self.value = min(self.ceiling, int(self.value * 1.5))
            self.usual += 0.2 * (share - self.usual)
        self.ended = self.unanswered = 0
        self.starved = False
