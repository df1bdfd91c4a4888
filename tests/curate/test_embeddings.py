"""The pass that embeds: what lies in its files, whatever the batches; and what revalidate embedded before."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.console import Console
from builder.curate.embeddings import Embedding, embedded, embeddings
from builder.disk import ledger
from builder.disk.schema import said_by
from builder.errors import InputError
from builder.stage.engine import Done, Units
from builder.stage.shards import Shard, find_shards
from builder.stage.stop import Stop
from builder.towers import DualEncoder, Options, ToEmbed, find
from tests.checkpoints import make_chinese
from tests.pictures import jpeg
from tests.revalidate.runs import revalidate

STEMS = ("train-00000-of-00002", "train-00001-of-00002")
CAPTIONS = ["一只猫", "红苹果", "", "  ", None, "白色的猫", "photos"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_chinese(tmp_path_factory.mktemp("checkpoint") / "tiny 中文")


def encoder(checkpoint: Path, batch_size: int = 4) -> DualEncoder:
    return DualEncoder.load(
        find(str(checkpoint)), Options(device="cpu", batch_size=batch_size), Console(quiet=True)
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two shards of seven pairs in groups of three; the second picture of each is none, the last is missing."""
    for number, stem in enumerate(STEMS):
        bodies: list[bytes | None] = [jpeg((40 + 7 * n, 50), noise=90, quality=90 - number) for n in range(7)]
        bodies[1], bodies[6] = b"no picture", None
        columns = {
            "key": [f"{7 * number + n:032x}" for n in range(7)],
            "url": [f"http://a.test/{number}/{n}" for n in range(7)],
            "alt_text": CAPTIONS,
            "image": [None if body is None else {"bytes": body, "path": None} for body in bodies],
        }
        (tmp_path / "root/images").mkdir(parents=True, exist_ok=True)
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        table = pa.table({**columns, "image": pa.array(columns["image"], kind)})
        pq.write_table(table, tmp_path / f"root/images/{stem}.parquet", row_group_size=3)
    return tmp_path / "root"


class Told:
    """What a pass tells while it works."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __call__(self, what: Any) -> None:
        self.rows += [tally.rows for tally in what.values()]


def done(
    root: Path, made: DualEncoder, shards: tuple[Shard, ...] | None = None, stop: Stop | None = None
) -> Any:
    """Run the pass; what it yields, and what it told."""
    setup = Embedding(str(root), root.parent / "rank-0.tmp", made, "alt_text", "config")
    units = Units(iter(shards or find_shards(str(root), "embedded")), stop or Stop(Console(quiet=True)))
    told = Told()
    found: Iterator[Done] = embeddings(setup, units, told)
    return list(found), told.rows


def test_pictures_and_captions_of_a_root(root: Path, checkpoint: Path) -> None:
    made = encoder(checkpoint)
    found, told = done(root, made)
    slug = made.checkpoint.slug
    assert slug.startswith("tiny-")
    assert len(slug) == len("tiny-") + 8
    assert told == [3, 6, 3, 6]
    for one, shard in zip(found, find_shards(str(root), "embedded"), strict=True):
        path = f"embeddings/{slug}/{shard.stem}.parquet"
        (marker,) = one.markers
        assert marker.outputs == {path: ledger.entry(root / path, 7)}
        assert marker.input_checksum(f"images/{shard.stem}.parquet") == shard.checksum
        assert (marker.rows, marker.kept, marker.config) == (7, 7, "config")
        images, table = pq.read_table(shard.url), pq.read_table(root / path)
        assert table["key"].equals(images["key"])
        bodies = [row and row["bytes"] for row in images["image"].to_pylist()]
        texts = [text if text and text.strip() else None for text in CAPTIONS]
        [answer] = made.embed([ToEmbed(None, bodies, (texts,))])
        for name, vectors in (("image", answer.image), ("alt_text", answer.captions[0])):
            halves = vectors.half().numpy()
            for row, expected in zip(table[name].to_pylist(), halves, strict=True):
                assert row is None if not expected.any() else np.array_equal(np.float16(row), expected)
        assert [row is None for row in table["image"].to_pylist()] == [False, True, *[False] * 4, True]
        assert [row is None for row in table["alt_text"].to_pylist()] == [text is None for text in texts]
        said = said_by(table.schema)
        assert said["fingerprint"] == made.checkpoint.fingerprint
        assert (said["dtype"], said["caption"]) == ("float32", "alt_text")
    assert [one.shard for one in ledger.read_all(str(root), "curate/2-embeddings")] == [*STEMS]


def test_batches_and_neighbours_make_no_difference(root: Path, checkpoint: Path) -> None:
    files = []
    for batch_size, stems in ((4, STEMS), (3, STEMS[::-1]), (64, STEMS[1:])):
        shards = {one.stem: one for one in find_shards(str(root), "embedded")}
        done(root, encoder(checkpoint, batch_size), tuple(shards[stem] for stem in stems))
        path = root / "embeddings" / encoder(checkpoint).checkpoint.slug / f"{STEMS[1]}.parquet"
        table = pq.read_table(path)
        files.append([np.array(row or [0] * 32, np.float16) for row in table["image"].to_pylist()])
    # A forward of another shape may differ in its last bits; from the stored numbers on nothing does.
    for other in files[1:]:
        assert np.allclose(files[0], other, atol=2e-3)


def test_the_same_batch_gives_the_same_bytes(root: Path, checkpoint: Path) -> None:
    files = []
    for stems in (STEMS, STEMS[::-1], STEMS[1:]):
        shards = {one.stem: one for one in find_shards(str(root), "embedded")}
        done(root, encoder(checkpoint), tuple(shards[stem] for stem in stems))
        (folder,) = (root / "embeddings").iterdir()
        files.append((folder / f"{STEMS[1]}.parquet").read_bytes())
        shutil.rmtree(folder)
    assert files[0] == files[1] == files[2]


def test_a_stop_ends_the_shard_in_work_and_begins_no_other(root: Path, checkpoint: Path) -> None:
    made, stop = encoder(checkpoint), Stop(Console(quiet=True))
    shards = find_shards(str(root), "embedded")

    def asked() -> Iterator[Shard]:
        yield shards[0]
        stop.asked = True
        yield shards[1]

    setup = Embedding(str(root), root.parent / "a.tmp", made, "alt_text", "")
    found = list(embeddings(setup, Units(asked(), stop), Told()))
    assert [one.stem for one in found] == [STEMS[0]]
    assert [one.shard for one in ledger.read_all(str(root), "curate/2-embeddings")] == [STEMS[0]]
    assert list(made.embed([ToEmbed(None, [])]))  # it was given back


def test_a_missing_column_is_one_line(root: Path, checkpoint: Path) -> None:
    file = root / "images" / f"{STEMS[0]}.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["alt_text"]), file)
    with pytest.raises(InputError, match=f"{STEMS[0]}.parquet: no column alt_text; it has key, url, image"):
        done(root, encoder(checkpoint))


def test_a_shard_without_rows_has_a_file(root: Path, checkpoint: Path) -> None:
    for stem in STEMS:
        file = root / "images" / f"{stem}.parquet"
        pq.write_table(pq.read_table(file).slice(0, 0), file)
    found, _ = done(root, encoder(checkpoint))
    assert [one.markers[0].rows for one in found] == [0, 0]
    (folder,) = (root / "embeddings").iterdir()
    assert pq.read_table(folder / f"{STEMS[0]}.parquet").column_names == ["key", "image", "alt_text"]


# ---- what revalidate made


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.drift import write_root
    from tests.revalidate.runs import planted

    root = tmp_path_factory.mktemp("scored") / "root"
    write_root(root, planted(24), later=True, shard=12)
    assert revalidate(root, "--embeddings") == 0
    return root


@pytest.fixture
def rescored(scored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scored, tmp_path / "root"))


def taken(root: Path, model: str = "tiny", caption: str = "alt_text") -> dict[str, str]:
    shards = find_shards(str(root), "embedded")
    found = embedded(str(root), shards, find(model).as_dict(), caption)
    return {one.stem: found[one.url] for one in shards if one.url in found}


def test_embeddings_of_revalidate_are_taken(rescored: Path) -> None:
    slug = find("tiny").slug
    stems = [shard.stem for shard in find_shards(str(rescored), "embedded")]
    assert taken(rescored) == {stem: f"{rescored}/embeddings/{slug}/{stem}.parquet" for stem in stems}
    assert all(Path(path).is_file() for path in taken(rescored).values())


def old(root: Path) -> Path:
    """The root as builds up to 0.1.0 left it: embeddings beside each other."""
    slug = find("tiny").slug
    for file in (root / "embeddings" / slug).iterdir():
        file.rename(root / "embeddings" / file.name)
    (root / "embeddings" / slug).rmdir()
    for file in (root / "ledger" / "revalidate").glob("train-*.json"):
        file.write_text(file.read_text().replace(f"embeddings/{slug}/", "embeddings/"))
    return root


def test_embeddings_of_older_builds_are_taken_and_not_made_anew(rescored: Path) -> None:
    root = old(rescored)
    paths = taken(root)
    assert [Path(path).parent.name for path in paths.values()] == ["embeddings"] * 2
    before = {path: Path(path).stat().st_mtime_ns for path in paths.values()}
    assert revalidate(root, "--embeddings") == 0
    assert {path: Path(path).stat().st_mtime_ns for path in paths.values()} == before
    assert taken(root) == paths


def test_what_was_embedded_otherwise_is_not_taken(rescored: Path, checkpoint: Path) -> None:
    assert taken(rescored, str(checkpoint)) == {}
    assert taken(rescored, caption="recaption") == {}
    stem = next(iter(taken(rescored)))
    (rescored / "embeddings" / find("tiny").slug / f"{stem}.parquet").unlink()
    assert stem not in taken(rescored)
    file = rescored / "images" / f"{next(iter(taken(rescored)))}.parquet"
    pq.write_table(pq.read_table(file), file, compression="none")  # other pictures, as far as bytes say
    assert taken(rescored) == {}


def test_a_reference_leaves_embeddings_out_so_none_are_taken(rescored: Path, tmp_path: Path) -> None:
    again = Path(shutil.copytree(rescored / "images", tmp_path / "again" / "images")).parent
    assert revalidate(again, "--embeddings", "--reference", str(rescored)) == 0
    assert taken(again) == {}


def test_what_the_pass_made_is_found_until_something_else_is_written_over_it(
    root: Path, checkpoint: Path
) -> None:
    assert taken(root, str(checkpoint)) == {}
    made = encoder(checkpoint)
    shards = find_shards(str(root), "embedded")
    setup = Embedding(str(root), root.parent / "a.tmp", made, "alt_text", f"{made.checkpoint.slug} alt_text")
    list(embeddings(setup, Units(iter(shards), Stop(Console(quiet=True))), Told()))
    paths = {stem: f"{root}/embeddings/{made.checkpoint.slug}/{stem}.parquet" for stem in STEMS}
    assert taken(root, str(checkpoint)) == taken(root, str(checkpoint), "") == paths
    assert taken(root, str(checkpoint), "recaption") == {}
    one = paths.pop(STEMS[0])
    pq.write_table(
        pq.read_table(one).slice(0, 3), one
    )  # as revalidate --reference, which embeds only what changed
    assert taken(root, str(checkpoint)) == paths
