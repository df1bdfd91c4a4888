"""What is wrong with the demo's web, and what must come of it: one row per fault, read by web.py.

A fault is planted in a share of the rows, and the truth is known beforehand: the pair is kept (None) or
dropped for one reason. Faults that cost no pair are here because careless downloaders lose pairs by them, and
others because a curation is to drop them later: pictures that are no good, or that another row shows too.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..reasons import Reason
from .pictures import AGAIN, BLURRED, COPY, FLAT, WRONG


@dataclass(frozen=True, slots=True)
class Fault:
    """name; share of the rows; the reason of the drop, None where the pair is kept; how the host acts.

    act, status, headers: of the route (host.py). body: what lies behind it instead of the scene (`web.py`,
    `pictures.py`).
    urls: templates of the address instead of one of the usual, for rows that never reach a picture.
    """

    name: str
    share: float
    reason: Reason | None
    act: str = "send"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    content_type: str = ""
    urls: tuple[str | None, ...] = ()


FAULTS: tuple[Fault, ...] = (
    Fault("404", 0.05, Reason.HTTP_4XX, status=404, body="html"),
    Fault("410", 0.01, Reason.HTTP_4XX, status=410, body="nothing"),
    Fault("403", 0.01, Reason.HTTP_4XX, status=403, body="html"),
    Fault("500", 0.005, Reason.HTTP_5XX, status=500, body="nothing"),
    Fault("500 once", 0.02, None, act="flaky"),
    Fault("stall", 0.004, Reason.TIMEOUT, act="stall"),
    Fault("stall in the body", 0.003, Reason.TIMEOUT, act="stall-body"),
    Fault("drip", 0.003, Reason.TIMEOUT, act="drip"),
    Fault("limited host", 0.04, None, act="limited"),
    Fault("HTML", 0.02, Reason.NOT_IMAGE, body="html", content_type="text/html; charset=utf-8"),
    Fault("HTML as JPEG", 0.01, Reason.NOT_IMAGE, body="html", content_type="image/jpeg"),
    Fault("JSON as PNG", 0.005, Reason.NOT_IMAGE, body="json", content_type="image/png"),
    Fault("placeholder", 0.04, None, body="placeholder", content_type="image/png"),
    Fault(COPY, 0.02, None, body=COPY),
    Fault(AGAIN, 0.02, None, body=AGAIN),
    Fault(BLURRED, 0.015, None, body=BLURRED),
    Fault(FLAT, 0.004, None, body=FLAT),
    Fault(WRONG, 0.01, None, body=WRONG),
    Fault("closed early", 0.01, Reason.TRUNCATED, act="short"),
    Fault("half a file", 0.01, Reason.TRUNCATED, body="half"),
    Fault("empty", 0.005, Reason.EMPTY, body="nothing"),
    Fault("pixel", 0.015, Reason.TOO_SMALL, body="pixel", content_type="image/gif"),
    Fault("bomb", 0.003, Reason.TOO_MANY_PIXELS, body="bomb", content_type="image/png"),
    Fault("redirect", 0.02, None, act="redirect"),
    Fault("redirect loop", 0.005, Reason.REDIRECTS, act="loop"),
    Fault("redirect to ftp", 0.003, Reason.BLOCKED_SCHEME, act="ftp"),
    Fault("opt-out", 0.015, Reason.OPT_OUT, headers=(("X-Robots-Tag", "noai, noimageai"),)),
    Fault("refused", 0.005, Reason.CONNECT, urls=("http://127.0.0.1:{refused}/{index}.jpg",)),
    Fault("null", 0.005, Reason.INVALID_URL, urls=(None, "", "   ")),
    Fault("invalid", 0.005, Reason.INVALID_URL, urls=("http://user:secret@127.0.0.1/{index}.jpg", "http:///{index}.jpg")),
    Fault("scheme", 0.005, Reason.BLOCKED_SCHEME, urls=("ftp://127.0.0.1/{index}.jpg", "file:///etc/{index}.jpg")),
)  # fmt: skip

# Forms in which addresses of pictures that are there stand in manifests. {name} is the name of the file.
FORMS: tuple[tuple[float, str], ...] = (
    (0.50, "http://{host}/photo/{name}"),
    (0.08, "http://{host}/图片/{words}/{name}"),
    (0.06, "http://{host}/my photos/{words} 副本 {name}"),
    (0.06, "http://{host}/%E5%9B%BE%E7%89%87/{name}"),
    (0.06, "http://{host}/image_search/src=http%3A%2F%2Fimg.example.cn%2F{name}&refer=http%3A%2F%2Fexample.cn"),
    (0.06, "http://{host}/u/{name}?sign=aB%2f%7Ez%3D&t=1700000000"),
    (0.04, "http://{host}/search?q=图片&file={name}"),
    (0.03, "http://{host}//cdn//{name}"),
    (0.03, "HTTP://{host}/photo/{name}"),
    (0.03, "//{host}/photo/{name}"),
    (0.03, "  http://{host}/photo/{name} "),
    (0.02, "http://{host}/photo/{name}#原图"),
)  # fmt: skip

# Ways in which captions stand on pages and in lists, and which a refinement undoes: TRADITIONAL, or with {text}.
TRADITIONAL = "traditional script"
_SCRIPTS = str.maketrans("红黄绿蓝圆环纯条纹点两个侧画图爱于", "紅黃綠藍圓環純條紋點兩個側畫圖愛於")
WRITINGS: tuple[tuple[float, str], ...] = (
    (0.84, "{text}"),
    (0.06, TRADITIONAL),
    (0.03, "★{text}★"),
    (0.03, "{text} \U0001f338\ufe0f"),
    (0.02, "\u200b{text}\u200b"),
    (0.02, "{text}\u3000 ■"),
)


def written(text: str, form: str) -> str:
    """A caption in one of the forms of WRITINGS."""
    return text.translate(_SCRIPTS) if form == TRADITIONAL else form.format(text=text)
