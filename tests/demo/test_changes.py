"""A year later the host serves what the changed truth says: other bytes where planted, the same anywhere else."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder.demo import changes
from builder.demo.host import Route
from builder.demo.pictures import file
from builder.demo.scene import attributes, unlike
from builder.demo.truth import TOLERANCE, Truth, distance

from .client import judge, see
from .conftest import Site

NEAR = 20  # levels of the average cell; of 600 pairs the harmless moved it by 16 at most, the replaced by 30 and more


@dataclasses.dataclass(frozen=True)
class Later:
    site: Site
    routes: dict[str, Route]
    rows: list[dict[str, Any]]

    def of(self, *names: str | None) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """(before, now) of the pairs of the release that were changed so."""
        both = zip(self.site.truth.rows, self.rows, strict=True)
        return [(old, new) for old, new in both if new["change"] in names and old["outcome"] == "kept"]


def average(old: dict[str, Any], new: dict[str, Any]) -> float:
    first, second = (np.frombuffer(row["thumbnail"], np.uint8).astype(int) for row in (old, new))
    return float(abs(first - second).mean())


def change(site: Site, folder: Path) -> Later:
    folder.mkdir()
    routes = changes.write(folder, 0, site.truth.rows, site.host.routes)
    return Later(site, routes, Truth.read(folder / "truth-later.parquet").rows)


@pytest.fixture(scope="session")
def later(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Later:
    return change(site, tmp_path_factory.mktemp("later") / "web")


@pytest.fixture
def asked(later: Later, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[str | None, bytes]]:
    """What each pair of the release comes to, asked of the host: key -> reason, body."""
    monkeypatch.setattr(later.site.host, "routes", later.routes)
    rows = [old for old in later.site.truth.rows if old["outcome"] == "kept"]
    return {row["key"]: judge(row["url"]) for row in rows}


def test_the_host_serves_what_the_changed_truth_says(
    later: Later, asked: dict[str, tuple[str | None, bytes]]
) -> None:
    for _, new in later.of(*(change.name for change in changes.CHANGES), None):
        reason, body = asked[new["key"]]
        assert reason == new["reason"], (new["change"], new["url"])
        if reason is None:
            assert distance(see(body), new["thumbnail"]) <= TOLERANCE, (new["change"], new["url"])


def test_bytes_differ_where_a_change_was_planted_and_nowhere_else(later: Later) -> None:
    for target, before in later.site.host.routes.items():
        now = later.routes[target]
        if now != before and now.file and before.file:
            assert now.file.read_bytes() != before.file.read_bytes(), target
    changed = [row for row in later.rows if row["change"]]
    assert sum(later.routes[t] != route for t, route in later.site.host.routes.items()) == len(changed)


def test_what_is_harmless_shows_what_it_showed_and_what_is_replaced_does_not(later: Later) -> None:
    for old, new in later.of(*changes.WRITERS):
        assert average(old, new) <= NEAR, new["change"]
    for old, new in later.of(changes.REPLACED):
        assert average(old, new) > NEAR, new["url"]


def test_a_banner_stands_under_several_captions_that_disagree(later: Later) -> None:
    captions: dict[bytes, list[str]] = {}
    for index, row in enumerate(later.rows):
        if row["change"] == changes.BANNER:
            captions.setdefault(row["thumbnail"], []).append(file(index, 0).scene.alt_text)
    assert 1 <= len(captions) <= len(changes.BANNERS)
    assert min(len(set(texts)) for texts in captions.values()) >= changes.FEWEST


def test_no_caption_of_the_pair_means_the_scene_that_replaces_its_own(later: Later) -> None:
    for index, row in enumerate(later.rows):
        if row["change"] == changes.REPLACED:
            shown = file(index, 0).scene.attributes
            other = attributes(unlike(index, len(later.rows), 0, shown), 0)
            assert other.colour != shown.colour
            assert other.shape != shown.shape


def test_faults_and_placeholders_of_the_first_web_remain(later: Later) -> None:
    both = zip(later.site.truth.rows, later.rows, strict=True)
    assert all(new == old for old, new in both if not old["kind"] or old["reason"])


def test_every_change_is_planted_by_its_share(later: Later) -> None:
    counts = Counter(row["change"] for row in later.rows)
    times = Counter(row["scene"] for row in later.rows)
    own = sum(
        row["kind"] is not None and row["outcome"] == "kept" and times[row["scene"]] == 1
        for row in later.site.truth.rows
    )
    for one in changes.CHANGES:
        assert counts[one.name] == max(changes.FEWEST, round(one.share * own)), one.name
    assert counts[None] > 0.6 * len(later.rows)


def test_the_same_seed_makes_the_same_changes(site: Site, later: Later, tmp_path: Path) -> None:
    again = change(site, tmp_path / "web")
    assert again.rows == later.rows
    files = {path.name: path.read_bytes() for path in (tmp_path / "web" / "web-later").iterdir()}
    paths = {route.file for route in later.routes.values() if route.file}
    first = {path.name: path.read_bytes() for path in paths if path.parent.name == "web-later"}
    assert files == first
