"""What decides a root: options an old plan lacks count as their defaults; how text was read is recorded."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.crawl.recipe import RECIPE
from builder.disk import ledger
from builder.disk.ledger import Tally
from builder.errors import InputError, UsageError
from builder.rebuild.config import RebuildConfig
from builder.rebuild.plan import make_plan
from builder.rebuild.units import STAGE
from builder.stage import plan as plans
from builder.stage.funnels import write_funnel

TEXTS = {
    "m.csv": 'url,text\nu,"a"\n',
    "m.tsv": "url\ttext\nu\ta\n",
    "m.jsonl": '{"url":"u","text":"a","n":[{"x":1.5}],"none":{}}\n',
}


def manifest(folder: Path, name: str) -> RebuildConfig:
    """A manifest, and the options to rebuild it."""
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(pa.table({"url": ["u"], "text": ["a"]}), path)
    else:
        path.write_text(TEXTS[name])
    return RebuildConfig(input=str(path), output=str(folder / "root"))


def begun(config: RebuildConfig, change: Callable[[dict[str, Any]], object] = lambda plan: None) -> None:
    """Begin a root, and change what its plan.json says."""
    ledger.write_plan(config.output, STAGE, make_plan(config).document)
    path = Path(config.output) / "ledger" / "rebuild" / "plan.json"
    plan = json.loads(path.read_text())
    change(plan)
    path.write_text(json.dumps(plan))


def file_of(plan: dict[str, Any]) -> dict[str, Any]:
    (file,) = plan["manifest"]["files"].values()
    found: dict[str, Any] = file
    return found


def test_new_options_are_part_of_a_plan_only_where_they_are_not_the_default() -> None:
    assert not {"quoting", "encoding"} & plans.content(RebuildConfig()).keys()
    assert plans.content(RebuildConfig(quoting="none", encoding="gbk")).items() >= {
        ("quoting", "none"),
        ("encoding", "gbk"),
    }


def test_plan_says_how_text_was_read(tmp_path: Path) -> None:
    read = {}
    for name in TEXTS:
        config = manifest(tmp_path, name)
        read[name] = file_of(make_plan(config).document)["read"]
    assert read["m.csv"] == {
        "quoting": "double",
        "encoding": "utf-8",
        "types": [["url", "string"], ["text", "string"]],
    }
    assert read["m.tsv"]["quoting"] == "none"
    assert read["m.jsonl"] == {
        "quoting": None,
        "encoding": "utf-8",
        "types": [
            ["url", "string"],
            ["text", "string"],
            ["n", {"list": [["x", "double"]]}],
            ["none", "null"],
        ],
    }


@pytest.mark.parametrize("name", [*TEXTS, "m.parquet"])
def test_a_root_goes_on_with_what_its_plan_says(tmp_path: Path, name: str) -> None:
    config = manifest(tmp_path, name)
    begun(config)
    again = make_plan(config)
    assert again == dataclasses.replace(make_plan(config), manifest=again.manifest)
    begun(config, lambda plan: file_of(plan).pop("read", None))
    if name == "m.parquet":
        assert make_plan(config).config_hash == again.config_hash
    else:
        with pytest.raises(
            InputError, match=rf"root: its plan\.json does not say that .*{name} was read as text is now"
        ):
            make_plan(config)


@pytest.mark.parametrize(
    ("name", "key", "other"), [("m.csv", "quoting", "none"), ("m.jsonl", "encoding", "gbk")]
)
def test_a_plan_of_text_that_was_read_otherwise_is_refused(
    tmp_path: Path, name: str, key: str, other: str
) -> None:
    config = manifest(tmp_path, name)
    begun(config, lambda plan: file_of(plan)["read"].update({key: other}))
    with pytest.raises(InputError, match=r"was read as text is now \(quoting, encoding, types\)"):
        make_plan(config)


def test_an_old_root_that_read_other_rows_is_refused_for_that(tmp_path: Path) -> None:
    config = manifest(tmp_path, "m.tsv")
    Path(config.input).write_text('url\ttext\nu\t"a\nv\tb"\n')

    def change(plan: dict[str, Any]) -> None:
        file_of(plan).pop("read")
        file_of(plan)["rows"] = 1
        plan["config_hash"] = "0" * 16

    begun(config, change)
    with pytest.raises(
        InputError, match=r"root: its plan\.json does not say that .* was read as text is now"
    ):
        make_plan(config)


def test_a_plan_that_does_not_tell_types_is_one_line(tmp_path: Path) -> None:
    config = manifest(tmp_path, "m.jsonl")
    for types in ("x", [["url", "decimal"]], [["url"]], None, 3):
        begun(
            dataclasses.replace(config, overwrite=True),
            lambda plan, types=types: file_of(plan)["read"].update(types=types),
        )  # type: ignore[misc]
        with pytest.raises(InputError, match=r"plan\.json"):
            make_plan(config)


def test_another_quoting_or_encoding_is_refused_by_name(tmp_path: Path) -> None:
    config = manifest(tmp_path, "m.tsv")
    begun(config)
    with pytest.raises(
        UsageError, match="--quoting 'auto' then, 'double' now; --encoding 'utf-8' then, 'gbk' now"
    ):
        make_plan(dataclasses.replace(config, quoting="double", encoding="gbk"))


def test_the_funnel_of_candidates_goes_into_the_plan_and_decides_nothing(tmp_path: Path) -> None:
    candidates = tmp_path / "candidates"
    for folder in ("data", "ledger/crawl"):
        (candidates / folder).mkdir(parents=True)
    pq.write_table(
        pa.table({"url": ["u", "v"], "alt_text": ["a", "b"]}),
        candidates / "data/train-00000-of-00001.parquet",
    )
    (candidates / "ledger/crawl/plan.json").write_text("{}")
    config = RebuildConfig(input=str(candidates), output=str(tmp_path / "root"))
    bare = make_plan(config)
    assert "funnels" not in bare.document
    write_funnel(str(candidates), "crawl", RECIPE, Tally(5, 2, {"no_text": 3}))
    begun(config, lambda plan: plan.pop("funnels"))  # as older builds wrote it
    plan = make_plan(config)
    assert plan.config_hash == bare.config_hash
    assert plan.manifest.notes == bare.manifest.notes
    (told,) = plan.document["funnels"]
    assert (told["stage"], told["pairs"], told["kept"]) == ("crawl", 5, 2)
    begun(config)
    (candidates / "funnel.json").write_text("{")
    assert make_plan(config).funnels == plan.funnels  # of the root, whatever became of the folder
    (note,) = make_plan(dataclasses.replace(config, overwrite=True)).manifest.notes
    assert note.startswith(f"{candidates}/funnel.json: no funnel of danqing")
