"""A DNS server on loopback whose answers a test chooses: name -> what to say, counted."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Self

CODES = {"NXDOMAIN": 3, "SERVFAIL": 2, "REFUSED": 5}
TYPES = {4: 1, 6: 28}  # IP version -> A, AAAA


class NameServer(asyncio.DatagramProtocol):
    """`answers[name]` lists addresses, or holds a CODES name, or "silence"; `dropped` packets go unanswered first.

    `asked` counts queries by name; names that begin with `slow` wait for `gate`; `most` counts
    those that waited at once.
    """

    def __init__(self, **answers: Sequence[str] | str) -> None:
        self.answers = {name.replace("_", "."): answer for name, answer in answers.items()}
        self.asked: Counter[str] = Counter()
        self.dropped, self.waiting, self.most = 0, 0, 0
        self.gate, self.arrived = asyncio.Event(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        self.address = "127.0.0.1:{}".format(self._transport.get_extra_info("sockname")[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        self._transport.close()

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        end = data.index(b"\0", 12)
        name, at = [], 12
        while at < end:
            name.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        kind = int.from_bytes(data[end + 1 : end + 3], "big")
        self.asked[".".join(name).lower()] += 1
        self.arrived.set()
        task = asyncio.create_task(
            self._reply(data[:2], data[12 : end + 5], ".".join(name).lower(), kind, peer)
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(
        self, number: bytes, question: bytes, name: str, kind: int, peer: tuple[str, int]
    ) -> None:
        answer = self.answers.get(name, "NXDOMAIN")
        if answer == "silence" or self.dropped:
            self.dropped = max(self.dropped - 1, 0)
            return
        if name.startswith("slow"):
            self.waiting += 1
            self.most = max(self.most, self.waiting)
            await self.gate.wait()
            self.waiting -= 1
        code = CODES[answer] if isinstance(answer, str) else 0
        given = [] if isinstance(answer, str) else [ip_address(text) for text in answer]
        records = [
            b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(address.packed)) + address.packed
            for address in given
            if TYPES[address.version] == kind
        ]
        head = number + struct.pack(">HHHHH", 0x8180 | code, 1, len(records), 0, 0)
        self._transport.sendto(head + question + b"".join(records), peer)
