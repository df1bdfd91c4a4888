"""Which shards a root has, and what may not be mixed in it."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from builder.disk.files import file_digest
from builder.disk.ledger import ShardLedger, Tally, WrittenFile
from builder.errors import InputError, UsageError
from builder.revalidate.config import RevalidateConfig
from builder.revalidate.plan import ScoringPlan, make_plan
from builder.stage.shards import find_shards
from builder.towers import Checkpoint
from tests.roots import make_root

STEMS = [f"train-{i:05d}-of-00003" for i in range(3)]
CHECKPOINT = Checkpoint(Path("x"), "org/tiny", "tiny", None, "f" * 32, kind="siglip")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_root(tmp_path / "root", shards=3, rows=5)
    return tmp_path / "root"


def with_ledger(root: Path, done: int = 3, config: dict[str, Any] | None = None) -> None:
    """The ledger that rebuild leaves, of which `done` shards are finished."""
    for stem in STEMS[:done]:
        name, file = f"images/{stem}.parquet", root / "images" / f"{stem}.parquet"
        outputs: dict[str, WrittenFile] = {
            name: {"rows": 5, "bytes": file.stat().st_size, "xxh3_128": file_digest(file)}
        }
        made = ShardLedger.of("rebuild", stem, Tally(rows=5, kept=5), outputs=outputs, config="", seconds=0)
        made.write(str(root))
    plan = {"rows": {"train": 15}, "shards": {"train": 3}, "config": config or {}}
    (root / "ledger" / "rebuild" / "plan.json").write_text(json.dumps(plan))


def plan_of(root: Path, reference: str | None = None, **options: Any) -> ScoringPlan:
    """A plan, written down as a run does."""
    plan = make_plan(
        RevalidateConfig(str(root), **options), find_shards(str(root), "scored"), CHECKPOINT, reference
    )
    plan = plan.settled({"dtype": "float32", "preprocessing": "squash"})
    plan.write(str(root))
    return plan


def test_shards_come_in_order_with_their_rows(root: Path) -> None:
    make_root(root, shards=1, rows=4, split="validation")
    found = find_shards(str(root), "scored")
    assert [shard.stem for shard in found] == [*STEMS, "validation-00000-of-00001"]
    assert [shard.rows for shard in found] == [5, 5, 5, 4]
    assert [shard.number for shard in found] == [0, 1, 2, 3]


def test_the_ledger_of_rebuild_is_believed(root: Path) -> None:
    with_ledger(root)
    found = find_shards(str(root), "scored")
    assert [shard.checksum for shard in found] == [file_digest(Path(shard.url)) for shard in found]


def test_without_a_ledger_the_checksum_changes_with_the_file(root: Path) -> None:
    before = find_shards(str(root), "scored")
    (root / "images" / f"{STEMS[1]}.parquet").write_bytes(
        (root / "images" / f"{STEMS[2]}.parquet").read_bytes()
    )
    after = find_shards(str(root), "scored")
    assert [a.checksum == b.checksum for a, b in zip(before, after, strict=True)] == [True, False, True]


@pytest.mark.parametrize(("done", "said"), [(0, "0 of 3 shards"), (2, "2 of 3 shards")])
def test_a_root_half_rebuilt_is_refused(root: Path, done: int, said: str) -> None:
    (root / "ledger" / "rebuild").mkdir(parents=True)
    with_ledger(root, done)
    with pytest.raises(InputError, match=f"half rebuilt, {said}; run danqing rebuild to its end"):
        find_shards(str(root), "scored")


def test_a_shard_that_is_missing_or_of_another_size_is_named(root: Path) -> None:
    with_ledger(root)
    file = root / "images" / f"{STEMS[1]}.parquet"
    whole = file.read_bytes()
    file.write_bytes(whole[:-100])
    with pytest.raises(InputError, match=rf"{STEMS[1]}.parquet: .* bytes, but .* remove .*train-00001.json"):
        find_shards(str(root), "scored")
    file.unlink()
    with pytest.raises(InputError, match=rf"{STEMS[1]}.parquet: missing"):
        find_shards(str(root), "scored")


def test_what_is_no_root_of_parquet_is_told_from_one_another(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give the OUTPUT of danqing rebuild"):
        find_shards(str(tmp_path), "scored")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "train-00000-of-00001.tar").touch()
    with pytest.raises(InputError, match="a root of tars"):
        find_shards(str(tmp_path), "scored")
    with_ledger(root, config={"format": "webdataset"})
    with pytest.raises(InputError, match="a root of tars"):
        find_shards(str(root), "scored")


def test_files_that_are_not_named_as_shards_are_no_root(tmp_path: Path) -> None:
    make_root(tmp_path, shards=1, rows=1)
    (tmp_path / "images" / "train-00000-of-00001.parquet").rename(tmp_path / "images" / "pairs.parquet")
    with pytest.raises(InputError, match="named as a shard is"):
        find_shards(str(tmp_path), "scored")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"caption": "both"}, "--caption alt_text then, both now"),
        ({"decode": "exact"}, "--decode fast then, exact now"),
        ({"embeddings": True}, "--embeddings False then, True now"),
        ({"dtype": "bfloat16"}, "--dtype float32 then, bfloat16 now"),
        ({"reference": "r"}, "--reference none then, r now"),
    ],
)
def test_a_root_scored_in_another_way_is_refused(root: Path, options: dict[str, Any], said: str) -> None:
    plan_of(root)
    before = (root / "ledger" / "revalidate" / "plan.json").read_bytes()
    with pytest.raises(UsageError, match=said):
        plan_of(root, **options)
    assert (root / "ledger" / "revalidate" / "plan.json").read_bytes() == before
    assert plan_of(root, overwrite=True, **options).config_hash


def test_scores_of_two_models_never_mix(root: Path) -> None:
    plan_of(root)
    other = Checkpoint(Path("x"), "org/tiny", "tiny", None, "e" * 32, kind="siglip")
    with pytest.raises(UsageError, match=r"--model tiny f+ then, tiny e+ now: use the same, or --overwrite"):
        make_plan(RevalidateConfig(str(root)), find_shards(str(root), "scored"), other, None)


def test_what_decides_no_score_does_not_change_the_hash(root: Path) -> None:
    assert plan_of(root, alpha=0.5, batch_size=3, workers=2) == plan_of(root)
    assert plan_of(root).config_hash == plan_of(root, dtype="float32").config_hash


def test_the_same_checkpoint_by_another_path_goes_on_under_its_first_name(root: Path) -> None:
    first = plan_of(root)
    moved = dataclasses.replace(CHECKPOINT, model="/elsewhere/tiny")
    again = make_plan(
        RevalidateConfig(str(root), model="/elsewhere/tiny"), find_shards(str(root), "scored"), moved, None
    )
    assert again == first
    assert again.checkpoint["model"] == "org/tiny"
