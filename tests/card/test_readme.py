"""A card says what its release holds, stock `datasets` loads by it, and what no one counted fails the build."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pyarrow as pa
import pytest
from datasets import load_dataset

from builder.card import words
from builder.card.metadata import LICENSES, check_license, size_category
from builder.card.readme import REPOSITORY, default_title, named, render, write_card
from builder.crawl.buckets import CANDIDATES
from builder.disk.release import Release
from builder.errors import InputError, VerificationError

from ..stage.test_funnels import two
from .published import Made, publish

MADE = {
    "manifest": Made(),
    "manifest-unscored": Made(validated=False, parts=False),
    "images": Made("images", dropped=True),
    "images-unscored": Made("images", validated=False, rows=(("train", 30),), shards=1),
    "tars": Made("images", tars=True),
}


@pytest.fixture(scope="module", params=MADE.values(), ids=list(MADE))
def published(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Release, pa.Schema]:
    folder = tmp_path_factory.mktemp("card") / "release"
    release, schema = publish(folder, request.param)
    write_card(folder, named(release, schema, "", "acme/danqing"), schema)
    return folder, release, schema


def rendered(tmp_path: Path, made: Made = MADE["manifest"], **changed: Any) -> str:
    release, schema = publish(tmp_path, made)
    return render(replace(release, **changed), schema, "A title")


def load(folder: Path, *arguments: Any, **options: Any) -> Any:
    return load_dataset(str(folder), *arguments, cache_dir=str(folder.parent / "cache"), **options)


def test_stock_datasets_loads_it(
    published: tuple[Path, Release, pa.Schema], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)
    folder, release, schema = published
    wanted = {split: one["kept"] for split, one in release.counts["splits"].items()}
    whole = load(folder)  # holds the numbers of the card against what it reads
    assert {split: len(rows) for split, rows in whole.items()} == wanted
    streamed = load(folder, streaming=True)
    assert {split: sum(1 for _ in rows.decode(False)) for split, rows in streamed.items()} == wanted
    columns = whole["train"].column_names
    assert columns == schema.names or "json" in columns
    if release.what == "images":
        assert whole["train"][0]["image" if "image" in columns else "jpg"].size == (16, 16)


def test_its_front_matter_is_what_the_files_hold(published: tuple[Path, Release, pa.Schema]) -> None:
    folder, release, schema = published
    data = huggingface_hub.DatasetCard.load(folder / "README.md", ignore_metadata_errors=False).data
    assert (data.license, data.language, data.size_categories) == ("cc-by-nc-4.0", "zh", ["n<1K"])
    configs = {one["config_name"]: one for one in data.configs}
    tars = any(path.endswith(".tar") for path in release.files)
    assert {*configs} == {release.what} if tars else {path.split("/")[0] for path in release.files}
    assert configs[release.what]["default"] is True
    filtered = release.what == "images" and release.validated and not tars
    assert configs[release.what].get("filters") == ([["kept", "==", True]] if filtered else None)
    infos = data.dataset_info if isinstance(data.dataset_info, list) else [data.dataset_info]
    (info,) = (one for one in infos if one["config_name"] == release.what)
    shards = [file for path, file in release.files.items() if path.startswith(f"{release.what}/")]
    assert info["download_size"] == sum(file["bytes"] for file in shards)
    told = {split["name"]: split["num_examples"] for split in info["splits"]}
    assert told == {split: one["kept"] for split, one in release.counts["splits"].items()}
    if not tars:
        features = datasets.Features._from_yaml_list(info["features"])
        assert features == datasets.Features.from_arrow_schema(schema)


def test_every_file_of_it_is_there(published: tuple[Path, Release, pa.Schema]) -> None:
    folder, _, _ = published
    body = (folder / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", body)
    assert len(shown) >= 4
    assert {*shown} == {f"figures/{path.name}" for path in (folder / "figures").iterdir()}
    assert json.loads((folder / "croissant.json").read_text(encoding="utf-8"))["@type"] == "sc:Dataset"
    assert not re.search("[\ue000\ue001]|{{|{%|None|nan|undefined", body)
    assert "\n\n\n" not in body


def test_the_same_release_gives_the_same_files(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        release, schema = publish(tmp_path / name)
        write_card(tmp_path / name, named(release, schema, "T", "a/b"), schema)
        made.append(
            {str(p.relative_to(tmp_path / name)): p.read_bytes() for p in (tmp_path / name).rglob("*.*")}
        )
    assert made[0] == made[1]


@pytest.mark.parametrize("what", ["manifest", "images"])
def test_the_snippets_run(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)
    folder = tmp_path / "release"
    release, schema = publish(folder, Made(what, dropped=what == "images"))
    write_card(folder, named(release, schema, ""), schema)
    body = (folder / "README.md").read_text(encoding="utf-8")
    code = body.partition("```python\n")[2].partition("```")[0]
    code = code.replace(REPOSITORY, str(folder)).replace(f', revision="{release.version}"', "")
    ran: dict[str, Any] = {}
    exec(code, ran)
    kept = release.counts["splits"]["train"]["kept"]
    assert sum(1 for _ in ran["texts"]) == kept
    assert 0 < sum(1 for _ in ran["shard"]) <= 30
    narrower = ran["large"] if what == "manifest" else ran["same"]
    assert 0 < sum(1 for _ in narrower) < kept


def test_each_column_is_told_of(tmp_path: Path) -> None:
    card = rendered(tmp_path)
    assert "| `tags` | list of string | carried from the source manifest" in card
    assert "| `code` | binary | 256-bit code" in card
    assert "| `fetched_at` | timestamp | when the file was fetched" in card


def test_a_column_without_a_description_fails(tmp_path: Path) -> None:
    release, schema = publish(tmp_path)
    with pytest.raises(VerificationError, match="column novelty has no description"):
        render(release, schema.append(pa.field("novelty", pa.int8())), "T")


def test_the_funnel_is_told_step_by_step(tmp_path: Path) -> None:
    release, _ = publish(tmp_path)
    card = rendered(tmp_path)
    rows = re.findall(
        r"^\| (?:\*\*|`)([^*`]+)(?:\*\*|`:.*?) \| −?([\d,]+) \| [<>\d. ]+ % \|$", card, re.MULTILINE
    )
    told = {name: int(pairs.replace(",", "")) for name, pairs in rows}
    lost = {**release.funnel["reasons"], **release.funnel["left_out"], "removed": 4, "pending": 10}
    assert {name: told[name] for name in lost} == lost
    whole, fetched, left = (
        told[f"{name}"]
        for name in ("rows of the source manifest", "pairs with a picture", "pairs in this release")
    )
    assert left == release.counts["kept"] == whole - sum(lost.values())
    assert fetched == release.funnel["fetched"]


def test_the_stages_before_the_manifest_are_told_beside_the_paper(tmp_path: Path) -> None:
    release, _ = publish(tmp_path / "one")
    bare = rendered(tmp_path / "two")
    assert "row of the paper" not in bare
    assert "danqing changes no caption" in bare
    card = rendered(tmp_path / "three", funnel=release.funnel | {"before": two(times=10)})
    rows = [line for line in card.splitlines() if line.startswith("|")]
    assert "| crawl | 4,000 | 2,000 | 50.0 % |" in rows
    assert "| refine | 2,000 | 1,520 | 76.0 % |" in rows
    assert "| 1 language | 40.0 % | 20.0 % |" in rows
    asked = release.funnel["manifest"] - release.funnel["pending"]
    here = f"{1 - release.funnel['fetched'] / asked:.1%}".replace("%", " %")
    assert f"| 3 download success | {here} | 32.7 % |" in rows
    assert "danqing cleaned them before" in card
    assert "danqing changes no caption" not in card
    assert "danqing filters no content" not in card


@pytest.mark.parametrize("name", ["manifest", "fetched", "removed"])
def test_a_funnel_that_does_not_add_up_fails(name: str, tmp_path: Path) -> None:
    release, schema = publish(tmp_path)
    wrong = replace(release, funnel=release.funnel | {name: release.funnel[name] + 1})
    with pytest.raises(VerificationError, match="does not add up"):
        render(wrong, schema, "T")


def test_one_that_was_not_validated_says_so(tmp_path: Path) -> None:
    card = rendered(tmp_path, Made(validated=False))
    assert "**This release was not re-validated.**" in card
    assert "尚未重新验证" in card
    assert "| verdict |" not in card
    assert "score.png" not in card
    assert "`score`" not in card


def test_the_bound_is_told_in_words(tmp_path: Path) -> None:
    card = rendered(tmp_path)
    assert "at most 1 % times the share of junk among all that were tested" in card
    assert "(pi0) is 7.3 %, so no more than 0.073 % of those kept" in card
    assert "Pairs with a score below 0.05 were dropped too." in card


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"tested": 0, "threshold": 0.0, "bound": 0.0, "pi0": 0.0}, "No pair had to be tested"),
        ({"threshold": 0.0}, "At this level no tested pair was kept."),
    ],
    ids=["untested", "none"],
)
def test_other_decisions(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    release, _ = publish(tmp_path)
    decision = release.funnel["decision"] | changed | {"min_score": None}
    card = rendered(tmp_path, funnel=release.funnel | {"decision": decision})
    assert said in card
    assert "**The bound.**" not in card
    assert "were dropped too" not in card


def test_flagged_pairs_are_no_part_of_it(tmp_path: Path) -> None:
    card = rendered(tmp_path, Made("images", dropped=True))
    assert "with 72 pairs kept and 8 more that are flagged `kept = false`" in card


def test_licence_and_its_history(tmp_path: Path) -> None:
    inherited = rendered(tmp_path)
    assert "This release is under **CC-BY-NC 4.0**, inherited from its source." in inherited
    assert "On 2026-03-25 its authors moved to CC-BY-NC 4.0" in inherited
    stated = rendered(tmp_path, license="cc-by-4.0")
    assert "under **CC-BY 4.0**, as its maintainer states" in stated
    assert "other terms than the source has today" in stated
    other = rendered(tmp_path, license="odc-by", source="laion/relaion400m")
    assert "under **odc-by**, as its maintainer states" in other
    assert "2026-03-25" not in other
    assert "2601.10305" not in other


def test_revisions_newest_first_and_once(tmp_path: Path) -> None:
    release, schema = publish(tmp_path)
    card = render(release, schema, "T")
    table = re.findall(r"^\| `(v[\d.]+)` \| ([\d-]+) \| 80 \| (.+) \|$", card, re.MULTILINE)
    assert table == [
        ("v2026.11", "2026-11-20", "17 `drifted`, 3 `removed`"),
        ("v2026.08", "2026-08-01", "none"),
    ]
    same = replace(release, version="v2026.08")
    assert render(same, schema, "T").count("| `v2026.08` |") == 1


def test_takedown_tells_how_to_ask_and_how_long_the_list_is(tmp_path: Path) -> None:
    assert "The removal list has 3 entries." in rendered(tmp_path)
    assert "The removal list is empty so far." in rendered(tmp_path / "b", Made(parts=False))
    assert f"https://huggingface.co/datasets/{REPOSITORY}/discussions" in rendered(tmp_path)
    release, _ = publish(tmp_path)
    ignoring = release.funnel | {"options": {"ignore_opt_out": True}}
    assert "were ignored by who made this rebuild" in rendered(tmp_path, funnel=ignoring)


def test_without_a_ledger_it_claims_nothing(tmp_path: Path) -> None:
    release, _ = publish(tmp_path)
    card = rendered(tmp_path, funnel=release.funnel | {"options": {}})
    assert "this card cannot tell how the pictures were fetched" in card
    assert "User-Agent" not in card


def test_one_day_and_one_host(tmp_path: Path) -> None:
    release, _ = publish(tmp_path)
    one = {"fetched": ["2026-11-02T00:00:00.000Z"] * 2}
    one |= {"hosts": {"distinct": 1, "pairs": 80, "largest": {"a.test": 80}}}
    card = rendered(tmp_path, counts=release.counts | one)
    assert "fetched the pictures on 2026-11-02 and re-validated" in card
    assert "The pictures come from 1 host; the largest has 100 % of the pairs." in card


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"encode": "original", "resize": "none"}, "`sha256` is of the file as fetched."),
        ({"encode": "png", "resize": "none"}, "in their own size, as PNG."),
        (
            {"encode": "webp", "quality": 80, "resize": "border", "image_size": 512, "upscale": True},
            "resized (border) to 512 pixels, as WEBP of quality 80.",
        ),
    ],
    ids=["original", "png", "webp"],
)
def test_how_pictures_are_stored(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    release, _ = publish(tmp_path, Made("images"))
    assert said in rendered(tmp_path, Made("images"), funnel=release.funnel | {"options": options})


def test_a_text_cannot_break_the_table(tmp_path: Path) -> None:
    release, schema = publish(tmp_path)
    odd = schema.set(3, pa.field("a|b\nc", pa.string()))
    assert "| `a\\|b c` | string |" in render(release, odd, "T")


@pytest.mark.parametrize(
    "changed",
    [{"version": ""}, {"danqing": ""}, {"model": {"name": None, "fingerprint": "f"}}],
    ids=["version", "danqing", "model"],
)
def test_an_empty_field_fails(changed: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="is empty"):
        rendered(tmp_path, **changed)


def test_a_missing_number_fails(tmp_path: Path) -> None:
    release, _ = publish(tmp_path)
    decision = release.funnel["decision"] | {"bound": None}
    with pytest.raises(VerificationError, match="should have a number"):
        rendered(tmp_path, funnel=release.funnel | {"decision": decision})


def test_a_license_that_the_hub_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"license cc-by-nc: no identifier of the Hub; there are .*cc-by-nc-4\.0"
    ):
        rendered(tmp_path, license="cc-by-nc")
    for identifier in ("cc-by-4.0", "cc-by-nc-4.0", "odc-by", "apache-2.0"):
        check_license(identifier)
    assert all(re.fullmatch(r"[a-z0-9.+-]+", one) for one in LICENSES)


def test_size_categories() -> None:
    words = [size_category(pairs) for pairs in (0, 999, 1000, 99_999_999, 100_000_000, 10**9)]
    assert words == ["n<1K", "n<1K", "1K<n<10K", "10M<n<100M", "100M<n<1B", "1B<n<10B"]


def test_titles_by_the_source(tmp_path: Path) -> None:
    release, _ = publish(tmp_path)
    assert default_title(release) == "DanQing100M, verified manifest"
    assert default_title(replace(release, what="images", source="x")) == "x, images"


def test_the_columns_of_candidates_are_told_and_consent_is_only_what_a_page_said() -> None:
    names = ["url", "alt_text", "recaption", *words.CRAWLED, "mine", "key"]
    schema = pa.schema([pa.field(name, pa.string()) for name in names])
    told = {field.name: text for field, text in words.described("manifest", schema)}
    assert told["consent"].startswith(
        "what the page said of its use on the day it was crawled, and no more than that"
    )
    assert told["mine"] == words.CARRIED
    assert set(words.CRAWLED) == set(CANDIDATES.names) - {"url", "alt_text"}
    less = pa.schema([field for field in schema if field.name != "warc"])  # somebody else's manifest
    assert {field.name: text for field, text in words.described("manifest", less)}["host"] == words.CARRIED
