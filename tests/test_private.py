"""Names of a dependency that it does not promise: read where this says, there, with a ceiling for the version."""

from __future__ import annotations

import ast
import asyncio
import configparser
import importlib
import re
from pathlib import Path

import pytest
from aiohttp import TCPConnector
from aiohttp.client_proto import ResponseHandler

from tests.test_architecture import ROOT, SOURCES, named, tree_of

# By the module of ours: the package, and what is read of it.
USED = {
    "builder/web/connection.py": ("aiohttp", ["client_proto.ResponseHandler"]),
    "builder/hub/client.py": (
        "huggingface_hub",
        ["utils._http.default_client_factory", "utils._runtime.is_xet_available"],
    ),
    "builder/hub/refusals.py": ("huggingface_hub", ["utils._http.parse_ratelimit_headers"]),
    "danqing.py": ("datasets", ["load.dataset_module_factory", "load.DatasetModule", "builder.Key"]),
}
# What only measures: no run hangs on it.
MEASURING = {
    "benchmarks/loss.py": ("torch", ["utils._python_dispatch.TorchDispatchMode", "utils._pytree.tree_leaves"])
}


@pytest.mark.parametrize("user", USED)
def test_each_is_there_and_its_package_has_a_ceiling(user: str) -> None:
    package, names = USED[user]
    for name in names:
        module, _, member = name.rpartition(".")
        assert hasattr(importlib.import_module(f"{package}.{module}"), member), f"{package}.{name} is gone"
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    (line,) = re.findall(rf"^{package}\S*$", config["options"]["install_requires"], re.MULTILINE)
    assert ",<" in line


async def test_aiohttp_looks_at_the_attributes_that_a_connection_sets() -> None:
    handler = ResponseHandler(asyncio.get_running_loop())
    assert hasattr(handler, "_payload")
    assert hasattr(handler, "_parser")
    connector = TCPConnector()
    try:
        assert "_factory" in vars(connector)
    finally:
        await connector.close()


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_modules_with_an_underscore_are_imported_where_they_may_be(path: Path) -> None:
    package, names = (USED | MEASURING).get(named(path), ("", []))
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level and "._" in node.module:
            read = {f"{node.module}.{one.name}" for one in node.names}
            assert read <= {f"{package}.{name}" for name in names}
