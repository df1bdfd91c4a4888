"""Pages decoded as browsers do: what is named, what is meant by it, and what cannot be read."""

from __future__ import annotations

import pytest

from builder.web.charset import codec_of, decoded

EURO = "价格€5".encode("gbk", "ignore").replace("价格".encode("gbk"), "价格".encode("gbk") + b"\x80")


@pytest.mark.parametrize(
    ("data", "header", "detected", "text", "charset"),
    [
        ("图片".encode(), None, None, "图片", None),
        ("图片".encode("gbk"), "gb2312", None, "图片", "gb2312"),
        ("陶喆演唱会".encode("gbk"), "GB2312", None, "陶喆演唱会", "gb2312"),  # 喆 is not in GB2312
        ("陶喆演唱会".encode("gbk"), '"gbk"', None, "陶喆演唱会", "gbk"),
        ("陶喆演唱会".encode("gbk"), "gbk;", None, "陶喆演唱会", "gbk"),
        ("𠮷野家".encode("gb18030"), "x-gbk", None, "𠮷野家", "x-gbk"),
        (EURO, "gb18030", None, "价格€5", "gb18030"),
        (EURO, None, "GBK", "价格€5", None),
        ("香港嘅相片".encode("big5hkscs"), "big5", None, "香港嘅相片", "big5"),
        ("カメラ".encode("euc_jp"), "x-euc-jp", None, "カメラ", "x-euc-jp"),
        ("①高速".encode("cp932"), "Shift_JIS", None, "①高速", "shift_jis"),
        ("똠방각하".encode("cp949"), "euc-kr", None, "똠방각하", "euc-kr"),
        (b"\x93caf\xe9\x94", "iso-8859-1", None, "“café”", "iso-8859-1"),
        (b"\x93caf\xe9\x94", None, None, "“café”", None),
        ("图片".encode(), "no-such-charset", None, "图片", None),
        ("图片".encode(), "rot13", None, "图片", None),
        ("图片".encode("utf-8-sig"), "gbk", None, "图片", "utf-8"),
        ("图片".encode("utf-16-le"), None, None, "\0图片"[1:], None),
        (b"\xff\xfe" + "图片".encode("utf-16-le"), "gbk", None, "图片", "utf-16-le"),
        ("图片".encode(), "utf-16", None, "图片", "utf-16"),
        ("图片".encode("gbk"), None, "GB18030", "图片", None),
        (b"abc\xff\xff", "utf-8", None, "abc\ufffd\ufffd", "utf-8"),
    ],
)  # fmt: skip
def test_the_text_of_a_page(
    data: bytes, header: str | None, detected: str | None, text: str, charset: str | None
) -> None:
    if data == "图片".encode("utf-16-le"):  # without a mark nobody can know
        assert decoded(data, header, detected)[1] is None
        return
    assert decoded(data, header, detected) == (text, charset)


def meta(text: str) -> bytes:
    return text.encode("gbk")


@pytest.mark.parametrize(
    ("head", "charset"),
    [
        ("<meta charset=gbk>", "gbk"),
        ("<META CharSet = 'GB2312'>", "gb2312"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=gb2312">', "gb2312"),
        ('<meta name="a" content="b"><meta charset="gbk"/>', "gbk"),
        ("<!-- <meta charset=utf-8> --><meta charset=gbk>", "gbk"),
    ],
)
def test_a_page_names_its_charset(head: str, charset: str) -> None:
    text, found = decoded(meta(f"<html>{head}<title>标题</title>"))
    assert "标题" in text
    assert found == charset
    assert (
        decoded(meta(f"<html>{head}<title>标题</title>"), "gb18030")[1] == "gb18030"
    )  # the answer goes before


def test_a_charset_named_too_late_is_not_looked_for() -> None:
    text, charset = decoded(b" " * 1024 + meta("<meta charset=gbk>标题"))
    assert charset is None
    assert "标题" not in text


@pytest.mark.parametrize(
    "label", ["", "idna", "punycode", "utf-7", "hex", "base64", "x" * 60, "gbk\0", "../x", "unicode_escape"]
)
def test_what_is_no_charset_of_text(label: str) -> None:
    assert codec_of(label) is None
