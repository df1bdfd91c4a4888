"""Personal data: each kind by hand, with numbers that are made up, and the numbers of captions that are nobody's."""

from __future__ import annotations

import pytest

from builder.refine import pii

from .labelled import wanted

FOUND = [
    ("mobile", "电话13800138000"),
    ("mobile", "Tel:13800138000"),
    ("mobile", "tel13800138000"),
    ("mobile", "联系 138-0013-8000 李先生"),
    ("mobile", "138 0013 8000"),
    ("mobile", "+8613800138000"),
    ("mobile", "+86 138 0013 8000"),
    ("mobile", "(+86)138-0013-8000"),
    ("mobile", "0086-13800138000"),
    ("mobile", "手机１３８００１３８０００"),
    ("mobile", "微信同号19912345678。"),
    ("mobile", "+852 6123 4567"),
    ("mobile", "+886 912-345-678"),
    ("mobile", "0912-345-678"),
    ("id_card", "11010519491231002X"),
    ("id_card", "号码11010519491231002x的证件"),
    ("id_card", "１１０１０５１９４９１２３１００２Ｘ"),
    ("id_card", "440308199901010012"),
    ("email", "zhangsan@example.com"),
    ("email", "邮箱li.si-2@mail.example.com.cn投稿"),
    ("email", "ｌｉｓｉ＠ｅｘａｍｐｌｅ．ｃｏｍ"),
    ("messenger", "微信号abc123"),
    ("messenger", "微信号：xiaoming"),
    ("messenger", "微信:abc_123"),
    ("messenger", "微信：123456"),
    ("messenger", "微信 ID: abc123"),
    ("messenger", "微信號：abc_123"),
    ("messenger", "加微信abc12345"),
    ("messenger", "vx:abc123"),
    ("messenger", "ＶＸ：ａｂｃ１２３"),
    ("messenger", "WX号abc-123"),
    ("messenger", "V信abc123"),
    ("messenger", "薇信：abc123"),
    ("messenger", "QQ: 12345678"),
    ("messenger", "QQ：10001"),
    ("messenger", "QQ12345678"),
    ("messenger", "客服qq 12345678"),
    ("messenger", "QQ群123456789"),
    ("messenger", "QQ交流群：123456"),
    ("messenger", "Q群 123456789"),
    ("messenger", "扣扣号：12345678"),
    ("messenger", "LINE ID: shop_123"),
    ("bank_card", "6222021234567890128"),
    ("bank_card", "6222 0212 3456 7890 128"),
    ("bank_card", "4111 1111 1111 1111"),
    ("bank_card", "4111-1111-1111-1111"),
    ("bank_card", "3782 822463 10005"),
    ("bank_card", "5555555555554444"),
]
NOBODYS = [
    "ISBN 978-7-02-000220-7",
    "ISBN9787020002207",
    "条码6901234567892",
    "EAN 4006381333931",  # of Germany, with the checksum that Luhn's is like
    "4111111111116",  # 13 digits that are right by Luhn, as old cards of Visa had: now EANs
    "订单号20240501123000",
    "20240501123000",
    "时间戳1714521600000",
    "1714521600",
    "型号SM-G9910 8GB+256GB",
    "型号A13800138000",
    "13800138000A",
    "货号 138001380001",
    "价格13912345678.50元",
    "1990-1995-2000年",
    "1937-1945年抗日战争",
    "规格 1200 600 800",
    "统一编号110105194912310021",  # the checksum is X
    "110105194913310029",  # there is no 13th month
    "110105190002290013",  # nor a 29 February in 1900
    "6222021234567890127",  # not by Luhn
    "7222021234567890125",  # nobody issues these
    "IMEI 861234567890128",
    "400-800-1234",
    "0912345678",
    "61234567",
    "图标icon@2x.png",
    "icon@3x.webp",
    "摄影@张三",
    "微博@zhangsan",
    "QQ 2024",
    "QQ2024版",
    "QQ20240501截图",
    "奇瑞QQ 39800元",
    "QQ飞车手游",
    "QQ音乐 2024年度榜单",
    "微信 iPhone版",
    "微信iPhone14截图",
    "微信 8.0.48 更新",
    "微信支付",
    "微信公众号：abc123",
    "加微信iPhone",
    "企鹅和海豹",
    "VX2000打印机",
    "WX-78 手办",
    "Maxvx:abc123",
    "LINE贴图",
    "Q群聊天",
]


def kinds(text: str) -> list[str]:
    """The kinds of personal data in one text."""
    return [kind for _, kind in pii.find([text])]


@pytest.mark.parametrize(("kind", "text"), FOUND)
def test_personal_data_is_found(kind: str, text: str) -> None:
    assert kinds(text) == [kind]


@pytest.mark.parametrize("text", NOBODYS)
def test_what_is_nobodys_is_left_alone(text: str) -> None:
    assert kinds(text) == []


@pytest.mark.parametrize("text", ["13800138000", "a@b.cn", "QQ:12345", "4111111111111111"])
def test_it_ends_where_the_text_ends(text: str) -> None:
    """Texts lie one behind the other, and no number reaches into the next."""
    assert [row for row, _ in pii.find(["", text, text, "1", "", text])] == [1, 2, 5]


def test_a_row_has_each_kind_once() -> None:
    text = "13800138000 或 13900139000，QQ:12345678，QQ:87654321"
    assert sorted(pii.find(["茶杯", text, "", text])) == [
        (1, "messenger"), (1, "mobile"), (3, "messenger"), (3, "mobile"),
    ]  # fmt: skip


def test_no_text_at_all() -> None:
    assert pii.find([]) == []
    assert pii.find([""]) == []


def test_the_captions_with_personal_data_are_found_and_no_others() -> None:
    told = ("kept", "boilerplate", "unsafe_text", "advert", "no_noun")
    assert [text for text in wanted(*told) if kinds(text)] == []
    assert [text for text in wanted("pii") if not kinds(text)] == []


@pytest.mark.parametrize(
    "unit",
    [
        "1", "1 ", "138 ", "1234 ", "86", "+86", "@", "a@", "a", "a@a.", "a.", "-", "微信", "微信号:", "微信a",
        "qq", "qq ", "qq:1", "vx:", "line id", "加微信a_", "\U0001d7ce",
    ],
)  # fmt: skip
def test_a_hostile_text_is_looked_through(unit: str) -> None:
    """In a second; an expression that is quadratic in the text would take an hour."""
    text = unit * (500_000 // len(unit)) + "汉"
    assert isinstance(pii.find([text]), list)
