"""WAT files of a synthetic crawl: records as Common Crawl's extractor writes them, mixed and sized as on the web.

    python -m benchmarks.commoncrawl FOLDER --pages 1000000 --files 32 --chinese 0.06

In: how many. Out: FOLDER/00000.warc.wat.gz ..., the same bytes for the same arguments, some 0.8 ms a page and core.
A page is three members: request, response, and the metadata behind it with `languages-cld2`; on average 20 pictures,
half of them with an alt, 125 other links, 6 KB gz. What stages fall over is there in small shares: lazy pictures and
what stands in for them, <base>, pictures without URL, opt-outs in headers and metas (1 % of the pages), licences,
headers that are lists, pages that are in several files (2 %), and texts that stand on many pages.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import orjson

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.crawl.made import record

CRAWL = "CC-MAIN-2025-30"
PICTURES, LINKS = 20, 125  # a page, on average
AGAIN = 0.02  # share of pages that are in several files
LAZY = (
    ("alone", 0.07),
    ("noscript", 0.05),
    ("data-uri", 0.004),
)  # shares of pages, by what a lazy picture has beside it
STAND_INS = ("", "/static/img/loading.gif", "data:image/gif;base64,R0lGODlhAQABAAAAACw=")
ABROAD = 0.01  # share of pages whose pictures have Chinese texts, whatever their language
LOW = 1 << 40  # numbers of pages from here on are in one file only


@dataclass(frozen=True)
class Tongue:
    """A language. code: ISO 639-3; share: of the pages; blank: between words; common: texts of many pages."""

    code: str
    lang: str
    share: float
    blank: str
    text: str
    common: tuple[str, ...]

    @cached_property
    def words(self) -> list[str]:
        """What its texts are made of."""
        return self.text.split()


ENGLISH = (
    "about contact home product gallery news login search company policy photo image service support "
    "article read more category summer winter price garden kitchen leather wooden travel river "
    "mountain coffee family school music report market energy health doctor window jacket running "
    "shoes camera review update video event ticket museum castle bridge island sunset morning recipe "
    "chicken salad garlic butter orange yellow silver design studio office meeting people student "
    "teacher science history language country village street station airport hotel room view beach "
    "pool dinner"
)
CHINESE = (
    "北京 上海 广州 杭州 图片 高清 新闻 公司 产品 中心 技术 服务 手机 汽车 电影 音乐 学校 学生 老师 "
    "医院 健康 美食 旅游 风景 建筑 城市 公园 花园 山水 夏季 冬季 时尚 女装 男鞋 家具 厨房 木制 陶瓷 "
    "茶叶 咖啡 红色 蓝色 白色 系列 设计 装修 效果 客厅 卧室 阳台 灯具 工厂 机械 设备 电子 软件 数据 "
    "网络 安全 会议 活动 展览 博物馆 古代 文化 历史 艺术 书法 绘画 动物 熊猫 小猫 狗狗 儿童 玩具 婚纱 "
    "摄影 足球 篮球 比赛 冠军 明星 演唱会 最新 推荐 大全 介绍 报价 批发 价格 品牌 官方 免费 下载 教程 "
    "视频 直播 天气 地图 地铁 机场 酒店 预订 日出 海滩"
)
JAPANESE = (
    "東京 大阪 京都 写真 画像 商品 新着 会社 案内 お知らせ 会員 登録 検索 料理 レシピ 旅行 温泉 桜の花 "
    "カメラ バッグ シューズ 送料無料 セール 人気 ランキング 夏の 冬の 家族 学校 音楽 映画 アニメ "
    "ゲーム ブログ 記事 一覧 詳細 お問い合わせ 駅前 空港 ホテル 部屋 海の見える 庭園 歴史 文化 美術館"
)
TONGUES = (
    Tongue("eng", "en-US", 0.45, " ", ENGLISH, ("logo", "Facebook", "Twitter", "avatar", "Search icon")),
    Tongue("rus", "ru", 0.07, " ", (
        "новости фото компания товары услуги контакты главная каталог цена купить москва дом кухня "
        "лето зима школа музыка фильм рецепт город река горы музей улица семья ребёнок здоровье врач "
        "машина отзывы видео статья"
    ), ("логотип", "Логотип сайта")),
    Tongue("deu", "de", 0.06, " ", (
        "Startseite Bilder Angebote Kontakt Impressum Garten Küche Winter Sommer Urlaub Berge Straße "
        "Gebäude Geschichte Rezept Möbel Kinder Schule Musik Übersicht Größe Zubehör"
    ), ("Logo", "Startseite")),
    Tongue("jpn", "ja", 0.05, "", JAPANESE, ("ロゴ", "検索", "矢印", "公式サイト")),
    Tongue("kor", "ko", 0.02, " ", (
        "뉴스 사진 회사 제품 서비스 서울 부산 여행 음식 요리 가격 상품 검색 로그인 학교 음악 영화 겨울 "
        "여름 가족 건강 자동차"
    ), ("로고", "검색")),
    Tongue("spa", "es", 0.29, " ", (
        "inicio noticias fotografía empresa productos contacto cocina verano invierno montaña ciudad "
        "calle música película receta niños escuela salud médico museo historia jardín señal año "
        "español precio tienda"
    ), ("logo", "Inicio")),
)  # fmt: skip
ZHO = Tongue(
    "zho",
    "zh-CN",
    0.06,
    "",
    CHINESE,
    ("微信二维码", "公司标志", "返回顶部", "网站首页图片", "扫码关注公众号"),
)

Answer = dict[str, Any]


class Drawer:
    """What is drawn for one page: `number` decides it all."""

    def __init__(self, number: int, tongues: tuple[Tongue, ...]) -> None:
        self._random = Random(number)
        self.draw: Callable[[], float] = self._random.random
        share = self.draw() * sum(one.share for one in tongues)
        for one in tongues:  # the last one, where rounding leaves a rest
            share -= one.share
            if share < 0:
                break
        self.tongue = one
        self.shown = ZHO if self.draw() < ABROAD else self.tongue
        self.lazy = next((name for name, end in LAZY if self.draw() < end), "")
        self.host = (
            f"{self.slug(1)}{int(self.draw() ** 3 * 20_000)}.{('com', 'org', 'net', 'info')[self.below(4)]}"
        )
        self.url = f"https://www.{self.host}/{self.slug(1)}/{self.slug(3)}-{self.hex(8)}.html"

    def below(self, end: int) -> int:
        """A number from 0 to `end` - 1."""
        return int(self.draw() * end)

    def hex(self, digits: int) -> str:
        """So many hexadecimal digits."""
        return f"{self._random.getrandbits(4 * digits):0{digits}x}"

    def words(self, count: int, tongue: Tongue | None = None) -> str:
        """So many words of a language, of that of the page where none is named."""
        one = tongue or self.tongue
        return one.blank.join(self._random.choices(one.words, k=count))

    def slug(self, count: int) -> str:
        """So many words of a URL."""
        return "-".join(self._random.choices(TONGUES[0].words, k=count))

    def image(self) -> list[dict[str, str]]:
        """The links of one picture: of a lazy one what stands in for it, and what its page has beside that."""
        at = self.draw()
        path = f"/uploads/{2015 + self.below(11)}/{1 + self.below(12):02d}/{self.slug(2)}-{self.hex(6)}.jpg"
        if at < 0.5:
            url = path
        elif at < 0.85:
            url = f"https://cdn{self.below(4)}.{self.host}{path}"
        else:
            url = f"https://img.{self.slug(1)}cdn.com{path}?w=640&h=480&sig={self.hex(16)}"
        found = {"path": "IMG@/src", "url": url}
        with_alt = self.draw()
        if with_alt < 0.5:
            found["alt"] = self.words(2 + self.below(6), self.shown)
        elif with_alt < 0.58:
            found["alt"] = self.shown.common[self.below(len(self.shown.common))]
        elif with_alt < 0.72:
            found["alt"] = ""
        if with_alt > 0.95:
            found["title"] = self.words(3, self.shown)
        if not self.lazy or at > 0.7:
            return [found]
        first = found | {"url": STAND_INS[self.below(len(STAND_INS))]}
        return {"noscript": [first, found], "data-uri": [{"path": "IMG@/data-uri", "url": url}, first]}.get(
            self.lazy, [first]
        )

    def link(self) -> dict[str, str]:
        """A link to another page."""
        at = self.draw()
        url = (
            f"/{self.slug(1)}/{self.slug(2)}-{self.hex(4)}"
            if at < 0.8
            else f"https://{self.host}/{self.slug(2)}"
        )
        found = {"path": "A@/href", "url": url}
        if 0.5 < at < 0.65:
            found["target"] = "_blank"
        if at > 0.85:
            found["title"] = self.words(3)
        if at > 0.25:
            found["text"] = self.words(1 + self.below(4))
        return found

    def links(self) -> list[dict[str, str]]:
        """All links of the page, the pictures among the others."""
        some = 2 * self.draw() ** 2 * 1.5  # pages are small, and some large: 1 on average
        found: list[dict[str, str]] = []
        pictures, others = round(PICTURES * some), round(LINKS * some)
        for number in range(others):
            found.append(self.link())
            for _ in range(pictures * (number + 1) // others - pictures * number // others):
                found += self.image()
        found += [{"path": "FORM@/action", "url": "/search", "method": "get"}] * self.below(3)
        if self.draw() < 0.005:
            found.append({
                "path": "A@/href", "url": "https://creativecommons.org/licenses/by-sa/4.0/", "rel": "license",
            })  # fmt: skip
        return found

    def head(self) -> Answer:
        """What stands in the page's <head>."""
        metas = [
            {"name": "viewport", "content": "width=device-width, initial-scale=1"},
            {"name": "description", "content": self.words(14)},
            {"content": self.words(5), "property": "og:title"},
            {"content": f"https://www.{self.host}/og/{self.hex(12)}.jpg", "property": "og:image"},
            {"name": "generator", "content": "WordPress 6.6.2"},
        ]
        if self.draw() < 0.8:
            metas.insert(0, {"name": "HTML@/lang", "content": self.tongue.lang})
        metas += [
            {"name": f"twitter:{self.slug(1)}", "content": self.words(3)} for _ in range(self.below(10))
        ]
        head: Answer = {"Metas": metas, "Title": f"{self.words(5)} | {self.words(2)}"}
        at = self.draw()
        if at < 0.03:
            head["Base"] = f"https://www.{self.host}/" if at < 0.025 else "/"
        elif at > 0.993:
            metas.append(
                {"name": "robots", "content": ("noai, noimageai", "noindex", "noimageai")[self.below(3)]}
            )
        head["Link"] = [
            {
                "path": "LINK@/href",
                "url": f"/assets/css/{self.slug(1)}.{self.hex(8)}.css",
                "rel": "stylesheet",
            }
            for _ in range(4 + self.below(8))
        ]
        head["Scripts"] = [
            {"path": "SCRIPT@/src", "url": f"/assets/js/{self.slug(1)}.{self.hex(8)}.js"}
            for _ in range(4 + self.below(12))
        ]
        return head

    def headers(self) -> Answer:
        """Those of the answer."""
        headers: Answer = {
            "Date": "Mon, 14 Jul 2025 03:14:15 GMT", "Content-Type": "text/html; charset=UTF-8",
            "X-Crawler-Transfer-Encoding": "chunked", "Connection": "keep-alive", "Server": "nginx",
            "Set-Cookie": [f"PHPSESSID={self.hex(26)}; path=/", f"lang={self.tongue.lang}; path=/"],
            "Cache-Control": "no-store, no-cache, must-revalidate", "X-Crawler-Content-Encoding": "gzip",
        }  # fmt: skip
        at = self.draw()
        if at < 0.003:
            name, value = (
                ("X-Robots-Tag", "noai"),
                ("TDM-Reservation", "1"),
                ("Content-Usage", "train-ai=n"),
            )[self.below(3)]
            headers[name] = value
        return headers


def answer(page: Drawer) -> Answer:
    """What is told of a response."""
    links = page.links()
    return {
        "Response-Message": {"Status": "200", "Version": "HTTP/1.1", "Reason": "OK"}, "Headers-Length": "512",
        "Headers": page.headers(), "HTML-Metadata": {"Head": page.head(), "Links": links},
        "Entity-Length": "48211", "Entity-Digest": f"sha1:{page.hex(32)}", "Entity-Trailing-Slop-Length": "0",
    }  # fmt: skip


def request(page: Drawer) -> Answer:
    """What is told of a request."""
    return {
        "Request-Message": {"Method": "GET", "Path": page.url.partition(page.host)[2], "Version": "HTTP/1.1"},
        "Headers-Length": "308",
        "Headers": {
            "User-Agent": "CCBot/2.0 (https://commoncrawl.org/faq/)",
            "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "Accept-Language": "en-US,en;q=0.5", "Accept-Encoding": "br,gzip", "Host": page.host,
            "Connection": "Keep-Alive",
        },
        "Entity-Length": "0", "Entity-Digest": "sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ",
    }  # fmt: skip


def metadata(page: Drawer) -> Answer:
    """What is told of the record behind a response."""
    also = [] if page.draw() < 0.7 or page.tongue.code == "eng" else [("en", "eng", "ENGLISH")]
    found = [(page.tongue.lang[:2], page.tongue.code, page.tongue.code.upper()), *also]
    languages = {
        "reliable": True,
        "text-bytes": 4321,
        "languages": [
            {"code": code, "code-iso-639-3": iso, "text-covered": 0.6, "score": 1042.0, "name": name}
            for code, iso, name in found
        ],
    }
    records = {
        "fetchTimeMs": "655", "charset-detected": "UTF-8", "languages-cld2": orjson.dumps(languages).decode(),
    }  # fmt: skip
    return {"Metadata-Records": [{"Name": name, "Value": value} for name, value in records.items()]}


def envelope(page: Drawer, kind: str, payload: Answer, warc: str, offset: int) -> bytes:
    """The record of a WAT that tells of a record of a WARC."""
    name, mime = {
        "request": ("HTTP-Request-Metadata", "application/http; msgtype=request"),
        "response": ("HTTP-Response-Metadata", "application/http; msgtype=response"),
        "metadata": ("WARC-Metadata-Metadata", "application/metadata-fields"),
    }[kind]
    itself = f"<urn:uuid:{page.hex(32)}>"
    told = {
        "Container": {
            "Filename": warc, "Compressed": True, "Offset": str(offset),
            "Gzip-Metadata": {
                "Deflate-Length": "10905", "Header-Length": "10", "Footer-Length": "8",
                "Inflated-CRC": str(page.below(1 << 31)), "Inflated-Length": "37164",
            },
        },
        "Envelope": {
            "Payload-Metadata": {
                "Actual-Content-Type": mime, name: payload, "Actual-Content-Length": "36578",
                "Block-Digest": f"sha1:{page.hex(32)}", "Trailing-Slop-Length": "4",
            },
            "Format": "WARC/1.0",
            "WARC-Header-Length": "582",
            "WARC-Header-Metadata": {
                "WARC-Type": kind, "WARC-Date": "2025-07-14T03:14:15Z", "WARC-Record-ID": itself,
                "Content-Length": "36578", "Content-Type": mime, "WARC-IP-Address": "203.0.113.7",
                "WARC-Target-URI": page.url,
            },
        },
    }  # fmt: skip
    return record(
        "metadata",
        orjson.dumps(told),
        WARC_Target_URI=page.url,
        WARC_Refers_To=itself,
        Content_Type="application/json",
    )


def member(content: bytes) -> bytes:
    """A gzip member of its own."""
    packer = zlib.compressobj(6, wbits=31)
    return packer.compress(content) + packer.flush()


def begin(warc: str) -> Iterator[bytes]:
    """The records before the first page: of the WAT itself, and what it tells of the WARC's own."""
    yield record(
        "warcinfo", b"Software-Info: ia-web-commons\r\nformat: WARC File Format 1.0\r\n", WARC_Filename=warc
    )
    told = {
        "Container": {"Filename": warc, "Compressed": True, "Offset": "0"},
        "Envelope": {
            "Payload-Metadata": {"WARC-Info-Metadata": {"isPartOf": CRAWL, "publisher": "Common Crawl"}},
            "WARC-Header-Metadata": {"WARC-Type": "warcinfo", "WARC-Filename": warc},
        },
    }
    yield record("metadata", orjson.dumps(told), WARC_Target_URI=warc, Content_Type="application/json")


def write(path: Path, first: int, pages: int, chinese: float) -> None:
    """One file of so many pages. first: the number of its first page in the crawl."""
    warc, offset = f"CC-MAIN-20250714000000-20250714030000-{path.name[:5]}.warc.gz", 940
    rest = (1 - chinese) / sum(one.share for one in TONGUES)
    tongues = (*(replace(one, share=one.share * rest) for one in TONGUES), replace(ZHO, share=chinese))
    dice = Random(first)
    with path.open("wb") as file:
        for one in begin(warc):
            file.write(member(one))
        for number in range(first, first + pages):
            again = dice.random() < AGAIN
            page = Drawer(dice.randrange(max(1, pages // 50)) if again else LOW + number, tongues)
            for kind, payload in (("request", request), ("response", answer), ("metadata", metadata)):
                file.write(member(envelope(page, kind, payload(page), warc, offset)))
                offset += 459 if kind != "response" else 10905


def crawl(folder: Path, pages: int, files: int, chinese: float = 0.06, workers: int = 2) -> list[Path]:
    """The files of a crawl of so many pages."""
    folder.mkdir(parents=True, exist_ok=True)
    bounds = [pages * number // files for number in range(files + 1)]
    paths = [folder / f"{number:05d}.warc.wat.gz" for number in range(files)]
    with ProcessPoolExecutor(workers) as pool:
        counts = [bounds[number + 1] - bounds[number] for number in range(files)]
        list(pool.map(write, paths, bounds[:-1], counts, [chinese] * files))
    return paths


def main() -> int:
    """Write the files that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=32)
    parser.add_argument("--chinese", type=float, default=0.06, help="share of pages")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    paths = crawl(options.folder, options.pages, options.files, options.chinese, options.workers)
    print(f"{len(paths)} files, {sum(path.stat().st_size for path in paths) / 1e6:,.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
