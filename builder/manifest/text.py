"""Text of a manifest, exact: bytes in some encoding ─▶ runs of whole lines, or the row where they are none.

Decoding is strict. A byte order mark goes before what the user said of the encoding; without either it is UTF-8.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

import pyarrow as pa

from ..errors import InputError, UsageError

UTF8 = "utf-8"
# The mark of UTF-32 LE begins with that of UTF-16 LE, so it is looked for first.
MARKS = {
    codecs.BOM_UTF8: UTF8,
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
CHINESE = "if it is in another encoding, name it, as --encoding gb18030 (or big5)"


class NotText(Exception):
    """What follows the lines read so far is no text. Says why; whoever counts the rows names the row."""


def encoding_of(head: bytes, said: str) -> str:
    """The encoding of a file that begins with `head`: by its byte order mark, else as `said`."""
    return next((name for mark, name in MARKS.items() if head.startswith(mark)), said)


def known_encoding(name: str) -> str:
    """The name that Python has for an encoding; UsageError for a word that is none."""
    try:
        "".encode(name)  # refuses base64 and the like, which turn bytes into bytes
        return codecs.lookup(name).name
    except (LookupError, UnicodeError, ValueError) as error:
        raise UsageError(
            f"--encoding {name}: no such encoding; write utf-8, gb18030, big5 or utf-16"
        ) from error


def runs(file: pa.NativeFile, encoding: str, size: int, longest: int) -> Iterator[bytes]:
    """A text file as runs of whole lines of about `size` bytes, in UTF-8; the last may lack its line end.

    longest: bytes of one line. Raises NotText, after the lines before it, for bytes that are not in `encoding`, a NUL
    and a line beyond `longest`. What is in UTF-8 already is not looked at: a reader does so as it goes, and asks
    `sound` where it stumbles. Lines end in LF, or in CR where the first run has no LF.
    """
    rest, end = b"", b""
    for data in _recoded(file, encoding, size):
        end = end or (b"\n" if b"\n" in data or b"\r" not in data else b"\r")
        cut = data.rfind(end) + 1
        if cut:
            yield rest + data[:cut] if rest else data[:cut]
            rest = data[cut:]
        else:
            rest += data
        if len(rest) > longest:
            raise NotText(f"is longer than {longest >> 20} MiB")
    if rest:
        yield rest


def _recoded(file: pa.NativeFile, encoding: str, size: int) -> Iterator[bytes]:
    """The file in UTF-8, some bytes at a time, without a byte order mark and up to the first NUL."""
    decoder = None if encoding == UTF8 else codecs.getincrementaldecoder(encoding)("strict")
    first, more = True, True
    while more:
        data, wrong = bytes(file.read(size)), ""
        more = bool(data)
        if decoder is not None:
            data, wrong = _strict(decoder, data, encoding)
        if first:
            data, first = data.removeprefix(codecs.BOM_UTF8), not data
        if b"\0" in data:
            data, wrong = data[: data.index(b"\0")], "holds a NUL byte: not a text"
        if data:
            yield data
        if wrong:
            raise NotText(wrong)


def _strict(decoder: codecs.IncrementalDecoder, data: bytes, encoding: str) -> tuple[bytes, str]:
    """`data` in UTF-8 up to the first place that is no text, and what is wrong there."""
    try:
        return decoder.decode(data, not data).encode(), ""
    except UnicodeDecodeError as error:
        return error.object[: error.start].decode(encoding, "replace").encode(), _wrong(error, encoding)


def sound(data: bytes) -> tuple[bytes, NotText | None]:
    """The whole lines of `data` before the first that is not UTF-8, and what is wrong with that one."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return data[: data.rfind(b"\n", 0, error.start) + 1], NotText(_wrong(error, UTF8))
    return data, None


def _wrong(error: UnicodeDecodeError, encoding: str) -> str:
    odd = error.object[error.start : error.start + 8]
    return f"is not {encoding.upper()}: {odd!r}; {CHINESE}"


def in_row(url: str, rows: int, error: NotText) -> InputError:
    """The error of a file of which `rows` rows could be read."""
    return InputError(f"{url}: row {rows + 1:,} {error}")
