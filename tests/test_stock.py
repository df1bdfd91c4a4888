"""What stock `datasets` makes of a root by its card alone: pairs, or where there are verdicts a list of configs."""

from __future__ import annotations

import io
import re
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import danqing
from builder.cli import main
from builder.disk import card
from builder.disk.card import offer, root_card
from builder.disk.parquet import image_schema
from builder.disk.tars import TarWriter

from .curated import make_curated
from .roots import CARRIED, FETCHED, make_root, pair
from .scored import make_scored


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / ".cache")


@pytest.fixture
def root(tmp_path):
    """A root of 2 x 10 pairs with its card."""
    make_root(tmp_path / "danqing", shards=2, rows=10)
    (tmp_path / "danqing" / "README.md").write_text(root_card(["train"], "parquet", CARRIED))
    return tmp_path / "danqing"


@pytest.fixture
def scored(root):
    """The same with verdicts, and the rows of its scores/."""
    rows = make_scored(root)
    assert offer(str(root), scored=True)
    return root, rows


@pytest.fixture(params=[("curated",), ("scores", "curated")], ids=["curated alone", "both"])
def curated(root, request):
    """The same curated, with verdicts or without, its rows of all sidecars in one, and its configs."""
    scores = make_scored(root) if "scores" in request.param else [{"kept": True}] * 20
    rows = [one | other for one, other in zip(scores, make_curated(root), strict=True)]
    if "scores" in request.param:
        assert offer(str(root), scored=True)
    assert offer(str(root), curated=True)
    return root, rows, ["unfiltered", "outcomes", *request.param]


def keys(pairs):
    return [pair["key"] for pair in pairs]


def snippets(root):
    """The Python code of the card, for this root."""
    card = (root / "README.md").read_text()
    found = re.findall(r"^```python\n(.*?)^```", card, re.MULTILINE | re.DOTALL)
    return [code.replace("/absolute/path/of/this/folder", str(root)) for code in found]


class Said(dict):
    """The names that a piece of code leaves, and everything that it called `pairs`."""

    def __init__(self, code):
        self.pairs = []
        exec(code, {}, self)

    def __setitem__(self, name, value):
        super().__setitem__(name, value)
        self.pairs += [value] * (name == "pairs")


@pytest.mark.parametrize("streaming", [True, False])
def test_a_scored_root_stops_without_a_config(scored, streaming, monkeypatch):
    root, rows = scored
    monkeypatch.chdir(root.parent)
    for options in ({}, {"split": "train"}):
        with pytest.raises(ValueError, match=r"pick one among .*\['unfiltered', 'outcomes', 'scores'\]"):
            datasets.load_dataset(str(root), streaming=streaming, **options)
    with pytest.raises(ValueError, match="data_files=None"):
        datasets.load_dataset(str(root), streaming=streaming, columns=["key"])
    with pytest.raises(ValueError, match="'pairs' not found"):
        datasets.load_dataset(str(root), "pairs", streaming=streaming)
    found = datasets.load_dataset(str(root), "unfiltered", split="train", streaming=streaming)
    assert keys(found) == keys(rows)


def test_scores_are_a_config_of_the_card(scored):
    root, rows = scored
    found = datasets.load_dataset(str(root), "scores", split="train", streaming=True)
    assert keys(found) == keys(rows)
    assert found.features["phash"] == datasets.Value("uint64")


def test_what_the_card_of_a_scored_root_shows_yields_the_kept_pairs(scored):
    root, rows = scored
    (code,) = snippets(root)
    said = Said(code)
    kept = [row["key"] for row in rows if row["kept"]]
    assert [keys(pairs) for pairs in said.pairs] == [kept, kept]
    assert keys(said["unfiltered"]) == keys(rows)
    assert next(iter(said["tensors"]))["width"].item() == 16


@pytest.mark.parametrize("streaming", [True, False])
def test_a_curated_root_stops_without_a_config(curated, streaming):
    root, rows, configs = curated
    with pytest.raises(ValueError, match=rf"pick one among .*{re.escape(str(configs))}"):
        datasets.load_dataset(str(root), streaming=streaming)
    found = datasets.load_dataset(str(root), "curated", split="train", streaming=streaming)
    assert [row["reason"] for row in found] == [row["reason"] for row in rows]
    assert found.features == danqing.FEATURES["curated"]


def test_what_the_card_of_a_curated_root_shows_yields_the_kept_pairs(curated):
    root, rows, _ = curated
    said = Said(*snippets(root))
    kept = [row["key"] for row in rows if row["kept"] and row["reason"] is None]
    assert [keys(pairs) for pairs in said.pairs] == [kept, kept]
    assert keys(said["unfiltered"]) == keys(rows)


def test_a_root_that_is_not_curated_any_more_is_offered_as_before(curated):
    root, _, configs = curated
    assert offer(str(root), curated=False)
    card = (root / "README.md").read_text()
    assert ("- config_name: scores\n" in card) is ("scores" in configs)
    assert "curated" not in card
    assert offer(str(root), scored=False)
    assert (root / "README.md").read_text() == root_card(["train"], "parquet", CARRIED)


def test_what_the_card_shows_yields_the_pairs(root):
    (code,) = snippets(root)
    said = Said(code)
    first, second = map(keys, said.pairs)
    assert first == second
    assert len(first) == 20
    assert next(iter(said["tensors"]))["width"].item() == 16


def test_a_root_that_lost_its_verdicts_is_loaded_as_before(scored):
    root, _ = scored
    assert offer(str(root), scored=False)
    assert (root / "README.md").read_text() == root_card(["train"], "parquet", CARRIED)
    assert len(keys(datasets.load_dataset(str(root), split="train", streaming=True))) == 20


def test_the_name_without_the_import_stops_too(scored):
    """A folder ./danqing is found by stock `datasets` under the name, where danqing is not imported."""
    from .test_register import python

    root, rows = scored
    code = """
from datasets import load_dataset
try:
    load_dataset("danqing", split="train", streaming=True)
except ValueError as error:
    print(error)
"""
    assert "['unfiltered', 'outcomes', 'scores']" in python(code, root.parent)
    found = danqing.load(root, split="train", streaming=True)
    assert len(keys(found)) < len(rows)


KINDS = ("jpeg", "png", "gif", "webp", "bmp", "tiff", "avif", "jp2")
EXTRA = pa.schema(
    [
        ("late", pa.float64()),
        ("tags", pa.list_(pa.string())),
        ("seen", pa.timestamp("us")),
        ("day", pa.date32()),
        ("box", pa.struct([("x", pa.int32()), ("at", pa.timestamp("ms"))])),
    ]
)


def picture(number):
    """A picture of a kind that the first pairs of a shard do not have."""
    file = io.BytesIO()
    kind = "jpeg" if number < 6 else KINDS[number % len(KINDS)]
    Image.new("RGB", (16, 16)).save(file, {"jp2": "JPEG2000"}.get(kind, kind))
    return {"bytes": file.getvalue(), "path": f"{number}.{'jpg' if kind == 'jpeg' else kind}"}


@pytest.fixture
def tars(tmp_path):
    """A root of two tars with originals, in whose first pairs no carried column has a value."""
    schema = image_schema(EXTRA)
    values = {
        "late": 0.5,
        "tags": ["一"],
        "seen": FETCHED,
        "day": FETCHED.date(),
        "box": {"x": 1, "at": FETCHED},
    }
    (tmp_path / "images").mkdir()
    for shard in range(2):
        stem = f"train-{shard:05d}-of-00002"
        rows = [
            pair(number)
            | {"image": picture(number), "recaption": None if number < 6 else "文"}
            | {name: None if number < 6 else value for name, value in values.items()}
            for number in range(16)
        ]
        tar = TarWriter(tmp_path / "images" / f"{stem}.tar", stem)
        tar.write_table(pa.Table.from_pylist(rows, schema))
        tar.close()
    (tmp_path / "README.md").write_text(root_card(["train"], "webdataset", EXTRA, "original"))
    return tmp_path


@pytest.mark.parametrize("streaming", [True, False])
def test_tars_of_originals_have_every_picture_and_every_value(tars, streaming):
    """Stock `datasets` takes the columns of a tar from five pairs, unless the card says them."""
    rows = list(datasets.load_dataset(str(tars), split="train", streaming=streaming))
    assert len(rows) == 32
    pictures = [[row[kind] for kind in ("jpg", *KINDS[1:]) if row[kind] is not None] for row in rows]
    assert all(len(one) == 1 and one[0].size == (16, 16) for one in pictures)
    assert [row["json"]["late"] for row in rows] == ([None] * 6 + [0.5] * 10) * 2
    last = rows[-1]["json"]
    assert (rows[-1]["txt"], last["recaption"], last["tags"]) == ("第15张图片", "文", ["一"])
    assert last["box"]["x"] == 1
    assert last["fetched_at"].startswith("2026-01-02")


def test_the_kinds_of_pictures_are_those_that_are_read():
    code = "".join(path.read_text() for path in (Path(card.__file__).parents[1] / "picture").glob("*.py"))
    assert {*re.findall(r'Header\("(\w+)"', code)} == {*card.STORED} == {*KINDS}


def test_a_rebuild_to_tars_says_at_its_start_what_does_not_read_them(tmp_path, capsys):
    pq.write_table(
        pa.table({"url": ["http://127.0.0.1:9/1.jpg"], "alt_text": ["一"]}), tmp_path / "m.parquet"
    )
    words = [
        "rebuild",
        str(tmp_path / "m.parquet"),
        str(tmp_path / "root"),
        "--format",
        "webdataset",
        "--dry-run",
    ]
    assert main(words) == 0
    assert (
        "danqing revalidate, danqing report and load_dataset('danqing') read no tars"
        in capsys.readouterr().err
    )
