"""What holds for every test: no network but loopback, nothing read from or left in the user's caches."""

from __future__ import annotations

import atexit
import functools
import ipaddress
import itertools
import os
import shutil
import socket
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Hypothesis takes a slow machine for a slow function.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# Before any import that reads them; the processes that tests start inherit them.
_CACHE = tempfile.mkdtemp(prefix="danqing-tests-")
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
os.environ |= {"HF_HOME": _CACHE, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TZ": "UTC"}
os.environ.setdefault(
    "NUMBA_CACHE_DIR", _CACHE
)  # compiled once for all test processes: 3 s in each otherwise
# numpy asks for pages of 2 MB: of a large array, each of a few words would have one cleared, 0.6 s in a refinement.
os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")
for _name in ("HF_DATASETS_CACHE", "HF_HUB_CACHE", "HF_TOKEN", "HUGGINGFACE_HUB_CACHE"):
    os.environ.pop(_name, None)

_strays: list[str] = []
_numbers = itertools.count()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two more workers than cores: tests wait a third of their time for processes and sockets."""
    return len(os.sched_getaffinity(0)) + 2


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Write what has been measured: xdist kills a worker that takes ten seconds to end, and all it knows is lost."""
    coverage = sys.modules.get("coverage")
    if coverage and (measured := coverage.Coverage.current()):
        measured.save()


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return name in ("", "localhost")


# Python 3.11 lets no thread begin under coverage while another one, beginning too, is in an audit hook written in
# Python: the thread is lost. So what reaches out is wrapped; asyncio and aiohttp call it by these names.
def _guard_lookups(getaddrinfo: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(getaddrinfo)
    def guarded(host: Any, *arguments: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host or ""
        if _is_loopback(name):
            return getaddrinfo(host, *arguments, **named)
        if not name.endswith(".invalid"):  # a test may ask for a name that cannot exist
            _strays.append(name)
        raise socket.gaierror(socket.EAI_NONAME, f"tests reach loopback alone, not {name}")

    return guarded


def _guard_connections(connect: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(connect)
    def guarded(self: socket.socket, address: Any) -> Any:
        host = str(address[0]) if isinstance(address, tuple) else "localhost"
        if not _is_loopback(host) and host != "0.0.0.0":
            _strays.append(host)
            raise PermissionError(f"tests reach loopback alone, not {host}")
        return connect(self, address)

    return guarded


socket.getaddrinfo = _guard_lookups(socket.getaddrinfo)
socket.socket.connect = _guard_connections(socket.socket.connect)  # type: ignore[method-assign]
socket.socket.connect_ex = _guard_connections(socket.socket.connect_ex)  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def no_network() -> Iterator[None]:
    """Fail the test that reached beyond loopback, also where the code under test took the refusal for an answer."""
    _strays.clear()
    yield
    assert not _strays, f"reached out to {_strays}"


@pytest.fixture
async def host() -> AsyncIterator[Any]:
    """A fault host in the loop of the test."""
    from tests.faulthost import FaultHost

    async with FaultHost() as running:
        yield running


@pytest.fixture
def threaded_host() -> Iterator[Any]:
    """A fault host in a thread, for tests that run commands."""
    from tests.faulthost import FaultHost

    with FaultHost() as running:
        yield running


@pytest.fixture
def hub(tmp_path: Any) -> Iterator[Any]:
    """A Hub of the test's own, for clients that are processes (hub/clients.py); it may not fail or leak tokens."""
    from tests.hub import Hub

    with Hub(tmp_path / "hub") as running:
        yield running
    assert not running.errors, running.errors[0]
    assert not running.leaks


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """The URL of an S3 of this session (tests/s3)."""
    from tests.s3 import s3_process

    with s3_process() as url:
        yield url


@pytest.fixture
def s3(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket of the test's own, and the environment that leads to it."""
    import fsspec

    from tests.s3 import Bucket, environment

    env = environment(s3_url)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    kind = fsspec.get_filesystem_class("s3")
    kind.clear_instance_cache()  # one keeps the environment in which it was made
    bucket = Bucket(f"test-{next(_numbers)}", env)
    fsspec.filesystem("s3").mkdir(bucket.name)
    yield bucket
    kind.clear_instance_cache()


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    """The folder of roots and releases that golden/make.py wrote with an earlier build."""
    with tarfile.open(Path(__file__).parent / "golden" / "0.1.0.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "0.1.0"
