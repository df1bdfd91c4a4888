"""moto's S3 as a process of its own, on loopback."""

from __future__ import annotations

import argparse
import json
import logging
import threading

from moto.server import ThreadedMotoServer

parser = argparse.ArgumentParser(prog="python -m tests.s3", description=__doc__)
parser.add_argument("--port", type=int, default=0)
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=parser.parse_args().port, verbose=False)
server.start()
print(json.dumps({"url": "http://{}:{}".format(*server.get_host_and_port())}), flush=True)
threading.Event().wait()
