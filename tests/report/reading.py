"""Reads a page as a parser does: the cells of its tables, the attributes of its elements, its text."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser


class Page(HTMLParser):
    """elements: (name, attributes) in order; tables: by id, rows of cells; text: what is between elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.text = ""
        self._rows: list[list[str]] = []
        self._cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "table":
            self._rows = self.tables.setdefault(dict(attrs).get("id") or "", [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
            self._cell = True
        if self._cell:
            self._rows[-1][-1] += " "  # elements stand apart

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell:
            self._rows[-1][-1] += data

    def attributes(self, name: str) -> Iterator[str]:
        """The values of an attribute, of every element that has it."""
        return (
            value or "" for _, attributes in self.elements for at, value in attributes.items() if at == name
        )

    def count(self, tag: str, **wanted: str) -> int:
        return sum(one == tag and wanted.items() <= found.items() for one, found in self.elements)

    def column(self, table: str, number: int) -> dict[str, int]:
        """A column of numbers, by the first word of the row."""
        rows = (row for row in self.tables[table][1:] if len(row) > number)
        return {row[0].split()[0]: int(row[number].strip().replace(",", "")) for row in rows}
