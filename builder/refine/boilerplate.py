"""Texts that are of the page and not of the picture: buttons, avatars, codes to scan, file names, templates.

texts ─▶ find ─▶ which of them

A word of a page inside a caption says nothing against it: 二维码支付终端机 is a thing, 情侣动漫头像 a picture that is
looked for. So a text is dropped where nothing else is in it, or where the whole has the form of what a page writes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .alphabet import rows_at
from .lexicon import INTERFACE


def _any(words: Sequence[str]) -> str:
    """One of some words, the longest that fits, for good: a shorter one would be tried again at each of n words."""
    return f"(?>{'|'.join(sorted(words, key=len, reverse=True))})"


_FILE = (  # what cameras, telephones and programs call a picture
    "IMG|DSC[NF]?|PANO|VID|MVIMG|mmexport|Screenshot|Snipaste|微信图片|微信截图|企业微信截图|QQ图片|QQ截图|TIM截图|截屏|截图"
    "|屏幕截图|屏幕快照|未标题|无标题|未命名|新建位图图像|图片|图像|照片|幻灯片|捕获|扫描"
)
_LINES = re.compile(
    rf"^(?:(?=[^\n]*\w)(?:{_any(INTERFACE)}|(?!\n)[\W\d_])++"
    rf"|(?:{_FILE})(?:(?!\n)[\W\d_]|[上下]午|副本|拷贝|COPY)++(?:(?<=\.)(?:jpe?g|png|gif|webp|bmp|tiff?))?"
    r")$",
    re.M | re.I,
)
# What each form below has, looked for in all texts at once: in a fifth of the time that the forms themselves take.
_SUSPECT = re.compile(r"[{%]|<%|看不清|验证码|二维码|扫码|分享|头像")
_FORMS = re.compile(
    # templates that were never filled in. {0} behind = is a set of mathematics, 80%cotton% a fabric.
    r"\{\{[^{}\n]{1,60}\}\}|\$\{[^{}\n]{1,60}\}|(?<![\d%])%[a-z_]{2,30}%|(?<![=∈∪∩])\{\d{1,2}\}|<%[^%\n]{1,60}%>"
    r"|看不清楚?[^\w\n]{0,3}(?:请|点击|点我){0,2}(?:刷新|更换|换)|点击(?:图片)?(?:刷新|更换)(?:图片)?验证码"
    r"|(?:扫描?|扫一扫|长按|识别)[^\n]{0,8}二维码[^\n]{0,3}(?:关注|下载|添加|加入|进群|加群)|扫码(?:关注|下载)"
    r"|(?:微信|公众号|订阅号|服务号|小程序|客户端|APP|微博|官网|官方|网|网站|下载|关注|手机版?|微信群)的?二维码(?:图片)?$"
    r"|^(?:微信|页面|文章|网页|微博)?分享(?:缩略图|图标|按钮|封面)$"
    # 新华社的头像 and user_2008的头像 are of who writes; 可爱女生的头像 and 女王的头像 are pictures of something
    r"|(?:用户|会员|作者|网友|博主|楼主|专栏|[社报网台])[ 的]?头像$"
    r"|^(?!.*(?:情侣|动漫|卡通|男|女|古风|可爱|好看|唯美|帅|微信|QQ|主席|王|皇|总统|人物|动物|画|[猫狗]))[\w.-]{1,12}的头像$",
    re.I,
)


def find(texts: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Whether each text is of the page alone, (n,); no text holds a line break."""
    joined, found = "\n".join(texts), np.zeros(len(texts), np.bool_)
    found[rows_at(texts, [hit.start() for hit in _LINES.finditer(joined)])] = True
    for row in np.unique(rows_at(texts, [hit.start() for hit in _SUSPECT.finditer(joined)])):
        found[row] |= _FORMS.search(texts[row]) is not None
    return found
