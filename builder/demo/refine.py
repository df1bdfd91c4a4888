"""The second part of `danqing demo`: a manifest of candidates, and its texts refined.

    folder/manifest/*        the candidates with recaptions, a list of somebody else, captions that must be dropped
    folder/refined           what a refinement makes of it, and what is rebuilt; folder/dropped/refined: what it dropped
    folder/blocklist.txt     a word whose texts are not wanted

What became of every row is held against what was planted: its text as it must be, or the reason of its drop.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ..reasons import Reason
from ..stage.chinese import LONGEST
from .crawl import WARCS, WATS
from .drive import Demo
from .truth import Fate, as_planted, differences, read_rows
from .web import LIST, MANIFEST

BLOCKED = "琉璃瓦"
# Calibrated thresholds drop as many as the paper, whatever they are. These part what is planted from other captions: of
# 108,000 scenes in demos of 100, 1,200 and 20,000 none is more than 64 % function words, nor tells less than 0.17 bits.
THRESHOLDS = ("--stop-words", "0.8", "--entropy", "0.05")
AGAIN = "pair of the manifest, ornamented"
COPIES = 4


class PlantedCaption(NamedTuple):
    """A row of the manifest, and what must come of it.

    planted: in words; text: as it is written, refined: as it must be, None where the row is dropped for `reason`.
    """

    planted: str
    url: str | None
    text: str | None
    refined: str | None = None
    reason: str | None = None

    @property
    def fate(self) -> Fate[str | None]:
        """What must come of it: its text, or the reason."""
        return self.url, "dropped" if self.reason else "kept", self.reason or self.refined


# Captions that a refinement must drop, each for one reason: those of its recipe that need no model.
JUNK: tuple[tuple[str, Reason, tuple[str | None, ...]], ...] = (
    ("nothing", Reason.NO_TEXT, (None, "", " \u3000\n")),
    ("another charset", Reason.BROKEN_TEXT, ("秋日的\ufffd间小路",)),
    ("short once it is clean", Reason.SHORT_TEXT, ("★★红花图★★", "\u200b小\u200b猫\u200b")),
    ("long text", Reason.LONG_TEXT, ("红" * (LONGEST + 1),)),
    ("other languages", Reason.NOT_CHINESE, ("ひまわり畑の写真", "A red circle on a wall")),
    ("telephone number", Reason.PII, ("房东直租看房电话13812345678",)),
    ("e-mail address", Reason.PII, ("投稿请寄photo@example.com编辑部",)),
    ("template", Reason.BOILERPLATE, ("{{item.title}}的图片",)),
    ("words of a page", Reason.BOILERPLATE, ("看不清？换一换", "微信扫一扫二维码")),
    ("unsafe text", Reason.UNSAFE_TEXT, ("成人色情视频截图",)),
    ("advertising", Reason.ADVERT, ("加微信免费领取优惠券",)),
    ("word of the blocklist", Reason.BLOCKED_TEXT, (f"老宅屋顶的{BLOCKED}",)),
    ("no noun", Reason.NO_NOUN, ("轻轻地慢慢地走", "快乐地奔跑着")),
    ("function words", Reason.STOP_WORDS, ("那么你们还是和我们在一起的人", "因为它就是我们的那些事")),
    ("words that come once", Reason.LOW_ENTROPY, ("孔雀翎毛团扇", "麒麟玉佩挂件")),
)


def captions(demo: Demo) -> Iterator[PlantedCaption]:
    """Every row of the manifest: those of the web, then junk, then some of the web again, written otherwise."""
    for row in demo.web:
        refined = row.manifest["alt_text"]
        name = "picture" if row.text == refined else "picture, written otherwise"
        yield PlantedCaption(name, row.manifest["url"], row.text, refined)
    number = 0
    for planted, reason, texts in JUNK:
        for text in texts:
            number += 1
            yield PlantedCaption(
                planted, f"http://img.example.cn/caption/{number}.jpg", text, reason=reason.value
            )
    some = [row for row in demo.web if row.place != LIST][:COPIES]
    for row in some:
        text = f"◆{row.manifest['alt_text']}◆"
        yield PlantedCaption(AGAIN, row.manifest["url"], text, reason=Reason.DUPLICATE.value)


def make_the_manifest(demo: Demo) -> None:
    """Put the recaptions beside the candidates, as their captioner would, and two lists beside both."""
    folder = demo.folder / "manifest"
    folder.mkdir()
    recaptions = {row.manifest["url"]: row.manifest["recaption"] for row in demo.web}
    for output in (WATS, WARCS):
        for path in sorted((demo.folder / output / "data").glob("*.parquet")):
            rows = pq.read_table(path)
            said = pa.array([recaptions[url] for url in rows["url"].to_pylist()], pa.string())
            rows = rows.append_column("recaption", said)
            pq.write_table(rows, folder / f"{output}-{path.stem.split('-')[1]}.parquet")
    # CLD2 takes 2 of 20,000 captions for Japanese that a language of their page would tell to be Chinese.
    listed = [
        {**row.manifest, "alt_text": row.text, "page_lang": "zh"} for row in demo.web if row.place == LIST
    ]
    others = [
        {"url": one.url, "alt_text": one.text, "recaption": recaptions.get(one.url)}
        for one in [*captions(demo)][len(demo.web) :]
    ]
    schema = MANIFEST.append(pa.field("page_lang", pa.string()))
    for name, made in (("list", listed), ("captions", others)):
        pq.write_table(pa.Table.from_pylist(made, schema), folder / f"{name}.parquet")
    demo.count(Counter({path.name: pq.read_metadata(path).num_rows for path in sorted(folder.iterdir())}))


def refine(demo: Demo) -> None:
    """Refine the texts of the manifest, kill that with kill -9, give the same command again, and compare every row."""
    (demo.folder / "blocklist.txt").write_text(f"{BLOCKED}\n", "utf-8")
    command, ledger = words(demo), demo.refined / "ledger" / "refine"
    demo.kill(command, lambda: any(ledger.glob("1-steps/*.json")))
    demo.show(f"killed with {len([*ledger.glob('*/*.json')])} of its units done")
    demo.run(command, shown=1)
    compare(demo)


def words(demo: Demo) -> list[str]:
    """The words of the command that refines the manifest."""
    shard = max(50, -(-demo.config.pairs // 4))
    more = (
        "--blocklist",
        str(demo.folder / "blocklist.txt"),
        "--dropped",
        str(demo.folder / "dropped" / "refined"),
    )
    source, output = str(demo.folder / "manifest"), str(demo.refined)
    return ["refine", source, output, "--shard-size", str(shard), *THRESHOLDS, *more]


def compare(demo: Demo) -> None:
    """Compare what became of every row with what was planted, and the funnel with both."""
    planted, (kept, dropped) = [*captions(demo)], came_out(demo)
    found: list[Fate[str | None]] = [
        *((row["url"], "kept", row["alt_text"]) for row in kept),
        *((row["url"], "dropped", row["reason"]) for row in dropped),
    ]
    there = Counter(found)
    demo.show(*as_planted((one.planted, one.reason or "kept", there[one.fate] > 0) for one in planted))
    names = {one.url: f"{one.url} ({one.planted})" for one in planted}
    wrong = differences((one.fate for one in planted), found, lambda url: names.get(url, str(url)))
    texts = {(one.url, in_one_line(one.text)) for one in planted}
    wrong += [
        f"{row['url']}: its alt_text_raw is another text"
        for row in kept
        if (row["url"], in_one_line(row["alt_text_raw"])) not in texts
    ]
    funnel = json.loads((demo.refined / "funnel.json").read_text("utf-8"))
    told = sum((Counter(step["reasons"]) for step in funnel["steps"]), Counter())
    wrong += (
        []
        if told == Counter(one.reason for one in planted if one.reason)
        else [f"funnel.json tells {dict(told)}"]
    )
    demo.differ(wrong, f"all {len(planted):,} rows as planted: {len(kept):,} kept, {len(dropped):,} dropped")


def in_one_line(text: str | None) -> str:
    """A text with its blanks made one, as a crawl has it."""
    return " ".join((text or "").split())


def came_out(demo: Demo) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The rows that were kept, and those that were dropped."""
    tables = [pq.read_table(path) for path in (demo.folder / "dropped" / "refined").rglob("*.parquet")]
    kept = read_rows(demo.refined, "data", "url", "alt_text", "alt_text_raw")
    return kept, pa.concat_tables(tables).to_pylist()


def status(demo: Demo) -> None:
    """Ask for the funnel, beside the paper's."""
    demo.run(["status", str(demo.refined)])


STEPS: tuple[tuple[str, Callable[[Demo], None]], ...] = (
    ("Make a manifest: the candidates, with recaptions, and lists of somebody else", make_the_manifest),
    ("Refine its texts, through a kill -9", refine),
    ("Ask what was dropped, and what the paper dropped", status),
)
