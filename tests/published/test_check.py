"""A true release passes; one that was broken in any way is told by a line that names what differs."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.console import Console
from builder.disk.release import read
from builder.disk.schema import IMAGES
from builder.errors import EnvironmentProblem, InputError
from builder.published import pictures
from builder.published.check import Checked, check
from builder.published.differences import Differences

from ..pictures import rotated
from . import made
from .broken import FORGED, IMAGE_SHARD, KINDS, MEMBERS, TAR, TARS, WRONG, tar_of
from .made import Kind

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[Any, Path]:
    """A true release of each kind; copied before it is broken."""
    folders = {}
    for name, kind in KINDS.items():
        folders[name] = tmp_path_factory.mktemp(name)
        made.make(folders[name], kind)
    return folders


def checked(folder: Path, depth: str = "full", **options: Any) -> Checked:
    return check(str(folder), depth, QUIET, **options)


@pytest.mark.parametrize("depth", ["full", "quick"])
@pytest.mark.parametrize("name", KINDS)
def test_a_true_release_has_no_difference(whole: dict[str, Path], name: str, depth: str) -> None:
    found = checked(whole[name], depth)
    assert found.differences == []
    assert found.rows == (0 if name.startswith("tars") and depth == "quick" else 28)
    assert found.pictures == (0 if name.startswith("manifest") else 28)
    listed = read(str(whole[name])).files
    assert found.files == len(listed)
    assert found.bytes == sum((whole[name] / path).stat().st_size for path in listed)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_kept_as_served_is_measured_upright(orientation: int) -> None:
    differences = Differences()
    one = pictures.SampledPicture("row 1", "0" * 32, rotated(orientation), 64, 48)
    assert pictures.check([one], differences) == 1
    assert differences.lines() == []


def copied(whole: dict[str, Path], kind: Kind, to: Path) -> Path:
    """A true release of a kind, to be broken."""
    source = next(whole[name] for name, one in KINDS.items() if one == kind)
    return Path(shutil.copytree(source, to / "release"))


@pytest.mark.parametrize("name", FORGED)
def test_what_is_forged_is_named(whole: dict[str, Path], tmp_path: Path, name: str) -> None:
    kind, forge, expected = FORGED[name]
    folder = copied(whole, kind, tmp_path)
    forge(folder)
    made.seal(folder, kind)
    told = checked(folder).differences
    assert any(re.search(expected, line) for line in told), told


@pytest.mark.parametrize(("name", "depth"), [(name, depth) for name in WRONG for depth in WRONG[name][2]])
def test_what_is_wrong_is_named(whole: dict[str, Path], tmp_path: Path, name: str, depth: str) -> None:
    kind, spoil, _, expected = WRONG[name]
    folder = copied(whole, kind, tmp_path)
    spoil(folder)
    told = checked(folder, depth).differences
    assert any(re.search(expected, line) for line in told), told


@pytest.mark.parametrize("name", MEMBERS)
def test_members_of_a_tar(whole: dict[str, Path], tmp_path: Path, name: str) -> None:
    members, expected = MEMBERS[name]
    folder = copied(whole, TARS, tmp_path)
    tar_of(*members)(folder)
    told = checked(folder).differences
    assert any(re.search(f"^{TAR}: {expected}", line) for line in told), told


def test_a_pair_that_comes_twice_in_tars(tmp_path: Path) -> None:
    made.write(tmp_path, TARS)
    shutil.copy(tmp_path / TAR, tmp_path / TAR.replace("-00000-", "-00001-"))
    made.seal(tmp_path, TARS)
    told = checked(tmp_path).differences
    assert sum("should be here alone" in line for line in told) == 12


def test_differences_are_bounded(tmp_path: Path) -> None:
    kind = Kind(shards={"train": (50,)})
    made.write(tmp_path, kind)
    shard = tmp_path / "images/train-00000-of-00001.parquet"
    table = pq.read_table(shard)
    place = table.schema.get_field_index("key")
    made.put(shard, table.set_column(place, IMAGES.field("key"), pa.array(["0" * 32] * 50)))
    made.seal(tmp_path, kind)
    told = checked(tmp_path).differences
    assert sum("by its url and alt_text" in line for line in told) == 20
    assert "... and 30 more of this kind: key" in told
    assert "... and 29 more of this kind: unique" in told


def test_what_hub_and_git_put_beside_it_is_no_difference(tmp_path: Path) -> None:
    made.make(tmp_path)
    for path in (".gitattributes", ".git/config", ".cache/huggingface/download/x.metadata"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x")
    assert checked(tmp_path).differences == []


def test_a_folder_of_links_as_the_cache_of_the_hub_has_it(whole: dict[str, Path], tmp_path: Path) -> None:
    for path in whole["images"].rglob("*"):
        link = tmp_path / path.relative_to(whole["images"])
        if path.is_file():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    assert checked(tmp_path).differences == []


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path: Path) -> None:
    made.make(tmp_path)
    (tmp_path / "figures/score.png").unlink()
    os.mkfifo(tmp_path / "figures/score.png")
    assert checked(tmp_path).differences == [
        "figures/score.png: should be there by release.json, it is missing"
    ]


def test_the_sample_is_the_same_each_time_and_as_large_as_asked(tmp_path: Path) -> None:
    made.make(tmp_path)
    assert checked(tmp_path, sample=5).pictures == 5
    assert checked(tmp_path, sample=0).pictures == 0
    assert checked(tmp_path, sample=5, workers=1) == checked(tmp_path, sample=5, workers=4)


def test_no_sample_of_tars(whole: dict[str, Path]) -> None:
    """Which raised an IndexError."""
    found = checked(whole["tars"], sample=0)
    assert (found.pictures, found.differences) == (0, [])


@pytest.mark.parametrize("there", [True, False])
def test_what_is_no_release(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "x"
    if there:
        folder.mkdir()
    with pytest.raises(InputError, match="no release: it has no release.json" if there else "no such folder"):
        checked(folder)


def test_a_disk_that_fails_is_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that vanishes between the listing and the reading is the environment's."""
    made.make(tmp_path)
    from builder.published import check as module

    listed = module.open_store

    def vanishing(url: str) -> Any:
        store = listed(url)
        (tmp_path / IMAGE_SHARD).unlink()
        return store

    monkeypatch.setattr(module, "open_store", vanishing)
    with pytest.raises(EnvironmentProblem, match=rf"{IMAGE_SHARD}: cannot be read: No such file"):
        checked(tmp_path)


def test_any_store_of_fsspec(whole: dict[str, Path], tmp_path: Path) -> None:
    """One that has no hashes in its listing: `full` reads all, `quick` what is small."""
    memory = fsspec.filesystem("memory")
    memory.put(f"{whole['images']}/", "/released/", recursive=True)
    try:
        for depth in ("full", "quick"):
            found = check("memory://released", depth, QUIET)
            assert (found.differences, found.rows, found.pictures) == ([], 28, 28)
        memory.pipe_file("/released/figures/score.png", b"\x89PNG no more than bytes HERE")
        memory.pipe_file("/released/LICENSE", b"of the maintainer")
        memory.pipe_file("/released/danqing.py", b"")
        found = check("memory://released", "quick", QUIET)
        assert [line.split(": ")[0] for line in found.differences] == ["danqing.py", "figures/score.png"]
        assert found.strangers == ["LICENSE"]
    finally:
        memory.rm("/released", recursive=True)


def test_columns_that_come_twice_are_no_crash(whole: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(whole, Kind(), tmp_path)
    table = pq.read_table(folder / IMAGE_SHARD)
    made.put(folder / IMAGE_SHARD, table.append_column("key", table["key"]))
    told = checked(folder).differences
    assert any(
        line.startswith(f"{IMAGE_SHARD}: column key should be string, it is not there") for line in told
    )


def test_a_column_that_is_none_of_its_type_is_no_crash(whole: dict[str, Path], tmp_path: Path) -> None:
    """Numbers where text should be, and the other way round, in every column that is looked at."""
    folder = copied(whole, Kind(), tmp_path)
    table = pq.read_table(folder / IMAGE_SHARD)
    for place, field in enumerate(table.schema):
        if field.name != "image":
            other = pa.array([5] * 12) if pa.types.is_string(field.type) else pa.array(["x"] * 12)
            table = table.set_column(place, field.name, other)
    made.put(folder / IMAGE_SHARD, table)
    told = checked(folder).differences
    assert any(f"{IMAGE_SHARD}: column width should be int32, it is string" in line for line in told)


def test_ctrl_c_ends_the_threads(whole: dict[str, Path]) -> None:
    class Stopping(Console):
        """The user presses Ctrl-C when the first file is done."""

        def progress(self, total: int, **_: Any) -> Any:  # type: ignore[override]
            class Bar:
                def update(self, count: int, **_: Any) -> None:
                    raise KeyboardInterrupt

            return contextlib.nullcontext(Bar())

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        check(str(whole["images"]), "full", Stopping())
    assert threading.active_count() == before


def test_a_dropped_pair_may_stay_in_its_shard(whole: dict[str, Path], tmp_path: Path) -> None:
    """With kept=false, as an upload then sends next to nothing; not one of the removal list."""
    folder = copied(whole, Kind(), tmp_path)
    keys = sorted([*made.GONE[:29], made.pair(4)["key"]])
    made.write_changes(folder, keys, ["drifted"] * 20 + ["removed"] * 10)
    made.seal(folder)
    assert checked(folder).differences == []
