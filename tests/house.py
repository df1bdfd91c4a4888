"""The house measured: rooms, floors, arrows, sizes and names, from the code as it stands.

    make house      print the budgets, and write the tree of files into docs/house.md

The tests of `test_architecture.py` hold the same numbers against the limits.
"""

from __future__ import annotations

import ast
import io
import re
import statistics
import sys
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "house.md"
TREE = re.compile(r"(?<=<!-- tree -->\n).*?(?=<!-- end of tree -->)", re.DOTALL)
STAGES = ("crawl", "refine", "rebuild", "revalidate", "curate", "release", "train", "evaluate", "report")
# The floors, from the ground up: a room imports only what lies below it, and the rooms of a floor not each other.
FLOORS = (
    ("errors",), ("console",), ("options", "reasons"),
    ("picture", "web"), ("disk",), ("hub",), ("manifest", "towers"), ("stage",), ("card",), ("published",),
    STAGES, ("demo",), ("cli",),
)  # fmt: skip
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}
# Of a stage, what decides and does, also for a reader (live) or in memory (pilot); the rest is its plumbing.
WORK = ("work", "live", "pilot", "recipe", "rules", "config")
BUILDER = sorted((ROOT / "builder").rglob("*.py"))
PARTS = [path for part in ("cards", "benchmarks") for path in (ROOT / part).rglob("*.py")]
SOURCES = [*sorted([*BUILDER, *(path for path in PARTS if "out" not in path.parts)]), ROOT / "danqing.py"]
QUIET = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
}  # fmt: skip


def named(path: Path) -> str:
    """The path of a file in the repository."""
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    """The dotted name of a module."""
    return named(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def room_of(module: str) -> str:
    """The room of a module of builder: `web` of builder.web.fetch, `cli` of builder.cli, nothing of builder itself."""
    return f"{module}.".split(".")[1]


@cache
def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path, nodes: Iterator[ast.AST]) -> set[str]:
    """Absolute names of the modules, and of what is in them, that the import statements among `nodes` read."""
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


@cache
def arrows() -> dict[str, set[str]]:
    """The modules of builder that each module of it reads, by whatever statement, also inside functions."""
    modules = {module_of(path): path for path in BUILDER}
    found = {}
    for module, path in modules.items():
        names = imports(path, ast.walk(tree_of(path)))
        read = {name if name in modules else name.rpartition(".")[0] for name in names}
        found[module] = (read & modules.keys()) - {module, "builder"}
    return found


def arrows_up() -> list[str]:
    """What reads a room of its own floor or of one above, `builder.web.url -> builder.disk.files`."""
    return sorted(
        f"{module} -> {name}"
        for module, read in arrows().items()
        for name in read
        if room_of(module) != room_of(name)
        and room_of(module)
        and FLOOR[room_of(name)] >= FLOOR[room_of(module)]
    )


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


@cache
def size(path: Path) -> int:
    """Code lines of a file."""
    return code_lines(path.read_text(encoding="utf-8"))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method."""
    return (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def classes() -> dict[str, list[str]]:
    """The files in which each class name of builder is defined."""
    found = defaultdict(list)
    for path in BUILDER:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(named(path))
    return dict(found)


def plumbing(stage: str) -> dict[str, int]:
    """Code lines of the modules of a stage that none of WORK reads, directly or not."""
    own = {module: path for path in BUILDER if room_of(module := module_of(path)) == stage}
    reached: set[str] = set()
    waiting = [f"builder.{stage}.{name}" for name in WORK]
    while waiting:
        module = waiting.pop()
        if module in own and module not in reached:
            reached.add(module)
            waiting += arrows()[module]
    return {module: size(path) for module, path in own.items() if module not in reached}


def rooms() -> dict[str, list[Path]]:
    """The files of each room at the top of builder."""
    found = defaultdict(list)
    for path in BUILDER:
        if room := room_of(module_of(path)):
            found[room].append(path)
    return dict(found)


def tree() -> str:
    """The tree of the shipped files for docs/house.md: each with the first line of its docstring."""
    lines = []
    for room in [room for floor in FLOORS for room in floor]:
        for path in sorted(rooms().get(room, []), key=lambda path: (path.stem != "__init__", named(path))):
            if path.stem == "__init__":
                lines.append(f"{named(path.parent)}/")
            about = (ast.get_docstring(tree_of(path)) or "").split("\n")[0]
            lines.append(
                f"  {path.name:<16} {about}" if path.parent.name == room else f"{named(path)}  {about}"
            )
    return "```\n" + "\n".join(lines) + "\n```\n"


def main() -> None:
    """Print the budgets and write the tree."""
    sizes = {path: size(path) for path in [*BUILDER, ROOT / "danqing.py"]}
    lengths = sorted(
        len({n.lineno for n in ast.walk(one) if hasattr(n, "lineno")})
        for path in BUILDER
        for one in functions(tree_of(path))
    )
    twice = {name: places for name, places in classes().items() if len(places) > 1}
    for room, paths in sorted(rooms().items(), key=lambda one: -sum(map(size, one[1]))):
        print(f"{room:12} {sum(map(size, paths)):6,} lines {len(paths):3} files")
    print(
        f"code lines   {sum(sizes.values()):6,} in {len(sizes)} files, median {statistics.median(sizes.values()):.0f}"
    )
    print(f"functions    {len(lengths):6,}, median {statistics.median(lengths):.0f} lines")
    print(f"rooms        {len(rooms()):6}")
    print(f"arrows       {sum(map(len, arrows().values())):6,} between files, up: {len(arrows_up())}")
    for stage in STAGES[:-1]:
        parts = plumbing(stage)
        print(f"plumbing     {sum(parts.values()):6,} of {stage}")
    print(f"class names  {len(twice):6} that stand more than once: {', '.join(sorted(twice))}")
    print(f"dict[str, Any] {sum(path.read_text().count('dict[str, Any]') for path in BUILDER):4}")
    print("up:", *Counter(arrows_up()), sep="\n  ")
    if PAGE.exists():
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(TREE.sub(lambda _: tree(), page), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
