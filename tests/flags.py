"""Writes the tables of flags in docs/*.md from the `Config` of each stage: `make docs`.

<!-- flags of rebuild --> … <!-- end of flags -->      what stands between is written here, by nobody else
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from builder.cli import STAGES, load
from builder.console import in_words
from builder.options import byte_size, flag_of, flags

ROOT = Path(__file__).parents[1]
MARKED = re.compile(r"(<!-- flags of (\w+) -->\n).*?(<!-- end of flags -->)", re.DOTALL)


def default(one: dataclasses.Field[Any]) -> str:
    """The default of a flag as it is typed, or a dash."""
    value = one.metadata.get("shown", one.default)
    if one.metadata.get("parse") is byte_size:
        value = in_words(value)
    return "–" if value is False or value in (None, "", ()) else f"`{value}`"


def line(one: dataclasses.Field[Any]) -> str:
    """One row of a table: name, default, what it says."""
    name = one.name.upper() if one.metadata.get("positional") else flag_of(one.name)
    told = one.metadata["help"].replace("|", "\\|").replace("<", "&lt;")
    among = ", ".join(f"`{value}`" for value in one.metadata.get("choices", ()))
    return f"| `{name}` | {default(one)} | {told}{f' ({among})' if among else ''} |"


def table(stage: str) -> str:
    """The flags of a stage as Markdown, those that every stage has at its end."""
    return "\n".join(
        ["| flag | default | |", "|---|---|---|", *map(line, flags(load(STAGES[stage].config))), ""]
    )


def written(text: str) -> str:
    """A page with its tables as they should be."""
    return MARKED.sub(lambda found: found[1] + table(found[2]) + found[3], text)


def main() -> None:
    """Write every page that has a table."""
    told = set()
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        told |= {stage for _, stage, _ in MARKED.findall(text)}
        page.write_text(written(text), encoding="utf-8")
    assert told == set(STAGES), f"no page has the flags of {set(STAGES) - told}"


if __name__ == "__main__":
    main()
