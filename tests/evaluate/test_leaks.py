"""Pictures of benchmarks that lie in a root: found by bytes, hash and embedding, believed once looked at."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from builder.console import Console
from builder.disk.digests import hex_of
from builder.disk.parquet import image_schema, writer
from builder.disk.schema import CURATED, pair_key, saying
from builder.errors import InputError
from builder.evaluate import leaks
from builder.evaluate.leaks import Leaks, look, near_hashes
from builder.evaluate.recipe import BENCHMARKS
from builder.evaluate.tasks import Labelled, Task
from builder.picture.phash import phash
from builder.stage.embeddings import EmbeddingFile, lists_of
from builder.towers import DualEncoder, Options, ToEmbed, find

from ..leaves import again, leaves
from ..pictures import save

NEAR = 0.5
ROWS = 4  # of a shard


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    return save(image.convert("RGB"), "JPEG", quality=quality)


STORED = [jpeg(leaves(seed)) for seed in range(2 * ROWS)]  # the pictures of the root
PLANTED: dict[str, Callable[[], bytes]] = {
    "copy": lambda: STORED[0],
    "stored again": lambda: jpeg(leaves(1), 40),
    "smaller": lambda: jpeg(leaves(2).resize((160, 120))),
    "cut": lambda: jpeg(leaves(3).crop((40, 20, 300, 220))),
    "brighter": lambda: jpeg(ImageEnhance.Brightness(leaves(7)).enhance(1.15)),
}
OTHERS: dict[str, Callable[[], bytes]] = {
    "another shot": lambda: jpeg(again(4)),
    "unrelated": lambda: jpeg(leaves(100)),
    "plain": lambda: jpeg(Image.new("RGB", (320, 240), "white")),
    "broken": lambda: STORED[5][:200],
    "no picture": lambda: b"",
}
ORIGIN = {"copy": 0, "stored again": 1, "smaller": 2, "cut": 3, "brighter": 7}


def task(made: Mapping[str, Callable[[], bytes]], name: str = "pets") -> Task:
    bodies = {one: make() for one, make in made.items()}
    digest = hashlib.sha256(b"".join(bodies.values())).hexdigest()
    return Labelled(BENCHMARKS[name], [*bodies], lambda: iter(bodies.values()), digest)


def key(row: int) -> str:
    return pair_key(f"http://images.test/{row}.jpg", f"第{row}张图片")


@pytest.fixture(scope="module")
def vectors() -> dict[bytes, Any]:
    """The embeddings of the stored pictures by `tiny`."""
    encoder = DualEncoder.load(find("tiny"), Options(), Console(quiet=True))
    (found,) = encoder.embed([ToEmbed(None, STORED)])
    return dict(zip(STORED, found.image.numpy(), strict=True))


def pair(row: int, body: bytes) -> dict[str, Any]:
    with Image.open(io.BytesIO(body)) as image:
        digest = phash(np.asarray(image.convert("RGB")))
    return {
        "key": key(row), "url": f"http://images.test/{row}.jpg", "alt_text": f"第{row}张图片",
        "image": {"bytes": body, "path": f"{row}.jpg"}, "sha256": hashlib.sha256(body).hexdigest(), "phash": digest,
        **dict.fromkeys(("width", "height", "original_width", "original_height"), 320),
    }  # fmt: skip


def make_root(
    root: Path,
    vectors: Mapping[bytes, Any] | None = None,
    order: Sequence[int] = range(2 * ROWS),
    split: str = "train",
) -> str:
    """A root of two shards, with embeddings of `tiny` where vectors are given."""
    for folder in ("images", "embeddings/x"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "embeddings" / "x").rmdir()
    checkpoint = find("tiny")
    for shard in range(2):
        rows, name = order[shard * ROWS : (shard + 1) * ROWS], f"{split}-{shard:05d}-of-00002.parquet"
        with writer(root / "images" / name, image_schema()) as file:
            for start in range(0, ROWS, 3):
                some = [pair(row, STORED[row]) for row in rows[start : start + 3]]
                file.write_table(pa.Table.from_pylist(some, image_schema()))
        if vectors is not None:
            path = root / "embeddings" / checkpoint.slug / name
            path.parent.mkdir(parents=True, exist_ok=True)
            made = np.stack([vectors[STORED[row]] for row in rows])
            with EmbeddingFile(path, [], made.shape[1], checkpoint.as_dict()) as embedded:
                embedded.add(pa.array([key(row) for row in rows]), lists_of(made), [])
    return str(root)


def looked(root: str, folder: Path, *tasks: Task, near: float = NEAR) -> tuple[Leaks, str]:
    """What was found, and what was said on the way."""
    said = io.StringIO()
    found = look(tasks or (task({**PLANTED, **OTHERS}),), root, near, str(folder), Console(stream=said))
    return found, said.getvalue()


def pairs(found: Leaks) -> set[tuple[str, str]]:
    return {(row["picture"], row["key"]) for row in found.hits.to_pylist()}


EVERY = {(name, key(row)) for name, row in ORIGIN.items()}


def test_copies_crops_and_files_stored_again_are_found_and_nothing_else(
    tmp_path: Path, vectors: dict[bytes, Any]
) -> None:
    found, said = looked(make_root(tmp_path / "root", vectors), tmp_path / "out")
    assert pairs(found) == EVERY
    how = {row["picture"]: row["how"] for row in found.hits.to_pylist()}
    assert how["copy"] == "sha256"
    assert how["stored again"] == "phash"
    assert how["cut"] == "embedding"
    for row in found.hits.to_pylist():
        assert (row["cosine"] is None) == (row["how"] != "embedding")
        assert row["benchmark"] == "pets"
    kept = found.kept("pets")
    assert kept is not None
    assert kept.tolist() == [False] * len(PLANTED) + [True] * len(OTHERS)
    assert found.kept("cars") is None
    assert found.lines()[0].startswith(f"pets: 5 of 10 pictures lie in {tmp_path}/root (1 by sha256, ")
    assert "by tiny" in found.lines()[-1]
    assert "warning" not in said


def test_candidates_alone_would_be_false_hits(tmp_path: Path, vectors: dict[bytes, Any]) -> None:
    """To the checkpoint the other shot is as near as the crop; only the pixels tell."""
    encoder = DualEncoder.load(find("tiny"), Options(), Console(quiet=True))
    (made,) = encoder.embed([ToEmbed(None, [OTHERS["another shot"]()])])
    assert float(made.image[0].numpy() @ vectors[STORED[4]]) >= NEAR


def test_a_root_without_embeddings_is_searched_by_hashes_and_it_is_said(tmp_path: Path) -> None:
    found, said = looked(make_root(tmp_path / "root"), tmp_path / "out")
    assert {("copy", key(0)), ("stored again", key(1))} <= pairs(found) <= EVERY
    assert ("cut", key(3)) not in pairs(found)
    assert said.count("has no embeddings; danqing curate makes them") == 1
    assert "hashes alone" in found.lines()[-1]


def test_embeddings_of_a_checkpoint_that_is_not_there_are_left(
    tmp_path: Path, vectors: dict[bytes, Any]
) -> None:
    root = make_root(tmp_path / "root", vectors)
    for path in (tmp_path / "root" / "embeddings").rglob("*.parquet"):
        table = pq.read_table(path)
        gone = {**find("tiny").as_dict(), "model": str(tmp_path / "gone")}
        pq.write_table(table.replace_schema_metadata(saying(table.schema, gone).metadata), path)
    found, said = looked(root, tmp_path / "out")
    assert ("copy", key(0)) in pairs(found)
    assert "gone" in said
    for path in (tmp_path / "root" / "embeddings").rglob("*.parquet"):
        table = pq.read_table(path)
        other = {**find("tiny").as_dict(), "fingerprint": "0" * 32}
        pq.write_table(table.replace_schema_metadata(saying(table.schema, other).metadata), path)
    assert "tiny is another now" in looked(root, tmp_path / "out")[1]


@pytest.mark.parametrize("wrong", ["cut", "other pairs", "long"])
def test_a_shard_whose_embeddings_cannot_be_used_is_searched_by_hashes(
    tmp_path: Path, vectors: dict[bytes, Any], wrong: str
) -> None:
    """What lies in the other shard is found all the same; of this one, perhaps a file stored again."""
    root = make_root(tmp_path / "root", vectors)
    path = tmp_path / "root" / "embeddings" / find("tiny").slug / "train-00001-of-00002.parquet"
    if wrong == "cut":
        path.write_bytes(path.read_bytes()[:-50])
    else:
        table = pq.read_table(path)
        lists: Any = table["image"].combine_chunks()
        image = pa.FixedSizeListArray.from_arrays(
            pa.array(lists.flatten().to_numpy() * np.float16(2 if wrong == "long" else 1)),
            lists.type.list_size,
        )
        keys = table["key"] if wrong == "long" else pa.array([key(99 + row) for row in range(ROWS)])
        pq.write_table(pa.table({"key": keys, "image": image}, table.schema), path)
    found, said = looked(root, tmp_path / "out")
    assert EVERY - {("brighter", key(7))} <= pairs(found) <= EVERY
    assert said.count("warning") == 1
    assert any("1 of 2 shards were held against them by hashes alone" in line for line in found.lines())


def test_only_what_is_served_for_training_counts(tmp_path: Path, vectors: dict[bytes, Any]) -> None:
    root = make_root(tmp_path / "root", vectors)
    (tmp_path / "root" / "curated").mkdir()
    (tmp_path / "root" / "ledger" / "curate").mkdir(parents=True)
    for shard in range(2):
        rows = [
            {"key": key(row), "reason": "near_duplicate" if row in (0, 3) else None}
            for row in range(shard * ROWS, (shard + 1) * ROWS)
        ]
        path = tmp_path / "root" / "curated" / f"train-{shard:05d}-of-00002.parquet"
        pq.write_table(pa.Table.from_pylist(rows, saying(CURATED, {"decision": "d"})), path)
    with pytest.raises(InputError, match=r"curated/train-00000\S+: without ledger/curate/decision\.json"):
        looked(root, tmp_path / "out")
    decision = {
        "decision": "d", "scores": None, "rows": 8, "kept": 6, "reasons": {"near_duplicate": 2}, "thresholds": {},
        "embedder": find("tiny").as_dict(), "recall": {}, "sets": {}, "measured": {}, "recipe": {},
    }  # fmt: skip
    (tmp_path / "root" / "ledger" / "curate" / "decision.json").write_text(json.dumps(decision))
    found, _ = looked(root, tmp_path / "out")
    assert pairs(found) == EVERY - {("copy", key(0)), ("cut", key(3))}


def test_shards_that_are_not_trained_on_do_not_count(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root", split="validation")
    with pytest.raises(InputError, match="root: has no shard of the split train"):
        looked(root, tmp_path / "out")
    (image,) = (tmp_path / "root" / "images").glob("*-00001-*")
    image.rename(image.with_name("train-00000-of-00001.parquet"))
    found, _ = looked(root, tmp_path / "out")
    assert pairs(found) == {("brighter", key(7))}


def test_the_order_of_shards_changes_nothing(tmp_path: Path, vectors: dict[bytes, Any]) -> None:
    order = [7, 3, 0, 5, 2, 1, 4, 6]
    one, _ = looked(make_root(tmp_path / "a" / "root", vectors), tmp_path / "out")
    other, _ = looked(make_root(tmp_path / "b" / "root", vectors, order), tmp_path / "out")
    assert one.hits.equals(other.hits)


def test_a_second_call_reads_what_the_first_kept(tmp_path: Path) -> None:
    root, out = make_root(tmp_path / "root"), tmp_path / "out"
    first, _ = looked(root, out)
    (file,) = out.iterdir()
    assert file.name.startswith("leaks-root-")
    written = file.stat().st_mtime_ns, file.read_bytes()
    again_, said = looked(root, out)
    assert (file.stat().st_mtime_ns, file.read_bytes()) == written
    assert said == ""
    assert again_.hits.equals(first.hits)
    assert again_.lines() == first.lines()
    # Another benchmark, threshold or root is looked at anew, and so is a file that was damaged or edited.
    fewer, _ = looked(root, out, task({"copy": PLANTED["copy"]}))
    assert [*fewer.sizes.values()] == [1]
    assert looked(root, out)[0].hits.equals(first.hits)
    assert file.read_bytes() == written[1]
    looked(root, out, near=0.7)
    assert file.read_bytes() != written[1]
    file.write_bytes(written[1][:-9])
    assert looked(root, out)[0].hits.equals(first.hits)
    table = pq.read_table(file)
    edited = table.set_column(2, table.schema.field("row"), pa.array([99] * len(table), pa.int32()))
    pq.write_table(edited, file)
    assert looked(root, out)[0].hits.equals(first.hits)
    assert file.read_bytes() == written[1]
    looked(make_root(tmp_path / "other" / "root"), out)
    assert len([*out.iterdir()]) == 2


def test_killed_in_between_the_same_command_ends_with_the_same_bytes(tmp_path: Path) -> None:
    root, out, whole = make_root(tmp_path / "root"), tmp_path / "out", tmp_path / "whole"
    looked(root, whole)

    def dying() -> Any:
        yield STORED[0]
        raise KeyboardInterrupt

    good = task({**PLANTED, **OTHERS})
    with pytest.raises(KeyboardInterrupt):
        looked(root, out, Labelled(good.benchmark, good.names, dying, good.identity))
    assert not out.exists()
    out.mkdir()
    (out / f".{next(whole.iterdir()).name}.1.tmp").write_bytes(b"half")
    looked(root, out)
    (out / f".{next(whole.iterdir()).name}.1.tmp").unlink()
    looked(root, out)
    assert [(one.name, one.read_bytes()) for one in out.iterdir()] == [
        (one.name, one.read_bytes()) for one in whole.iterdir()
    ]


def test_roots_of_other_forms_are_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no images/\*\.parquet in it"):
        looked(str(tmp_path), tmp_path / "out")
    (tmp_path / "root" / "images").mkdir(parents=True)
    table = pa.table({"key": [key(0)], "image": [{"bytes": STORED[0], "path": ""}]})
    pq.write_table(table, tmp_path / "root" / "images" / "train-00000.parquet")
    with pytest.raises(
        InputError, match=r"train-00000\.parquet: no column sha256; make the root by danqing rebuild"
    ):
        looked(str(tmp_path / "root"), tmp_path / "out")


def test_pictures_of_several_benchmarks_are_told_apart(tmp_path: Path) -> None:
    tasks = task({"a": OTHERS["unrelated"]}), task({"b": PLANTED["copy"]}, "cars")
    found, _ = looked(make_root(tmp_path / "root"), tmp_path / "out", *tasks)
    assert [(row["benchmark"], row["picture"], row["row"]) for row in found.hits.to_pylist()] == [
        ("cars", "b", 0)
    ]
    assert [line.split(" pictures")[0] for line in found.lines()[:2]] == ["pets: 0 of 1", "cars: 1 of 1"]


def test_the_nearest_pairs_are_looked_at_and_a_way_that_is_surer_first() -> None:
    made = np.zeros(3 * leaks.MOST, leaks.CANDIDATE)
    made["key"] = [hashlib.md5(bytes([row])).digest() for row in range(len(made))]
    made["how"], made["cosine"] = 2, np.random.default_rng(0).permutation(len(made)) / 100
    made["how"][5] = 1
    twice = made[made["cosine"] > 0.3].copy()
    twice["how"] = 0
    best = leaks._best([made, made[::-1], twice[:1]])
    assert len(best) == leaks.MOST
    assert best["how"].tolist() == [0, 1] + [2] * (leaks.MOST - 2)
    assert (np.diff(best["cosine"][2:]) < 0).all()


@given(st.integers(0, 2**32), st.integers(0, 4))
def test_near_hashes_are_those_of_brute_force(seed: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    wanted = rng.integers(0, 2**64, 40, np.uint64)
    flips = (np.uint64(1) << rng.integers(0, 64, (60, 6), np.uint64)) * (rng.random((60, 6)) < 0.6)
    hashes = rng.choice(wanted, 60) ^ np.bitwise_xor.reduce(flips, axis=1)
    found = {
        place
        for one, other in near_hashes(hashes, wanted, bits)
        for place in zip(one.tolist(), other.tolist(), strict=True)
    }
    apart = np.bitwise_count(hashes[:, None] ^ wanted)
    assert found == {*zip(*(ends.tolist() for ends in np.nonzero(apart <= bits)), strict=True)}


def test_keys_are_written_as_the_root_has_them() -> None:
    assert hex_of(np.array([bytes.fromhex(key(3))], "S16")).to_pylist() == [key(3)]
