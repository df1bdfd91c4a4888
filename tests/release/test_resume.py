"""Killed, out of disk or stopped anywhere, the same command goes on and ends in the same bytes."""

import errno
import os
import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.reasons import Cause
from tests import renames
from tests.forked import Forked
from tests.release.roots import FROM, SOME, release, released, scored_root, tree
from tests.roots import pair

SHIFTED = (*SOME[:-1], Cause.UNRELATED)
DATE = "1795000000"


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", DATE)
    yield
    renames.before = None


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a root, a first release of it, and the second one, which nothing disturbed."""
    tmp, was = tmp_path_factory.mktemp("begun"), os.environ.get("SOURCE_DATE_EPOCH")
    os.environ["SOURCE_DATE_EPOCH"] = DATE
    root = scored_root(tmp, rows=300)
    assert release(root, tmp / "out", "--what", "images") == 0
    scored_root(tmp, mix=SHIFTED, decision="e" * 16)
    (tmp / "gone.txt").write_text(pair(8)["url"] + "\n")
    shutil.copytree(tmp, tmp / "whole")
    assert release(tmp / "whole" / "root", tmp / "whole" / "out", *flags(tmp)) == 0
    os.environ.pop("SOURCE_DATE_EPOCH") if was is None else os.environ.update(SOURCE_DATE_EPOCH=was)
    return tmp


@pytest.fixture(scope="module")
def forked() -> Iterator[Forked]:
    """What runs the command in processes of its own."""
    with Forked(
        "builder.release.runner", "datasets", "matplotlib.backends.backend_agg", "mlcroissant"
    ) as run:
        yield run


def flags(tmp: Path) -> list[str]:
    return ["--what", "images", "--remove", str(tmp / "gone.txt")]


@pytest.fixture
def here(begun: Path, tmp_path: Path) -> Path:
    """A copy of the root and its first release."""
    for name in ("root", "out"):
        shutil.copytree(begun / name, tmp_path / name)
    return tmp_path


def again(here: Path, begun: Path, *more: str) -> int:
    return release(here / "root", here / "out", *flags(begun), *more)


KILLED = """
import os, signal, sys
from builder.cli import main
from tests import renames
where = sys.argv.pop(1)
renames.before = lambda path: path.endswith(where) and os.kill(os.getpid(), signal.SIGKILL)
main(sys.argv[1:])
"""
POINTS = {
    "the plan is written": "/.release/plan.json",
    "a shard is whole": "/.release/stage/images/train-00001-of-00008.parquet",
    "its marker is written": "/.release/done/train-00001-of-00008.json",
    "the changes are written": "/stage/changes/v2026.11.1.parquet",
    "release.json is written": "/.release/stage/release.json",
    "it is sealed": "/.release/sealed.json",
    "the last release is set aside": "/.release/before.json",
    "a shard is moved": "/out/images/train-00004-of-00008.parquet",
    "the card is moved": "/out/README.md",
    "release.json is moved": "/out/release.json",
    "the root remembers": "/ledger/release/removals.parquet",
}


@pytest.mark.parametrize("point", POINTS)
def test_kill_9_just_before(here: Path, begun: Path, forked: Forked, point: str) -> None:
    words = [
        "release",
        str(here / "root"),
        str(here / "out"),
        *FROM,
        *flags(begun),
        "--quiet",
        "--workers",
        "1",
    ]
    killed = forked(KILLED, [POINTS[point], *words])
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert again(here, begun) == 0
    assert tree(here / "out") == tree(begun / "whole" / "out")
    root = {name: data for name, data in tree(here / "root").items() if not name.endswith(".tmp")}
    assert root == tree(begun / "whole" / "root")


def test_until_the_last_step_readers_see_the_release_before(here: Path, begun: Path) -> None:
    before = tree(begun / "out")

    def look(path: str) -> None:
        if path.endswith("/.release/before.json"):
            seen.append({name: data for name, data in tree(here / "out").items() if not name.startswith(".")})

    seen: list[dict[str, bytes]] = []
    renames.before = look
    assert again(here, begun) == 0
    assert seen == [before]


@pytest.mark.parametrize(
    "point", ["/stage/images/train-00002-of-00008.parquet", "/taken/README.md", "/out/release.json"]
)
def test_a_disk_that_is_full(here: Path, begun: Path, point: str, capsys: pytest.CaptureFixture[str]) -> None:

    def full(path: str) -> None:
        if path.endswith(point):
            raise OSError(errno.ENOSPC, "No space left on device", path)

    renames.before = full
    assert again(here, begun) == 4
    said = capsys.readouterr().err.strip()
    assert "No space left on device; nothing is lost, mend it and run the same command again" in said
    assert "\n" not in said
    renames.before = None
    assert again(here, begun) == 0
    assert tree(here / "out") == tree(begun / "whole" / "out")


# At the end the limit goes: what counts the covered branches writes a file then.
LIMITED = """
import resource, sys
from builder.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (8000, resource.RLIM_INFINITY))
ended = main(sys.argv[1:])
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
sys.exit(ended)
"""


def test_a_write_that_the_system_refuses(here: Path, begun: Path, forked: Forked) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    words = ["release", str(here / "root"), str(here / "out"), *FROM, *flags(begun), "--quiet"]
    ended = forked(LIMITED, words)
    assert ended.returncode == 4
    assert "File too large" in ended.stderr
    assert ended.stderr.strip().count("\n") == 0
    assert again(here, begun) == 0
    assert tree(here / "out") == tree(begun / "whole" / "out")


def test_a_release_that_does_not_hold_what_it_says_is_not_published(
    here: Path, begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:

    def spoil(path: str) -> None:
        if path.endswith("/stage/release.json"):
            shard = here / "out" / ".release" / "stage" / "images" / "train-00003-of-00008.parquet"
            data = bytearray(shard.read_bytes())
            data[2000] ^= 1
            shard.write_bytes(data)

    renames.before = spoil
    assert again(here, begun) == 1
    assert "train-00003-of-00008.parquet" in capsys.readouterr().err
    assert {name: data for name, data in tree(here / "out").items() if not name.startswith(".")} == tree(
        begun / "out"
    )
    renames.before = None
    assert again(here, begun, "--overwrite") == 0
    assert released(here / "out").version == "v2026.11.1"


def test_ctrl_c_keeps_the_shards_that_are_made(
    here: Path, begun: Path, capsys: pytest.CaptureFixture[str]
) -> None:

    def ask(path: str) -> None:
        if path.endswith("/done/train-00002-of-00008.json"):
            os.kill(os.getpid(), signal.SIGINT)

    renames.before = ask
    assert again(here, begun, "--workers", "1") == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert 3 <= len(list((here / "out" / ".release" / "done").iterdir())) < 9
    renames.before = None
    assert again(here, begun) == 0
    assert tree(here / "out") == tree(begun / "whole" / "out")


def test_an_unfinished_release_of_other_content_is_begun_anew(here: Path, begun: Path) -> None:

    def stop(path: str) -> None:
        if path.endswith("/stage/release.json"):
            raise OSError(errno.ENOSPC, "No space left on device", path)

    renames.before = stop
    assert again(here, begun, "--divide-by", "4") == 4
    renames.before = None
    assert again(here, begun) == 0
    assert tree(here / "out") == tree(begun / "whole" / "out")


def test_a_release_that_came_in_between_is_what_the_next_one_follows(here: Path, begun: Path) -> None:

    def stop(path: str) -> None:
        if path.endswith("/stage/release.json"):
            raise OSError(errno.ENOSPC, "No space left on device", path)

    renames.before = stop
    assert again(here, begun) == 4
    renames.before = None
    shutil.move(here / "out" / ".release", here / "kept")
    assert release(here / "root", here / "out", "--what", "images", "--tag", "other") == 0
    shutil.move(here / "kept", here / "out" / ".release")
    assert again(here, begun) == 0
    assert released(here / "out").previous == "other"
