"""What comes out depends on the work alone: not on batches, neighbours, threads or memory; nothing is left running."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder.errors import EnvironmentProblem, InputError
from builder.towers import DualEncoder, Embedded, ToEmbed

from ..pictures import jpeg, numbered

Load = Callable[..., DualEncoder]


def works(*sizes: int) -> list[ToEmbed]:
    """Works of so many pairs, all different, tagged by their number."""
    starts = np.cumsum([0, *sizes])
    return [
        ToEmbed(
            tag,
            [numbered(i) for i in range(at, at + size)],
            ([f"caption {i}" for i in range(at, at + size)],),
        )
        for tag, (at, size) in enumerate(zip(starts, sizes, strict=False))
    ]


def rows(answers: list[Embedded]) -> np.ndarray[Any, Any]:
    """Embeddings of pictures and captions beside each other, all works below each other."""
    return np.concatenate([np.hstack([one.image.numpy(), one.captions[0].numpy()]) for one in answers])


def counted(module: Any) -> list[int]:
    """The batch size of every forward of a module from now on."""
    seen: list[int] = []
    module.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(len(next(iter(kwargs.values())))), with_kwargs=True
    )
    return seen


@pytest.fixture(params=["fixed", "naflex"])
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def test_answers_come_in_order_whatever_the_works_are(fixed: Path, load: Load) -> None:
    sizes = [3, 0, 20, 1, 0, 7]
    answers = list(load(fixed, batch_size=4).embed(iter(works(*sizes))))
    assert [one.tag for one in answers] == list(range(6))
    assert [len(one.image) for one in answers] == sizes
    assert all(one.intact.all() for one in answers)


def test_neighbours_and_position_change_no_bit(folder: Path, load: Load) -> None:
    siglip = load(folder, batch_size=8)
    together = rows(list(siglip.embed(works(21))))
    apart = rows(list(siglip.embed(works(5, 9, 1, 6))))
    alone = np.concatenate([rows(list(siglip.embed([one]))) for one in works(*[1] * 21)])
    assert np.array_equal(together, apart)
    assert np.array_equal(together, alone)


@pytest.mark.parametrize("size", [1, 3, 64])
def test_the_size_of_a_batch_changes_rounding_alone(folder: Path, load: Load, size: int) -> None:
    expected = rows(list(load(folder, batch_size=8).embed(works(21))))
    assert np.abs(rows(list(load(folder, batch_size=size).embed(works(21)))) - expected).max() < 1e-6


def test_every_forward_has_the_same_shape(fixed: Path, load: Load) -> None:
    siglip = load(fixed, batch_size=8)
    seen = counted(siglip._towers._model.vision_model)
    list(siglip.embed(works(5, 9, 1, 6)))
    assert seen == [8, 8, 8]


def test_equal_captions_are_embedded_once(fixed: Path, load: Load) -> None:
    siglip = load(fixed, batch_size=2)
    seen = counted(siglip._towers._model.text_model)
    columns = (["一", "二", "一", None], ["二", "一", "一", "一"])
    [answer] = siglip.embed([ToEmbed(0, [jpeg()] * 4, columns)])
    assert seen == [2]
    first, second = answer.captions
    assert first[0].equal(first[2])
    assert first[0].equal(second[1])
    assert first[1].equal(second[0])
    assert not first[3].any()


def test_what_is_no_picture_has_a_row_of_zeros(folder: Path, load: Load) -> None:
    bodies = [jpeg(), None, b"junk", jpeg()[:200], jpeg((40, 60))]
    [answer] = load(folder, batch_size=2).embed([ToEmbed(0, bodies, (["a"] * 5,))])
    assert answer.intact.tolist() == [True, False, False, False, True]
    assert not answer.image[1:4].any()
    assert answer.image[[0, 4]].norm(dim=-1).sub(1).abs().max() < 1e-6


def test_a_work_may_have_no_captions_and_no_pictures(fixed: Path, load: Load) -> None:
    bare, blind = load(fixed).embed([ToEmbed(0, [jpeg()]), ToEmbed(1, [None, None], (["a", "b"],))])
    assert bare.captions == ()
    assert not blind.image.any()
    assert blind.captions[0].norm(dim=-1).sub(1).abs().max() < 1e-6


class Cramped:
    """A tower that runs out of memory above so many rows."""

    def __init__(self, tower: Any, most: int, error: RuntimeError) -> None:
        self.tower, self.most, self.error = tower, most, error

    def __call__(self, pixels: Any, grid: Any) -> Any:
        if len(pixels) > self.most:
            raise self.error
        return self.tower(pixels, grid)


def out_of_memory(kind: str) -> RuntimeError:
    import torch

    if kind == "cuda":
        return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if kind == "driver":
        return RuntimeError("CUDA error: out of memory")
    if kind == "cublas":
        return RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
    return RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")


@pytest.mark.parametrize("kind", ["cuda", "driver", "cublas", "cpu"])
def test_out_of_memory_halves_the_batch_and_says_so(
    fixed: Path, load: Load, said: io.StringIO, kind: str
) -> None:
    siglip = load(fixed, batch_size=14)
    expected = rows(list(siglip.embed(works(33))))
    siglip._towers._image = Cramped(siglip._towers._image, 4, out_of_memory(kind))  # type: ignore[assignment]
    seen = counted(siglip._towers._model.vision_model)
    found = rows(list(siglip.embed(works(33))))
    assert np.abs(found - expected).max() < 1e-6
    assert siglip.batch_size == 3
    assert set(seen) == {3}
    assert [line.split("batches of ")[1][:2] for line in said.getvalue().splitlines()] == ["7;", "3;"]


def test_not_one_row_fits_into_memory(fixed: Path, load: Load) -> None:
    siglip = load(fixed, batch_size=2)
    siglip._towers._image = Cramped(siglip._towers._image, 0, out_of_memory("cuda"))  # type: ignore[assignment]
    with pytest.raises(EnvironmentProblem, match="out of memory with one row"):
        list(siglip.embed(works(3)))


def test_batches_that_the_host_cannot_hold_are_one_line(fixed: Path, load: Load) -> None:
    with pytest.raises(EnvironmentProblem, match=r"out of memory on the host .* smaller --batch-size"):
        load(fixed, batch_size=10**13)  # more than 47 bits can address


def test_memory_that_runs_out_beside_the_towers_is_one_line(fixed: Path, load: Load) -> None:
    siglip = load(fixed, batch_size=8)
    siglip._lanes["text"].dim = 10**14
    with pytest.raises(EnvironmentProblem, match="out of memory beside the towers"):
        list(siglip.embed(works(3)))


def test_another_error_of_the_tower_is_no_want_of_memory(fixed: Path, load: Load) -> None:
    siglip = load(fixed, batch_size=8)
    siglip._towers._image = Cramped(siglip._towers._image, 4, RuntimeError("shape mismatch"))  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="shape mismatch"):
        list(siglip.embed(works(3)))
    assert siglip.batch_size == 8


def failing() -> Iterator[ToEmbed]:
    yield from works(2)
    raise InputError("shard 1: torn")


def test_an_error_in_reading_works_comes_after_the_answers_before_it(fixed: Path, load: Load) -> None:
    answers = load(fixed, batch_size=2).embed(failing())
    assert len(next(answers).image) == 2
    with pytest.raises(InputError, match="torn"):
        next(answers)


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("danqing-")}


BLANK = ToEmbed("blank", [None] * 40)


@pytest.mark.parametrize("work", [works(5)[0], BLANK], ids=["pictures", "blank"])
@pytest.mark.parametrize("taken", [0, 1, 3])
def test_whoever_stops_iterating_stops_the_threads(
    fixed: Path, load: Load, taken: int, work: ToEmbed
) -> None:
    closed = []

    def endless() -> Iterator[ToEmbed]:
        try:
            while True:
                yield work
        finally:
            closed.append(True)

    siglip = load(fixed, batch_size=4)
    answers = siglip.embed(endless())
    for _ in range(taken):
        next(answers)
    answers.close()
    assert names() == set()
    assert closed == [True] * bool(taken)
    assert len(list(siglip.embed(works(3)))) == 1


def test_a_feeder_that_waits_for_room_is_let_go(fixed: Path, load: Load) -> None:
    """Works without pictures weigh their rows: four of 40 fill a window of 128, beside the one that was taken."""
    asked = threading.Semaphore(0)

    def endless() -> Iterator[ToEmbed]:
        while True:
            yield BLANK
            asked.release()

    answers = load(fixed, batch_size=4).embed(endless())
    next(answers)
    for _ in range(5):
        asked.acquire()
    answers.close()
    assert names() == set()


def test_works_are_read_ahead_no_further_than_a_bound(fixed: Path, load: Load) -> None:
    read = []

    def long() -> Iterator[ToEmbed]:
        for work in works(*[4] * 200):
            read.append(work)
            yield work

    answers = load(fixed, batch_size=4).embed(long())
    next(answers)
    # A work is a batch here: the slots of two towers bound it before the window of 32 does.
    assert len(read) <= 33
    assert len(list(answers)) == 199


def test_small_works_do_not_wait_for_ever_for_a_full_batch(fixed: Path, load: Load) -> None:
    """One picture among many works that want none: the row is sent off before all of them are read."""
    siglip = load(fixed, batch_size=4)
    first = works(1)[0]
    read = []

    def all_of_them() -> Iterator[ToEmbed]:
        for work in (first, *[BLANK] * 100):
            read.append(work)
            yield work

    answers = siglip.embed(all_of_them())
    assert next(answers).tag == 0
    assert len(read) < 20
    assert len(list(answers)) == 100


def test_one_iterator_at_a_time(fixed: Path, load: Load) -> None:
    siglip = load(fixed, batch_size=4)
    first = siglip.embed(works(3, 3))
    next(first)
    with pytest.raises(RuntimeError, match="embedding already"):
        next(siglip.embed(works(1)))
    assert len(list(first)) == 1
