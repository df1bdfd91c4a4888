"""What names and docstrings keep to: one class name one class, fields that exist, first words that say something."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import house
from tests.house import BUILDER, ROOT, named, tree_of

# Where tests still change a constant or function of ours, and how often: it only shrinks.
PATCHED = {
    "tests/demo/test_host.py": 1,
    "tests/demo/test_steps.py": 7,
    "tests/manifest/test_manifest.py": 1,
    "tests/published/test_check.py": 1,
    "tests/release/test_staging.py": 1,
    "tests/revalidate/test_refusals.py": 1,
    "tests/revalidate/test_runner.py": 3,
    "tests/test_configs.py": 3,
    "tests/web/test_address.py": 1,
    "tests/web/test_body.py": 2,
    "tests/web/test_connections.py": 2,
}
# A docstring begins with a noun, a verb or a question that it answers.
LEADERLESS = {
    *("It", "Its", "Of", "By", "As", "At", "To", "In", "On", "From", "For", "With", "That", "These", "Those"),
    *("Whose", "And"),
    *("This", "They", "Them", "Also", "Same", "Is", "Does", "Are"),
}  # fmt: skip
FIELD = re.compile(r"(?:^|[;.]\s+|\n\s*)((?:[a-z_][a-z0-9_]*, )*[a-z_][a-z0-9_]*): ")
Documented = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def test_a_class_name_stands_once() -> None:
    assert {name: places for name, places in house.classes().items() if len(places) > 1} == {}


def documented(path: Path) -> Iterator[tuple[Documented, str]]:
    """What has a docstring in a file, with it."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, Documented) and (text := ast.get_docstring(node)):
            yield node, text


def words(node: Documented) -> set[str]:
    """Every name in the code of a class or function: its parameters, fields, attributes, variables and texts."""
    docstring = node.body[0]
    found: set[str] = set()
    for part in ast.walk(node):
        if part is not docstring and getattr(docstring, "value", None) is not part:
            given = (getattr(part, name, None) for name in ("id", "attr", "arg", "name", "value"))
            found |= {text for text in given if isinstance(text, str)}
    return found


@pytest.mark.parametrize("path", BUILDER, ids=named)
def test_a_docstring_names_fields_that_exist(path: Path) -> None:
    missing = [
        f"{node.lineno} {node.name}: {name}"
        for node, text in documented(path)
        for match in FIELD.finditer(text)
        for name in match[1].split(", ")
        if name not in words(node)
    ]
    assert missing == []


@pytest.mark.parametrize("path", BUILDER, ids=named)
def test_a_docstring_begins_with_what_it_speaks_of(path: Path) -> None:
    said = [(node.lineno, text.split("\n")[0]) for node, text in documented(path)]
    assert [(line, text) for line, text in said if re.split(r"\W", text, maxsplit=1)[0] in LEADERLESS] == []


def test_documents_have_types() -> None:
    """`dict[str, Any]` says nothing of what is in it: forty places may stay that vague."""
    assert sum(path.read_text(encoding="utf-8").count("dict[str, Any]") for path in BUILDER) <= 40


def test_no_test_changes_a_constant_of_ours() -> None:
    """What a test wants otherwise is injected: a module that is patched is another module than the one shipped."""
    ours = re.compile(r"[\"']builder\.")
    found: Counter[str] = Counter()
    for path in (ROOT / "tests").rglob("*.py"):
        if "monkeypatch.setattr" not in path.read_text(encoding="utf-8"):
            continue
        tree = tree_of(path)
        modules = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            and (node.module or "").split(".")[0] in ("builder", "danqing")
            for alias in node.names
        } | {"danqing"}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "monkeypatch.setattr":
                first = ast.unparse(node.args[0])
                if first.split(".")[0] in modules or ours.match(first):
                    found[named(path)] += 1
    assert found == PATCHED
