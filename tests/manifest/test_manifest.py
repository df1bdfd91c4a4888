"""Planning (rows, limit, fingerprint) and reading by ranges: what is read, how often, in how much memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileOpener, LocalFileSystem

from builder.errors import InputError
from builder.manifest import Manifest, ManifestOptions, open_manifest
from builder.manifest.readers import ParquetReader


def write(path: Path, start: int, stop: int, group: int = 100, pad: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = range(start, stop)
    columns = {"url": [f"http://h/{i}" for i in numbers], "alt_text": [f"{i}".zfill(pad) for i in numbers]}
    pq.write_table(
        pa.table(columns),
        path,
        row_group_size=group,
        compression="none",
        use_dictionary=False,
        write_statistics=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files of train (1,000 rows), one of validation (50)."""
    for number, (start, stop) in enumerate([(0, 250), (250, 260), (260, 1000)]):
        write(tmp_path / f"m/data/train-{number:05}-of-00003.parquet", start, stop)
    write(tmp_path / "m/data/validation-00000-of-00001.parquet", 5000, 5050)
    return tmp_path / "m"


def numbers(tables: Iterator[pa.Table]) -> list[list[int]]:
    return [[int(text) for text in table.column("alt_text").to_pylist()] for table in tables]


def test_rows_are_counted_by_split(folder: Path) -> None:
    manifest = open_manifest(str(folder), ManifestOptions())
    assert manifest.rows == {"train": 1000, "validation": 50}
    assert [file.counted for file in manifest.files] == [250, 10, 740, 50]
    assert [Path(file.url).stat().st_size for file in manifest.files] == [
        file.size for file in manifest.files
    ]


@pytest.mark.parametrize(
    ("limit", "rows", "files"),
    [(255, {"train": 255}, 2), (250, {"train": 250}, 1), (1020, {"train": 1000, "validation": 20}, 4)],
)
def test_limit_takes_splits_in_order(folder: Path, limit: int, rows: dict[str, int], files: int) -> None:
    manifest = open_manifest(str(folder), ManifestOptions(), limit)
    assert (manifest.rows, len(manifest.files)) == (rows, files)
    assert numbers(manifest.tables("train", [(0, rows["train"])])) == [list(range(rows["train"]))]


@pytest.mark.parametrize(
    "ranges",
    [
        [(0, 1000)],
        [(i * 1000 // 7, (i + 1) * 1000 // 7) for i in range(7)],
        [(0, 1), (249, 261), (261, 261), (990, 1000)],
        [(900, 1000), (0, 5)],  # backwards costs a new start, and is right
    ],
)
def test_ranges_go_over_file_borders(folder: Path, ranges: list[tuple[int, int]]) -> None:
    manifest = open_manifest(str(folder), ManifestOptions())
    assert numbers(manifest.tables("train", ranges)) == [list(range(*pair)) for pair in ranges]


def test_each_split_has_its_own_rows(folder: Path) -> None:
    manifest = open_manifest(str(folder), ManifestOptions())
    assert numbers(manifest.tables("validation", [(49, 50)])) == [[5049]]


@pytest.mark.parametrize(("split", "pair"), [("train", (0, 1001)), ("test", (0, 1)), ("train", (5, 4))])
def test_range_beyond_the_split_is_a_mistake(folder: Path, split: str, pair: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="of "):
        list(open_manifest(str(folder), ManifestOptions()).tables(split, [pair]))


def test_ascending_ranges_decode_a_row_group_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: Counter[tuple[str, int]] = Counter()
    real = ParquetReader._from

    def counting(self: ParquetReader, row: int) -> Iterator[tuple[int, pa.Table]]:
        for first, table in real(self, row):
            decoded[self.source.url, first // 100] += 1
            yield first, table

    monkeypatch.setattr(ParquetReader, "_from", counting)
    manifest = open_manifest(str(folder), ManifestOptions())
    pieces = [(i, i + 10) for i in range(0, 1000, 10) if not 400 <= i < 800]
    assert [n for part in numbers(manifest.tables("train", pieces)) for n in part] == [
        *range(400),
        *range(800, 1000),
    ]
    assert set(decoded.values()) == {1}
    assert len(decoded) == 3 + 1 + 8 - 3  # groups wholly inside the gap are passed over


def test_fingerprint_knows_content_and_names_but_not_the_place(folder: Path) -> None:
    before = open_manifest(str(folder), ManifestOptions()).fingerprint
    moved = folder.rename(folder.with_name("elsewhere"))
    assert open_manifest(str(moved), ManifestOptions()).fingerprint == before
    write(moved / "data/train-00001-of-00003.parquet", 251, 261)  # same size, same rows, other content
    changed = open_manifest(str(moved), ManifestOptions()).fingerprint
    (moved / "data/train-00001-of-00003.parquet").rename(moved / "data/train-00003-of-00003.parquet")
    assert len({before, changed, open_manifest(str(moved), ManifestOptions()).fingerprint}) == 3


@pytest.mark.parametrize(
    ("name", "lines"),
    [("m.csv", "url,text\n" + "u,t\n" * 10), ("m.jsonl", '{"url":"u","text":"t"}\n' * 10)],
)
def test_what_an_earlier_plan_says_saves_the_pass_over_a_text_file(
    tmp_path: Path, name: str, lines: str
) -> None:
    (tmp_path / name).write_text(lines)
    (file,) = open_manifest(str(tmp_path), ManifestOptions()).files

    def planned(rows: int) -> Manifest:
        known = {file.url: {**file.as_json(), "rows": rows}}
        return open_manifest(str(tmp_path), ManifestOptions(), known=known)

    assert planned(7).rows == {"train": 7}
    with pytest.raises(InputError, match="ends at row 10; it was longer when it was planned"):
        list(planned(11).tables("train", [(0, 11)]))
    with pytest.raises(InputError, match="goes on after row 7, its last when it was planned"):
        list(planned(7).tables("train", [(0, 7)]))


def test_rows_that_a_file_gained_or_lost_since_it_was_planned_are_told(tmp_path: Path) -> None:
    write(tmp_path / "m.parquet", 0, 100)
    manifest = open_manifest(str(tmp_path), ManifestOptions())
    write(tmp_path / "m.parquet", 0, 101)
    with pytest.raises(InputError, match=r"m\.parquet: has 101 rows now, 100 when it was planned"):
        list(manifest.tables("train", [(0, 100)]))


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("m.jsonl", ['{"url":"u","text":"t"}'] * 5 + ["not JSON"]),
        ("m.csv", ["url,text", *["u,t"] * 5, "one"]),
        ("m2.csv", ["url,text", *['u,"t"'] * 5, '"one"x']),
        ("m.tsv", ["url\ttext", "", *["u\tt"] * 5, "one"]),
    ],
)
def test_limit_ends_the_pass_over_a_text_file_and_the_reading(
    tmp_path: Path, name: str, lines: list[str]
) -> None:
    (tmp_path / name).write_text("\n".join(lines))
    manifest = open_manifest(str(tmp_path), ManifestOptions(), limit=5)
    assert manifest.rows == {"train": 5}
    (table,) = manifest.tables("train", [(0, 5)])
    assert table["alt_text"].to_pylist() == ["t"] * 5
    assert [note.endswith("because of --limit") for note in manifest.notes] == [True] * (name == "m.jsonl")
    with pytest.raises(InputError, match=r"row 6|line [78]"):
        open_manifest(str(tmp_path), ManifestOptions())


class Counted(LocalFileSystem):  # type: ignore[misc]
    """The local disk under another protocol, counting what is read from it."""

    protocol = ("counted",)
    cachable = False
    read: ClassVar[list[tuple[str, int, int]]] = []

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        return CountedFile(path, mode, fs=self)


class CountedFile(LocalFileOpener):  # type: ignore[misc]
    def read(self, length: int = -1) -> bytes:
        start = self.f.tell()
        data: bytes = self.f.read(length)
        Counted.read.append((Path(self.path).name, start, start + len(data)))
        return data


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """A folder of two 4 MB files, 40 row groups each, reached as counted://."""
    fsspec.register_implementation("counted", Counted, clobber=True)
    write(tmp_path / "a.parquet", 0, 4000, group=100, pad=1000)
    write(tmp_path / "b.parquet", 4000, 8000, group=100, pad=1000)
    Counted.read.clear()
    yield tmp_path
    Counted.read.clear()


def bytes_read() -> Counter[str]:
    count: Counter[str] = Counter()
    for name, start, stop in Counted.read:
        count[name] += stop - start
    return count


def test_planning_a_store_reads_the_ends_of_files(store: Path) -> None:
    assert open_manifest(f"counted://{store}", ManifestOptions()).rows == {"train": 8000}
    assert set(bytes_read()) == {"a.parquet", "b.parquet"}
    assert max(bytes_read().values()) <= 2 * (64 << 10)


def plan_store(store: Path) -> Manifest:
    manifest = open_manifest(f"counted://{store}", ManifestOptions())
    Counted.read.clear()
    return manifest


def test_a_range_of_a_store_reads_its_row_groups_alone(store: Path) -> None:
    list(plan_store(store).tables("train", [(950, 1050), (3950, 4000)]))
    groups = 3 * 105_000  # bytes: each holds 100 captions of 1,000 bytes and their URLs
    footer = 64 << 10
    assert set(bytes_read()) == {"a.parquet"}
    assert groups * 0.9 < bytes_read()["a.parquet"] <= groups * 1.1 + footer
    assert len(Counted.read) <= 3 + 2  # one read a group, the footer in two at most


def test_a_whole_store_is_read_once(store: Path) -> None:
    tables = plan_store(store).tables("train", [(i, i + 250) for i in range(0, 8000, 250)])
    assert numbers(tables)[-1][-1] == 7999
    sizes = sum(file.stat().st_size for file in store.glob("*.parquet"))
    assert sum(bytes_read().values()) <= sizes + 2 * (64 << 10)


PEAK = """
import json, sys
import pyarrow as pa
from builder.manifest import ManifestOptions, open_manifest
manifest = open_manifest(sys.argv[1], ManifestOptions())
rows = manifest.rows["train"]
seen = sum(len(t) for t in manifest.tables("train", ((i, min(i + 10_000, rows)) for i in range(0, rows, 10_000))))
print(json.dumps([seen, pa.default_memory_pool().max_memory()]))
"""


def peak(path: Path) -> tuple[int, int]:
    done = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, check=True, text=True)
    rows, memory = json.loads(done.stdout)
    return rows, memory


@pytest.mark.parametrize(
    ("kind", "small", "large"),
    [
        ("parquet", 100_000, 800_000),
        ("one group", 100_000, 800_000),
        ("csv", 20_000, 120_000),
        ("jsonl", 20_000, 120_000),
    ],
)
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, kind: str, small: int, large: int) -> None:
    """The peak of Arrow's pool, while the text read through grows by 40 MB and more."""
    used = {}
    for rows in (small, large):
        path = tmp_path / f"m{rows}.{'parquet' if kind == 'one group' else kind}"
        make(path, rows, kind)
        seen, used[rows] = peak(path)
        assert seen == rows
    assert used[large] <= 1.1 * used[small] + (8 << 20)


def make(path: Path, rows: int, kind: str) -> None:
    url, text, block = "http://example.org/a/b/c.jpg", "一张照片，蓝色的天空和一条河", 50_000
    if kind in ("parquet", "one group"):
        table = pa.table({"url": [url] * block, "alt_text": [text] * block})
        whole = pa.concat_tables([table] * (rows // block))
        pq.write_table(whole, path, row_group_size=block if kind == "parquet" else rows, use_dictionary=False)
        return
    text *= 10
    line = f"{url},{text}\n" if kind == "csv" else f'{{"url": "{url}", "alt_text": "{text}"}}\n'
    with path.open("w") as file:
        file.write("url,alt_text\n" if kind == "csv" else "")
        file.writelines([line * 1000] * (rows // 1000))
