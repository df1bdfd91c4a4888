"""What `auto` comes to."""

from __future__ import annotations

import pytest

from builder.errors import UsageError
from builder.towers.device import Options, place

torch = pytest.importorskip("torch")

TINY, BIG = 300_000, 375_000_000


def test_a_tiny_checkpoint_stays_in_float32_on_a_cpu() -> None:
    found = place(Options(device="cpu"), TINY)
    assert (found.dtype, found.batch_size, found.compile) == (torch.float32, 64, False)


def test_a_big_one_takes_bfloat16_where_the_cpu_has_it() -> None:
    has = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    assert place(Options(device="cpu"), BIG).dtype == (torch.bfloat16 if has else torch.float32)


def test_what_is_asked_for_is_taken() -> None:
    asked = Options(device="cpu", dtype="float16", batch_size=7, compile="on", workers=3)
    found = place(asked, TINY)
    assert (found.dtype, found.batch_size, found.compile, found.workers) == (torch.float16, 7, True, 3)


@pytest.mark.parametrize(("asked", "chosen"), [("auto", 1), ("cuda", 1), ("cuda:0", 0)])
def test_a_process_of_torchrun_takes_its_own_gpu(
    monkeypatch: pytest.MonkeyPatch, asked: str, chosen: int
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "3")
    found = place(Options(device=asked), TINY)
    assert found.device == torch.device("cuda", chosen)
    assert (found.dtype, found.batch_size, found.compile, found.threads) == (torch.bfloat16, 512, True, 0)


def test_decoding_and_arithmetic_do_not_claim_a_core_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(8))
    tiny, big = place(Options(device="cpu"), TINY), place(Options(device="cpu"), BIG)
    assert (tiny.workers, tiny.threads) == (8, 1)
    assert (big.workers, big.threads) == (2, 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert place(Options(device="cpu"), BIG).threads == 0


def test_what_is_no_device_is_told_in_one_line() -> None:
    with pytest.raises(UsageError, match="--device foo: no device; give auto, cpu, cuda or cuda:N"):
        place(Options(device="foo"), TINY)
