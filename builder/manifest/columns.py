"""Which column of a manifest is which, and the one schema that every row is brought to.

Out come `url`, `alt_text`, `recaption` as strings, then every other column, carried under its own name or as
manifest_<name> where a rebuilt root uses that name itself. Types are those of `carry`: the files of one manifest
differ in their layout and a shard must not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.types as types

from ..disk.schema import CURATED, IMAGES, SERVED
from ..errors import InputError
from .carry import conform, plain, reshaped
from .text import UTF8


@dataclass(frozen=True, slots=True)
class ManifestOptions:
    """What the user said of a manifest: a preset of its columns, names that go before it, and how its text is written.

    quoting: `auto`, `double` or `none`, of CSV and TSV; encoding: as Python names it.
    """

    schema: str = "auto"
    url: str | None = None
    caption: str | None = None
    quoting: str = "auto"
    encoding: str = UTF8


# The names of the URL and of the caption column that published manifests use, in order of preference.
# reference: the data cards of the releases. Re-LAION and mirrors of LAION come with lower-case names too.
SCHEMAS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "danqing": (("url",), ("alt_text",)),
    "laion": (("URL", "url"), ("TEXT", "text")),
    "relaion": (("URL", "url"), ("TEXT", "text", "caption")),
    "coyo": (("url",), ("text",)),
    "wukong": (("url",), ("caption",)),
    "datacomp": (("url",), ("text",)),
}
# `kept`: of a shard that bears it the loader yields the pairs for which it is true.
RESERVED = frozenset((*IMAGES.names, *SERVED, *CURATED.names)) | {"caption", "kept", "outcome", "reason"}
HASHES = ("sha256", "md5")


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """The way from a file's columns to the manifest's: the name in the file of each field of `schema`.

    notes: what becomes of columns that are not carried as they are.
    """

    schema: pa.Schema
    sources: tuple[str | None, ...]
    notes: tuple[str, ...] = ()

    @property
    def hash_column(self) -> tuple[str, str] | None:
        """The carried column that holds a hash of the bytes, and the algorithm; None where there is none."""
        for algorithm in HASHES:
            for field, name in zip(self.schema, self.sources, strict=True):
                if name and name.lower() == algorithm and types.is_string(field.type):
                    return field.name, algorithm
        return None

    def table(self, rows: pa.Table, encoding: str = UTF8, url: str = "", first: int = 0) -> pa.Table:
        """`rows` of the file `url`, from number `first` on, in the manifest's schema; encoding: of its texts.

        Raises InputError, naming the row, for text in another encoding and a value that its type cannot hold.
        """
        return pa.Table.from_arrays(
            [
                conform(rows.column(name), field, encoding, url, first)
                if name in rows.column_names
                else pa.chunked_array([pa.nulls(len(rows), field.type)])
                for field, name in zip(self.schema, self.sources, strict=True)
            ],
            schema=self.schema,
        )


def column_map(files: Sequence[tuple[str, pa.Schema]], columns: ManifestOptions) -> ColumnMap:
    """The column map of a manifest from the name and schema of each of its files.

    Raises InputError for a missing column (listing those found), a URL or caption that is no text, two
    columns of one name, and files whose types contradict each other.
    """
    first, names = files[0][0], files[0][1].names
    url, caption = _choose(first, names, columns)
    for file, schema in files:
        _check(file, schema, url, caption)
    recaption = "recaption" if "recaption" in names and "recaption" not in (url, caption) else None
    carried = _merged(files, {url, caption, recaption})
    if recaption and not _is_text(files[0][1].field(recaption).type):
        carried[recaption], recaption = plain(files[0][1].field(recaption).type), None
    kinds = {one.name: one.type for _, schema in files for one in schema if reshaped(one.type)}
    notes = [f"column {name} is {kind}: carried as {plain(kind)}" for name, kind in kinds.items()]
    fields: list[pa.Field[Any]] = [pa.field(name, pa.string()) for name in ("url", "alt_text", "recaption")]
    for name, kind in carried.items():
        out = name
        while out in RESERVED or (out != name and out in carried):
            out = f"manifest_{out}"
        fields.append(pa.field(out, kind))
    return ColumnMap(pa.schema(fields), (url, caption, recaption, *carried), tuple(notes))


def _choose(file: str, names: list[str], columns: ManifestOptions) -> tuple[str, str]:
    """The names of the URL and the caption column in the first file."""
    for named in (columns.url, columns.caption):
        if named is not None and named not in names:
            raise InputError(f"{file}: no column {named!r}; it has {_quoted(names)}")
    loose = columns.schema == "auto"
    found = [
        (columns.url or _match(urls, names, loose), columns.caption or _match(captions, names, loose))
        for urls, captions in (SCHEMAS.values() if loose else [SCHEMAS[columns.schema]])
    ]
    for url, caption in found:
        if url and caption:
            return url, caption
    missing, flag = (
        ("caption", "--caption-column") if any(url for url, _ in found) else ("URL", "--url-column")
    )
    which = "any known manifest" if loose else columns.schema
    raise InputError(f"{file}: no {missing} column of {which}; it has {_quoted(names)}: name it with {flag}")


def _match(wanted: tuple[str, ...], names: list[str], loose: bool) -> str | None:
    found = [want for want in wanted if want in names]
    if loose:
        found += [name for want in wanted for name in names if name.lower() == want.lower()]
    return found[0] if found else None


def _check(file: str, schema: pa.Schema, url: str, caption: str) -> None:
    repeated = {name for name in schema.names if schema.names.count(name) > 1}
    if repeated:
        raise InputError(f"{file}: more than one column is called {_quoted(sorted(repeated))}; rename them")
    for name, role in ((url, "URL"), (caption, "caption")):
        if name not in schema.names:
            raise InputError(f"{file}: no column {name!r}; it has {_quoted(schema.names)}")
        kind = schema.field(name).type
        if not _is_text(kind):
            raise InputError(
                f"{file}: the {role} column {name!r} holds {kind}, not text; name another column"
            )


def _is_text(kind: pa.DataType) -> bool:
    kind = plain(kind)
    return bool(types.is_string(kind) or types.is_binary(kind))


def _merged(files: Sequence[tuple[str, pa.Schema]], used: set[str | None]) -> dict[str, pa.DataType]:
    """The carried columns of all files with a type that holds each of them, in order of appearance."""
    carried: dict[str, tuple[str, pa.DataType]] = {}
    for file, schema in files:
        for field in schema:
            if field.name in used:
                continue
            kind = plain(field.type, pa.null())  # of a file that knows no type the others decide it
            known_file, known = carried.get(field.name, (file, kind))
            try:
                both = [pa.schema([(field.name, one)]) for one in (known, kind)]
                merged = pa.unify_schemas(both, promote_options="permissive").field(0).type
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise InputError(
                    f"{file}: column {field.name!r} holds {kind}, but {known} in {known_file}; mend one"
                ) from error
            carried[field.name] = (known_file, merged)
    return {name: plain(kind) for name, (_, kind) in carried.items()}


def _quoted(names: Sequence[str]) -> str:
    if not names:
        return "no columns"
    shown = ", ".join(repr(name) for name in names[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown
