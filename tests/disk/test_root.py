"""What of a folder is ours: nothing of another's is removed or written over, whatever the folder holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder.cli import main
from builder.disk.card import root_card
from builder.disk.files import write_atomic
from builder.disk.ledger import ShardLedger, Tally
from builder.disk.root import CURATE, REBUILD, REVALIDATE, Footprint, claim, earlier, is_spent
from builder.errors import InputError, UsageError
from tests.revalidate.smallroot import files_of

PLAN = {"stage": "rebuild", "rows": {"train": 3}, "shards": {"train": 2}, "config_hash": "c"}
OURS = [
    "ledger/rebuild/train-00000.json",
    "ledger/rebuild/validation-00001.json",
    "ledger/rebuild/progress-0.json",
    "ledger/rebuild/.train-00001.json.77.tmp",
    "ledger/rebuild/removals.parquet",
    "ledger/revalidate/panel.npz",
    "ledger/revalidate/train-00001.json",
    "images/train-00000-of-00002.parquet",
    "images/train-00001-of-00002.tar",
    "images/validation-00001-of-00002.parquet",
    "outcomes/train-00001-of-00002.parquet",
    "scores/train-00001-of-00002.parquet",
    "embeddings/train-00000-of-00002.parquet",
]
FOREIGN = [
    "notes.txt",
    "images/cat.jpg",
    "images/train-00002-of-00002.parquet",  # beyond the plan
    "images/train-00000-of-00003.parquet",  # of another layout
    "images/train-00000-of-00002.parquet.bak",
    "outcomes/test-00000-of-00002.parquet",
    "scores/mine.csv",
    "ledger/books.csv",
    "ledger/rebuild/notes.json",
    "ledger/release/removals.parquet",  # what was taken down for good
]


def put(root: str, *names: str) -> None:
    for name in names:
        write_atomic(f"{root}/{name}", b"{")


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The folder of a root of two shards, scored, among files that are not ours."""
    root = str(tmp_path / "root") if request.param == "local" else f"memory://{tmp_path.name}"
    put(root, *OURS, *FOREIGN)
    write_atomic(f"{root}/ledger/rebuild/plan.json", json.dumps(PLAN).encode())
    write_atomic(f"{root}/README.md", root_card(["train"], "parquet").encode())
    return root


def names(root: str) -> set[str]:
    from fsspec.core import url_to_fs

    fs, path = url_to_fs(root)
    return {str(file).removeprefix(path).lstrip("/") for file in fs.find(path)}


def test_removed_is_what_plan_and_markers_name(root: str) -> None:
    found = earlier(root, REBUILD)
    assert set(found.names) == {*OURS, "README.md"}
    assert found.names[0].startswith("ledger/")  # no marker speaks of what is gone
    found.remove()
    assert names(root) == {*FOREIGN, "ledger/rebuild/plan.json"}
    claim(root, REBUILD, overwrite=True)


def test_only_scores_go_when_a_root_is_scored_anew(root: str) -> None:
    before = names(root)
    found = earlier(root, REVALIDATE)
    found.remove()
    gone = {name for name in OURS if name.split("/")[0] in ("scores", "embeddings") or "revalidate" in name}
    assert before - names(root) == gone == set(found.names)


def test_folders_that_are_empty_go(tmp_path: Path) -> None:
    put(str(tmp_path), "embeddings/train-00000-of-00002.parquet")
    write_atomic(f"{tmp_path}/ledger/rebuild/plan.json", json.dumps(PLAN).encode())
    (tmp_path / "scores").mkdir()
    earlier(str(tmp_path), REBUILD).remove()
    assert not (tmp_path / "embeddings").exists()


def test_a_card_of_the_users_stays_and_is_said(root: str) -> None:
    write_atomic(f"{root}/README.md", b"---\npretty_name: My photographs\n---\n# Mine\n")
    found = earlier(root, REBUILD)
    assert "README.md" not in found.names
    assert "not ours by its front matter" in found.lines()[-1]
    found.remove()
    assert "README.md" in names(root)


def test_links_are_not_followed(tmp_path: Path) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    put(str(other), "train-00000-of-00002.parquet")
    put(str(root), "outcomes/train-00000-of-00002.parquet")
    write_atomic(f"{root}/ledger/rebuild/plan.json", json.dumps(PLAN).encode())
    (root / "outcomes" / "train-00001-of-00002.parquet").symlink_to(other / "train-00000-of-00002.parquet")
    earlier(str(root), REBUILD).remove()
    (root / "images").symlink_to(other)
    with pytest.raises(UsageError, match="images: is a link"):
        earlier(str(root), REBUILD)
    assert files_of(other).keys() == {"train-00000-of-00002.parquet"}


@pytest.mark.parametrize(
    "name", ["images/cat.jpg", "scores/a", "ledger/books.csv", "README.md", ".spool/mine"]
)
@pytest.mark.parametrize("flags", [(), ("--overwrite",), ("--dry-run",)], ids=str)
def test_a_folder_that_was_never_a_root_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, flags: tuple[str, ...]
) -> None:
    (tmp_path / "m.csv").write_text("url,caption\nhttp://127.0.0.1:1/a.jpg,a\n")
    put(str(tmp_path / "d"), name, "foreign.txt")
    before = files_of(tmp_path)
    assert main(["rebuild", str(tmp_path / "m.csv"), str(tmp_path / "d"), *flags]) == 2
    said = capsys.readouterr().err
    assert name.partition("/")[0] in said
    assert said.count("\n") == 1
    assert files_of(tmp_path) == before


@pytest.mark.parametrize("plan", [b"{", b"[]", b"{}", json.dumps(PLAN | {"stage": "mine"}).encode()])
def test_a_plan_that_is_none_of_ours_makes_no_root(tmp_path: Path, plan: bytes) -> None:
    root = str(tmp_path)
    write_atomic(f"{root}/ledger/rebuild/plan.json", plan)
    with pytest.raises(UsageError, match="holds ledger"):
        claim(root, REBUILD, overwrite=True)
    with pytest.raises((InputError, UsageError), match=r"plan\.json"):
        claim(root, REBUILD, overwrite=False)


def test_what_a_kill_before_the_plan_left_is_ours(tmp_path: Path) -> None:
    root = str(tmp_path)
    put(
        root,
        ".spool/world.lock",
        ".spool/world.size",
        ".spool/rank-0.lock",
        "ledger/rebuild/.plan.json.7.tmp",
    )
    put(root, "manifest.csv", "notes/a.txt")
    claim(root, REBUILD, overwrite=False)
    claim(root, REBUILD, overwrite=True)


def test_a_work_folder_with_something_of_anothers_stays(tmp_path: Path) -> None:
    ours = ["world.lock", "world.size", "rank-3.lock", "train-00000-of-00002.images.tmp", "reference-0f"]
    ours += ["train-00000-of-00002.reopened", "images-train-00000-of-00002.parquet.copy"]
    put(str(tmp_path), *ours)
    assert is_spent(tmp_path)
    for name in ("mine.txt", "train-00000-of-00002.spool"):
        put(str(tmp_path), name)
        assert not is_spent(tmp_path)
        (tmp_path / name).unlink()


def test_scores_of_anothers_are_refused(tmp_path: Path) -> None:
    root = str(tmp_path)
    put(root, "images/train-00000-of-00001.parquet", "ledger/release/removals.parquet")
    claim(root, REVALIDATE, overwrite=True)  # a root without a ledger is taken as it is found
    put(root, "scores/exam.csv")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="holds scores"):
            claim(root, REVALIDATE, overwrite=overwrite)


MADE = "embeddings/siglip2-0123abcd/train-00000-of-00002.parquet"
BESIDE = "embeddings/mine-4567abcd/train-00000-of-00002.parquet"  # of a folder that no marker names


def marked(root: str, stage: str, *outputs: str) -> None:
    """A marker of a shard that names these files."""
    told = {path: {"rows": 1, "bytes": 1, "xxh3_128": "0"} for path in outputs}
    made = ShardLedger.of(
        stage, "train-00000-of-00002", Tally(1, 1), outputs=told, config="c", seconds=0.0  # type: ignore[arg-type]
    )  # fmt: skip
    made.write(root)


@pytest.mark.parametrize("place", [REBUILD, REVALIDATE])
def test_of_folders_of_a_model_go_those_that_a_marker_names(root: str, place: Footprint) -> None:
    put(root, MADE, BESIDE, f"{MADE.rpartition('/')[0]}/words.npy")
    marked(root, "revalidate", MADE)
    found = earlier(root, place)
    assert MADE in found.names
    found.remove()
    left = {name for name in names(root) if name.startswith("embeddings/")}
    assert left == {BESIDE, f"{MADE.rpartition('/')[0]}/words.npy"}


def test_what_another_stage_made_stays(root: str) -> None:
    curated = "embeddings/clip-0123abcd/train-00000-of-00002.parquet"
    looked = "measures/open-nsfw-0123abcd/train-00000-of-00002.parquet"
    put(root, MADE, curated, looked)
    marked(root, "revalidate", MADE)
    marked(root, "curate/2-embeddings", curated)
    marked(root, "curate/3-looks", looked)
    earlier(root, REVALIDATE).remove()
    assert {curated, looked} <= names(root)
    assert MADE not in names(root)
    earlier(root, REBUILD).remove()
    assert not {curated, looked} & names(root)


def test_a_folder_of_a_model_that_is_empty_goes(tmp_path: Path) -> None:
    put(str(tmp_path), MADE)
    write_atomic(f"{tmp_path}/ledger/rebuild/plan.json", json.dumps(PLAN).encode())
    marked(str(tmp_path), "revalidate", MADE)
    earlier(str(tmp_path), REVALIDATE).remove()
    assert not (tmp_path / "embeddings").exists()


@pytest.mark.parametrize(
    "path", ["embeddings/../images/a/x", "embeddings/..", "images/sub/x", "embeddings/a/b/x"]
)
def test_a_marker_names_no_folder_elsewhere(tmp_path: Path, path: str) -> None:
    name = f"{path}/train-00000-of-00002.parquet"
    put(str(tmp_path), "ledger/rebuild/plan.json")
    write_atomic(f"{tmp_path}/ledger/rebuild/plan.json", json.dumps(PLAN).encode())
    marked(str(tmp_path), "revalidate", name)
    assert {one.split("/")[0] for one in earlier(str(tmp_path), REVALIDATE).files} <= {"ledger"}


def test_a_folder_of_a_model_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "root" / "embeddings").mkdir(parents=True)
    (tmp_path / "root" / "embeddings" / "siglip2-0123abcd").symlink_to(tmp_path / "other")
    write_atomic(f"{tmp_path}/root/ledger/rebuild/plan.json", json.dumps(PLAN).encode())
    marked(f"{tmp_path}/root", "revalidate", MADE)
    with pytest.raises(UsageError, match="siglip2-0123abcd: is a link"):
        earlier(f"{tmp_path}/root", REVALIDATE)


@pytest.mark.parametrize("place", [REBUILD, REVALIDATE, CURATE])
def test_nothing_is_written_through_a_link_of_a_model(tmp_path: Path, place: Footprint) -> None:
    """Neither before a marker names its folder, nor without --overwrite."""
    (tmp_path / "other").mkdir()
    (tmp_path / "root" / "embeddings").mkdir(parents=True)
    (tmp_path / "root" / "embeddings" / "siglip2-0123abcd").symlink_to(tmp_path / "other")
    write_atomic(f"{tmp_path}/root/ledger/rebuild/plan.json", json.dumps(PLAN).encode())
    with pytest.raises(UsageError, match="siglip2-0123abcd: is a link"):
        claim(f"{tmp_path}/root", place, overwrite=False)


def test_a_root_that_was_curated_first_may_be_scored(tmp_path: Path) -> None:
    put(str(tmp_path), MADE)
    with pytest.raises(UsageError, match="it holds embeddings"):
        claim(str(tmp_path), REVALIDATE, overwrite=False)
    plan = {"stage": "curate", "rows": {"train": 3}, "shards": {"train": 2}}
    write_atomic(f"{tmp_path}/ledger/curate/plan.json", json.dumps(plan).encode())
    claim(str(tmp_path), REVALIDATE, overwrite=False)
