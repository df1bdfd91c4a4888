"""The page in a real browser, as a reader meets it: on a desk and on a phone, in daylight and at night."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from builder.cli import main
from tests.runs import make_run

from . import planted
from .conftest import Made

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")

TOO_WIDE = """[...document.querySelectorAll('body *')].filter(one => {
    const box = one.getBoundingClientRect();
    return box.width && box.right > innerWidth + 1 && !one.closest('svg');
}).map(one => one.outerHTML.slice(0, 80))"""
SMALLEST_TEXT = """(() => {
    const shown = [...document.querySelectorAll('svg')].filter(svg => svg.getBoundingClientRect().width);
    return Math.min(...shown.flatMap(svg => [...svg.querySelectorAll('text')].map(text =>
        parseFloat(getComputedStyle(text).fontSize) * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width)));
})()"""
CUT_LABELS = """[...document.querySelectorAll('svg')].filter(svg => svg.getBoundingClientRect().width).flatMap(svg => {
    const page = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].map(text => [text.textContent, text.getBoundingClientRect()])
        .filter(([_, box]) => box.left < page.left - 1 || box.right > page.right + 1
            || box.top < page.top - 1 || box.bottom > page.bottom + 1).map(([words, _]) => words);
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


SIZES = {"desk": (1280, 900), "phone": (390, 844)}


def opened(browser: Any, made: Made, size: str) -> Iterator[Any]:
    """The page, and as page.told what the browser had to say and to ask while it opened it."""
    width, height = SIZES[size]
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
    page.told = []
    page.on("console", lambda message: page.told.append(message.text))
    page.on("pageerror", lambda error: page.told.append(str(error)))
    page.on("request", lambda one: one.url.startswith("data:") or page.told.append(one.url))
    page.goto(made.page.as_uri())
    yield page
    page.close()


@pytest.fixture(scope="module", params=[*SIZES])
def page(request: pytest.FixtureRequest, browser: Any, made: Made) -> Iterator[Any]:
    yield from opened(browser, made, request.param)


@pytest.fixture(scope="module", params=[*SIZES])
def curated_page(request: pytest.FixtureRequest, browser: Any, curated: Made) -> Iterator[Any]:
    yield from opened(browser, curated, request.param)


@pytest.fixture(scope="module", params=[*SIZES])
def run_page(
    request: pytest.FixtureRequest, browser: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("run")
    made = Made(make_run(folder / "run"), folder / "run.html", [])
    assert main(["report", str(made.root), str(made.page), "--quiet"]) == 0
    yield from opened(browser, made, request.param)


def test_the_page_of_a_run_fits_and_asks_for_nothing(run_page: Any) -> None:
    assert run_page.told == [run_page.url]
    assert run_page.title() == "run: how it was trained"
    assert run_page.evaluate(TOO_WIDE) == []
    assert run_page.locator("svg:visible").count() == 9
    assert run_page.evaluate(SMALLEST_TEXT) >= 11
    assert run_page.evaluate(CUT_LABELS) == []
    assert run_page.locator("h1, h2").all_inner_texts() == [
        "run", "Curves", "Recipe", "Pairs lost", "Checkpoints", "What it was made of",
    ]  # fmt: skip


def test_it_opens_without_a_complaint_and_asks_for_nothing_else(page: Any, made: Made) -> None:
    assert page.told == [made.page.as_uri()]
    assert (
        page.title() == "root: what was kept, and why the rest was not"
    )  # a hostile caption would set another


def test_nothing_runs_over_the_edge(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(TOO_WIDE) == []


def test_nothing_runs_over_the_edge_when_all_is_unfolded(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate(TOO_WIDE) == []
    assert "长" * 500 in page.locator("body").inner_text().replace("\n", "")
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = false)")


def test_every_picture_is_there(page: Any) -> None:
    sizes = page.evaluate("[...document.images].map(one => [one.complete, one.naturalWidth, one.width])")
    assert len(sizes) > 30
    assert all(complete and 0 < natural <= 192 and width > 0 for complete, natural, width in sizes)


def test_labels_of_charts_can_be_read(page: Any) -> None:
    assert page.locator("svg:visible").count() == 3
    assert page.evaluate(SMALLEST_TEXT) >= 11
    assert page.evaluate(CUT_LABELS) == []


def test_the_table_adds_up(page: Any, made: Made) -> None:
    cells = page.locator("#fates tbody td:nth-child(2)").all_inner_texts()
    assert sum(int(cell.replace(",", "")) for cell in cells) == made.manifest
    assert page.locator("#fates tfoot td").first.inner_text() == str(made.manifest)


def test_a_reader_finds_the_way(page: Any) -> None:
    headings = page.locator("h1, h2").all_inner_texts()
    assert headings == [
        "root", "From manifest to kept", "Survival by host", "Scores", "Samples", "How this was decided",
    ]  # fmt: skip
    page.locator("nav a", has_text="drifted").click()
    assert page.locator("#drifted").is_visible()
    assert page.get_by_role("img", name="rows of the manifest").locator("visible=true").count() == 1
    page.goto(page.url.partition("#")[0])


def test_hostile_words_stand_in_their_place(page: Any) -> None:
    assert planted.SCRIPT in page.locator(".caption", has_text="<script>").first.inner_text()
    kinds = (
        "[...new Set([...document.querySelectorAll('bdi')].map(one => getComputedStyle(one).unicodeBidi))]"
    )
    assert page.evaluate(kinds) == ["isolate"]
    assert page.locator("a:not([href^='#'])").count() == 0


def test_night_and_paper(page: Any) -> None:
    colour = "getComputedStyle(document.body).backgroundColor"
    bars = "getComputedStyle(document.querySelector('.funnel [style*=\"--kept\"]')).fill"
    day = page.evaluate(colour), page.evaluate(bars)
    page.emulate_media(color_scheme="dark")
    night = page.evaluate(colour), page.evaluate(bars)
    assert day[0] == "rgb(255, 255, 255)"
    assert all(one != other for one, other in zip(day, night, strict=True))
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(colour) == day[0]
    page.emulate_media(media="screen", color_scheme="light")


def test_the_page_of_a_curated_root_fits_and_asks_for_nothing(curated_page: Any, curated: Made) -> None:
    assert curated_page.told == [curated.page.as_uri()]
    assert curated_page.evaluate(TOO_WIDE) == []
    curated_page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert curated_page.evaluate(TOO_WIDE) == []
    sizes = curated_page.evaluate(
        "[...document.images].map(one => [one.complete, one.naturalWidth, one.width])"
    )
    assert len(sizes) > 30
    assert all(complete and 0 < natural <= 192 and width > 0 for complete, natural, width in sizes)


def test_labels_of_measures_can_be_read(curated_page: Any) -> None:
    assert curated_page.locator("svg:visible").count() == 7
    assert curated_page.evaluate(SMALLEST_TEXT) >= 11
    assert curated_page.evaluate(CUT_LABELS) == []


def test_what_may_disturb_is_seen_when_it_is_asked_for(curated_page: Any) -> None:
    curated_page.evaluate("document.querySelectorAll('details').forEach(one => one.open = false)")
    picture = curated_page.locator("details.hidden img").first
    assert not picture.is_visible()
    curated_page.locator("details.hidden > summary").click()
    assert picture.is_visible()
    curated_page.evaluate("document.querySelectorAll('details').forEach(one => one.open = false)")


def test_a_reader_finds_the_way_through_a_curation(curated_page: Any) -> None:
    assert curated_page.locator("h1, h2").all_inner_texts() == [
        "root", "From manifest to kept", "Survival by host", "Measures and their thresholds", "Duplicates",
        "How this was decided",
    ]  # fmt: skip
    levels = curated_page.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4')].map(one => +one.tagName[1])"
    )
    assert all(later <= sooner + 1 for sooner, later in itertools.pairwise(levels))
    for link in curated_page.locator("nav a").all():
        assert curated_page.locator(link.get_attribute("href")).is_visible()
