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

from builder import __version__
from builder.card import readme
from builder.console import Console
from builder.disk.release import read
from builder.hub.store import open_store
from builder.published.card import check_card
from builder.published.check import check
from builder.published.differences import Differences
from builder.published.funnel import check_funnel
from builder.published.verify import NOT

from ..stage.test_funnels import two
from . import made
from .broken import KINDS, carded, instead, recounted

SCORED, UNSCORED = ("images", "manifest", "tars"), ("images-unscored", "manifest-unscored", "tars-unscored")
TABLES = ("images", "manifest", "images-unscored", "manifest-unscored")
ALL = (*SCORED, *UNSCORED)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A release of each kind with the card and the metadata that danqing writes."""
    folders = {}
    for name in ALL:
        folders[name] = folder = tmp_path_factory.mktemp(name)
        made.make(folder, KINDS[name])
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
        (folder / "croissant.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        sealed(folder, "croissant.json")

    return do


def foreign(config: str) -> Callable[[Path], None]:
    return carded(r"configs:\n", f"configs:\n{config}")


def shared() -> dict[str, Any]:
    """A funnel of which a share is another than its counts make it."""
    told: dict[str, Any] = {**two()[0]}
    return told | {"paper": [one | {"found": 0.3} for one in told["paper"]]}


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
        instead("`dns`: .*", "`http_4xx`: "),
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
    "before": (
        ALL,
        said("funnel", "before", value=two()),
        instead("danqing made that manifest too", "### Text"),
    ),
    "before-none": (ALL, said("funnel", "before", value=[{}]), r"funnel\.before: without counters"),
    "before-sum": (
        ALL,
        said("funnel", "before", value=[two()[0] | {"kept": 7}]),
        r"funnel\.before: kept: 7, by",
    ),
    "before-less": (
        ALL,
        said("funnel", "before", value=two()[::-1]),
        r"funnel\.before: refine kept 152 pairs",
    ),
    "before-share": (
        ALL,
        said("funnel", "before", value=[shared()]),
        r"shares of crawl should be those of its",
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
        instead("level 1 %", "level 5 %"),
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
        instead(r"no more than 0\.1 %", "no more than 1 %"),
    ),
    "pi0": (
        SCORED,
        said("funnel", "decision", "pi0", value=0.1),
        instead(r"\(pi0\) is 10 %", r"\(pi0\) is 20 %"),
    ),
    "tested": (
        SCORED,
        said("funnel", "decision", "tested", value=8),
        instead("8 pairs with changed bytes", "9 pairs with changed bytes"),
    ),
    "threshold": (
        SCORED,
        said("funnel", "decision", "threshold", value=0.01),
        r"decision: threshold should be alpha × 1 of 9 tested = 0\.00555\d+, it is 0\.01",
    ),
    "suspects": (
        SCORED,
        said("funnel", "decision", "suspects", value=8),
        r"decision: suspects should be \d to \d, it is 8",
    ),
    "none-tested": (
        SCORED,
        said("funnel", "decision", "tested", value=0),
        instead("No pair had to be tested", "9 pairs with changed bytes were tested"),
    ),
    "min-score": (
        SCORED,
        said("funnel", "decision", "min_score", value=0.2),
        instead(r"Pairs with a score below 0\.2 were dropped too", ""),
    ),
    "no-decision": (SCORED, said("funnel", "decision", value={}), r"funnel.decision: without alpha, bound"),
    "source": (
        ALL,
        said("source", value="ORG/OTHER"),
        instead("license: ", "language: zh"),
    ),
    "no-source": (
        ALL,
        said("source", value=""),
        instead("license: ", "language: zh"),
    ),
    "license": (
        ALL,
        said("license", value="mit"),
        instead("license: mit", r"license: cc-by-nc-4\.0"),
    ),
    "license-link": (
        ALL,
        said("license_link", value="https://a.test/"),
        instead(r"license_link: https://a\.test/", ""),
    ),
    "date": (
        ALL,
        said("created_at", value="2026-01-02T00:00:00Z"),
        instead("of 2026-01-02", "of 2026-11-22"),
    ),
    "by": (ALL, said("danqing", value="9"), instead("'9'|- 9", re.escape(__version__))),
    "previous": (ALL, said("previous", value="v1"), r"release.json: previous should be v2026.10, it is v1"),
    "revision": (
        ALL,
        said("funnel", "revisions", value=[]),
        instead("", r"`v2026\.10` \| 2026-10-22 \| 50 \| none"),
    ),
    "model": (
        SCORED,
        said("model", "fingerprint", value="e" * 32),
        instead("fingerprint `e+", "fingerprint `f+"),
    ),
    "text-alpha": (
        SCORED,
        carded("at level 5 %", "at level 1 %"),
        instead("level 5 %", "level 1 %"),
    ),
    "text-alpha-again": (
        SCORED,
        carded("at most 5 % times", "at most 1 % times"),
        instead("at most 5 % times", "at most 1 % times"),
    ),
    "text-bound": (
        SCORED,
        carded("no more than 1 % of", "no more than 0.1 % of"),
        instead("no more than 1 % of", r"no more than 0\.1 % of"),
    ),
    "text-no-bound": (
        SCORED,
        carded(", so no more than 1 % of those kept", ""),
        instead(", so no more than 1 % of those kept", "is 20 % are expected"),
    ),
    "text-source": (
        ALL,
        carded(r"The source is \[.*?\]\(.*?\)", "The source is `x`"),
        instead(r"The source is \[DeepGlint", "The source is `x`"),
    ),
    "text-license": (
        ALL,
        carded(r"is under \*\*CC-BY-NC 4.0", "is under **MIT"),
        instead("CC-BY-NC 4.0", "MIT"),
    ),
    "text-chinese": (
        ALL,
        carded("许可证为 CC-BY-NC 4.0", "许可证为 MIT"),
        instead("许可证为 CC-BY-NC", "许可证为 MIT"),
    ),
    "text-lost": (
        ALL,
        carded(r"\u22127 \|", "\u22126 |"),
        instead("−7", "−6"),
    ),
    "text-verdict": (
        SCORED,
        carded(r"\| 0 \| 0 \|", "| 3 | 0 |"),
        instead(r"\| 0 \| 0 \|", r"\| 3 \| 0 \|"),
    ),
    "text-split": (
        ALL,
        carded(r"`validation` \| \d+", "`validation` | 9,999"),
        instead(r"`validation` \| \d+", r"`validation` \| 9,999"),
    ),
    "yaml-license": (
        ALL,
        carded("license: cc-by-nc-4.0", "license: mit"),
        instead(r"license: cc-by-nc-4\.0", "license: mit"),
    ),
    "yaml-source": (
        ALL,
        carded("- DeepGlint-AI/DanQing100M\n", "- ORG/OTHER\n"),
        instead("- DeepGlint-AI/DanQing100M", "- ORG/OTHER"),
    ),
    "yaml-config": (
        ALL,
        foreign(FOREIGN),
        instead("", "(config_name: more|data_files: hf://datasets/other)"),
    ),
    "yaml-part": (
        ALL,
        carded(r"configs:\n", f"configs:\n{OTHER_PART}"),
        instead("", "(config_name: changes|path: data/)"),
    ),
    "yaml-default": (
        ALL,
        carded(r"  default: true\n", ""),
        instead("default: true", ""),
    ),
    "yaml-folder": (
        ALL,
        carded(r"  default: true\n", "  default: true\n  data_dir: other\n"),
        instead("", "data_dir: other"),
    ),
    "yaml-files": (
        ALL,
        carded(r"(  - split: validation\n)", r"\1    path: https://a.test/x.parquet\n\1"),
        instead("path: ", r"path: https://a\.test/x\.parquet"),
    ),
    "yaml-info": (
        ALL,
        carded(r"(dataset_info:\n[ -] config_name: )\w+", r"\1more"),
        instead(r"config_name: \w+", "config_name: more"),
    ),
    "yaml-alias": (
        ALL,
        carded("license: cc-by-nc-4.0", "license: &a cc-by-nc-4.0\nlicense_name: *a"),
        instead("license: cc-by-nc", "license: &a cc-by-nc"),
    ),
    "yaml-large": (
        ALL,
        carded("license: ", "# " + "x" * (1 << 18) + "\nlicense: "),
        instead("license: cc-by-nc", "# xxx"),
    ),
    "ld-license": (
        ALL,
        described("license", value="mit"),
        instead("cc-by-nc-4.0", "mit", "croissant.json"),
    ),
    "ld-id": (ALL, described("@id", value="other"), instead("]", "],", "croissant.json")),
    "ld-file-id": (
        ALL,
        described("distribution", 0, "@id", value="other"),
        instead('"@id": ".*train', '"@id": "other', "croissant.json"),
    ),
    "ld-file-url": (
        ALL,
        described("distribution", 0, "contentUrl", value="https://a.test/x"),
        instead("contentUrl.*train-", r"https://a\.test/x", "croissant.json"),
    ),
    "ld-file-size": (
        ALL,
        described("distribution", 0, "contentSize", value="1 B"),
        instead(r'contentSize": "\d+ B', 'contentSize": "1 B', "croissant.json"),
    ),
    "ld-file-kind": (
        ALL,
        described("distribution", 0, "encodingFormat", value="x"),
        instead("application/x-", 'encodingFormat": "x', "croissant.json"),
    ),
    "ld-set-id": (
        ALL,
        described("distribution", -1, "@id", value="all"),
        instead('@id": "shards', '@id": "all', "croissant.json"),
    ),
    "ld-set": (
        ALL,
        described("distribution", -1, "includes", value="**"),
        instead(r'includes": "\w+/\*', r'includes": "\*\*', "croissant.json"),
    ),
    "ld-twice": (
        ALL,
        described("distribution", 0, "@id", value="shards"),
        instead("@id.*train", '@id": "shards', "croissant.json"),
    ),
    "ld-source": (
        ALL,
        described("description", value="pairs"),
        instead(
            "image–text pairs rebuilt from DeepGlint|Pairs: image", 'description": "pairs', "croissant.json"
        ),
    ),
    "ld-record": (
        TABLES,
        described("recordSet", 0, "@id", value="other"),
        instead(r'@id": "\w+"', '@id": "other', "croissant.json"),
    ),
    "ld-field": (
        TABLES,
        described("recordSet", 0, "field", 1, "@id", value="x/y"),
        instead(r'@id": "\w+/\w+', '@id": "x/y', "croissant.json"),
    ),
    "ld-column": (
        TABLES,
        described("recordSet", 0, "field", 1, "source", "extract", "column", value="other"),
        instead(r'column": "\w+', 'column": "other', "croissant.json"),
    ),
    "ld-deep": (ALL, lambda folder: deep(folder), instead(r"\{", r"\[\[", "croissant.json")),
}


def deep(folder: Path) -> None:
    (folder / "croissant.json").write_text("[" * 100_000)
    sealed(folder, "croissant.json")


@pytest.mark.parametrize("name", ALL)
def test_what_danqing_writes_holds(real: dict[str, Path], name: str) -> None:
    assert check(str(real[name]), "full", Console(quiet=True)).differences == []


@pytest.mark.parametrize("name", ["images", "manifest-unscored"])
def test_the_stages_before_the_manifest_are_part_of_the_card(tmp_path: Path, name: str) -> None:
    release = made.make(tmp_path, KINDS[name])
    made.seal(tmp_path, KINDS[name], funnel=release.funnel | {"before": two()})
    assert "| 2 length | 36.7 % | 25.0 % |" in (tmp_path / "README.md").read_text()
    assert documents_of(tmp_path, name) == []
    carded(r"\| crawl \| 400", "| crawl | 500")(tmp_path)
    assert "crawl | 400" in " ".join(documents_of(tmp_path, name))


def documents_of(folder: Path, name: str) -> list[str]:
    """What differs among release.json, card and Croissant, without a look at the shards."""
    return compared(folder, name)[0]


def compared(folder: Path, name: str) -> tuple[list[str], str | None]:
    """The same, and why the prose was not compared."""
    release, found = read(str(folder)), Differences()
    assert release is not None
    check_funnel(release, found)
    schema = None if KINDS[name].tar else made.schema_of(KINDS[name])
    prose = check_card(open_store(str(folder)), release, schema, found)
    return found.lines(), prose


def copy(source: Path, to: Path) -> Path:
    """A release to be edited: its shards are linked, and its documents copied."""
    folder = Path(shutil.copytree(source, to / "release", copy_function=os.link))
    for document in ("release.json", "README.md", "croissant.json"):
        (folder / document).unlink()
        shutil.copy(source / document, folder / document)
    return folder


@pytest.mark.parametrize(("name", "edit"), [(name, edit) for edit in EDITS for name in EDITS[edit][0]])
def test_a_single_edit_is_named(real: dict[str, Path], tmp_path: Path, name: str, edit: str) -> None:
    _, change, expected = EDITS[edit]
    folder = copy(real[name], tmp_path)
    change(folder)
    told = documents_of(folder, name)
    assert any(re.search(expected, line) for line in told), told


READ = [edit for edit in EDITS if edit.startswith(("yaml-", "ld-")) and edit not in ("ld-source",)]


@pytest.mark.parametrize("edit", READ)
def test_what_programs_read_is_compared_whatever_version_wrote_it(
    real: dict[str, Path], tmp_path: Path, edit: str
) -> None:
    folder = copy(real["images"], tmp_path)
    elsewhere(folder)
    EDITS[edit][1](folder)
    told, prose = compared(folder, "images")
    assert len(told) == 1, told
    document = "croissant.json" if edit.startswith("ld-") else "README.md"
    assert re.match(
        rf"{document}: (line [\d,]+ should have|cannot be read: (it should begin|an alias|an @id|max))",
        told[0],
    )
    assert prose == OTHER


OTHER = f"written by danqing 0.0.9, this is danqing {__version__}: its prose was not compared"


def elsewhere(folder: Path, version: str = "0.0.9") -> None:
    """Have it written by another version."""
    carded(r"Made with danqing .*\.", f"Made with danqing {version}.")(folder)
    said("danqing", value=version)(folder)


@pytest.mark.parametrize("name", ALL)
def test_prose_of_another_version_is_its_own(real: dict[str, Path], tmp_path: Path, name: str) -> None:
    folder = copy(real[name], tmp_path)
    elsewhere(folder)
    carded("# Made by hand", "# Made by others")(folder)
    described("description", value="from DeepGlint-AI/DanQing100M, in other words")(folder)
    assert compared(folder, name) == ([], OTHER)
    assert check(str(folder), "full", Console(quiet=True)).prose == OTHER


ADDED: dict[str, Callable[[Path], None]] = {
    "config": carded(r"configs:\n", f"configs:\n{FOREIGN}"),
    "size": carded(r"dataset_info:\n", "dataset_info:\n- config_name: more\n  dataset_size: 1\n"),
    "file": lambda folder: added(
        folder, {"@id": "more/x.parquet", "contentUrl": "more/x.parquet"}, "distribution"
    ),
    "table": lambda folder: added(folder, {"@id": "more", "field": []}, "recordSet"),
    "column": lambda folder: added(folder, {"@id": "images/more"}, "recordSet", 0, "field"),
}


def added(folder: Path, entry: dict[str, Any], *path: str | int) -> None:
    """croissant.json with one entry more in a list."""
    there = json.loads((folder / "croissant.json").read_text())
    for name in path:
        there = there[name]
    described(*path, value=[*there, entry])(folder)


@pytest.mark.parametrize("what", ADDED)
def test_what_a_later_version_added_is_no_difference(
    real: dict[str, Path], tmp_path: Path, what: str
) -> None:
    folder = copy(real["images"], tmp_path)
    elsewhere(folder, "99.1")
    ADDED[what](folder)
    told, prose = compared(folder, "images")
    later = "its prose, and what only the later one knows, was not compared"
    assert (told, prose) == ([], f"written by danqing 99.1, this is danqing {__version__}: {later}")


@pytest.mark.parametrize("edit", [one for one in READ if one != "yaml-config"])
def test_what_both_versions_know_is_compared(real: dict[str, Path], tmp_path: Path, edit: str) -> None:
    folder = copy(real["images"], tmp_path)
    elsewhere(folder, "99.1")
    EDITS[edit][1](folder)
    assert len(compared(folder, "images")[0]) == 1


def test_one_that_does_not_say_what_its_card_is_called(real: dict[str, Path], tmp_path: Path) -> None:
    """As of versions before this one, which may be called the same."""
    folder = copy(real["tars"], tmp_path)
    document = json.loads((folder / "release.json").read_text())
    del document["funnel"]["card"]
    (folder / "release.json").write_text(json.dumps(document))
    told = "release.json does not tell its title, as before this version: its prose was not compared"
    assert compared(folder, "tars") == ([], told)


def retyped(folder: Path) -> None:
    """A card that calls an int32 a string."""
    card = folder / "README.md"
    card.write_text(card.read_text().replace("dtype: int32", "dtype: string", 1))
    sealed(folder, "README.md")


def rewritten(folder: Path) -> None:
    """release.json with other reasons, and a card that says the same."""
    said("funnel", "reasons", value={"dns": 7, "http_4xx": 1})(folder)
    release = read(str(folder))
    assert release is not None
    card = readme.render(release, made.schema_of(KINDS["images"]), made.TITLE, made.REPOSITORY)
    (folder / "README.md").write_text(card)
    sealed(folder, "README.md")


def test_what_passes_is_not_claimed(real: dict[str, Path], tmp_path: Path) -> None:
    folder = copy(real["images"], tmp_path)
    rewritten(folder)
    assert documents_of(folder, "images") == []
    assert "options, reasons and pi0" in NOT


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("tars", retyped),
        ("images", described("version", value="9")),
        ("images", said("funnel", "options", value={"encode": "png"})),
        ("images", said("counts", "suspects", value=7)),
        ("manifest", carded("Ask", "Never ask")),
        ("manifest", said("funnel", "card", "title", value="Made by machine")),
    ],
)
def test_every_word_is_compared(
    real: dict[str, Path], tmp_path: Path, name: str, change: Callable[[Path], None]
) -> None:
    folder = copy(real[name], tmp_path)
    change(folder)
    assert any("should have" in line for line in documents_of(folder, name))


def test_terms_of_their_own(tmp_path: Path) -> None:
    terms = {"license": "other", "license_name": "ours", "license_link": "https://a.test/terms"}
    made.make(tmp_path, **terms)
    assert documents_of(tmp_path, "images") == []
    assert "license_name: ours" in (tmp_path / "README.md").read_text()
