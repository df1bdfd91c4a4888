"""A card names the source that there is evidence of, and no other; what lies on this machine it never names."""

import json
from pathlib import Path

import pytest

from builder.cli import main
from builder.release.config import ReleaseConfig
from builder.release.publication import source_of
from builder.release.source import MODEL, Root
from tests.release.roots import read, release, released, scored_root, tree, with_ledger
from tests.releases import pairs, write_release
from tests.roots import make_root

HUB = "hf://datasets/ORG/PAIRS@abc123/data/train-{}.parquet"
CLAIMS = ("DanQing100M", "2601.10305", "CC-BY", "cc-by", "Common Crawl", "language:", "Chinese", "bibtex")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_root(tmp_path / "root", shards=1, rows=70)
    return tmp_path / "root"


def rebuilt_from(root: Path, *files: str) -> None:
    """The ledger of a rebuild of these files, read as DanQing's columns."""
    with_ledger(root)
    path = root / "ledger" / "rebuild" / "plan.json"
    plan = json.loads(path.read_text())
    plan["config"] = {"schema": "danqing"}
    plan["manifest"] = {"fingerprint": "", "files": {file: {"rows": 35, "fingerprint": ""} for file in files}}
    path.write_text(json.dumps(plan))


@pytest.mark.parametrize(
    ("files", "source"),
    [
        ([HUB.format(0), HUB.format(1)], "ORG/PAIRS"),
        ([HUB.format(0), "hf://datasets/ORG/OTHER/x.parquet"], ""),
        ([HUB.format(0), "/data/mine.tsv"], ""),
        (["/data/DeepGlint-AI/DanQing100M/train.parquet"], ""),
        (["s3://bucket/datasets/ORG/PAIRS/x.parquet", "http://h.test/manifest/x.parquet"], ""),
    ],
)
def test_the_source_by_the_files_of_the_plan(root: Path, files: list[str], source: str) -> None:
    rebuilt_from(root, *files)
    assert source_of(str(root)) == source


def test_a_root_without_a_plan_has_no_source(root: Path) -> None:
    assert source_of(str(root)) == ""


def test_the_source_of_the_release_that_was_the_manifest(root: Path, tmp_path: Path) -> None:
    made = write_release(
        tmp_path / "v1", "v1", {"manifest/train-00000-of-00001.parquet": pairs(["http://a.test/1"])}
    )
    rebuilt_from(root, f"{tmp_path}/v1/manifest/train-00000-of-00001.parquet")
    assert source_of(str(root)) == made.source == "test/test"
    document = (tmp_path / "v1" / "release.json").read_text()
    (tmp_path / "v1" / "release.json").write_text(document.replace("test/test", "/home/me/mine.tsv"))
    assert source_of(str(root)) == ""


def test_without_a_source_a_license_must_be_said(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rebuilt_from(root, "/data/mine.tsv")
    assert main(["release", str(root), str(tmp_path / "out"), "--quiet"]) == 2
    said = capsys.readouterr().err
    assert "nothing tells what it was rebuilt from: add --license, and --source ORG/NAME" in said
    assert said.count("\n") == 1
    rebuilt_from(root, HUB.format(0))
    assert main(["release", str(root), str(tmp_path / "out"), "--quiet", "--dry-run"]) == 2
    assert "was rebuilt from ORG/PAIRS" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("what", ["manifest", "images"])
def test_without_a_source_the_card_claims_nothing(root: Path, tmp_path: Path, what: str) -> None:
    rebuilt_from(root, str(tmp_path / "mine.tsv"))
    out = tmp_path / "out"
    assert main(["release", str(root), str(out), "--what", what, "--license", "mit", "--quiet"]) == 0
    found = released(out)
    assert (found.source, found.license) == ("", "mit")
    for name in ("README.md", "croissant.json"):
        told = (out / name).read_text()
        assert not [claim for claim in CLAIMS if claim in told]
    assert "origin its maintainer did not state" in (out / "README.md").read_text()
    assert (
        json.loads((out / "croissant.json").read_text())["citeAs"]
        == "https://huggingface.co/datasets/ORG/NAME"
    )


def test_a_license_of_its_own(root: Path, tmp_path: Path) -> None:
    link, out = "https://h.test/terms", tmp_path / "out"
    other = ("--license", "other", "--license-name", "mine-1.0", "--license-link", link)
    assert main(["release", str(root), str(out), *other, "--quiet"]) == 0
    card = (out / "README.md").read_text()
    assert {"license: other", "license_name: mine-1.0", f"license_link: {link}"} <= {*card.split("\n")}
    assert f"This release is under **[mine-1.0]({link})**, as its maintainer states" in card
    assert json.loads((out / "croissant.json").read_text())["license"] == link
    found = released(out)
    assert (found.license, found.license_name, found.license_link) == ("other", "mine-1.0", link)
    assert "whoever has a key, a URL or a host already" in card


def test_the_source_is_named_however_it_was_typed(root: Path, tmp_path: Path) -> None:
    typed = "https://huggingface.co/datasets/ORG/PAIRS"
    assert release(root, tmp_path / "out", "--source", typed, "--license", "mit") == 0
    assert released(tmp_path / "out").source == "ORG/PAIRS"
    assert (
        "[ORG/PAIRS](https://huggingface.co/datasets/ORG/PAIRS)"
        in (tmp_path / "out" / "README.md").read_text()
    )
    assert ReleaseConfig(source="laion", license="mit").source_name == "laion"


def test_no_path_of_this_machine_is_released(tmp_path: Path) -> None:
    root = scored_root(tmp_path)
    rebuilt_from(root, f"{tmp_path}/mine.tsv")
    (tmp_path / "gone.txt").write_text("gone.test\n")
    out = tmp_path / "out"
    assert release(root, out, "--what", "images", "--remove", str(tmp_path / "gone.txt")) == 0
    assert not [name for name, data in tree(out).items() if str(tmp_path).encode() in data]
    assert read(out).num_rows


def test_a_checkpoint_in_a_folder_goes_by_its_name() -> None:
    said = {"model": "/home/me/tuned", "name": "tuned", "revision": None, "fingerprint": "f" * 32}
    found = Root("root", (), None, said, {"decision": "d"}).model  # type: ignore[arg-type]
    assert found == dict.fromkeys(MODEL) | said | {"model": "tuned"}
    said |= {"model": "ORG/tuned", "revision": "0" * 40}
    assert Root("root", (), None, said, {"decision": "d"}).model["model"] == "ORG/tuned"  # type: ignore[arg-type]
