"""Politeness by hand-worked clocks: pauses, paces, giving up, and the number in flight."""

from __future__ import annotations

import pytest

from builder.reasons import Reason
from builder.rebuild import outage
from builder.rebuild.job import Job
from builder.rebuild.outage import Outage
from builder.rebuild.outcome import Outcome
from builder.web.pace import FIRST_PACE, TRIP_AFTER, TRIP_SECONDS, HostQueue, Limit


def objections(
    host: HostQueue[object], count: int, at: float = 1.0, retry_after: float | None = None
) -> None:
    """One URL after the other objects, each asked after the one before had answered."""
    for i in range(count):
        host.throttled(f"http://a/{i}", at + i - 0.5, at + i, retry_after)


@pytest.mark.parametrize("retry_after", [None, 20.0, 31.0, 3600.0])
def test_an_objection_belongs_to_its_url(retry_after: float | None) -> None:
    host: HostQueue[object] = HostQueue("a", 4)
    for at in range(1, 20):
        host.throttled("http://a/50", at - 0.5, at, retry_after)
    assert (host.ready_at, host.pace, host.given_up(20.0)) == (0.0, 0.0, False)


def test_one_thing_is_asked_at_a_time_until_another_url_has_answered() -> None:
    host: HostQueue[object] = HostQueue("a", 4, active=1)
    assert not host.full
    objections(host, 1)
    assert host.full
    host.answered()
    assert not host.full


def test_objections_with_an_answer_between_them_say_nothing_of_the_host() -> None:
    host: HostQueue[object] = HostQueue("a", 4)
    for _ in range(100):
        objections(host, 2, retry_after=3600.0)
        for _ in range(16):
            host.answered()
    assert (host.ready_at, host.pace, host.given_up(3.0)) == (0.0, 0.0, False)


def test_urls_that_object_to_each_try_say_nothing_of_the_host() -> None:
    host: HostQueue[object] = HostQueue("a", 4)
    for at in range(0, 3000, 10):
        host.throttled(f"http://a/{at // 50}", at, at + 1.0, None, again=at % 50 > 0)
        for _ in range(2):
            host.answered()
    assert (host.ready_at, host.pace, host.given_up(3000.0)) == (0.0, 0.0, False)


def test_a_host_that_objects_to_every_third_request_has_met_its_limit_but_lives() -> None:
    host: HostQueue[object] = HostQueue("a", 4)
    for at in range(0, 60, 2):
        objections(host, 1, at=at, retry_after=3600.0)
        host.answered()
        host.answered()
    assert host.pace
    assert not host.given_up(60.0)


def test_a_host_of_which_three_urls_object_is_paused_as_long_as_it_asks() -> None:
    host: HostQueue[object] = HostQueue("a", 4)
    objections(host, 3, retry_after=7.0)
    assert host.ready_at == 3.0 + 7.0
    assert host.pace == FIRST_PACE


def test_answers_to_requests_sent_before_the_pause_pause_no_more() -> None:
    host: HostQueue[object] = HostQueue("a", 4)
    objections(host, 3, retry_after=7.0)
    for i in range(20):
        host.throttled(f"http://a/sent before/{i}", 2.5, 3.5, 30.0)
    assert host.ready_at == 10.0
    assert not host.given_up(3.5)


def test_the_pace_doubles_in_a_second_and_falls_at_the_next_objection() -> None:
    host: HostQueue[object] = HostQueue("a", 4)
    objections(host, 3, retry_after=1.0)
    for _ in range(int(FIRST_PACE)):
        host.answered()
    assert host.pace == pytest.approx(FIRST_PACE * 1.69, rel=0.01)
    objections(host, 3, at=10.0, retry_after=1.0)
    before = host.pace
    host.answered()
    assert host.pace - before == pytest.approx(1 / before)


def test_requests_are_spaced_by_the_pace() -> None:
    host: HostQueue[object] = HostQueue("a", 4, pace=10.0)
    host.started(5.0)
    host.started(5.0)
    assert host.ready_at == pytest.approx(5.2)


def test_a_host_is_given_up_after_failures_in_a_row_and_probed_later() -> None:
    host: HostQueue[object] = HostQueue("a", 4)
    for _ in range(TRIP_AFTER):
        assert not host.given_up(10.0)
        host.failed(Reason.TIMEOUT, 10.0)
    assert host.given_up(10.0 + TRIP_SECONDS - 1)
    assert not host.given_up(10.0 + TRIP_SECONDS)
    assert host.trip_reason is Reason.TIMEOUT
    host.failed(Reason.TIMEOUT, 100.0)  # the probe
    assert host.given_up(100.0)


def test_one_answer_forgives_the_failures() -> None:
    host: HostQueue[object] = HostQueue("a", 4)
    for _ in range(TRIP_AFTER - 1):
        host.failed(Reason.CONNECT, 1.0)
    host.answered()
    host.failed(Reason.CONNECT, 2.0)
    assert not host.given_up(2.0)


def test_a_host_is_given_up_at_the_eighth_objection_in_a_row_and_probed_once_a_minute() -> None:
    host: HostQueue[object] = HostQueue("a", 4)
    objections(host, TRIP_AFTER - 1)
    assert not host.given_up(100.0)
    objections(host, 1, at=100.0)
    assert host.given_up(100.0 + TRIP_SECONDS - 1)
    assert not host.given_up(200.0)
    assert host.trip_reason is Reason.THROTTLED
    host.started(200.0)
    assert host.full  # the probe
    host.throttled("http://a/probe", 200.0, 200.1, None)
    assert host.given_up(201.0)


def test_a_host_of_which_three_urls_ask_for_an_hour_is_given_up() -> None:
    host: HostQueue[object] = HostQueue("a", 4)
    objections(host, 2, retry_after=3600.0)
    assert not host.given_up(2.0)
    host.throttled("http://a/third", 2.5, 3.0, 3600.0)
    assert host.given_up(3.0)
    assert host.trip_reason is Reason.THROTTLED


def ended(limit: Limit, answered: int, unanswered: int) -> None:
    for _ in range(answered):
        limit.count(None)
    for _ in range(unanswered):
        limit.count(Reason.TIMEOUT)


def test_the_limit_grows_while_rows_wait_and_the_decoder_is_idle() -> None:
    limit = Limit.of(0)
    limit.starved = True
    ended(limit, 100, 10)
    limit.adapt(decoding=0, threads=2)
    assert limit.value == 48


@pytest.mark.parametrize(("starved", "decoding"), [(False, 0), (True, 30)])
def test_the_limit_stays_when_more_requests_would_not_help(starved: bool, decoding: int) -> None:
    limit = Limit.of(0)
    limit.starved = starved
    ended(limit, 100, 0)
    limit.adapt(decoding, threads=2)
    assert limit.value == 32


def test_the_limit_shrinks_when_failures_jump_and_recovers() -> None:
    limit = Limit.of(0)
    ended(limit, 50, 50)
    limit.adapt(0, 2)
    assert limit.value == 22
    limit.starved = True
    ended(limit, 100, 0)
    limit.adapt(0, 2)
    assert limit.value == 33


def test_a_fixed_limit_is_fixed() -> None:
    limit = Limit.of(64)
    limit.starved = True
    ended(limit, 100, 100)
    limit.adapt(0, 2)
    assert limit.value == 64


def failed(row: int) -> tuple[Job, Outcome, str]:
    return Job(None, row, "http://x/"), Outcome(reason=Reason.DNS), f"host{row}"


def test_failures_are_held_back_until_anything_answers() -> None:
    watch = Outage(watch=True)
    assert watch.passed(*failed(0)) == []
    assert watch.passed(*failed(1)) == []
    answered = Job(None, 2, "http://x/"), Outcome(reason=Reason.HTTP_4XX, http_status=404)
    assert [job.row for job, _ in watch.passed(*answered, "host2")] == [0, 1, 2]
    assert watch.release() == []


def test_nothing_but_failures_from_many_hosts_is_suspicious() -> None:
    watch = Outage(watch=True)
    for row in range(outage.ROWS):
        assert not watch.suspected
        assert watch.passed(*failed(row)) == []
    assert watch.suspected
    assert f"any of {outage.ROWS} hosts" in watch.verdict()


def test_one_dead_host_is_no_lost_network() -> None:
    watch = Outage(watch=True)
    for row in range(3 * outage.ROWS):
        job, outcome, _ = failed(row)
        watch.passed(job, outcome, "dead")
    assert not watch.suspected
    assert len(watch.release()) == 3 * outage.ROWS


def test_failures_that_are_expected_pass_at_once() -> None:
    assert len(Outage(watch=False).passed(*failed(0))) == 1
