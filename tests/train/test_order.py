"""The order of pairs: each once an epoch, and the same batches whatever ranks and interruptions there are."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.errors import UsageError
from builder.train.order import Order, Stretch, mixed

Place = tuple[int, int, int]  # epoch, unit, row


@dataclass(frozen=True)
class Case:
    """Sizes of units, and how they are cut; windows so small that streams have several of them."""

    sizes: list[int]
    streams: int
    each: int
    seed: int = 0

    @property
    def order(self) -> Order:
        return Order(self.sizes, self.streams * self.each, self.streams, self.seed, window=8)

    def epoch(self, number: int) -> list[Place]:
        return [(number, unit, row) for unit, size in enumerate(self.sizes) for row in range(size)]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    streams = draw(st.sampled_from([1, 2, 3, 4, 6]))
    sizes = draw(st.lists(st.integers(1, 9), min_size=1, max_size=20).filter(lambda s: sum(s) >= streams))
    return Case(sizes, streams, draw(st.integers(1, 4)), draw(st.integers(0, 2**32 - 1)))


def places(stretch: Stretch) -> list[Place]:
    return [
        (stretch.epoch, unit, row)
        for unit, row in zip(stretch.units.tolist(), stretch.rows.tolist(), strict=True)
    ]


def batches(case: Case, first: int, last: int, world: int = 1) -> list[list[Place]]:
    """The batches first ... last - 1, put together from what each rank reads for them."""
    order, found = case.order, [list[Place]() for _ in range(first, last)]
    for rank in range(world):
        for stream in order.share(rank, world):
            told = (place for one in order.stream(stream, first * order.each) for place in places(one))
            for batch in found:
                batch += itertools.islice(told, order.each)
    return found


@settings(max_examples=40)
@given(cases())
def test_every_pair_comes_once_an_epoch(case: Case) -> None:
    order, seen = case.order, Counter[Place]()
    for stream in range(case.streams):
        for one in itertools.takewhile(lambda stretch: stretch.epoch < 3, order.stream(stream, 0)):
            seen.update(places(one))
    assert seen == Counter(case.epoch(0) + case.epoch(1) + case.epoch(2))


@settings(max_examples=40)
@given(cases(), st.data())
def test_batches_are_the_same_wherever_a_run_is_interrupted_and_however_many_ranks_go_on(
    case: Case, data: st.DataObject
) -> None:
    last = case.order.steps(3) + 2  # over two borders of epochs, and into the fourth epoch
    ranks = [world for world in range(1, case.streams + 1) if case.streams % world == 0]
    stop = data.draw(st.integers(0, last))
    before, after = data.draw(st.sampled_from(ranks)), data.draw(st.sampled_from(ranks))
    whole = batches(case, 0, last)
    assert batches(case, 0, stop, before) + batches(case, stop, last, after) == whole
    assert {len(batch) for batch in whole} == {case.order.batch}


def test_batches_are_the_same_at_every_place_for_every_number_of_ranks() -> None:
    case = Case([5, 1, 7, 3, 9, 2, 4], streams=6, each=1)
    last = case.order.steps(3)
    whole = batches(case, 0, last)
    for stop, world in itertools.product(range(last + 1), (1, 2, 3, 6)):
        assert batches(case, stop, last, world) == whole[stop:]
    seen = Counter(itertools.chain(*whole))
    assert max(seen.values()) == 1
    assert sum(seen.values()) == last * case.order.batch == 90


@settings(max_examples=40)
@given(cases())
def test_streams_are_as_long_as_each_other_over_epochs(case: Case) -> None:
    given_in = [
        [
            sum(len(one.rows) for one in stretches)
            for _, stretches in itertools.groupby(
                itertools.takewhile(lambda one: one.epoch < 5, case.order.stream(stream, 0)),
                key=lambda one: one.epoch,
            )
        ]
        for stream in range(case.streams)
    ]
    until = np.cumsum(given_in, axis=1)
    assert (until.max(axis=0) - until.min(axis=0) <= 1).all()


def test_streams_say_how_much_they_gave_before() -> None:
    order, done = Case([5, 1, 7, 3, 9, 2, 4], 3, 1).order, 4
    for stretch in itertools.islice(order.stream(1, 4), 20):
        assert stretch.start == done
        done += len(stretch.rows)


def test_seeds_and_epochs_are_other_orders() -> None:
    def first(seed: int, epoch: int) -> list[tuple[int, int]]:
        stretches = Case([10] * 20, 1, 1, seed).order.stream(0, 200 * epoch)
        return [place[1:] for one in itertools.islice(stretches, 20) for place in places(one)]

    orders = [first(seed, epoch) for seed, epoch in itertools.product(range(3), range(3))]
    for one, other in itertools.combinations(orders, 2):
        assert sorted(one) == sorted(other)
        assert sum(map(tuple.__eq__, one, other)) < 20


def test_pairs_are_shuffled_within_whole_units_of_a_window() -> None:
    order = Order([100] * 100, 1, 1, 0, window=300)
    for stretch in itertools.islice(order.stream(0, 0), 30):
        assert sorted(Counter(stretch.units.tolist()).values()) == [100, 100, 100]
        assert np.abs(np.diff(stretch.units)).astype(bool).mean() > 0.5  # hardly two of a unit in a row


def test_streams_do_not_all_read_at_once() -> None:
    order = Order([10] * 10_000, 64, 64, 0)
    lengths = [len(next(order.stream(stream, 0)).rows) for stream in range(64)]
    assert len({*lengths}) > 50
    assert max(lengths) <= 1024 + 10


def test_the_order_never_changes() -> None:
    """A run that another version began goes on with the same pairs."""
    assert mixed(0).tolist() == [0xE220A8397B1DCDAF]  # the first number of splitmix64, as published
    assert mixed(1, 2, np.arange(3)).tolist() == [0x84DE13CBFF9C5C2E, 0x64E4C11A54D48B0F, 0xB6EC09D9FC7D79E8]
    assert batches(Case([3, 2, 4], 2, 1, seed=7), 0, 6) == [
        [(0, 2, 0), (0, 1, 0)],
        [(0, 0, 1), (0, 2, 2)],
        [(0, 0, 0), (0, 2, 3)],
        [(0, 2, 1), (0, 1, 1)],
        [(0, 0, 2), (1, 2, 1)],
        [(1, 0, 1), (1, 2, 0)],
    ]


def test_hashes_differ_wherever_numbers_do() -> None:
    whole = np.concatenate(
        [mixed(one, other, np.arange(1000)) for one, other in itertools.product(range(5), repeat=2)]
    )
    assert len(np.unique(whole)) == len(whole)


def test_ranks_that_cannot_share_the_streams_are_told_which_can() -> None:
    with pytest.raises(UsageError, match=r"5 ranks cannot share out 12 streams; run 1, 2, 3, 4, 6, 12, or"):
        Order([24], 12, 12, 0).share(0, 5)


@pytest.mark.parametrize(("sizes", "batch", "streams"), [([4, 0], 2, 1), ([4, 4], 3, 2), ([1, 1], 3, 3)])
def test_what_cannot_be_shared_out_is_refused(sizes: list[int], batch: int, streams: int) -> None:
    with pytest.raises(ValueError, match="streams of"):
        Order(sizes, batch, streams, 0)


def test_a_hundred_million_pairs_cost_next_to_nothing() -> None:
    """Only the window at hand is laid out: the arrays that a stream gives are as long as that."""
    order = Order(np.full(400_000, 250), 12_288, 64, 0)
    assert order.pairs == 100_000_000
    assert order.steps(2) == 16_276
    late = next(order.stream(63, 16_275 * order.each))
    assert late.epoch == 1
    assert len(late.rows) <= 1250
