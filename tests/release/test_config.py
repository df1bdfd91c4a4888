"""What `danqing release` refuses before it looks at anything, and what follows from its options."""

from typing import Any

import pytest

from builder.errors import UsageError
from builder.release.config import ReleaseConfig

REFUSED: dict[str, dict[str, Any]] = {
    "--what pixels: none of manifest, images": {"what": "pixels"},
    "--divide-by 0: must be from 1 to 65536": {"divide_by": 0},
    "--staging-budget -1: must be at least 0": {"staging_budget": -1},
    "--tag v1/2: write letters": {"tag": "v1/2"},
    "--source ORG/OTHER: say --license too": {"source": "ORG/OTHER"},
    "--source /data/mine.tsv: a path of this machine": {"source": "/data/mine.tsv", "license": "mit"},
    "--source ../mine: a path of this machine": {"source": "../mine", "license": "mit"},
    "--source see /data/x: a path of this machine": {"source": "see /data/x", "license": "mit"},
    "--source: the URL names a user": {"source": "https://me:word@host.test/x", "license": "mit"},
    "--source data/mine.jsonl: a path of this": {"source": "data/mine.jsonl", "license": "mit"},
    "--license-name: --license other wants": {"license": "other"},
    "--license-link: --license other wants": {"license": "other", "license_name": "mine-1.0"},
    "--license-link mine.txt: --license other": {
        "license": "other",
        "license_name": "m",
        "license_link": "mine.txt",
    },
    "--license-name mine: --license other": {"license": "mit", "license_name": "mine"},
    "--repository name: write ORG/NAME": {"repository": "name"},
    "--format webdataset: a manifest has no pictures": {"format": "webdataset"},
}


@pytest.mark.parametrize("message", REFUSED)
def test_options_that_make_no_sense(message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ReleaseConfig("root", "out", **REFUSED[message]).check()


def test_the_license_is_that_of_danqing_where_that_is_the_source_unless_one_is_said() -> None:
    assert ReleaseConfig("root", "out").license_id == ""
    for danqing in ("DeepGlint-AI/DanQing100M", "hf://datasets/DeepGlint-AI/DanQing100M/data/*.parquet"):
        assert ReleaseConfig("root", "out", source=danqing).license_id == "cc-by-nc-4.0"
        assert ReleaseConfig("root", "out", source=danqing, license="cc-by-4.0").license_id == "cc-by-4.0"
    other = ReleaseConfig("root", "out", source="ORG/OTHER", license="mit")
    other.check()
    assert other.license_id == "mit"


@pytest.mark.parametrize(("what", "size"), [("manifest", 128 << 20), ("images", 512 << 20)])
def test_the_size_of_a_shard_goes_by_what_is_released(what: str, size: int) -> None:
    assert ReleaseConfig("root", "out", what=what).target_bytes == size
    assert ReleaseConfig("root", "out", what=what, shard_size=5).target_bytes == 5


def test_files_of_removals_come_in_a_list() -> None:
    assert ReleaseConfig("root", "out", remove="a.txt, b.txt,").removed == ["a.txt", "b.txt"]


def test_the_card_is_for_the_repository_that_is_said_or_released_to() -> None:
    assert ReleaseConfig("root", "out").repository_id == ""
    assert ReleaseConfig("root", "out", repository="ORG/NAME").repository_id == "ORG/NAME"
    assert ReleaseConfig("root", "hf://datasets/ORG/NAME").repository_id == "ORG/NAME"
    with pytest.raises(UsageError, match="OUTPUT says ORG/NAME"):
        ReleaseConfig("root", "hf://datasets/ORG/NAME", repository="ORG/OTHER").check()
