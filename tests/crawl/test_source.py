"""The files of a source, whatever it is: their names, their order, and one line where it is none."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.console import Console
from builder.crawl.source import LIST_BYTES, CrawlFile, find_files
from builder.errors import EnvironmentProblem, InputError, UsageError
from tests.crawl.crawlhost import CrawlHost, Odd

CRAWL = "CC-MAIN-2025-30"
NAMES = [f"crawl-data/{CRAWL}/segments/{number}/wat/{number}.warc.wat.gz" for number in (1, 2, 3)]
LIST = f"/crawl-data/{CRAWL}/wat.paths.gz"
QUIET = Console(stream=io.StringIO())


@pytest.fixture
def web() -> Iterator[CrawlHost]:
    with CrawlHost({LIST: gzip.compress("\n".join([*NAMES[::-1], ""]).encode())}) as host:
        yield host


def find(source: str | Path, kind: str = "wat", mirror: str = "https", limit: int = 0) -> list[CrawlFile]:
    return find_files(str(source), kind, mirror, limit, QUIET)


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"123")
    return folder


def test_a_crawl_is_its_own_list_in_order(web: CrawlHost) -> None:
    roots = {"https": web.url("/")}
    files = find_files(CRAWL, "wat", "https", 0, QUIET, roots)
    assert [file.name for file in files] == NAMES
    assert files[0] == CrawlFile(NAMES[0], web.url("/" + NAMES[0]), CRAWL, None, "wat")
    assert find_files(CRAWL, "wat", "https", 2, QUIET, roots) == files[:2]
    assert pickle.loads(pickle.dumps(files)) == files
    with pytest.raises(InputError, match=r"CC-MAIN-2025-30: no such crawl, or one without such files"):
        find_files(CRAWL, "warc", "https", 0, QUIET, roots)


def test_a_blocked_list_says_so_and_is_not_asked_for_again(web: CrawlHost) -> None:
    web.next(LIST, Odd(status=403))
    with pytest.raises(EnvironmentProblem, match="wait at least 15 minutes"):
        find_files(CRAWL, "wat", "https", 0, QUIET, {"https": web.url("/")})
    assert len(web.asked) == 1


@pytest.mark.parametrize(
    "name", ["CC-MAIN-2025-3", "CC-MAIN-2025-300", "cc-main-2025-30", "CCMAIN-2025-30", "2025-30"]
)
def test_a_misspelt_crawl_is_told(name: str) -> None:
    with pytest.raises(UsageError, match="no name of a crawl"):
        find(name)


def test_the_bucket_of_the_hub_has_the_crawls_of_2026_on() -> None:
    with pytest.raises(UsageError, match="holds the crawls of 2026 on; give --mirror https or s3"):
        find(CRAWL, mirror="hf")


def test_a_list_on_the_web_leads_to_where_it_lies(web: CrawlHost) -> None:
    web.files["/mirror" + LIST] = web.files[LIST]
    files = find(web.url("/mirror" + LIST))
    assert [(file.name, file.url) for file in files] == [(name, web.url("/mirror/" + name)) for name in NAMES]


@pytest.mark.parametrize("packed", [True, False])
def test_a_list_of_this_machine_leads_to_the_mirror(tmp_path: Path, packed: bool) -> None:
    text = "\r\n".join([NAMES[1], NAMES[0], NAMES[1], ""]).encode()
    path = tmp_path / ("wat.paths.gz" if packed else "mine.txt")
    path.write_bytes(gzip.compress(text, mtime=0) if packed else text)
    for mirror, root in (("https", "https://data.commoncrawl.org/"), ("s3", "s3://commoncrawl/")):
        files = find(path, mirror=mirror)
        assert [(file.name, file.url, file.crawl) for file in files] == [
            (name, root + name, CRAWL) for name in NAMES[:2]
        ]


def test_a_mirror_on_a_disk_is_read_by_its_own_list(tmp_path: Path) -> None:
    make(tmp_path, *NAMES)
    (tmp_path / LIST[1:]).write_text("\n".join(NAMES))
    (tmp_path / LIST[1:]).rename(tmp_path / LIST[1:-3])
    files = find(tmp_path / LIST[1:-3])
    assert [(file.name, file.url, file.bytes) for file in files] == [
        (name, str(tmp_path / name), 3) for name in NAMES
    ]


def test_a_list_may_hold_paths_of_this_machine_and_urls(tmp_path: Path) -> None:
    make(tmp_path, "x/a.warc.wat.gz", "y/a.warc.wat.gz")
    path = tmp_path / "list.txt"
    path.write_text(f"x/a.warc.wat.gz\n{tmp_path}/y/a.warc.wat.gz\n")
    assert [(file.name, file.url) for file in find(path)] == [
        (f"{one}/a.warc.wat.gz", f"{tmp_path}/{one}/a.warc.wat.gz") for one in "xy"
    ]
    path.write_text(f"s3://bucket/a.warc.wat.gz\nhttps://h.invalid/{NAMES[0]}\n")
    assert {file.url for file in find(path)} == {"s3://bucket/a.warc.wat.gz", f"https://h.invalid/{NAMES[0]}"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("crawl-data/x/robots.wet.gz", "neither a WAT nor a WARC"),
        ("crawl-data/CC-MAIN-2025-30/wat.paths.gz", "neither a WAT nor a WARC"),
        ("ftp://host/a.wat.gz", "no path below"),
        ("a\x07.wat.gz", "no path below"),
        ("https://h.invalid/a\x07.wat.gz", "no path below"),
        ("a" * 3000 + ".wat.gz", "no path below"),
        ("a" * 300 + ".wat.gz", "File name too long, though the list names it"),
        ("gone.warc.wat.gz", "No such file or directory, though the list names it"),
    ],
)
def test_a_list_that_cannot_be_read_by_is_told(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=told) as caught:
        find(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("entry", ["/etc/a.wat.gz", "../../a.wat.gz", "file:///etc/a.wat.gz"])
def test_a_list_of_the_web_names_nothing_of_this_machine(web: CrawlHost, entry: str) -> None:
    web.files["/a.txt"] = entry.encode()
    with pytest.raises(InputError, match="no path below"):
        find(web.url("/a.txt"))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (gzip.compress(b"x" * 1000, mtime=0)[:-12], "damaged gzip"),
        (b"\x1f\x8b garbage", "damaged gzip"),
        (b"\xff\xfe\x00", "no text"),
        (gzip.compress(bytes(LIST_BYTES + 1), 1, mtime=0), "more than 64 MiB"),
        (gzip.compress(b"\n" * 2_000_001, 1, mtime=0), "or 2,000,000 lines"),
    ],
)
def test_a_list_that_is_no_list_is_told(tmp_path: Path, data: bytes, told: str) -> None:
    path = tmp_path / "wat.paths.gz"
    path.write_bytes(data)
    with pytest.raises(InputError, match=told):
        find(path)


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from([name.encode() for name in NAMES]),
            st.text().map(str.encode),
        )
    ),
    st.booleans(),
)
def test_whatever_a_list_holds_it_is_files_or_one_line(lines: list[bytes], packed: bool) -> None:
    data = b"\n".join(lines)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "list.txt")
        path.write_bytes(gzip.compress(data, 1, mtime=0) if packed else data)
        try:
            files, said = find(path), ""
        except (InputError, UsageError) as error:
            files, said = [], str(error)
    assert "\n" not in said
    assert [(file.crawl, file.name) for file in files] == sorted({(file.crawl, file.name) for file in files})


def test_links_to_files_count_as_files(tmp_path: Path) -> None:
    there = make(tmp_path / "there", "a.warc.wat.gz")
    folder = make(tmp_path / "folder", "b.warc.wat.gz")
    (folder / "a.warc.wat.gz").symlink_to(there / "a.warc.wat.gz")
    (folder / "c.warc.wat.gz").symlink_to(there / "nowhere")
    for source in (folder, f"{folder}/*.wat.gz"):
        assert [one.name for one in find(source)] == ["a.warc.wat.gz", "b.warc.wat.gz"]
    assert {one.bytes for one in find(folder)} == {(there / "a.warc.wat.gz").stat().st_size}


def test_files_folders_and_globs_give_the_same_files(tmp_path: Path) -> None:
    make(
        tmp_path,
        "b.warc.wat.gz",
        "a/c.warc.wat.gz",
        "a/d.warc.gz",
        "wat.paths.gz",
        ".e.wat.gz",
        "a/readme.md",
    )
    assert [(one.name, one.bytes, one.crawl) for one in find(tmp_path)] == [
        ("a/c.warc.wat.gz", 3, ""),
        ("b.warc.wat.gz", 3, ""),
    ]
    assert [one.name for one in find(tmp_path / "*.wat.gz")] == ["b.warc.wat.gz"]
    assert [one.name for one in find(tmp_path / "**")] == ["a/c.warc.wat.gz", "b.warc.wat.gz"]
    assert [one.name for one in find(tmp_path / "b.warc.wat.gz")] == ["b.warc.wat.gz"]
    assert [one.name for one in find(tmp_path, "warc")] == ["a/d.warc.gz"]


def test_a_name_that_tells_nothing_is_what_from_says(tmp_path: Path) -> None:
    make(tmp_path, "part-1.gz", "notes")
    assert [(one.name, one.kind) for one in find(tmp_path, "warc")] == [("part-1.gz", "warc")]
    assert find(tmp_path / "notes")[0].kind == "wat"


def test_wats_are_no_warcs(tmp_path: Path) -> None:
    make(tmp_path, "b.warc.wat.gz")
    for source in (tmp_path, tmp_path / "b.warc.wat.gz", "https://h.invalid/x.warc.wat.gz"):
        with pytest.raises(
            UsageError, match=r"is a WAT file, and --from warc asks for WARC files: give --from wat"
        ):
            find(source, "warc")
    with pytest.raises(UsageError, match=r"is a WARC file, and --from wat"):
        find("https://h.invalid/x.warc.gz")


def test_a_pipe_is_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a pipe, device, socket or broken link"):
        find(tmp_path / "pipe")


def test_a_file_may_begin_as_a_crawl_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "CC-MAIN-20250707183638-20250707213638-00000.warc.wat.gz"
    make(tmp_path, name)
    monkeypatch.chdir(tmp_path)
    for source in (name, "CC-MAIN-2025*.wat.gz"):
        assert find(source) == [CrawlFile(name, str(tmp_path / name), "", 3, "wat")]


@pytest.mark.parametrize("source", ["gone", "gone/*.wat.gz", "empty", "empty/*.gz"])
def test_nothing_there_is_told(tmp_path: Path, source: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no such file or folder|no WAT or WARC file"):
        find(tmp_path / source)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("ftp://host/a.wat.gz", "read are https://"),
        ("hf://datasets/a/b", "read are"),
        ("https://host/x/", "give a list"),
    ],
)
def test_places_that_are_not_read_are_told(source: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        find(source)


def test_a_single_file_of_the_web_needs_no_listing() -> None:
    url = f"https://h.invalid/m/{NAMES[0]}"
    assert find(url) == [CrawlFile(NAMES[0], url, CRAWL, None, "wat")]
    assert find("https://h.invalid/m/a.warc.wat.gz")[0].name == "a.warc.wat.gz"
