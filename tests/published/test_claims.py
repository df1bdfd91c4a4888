"""One word or number changed in a release: in release.json, in the real card or in Croissant. It is named."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.card import croissant
from builder.card.readme import render
from builder.console import Console
from builder.disk.release import read
from builder.hub.store import open_store
from builder.published.check import check
from builder.published.claims import check_funnel
from builder.published.differences import Differences
from builder.published.readme import check_card
from builder.published.verify.runner import NOT

from . import made
from .broken import KINDS, carded, recounted

SCORED, UNSCORED = ("images", "manifest", "tars"), ("images-unscored", "manifest-unscored", "tars-unscored")
TABLES = ("images", "manifest", "images-unscored", "manifest-unscored")
ALL = (*SCORED, *UNSCORED)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A release of each kind with the card and the metadata that danqing writes."""
    folders = {}
    for name in ALL:
        folders[name] = folder = tmp_path_factory.mktemp(name)
        release, schema = made.make(folder, KINDS[name]), made.schema_of(KINDS[name])
        (folder / "README.md").write_text(render(release, schema, "Pairs", "ORG/NAME"))
        (folder / "croissant.json").write_bytes(croissant.document(release, schema, "Pairs", "ORG/NAME"))
        sealed(folder, "README.md", "croissant.json")
    return folders


def sealed(folder: Path, *names: str) -> None:
    for name in names:
        recounted("files", name, value=made.entry(folder / name))(folder)


def said(*path: str, value: Any) -> Callable[[Path], None]:
    return recounted(*path, value=value)


def described(*path: str | int, value: Any) -> Callable[[Path], None]:
    """croissant.json with another value, and its checksum right."""

    def do(folder: Path) -> None:
        document = inner = json.loads((folder / "croissant.json").read_text())
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value
        (folder / "croissant.json").write_text(json.dumps(document))
        sealed(folder, "croissant.json")

    return do


def foreign(config: str) -> Callable[[Path], None]:
    return carded(r"configs:\n", f"configs:\n{config}")


FOREIGN = "- config_name: more\n  data_files: hf://datasets/other/data/*.parquet\n"
OTHER_PART = "- config_name: changes\n  data_files:\n  - split: train\n    path: data/*.parquet\n"
SHARD = r"images/train-00000-of-00002\.\w+"
# What is changed ─▶ in which releases, how, and what is then said.
EDITS: dict[str, tuple[tuple[str, ...], Callable[[Path], None], str]] = {
    "manifest": (
        ALL,
        said("funnel", "manifest", value=99),
        r"funnel: fetched, manifest less pending and reasons, should",
    ),
    "pending": (ALL, said("funnel", "pending", value=0), r"funnel: fetched, manifest less"),
    "fetched": (ALL, said("funnel", "fetched", value=99), r"funnel: counts.kept, fetched less left_out"),
    "reasons": (
        ALL,
        said("funnel", "reasons", value={"dns": 7, "http_4xx": 1}),
        r"table of what was lost: dns \| 7 should be",
    ),
    "taken": (ALL, said("funnel", "removed", value=0), r"funnel: counts.kept, fetched less"),
    "duplicates": (ALL, said("funnel", "duplicates", value=5), r"funnel: counts.kept, fetched less"),
    "left-out": (
        SCORED,
        said("funnel", "left_out", value={"dead": 5}),
        r"funnel.left_out.drifted should be \d+, it is 0",
    ),
    "judged": (
        SCORED,
        said("funnel", "verdicts", "same", value=5),
        r"funnel: sum of verdicts should be \d+, it is",
    ),
    "no-funnel": (
        ALL,
        said("funnel", value={}),
        r"funnel: manifest, pending, fetched, reasons, left_out should be there",
    ),
    "kept": (
        ALL,
        said("counts", "kept", value=5),
        r"funnel: counts.kept, fetched less .* should be \d+, it is 5",
    ),
    "alpha": (
        SCORED,
        said("funnel", "decision", "alpha", value=0.01),
        r"of alpha the text should say 1 %, it says 5 %",
    ),
    "alpha-little": (
        SCORED,
        said("funnel", "decision", "alpha", value=0.0501),
        r"bound should be alpha × pi0 = 0.01002, it",
    ),
    "alpha-word": (
        SCORED,
        said("funnel", "decision", "alpha", value="low"),
        r"funnel.decision: alpha: 'low' is no float",
    ),
    "bound": (
        SCORED,
        said("funnel", "decision", "bound", value=0.001),
        r"of bound the text should say 0.1 %, it says 1 %",
    ),
    "pi0": (
        SCORED,
        said("funnel", "decision", "pi0", value=0.1),
        r"of pi0 the text should say 10 %, it says 20 %",
    ),
    "tested": (
        SCORED,
        said("funnel", "decision", "tested", value=8),
        r"of tested the text should say 8, it says 9",
    ),
    "none-tested": (
        SCORED,
        said("funnel", "decision", "tested", value=0),
        r"of tested the text should say nothing, it says 9",
    ),
    "min-score": (
        SCORED,
        said("funnel", "decision", "min_score", value=0.2),
        r"of min_score the text should say 0.2, it does not",
    ),
    "no-decision": (SCORED, said("funnel", "decision", value={}), r"funnel.decision: without alpha, bound"),
    "source": (
        ALL,
        said("source", value="ORG/OTHER"),
        r"of the source the text should say \[ORG/OTHER\].*, it says \[DeepGlint",
    ),
    "no-source": (
        ALL,
        said("source", value=""),
        r"of the source the text should say a manifest whose origin",
    ),
    "license": (
        ALL,
        said("license", value="mit"),
        r"of the license the text should say mit, it says CC-BY-NC 4.0",
    ),
    "license-link": (
        ALL,
        said("license_link", value="https://a.test/"),
        r"README.md: license_link should be https://a.test/",
    ),
    "date": (
        ALL,
        said("created_at", value="2026-01-02T00:00:00Z"),
        r"of the date the text should say 2026-01-02",
    ),
    "by": (ALL, said("danqing", value="9"), r"of danqing the text should say 9, it says 0.1.0"),
    "previous": (ALL, said("previous", value="v1"), r"release.json: previous should be v2026.10, it is v1"),
    "revision": (
        ALL,
        said("funnel", "revisions", value=[]),
        r"table of revisions: v2026.10 \| 2026-10-22 \| 50 \| none should not",
    ),
    "model": (
        SCORED,
        said("model", "fingerprint", value="e" * 32),
        r"of the model's fingerprint the text should say e+, it says f+",
    ),
    "text-alpha": (
        SCORED,
        carded("at level 5 %", "at level 1 %"),
        r"of alpha the text should say 5 %, it says 1 %",
    ),
    "text-alpha-again": (
        SCORED,
        carded("at most 5 % times", "at most 1 % times"),
        r"of alpha the text should say 5 %",
    ),
    "text-bound": (
        SCORED,
        carded("no more than 1 % of", "no more than 0.1 % of"),
        r"of bound the text should say 1 %",
    ),
    "text-no-bound": (
        SCORED,
        carded(", so no more than 1 % of those kept", ""),
        r"of bound the text should say 1 %, it does not",
    ),
    "text-source": (
        ALL,
        carded(r"The source is \[.*?\]\(.*?\)", "The source is `x`"),
        r"of the source the text should say",
    ),
    "text-license": (
        ALL,
        carded(r"is under \*\*CC-BY-NC 4.0", "is under **MIT"),
        r"of the license the text .*, it says MIT",
    ),
    "text-chinese": (
        ALL,
        carded("许可证为 CC-BY-NC 4.0", "许可证为 MIT"),
        r"of the license the text .*, it says MIT",
    ),
    "text-lost": (
        ALL,
        carded(r"\u22127 \|", "\u22126 |"),
        r"table of what was lost: http_4xx \| 7 should be there",
    ),
    "text-verdict": (
        SCORED,
        carded(r"\| 0 \| 0 \|", "| 3 | 0 |"),
        r"table of verdicts: dead \| 3 \| 0 should not be there",
    ),
    "text-split": (
        ALL,
        carded(r"`validation` \| \d+", "`validation` | 9,999"),
        r"table of splits: validation \| 9,999 \| 1 should not",
    ),
    "yaml-license": (
        ALL,
        carded("license: cc-by-nc-4.0", "license: mit"),
        r"README.md: license should be cc-by-nc-4.0, it is mit",
    ),
    "yaml-source": (
        ALL,
        carded("- DeepGlint-AI/DanQing100M\n", "- ORG/OTHER\n"),
        r"README.md: source_datasets should be",
    ),
    "yaml-config": (ALL, foreign(FOREIGN), r"configs: more should not be there"),
    "yaml-part": (ALL, carded(r"configs:\n", f"configs:\n{OTHER_PART}"), r"configs: changes should"),
    "yaml-default": (
        ALL,
        carded(r"  default: true\n", ""),
        r"configs: \w+: default should be True, it is None",
    ),
    "yaml-folder": (
        ALL,
        carded(r"  default: true\n", "  default: true\n  data_dir: other\n"),
        r"configs: \w+: data_dir should not",
    ),
    "yaml-files": (
        ALL,
        carded(r"(  - split: validation\n)", r"\1    path: https://a.test/x.parquet\n\1"),
        r"configs: \w+: https://a.test/x.parquet should not be there",
    ),
    "yaml-info": (
        ALL,
        carded(r"(dataset_info:\n[ -] config_name: )\w+", r"\1more"),
        r"dataset_info: more should not be there",
    ),
    "yaml-alias": (
        ALL,
        carded("license: cc-by-nc-4.0", "license: &a cc-by-nc-4.0\nlicense_name: *a"),
        r"should begin with YAML",
    ),
    "yaml-large": (
        ALL,
        carded("license: ", "# " + "x" * (1 << 18) + "\nlicense: "),
        r"should begin with YAML",
    ),
    "ld-license": (
        ALL,
        described("license", value="mit"),
        r"croissant.json: license should be cc-by-nc-4.0, it is mit",
    ),
    "ld-id": (ALL, described("@id", value="other"), r"croissant.json: @id should be None, it is other"),
    "ld-file-id": (
        ALL,
        described("distribution", 0, "@id", value="other"),
        r"croissant.json: @type of other should be None",
    ),
    "ld-file-url": (
        ALL,
        described("distribution", 0, "contentUrl", value="https://a.test/x"),
        r"contentUrl of .* should be",
    ),
    "ld-file-size": (
        ALL,
        described("distribution", 0, "contentSize", value="1 B"),
        r"contentSize of .* should be \d+ B, it is 1 B",
    ),
    "ld-file-kind": (
        ALL,
        described("distribution", 0, "encodingFormat", value="x"),
        r"encodingFormat of .* should be application",
    ),
    "ld-set-id": (
        ALL,
        described("distribution", -1, "@id", value="all"),
        r"croissant.json: @id of shards should be shards, it is None",
    ),
    "ld-set": (
        ALL,
        described("distribution", -1, "includes", value="**"),
        r"includes of shards should be \w+/\*\.\w+, it is \*\*",
    ),
    "ld-twice": (
        ALL,
        described("distribution", 0, "@id", value="shards"),
        r"croissant.json: cannot be read: an @id comes twice",
    ),
    "ld-source": (
        ALL,
        described("description", value="pairs"),
        r"croissant.json: description should be from DeepGlint",
    ),
    "ld-record": (
        TABLES,
        described("recordSet", 0, "@id", value="other"),
        r"croissant.json: recordSet should be \w+, it is other",
    ),
    "ld-field": (
        TABLES,
        described("recordSet", 0, "field", 1, "@id", value="x/y"),
        r"croissant.json: field x/y should not be there",
    ),
    "ld-column": (
        TABLES,
        described("recordSet", 0, "field", 1, "source", "extract", "column", value="other"),
        r"extract of \w+/\w+ should be {'column': '\w+'}, it is {'column': 'other'}",
    ),
    "ld-deep": (ALL, lambda folder: deep(folder), r"croissant.json: cannot be read: maximum recursion"),
}


def deep(folder: Path) -> None:
    (folder / "croissant.json").write_text("[" * 100_000)
    sealed(folder, "croissant.json")


@pytest.mark.parametrize("name", ALL)
def test_what_danqing_writes_holds(real: dict[str, Path], name: str) -> None:
    assert check(str(real[name]), "full", Console(quiet=True)).differences == []


def documents_of(folder: Path, name: str) -> list[str]:
    """What differs among release.json, card and Croissant, without a look at the shards."""
    release, found = read(str(folder)), Differences()
    assert release is not None
    check_funnel(release, found)
    schema = None if KINDS[name].tar else made.schema_of(KINDS[name])
    check_card(open_store(str(folder)), release, schema, found)
    return found.lines()


@pytest.mark.parametrize(("name", "edit"), [(name, edit) for edit in EDITS for name in EDITS[edit][0]])
def test_a_single_edit_is_named(real: dict[str, Path], tmp_path: Path, name: str, edit: str) -> None:
    _, change, expected = EDITS[edit]
    folder = Path(shutil.copytree(real[name], tmp_path / "release", copy_function=os.link))
    for document in ("release.json", "README.md", "croissant.json"):  # all else is linked
        (folder / document).unlink()
        shutil.copy(real[name] / document, folder / document)
    change(folder)
    told = documents_of(folder, name)
    assert any(re.search(expected, line) for line in told), told


def retyped(folder: Path) -> None:
    """A card that calls an int32 a string."""
    card = folder / "README.md"
    card.write_text(card.read_text().replace("dtype: int32", "dtype: string", 1))
    sealed(folder, "README.md")


@pytest.mark.parametrize(
    ("name", "change", "admitted"),
    [
        ("tars", retyped, "the types of what tars hold"),
        ("images", described("version", value="9"), "the other sentences of the card and of croissant.json"),
        ("images", said("funnel", "options", value={}), "options, reasons and pi0"),
    ],
)
def test_what_passes_is_not_claimed(
    real: dict[str, Path], tmp_path: Path, name: str, change: Callable[[Path], None], admitted: str
) -> None:
    folder = Path(shutil.copytree(real[name], tmp_path / "release"))
    change(folder)
    assert documents_of(folder, name) == []
    assert admitted in NOT


def test_terms_of_their_own(tmp_path: Path) -> None:
    made.make(tmp_path)
    for name, value in (
        ("license", "other"),
        ("license_name", "ours"),
        ("license_link", "https://a.test/terms"),
    ):
        said(name, value=value)(tmp_path)
    schema = made.schema_of(KINDS["images"])
    release = read(str(tmp_path))
    assert release is not None
    (tmp_path / "README.md").write_text(render(release, schema, "Pairs", "ORG/NAME"))
    (tmp_path / "croissant.json").write_bytes(croissant.document(release, schema, "Pairs", "ORG/NAME"))
    sealed(tmp_path, "README.md", "croissant.json")
    assert documents_of(tmp_path, "images") == []
