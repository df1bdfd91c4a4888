"""Files to read, by what the user typed: a crawl, a list, or files, folders and globs of this machine or of a store.

    SOURCE, --from, --mirror ─▶ find_files ─▶ CrawlFile, CrawlFile ... by (crawl, name)

A file is named by its path from crawl-data/ on, whatever mirror it is read from, so that the candidates are the same.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..console import Console
from ..disk.files import is_local, join, local_path
from ..disk.reading import WEB, type_of
from ..errors import InputError, UsageError
from ..hub.origin import BUCKETS, S3, Patience, Web, reached, store

ROOTS = {
    "https": "https://data.commoncrawl.org/",
    "s3": "s3://commoncrawl/",
    "hf": "hf://buckets/commoncrawl/commoncrawl/",
}
DATA = "crawl-data/"  # where the names of Common Crawl begin
HF_SINCE = 2026  # the year of the first crawl that its bucket on the Hub holds
LIST_BYTES, LIST_LINES = (
    64 << 20,
    2_000_000,
)  # of a list, decompressed; a crawl has 100,000 files of 140 bytes each
LONGEST = 2048  # characters of an entry
SCHEMES = (*WEB, S3, BUCKETS)

_CRAWL = re.compile(r"CC-MAIN-(\d{4})-\d{2}")
_LIKE_A_CRAWL = re.compile(r"(?:cc[-_ .]?main[-_ .\d]*|\d{4}-\d{1,2})", re.IGNORECASE)
_IN_PATH = re.compile(rf"(?:^|/){DATA}({_CRAWL.pattern})/")
_SUFFIXES = {".wat": "wat", ".warc": "warc", ".paths": "list", ".txt": "list"}
_OTHERS = {
    ".wet",
    ".cdx",
    ".cdxj",
    ".parquet",
    ".json",
    ".html",
    ".md",
    ".csv",
    ".tsv",
    ".xml",
    ".idx",
    ".py",
}


@dataclass(frozen=True, slots=True)
class CrawlFile:
    """A file to read. name: by which it is known wherever it lies; url: where to read it; crawl: CC-MAIN-…, or empty.

    bytes: by the listing, None where that tells none; kind: wat or warc.
    """

    name: str
    url: str
    crawl: str
    bytes: int | None
    kind: str


def find_files(
    source: str, kind: str, mirror: str, limit: int, console: Console, roots: dict[str, str] = ROOTS
) -> list[CrawlFile]:
    """The files of a source, the first `limit` of them where that is not 0. kind: wat or warc, as --from says.

    roots: by mirror, what precedes crawl-data/. Raises UsageError, InputError or EnvironmentProblem in one line.
    """
    web = Web(Patience(tell=console.info))
    try:
        found = list(_found(source, kind, roots[mirror], web))
    finally:
        web.close()
    if not found:
        raise InputError(f"{source}: is empty; a list names a file on each line")
    files = {(file.crawl, file.name): file for file in (_checked(one, kind, source) for one in found)}
    return [files[name] for name in sorted(files)][: limit or None]


def kind_of(name: str) -> str:
    """What the name of a file tells: wat, warc, list, other (what no reader of crawls takes), or nothing."""
    suffix = PurePosixPath(name.lower().removesuffix(".gz")).suffix
    return _SUFFIXES.get(suffix) or ("other" if suffix in _OTHERS else "")


def _checked(file: CrawlFile, kind: str, source: str) -> CrawlFile:
    """The file; UsageError where its name says that it is of the other kind, InputError where it is of none."""
    told = kind_of(file.name)
    if told not in ("", "wat", "warc"):
        raise InputError(f"{source}: names {file.name[:200]}, which is neither a WAT nor a WARC file")
    if told not in ("", kind):
        raise UsageError(
            f"{source}: {file.name[:200]} is a {told.upper()} file, and --from {kind} asks for {kind.upper()} files: "
            f"give --from {told}, or a source of the other"
        )
    return file


def _found(source: str, kind: str, root: str, web: Web) -> Iterable[CrawlFile]:
    if crawl := _CRAWL.fullmatch(source):
        return _of_crawl(source, int(crawl[1]), kind, root, web)
    if is_local(source):
        if _LIKE_A_CRAWL.fullmatch(source) and not local_path(source).exists():
            raise UsageError(f"{source}: no name of a crawl, which has a year and a week, as CC-MAIN-2025-30")
    elif not source.startswith(SCHEMES):
        raise UsageError(f"{source}: read are https://, s3://, {BUCKETS}ORG/NAME/ and paths of this machine")
    wild = not source.startswith(WEB) and re.search(r"[*?\[]", source)
    if kind_of(source) == "list" and not wild:
        return _of_list(source, kind, root, web)
    if source.startswith(WEB):
        if source.endswith("/"):
            raise UsageError(
                f"{source}: a web server does not list its folders; give a list, as wat.paths.gz"
            )
        return [_file(source, source.rpartition("/")[0], kind)]
    return _in_store(source, kind)


def _of_crawl(crawl: str, year: int, kind: str, root: str, web: Web) -> Iterable[CrawlFile]:
    """The files of a crawl by its own list."""
    if root.startswith(BUCKETS) and year < HF_SINCE:
        raise UsageError(
            f"{crawl}: the bucket on the Hub holds the crawls of {HF_SINCE} on; give --mirror https or s3"
        )
    url = f"{root}{DATA}{crawl}/{kind}.paths.gz"
    try:
        return _of_list(url, kind, root, web)
    except InputError as error:
        raise InputError(f"{crawl}: no such crawl, or one without such files ({error})") from error


def _of_list(url: str, kind: str, root: str, web: Web) -> list[CrawlFile]:
    """The files that a list names. root: of the mirror, for a list of this machine."""
    local = is_local(url)
    if local:
        with reached(url), local_path(url).open("rb") as file:
            data = file.read(LIST_BYTES + 1)
    else:
        data = web.read(url, LIST_BYTES)
    entries = _lines(url, data)
    place = str(local_path(url).absolute()) if local else url
    before, _, _ = place.rpartition(f"/{DATA}") if f"/{DATA}" in place else ("", "", "")
    if before and not (local and entries and not Path(before, entries[0]).is_file()):
        root = f"{before}/"
    urls = [_resolved(entry, place.rpartition("/")[0], root, url) for entry in entries]
    base = os.path.commonprefix(urls).rpartition("/")[0]  # noqa: RUF071  cut back to a folder
    return [_file(one, base, kind) for one in urls]


def _lines(url: str, data: bytes) -> list[str]:
    """The lines of a list that are not empty; gzip is known by its first bytes."""
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(LIST_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{url}: a damaged gzip file ({error}); fetch it again") from error
    if len(data) > LIST_BYTES or data.count(b"\n") > LIST_LINES:
        raise InputError(
            f"{url}: more than {LIST_BYTES >> 20} MiB or {LIST_LINES:,} lines; give parts of it, each alone"
        )
    try:
        lines = [line.strip() for line in data.decode().split("\n")]
    except UnicodeDecodeError as error:
        raise InputError(
            f"{url}: no list of files, as it is no text; a list names a file on each line"
        ) from error
    return [line for line in lines if line]


def _resolved(entry: str, folder: str, root: str, url: str) -> str:
    """Where an entry of a list lies. folder: of the list; root: what precedes crawl-data/."""
    local = is_local(folder)
    if entry.startswith(SCHEMES) and entry.isprintable() and len(entry) <= LONGEST:
        return entry
    odd = "://" in entry or not entry.isprintable() or len(entry) > LONGEST
    if odd or (not local and (entry.startswith("/") or ".." in entry.split("/"))):
        raise InputError(
            f"{url}: names {entry[:200]!r}, which is no path below {root}, nor https://, s3:// or {BUCKETS}"
        )
    if entry.startswith(DATA):
        return root + entry
    return os.path.normpath(Path(folder, entry)) if local else join(folder, entry)


def _in_store(source: str, kind: str) -> list[CrawlFile]:
    """The files of a path, folder or glob, here or in a store."""
    fs, path = store(source)
    scheme = source.partition("://")[0] + "://" if not is_local(source) else ""
    with reached(source):
        fs.invalidate_cache()
        is_a = type_of(fs, path)
        if is_a == "file":
            return [_file(scheme + path, scheme + path.rpartition("/")[0], kind, fs.info(path)["size"])]
        if is_a == "other":
            raise InputError(f"{source}: a pipe, device, socket or broken link, which cannot be read twice")
        wild = re.search(r"[*?\[]", path)
        if is_a is None and not wild:
            raise InputError(f"{source}: no such file or folder, and no crawl such as CC-MAIN-2025-30")
        base = path.rstrip("/") if is_a else path[: wild.start() if wild else None].rpartition("/")[0]
        listed = fs.find(path, detail=True) if is_a else fs.glob(path, detail=True)
    sizes = {
        name: info["size"]
        for name, info in listed.items()
        if info["type"] == "file"
        or (info["type"] == "other" and type_of(fs, name) == "file")  # a link to one
    }
    chosen = _chosen(sizes, base, kind)
    if not chosen:
        raise InputError(
            f"{source}: no WAT or WARC file {'in it' if is_a else 'matches'}{'' if sizes else ', nor any other'}"
        )
    return [_file(scheme + name, scheme + base, kind, sizes[name]) for name in chosen]


def _chosen(names: Iterable[str], base: str, kind: str) -> list[str]:
    """The files below `base` that are of the kind, else those of the other, else those that may be of either."""
    told: dict[str, list[str]] = {}
    for name in names:
        inside = PurePosixPath(name.removeprefix(base).lstrip("/"))
        if not any(part.startswith((".", "_")) for part in inside.parts):
            told.setdefault(kind_of(name), []).append(name)
    other = "warc" if kind == "wat" else "wat"
    return told.get(kind) or told.get(other) or [name for name in told.get("", []) if name.endswith(".gz")]


def _file(url: str, base: str, kind: str, size: int | None = None) -> CrawlFile:
    """A file of that URL. base: the folder that its name is relative to, where it does not lie below crawl-data/."""
    if size is None and is_local(url):
        try:
            size = local_path(url).stat().st_size
        except OSError as error:
            raise InputError(f"{url}: {error.strerror}, though the list names it") from error
    at = url.rfind(f"/{DATA}")
    name = url[at + 1 :] if at >= 0 else url.removeprefix(base).lstrip("/")
    crawl = _IN_PATH.search(url)
    return CrawlFile(
        name, url, crawl[1] if crawl else "", size, kind_of(url) if kind_of(url) in ("wat", "warc") else kind
    )
