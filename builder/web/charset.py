"""The bytes of an HTML page as text, decoded as browsers do it.

bytes, the charset of the HTTP answer, what the crawler detected ─▶ decoded ─▶ text, and the charset as it was named

A page says gb2312 and means what GB18030 has grown to, says iso-8859-1 and means windows-1252; a label may be quoted.
What cannot be decoded becomes U+FFFD, and a text that holds one is dropped whole: of a caption no detector tells.
The order is that of https://html.spec.whatwg.org/#determining-the-character-encoding, the labels are those of
https://encoding.spec.whatwg.org
"""

from __future__ import annotations

import codecs
import re

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_HEAD = 1024  # bytes in which a page may name its charset
_META = re.compile(rb"""<meta\b[^>]*?\bcharset\s*=\s*["']?\s*([^\s"'/>;]+)""", re.IGNORECASE)
_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_EURO = 0x80  # one byte of GBK for the euro sign: browsers read it, both of Python's codecs refuse it

# Labels that mean another charset than they name, or that Python spells otherwise.
_MEANT = {
    **dict.fromkeys(("gb2312", "gbk", "gb18030", "x-gbk", "chinese", "iso-ir-58", "cp936", "ms936"), "gb18030"),
    **dict.fromkeys(("big5", "big5-hkscs", "cn-big5", "x-x-big5", "csbig5"), "big5hkscs"),
    **dict.fromkeys(("iso-8859-1", "iso8859-1", "latin1", "ascii", "us-ascii", "iso_8859-1", "x-cp1252"), "cp1252"),
    **dict.fromkeys(("shift_jis", "shift-jis", "sjis", "x-sjis", "ms_kanji", "windows-31j"), "cp932"),
    **dict.fromkeys(("euc-kr", "ks_c_5601-1987", "ksc5601", "korean", "windows-949"), "cp949"),
    **dict.fromkeys(("x-euc-jp", "cseucpkdfmtjapanese"), "euc_jp"),
    **dict.fromkeys(("utf8", "unicode-1-1-utf-8", "x-unicode20utf8"), "utf-8"),
    # A page whose first bytes can be read as ASCII is not UTF-16, whatever it says.
    **dict.fromkeys(("utf-16", "utf-16le", "utf-16be", "unicode", "ucs-2"), "utf-8"),
}  # fmt: skip
_OTHERS = re.compile(
    r"utf-8|(?:windows-|cp)(?:874|125[0-8]|932|949)|iso-?8859-(?:[2-9]|1[0-6])|koi8-[ru]|euc[-_]jp|iso-2022-jp|ibm866|"
    r"cp866|gb18030|big5hkscs|tis-620|macintosh|hz-gb-2312"
)


def decoded(data: bytes, header: str | None = None, detected: str | None = None) -> tuple[str, str | None]:
    """The text of a page, and the charset by which it was read, as the page named it; None where it named none.

    header: the charset of its Content-Type; detected: by the crawler.
    """
    for mark, codec in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(codec, "replace"), codec
    named = _META.findall(_COMMENT.sub(b"", data[:_HEAD]))
    for told in (header, *(label.decode("ascii", "replace") for label in named[:1])):
        if found := codec_of(told):
            return _text(data, found), label_of(told)
    for codec in filter(None, (codec_of(detected), "utf-8")):
        try:
            return _strict(data, codec), None
        except UnicodeDecodeError:
            continue
    return _text(data, codec_of(detected) or "cp1252"), None


def label_of(told: str | None) -> str:
    """A charset as it is named, in lower case and without the quotes and blanks around it."""
    return (told or "").strip(" \t\r\n\f\"';").lower()


def codec_of(told: str | None) -> str | None:
    """Python's codec of a charset; None where browsers know none of that name."""
    label = label_of(told)
    if label in _MEANT:
        return _MEANT[label]
    return codecs.lookup(label).name if _OTHERS.fullmatch(label) else None


def _strict(data: bytes, codec: str) -> str:
    return data.decode(codec, "danqing.euro" if codec == "gb18030" else "strict")


def _text(data: bytes, codec: str) -> str:
    """The text, with U+FFFD for what cannot be decoded."""
    return data.decode(codec, "danqing.replace" if codec == "gb18030" else "replace")


def _euro(error: UnicodeError) -> tuple[str, int]:
    """The euro sign for its one byte; else the error."""
    if isinstance(error, UnicodeDecodeError) and error.object[error.start] == _EURO:
        return "€", error.start + 1
    raise error


def _replace(error: UnicodeError) -> tuple[str, int]:
    """The euro sign for its one byte, U+FFFD for all else that cannot be decoded."""
    if isinstance(error, UnicodeDecodeError) and error.object[error.start] == _EURO:
        return "€", error.start + 1
    return codecs.replace_errors(error)  # type: ignore[return-value]


codecs.register_error("danqing.euro", _euro)
codecs.register_error("danqing.replace", _replace)
