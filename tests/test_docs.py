"""What the pages say is so: commands parse, flags have their defaults, links lead somewhere, names are there."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.cli import STAGES, parse
from builder.curate.config import STEPS as CURATE_SKIPPABLE
from builder.curate.recipe import STEPS as CURATE_STEPS
from builder.disk import removals
from builder.disk.schema import CHANGES, CURATED, IMAGES, OUTCOMES, SCORES
from builder.reasons import CRAWL_REASONS, CURATE_REASONS, REBUILD_REASONS, REFINE_REASONS, Verdict
from builder.refine.config import STEPS as SKIPPABLE
from builder.refine.recipe import LAST
from builder.refine.recipe import STEPS as REFINE_STEPS
from tests.curated import make_curated
from tests.flags import MARKED, written
from tests.house import tree_of
from tests.roots import make_root
from tests.scored import make_scored

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "README.zh.md", "CONTRIBUTING.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
FENCED = re.compile(r"^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
TORCHRUN = re.compile(r"^torchrun .*--no-python +")
PLACE = re.compile(r"`([\w/]+\.py)`::`([\w.]+)`")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def fences(page: Path, language: str) -> list[str]:
    return [block for kind, block in FENCED.findall(text_of(page)) if kind == language]


def commands(text: str) -> list[list[str]]:
    """Every `danqing ...` command line of a page: in fenced blocks, a line each, and in inline code."""
    lines = [line for _, block in FENCED.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`([^`\n]+)`", FENCED.sub("", text))
    found = []
    for line in lines:
        line = TORCHRUN.sub("", line.strip().removeprefix("$ "))
        words = shlex.split(line, comments=True) if line.startswith("danqing ") else []
        # `danqing <stage> INPUT OUTPUT` is the pattern of all commands, and no command; nor is one of a loop.
        if words[1:] and words[1:2] != ["<stage>"] and "$" not in line:
            ends = (i for i, word in enumerate(words) if word in {"|", "&&", ";", ">", "2>", "&"})
            found.append(words[1 : next(ends, len(words))])
    return found


@each_page
def test_every_command_is_one(page: Path) -> None:
    for words in commands(text_of(page)):
        if words in (["--help"], ["--version"]) or words[1:] in ([], ["--help"]):
            assert words[0].startswith("--") or words[0] in STAGES
        else:
            parse(words)


@each_page
def test_every_block_of_python_is_python(page: Path) -> None:
    for block in fences(page, "python"):
        ast.parse(block)


@pytest.mark.parametrize(("page", "blocks"), [("README.md", 2), ("docs/load.md", 2)])
def test_what_is_shown_of_loading_runs(page: str, blocks: int, tmp_path: Path, monkeypatch: Any) -> None:
    make_root(tmp_path / "danqing")
    make_scored(tmp_path / "danqing")
    make_curated(tmp_path / "danqing")
    (tmp_path / "manifest").mkdir()
    pq.write_table(
        pa.table({"url": ["http://images.test/1.jpg"], "alt_text": ["图"]}), tmp_path / "manifest/a.parquet"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / ".cache")
    names: dict[str, Any] = {}
    for block in fences(ROOT / page, "python")[:blocks]:
        small = block.replace(", 200)", ", 16)").replace("0.001", "0.2")  # 100 pairs of small pictures
        exec(compile(small, page, "exec"), names)
    assert isinstance(names["ds"], datasets.IterableDataset)


@each_page
def test_no_link_is_dead(page: Path) -> None:
    for link in LINK.findall(FENCED.sub("", text_of(page))):
        target, _, heading = link.partition("#")
        if "://" not in link:
            assert (page.parent / target if target else page).exists(), link
        if heading and "://" not in link:
            headings = re.findall(
                r"^#+ (.+)$", text_of(page.parent / target if target else page), re.MULTILINE
            )
            assert heading in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}, (
                link
            )


@each_page
def test_the_tables_of_flags_are_those_of_the_command_line(page: Path) -> None:
    assert written(text_of(page)) == text_of(page), "run: make docs"


def test_every_stage_has_one_table_of_flags() -> None:
    told = [stage for page in PAGES for _, stage, _ in MARKED.findall(text_of(page))]
    assert sorted(told) == sorted(STAGES)


def test_the_readme_shows_every_stage() -> None:
    assert {words[0] for words in commands(text_of(ROOT / "README.md"))} >= set(STAGES) - {"demo"}


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {link.partition("#")[0] for link in LINK.findall(text_of(ROOT / "README.md"))}
    assert {str(page.relative_to(ROOT)) for page in PAGES} <= {*linked, "README.md"}


def test_both_readmes_show_the_same() -> None:
    """The same blocks of code, the same pages: the words between are each language's own."""

    def shown(name: str) -> list[list[str]]:
        blocks = [
            re.sub(r" *#.*$", "", block, flags=re.MULTILINE)
            for _, block in FENCED.findall(text_of(ROOT / name))
        ]
        return [
            blocks,
            sorted(
                link for link in LINK.findall(text_of(ROOT / name)) if "README." not in link or "/" in link
            ),
        ]

    assert shown("README.md") == shown("README.zh.md")


@pytest.mark.parametrize(
    ("page", "most"), [("README.md", 300), ("README.zh.md", 300), ("CONTRIBUTING.md", 80)]
)
def test_a_page_is_short(page: str, most: int) -> None:
    assert text_of(ROOT / page).count("\n") <= most


def test_the_pages_name_every_reason_and_verdict() -> None:
    rows = {stage: re.findall(r"^\| (`\w+`.*?) \|", text_of(ROOT / "docs" / f"{stage}.md"), re.MULTILINE)
            for stage in ("crawl", "refine", "rebuild", "revalidate", "curate")}  # fmt: skip
    named = {
        stage: {name for row in found for name in re.findall(r"`(\w+)`", row)}
        for stage, found in rows.items()
    }
    assert named["rebuild"] >= {reason.value for reason in REBUILD_REASONS}
    assert named["crawl"] >= {reason.value for reason in CRAWL_REASONS}
    assert named["refine"] >= {reason.value for reason in REFINE_REASONS}
    assert named["refine"] >= {reason for one in (*REFINE_STEPS.values(), LAST) for reason in one["reasons"]}
    assert named["curate"] >= {reason.value for reason in CURATE_REASONS}
    assert named["curate"] >= {reason for one in CURATE_STEPS.values() for reason in one["reasons"]}
    assert named["revalidate"] >= {verdict.value for verdict in Verdict}


@pytest.mark.parametrize(("stage", "names"), [("refine", SKIPPABLE), ("curate", CURATE_SKIPPABLE)])
def test_a_page_names_every_step_that_can_be_skipped(stage: str, names: tuple[str, ...]) -> None:
    steps = set(re.findall(r"`([a-z-]+)`", text_of(ROOT / "docs" / f"{stage}.md")))
    assert steps >= {*names}


def test_the_house_names_what_is_there() -> None:
    """`file.py`::`name` is a function, class, method or constant of that file."""
    places = PLACE.findall(text_of(ROOT / "docs" / "house.md"))
    assert len(places) >= 10
    for file, name in places:
        assert name in defined(ROOT / "builder" / file), f"{file} has no {name}"


def defined(path: Path) -> set[str]:
    """The names a module defines; those inside a class with its name before them."""
    found = set()
    for node in tree_of(path).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        found |= {one.id for one in targets if isinstance(one, ast.Name)}
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            inside = (one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}.{one.name}" for one in inside}
    return found


TABLES = {
    "images": IMAGES,
    "outcomes": OUTCOMES,
    "scores": SCORES,
    "curated": CURATED,
    "changes": CHANGES,
    "removals": removals.SCHEMA,
}


@pytest.mark.parametrize("name", TABLES)
def test_the_columns_of_a_file_are_those_of_its_schema(name: str) -> None:
    (section,) = re.findall(
        rf"^### {name}\n(.*?)(?=^##)", text_of(ROOT / "docs/formats.md") + "##", re.MULTILINE | re.DOTALL
    )
    told = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.MULTILINE)
    assert told == [(field.name, str(field.type)) for field in TABLES[name]]
