"""Manifests of synthetic Chinese captions: shop titles, dishes, scenery, headlines, people, and what steps must drop.

    python -m benchmarks.captions FOLDER --rows 10000000 --words DICT

In: how many rows, a seed, and a dictionary as jieba has it (word, frequency, tag a line), which gives the long tail of
words; make peers posseg brings one. Out: FOLDER/00000.parquet ..., url, alt_text and page_lang, the same bytes for the
same arguments, some 3 µs a row.

A caption is a template whose places are filled by words of a kind: own ones, drawn the more often the earlier they
stand; those of the dictionary, by their frequency; and made ones that no dictionary has (names, brands, model numbers,
characters in a row), so many that jieba guesses at 11 % of the characters, as in the captions that DanQing shows, for
guessing is what costs it most. 24 characters on average, 15 % traditional (OpenCC s2tw of the words), 3 % with an
emoji, no language known of 30 %. Of the hosts, 10,000, few have most pictures.
"""

from __future__ import annotations

import argparse
import re
import string
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from opencc import OpenCC

CHUNK, FILE = 500_000, 1_000_000  # rows drawn at once, rows of a file
TRADITIONAL, EMOJI, UNTOLD, COPIES = 0.15, 0.03, 0.3, 0.003  # shares of the rows
HOSTS = 10_000
CONVERTER = OpenCC("s2tw")
SCHEMA = pa.schema([("url", pa.string()), ("alt_text", pa.string()), ("page_lang", pa.string())])

OWN = {
    "good": "连衣裙 手机壳 运动鞋 沙发 茶几 地毯 窗帘 床垫 衣柜 书桌 台灯 花瓶 茶杯 茶具 餐具 菜刀 炒锅 保温杯 背包 "
    "钱包 腰带 手表 耳环 项链 戒指 口红 面膜 香水 洗面奶 牙刷 毛巾 浴巾 拖鞋 雨伞 帐篷 鱼竿 自行车 头盔 轮胎 机油 "
    "水泵 阀门 轴承 电机 减速机 螺丝 钢管 铝板 木板 瓷砖 油漆 灯具 开关 插座 电线 耳机 键盘 鼠标 显示器 打印机 相机 "
    "镜头 三脚架 无人机 充电宝 数据线 音箱 电视机 冰箱 洗衣机 空调 风扇 吸尘器 加湿器 电饭煲 烤箱 玩具 积木 拼图 "
    "婴儿车 奶瓶 纸尿裤 童装 校服 笔记本 钢笔 文件夹 包装盒 纸箱 标签 贴纸 海报 画框 油画 摆件 盆栽 花盆 假山 喷泉 "
    "围栏",
    "use": "家用 商用 户外 车载 办公室 客厅 卧室 厨房 儿童 学生 男士 女士 情侣 孕妇 婴儿 老人 宠物 工业 农用 医用 "
    "酒店 餐厅 工程 旅行 健身 钓鱼 摄影 结婚 生日 开业",
    "look": "新款 加厚 防水 简约 轻奢 北欧 欧式 中式 复古 时尚 韩版 日系 大码 宽松 修身 显瘦 百搭 纯棉 真皮 不锈钢 "
    "实木 陶瓷 玻璃 硅胶 亚麻 羊毛 丝绸 黑色 白色 红色 蓝色 粉色 绿色 金色 大容量 高颜值 多功能 可折叠 便携式 智能 "
    "无线 迷你 超薄 静音 耐高温 防滑 透气 定制 批发 厂家直销 现货 包邮 正品 原装 进口 春季 夏季 秋冬 四季 通用 创意",
    "dish": "红烧肉 宫保鸡丁 麻婆豆腐 鱼香肉丝 糖醋排骨 水煮鱼 酸菜鱼 回锅肉 小笼包 牛肉面 炸酱面 凉皮 煎饼 饺子 "
    "馄饨 粽子 月饼 蛋炒饭 火锅 烧烤 豆浆 油条 肠粉 烧鹅 叉烧 白切鸡 蛋挞 芝士蛋糕 提拉米苏 奶茶 咖啡 沙拉 披萨 寿司",
    "food": "鸡蛋 番茄 土豆 茄子 豆角 白菜 菠菜 胡萝卜 洋葱 青椒 香菇 木耳 豆腐 粉丝 牛肉 羊肉 鸡翅 鸡腿 排骨 虾仁 "
    "螃蟹 鲈鱼 带鱼 腊肠 紫薯 南瓜 红枣 莲子 银耳 桂圆 芝麻 花生 核桃 牛奶 酸奶 蜂蜜 草莓 芒果 榴莲 柠檬",
    "cook": "清蒸 红烧 爆炒 凉拌 油炸 香煎 炭烤 卤 炖 煲 糖醋 蒜蓉 椒盐 麻辣 酸辣 家常 自制 美味 鲜香 低脂",
    "sight": "日出 日落 夜景 雪景 云海 瀑布 湖泊 海滩 沙漠 草原 古镇 古城 长城 寺庙 宝塔 石窟 梯田 峡谷 森林 溪流 "
    "花海 油菜花 樱花 荷花 红叶 胡杨林 银河 星空 灯塔 码头 老街 胡同 城墙 园林 博物馆 步行街 大桥 摩天轮 热气球",
    "mood": "美丽的 壮观的 宁静的 神秘的 清晨的 黄昏的 雨后的 冬日的 春天的 秋天的 夏夜的 远处的 金色的 古老的 "
    "繁华的",
    "place": "北京 上海 广州 深圳 杭州 成都 西安 重庆 南京 苏州 武汉 长沙 昆明 大理 丽江 桂林 厦门 青岛 大连 哈尔滨 "
    "拉萨 敦煌 台北 高雄 台中 香港 澳门 黄山 九寨沟 张家界 三亚 新疆 内蒙古 云南 四川 浙江 江苏 广东 福建 东京 巴黎 "
    "伦敦",
    "job": "演员 歌手 导演 记者 教授 医生 律师 设计师 摄影师 运动员 教练 主持人 作家 画家 工程师 校长 市长 董事长 "
    "总经理",
    "act": "出席 参加 举行 发布 公布 宣布 启动 揭幕 亮相 回应 访问 签约 获奖 夺冠 开幕 开工 上市 发售 曝光 热映 走红",
    "event": "发布会 博览会 座谈会 论坛 展览 比赛 决赛 演唱会 音乐会 颁奖典礼 运动会 婚礼 毕业典礼 开幕式 讲座 峰会 "
    "活动",
    "tail": "图片 高清图 效果图 设计图 素材 壁纸 海报 截图 实拍图 评测 教程 攻略 推荐 大全 报价 价格 介绍 视频 "
    "第一章",
    "work": "平面图 三室两厅 装修 样板间 庭院 别墅 书房 阳台 卫生间 吊顶 背景墙 软装 施工 现场 竣工 验收",
    "colour": "红 黄 蓝 绿 黑 白 灰 紫 粉 棕",
    "brand": "Nike Sony Canon Apple Honor Lenovo Philips Casio Lego Bosch Nikon Toyota BMW Levis Gucci Dior Adidas "
    "Puma GoPro Dell ThinkPad Intel iPhone Galaxy Kindle Switch Tesla",
    "unit": "cm mm 寸 米 公斤 克 升 ml 瓦 片 个 只 套 件装 支 盒 包 卷 张 G 人份",
    "short": "首页 猫 登录 花 图1 上一页 广告 标志 商品 新闻 返回 下载 车 会员 详情",
    "call": "点击查看更多 立即购买下单 返回上一级 正在努力加载中 请稍后再试 查看更多精彩 已经卖完了 马上去看看 "
    "继续往下看 非常好看又好用",
    "page": "展开分类 看不清？换一换 微信扫码 分享缩略图 用户头像 二维码 默认头像 扫一扫关注 暂无图片 加载失败",
    "advert": "代开发票 加盟代理 办证刻章 网上兼职日结 免费领取优惠券 无抵押贷款",
    "unsafe": "成人视频 裸聊 色情 在线赌场 六合彩 出售枪支",
    "foreign": "レディースバッグ メンズシューズ 東京の桜 おすすめ商品 무료배송 신상품 送料無料セール",
    "english": "product image of the new summer collection photo gallery blue cotton shirt front view home office "
    "desk",
    "rare": "𠀀 𠮷 𡃁 𪚥 㐂 㙓 𫝀 䶮",
    "odd": "★ ◆ ● ▲ ☆ ※ → \u200b \u3000 \t ｜ ♥ ■ \ufeff",
    "emoji": "😀 🔥 ❤️ 👍 🎉 ✨ 🌸 🍜 \U0001f469\u200d\U0001f469\u200d\U0001f467 🇨🇳",
}
# The kinds of the dictionary, by their tags.
TAGS = {"n": ("n", "nz"), "v": ("v", "vn"), "a": ("a", "b", "z"), "ns": ("ns",), "org": ("nt",), "idiom": ("i", "l"),
        "d": ("d",), "fun": ("u", "p", "c", "y", "r", "d", "m", "q")}  # fmt: skip
# (share in 1,000 rows, template); the last group is what steps drop, about as often as the paper's did.
TEMPLATES = (
    (80, "{brand}{good}{model}{look}{use}{good}{piece}{n}{good}{look}{good}"),
    (70, "{coined}{look}{good}{use}{look}{n}{good}{piece}{look}{n}{good}{use}"),
    (80, "{look}{piece}{n}{good} {use}{good}{look}{a}{n}{look}{good}{use} {piece}{good}"),
    (30, "{look}{good}{look}{colour}色{digits}{unit} {model}"),
    (30, "{brand} {good} {model}"),
    (30, "{ns}{coined}{n}{good}厂家 {look}{good}{n}{good}价格 {use}{good}{look}{n}定制批发"),
    (30, "【{look}】{coined}{brand}{good}（{digits}{unit}）{use}{n}，{look}{good}{look}{n}{good}{digits}{unit}"),
    (25, "{cook}{food}{dish}的做法"),
    (40, "{ns}美食推荐，{cook}{food}、{dish}、{food}{dish}，{coined}{n}{v}{a}的{n}！"),
    (15, "{cook}{food}{food}"),
    (30, "{mood}{ns}{sight}风景{tail}"),
    (40, "{place}{piece}{sight}，{mood}{n}与{sight}，{v}{n}里的{idiom}"),
    (30, "{ns}旅游{tail}：{idiom}的{sight}、{piece}{sight}和{ns}{n}"),
    (15, "{place}{n}{sight}{digits}"),
    (60, "{org}{act}{digits}年{n}{event}，{person}{v}{n}，{fun}{v}{n}{v}"),
    (50, "{ns}{v}{n}：{piece}{v}{fun}{v}{n}，{n}{d}{v}{a}的{n}"),
    (50, "{person}{act}{place}{n}{event} {v}{n}{v}{n}_{ns}{coined}网"),
    (40, "“{idiom}”：{ns}{n}{v}{a}的{n}，{fun}{v}{n}，{job}{person}{v}{n}：{n}{fun}{v}{n}{idiom}"),
    (25, "{n}{d}{v}{n}？{fun}{fun}{v}{n}{v}，{n}{v}{d}{a}"),
    (30, "{job}{person}{v}{n}{tail}"),
    (25, "{coined}{person}{act}{event}"),
    (20, "{ns}{job}{person}与{person}{v}{n}，{fun}{n}{v}{a}的{n}"),
    (25, "{ns}{n}花园-{work}-{look}{work}-{digits}平米{tail}"),
    (25, "图片[{digits}]-{n}{v}{n}{tail}+{look}{good}+{n}{v}-{coined}网"),
    (15, "{n}{tail}{digits}"),
    (15, "{look}{n}{work}{n}{tail} {digits}x{digits}"),
    (8, "{odd}{n}{odd}{good}{look}{n}{odd}{use}{good}{odd}"),
    (12, "{n}{v}{n}"),
    # drawn so often, dropped so often
    (14, "{place}"), (14, "{short}"),
    (4, "{look}{good}{look}{n}{good}{use}{n}" * 5),
    (8, "{english} {brand} {english} {model}"), (8, "{foreign}{model}"),
    (30, "{fun}{fun}{fun}{v}{fun}{fun}{d}{fun}"), (14, "{fun}{d}{fun}{v}{fun}{n}"),
    (6, "{d}{v}{v}"), (6, "{call}"),
    (6, "{page}"), (2, "IMG_{digits}{digits}.jpg {short}"), (2, "{n}{good}{page}"),
    (1.5, "{good}{look}{n}电话{mobile}"), (0.5, "{coined}{n}微信{latin}{digits}"),
    (4, "{advert}{n}{v}"), (3, "{n}{unsafe}{v}{n}"),
    (0.6, "{rare}{rare}{n}{rare}{rare}{rare}{rare}{v}{n}"),
)  # fmt: skip
SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏"
    "魏吕丁任沈姚卢姜崔"
)
GIVEN = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超兰霞平刚桂英华建国文辉玲志红梅鑫波宇浩凯欣怡雨晨子轩梓涵"
    "思琪嘉豪俊佳慧婷雪琳颖"
)
SOUNDS = (
    "阿艾奥巴贝比伯布卡科克达德迪多恩法菲弗戈格哈赫霍吉加杰卡凯莱兰雷莉罗洛马曼梅米莫纳尼诺帕佩"
    "普齐瑞萨塞斯索塔特托瓦维沃西希雅伊泽兹"
)
PIECES = (
    "板刀边弧门角型底电木铣机针线布料皮绒棉麻丝领袖口扣带链圈环盘杯壶锅碗勺叉瓶盖盒箱柜架椅凳床垫枕被灯"
    "管阀泵轮轴钉钩锁链粉膏霜露油蜡漆胶纸笔本册卡牌旗伞帽鞋靴袜裙裤衫衣车船桥路楼塔亭湖山石花草树果茶酒鱼虾"
)


@dataclass(frozen=True)
class Words:
    """Words of one kind in both scripts. until: at which share of the draws each ends."""

    simplified: pa.Array
    traditional: pa.Array
    until: np.ndarray

    def draw(self, rng: np.random.Generator, count: int, traditional: bool) -> pa.Array:
        """So many of them."""
        places = np.searchsorted(self.until, rng.random(count), side="right")
        return (self.traditional if traditional else self.simplified).take(pa.array(places))


def words_of(words: Sequence[str], weights: np.ndarray | None = None) -> Words:
    """Words of a kind. weights: how often each is drawn; without them, as Zipf's law has it of a list by rank."""
    weights = 1 / np.arange(3, len(words) + 3) if weights is None else weights
    until = np.cumsum(weights / weights.sum())
    until[-1] = 1
    changed = CONVERTER.convert("\n".join(words)).split("\n")
    return Words(pa.array(words, pa.string()), pa.array(changed, pa.string()), until)


def kinds(dictionary: Path, seed: int) -> dict[str, Words]:
    """Every kind of words."""
    found = {name: words_of(text.split(" ")) for name, text in OWN.items()}
    lines = [line.split(" ") for line in dictionary.read_text("utf-8").splitlines()]
    for name, some in coined(np.random.default_rng(seed)).items():
        found[name] = words_of(some)
    for name, tags in TAGS.items():
        rows = [
            (word, int(often))
            for word, often, tag in lines
            if tag in tags and (len(word) > 1 or name == "fun")
        ]
        found[name] = words_of([word for word, _ in rows], np.array([often for _, often in rows], np.float64))
    return found


def coined(rng: np.random.Generator) -> dict[str, list[str]]:
    """Words that are in no dictionary."""

    def some(letters: str, least: int, most: int, count: int) -> list[str]:
        drawn = rng.integers(0, len(letters), (count, most))
        lengths = rng.integers(least, most + 1, count)
        return ["".join(letters[i] for i in row[:n]) for row, n in zip(drawn, lengths, strict=True)]

    def joined(*parts: list[str]) -> list[str]:
        return ["".join(some) for some in zip(*parts, strict=True)]

    number = 50_000
    figures = some(string.digits, 2, 5, number)
    latin = some("abcdeghiklmnoprstuvz", 3, 7, number)
    return {
        "person": joined(some(SURNAMES, 1, 1, number), some(GIVEN, 1, 2, number)),
        "coined": joined(some(SOUNDS, 2, 4, number)),
        "piece": some(PIECES, 2, 3, number),
        "model": joined(some(string.ascii_uppercase, 1, 2, number), figures),
        "latin": latin,
        "brand": [*OWN["brand"].split(" "), *(word.capitalize() for word in latin)],
        "digits": some("123456789", 1, 4, number),
        "mobile": joined(["13"] * number, some(string.digits, 9, 9, number)),
    }


def texts(words: dict[str, Words], rng: np.random.Generator, count: int) -> pa.Array:
    """Captions in an order that says nothing."""
    shares = np.array([share for share, _ in TEMPLATES], np.float64)
    parts: list[pa.Array] = []
    for (_, template), rows in zip(TEMPLATES, rng.multinomial(count, shares / shares.sum()), strict=True):
        for traditional in (False, True):
            some = round(rows * TRADITIONAL) if traditional else rows - round(rows * TRADITIONAL)
            parts.append(filled(template, words, rng, int(some), traditional))
    found = pa.concat_arrays(parts).take(pa.array(rng.permutation(count)))
    with_emoji = pc.binary_join_element_wise(found, words["emoji"].draw(rng, count, False), "")
    return pc.if_else(pa.array(rng.random(count) < EMOJI), with_emoji, found)


def filled(
    template: str, words: dict[str, Words], rng: np.random.Generator, count: int, traditional: bool
) -> pa.Array:
    """One template, filled so many times."""
    places = []
    for kind, literal in re.findall(r"{(\w+)}|([^{]+)", template):
        places.append(words[kind].draw(rng, count, traditional) if kind else pa.scalar(literal))
    return pc.binary_join_element_wise(*places, pa.scalar("")) if count else pa.array([], pa.string())


def urls(rng: np.random.Generator, count: int) -> pa.Array:
    """Addresses of pictures over the hosts."""
    hosts = pa.array(
        [f"https://img{number}.shop-{number % 97}.example.com/upload/" for number in range(HOSTS)]
    )
    often = np.cumsum(1 / np.arange(10, HOSTS + 10))
    hexes = pa.array([f"{number:04x}" for number in range(1 << 16)])
    host = hosts.take(pa.array(np.searchsorted(often / often[-1], rng.random(count))))
    names = [hexes.take(pa.array(rng.integers(0, 1 << 16, count))) for _ in range(5)]
    return pc.binary_join_element_wise(
        host, names[0], pa.scalar("/"), *names[1:], pa.scalar(".jpg"), pa.scalar("")
    )


def tables(rows: int, dictionary: Path, seed: int = 0) -> Iterator[pa.Table]:
    """Rows of a manifest, some at a time; one in a few hundred is a copy of another."""
    words = kinds(dictionary, seed)
    for number, start in enumerate(range(0, rows, CHUNK)):
        count, rng = min(CHUNK, rows - start), np.random.default_rng((seed, number))
        lang = pc.if_else(
            pa.array(rng.random(count) < UNTOLD), pa.scalar(None, pa.string()), pa.scalar("zho")
        )
        table = pa.table([urls(rng, count), texts(words, rng, count), lang], schema=SCHEMA)
        places = np.where(rng.random(count) < COPIES, rng.integers(0, count, count), np.arange(count))
        yield table.take(pa.array(places))


def write(folder: Path, rows: int, dictionary: Path, seed: int = 0) -> list[Path]:
    """The files of a manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    each = FILE // CHUNK
    for number, table in enumerate(tables(rows, dictionary, seed)):
        if number % each == 0:
            made.append(folder / f"{number // each:05d}.parquet")
            writer = pq.ParquetWriter(made[-1], SCHEMA)
        writer.write_table(table, row_group_size=100_000)
        if number % each == each - 1:
            writer.close()
    writer.close()
    return made


def main() -> int:
    """Write them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--words", type=Path, required=True, help="dictionary, as jieba/dict.txt")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write(options.folder, options.rows, options.words, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
