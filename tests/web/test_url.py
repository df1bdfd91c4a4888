"""What becomes of the URLs that manifests and redirects hold."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from builder.reasons import Dropped, Reason
from builder.web.url import LONGEST, fallback, normalise, redirect

SENT = [
    ("http://example.com/a.jpg", "http://example.com/a.jpg"),
    ("http://example.com", "http://example.com/"),
    ("http://example.com?q=1", "http://example.com/?q=1"),
    ("  \u3000\ufeffhttps://example.com/a.jpg\r\n\xa0", "https://example.com/a.jpg"),
    ("HTTPS://EXAMPLE.com/A.JPG", "https://example.com/A.JPG"),
    ("//example.com/a.jpg", "http://example.com/a.jpg"),
    ("http://example.com/图/一.jpg?名=值", "http://example.com/%E5%9B%BE/%E4%B8%80.jpg?%E5%90%8D=%E5%80%BC"),
    ('http://example.com/a b".jpg?c d', "http://example.com/a%20b%22.jpg?c%20d"),
    ("http://example.com/%3a%7E/%e5?u=http%3A%2f%2Fx", "http://example.com/%3a%7E/%e5?u=http%3A%2f%2Fx"),
    ("http://example.com//a/./b/../c;d=1?x=%&y[]=|", "http://example.com//a/./b/../c;d=1?x=%&y[]=|"),
    ("http://example.com/a&amp;b?c&amp;d", "http://example.com/a&amp;b?c&amp;d"),
    ("http://example.com/a.jpg#top", "http://example.com/a.jpg"),
    ("http://example.com/a.jpg?", "http://example.com/a.jpg"),
    ("https://图片.中国/", "https://xn--wcsw84d.xn--fiqs8s/"),
    ("http://Bücher.example。com/", "http://xn--bcher-kva.example.com/"),
    ("http://xn--fiq228c.com./", "http://xn--fiq228c.com./"),
    ("http://%E4%B8%AD.com/", "http://xn--fiq.com/"),
    ("http://a_b.-c-.example.com/", "http://a_b.-c-.example.com/"),
    ("http://example.com:80/", "http://example.com/"),
    ("https://example.com:443/", "https://example.com/"),
    ("http://example.com:08080/", "http://example.com:8080/"),
    ("http://example.com:/", "http://example.com/"),
    ("http://[2001:DB8:0::1]:8080/x", "http://[2001:db8::1]:8080/x"),
    ("http:\\\\example.com\\a\\b?c\\d", "http://example.com/a/b?c\\d"),
    ("http://example.com\\@evil.com/", "http://example.com/@evil.com/"),
    ("http://2130706433/", "http://127.0.0.1/"),
    ("http://0x7f000001/", "http://127.0.0.1/"),
    ("http://0177.0.0.01/", "http://127.0.0.1/"),
    ("http://0x7F.1/", "http://127.0.0.1/"),
    ("http://１６９.254.169.254/", "http://169.254.169.254/"),
]
INVALID = [
    None, "", " \t", "http://", "http:///a.jpg", "https:a.jpg", "/a.jpg", "a.jpg", "example.com/a.jpg",
    "example.com:80/a.jpg", "http://user@example.com/", "http://user:word@example.com/", "http://@example.com/",
    "http://exam ple.com/", "http://exa<mple.com/", "http://a..b/", "http://.com/", "http://example.com:port/",
    "http://example.com:0/", "http://example.com:65536/", "http://example.com:１/", "http://[::1/", "http://[::1]x/",
    "http://[fe80::1%25eth0]/", "http://[127.0.0.1]/", "http://::1/", "http://256.1.1.1/", "http://1.2.3.4.5/",
    "http://127.0.0.09/", "http://4294967296/", "http://example.com/a\nb", "http://example.com/\x00b", "http://\u200d/",
    "http://example.com/\ud800", f"http://{'a' * 64}.com/", f"http://{'a.' * 130}com/", f"http://%{'9' * 99}/",
    "http://1_0.1/", "http://0o7.1/", "http://1%20.2/",
    "http://example.com/" + "a" * LONGEST, "http://example.com/" + "图" * (LONGEST // 8),
]  # fmt: skip
FOREIGN = [
    "data:image/png;base64,AA==",
    "file:///etc/passwd",
    "ftp://example.com/a.jpg",
    "javascript:void(0)",
]
MOVED = [
    ("https://other.com/x", "https://other.com/x"),
    ("//other.com/x", "https://other.com/x"),
    ("/x/../y?q#f", "https://example.com:81/y?q"),
    ("x.jpg", "https://example.com:81/d/x.jpg"),
    ("../x.jpg", "https://example.com:81/x.jpg"),
    ("?q=2", "https://example.com:81/d/e.jpg?q=2"),
    ("/%3a%7e b/图.jpg", "https://example.com:81/%3a%7e%20b/%E5%9B%BE.jpg"),
    ("/\udcd6\udcd0.jpg", "https://example.com:81/%D6%D0.jpg"),
    ("https://图片.中国/", "https://xn--wcsw84d.xn--fiqs8s/"),
]


@pytest.mark.parametrize(("raw", "sent"), SENT)
def test_what_is_sent(raw: str, sent: str) -> None:
    assert normalise(raw) == sent


@pytest.mark.parametrize("raw", INVALID)
def test_what_is_no_url(raw: str | None) -> None:
    with pytest.raises(Dropped) as caught:
        normalise(raw)
    assert caught.value.reason is Reason.INVALID_URL


@pytest.mark.parametrize("raw", [*FOREIGN, *map(str.upper, FOREIGN)])
def test_schemes_other_than_http_are_blocked(raw: str) -> None:
    with pytest.raises(Dropped) as caught:
        normalise(raw)
    assert caught.value.reason is Reason.BLOCKED_SCHEME


def test_the_longest_url_is_sent() -> None:
    url = "http://example.com/".ljust(LONGEST, "a")
    assert normalise(url) == url


HOSTS = st.one_of(st.text(), st.sampled_from(["a.com", "图.中国", "[::1]", "1.2.3.4", "a.com:81", "%41.com"]))
WILD = st.one_of(
    st.text(),
    st.builds(
        "{}{}/{}?{}".format, st.sampled_from(["http://", "//", "HTTPS:\\\\"]), HOSTS, st.text(), st.text()
    ),
)


@given(WILD)
def test_any_text_becomes_one_ascii_url_that_goes_out_unchanged_or_is_dropped(raw: str) -> None:
    try:
        url = normalise(raw)
    except Dropped:
        return
    assert url.isascii()
    assert url.isprintable()
    assert normalise(url) == url
    parsed = URL(url, encoded=True)
    assert url.endswith(parsed.raw_path_qs)
    assert f"//{parsed.host_subcomponent}" in url or str(parsed.raw_host).endswith(".")


@pytest.mark.parametrize(("location", "url"), MOVED)
def test_where_a_redirect_leads(location: str, url: str) -> None:
    assert redirect("https://example.com:81/d/e.jpg?z", location) == url


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        (nowhere, Reason.REDIRECTS)
        for nowhere in ("", " ", "#x", "http:", "http://user@h/", "//", "http://[/", "/\x07b")
    ]
    + [(foreign, Reason.BLOCKED_SCHEME) for foreign in FOREIGN],
)
def test_where_a_redirect_leads_nowhere(location: str, reason: Reason) -> None:
    with pytest.raises(Dropped) as caught:
        redirect("https://example.com/", location)
    assert caught.value.reason is reason


@given(st.text(alphabet=st.characters()))
def test_any_location_leads_somewhere_or_is_dropped(location: str) -> None:
    with suppress(Dropped):
        url = redirect("http://example.com/a/b", location)
        assert normalise(url) == url


@pytest.mark.parametrize(
    ("url", "other"),
    [
        ("http://h/a?b=1&amp;c=2&amp;amp;d", "http://h/a?b=1&c=2&d"),
        ("http://h/a?b=1&c=2", None),
        ("http://h/a?b=1&lt;", None),
    ],
)
def test_only_amp_is_unescaped_for_the_second_try(url: str, other: str | None) -> None:
    assert fallback(url) == other
