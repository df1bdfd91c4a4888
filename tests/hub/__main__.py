"""The loopback Hub as a process of its own: one JSON line on stdout with its address, then it serves until a signal."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading

from .server import Hub


def main() -> None:
    """Serve a folder until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m tests.hub", description="A Hub on loopback.")
    parser.add_argument("folder", help="where its repositories lie; made where it is missing")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    asked = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with Hub(asked.folder, asked.port) as hub:
        sys.stdout.write(
            json.dumps({"url": hub.url, "token": hub.token, "read_token": hub.read_token}) + "\n"
        )
        sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main()
