"""`danqing report --analyse`: the paper's statistics of a root of any stage, and of two side by side."""

from __future__ import annotations

import random
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.cli import main
from builder.disk.schema import pair_key
from builder.report.analysis import Spread
from builder.stage.embeddings import EmbeddingFile, lists_of
from tests.roots import jpeg, pair, write_shard
from tests.runs import make_run
from tests.towers.test_masked import made as made_model

from . import planted
from .conftest import Made
from .reading import Page

THINGS = ("苹果", "轮船", "衬衫", "雪山")
SLUG = "tiny-0123abcd"


def rows_of(count: int) -> list[dict[str, Any]]:
    """Pairs about one of four things each, the first of them at a host of its own, of sizes that differ."""
    rows = []
    for number in range(count):
        row = pair(number, jpeg(number))
        thing = THINGS[number % 4]
        url = f"http://{'big' if number % 4 else 'small'}.test/{number}"
        text = f"红色的{thing}{number}"
        size = {"original_width": 100 * (1 + number % 4), "original_height": 200}
        rows.append(row | {"url": url, "alt_text": text, "key": pair_key(url, text), **size})
    return rows


def write_root(root: Path, rows: list[dict[str, Any]], shards: int = 2) -> Path:
    """A root of pictures with embeddings: a picture and its caption lie near the axis of their thing."""
    for shard in range(shards):
        stem = f"train-{shard:05d}-of-{shards:05d}.parquet"
        mine = rows[shard::shards]
        write_shard(root / "images" / stem, mine, row_group=7)
        things = [
            next(place for place, thing in enumerate(THINGS) if thing in row["alt_text"]) for row in mine
        ]
        image = np.eye(8)[things] + 0.01 * np.array([[len(row["alt_text"])] * 8 for row in mine])
        folder = root / "embeddings" / SLUG
        folder.mkdir(parents=True, exist_ok=True)
        with EmbeddingFile(folder / stem, ["alt_text"], 8, {}) as file:
            keys = pa.array([row["key"] for row in mine])
            file.add(
                keys,
                lists_of(image / np.linalg.norm(image, axis=1, keepdims=True)),
                [lists_of(np.eye(8)[things])],
            )
    return root


def write_manifest(folder: Path, rows: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table({name: [row[name] for row in rows] for name in ("url", "alt_text")})
    pq.write_table(table, folder / "candidates.parquet")
    return folder


def analysed(root: Path, page: Path, *flags: str) -> Page:
    assert main(["report", str(root), str(page), "--analyse", "--quiet", *flags]) == 0
    return Page(page.read_text(encoding="utf-8"))


def cells(page: Page, name: str) -> dict[str, list[str]]:
    """The rows of a table by their heads."""
    return {
        " ".join(row[0].split()): [one.strip() for one in row[1:]] for row in page.tables[f"figures-{name}"]
    }


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_root(tmp_path_factory.mktemp("analysed") / "root", rows_of(200))


@pytest.fixture(scope="module")
def page(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """A root of pictures with embeddings that nobody has judged, beside a manifest of captions that are longer."""
    folder = tmp_path_factory.mktemp("beside")
    longer = [row | {"alt_text": row["alt_text"] + "，很好看"} for row in rows_of(120)]
    manifest = write_manifest(folder / "candidates", longer)
    return analysed(root, folder / "page.html", "--beside", str(manifest))


def test_lengths_are_over_all_pairs(page: Page) -> None:
    found = cells(page, "characters")
    lengths = [
        [len(row["alt_text"]) + more for row in rows_of(count)] for count, more in ((200, 0), (120, 4))
    ]
    assert found["mean"] == [f"{np.mean(one):.4g}" for one in lengths]
    assert found["median"] == [str(sorted(one)[(len(one) - 1) // 2]) for one in lengths]
    assert found["from 5 to 60"] == ["100%", "100%"]
    assert "Over A: 200 of 200 pairs; B: 120 of 120 pairs." in page.text


def test_words_and_those_with_content(page: Page) -> None:
    """红色/n 的/uj 苹果/n 12/m is half content; of the longer ones 很/d and 好看/v join."""
    assert cells(page, "words")["mean"] == ["4", "6"]
    assert cells(page, "density")["mean"] == ["0.5", "0.5"]
    assert cells(page, "density")["nothing else"] == ["0%", "0%"]


def test_sizes_are_those_of_the_pictures_as_fetched(page: Page) -> None:
    found = cells(page, "edges")
    assert [len(row) for row in page.tables["figures-edges"]] == [2] * len(page.tables["figures-edges"])
    assert (found["5%"], found["median"], found["95%"]) == (["100"], ["200"], ["200"])
    shapes = ["under 1:3", "1:3 to 3:4", "3:4 to 4:3", "4:3 to 3:1", "3:1 and more"]
    assert [found[f"shape {name}"][0] for name in shapes] == ["0%", "25.0%", "25.0%", "50.0%", "0%"]
    assert "B: rows of a manifest, of which no picture was fetched yet" in page.text


def test_hosts_by_hand(page: Page) -> None:
    found = cells(page, "hosts")
    assert found["hosts"] == ["2", "2"]
    assert found["entropy, bits"] == ["0.81", "0.81"]  # -(3/4 log2 3/4 + 1/4 log2 1/4)
    assert found["Gini"] == ["0.25", "0.25"]  # (-1 + 3) / (2 4)
    assert found["host 1"] == ["big.test 75.0%", "big.test 75.0%"]
    assert found["host 2"] == ["small.test 25.0%", "small.test 25.0%"]


def test_topics_are_what_the_captions_of_a_cluster_have_alone(page: Page) -> None:
    rows = page.tables["figures-topics"][1:]
    assert {row[0].split()[0] for row in rows} == {*THINGS}
    shares: Counter[str] = Counter()
    for row in rows:
        shares[row[0].split()[0]] += float(row[1].strip().rstrip("%"))  # type: ignore[assignment]
    assert {thing: round(share, 1) for thing, share in shares.items()} == dict.fromkeys(THINGS, 25.0)
    assert cells(page, "balance")["clusters"] == ["20"]
    assert "B: no embeddings of it; danqing curate leaves them" in page.text


def test_cosines_are_of_picture_and_caption(page: Page) -> None:
    lengths = np.array([len(row["alt_text"]) for row in rows_of(200)])
    wide = 0.01 * lengths[:, None] + np.eye(8)[:1]
    cosines = wide[:, 0] / np.linalg.norm(wide, axis=1)
    assert float(cells(page, "cosine0")["mean"][0]) == pytest.approx(cosines.mean(), abs=0.002)
    assert f"Cosines by {SLUG}" in page.text


def test_what_was_not_asked_for_is_said(page: Page) -> None:
    assert "--masked-lm MODEL, such as google-bert/bert-base-chinese" in page.text
    assert "figures-perplexity" not in page.tables


def test_a_page_of_statistics_is_as_harmless_as_any(page: Page) -> None:
    assert page.count("svg", role="img") == 2 * 6
    assert all(value.startswith("#") for name in ("href", "xlink:href") for value in page.attributes(name))
    assert {tag for tag, _ in page.elements} & {"script", "link", "iframe", "object", "form", "base"} == set()
    ids = Counter(page.attributes("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    assert {value[1:] for value in page.attributes("href")} <= set(ids)
    assert page.count("th", scope="col") == sum(len(rows[0]) for rows in page.tables.values())
    assert page.count("table") == page.count("caption")


def test_neither_shards_nor_order_decide(root: Path, tmp_path: Path) -> None:
    rows = rows_of(200)
    random.Random(0).shuffle(rows)
    write_root(tmp_path / "root", rows, 5)
    pages = []
    for number, one in enumerate((root, tmp_path / "root")):
        analysed(one, tmp_path / f"{number}.html", "--draw", "100")
        pages.append((tmp_path / f"{number}.html").read_bytes())
    assert pages[0] == pages[1]


def test_a_sample_is_of_the_smallest_keys_and_said(root: Path, tmp_path: Path) -> None:
    page = analysed(
        root, tmp_path / "x.html", "--draw", "100", "--masked-lm", str(made_model(tmp_path / "bert"))
    )
    assert "Over 200 of 200 pairs." in page.text
    first = sorted(rows_of(200), key=lambda row: row["key"])[:100]
    things = Counter(thing for row in first for thing in THINGS if thing in row["alt_text"])
    shares: Counter[str] = Counter()
    for row in page.tables["figures-topics"][1:]:
        shares[row[0].split()[0]] += round(float(row[1].strip().rstrip("%")))
    assert shares == things
    assert "Over 100 of 200 pairs." in page.text
    assert cells(page, "perplexity")["median"] == ["7"]  # the words that the model knows, all as likely
    assert "by bert" in page.text
    assert str(tmp_path) not in page.text
    assert cells(page, "perplexity")["from 50 to 200"] == ["0%"]


def test_two_roots_are_clustered_together(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_root(tmp_path / "other", [row for row in rows_of(160) if "轮船" in row["alt_text"]])
    page = analysed(root, tmp_path / "x.html", "--beside", str(other))
    assert capsys.readouterr().out.startswith(f"{tmp_path}/x.html: statistics of 200 and 40 pairs, ")
    rows = page.tables["figures-topics"][1:]
    boats = [row for row in rows if row[0].split()[0] == "轮船"]
    assert sum(float(row[2].strip().rstrip("%")) for row in boats) == pytest.approx(100, abs=0.5)
    assert all(float(row[2].strip().strip("<%")) == 0 for row in rows if row not in boats)
    assert page.text.count("A: 40 of 200 pairs; B: 40 of 40 pairs") == 2  # of each as many as the smaller has


def test_only_what_is_kept_is_counted_and_the_page_stays(made: Made, tmp_path: Path) -> None:
    page = analysed(made.root, tmp_path / "x.html")
    kept = sum(row["kept"] for row in made.scores)
    assert f"Over {kept} of {kept} pairs." in page.text
    assert page.column("fates", 1) == Page(made.text).column("fates", 1)
    assert "Cosines by " in page.text
    scores = [
        row["score_alt_text"] for row in made.scores if row["kept"] and row["score_alt_text"] is not None
    ]
    assert float(cells(page, "cosine0")["mean"][0]) == pytest.approx(np.mean(scores), rel=1e-3)
    ids = Counter(page.attributes("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    assert {value[1:] for value in page.attributes("href")} <= set(ids)


def test_hostile_captions_and_hosts_are_words(tmp_path: Path) -> None:
    rows = [{"url": url, "alt_text": text} for url, text in planted.HOSTILE]
    rows += [{"url": "http://<b>$x$</b>\u202e.test/1", "alt_text": None}, {"url": "", "alt_text": "\x00" * 9}]
    write_manifest(tmp_path / "m", rows)
    page = analysed(tmp_path / "m", tmp_path / "x.html")
    assert "script" not in {tag for tag, _ in page.elements}
    assert "\u202e" not in page.text
    assert (tmp_path / "x.html").stat().st_size < 200_000


def test_a_caption_that_is_no_utf_8_and_a_shard_without_embeddings(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "root")
    path = tmp_path / "root/images/train-00000-of-00002.parquet"
    table = pq.read_table(path)
    raw = [b"\xff\xfe\x80" + text.encode() for text in table["alt_text"].to_pylist()]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in raw])]).astype(np.int32)
    broken = pa.StringArray.from_buffers(len(raw), pa.py_buffer(offsets), pa.py_buffer(b"".join(raw)))
    table = table.set_column(table.column_names.index("alt_text"), "alt_text", broken)
    pq.write_table(table, path)
    (tmp_path / "root" / "embeddings" / SLUG / path.name).unlink()
    page = analysed(tmp_path / "root", tmp_path / "x.html")
    assert cells(page, "characters")["from 5 to 60"] == ["100%"]
    assert "Over 200 of 200 pairs." in page.text
    assert page.text.count("Over 100 of 200 pairs.") == 3  # cosines, topics, balance


def told(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> str:
    assert main(["report", *words, "--quiet"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_what_is_refused_in_one_line(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = str(tmp_path / "x.html")
    for flag in ("--beside", "--masked-lm"):
        assert f"{flag}: is about statistics; add --analyse" in told(capsys, 2, str(root), page, flag, "x")
    assert "--draw 5: must be from 100" in told(capsys, 2, str(root), page, "--analyse", "--draw", "5")
    assert "no such file or folder" in told(capsys, 3, str(tmp_path / "none"), page, "--analyse")
    make_run(tmp_path / "run")
    assert "which has no pairs" in told(capsys, 2, str(tmp_path / "run"), page, "--analyse")
    assert not (tmp_path / "x.html").exists()


def test_embeddings_of_other_pairs_are_refused(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(root, tmp_path / "root")
    folder = tmp_path / "root" / "embeddings" / SLUG
    first, second = sorted(folder.iterdir())
    shutil.copy(first, second)
    err = told(capsys, 3, str(tmp_path / "root"), str(tmp_path / "x.html"), "--analyse")
    assert f"{second}: its rows are not those of images/" in err


def test_without_rjieba_one_line_says_how_to_get_it(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rjieba", None)  # as if it were not installed
    err = told(capsys, 4, str(root), str(tmp_path / "x.html"), "--analyse")
    assert "rjieba missing; pip install 'danqing[report]'" in err


def test_a_spread_by_hand() -> None:
    found = Spread.of(np.array([3, 1, 1, 5]))
    assert found.total == 4
    assert [found.quantile(part) for part in (0.05, 0.5, 0.75, 0.95)] == [1, 1, 3, 5]
    assert found.inside(1, 3) == "75.0%"
    assert found.rows() == {"mean": "2.5", "5%": "1", "median": "1", "95%": "5"}
