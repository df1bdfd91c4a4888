"""Runs of two ranks: the batches are those of one, and where a rank dies the other says so, and one rank goes on."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.forked import Forked
from tests.train.runs import logged, make_web, trained

COUNTED = ("step", "epoch", "pairs", "lost")
# Rank 1 is killed as rank 0 is about to have a checkpoint of that name, where one is given.
RANKS = """
import os, signal, sys, torch
from builder.errors import DanqingError
from builder.train import runner, work
from tests import renames
from tests.train.runs import trained
root, output, port, point = sys.argv[1:]

def rank(number, other):
    torch.set_num_threads(1)
    os.environ.update(RANK=str(number), LOCAL_RANK=str(number), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2",
                      MASTER_ADDR="127.0.0.1", MASTER_PORT=port, GLOO_SOCKET_IFNAME="lo")
    if point and number == 0:
        renames.before = lambda path: path.endswith(point) and os.kill(other, signal.SIGKILL)
    try:
        trained(root, output, micro_batch=6)
    except DanqingError as error:
        print(error, flush=True)
        os._exit(error.exit_code)
    os._exit(0)

other = os.fork()
if other == 0:
    rank(1, 0)
first = os.fork()
if first == 0:
    rank(0, other)
codes = [os.waitstatus_to_exitcode(os.waitpid(one, 0)[1]) for one in (first, other)]
print(*codes)
"""


def two_ranks(forked: Forked, root: Path, output: Path, point: str = "") -> list[str]:
    """What they print, and in the last line their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    done = forked(RANKS, [str(root), str(output), port, point])
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_rank_that_dies_is_named_and_one_rank_goes_on(forked: Forked, tmp_path: Path) -> None:
    make_web(tmp_path / "web", broken=(3, 50), mute=(7,))
    trained(tmp_path / "web", tmp_path / "whole")
    *said, codes = two_ranks(forked, tmp_path / "web", tmp_path / "run", "step-00000004")
    assert codes == "4 -9"
    (line,) = said
    assert "rank 0: another rank is gone, or the network between them, after step 4" in line
    assert line.endswith("the same command goes on from step 4")
    trained(tmp_path / "web", tmp_path / "run")
    for one, other in zip(logged(tmp_path / "run"), logged(tmp_path / "whole"), strict=True):
        assert (one["step"], one.get("pairs"), one.get("lost")) == (
            other["step"],
            other.get("pairs"),
            other.get("lost"),
        )
        if one["step"] <= 2:  # later AdamW makes more of the last bits of a sum
            assert one.get("loss") == pytest.approx(other.get("loss"), rel=1e-4)
    done = [json.loads((tmp_path / run / "ledger/train/done.json").read_bytes()) for run in ("run", "whole")]
    assert done[0]["pairs"] + sum(done[0]["lost"].values()) == done[0]["steps"] * 32
    assert done[0]["lost"] == done[1]["lost"] != {}
