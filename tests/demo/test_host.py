"""The embedded host: counts, limits its rate, keeps connections, refuses where it should, and stops."""

from __future__ import annotations

import http.client
import socket
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from builder.demo import host as host_module
from builder.demo.host import RATE, Host, Route


def statuses(host: Host, target: str, times: int) -> list[int]:
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=300)
    found = []
    for _ in range(times):
        connection.request("GET", target)
        answer = connection.getresponse()
        answer.read()
        found.append(answer.status)
    connection.close()
    return found


def test_one_connection_serves_many_requests_and_all_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    with Host(1) as host:
        host.routes = {"/a": Route(tmp_path / "a"), "/b": Route(tmp_path / "a", act="flaky")}
        assert statuses(host, "/a", 3) == [200, 200, 200]
        assert statuses(host, "/b", 3) == [500, 200, 200]
        assert statuses(host, "/%61", 1) == [404]  # byte for byte: no other spelling is the same target
        assert host.served() == 7
        host.forget()
        assert statuses(host, "/b", 1) == [500]
        assert dict(host.requests) == {"/b": 1}


def test_a_limited_route_refuses_what_is_too_much_in_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 100.0
    monkeypatch.setattr(host_module, "time", SimpleNamespace(monotonic=lambda: seconds))
    (tmp_path / "a").write_bytes(b"abc")
    with Host(1) as host:
        host.routes = {"/a": Route(tmp_path / "a", act="limited")}
        assert statuses(host, "/a", RATE + 2) == [200] * RATE + [429] * 2
        seconds += 1
        assert statuses(host, "/a", 1) == [200]


def test_a_waiter_is_woken_by_the_request_it_waits_for() -> None:
    with Host(1) as host:
        asker = threading.Thread(target=statuses, args=(host, "/", 5))
        asker.start()
        assert host.wait_for(5, 300)
        asker.join()
        assert not host.wait_for(6, 0)


def test_one_port_on_every_address_and_another_that_refuses() -> None:
    with Host(3) as host:
        for address in host.addresses:
            socket.create_connection((address, host.port), 300).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", host.refused_port), 300)


@pytest.mark.parametrize("request_line", [b"nonsense\r\n\r\n", b"POST / HTTP/1.1\r\n\r\n"])
def test_what_is_not_a_get_is_hung_up_on(request_line: bytes) -> None:
    with Host(1) as host, socket.create_connection(("127.0.0.1", host.port), 300) as client:
        client.sendall(request_line)
        assert client.recv(100) == b""


def test_it_stops_at_once_though_it_stalls_and_drips(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(1000))
    acts = ("stall", "stall-body", "drip")
    with Host(1) as host:
        host.routes = {f"/{act}": Route(tmp_path / "a", act=act) for act in acts}
        clients = [socket.create_connection(("127.0.0.1", host.port), 300) for _ in acts]
        for client, act in zip(clients, acts, strict=True):
            client.sendall(f"GET /{act} HTTP/1.1\r\n\r\n".encode())
        assert host.wait_for(3, 300)
    assert not any(thread.is_alive() for thread in host._threads)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", host.port), 300)
    for client in clients:
        client.close()
