"""The panel depends on the pairs alone, holds no pair that cannot be ranked among, and is read as it was written."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.disk.digests import keys_of, unhex
from builder.errors import InputError
from builder.revalidate.panel import SLACK, Panel, make_panel, read_panel, select
from builder.revalidate.reference import RECORD, Reference
from tests.drift import Planted, write_root

from .runs import column, planted, rewrite, shards, siglip

SIZE = 20
PAIRS = planted(60)


def root_of(folder: Path, pairs: Sequence[Planted] = PAIRS, shard: int = 25) -> Path:
    write_root(folder, pairs, later=True, shard=shard)
    return folder


def keys(root: Path) -> list[str]:
    return [key for file in sorted((root / "images").glob("*")) for key in column(pq.read_table(file), "key")]


def panel_of(
    root: Path, reference: Reference | None = None, columns: tuple[str, ...] = ("alt_text",)
) -> Panel:
    return make_panel(shards(root), reference or Reference.empty(), siglip(), columns, SIZE)


def hexed(panel: Panel) -> list[str]:
    return [row.tobytes().hex() for row in panel.keys.view("u1").reshape(-1, 16)]


def remembering(root: Path, known: Sequence[str]) -> Reference:
    """A reference that knows the hashes of today of some pairs."""
    table = pa.concat_tables(
        [pq.read_table(file, columns=["key", "sha256"]) for file in (root / "images").glob("*")]
    )
    table = table.filter(pa.array([key in known for key in column(table, "key")])).sort_by("key")
    records = np.zeros(len(table), RECORD)
    records["key"], _ = keys_of(table["key"])
    records["sha256"], records["hashed"] = unhex(table["sha256"], 32)
    return Reference(records["key"].copy(), records)


def test_the_first_by_key_are_chosen(tmp_path: Path) -> None:
    root = root_of(tmp_path / "root")
    assert hexed(panel_of(root)) == sorted(keys(root))[:SIZE]


def test_changed_pairs_come_before_those_with_the_recorded_bytes(tmp_path: Path) -> None:
    root = root_of(tmp_path / "root")
    first = sorted(keys(root))
    panel = panel_of(root, remembering(root, first[:50]))
    assert hexed(panel) == first[50:] + first[:10]


def test_neither_layout_nor_order_matters(tmp_path: Path) -> None:
    one, other = root_of(tmp_path / "one"), root_of(tmp_path / "other", PAIRS[::-1], shard=7)
    a, b = panel_of(one), panel_of(other)
    assert hexed(a) == hexed(b)
    assert a.identities.tolist() == b.identities.tolist()
    assert np.allclose(a.image, b.image, atol=1e-6)
    assert np.allclose(a.caption, b.caption, atol=1e-6)


def test_without_picture_or_caption_a_pair_is_passed_over(tmp_path: Path) -> None:
    root = root_of(tmp_path / "root", shard=60)
    (file,) = (root / "images").glob("*")
    table = pq.read_table(file)
    order = sorted(column(table, "key"))
    broken, silent = set(order[:30:3]), set(order[1:30:3])
    rows = table.to_pylist()
    for row in rows:
        row["image"] = {"bytes": b"nothing", "path": ""} if row["key"] in broken else row["image"]
        row["alt_text"] = ("", None)[order.index(row["key"]) % 2] if row["key"] in silent else row["alt_text"]
    rewrite(file, pa.Table.from_pylist(rows, table.schema))
    assert hexed(panel_of(root)) == [key for key in order if key not in broken | silent][:SIZE]


def test_more_candidates_are_asked_for_where_most_are_broken(tmp_path: Path) -> None:
    assert len(PAIRS) > SIZE + SLACK  # so that the first look does not see all
    root = root_of(tmp_path / "root", shard=60)
    (file,) = (root / "images").glob("*")
    table = pq.read_table(file)
    order = sorted(column(table, "key"))
    rows = table.to_pylist()
    for row in rows:
        row["image"] = {"bytes": None, "path": ""} if row["key"] in order[:45] else row["image"]
    rewrite(file, pa.Table.from_pylist(rows, table.schema))
    assert hexed(panel_of(root)) == order[45:]


def test_of_equal_keys_one_is_chosen(tmp_path: Path) -> None:
    root = root_of(tmp_path / "root", [*PAIRS[:30], *PAIRS[:30]])
    assert hexed(panel_of(root)) == sorted(set(keys(root)))[:SIZE]


@pytest.mark.parametrize("columns", [("alt_text",), ("alt_text", "recaption")])
def test_it_is_read_as_it_was_written(tmp_path: Path, columns: tuple[str, ...]) -> None:
    root = root_of(tmp_path / "root")
    assert read_panel(str(root), columns) is None
    panel = panel_of(root, columns=columns)
    panel.write(str(root))
    again = read_panel(str(root), columns)
    assert again is not None
    assert again.digest == panel.digest
    assert list(again.captions) == list(columns)
    with np.load(root / "ledger" / "revalidate" / "panel.npz") as arrays:
        assert [key.decode() for key in arrays["keys"]] == hexed(panel)
        assert arrays["caption"].shape == arrays["image"].shape == (SIZE, siglip().dim)


def test_a_torn_panel_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "ledger" / "revalidate" / "panel.npz"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(InputError, match=r"panel.npz: no panel .*--overwrite"):
        read_panel(str(tmp_path), ("alt_text",))


def test_a_reference_of_another_data_set_is_refused(tmp_path: Path) -> None:
    root, other = root_of(tmp_path / "root"), root_of(tmp_path / "other", planted(70)[60:])
    with pytest.raises(InputError, match="no pair of the root is in the reference"):
        select(shards(root), remembering(other, keys(other)), SIZE)
