"""Which roots can be released, and the line that refuses the others."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.errors import InputError
from builder.release.source import open_root
from tests.release.roots import scored_root, with_ledger
from tests.roots import make_root, pair, write_shard
from tests.scored import Scoring, make_scored

FIRST = "train-00000-of-00002.parquet"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return scored_root(tmp_path)


def refused(root: Path, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        open_root(str(root))
    assert "\n" not in str(caught.value)


def test_a_scored_root_knows_its_model_and_its_rows(root: Path) -> None:
    with_ledger(root)
    found = open_root(str(root))
    assert (found.rows, found.validated, found.captions) == (140, True, ("alt_text",))
    assert found.model["name"] == "siglip2-base-patch16-256"
    assert [part.first for part in found.parts] == [0, 60, 120]
    assert sum(group.rows for part in found.parts for group in part.groups) == 140


def test_a_root_without_scores_is_one_that_is_not_validated(tmp_path: Path) -> None:
    make_root(tmp_path, shards=1, rows=3)
    found = open_root(str(tmp_path))
    assert (found.validated, found.model, found.parts[0].beside) == (False, {}, {})


def test_the_fingerprint_follows_pictures_and_verdicts(root: Path) -> None:
    before = open_root(str(root)).fingerprint
    assert open_root(str(root)).fingerprint == before
    make_scored(root, Scoring(decision="a" * 16))
    after = open_root(str(root)).fingerprint
    write_shard(root / "images" / FIRST, [pair(n) for n in range(60, 120)], 16)
    shutil.rmtree(root / "scores")
    shutil.rmtree(root / "ledger")
    assert len({before, after, open_root(str(root)).fingerprint}) == 3


def test_a_root_half_rebuilt(root: Path) -> None:
    with_ledger(root, done=2)
    refused(root, "half rebuilt, 2 of 3 shards; run danqing rebuild to its end")


def test_a_shard_that_is_gone(root: Path) -> None:
    with_ledger(root)
    (root / "images" / FIRST).unlink()
    refused(root, f"{FIRST}: missing; to make it anew, remove .*train-00000.json and run danqing rebuild")


def test_a_root_of_tars(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "train-00000-of-00001.tar").touch()
    refused(tmp_path, "a root of tars; only Parquet can be released: rebuild it with --format parquet")


def test_no_root(tmp_path: Path) -> None:
    refused(tmp_path, "give the OUTPUT of danqing rebuild")


def test_a_root_scored_in_part(root: Path) -> None:
    (root / "scores" / FIRST).unlink()
    refused(root, rf"scores/{FIRST}: not there, though other shards are scored; run danqing revalidate")


def test_a_root_scored_without_a_decision(root: Path) -> None:
    (root / "ledger" / "revalidate" / "decision.json").unlink()
    refused(root, "scored in part, without verdicts; run danqing revalidate .* to its end, or remove scores/")


def test_scores_of_another_decision(root: Path) -> None:
    path = root / "ledger" / "revalidate" / "decision.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"decision": "0" * 16}))
    refused(root, rf"scores/{FIRST}: has no verdicts of the decision .* --decide")


def test_scores_without_a_column_of_the_decision(root: Path) -> None:
    path = root / "scores" / FIRST
    pq.write_table(pq.read_table(path).drop_columns(["kept"]), path)
    refused(root, rf"scores/{FIRST}: has no verdicts of the decision .* --decide")


def test_a_shard_that_was_made_anew_since_it_was_scored(root: Path) -> None:
    write_shard(root / "images" / FIRST, [pair(n) for n in range(500, 560)], 16)
    with_ledger(root)
    refused(root, f"images/{FIRST}: was made anew since it was scored; run danqing revalidate")


def test_scores_of_another_number_of_rows(root: Path) -> None:
    path = root / "scores" / FIRST
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    refused(root, rf"scores/{FIRST}: 59 rows, in images/ there are 60")


def test_scores_of_two_models(root: Path) -> None:
    path = root / "scores" / FIRST
    table = pq.read_table(path)
    said = json.loads(table.schema.metadata[b"danqing"]) | {"fingerprint": "0" * 32}
    pq.write_table(table.replace_schema_metadata({"danqing": json.dumps(said)}), path)
    refused(root, "was made in another way than")


def test_shards_of_other_columns(root: Path) -> None:
    write_shard(root / "images" / FIRST, [pair(n) for n in range(60)], 16, carried=pa.schema([]))
    refused(root, "its columns are not those of the other shards")


def test_a_shard_without_a_column_of_a_root(tmp_path: Path) -> None:
    make_root(tmp_path, shards=1, rows=3)
    path = tmp_path / "images" / "train-00000-of-00001.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["sha256"]), path)
    refused(tmp_path, "no column sha256; it has key, url")


def test_a_damaged_shard(root: Path) -> None:
    path = root / "images" / FIRST
    path.write_bytes(path.read_bytes()[:-50])
    refused(root, f"{FIRST}: truncated")
