"""Transfers: whole files, few at once, gone on with where they were cut, and one line where that is no use."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from builder.crawl.source import CrawlFile
from builder.disk.root import is_spent
from builder.errors import EnvironmentProblem, InputError, Interrupted
from builder.hub.origin import FEW, Patience, Web
from builder.hub.transfer import SLOTS, Transfers
from tests.crawl.crawlhost import CrawlHost, Odd
from tests.faulthost import FaultHost

DATA = Random(1).randbytes(300_000)
PATH = "/crawl-data/CC-MAIN-2025-30/segments/1/wat/a.warc.wat.gz"
ROOT = Path(__file__).resolve().parents[2]
QUICK = Patience(waits=(0.0, 0.0, 0.0), idle=30.0)


@pytest.fixture
def web() -> Iterator[CrawlHost]:
    with CrawlHost({PATH: DATA}) as host:
        yield host


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / ".crawl"
    folder.mkdir()
    return folder


def wat(host: CrawlHost, path: str = PATH, size: int | None = None) -> CrawlFile:
    return CrawlFile(path[1:], host.url(path), "CC-MAIN-2025-30", size, "wat")


def read(file: CrawlFile, folder: Path, patience: Patience) -> bytes:
    with Transfers(folder, patience) as transfers, transfers.fetched(file) as path:
        return path.read_bytes()


def get(host: CrawlHost, folder: Path, size: int | None = None, patience: Patience = QUICK) -> bytes:
    return read(wat(host, size=size), folder, patience)


def test_a_file_is_fetched_whole_and_removed_when_it_has_been_read(web: CrawlHost, folder: Path) -> None:
    with Transfers(folder, QUICK) as transfers:
        with transfers.fetched(wat(web, size=len(DATA))) as path:
            assert path.read_bytes() == DATA
            assert transfers.received == len(DATA)
        assert not path.exists()
    (asked,) = web.asked
    assert asked.range == ""
    assert "danqing/" in asked.agent
    assert "+https://" in asked.agent


def test_a_local_file_is_given_as_it_is(tmp_path: Path, folder: Path) -> None:
    there = tmp_path / "a.warc.wat.gz"
    there.write_bytes(DATA)
    file = CrawlFile(there.name, str(there), "", len(DATA), "wat")
    with Transfers(folder, QUICK) as transfers:
        with transfers.fetched(file) as path:
            assert path == there
        assert there.read_bytes() == DATA
        assert list(folder.iterdir()) == []


def test_what_cannot_be_asked_for_is_told(tmp_path: Path, folder: Path) -> None:
    for url, told in (
        ("http://[::1/a.wat.gz", "no such address can be"),
        (str(tmp_path / "a"), "no such file"),
    ):
        with pytest.raises(InputError, match=told):
            read(CrawlFile("a", url, "", None, "wat"), folder, QUICK)


def test_a_cut_transfer_goes_on_where_it_was(web: CrawlHost, folder: Path) -> None:
    web.next(PATH, Odd(cut=100_000), Odd(cut=50_000))
    assert get(web, folder) == DATA
    first, second, third = [asked.range for asked in web.asked]
    assert first == ""
    assert 0 < int(second[6:-1]) < int(third[6:-1])
    assert web.sent[PATH] < len(DATA) + 2 * 100_000


@pytest.mark.parametrize("odd", [Odd(whole=True), Odd(status=416)])
def test_a_server_that_ignores_the_range_gives_the_file_anew(web: CrawlHost, folder: Path, odd: Odd) -> None:
    web.next(PATH, Odd(cut=100_000), odd)
    assert get(web, folder) == DATA


def test_two_versions_of_a_file_are_never_put_together(web: CrawlHost, folder: Path) -> None:
    web.next(PATH, Odd(cut=100_000))
    with pytest.raises(EnvironmentProblem):
        get(web, folder, patience=Patience(waits=()))
    assert len(list(folder.glob("*.part"))) == 1
    web.files[PATH] = Random(2).randbytes(250_000)
    assert get(web, folder) == web.files[PATH]
    assert not list(folder.glob("*.part"))


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_tried_again(web: CrawlHost, folder: Path, status: int) -> None:
    web.next(PATH, *[Odd(status=status)] * 3)
    assert get(web, folder) == DATA
    assert len(web.asked) == 4


def test_what_does_not_pass_ends_the_run_resumably(web: CrawlHost, folder: Path) -> None:
    web.next(PATH, *[Odd(status=503)] * 4)
    with pytest.raises(
        EnvironmentProblem, match=r"answered 503, 4 times in a row; run the same command again"
    ):
        get(web, folder)


@pytest.mark.parametrize("said", ["0", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_retry_after_is_taken_in_place_of_our_own_waits(web: CrawlHost, folder: Path, said: str) -> None:
    web.next(PATH, Odd(status=429, retry_after=said), Odd(status=503, retry_after=said))
    assert get(web, folder, patience=Patience(waits=(3600.0, 3600.0))) == DATA


def test_a_wait_is_ended_by_a_stop(web: CrawlHost, folder: Path) -> None:
    web.next(PATH, Odd(status=503, retry_after="3000"))
    stop = threading.Event()
    patience = Patience(stop.is_set, tell=lambda _: stop.set())
    with pytest.raises(Interrupted):
        get(web, folder, patience=patience)


def test_403_is_a_block_and_ends_at_once(web: CrawlHost, folder: Path) -> None:
    web.next(PATH, Odd(status=403))
    with pytest.raises(
        EnvironmentProblem, match=r"403, which is a block: wait at least 15 minutes"
    ) as caught:
        get(web, folder)
    assert caught.value.exit_code == 4
    assert len(web.asked) == 1


def test_a_file_that_is_not_there_is_named(web: CrawlHost, folder: Path) -> None:
    web.files.clear()
    with pytest.raises(InputError, match=r"a\.warc\.wat\.gz: no such file \(404\)"):
        get(web, folder)
    assert len(web.asked) == 1


def test_a_length_that_is_not_the_listings_is_an_error(web: CrawlHost, folder: Path) -> None:
    with pytest.raises(InputError, match=r"has 300,000 bytes, 299,999 by the listing"):
        get(web, folder, size=len(DATA) - 1)


def test_fewer_bytes_than_content_length_are_an_error(web: CrawlHost, folder: Path) -> None:
    web.next(PATH, *[Odd(length=len(DATA) + 1)] * 4)
    with pytest.raises(EnvironmentProblem, match="4 times in a row"):
        get(web, folder)


def test_without_a_length_the_listing_is_held_against_the_end(web: CrawlHost, folder: Path) -> None:
    web.next(PATH, Odd(chunked=True))
    assert get(web, folder) == DATA
    web.next(PATH, *[Odd(chunked=True)] * 4)
    with pytest.raises(EnvironmentProblem, match=r"ended after 300,000 of 300,001 bytes"):
        get(web, folder, size=len(DATA) + 1, patience=Patience(waits=()))


def test_cuts_are_counted_anew_after_each_mebibyte(web: CrawlHost, folder: Path) -> None:
    """Else a large file over a bad line would be given up although it comes."""
    web.files[PATH] = bytes(5 << 20)
    web.next(PATH, *[Odd(cut=1_200_000)] * 3)
    assert get(web, folder, patience=Patience(waits=(0.0,))) == web.files[PATH]
    web.next(PATH, *[Odd(cut=1_200_000, whole=True)] * 3)
    with pytest.raises(EnvironmentProblem, match="2 times in a row"):
        get(web, folder, patience=Patience(waits=(0.0,)))


def test_a_copy_that_is_whole_costs_one_byte(web: CrawlHost, folder: Path) -> None:
    with Transfers(folder, QUICK) as transfers, transfers.fetched(wat(web)) as path:
        name = path.name
    (folder / name).write_bytes(DATA)
    web.sent.clear()
    assert get(web, folder) == DATA
    assert web.sent[PATH] == 1


def test_a_validator_that_is_weak_is_none(web: CrawlHost, folder: Path) -> None:
    web.weak = True
    web.next(PATH, Odd(cut=100_000))
    assert get(web, folder) == DATA
    assert [asked.range for asked in web.asked] == ["", ""]


def test_a_work_folder_that_cannot_be_is_one_line(web: CrawlHost, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EnvironmentProblem, match=r"^fetching http://.*file"):
        get(web, tmp_path / "file")


def test_what_a_transfer_leaves_may_go_with_the_work_folder(web: CrawlHost, folder: Path) -> None:
    web.next(PATH, Odd(cut=100_000))
    with pytest.raises(EnvironmentProblem):
        get(web, folder, patience=Patience(waits=()))
    assert {path.suffix for path in folder.iterdir()} == {".part", ".lock"}
    assert is_spent(folder)


def test_a_connection_that_says_no_more_is_given_up(web: CrawlHost, folder: Path) -> None:
    web.next(PATH, Odd(stall=100_000))
    assert get(web, folder, patience=Patience(waits=(0.0,), idle=1.0)) == DATA
    assert web.asked[1].range


def test_a_redirect_is_followed_to_the_same_host_alone(web: CrawlHost, folder: Path) -> None:
    web.next(PATH, Odd(location="/moved.gz"))
    web.files["/moved.gz"] = b"moved"
    assert get(web, folder) == b"moved"
    for place in ("http://example.invalid/a.gz", "ftp://127.0.0.1/a.gz", "file:///etc/passwd"):
        web.next(PATH, Odd(location=place))
        with pytest.raises(EnvironmentProblem, match="neither https nor the same host"):
            get(web, folder)
    web.next(PATH, *[Odd(location=PATH)] * 5)
    with pytest.raises(EnvironmentProblem, match="redirects without end"):
        get(web, folder)


def test_a_certificate_that_nobody_trusts_is_no_lost_connection(folder: Path) -> None:
    with FaultHost(tls=True) as host:
        url = f"https://localhost:{host.tls_port}/a.wat.gz"
        with pytest.raises(EnvironmentProblem, match="CERTIFICATE_VERIFY_FAILED"):
            read(CrawlFile("a", url, "", None, "wat"), folder, Patience(waits=(3600.0,)))


def test_a_connection_that_nobody_answers_is_tried_again(folder: Path) -> None:
    told: list[str] = []
    with CrawlHost({}) as host:
        url = host.url("/a.wat.gz")
    with pytest.raises(EnvironmentProblem, match=r"the connection failed .*, 2 times in a row"):
        read(CrawlFile("a", url, "", None, "wat"), folder, Patience(tell=told.append, waits=(0.0,)))
    (line,) = told
    assert line.startswith(f"{url}: the connection failed")
    assert line.endswith("trying again in 0 s (1 of 1)")


def test_the_next_file_is_fetched_while_one_is_read_and_no_other(web: CrawlHost, folder: Path) -> None:
    names = [f"/{name}.warc.wat.gz" for name in "abc"]
    web.files |= {name: name.encode() for name in names}
    with Transfers(folder, QUICK) as transfers:
        units = transfers.ahead(names, lambda name: wat(web, name))
        assert next(units)[0] == names[0]
        assert [web.ended.get(), web.ended.get()] == names[:2]
        assert [asked.path for asked in web.asked] == names[:2]
        assert [(unit, path.read_bytes()) for unit, path in units] == [
            (one, one.encode()) for one in names[1:]
        ]
    assert not list(folder.glob("*.part"))


def test_a_local_file_waits_until_it_is_wanted(tmp_path: Path, folder: Path) -> None:
    files = [CrawlFile(name, str(tmp_path / name), "", None, "wat") for name in "ab"]
    for file in files:
        Path(file.url).write_text(file.name)
    taken = []

    def units() -> Iterator[CrawlFile]:
        for file in files:
            taken.append(file.name)
            yield file

    with Transfers(folder, QUICK) as transfers:
        for file, path in transfers.ahead(units(), lambda file: file):
            assert path.read_text() == file.name
            assert taken[-1] == file.name
    assert taken == ["a", "b"]


def test_what_goes_wrong_ahead_is_raised_after_what_went_well(web: CrawlHost, folder: Path) -> None:
    with Transfers(folder, QUICK) as transfers:
        units = transfers.ahead([PATH, "/gone.wat.gz"], lambda name: wat(web, name))
        assert next(units)[1].read_bytes() == DATA
        with pytest.raises(InputError, match=r"gone\.wat\.gz"):
            next(units)


def test_a_stop_ends_the_files_and_keeps_what_has_come(web: CrawlHost, folder: Path) -> None:
    stop = threading.Event()
    web.gate.clear()
    given: list[object] = []
    with Transfers(folder, Patience(stop.is_set)) as transfers:
        units = transfers.ahead([PATH], lambda name: wat(web, name))
        reader = threading.Thread(target=lambda: given.extend(units))
        reader.start()
        web.halfway.acquire()
        assert arrived(folder)
        stop.set()
        reader.join()
    assert given == []
    assert arrived(folder)


def test_a_small_file_that_is_none_is_not_read_to_its_end(web: CrawlHost) -> None:
    with pytest.raises(InputError, match="which no list of files has"):
        Web(QUICK).read(web.url(PATH), 100_000)


def test_at_most_eight_transfers_are_under_way_on_a_machine(web: CrawlHost, folder: Path) -> None:
    """Three processes that want five files each at once."""
    web.gate.clear()
    for number in range(15):
        web.files[f"/{number}.wat.gz"] = DATA
    code = (
        "import sys, threading; from pathlib import Path; from tests.hub.test_transfer import QUICK, fetch_one\n"
        "threads = [threading.Thread(target=fetch_one, args=(Path(sys.argv[1]), url)) for url in sys.argv[2:]]\n"
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]"
    )
    urls = [web.url(f"/{number}.wat.gz") for number in range(15)]
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(folder), *urls[first::3]], cwd=ROOT)
        for first in range(3)
    ]
    for _ in range(SLOTS):
        web.halfway.acquire()
    web.gate.set()
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert sum(web.sent.values()) == 15 * len(DATA)
    assert web.peak == SLOTS == 8


def test_a_killed_transfer_goes_on_in_the_next_process(web: CrawlHost, folder: Path) -> None:
    web.gate.clear()
    code = (
        "import sys; from pathlib import Path; from tests.hub.test_transfer import fetch_one\n"
        "fetch_one(Path(sys.argv[1]), sys.argv[2])"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(folder), web.url(PATH)], cwd=ROOT)
    web.halfway.acquire()
    (part,) = arrived(folder)
    process.kill()
    process.wait()
    web.gate.set()
    there = part.stat().st_size
    assert get(web, folder) == DATA
    assert int(web.asked[-1].range[6:-1]) == there - 1


def fetch_one(folder: Path, url: str) -> None:
    """Entry of the processes that these tests start."""
    assert read(CrawlFile("a", url, "", None, "wat"), folder, QUICK) == DATA


def arrived(folder: Path) -> list[Path]:
    """The parts, once one of them has bytes on the disk."""
    while True:
        if found := [part for part in folder.glob("*.part") if part.stat().st_size]:
            return found
        threading.Event().wait(0.01)


def test_a_host_without_an_address_is_not_asked_for_long(folder: Path) -> None:
    told: list[str] = []
    patience = Patience(waits=(0.0,) * 9, tell=told.append)
    with pytest.raises(EnvironmentProblem, match=f"{FEW + 1} times in a row; run the same command again"):
        Web(patience).read("https://data.invalid/crawl-data/paths.gz", 9)
    assert len(told) == FEW
