"""Words of pages: each form by hand, and captions that have the same words and are of a picture."""

from __future__ import annotations

import opencc
import pytest

from builder.refine import boilerplate
from builder.refine.lexicon import INTERFACE

from .labelled import wanted

PAGES = [
    "展开分类", "收起/展开", "看不清？换一换", "看不清楚,点击更换", "看不清 换一张", "点击图片刷新验证码",
    "上一主题", "返回首页 >>", "上一页 2 3 下一页", "跳转到指定楼层", "手机发帖", "图片 12/30", "图片[3]",
    "头像", "用户头像", "小明的头像", "user_2008的头像", "新华社 头像", "会员头像",
    "二维码", "微信公众号二维码", "南方网二维码", "官方微博的二维码图片", "扫描二维码下载", "长按识别二维码，关注我们",
    "扫码关注", "分享缩略图", "微信分享缩略图", "分享图标",
    "IMG_20230501_1234.jpg", "微信图片_20230501123456", "微信图片_20230501123456.jpg", "mmexport1683012345678.jpg",
    "截屏2023-05-01 下午3.20.11", "屏幕快照 2019-11-02 上午9.05.33.png", "未标题-1", "未标题-1 副本.jpg", "图片1",
    "图片1.png", "DSC00123", "DSCN0123.JPG", "QQ截图20190612101500", "幻灯片12.JPG", "新建位图图像 (2).bmp",
    "{{title}}", "{{ item.title }}的图片", "${name}", "封面${name}", "%title%", "文章 %post_name% 配图", "第{0}张",
    "<%= x %>", "<%=item.name%>图片",
]  # fmt: skip
PICTURES = [
    "二维码支付终端机", "扫码枪读取商品二维码", "顾客正在扫描二维码", "手机扫码点餐的顾客", "二维码门牌",
    "情侣动漫头像", "可爱女生的头像", "硬币上的女王头像", "邮票上毛主席的头像", "卡通猫的头像", "微信头像高清图片",
    "分享会现场", "分享西瓜的孩子", "图书馆打印机", "登录火星的探测器", "图片1 江苏省地形图", "微信图片里的猫",
    "截屏2023年的春晚", "故宫角楼雪景.jpg", "看不清前路的大雾", "看不清楚黑板的孩子在换眼镜", "加载货物的叉车",
    "80%cotton%纯棉", "集合A={1}", "50%折扣", "美元$100{大}", "广告公司", "关闭的大门", "验证码识别原理图",
    "首页设计稿", "手机摄影作品", "我们的手机", "IMG世界冒险乐园", "P1赛车",
]  # fmt: skip


def is_page(text: str) -> bool:
    """Whether one text is boilerplate."""
    return bool(boilerplate.find([text])[0])


@pytest.mark.parametrize("text", PAGES)
def test_what_is_of_the_page_is_found(text: str) -> None:
    assert is_page(text)


@pytest.mark.parametrize("text", PICTURES)
def test_what_is_of_the_picture_is_left_alone(text: str) -> None:
    assert not is_page(text)


@pytest.mark.parametrize("word", INTERFACE)
def test_each_word_of_a_page_is_found_by_itself_and_beside_others(word: str) -> None:
    assert is_page(word)
    assert is_page(f"{word} 2 | {word}{word}。")
    assert not is_page(f"{word}梨树")


def test_texts_beside_each_other_are_told_apart() -> None:
    texts = ["茶杯", "头像", "", "展开分类", "花瓶", "{{title}}", "收起", "树"]
    assert boilerplate.find(texts).tolist() == [False, True, False, True, False, True, True, False]


def test_no_text_at_all() -> None:
    assert boilerplate.find([]).tolist() == []
    assert boilerplate.find(["", " "]).tolist() == [False, False]


def test_the_captions_of_pages_are_found_and_no_others() -> None:
    told = ("kept", "unsafe_text", "advert", "no_noun")
    assert [text for text in wanted(*told) if is_page(text)] == []
    simple = map(opencc.OpenCC("t2s").convert, wanted("boilerplate"))
    assert [text for text in simple if not is_page(text)] == []


@pytest.mark.parametrize(
    "unit",
    [
        "1",
        "-",
        "{",
        "{{",
        "${",
        "%a",
        "<%",
        "图片",
        "展开",
        "扫",
        "扫二维码",
        "的头像",
        "a的头像",
        "看不清",
        "IMG1",
        "网二维码",
    ],
)
def test_a_hostile_text_is_looked_through(unit: str) -> None:
    """In a second; an expression that is quadratic in the text would take an hour."""
    text = unit * (500_000 // len(unit)) + "汉"
    assert boilerplate.find([text]).shape == (1,)
