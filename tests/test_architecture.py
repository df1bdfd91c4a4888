"""What the design says of the repository as a whole: who imports whom, budgets, and things said in two places."""

import ast
import configparser
import io
import re
import shlex
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import builder
from builder.cli import STAGES, parse

ROOT = Path(__file__).resolve().parent.parent
FOUNDATIONS_WITH_A_COMMAND = {"status"}  # it reads the ledger of any stage and knows none
STAGE_NAMES = set(STAGES) - FOUNDATIONS_WITH_A_COMMAND
PARTS = [path for part in ("builder", "cards", "benchmarks") for path in (ROOT / part).rglob("*.py")]
SOURCES = [*sorted(path for path in PARTS if "out" not in path.parts), ROOT / "danqing.py"]
QUIET = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
BUILDER = [path for path in SOURCES if path.is_relative_to(ROOT / "builder")]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def stage_of(path: Path) -> str:
    """The first part of a module inside builder: `web` of builder/web/fetch.py, `cli` of builder/cli.py."""
    return path.relative_to(ROOT / "builder").parts[0].removesuffix(".py")


def imports(path: Path, nodes: Iterator[ast.AST]) -> set[str]:
    """Absolute names of the modules that the import statements among `nodes` read."""
    package = path.relative_to(ROOT).parts[:-1]
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = [*package[: len(package) - node.level + 1]] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names} | {module}
    return found


def at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: none of a function's, nor of a type checker's or a command's."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'"):
            waiting += node.orelse
            continue
        yield node
        waiting += ast.iter_child_nodes(node)


def code_lines(text: str) -> int:
    """Lines that hold code: no blank ones, comments or docstrings."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in QUIET:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines.difference_update(range(node.lineno, (node.end_lineno or 0) + 1))
    return len(lines)


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


@pytest.mark.parametrize("path", BUILDER, ids=named)
def test_dependencies_point_one_way(path: Path) -> None:
    """Foundations know no stage; a stage knows no other. Imports inside functions count too."""
    own = stage_of(path)
    read = {
        name.split(".")[1] for name in imports(path, ast.walk(tree_of(path))) if name.startswith("builder.")
    }
    assert read & (STAGE_NAMES - {own}) == set()
    if own in STAGE_NAMES:
        assert "cli" not in read


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
    assert imports(path, ast.walk(tree)) >= {"builder.web.fetch", "builder.demo.a", "x.y", "torch"}
    assert "torch" not in imports(path, at_import(tree))


def test_danqing_keeps_to_datasets_pyarrow_and_the_standard_library() -> None:
    path = ROOT / "danqing.py"
    tops = {name.split(".")[0] for name in imports(path, at_import(tree_of(path)))}
    assert tops - set(sys.stdlib_module_names) <= {"datasets", "pyarrow"}


@pytest.mark.parametrize("path", [*BUILDER, ROOT / "danqing.py"], ids=named)
def test_torch_is_imported_where_it_is_used(path: Path) -> None:
    tops = {name.split(".")[0] for name in imports(path, at_import(tree_of(path)))}
    assert tops & {"torch", "transformers", "ray", "torchvision"} == set()


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_module_says_why_it_exists_and_keeps_the_budgets(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "no docstring"
    assert code_lines(text) <= 350
    assert path.stem not in {"utils", "common", "core", "helpers"}
    for one in functions(tree):
        assert (one.end_lineno or 0) - one.lineno < 50, one.name
        given = one.args.posonlyargs + one.args.args + one.args.kwonlyargs
        assert len([a for a in given if a.arg not in {"self", "cls"}]) <= 6, one.name


@pytest.mark.parametrize("path", [path for path in BUILDER if stage_of(path) != "demo"], ids=named)
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
    asked = config["options"]["install_requires"] + config["options.extras_require"]["dev"]
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


def commands() -> list[list[str]]:
    """Every `danqing ...` command line of the README: in fenced blocks, a line each, and in inline code."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    fenced = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in fenced for line in block.replace("\\\n", " ").splitlines()]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines += re.findall(r"`([^`\n]+)`", prose)
    found = []
    for line in lines:
        words = shlex.split(line.strip().removeprefix("$ "), comments=True) if "danqing" in line else []
        # `danqing <stage> INPUT OUTPUT` is the pattern of all commands, and no command.
        if words[:1] == ["danqing"] and words[1:] and words[1:2] != ["<stage>"]:
            end = next(
                (i for i, word in enumerate(words) if word in {"|", "&&", ";", ">", "2>", "&"}), len(words)
            )
            found.append(words[1:end])
    return found


def test_every_command_in_the_readme_is_one() -> None:
    for words in commands():
        if words in (["--help"], ["--version"]) or words[1:] == ["--help"]:
            assert words[0].startswith("--") or words[0] in STAGES
        else:
            parse(words)


def test_the_readme_shows_every_stage() -> None:
    assert {words[0] for words in commands()} >= set(STAGES)


EMPTY = {"builder/__init__.py", "cards/__init__.py"}  # a docstring, and a version


def tree_of_the_readme() -> list[str]:
    """The paths of the file tree in the README, folders with a slash at the end."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = text.partition("## The code, in the order the data flows")[2].split("```")[1]
    paths: list[str] = []
    folders: list[str] = []
    for line in block.strip().splitlines():
        name, depth = line.split()[0], (len(line) - len(line.lstrip())) // 2
        folders = folders[:depth]
        paths.append("".join(folders) + name)
        if name.endswith("/"):
            folders.append(name)
    return paths


def test_the_readme_prints_the_file_tree() -> None:
    told = tree_of_the_readme()
    assert [path for path in told if not (ROOT / path).exists()] == []
    shown = {path for path in told if path.endswith(".py")}
    summed_up = ("builder/demo/", "benchmarks/", "tests/")
    code = {named(path) for path in SOURCES if not named(path).startswith(summed_up)}
    assert code - EMPTY == shown
