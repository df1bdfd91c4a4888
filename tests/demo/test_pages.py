"""The pages of the small Common Crawl name each picture once, and hold a link for every reason to drop one."""

from __future__ import annotations

from collections import Counter

from builder.demo.pages import AGAIN, ALT, CAPTION, FILES, JUNK, LOADING, PlantedLink, pages
from builder.demo.web import LIST, WARC
from builder.reasons import CRAWL_REASONS, Reason

from .conftest import Site

ASKED_FOR = {Reason.DENIED_HOST, Reason.UNSAFE_TEXT}  # where a list, or a classifier, is given


def links(site: Site) -> list[PlantedLink]:
    return [link for each in pages(site.rows) for page in each for link in page.links]


def test_a_picture_is_named_once_and_none_of_the_list(site: Site) -> None:
    named = Counter((link.src, link.text) for link in links(site) if link.planted == "picture")
    crawled = [(row.src, row.text) for row in site.rows if row.place != LIST]
    assert named == Counter(crawled)
    assert set(named.values()) == {1}


def test_every_reason_to_drop_a_link_is_planted_in_every_file(site: Site) -> None:
    for each in pages(site.rows):
        found = {link.reason for page in each for link in page.links if link.reason}
        wanted = {*CRAWL_REASONS, Reason.INVALID_URL, Reason.BLOCKED_SCHEME} - ASKED_FOR - {Reason.DUPLICATE}
        assert found >= {reason.value for reason in wanted}
    names = [junk.planted for junk in JUNK]
    assert len(set(names)) == len(names)


def test_pairs_come_again_in_later_files_and_not_in_what_is_read_as_warc(site: Site) -> None:
    files = pages(site.rows)
    assert len(files) == FILES
    again = [[link for page in each for link in page.links if link.planted == AGAIN] for each in files]
    assert [bool(some) for some in again] == [False, True, True, False]
    first = {(link.url, link.text) for link in files[0][0].links if link.source}
    assert {(link.src, link.text) for some in again for link in some} == first


def test_what_a_script_loads_is_told_by_the_warc_alone(site: Site) -> None:
    lazy = [link for link in links(site) if link.lazy]
    assert len(lazy) == sum(row.place == WARC for row in site.rows)
    captioned = [link for link in lazy if link.source == CAPTION]
    assert len(captioned) == len(lazy) // 2
    assert {(link.by_wat().src, link.by_wat().text, link.by_wat().reason) for link in captioned} == {
        (LOADING, None, "no_text")
    }
    others = [link for link in lazy if link.source == ALT]
    assert {(link.by_wat().src, link.by_wat().reason) for link in others} == {(LOADING, "placeholder_url")}
    assert all(link.by_wat().text == link.text for link in others)
    assert all(link.by_wat() == link for link in links(site) if not link.lazy)


def test_no_two_pages_have_one_address(site: Site) -> None:
    urls = [page.url for each in pages(site.rows) for page in each]
    assert len(set(urls)) == len(urls)
