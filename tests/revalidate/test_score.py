"""The rows of scores against the same figures computed the long way, pair by pair."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from builder.disk.digests import keys_of, unhex
from builder.revalidate import rules
from builder.revalidate.panel import Panel, make_panel
from builder.revalidate.pieces import Piece, PieceCutter
from builder.revalidate.reference import RECORD, Reference
from builder.revalidate.score import Scorer
from builder.towers import Embedded, ToEmbed, embedded
from tests.drift import Planted, write_root

from .runs import column, planted, shards, siglip

PAIRS = planted(60)
PANEL = 25


def embed(piece: Piece, pictures: list[bytes | None], captions: tuple[str, ...]) -> Embedded:
    texts = tuple(column(piece.table.take(piece.forward), name) for name in captions)
    (made,) = siglip().embed([ToEmbed(piece, pictures, texts)])
    return made


def one_piece(
    root: Path, reference: Reference, captions: tuple[str, ...] = ("alt_text",)
) -> tuple[pa.Table, Panel, Piece]:
    """The rows of scores of a root of one shard, in a piece."""
    panel = make_panel(shards(root), reference, siglip(), captions, PANEL)
    ((piece, pictures),) = PieceCutter(reference, panel, captions).pieces(shards(root)[0])
    tables = Scorer(siglip(), panel, captions, embeddings=False).score(
        piece, embed(piece, pictures, captions)
    )
    assert [*tables] == ["scores"]
    return tables["scores"], panel, piece


def root_of(folder: Path, pairs: tuple[Planted, ...] = PAIRS) -> Path:
    write_root(folder, pairs, later=True, shard=len(pairs))
    return folder


def all_embedded(root: Path) -> tuple[list[str], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Keys, pictures and captions of a root, embedded without any of the code under test."""
    table = pq.read_table(root / "images")
    pictures = [image["bytes"] for image in column(table, "image")]
    (made,) = siglip().embed([ToEmbed(None, pictures, (column(table, "alt_text"),))])
    return column(table, "key"), made.image.numpy(), made.captions[0].numpy()


def before(root: Path, *, codes: bool) -> Reference:
    """What the release recorded of PAIRS: hashes and codes of the pictures of then."""
    write_root(root, PAIRS, later=False, shard=len(PAIRS))
    keys, image, caption = all_embedded(root)
    digests = pq.read_table(root / "images")["sha256"]
    records = np.zeros(len(keys), RECORD)
    records["key"], _ = keys_of(pa.array(keys))
    records["sha256"], records["hashed"] = unhex(digests, 32)
    records["scores"] = np.nan
    if codes:
        records["code"] = np.packbits(image @ projection().T > 0, axis=1)
        records["coded"] = True
        records["scores"][:, 0] = (image * caption).sum(axis=1)
    records = records[np.argsort(records["key"])]
    return Reference(records["key"].copy(), records)


def projection() -> npt.NDArray[np.float32]:
    return embedded.projection(siglip().checkpoint.name, siglip().dim).astype(np.float32)


def expected_p_caption(root: Path, panel: list[str]) -> dict[str, float]:
    """The rule as it is written down, with loops."""
    keys, image, caption = all_embedded(root)
    inside = [keys.index(key) for key in panel]
    p = {}
    for i, key in enumerate(keys):
        others = [j for j in inside if j != i]
        least = float(caption[i] @ image[i]) - rules.TIE
        row = sum(float(caption[i] @ image[j]) >= least for j in others)
        column = sum(float(caption[j] @ image[i]) >= least for j in others)
        p[key] = (1 + max(row, column)) / (1 + len(others))
    return p


def hexed(panel: Panel) -> list[str]:
    return [row.tobytes().hex() for row in panel.keys.view("u1").reshape(-1, 16)]


def test_p_caption_is_the_larger_rank_of_row_and_column(tmp_path: Path) -> None:
    root = root_of(tmp_path / "root")
    table, panel, piece = one_piece(root, Reference.empty())
    assert len(piece.forward) == len(PAIRS) - PANEL
    expected = expected_p_caption(root, hexed(panel))
    assert np.allclose(table["p_caption"].to_numpy(), [expected[key] for key in column(table, "key")])
    assert len(set(column(table, "p_caption"))) > 5


def test_scores_and_codes_are_those_of_the_embeddings(tmp_path: Path) -> None:
    root = root_of(tmp_path / "root")
    table, _, _ = one_piece(root, Reference.empty())
    _, image, caption = all_embedded(root)
    assert np.allclose(table["score_alt_text"].to_numpy(), (image * caption).sum(axis=1), atol=1e-6)
    codes = np.packbits(image @ projection().T > 0, axis=1)
    assert column(table, "code") == [row.tobytes() for row in codes]
    assert (
        table["score_recaption"].null_count
        == table["p_code"].null_count
        == table["same"].null_count
        == len(PAIRS)
    )


def test_what_the_columns_of_the_pair_say_is_carried_over(tmp_path: Path) -> None:
    root = root_of(tmp_path / "root")
    table, _, _ = one_piece(root, Reference.empty())
    images = pq.read_table(root / "images")
    assert table["key"].equals(images["key"])
    assert column(table, "host") == [pair.url.split("/")[2] for pair in PAIRS]
    assert column(table, "phash") == [int(value, 16) for value in column(images, "phash")]
    hashes = [xxhash.xxh3_64_intdigest(pair.alt_text.lower().encode()) for pair in PAIRS]
    assert column(table, "caption_hash") == hashes


def test_p_code_is_the_rank_of_the_new_code_among_the_panel(tmp_path: Path) -> None:
    root, reference = root_of(tmp_path / "root"), before(tmp_path / "before", codes=True)
    table, panel, _ = one_piece(root, reference)
    now = {row["key"]: np.unpackbits(np.frombuffer(row["code"], np.uint8)) for row in table.to_pylist()}
    inside = hexed(panel)
    tested = [row for row in table.to_pylist() if row["p_code"] is not None]
    assert {row["key"] for row in tested} == {row["key"] for row in table.to_pylist() if not row["same"]}
    for row in tested:
        recorded = reference.lookup(keys_of(pa.array([row["key"]]))[0])["code"][0]
        distance = {key: int((np.unpackbits(recorded) != bits).sum()) for key, bits in now.items()}
        others = [key for key in inside if key != row["key"]]
        hits = sum(distance[key] <= distance[row["key"]] for key in others)
        assert row["code_distance"] == distance[row["key"]]
        assert row["p_code"] == pytest.approx((1 + hits) / (1 + len(others)))


def test_same_bytes_are_not_embedded_and_copy_what_was_recorded(tmp_path: Path) -> None:
    root, reference = root_of(tmp_path / "root"), before(tmp_path / "before", codes=True)
    table, _, piece = one_piece(root, reference)
    truth = [pair.kind == "same" for pair in PAIRS]
    assert column(table, "same") == piece.rows["same"].tolist() == truth
    assert not piece.rows["same"][piece.forward].any()
    rows = [row for row in table.to_pylist() if row["same"]]
    recorded = reference.lookup(keys_of(pa.array([row["key"] for row in rows]))[0])
    assert [row["code"] for row in rows] == [value.tobytes() for value in recorded["code"]]
    assert np.allclose([row["score_alt_text"] for row in rows], recorded["scores"][:, 0], atol=1e-6)
    assert not [row for row in rows if row["p_caption"] or row["p_code"] or row["score_change"]]


def test_without_recorded_codes_the_same_pair_has_none(tmp_path: Path) -> None:
    root, reference = root_of(tmp_path / "root"), before(tmp_path / "before", codes=False)
    table, panel, _ = one_piece(root, reference)
    rows = [row for row in table.to_pylist() if row["same"] and row["key"] not in hexed(panel)]
    assert rows
    assert {(row["code"], row["score_alt_text"], row["p_caption"]) for row in rows} == {(None, None, None)}


def test_the_change_of_score_is_the_new_one_less_the_recorded(tmp_path: Path) -> None:
    root, reference = root_of(tmp_path / "root"), before(tmp_path / "before", codes=True)
    table, _, _ = one_piece(root, reference)
    for row in table.to_pylist():
        if not row["same"]:
            recorded = reference.lookup(keys_of(pa.array([row["key"]]))[0])["scores"][0, 0]
            assert row["score_change"] == pytest.approx(row["score_alt_text"] - recorded, abs=1e-6)


def test_equal_pictures_tie(tmp_path: Path) -> None:
    """One picture under every caption: no copy may win over the others."""
    write_root(tmp_path / "root", [_with(pair, now=PAIRS[0].now) for pair in PAIRS], later=True, shard=60)
    table, _, _ = one_piece(tmp_path / "root", Reference.empty())
    assert set(column(table, "p_caption")) == {1.0}


def _with(pair: Planted, **values: Any) -> Planted:
    return Planted(**{name: getattr(pair, name) for name in Planted.__slots__} | values)


def test_without_picture_or_caption_there_is_no_figure(tmp_path: Path) -> None:
    table = pq.read_table(root_of(tmp_path / "root") / "images")
    rows = table.to_pylist()
    rows[0]["image"], rows[1]["image"], rows[2]["alt_text"] = {"bytes": b"<html>", "path": ""}, None, None
    pq.write_table(pa.Table.from_pylist(rows, table.schema), next((tmp_path / "root" / "images").glob("*")))
    scores, _, _ = one_piece(tmp_path / "root", Reference.empty())
    dead = ("score_alt_text", "code", "p_code", "p_caption")
    assert [[row[name] for name in dead] for row in scores.to_pylist()[:2]] == [[None] * 4] * 2
    silent = scores.to_pylist()[2]
    assert silent["code"] is not None
    assert [silent[name] for name in ("score_alt_text", "p_caption", "caption_hash")] == [None] * 3


def test_of_both_captions_the_test_takes_the_mean(tmp_path: Path) -> None:
    root, both = root_of(tmp_path / "root"), ("alt_text", "recaption")
    alone, _, _ = one_piece(root, Reference.empty())
    lacking, _, _ = one_piece(root, Reference.empty(), both)  # no pair has a recaption yet
    assert lacking.equals(alone)
    table = pq.read_table(root / "images")
    place = table.schema.get_field_index("recaption")
    texts = column(table, "alt_text")
    file = next((root / "images").glob("*"))
    pq.write_table(table.set_column(place, "recaption", pa.array(texts)), file)
    twice, _, _ = one_piece(root, Reference.empty(), both)
    assert twice["p_caption"].equals(alone["p_caption"])
    assert np.allclose(twice["score_alt_text"].to_numpy(), twice["score_recaption"].to_numpy(), atol=1e-6)
    pq.write_table(table.set_column(place, "recaption", pa.array([texts[0], *texts[:0:-1]])), file)
    mixed, _, _ = one_piece(root, Reference.empty(), both)
    assert not mixed["p_caption"].equals(alone["p_caption"])
