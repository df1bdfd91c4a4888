"""What the design says of the repository as a whole: who imports whom, budgets, and things said in two places."""

import ast
import configparser
import re
import sys
from pathlib import Path

import pytest

import builder
from tests import house
from tests.house import BUILDER, ROOT, SOURCES, at_import, code_lines, functions, imports, named, tree_of


def test_a_room_reads_only_what_lies_below_it() -> None:
    """Foundations know no stage, a stage knows no other. Imports inside functions count too."""
    assert house.arrows_up() == []


def test_the_floors_hold_every_room() -> None:
    assert set(house.rooms()) == set(house.FLOOR)


def test_a_room_has_a_handful_of_files() -> None:
    assert {name: len(files) for name, files in house.rooms().items() if len(files) > 20} == {}


def test_the_tree_of_the_house_is_true() -> None:
    (told,) = house.TREE.findall(house.PAGE.read_text(encoding="utf-8"))
    assert told == house.tree(), "run: make house"


@pytest.mark.parametrize("path", BUILDER, ids=named)
def test_imports_inside_builder_are_relative(path: Path) -> None:
    absolute = [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Import | ast.ImportFrom)]
    said = {ast.unparse(node) for node in absolute}
    assert not [line for line in said if re.match(r"(import|from) builder\b", line)]


def test_the_import_test_can_fail(tmp_path: Path) -> None:
    tree = ast.parse(
        "from ..rebuild.fetch import Fetcher\nfrom . import a\nimport x.y\ndef f():\n  import torch"
    )
    path = ROOT / "builder" / "demo" / "web.py"
    assert imports(path, ast.walk(tree)) >= {"builder.rebuild.fetch", "builder.demo.a", "x.y", "torch"}
    assert "torch" not in imports(path, at_import(tree))


def test_danqing_keeps_to_datasets_pyarrow_and_the_standard_library() -> None:
    path = ROOT / "danqing.py"
    tops = {name.split(".")[0] for name in imports(path, at_import(tree_of(path)))}
    assert tops - set(sys.stdlib_module_names) <= {"datasets", "pyarrow"}


def heavy(path: Path) -> bool:
    """Whether importing the file loads a library that takes seconds."""
    tops = {name.split(".")[0] for name in imports(path, at_import(tree_of(path)))}
    return bool(tops & {"torch", "transformers", "ray", "torchvision"})


# Of the stage train, what is made of torch: read by each other, and by anything else inside a function alone.
HEAVY = {house.module_of(path) for path in BUILDER if path.parent.name == "train" and heavy(path)}


@pytest.mark.parametrize("path", [*BUILDER, ROOT / "danqing.py"], ids=named)
def test_torch_is_imported_where_it_is_used(path: Path) -> None:
    if house.module_of(path) not in HEAVY:
        assert not heavy(path)
        assert imports(path, at_import(tree_of(path))) & HEAVY == set()


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_module_says_why_it_exists_and_keeps_the_budgets(path: Path) -> None:
    text, tree = path.read_text(encoding="utf-8"), tree_of(path)
    assert ast.get_docstring(tree), "no docstring"
    assert code_lines(text) <= 350
    assert path.stem not in {"utils", "common", "core", "helpers"}
    for one in functions(tree):
        assert (one.end_lineno or 0) - one.lineno < 50, one.name
        given = one.args.posonlyargs + one.args.args + one.args.kwonlyargs
        assert len([a for a in given if a.arg not in {"self", "cls"}]) <= 6, one.name


@pytest.mark.parametrize(
    "path", [path for path in BUILDER if house.room_of(house.module_of(path)) != "demo"], ids=named
)
def test_no_iterator_ends_by_surprise(path: Path) -> None:
    """`next` has a default unless its iterator is endless: StopIteration in an executor hangs whoever waits for it."""
    calls = (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call))
    bare = {ast.unparse(one) for one in calls if ast.unparse(one.func) == "next" and len(one.args) == 1}
    assert bare <= {"next(self._order)"}


def test_setup_cfg_names_every_package() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    told = set(config["options"]["packages"].split())
    packages = {path.parent for path in BUILDER} | {ROOT / "cards"}
    assert told == {named(path).replace("/", ".") for path in packages}
    assert all((path / "__init__.py").is_file() for path in packages)


def test_version_is_that_of_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", changelog, re.MULTILINE)
    assert released[0] == builder.__version__
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert config["metadata"]["version"] == "attr: builder.__version__"


def test_the_license_is_apache_2_whole() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert "END OF TERMS AND CONDITIONS" in text
    assert text.count("\n") > 200


def test_constraints_pin_what_setup_cfg_asks_for() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    asked = "".join([config["options"]["install_requires"], *config["options.extras_require"].values()])
    pinned = dict(line.lower().split("==") for line in constraints())
    for line in asked.strip().splitlines():
        name, exact = re.match(r"([\w-]+)(?:==(.+))?", line).groups()  # type: ignore[union-attr]
        assert name.lower() in pinned
        assert exact in {None, pinned[name.lower()]}


def constraints() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line.split(";")[0].strip() for line in lines if line and not line.startswith("#")]


def test_constraints_are_exact_and_of_any_machine() -> None:
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in constraints())
    assert not [line for line in constraints() if line.startswith(("nvidia", "cuda", "triton"))]
