"""The removal list: what was taken out of a data set for good, as keys and digests.

    keys, URLs and hosts in text files ─▶ removals.parquet of a release or a root ─▶ which of these pairs it covers

A line of a text file is a key (32 hex characters), a URL (with ://) or the name of a host; # begins a comment. A host
covers its subdomains. A URL counts under http and https alike, and hosts in whatever spelling leads to them.

    http://u@EXAMPLE.com.:80/a.jpg#x ─▶ http://example.com/a.jpg ─▶ BLAKE2b-128; a key is its own digest

The digests have no salt, as everybody's rebuild must find its own rows in them. So the list names no address, but who
has one, or guesses it, can see whether it is there.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from ..errors import InputError
from ..web.hostname import EDGES, canonical, host_of, is_address
from .digests import KEY, Bools, Digests, array_of, keys_of, locate
from .files import filesystem, join, read_bytes, write_atomic
from .parquet import check_rows, dictionaries, plain
from .reading import reading, type_of

PATH = "removals/removals.parquet"  # in a release
KEPT_AT = "ledger/release/removals.parquet"  # in a root: of all releases made from it
SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("digest", pa.string(), nullable=False),  # a key itself; BLAKE2b-128 of a URL or a host
        pa.field("since", pa.string()),  # the release that it was first taken out of
    ]
)
KINDS = ("host", "key", "url")
LONGEST = 64 << 10  # bytes of a line
ROW_GROUP = 1 << 17

pc: Any = compute  # its stubs know no mix of column and constant

_KEY = re.compile(r"[0-9a-fA-F]{32}")
_URL = re.compile(r"(?i)(?:(https?):)?[\\/]{2}([^/\\?#]*)([^#]*)")
# URLs that are written as they are digested, which is nearly all; the rest is looked at one by one.
_HOST = r"(?:[a-z0-9_-]+\.)*[a-z_][a-z0-9_-]*|(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})"
_PLAIN = rf'^https?://(?P<host>{_HOST})/(?:[^#\s\x00-\x20\x7f]*[!"$-~])?$'


@dataclass(frozen=True)
class Removals:
    """A removal list. entries: SCHEMA, by kind and digest, each once."""

    entries: pa.Table

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str, str | None]]) -> Removals:
        """The list of these (kind, digest, since)."""
        columns = [*zip(*rows, strict=True)] or [()] * 3
        arrays = [pa.array(column, pa.string()) for column in columns]
        return cls(_sorted(pa.Table.from_arrays(arrays, schema=SCHEMA)))

    def __len__(self) -> int:
        return int(self.entries.num_rows)

    def rows(self) -> Iterator[tuple[str, str, str | None]]:
        """(kind, digest, since), in order."""
        yield from zip(*(self.entries[name].to_pylist() for name in SCHEMA.names), strict=True)

    def union(self, other: Removals) -> Removals:
        """The entries of both; of one that both have, the date that it has, of two dates this list's."""
        return Removals(_sorted(pa.concat_tables([self.entries, other.entries])))

    def dated(self, version: str) -> Removals:
        """The list with `version` as the date of the entries that have none."""
        since = pc.fill_null(self.entries["since"], version)
        return Removals(self.entries.set_column(2, SCHEMA.field("since"), since))

    @cached_property
    def _digests(self) -> dict[str, Digests]:
        """The digests of each kind, ascending."""
        of_kind = {kind: self.entries.filter(pc.equal(self.entries["kind"], kind)) for kind in KINDS}
        return {kind: keys_of(entries["digest"])[0] for kind, entries in of_kind.items()}

    @property
    def by_key(self) -> bool:
        """Whether it has keys."""
        return len(self._digests["key"]) > 0

    @property
    def by_url(self) -> bool:
        """Whether it has URLs or hosts."""
        return len(self._digests["url"]) + len(self._digests["host"]) > 0

    def covers(self, keys: Any, urls: Any = None) -> Bools:
        """Which pairs are to be out, (n,): by their keys in hex and their URLs as the manifest has them.

        Columns or lists; keys or urls may be None, and then nothing is said by them.
        """
        covered = np.zeros(len(urls if keys is None else keys), np.bool_)
        if keys is not None and self.by_key:
            digests, valid = keys_of(keys)
            covered |= valid & self._has("key", digests)
        if urls is not None and self.by_url:
            covered |= self._covers_urls(array_of(urls))
        return covered

    def _covers_urls(self, urls: Any) -> Bools:
        plain = plain_hosts(urls)
        odd = np.flatnonzero(np.array(pc.and_(pc.is_valid(urls), pc.is_null(plain))))
        mended = {int(row): mend(urls[int(row)].as_py()) for row in odd}
        covered = np.zeros(len(urls), np.bool_)
        if len(self._digests["host"]):
            covered |= self._covers_hosts(plain, {row: host for row, (host, _) in mended.items()})
        if len(self._digests["url"]):
            texts = urls.to_pylist()
            for row, (_, text) in mended.items():
                texts[row] = text
            covered |= self._covers_texts(texts)
        return covered

    def _covers_hosts(self, plain: Any, odd: dict[int, str | None]) -> Bools:
        encoded = plain.dictionary_encode()
        names = encoded.dictionary.to_pylist()
        domains = {host: domains_of(host) for host in {*names, *odd.values()} - {None}}
        tried = [*{domain for some in domains.values() for domain in some}]
        hits = self._has("host", np.frombuffer(b"".join(map(hash_of, tried)), KEY))
        out = {domain for domain, hit in zip(tried, hits, strict=True) if hit}
        gone = {host for host, some in domains.items() if not out.isdisjoint(some)}
        of_name = np.array([*(name in gone for name in names), False])  # the last: no plain host
        covered: Bools = of_name[np.asarray(pc.fill_null(encoded.indices, len(names)))]
        covered[[*odd]] = [host in gone for host in odd.values()]
        return covered

    def _covers_texts(self, texts: list[str | None]) -> Bools:
        there = np.array([text is not None for text in texts], np.bool_)
        digests = b"".join([hash_of(one) for text in texts if text for one in (text, other_scheme(text))])
        covered = np.zeros(len(texts), np.bool_)
        covered[there] = self._has("url", np.frombuffer(digests, KEY)).reshape(-1, 2).any(1)
        return covered

    def _has(self, kind: str, digests: Digests) -> Bools:
        return locate(self._digests[kind], digests)[1]

    def as_parquet(self) -> bytes:
        """The Parquet file of the list: the same entries make the same bytes."""
        file = io.BytesIO()
        write: Any = pq.write_table  # its stubs lag behind
        options = {"row_group_size": ROW_GROUP, "compression": "zstd", "use_dictionary": ["kind", "since"]}
        write(self.entries, file, **options)
        return file.getvalue()

    def write(self, path: str | Path) -> None:
        """Write the list to a path or URL; a reader sees the old one or the new one."""
        write_atomic(str(path), self.as_parquet())


def digest_of(kind: str, text: str) -> str:
    """What the list holds of a key, a URL or a host, 32 hex characters; ValueError where the text is none."""
    if kind == "key":
        if not is_key(text):
            raise ValueError("a key has 32 hex characters")
        return text.lower()
    return hash_of(host_text(text) if kind == "host" else url_text(text)).hex()


def url_text(raw: str) -> str:
    """A URL as it is digested: the host as a browser reaches it, no user, no fragment; the rest byte for byte."""
    match = _URL.fullmatch(raw.strip(EDGES).partition("#")[0])
    if match is None:
        raise ValueError("neither http nor https")
    scheme, rest = (match[1] or "http").lower(), match[3]
    port = re.fullmatch(r".*:([0-9]{1,5})", match[2].rpartition("@")[2])
    number = int(port[1]) if port and int(port[1]) != {"http": 80, "https": 443}[scheme] else 0
    rest = rest if rest[:1] in "/\\" and rest else "/" + rest
    return f"{scheme}://{host_text(match[2])}{f':{number}' if number else ''}{rest}"


def host_text(raw: str) -> str:
    """A host as it is digested: without user, port and the dot at its end; ValueError where it is none."""
    host = (host_of("//" + raw) or "").removesuffix(".")
    return canonical(host)


def is_key(text: str) -> bool:
    """Whether a text is a key of a pair."""
    return bool(_KEY.fullmatch(text))


def hash_of(text: str) -> bytes:
    """The digest of a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def plain_hosts(urls: Any) -> Any:
    """The host of every URL that is written as it is digested; null for the others."""
    return pc.struct_field(pc.extract_regex(urls, _PLAIN), "host")


def mend(url: str) -> tuple[str | None, str | None]:
    """Host and text, as they are digested, of a URL that is not plain; None twice where it leads nowhere."""
    try:
        text = url_text(url)
        return host_text(text.split("/", 3)[2]), text
    except ValueError:
        return None, None


def other_scheme(text: str) -> str:
    """A URL as it is digested, with https for http or the other way round."""
    return f"http{text[5:]}" if text.startswith("https") else f"https{text[4:]}"


def domains_of(host: str) -> list[str]:
    """A host as it is digested, and the domains that it lies in, down to two labels; an address lies in none."""
    labels = host.split(".")
    return [host] if is_address(host) else [".".join(labels[i:]) for i in range(max(1, len(labels) - 1))]


def _sorted(entries: pa.Table) -> pa.Table:
    """Entries by kind and digest; of equal ones the first that has a date, or else the first."""
    order = pa.array(np.arange(entries.num_rows))
    undated = pc.cast(pc.is_null(entries["since"]), pa.int8())
    numbered: Any = entries.append_column("undated", undated).append_column("order", order)
    by = [(name, "ascending") for name in ("kind", "digest", "undated", "order")]
    table = numbered.sort_by(by).select(SCHEMA.names).combine_chunks()
    if table.num_rows > 1:
        same = [
            pc.equal(table[name].slice(1), table[name].slice(0, table.num_rows - 1))
            for name in ("kind", "digest")
        ]
        first = np.concatenate([[True], ~np.asarray(pc.and_(*same))])
        table = table if first.all() else table.filter(pa.array(first)).combine_chunks()
    return pa.Table.from_arrays(table.columns, schema=SCHEMA)


def parse_file(url: str | Path, since: str | None = None) -> Removals:
    """A text file of keys, URLs and hosts, one a line; InputError names the line that is none of them."""
    url = str(url)
    fs, path = filesystem(url)
    with reading(url), fs.open(path, "rb") as file:
        return Removals.of((*entry, since) for entry in _entries(file, url))


def _entries(file: Any, url: str) -> Iterator[tuple[str, str]]:
    number = 0
    while raw := file.readline(LONGEST + 2):
        number += 1
        where = f"{url}: line {number}"
        line = raw.rstrip(b"\r\n")
        if len(line) > LONGEST:
            raise InputError(f"{where}: longer than {LONGEST:,} bytes: it begins with {line[:40]!r}")
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{where}: not UTF-8: {line[:40]!r}; save the file as UTF-8") from None
        text = text.strip(" \t")
        if not text or text.startswith("#"):
            continue
        try:
            yield _entry(re.split(r"[ \t]#", text, maxsplit=1)[0].rstrip(" \t"))
        except ValueError as error:
            raise InputError(f"{where}: {text[:60]!r}: {error}; give a key, a URL or a host a line") from None


def _entry(text: str) -> tuple[str, str]:
    """Kind and digest of a line; ValueError says what is wrong with it."""
    if hidden := next((char for char in text if not char.isprintable()), None):
        raise ValueError(f"the character U+{ord(hidden):04X} is in it")
    if is_key(text):
        return "key", digest_of("key", text)
    if "://" in text or text.startswith("//"):
        if re.search(r"\s\S*://", text):
            raise ValueError("two on one line")
        return "url", digest_of("url", text)
    host = re.sub(r"^\*?\.", "", text)  # *.example.com and .example.com, as other lists have it
    if re.search(r"[\s/\\?]", host):
        raise ValueError("none of the three")
    host = host_text(f"[{host}]" if host.count(":") > 1 and "[" not in host else host)
    if "." not in host and not is_address(host):
        raise ValueError("a host of one word would cover a whole top-level domain")
    return "host", digest_of("host", host)


def read(url: str) -> Removals | None:
    """The list at `url`: a release, folder or hf://, or a file, .parquet or text; None where there is none.

    Raises InputError for a file that is no removal list, EnvironmentProblem for one that cannot be read.
    """
    with reading(url):
        fs, path = filesystem(url)
        kind = type_of(fs, path)
        if kind is None:
            return None
        if kind != "directory" and not url.endswith(".parquet"):
            return parse_file(url)
        at = join(url, PATH) if kind == "directory" else url
        data = read_bytes(at)
    return None if data is None else _loaded(data, at)


def _loaded(data: bytes, url: str) -> Removals:
    with reading(url, len(data)):
        metadata = pq.read_metadata(pa.BufferReader(data))
        check_rows(metadata, len(data))
        coded = dictionaries(metadata)
        table = plain(pq.read_table(pa.BufferReader(data), read_dictionary=coded))
    missing = [name for name in SCHEMA.names if name not in table.column_names]
    if missing:
        raise InputError(f"{url}: no removal list: it has no column {missing[0]}")
    loose = pa.schema([field.with_nullable(True) for field in SCHEMA])
    with reading(url):
        table = table.select(SCHEMA.names).cast(loose)
    known = pc.is_in(table["kind"], pa.array(KINDS))
    if not (pc.all(known, min_count=0).as_py() and keys_of(table["digest"])[1].all()):
        raise InputError(f"{url}: no removal list: kinds are {', '.join(KINDS)}, digests 32 hex characters")
    return Removals(_sorted(table))


def known(root: str) -> Removals:
    """What was taken out of the releases made from a root so far; empty before the first."""
    at = join(root, KEPT_AT)
    data = read_bytes(at)
    return Removals.of(()) if data is None else _loaded(data, at)


def keep(root: str, removals: Removals) -> None:
    """Remember, in a root, what is taken out of its releases."""
    removals.write(join(root, KEPT_AT))
