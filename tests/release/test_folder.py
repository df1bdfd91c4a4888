"""A release in a local folder: what lies there, and what a kill at any step leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.console import Console
from builder.disk.release import NAME
from builder.errors import InputError, UsageError
from builder.release.config import ReleaseConfig
from builder.release.folder import Folder
from builder.release.upload import open_target
from tests.release.publishing import contents, paths


def target_of(output: Path, **more: Any) -> Any:
    return open_target(ReleaseConfig(root="r", output=str(output), **more), Console(quiet=True))


def to_folder(output: Path, folder: Path, version: str) -> None:
    target = target_of(output)
    assert isinstance(target, Folder)
    target.begin(version)
    first = paths(folder)[-1]
    target.put(folder, [first])
    assert Path(target.staged(first)).is_file()
    left = [path for path in [*paths(folder), NAME] if path != first]
    target.publish(folder, left, {*left, first}, version, "")


def test_a_folder_holds_the_release_and_nothing_else(tmp_path: Path, release: Path, second: Path) -> None:
    output = tmp_path / "out"
    wanted = contents(release), contents(second)
    to_folder(output, release, "v1")
    assert contents(output) == wanted[0]
    assert target_of(output).previous().version == "v1"
    (output / ".git").mkdir()
    to_folder(output, second, "v2")
    assert target_of(output).versions() == ["v2"]
    assert contents(output) | {} == wanted[1]
    assert not (output / ".release" / "before.json").exists()


def test_a_folder_with_files_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(
        UsageError, match=r"out: holds thesis.tex, which is of no release; choose an empty folder"
    ):
        target_of(tmp_path / "out").previous()
    with pytest.raises(UsageError, match="not a folder"):
        target_of(tmp_path / "out" / "thesis.tex").previous()


STEPS = ["replace", "unlink"]


@pytest.mark.parametrize("step", range(1, 11))
def test_a_folder_killed_at_any_step_goes_on(
    tmp_path: Path, release: Path, second: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step'th change of the disk is the last of the first run."""
    output, wanted = tmp_path / "out", contents(second)
    to_folder(output, release, "v1")
    count = 0

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count > step:
                raise KeyboardInterrupt
            return change(*arguments, **more)

        return call

    with monkeypatch.context() as patch:
        for name in STEPS:
            patch.setattr(Path, name, counted(getattr(Path, name)))
        with pytest.raises(KeyboardInterrupt):
            to_folder(output, second, "v2")
    document = output / NAME
    assert not document.exists() or json.loads(document.read_text())["version"] in ("v1", "v2")
    target = target_of(output)
    assert target.previous().version in ("v1", "v2")
    target.begin("v2")
    target.publish(second, list(wanted), {*wanted}, "v2", "")
    assert contents(output) == wanted
    assert target.previous().version == "v2"


def test_a_folder_without_release_json_is_not_published(tmp_path: Path, release: Path) -> None:
    (release / NAME).unlink()
    target = target_of(tmp_path / "out")
    target.begin("v1")
    with pytest.raises(InputError, match=r"no release\.json to publish"):
        target.publish(release, paths(release), {*paths(release)}, "v1", "")
