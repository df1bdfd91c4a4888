"""The command: what it asks, keeps and tells, whatever ends it, and what it refuses."""

from __future__ import annotations

import functools
import io
import json
import shutil
import signal
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from builder import cli
from builder.console import Console
from builder.demo import scene as scenes
from builder.errors import InputError, UsageError
from builder.evaluate.config import EvaluateConfig
from builder.evaluate.runner import Evaluated, run
from builder.towers import DualEncoder, Options, ToEmbed, find
from builder.towers.checkpoint import TINY
from tests.checkpoints import make_fixed
from tests.forked import Forked
from tests.passes import KILLED
from tests.report.reading import Page
from tests.runs import make_run
from tests.train.runs import make_web

from . import sets

SHAPES = list(scenes.SHAPES)[:3]
EACH = 6
BROKEN = b"\xff\xd8 no picture"
PROMPTS = "openai_templates = [lambda c: f'{c}', lambda c: f'一张{c}的图']\n"


@functools.cache
def drawn(number: int) -> tuple[bytes, scenes.Scene]:
    """A scene, and its file."""
    one = scenes.scene(number, 21, size=(72, 64))
    file = io.BytesIO()
    one.image.save(file, "JPEG", quality=85)
    return file.getvalue(), one


def shapes(classes: list[str] = SHAPES) -> list[tuple[bytes, int]]:
    """Pictures of three shapes."""
    found = []
    for label, shape in enumerate(classes):
        those = (number for number in count() if scenes.attributes(number, 21).shape == shape)
        found += [(drawn(number)[0], label) for number in islice(those, EACH)]
    return found


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of shapes that calls itself CIFAR-10, one picture of it broken; and 12 pictures with captions."""
    folder = tmp_path_factory.mktemp("benchmarks-cn")
    sets.elevater(folder / "cifar-10", SHAPES, [*shapes(), (BROKEN, 0)])
    pictures = {number: drawn(number)[0] for number in range(12)}
    texts = [(drawn(number)[1].recaption, [number]) for number in range(12)]
    sets.chinese_clip(folder / "MUGE", pictures, texts, split="valid")
    return folder


def evaluated(*inputs: Path | str, **options: Any) -> Evaluated:
    """An evaluation in this process."""
    known = {"device": "cpu", "draws": 50, "quiet": True, **options}
    found = run(EvaluateConfig(tuple(map(str, inputs)), **known), Console(quiet=True))
    assert isinstance(found, Evaluated)
    return found


def here(source: str, output: str) -> None:
    """An evaluation as tests.passes asks for it."""
    evaluated("tiny", source, output=output)


def results(folder: Path) -> dict[str, bytes]:
    """What was kept, by its place."""
    files = (path for path in folder.rglob("*") if path.is_file() and "evaluate" in path.parts)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.name != "plan.json"
    }


@pytest.fixture(scope="module")
def whole(benchmarks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an evaluation that nothing disturbed."""
    output = tmp_path_factory.mktemp("whole")
    here(str(benchmarks), str(output))
    return output


def test_the_figures_are_those_of_the_embeddings(benchmarks: Path, tmp_path: Path) -> None:
    model = make_fixed(tmp_path / "model")
    found = evaluated(model, benchmarks, output=str(tmp_path / "out"), prompts_from=str(prompts(tmp_path)))
    encoder = DualEncoder.load(find(str(model)), Options(device="cpu", decode="exact"), Console(quiet=True))
    pictures, labels = zip(*shapes(), strict=True)
    texts = [text for shape in SHAPES for text in (shape, f"一张{shape}的图")]
    (images,) = encoder.embed([ToEmbed(None, pictures)])
    (prompted,) = encoder.embed([ToEmbed(None, [None] * 6, (texts,))])
    vectors = prompted.captions[0].numpy().reshape(3, 2, -1).mean(axis=1)
    answers = (images.image.numpy() @ (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).T).argmax(
        axis=1
    )
    right = int((answers == np.array(labels)).sum())
    figures: Any = found.as_dict()["figures"]
    figures = figures["model"]
    assert figures["cifar10"]["top1"][0] == pytest.approx(right / (3 * EACH + 1))
    captions = [drawn(number)[1].recaption for number in range(12)]
    (both,) = encoder.embed([ToEmbed(None, [drawn(number)[0] for number in range(12)], (captions,))])
    cosines = both.image.numpy() @ both.captions[0].numpy().T
    own = cosines.diagonal()
    for way, axis in (("image_to_text", 1), ("text_to_image", 0)):
        ranks = (cosines >= (own[:, None] if axis else own)).sum(axis=axis)
        for most in (1, 5, 10):
            assert figures["muge"][f"{way} R@{most}"][0] == pytest.approx((ranks <= most).mean())


def prompts(folder: Path) -> Path:
    """A file of templates."""
    path = folder / "templates.py"
    path.write_text(PROMPTS, "utf-8")
    return path


def test_the_tables_tell_what_was_lost_and_what_is_not_there(
    benchmarks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "tiny", str(benchmarks), "--output", str(tmp_path / "out"), "--device", "cpu"]
    assert cli.main([*words, "--draws", "20"]) == 0
    out, err = capsys.readouterr()
    assert "CIFAR10" in out
    assert "1 picture that cannot be decoded, and count as wrong: test/0/00018.jpg" in out
    assert "MUGE: read from valid" in out
    assert "not there: Flickr30K-CN; from Flickr30k-CN.zip of hf.co/datasets/OFA-Sys/chinese-clip-eval" in err
    assert cli.main([*words, "--json", "--tasks", "cifar10", "--draws", "20"]) == 0
    told = json.loads(capsys.readouterr().out)
    figure, low, high = told["figures"]["tiny"]["cifar10"]["top1"]
    assert 0.5 < low <= figure <= high <= 1
    assert [*told["figures"]["tiny"]] == ["cifar10"]
    assert told["checkpoints"][0]["fingerprint"] == find("tiny").fingerprint


def test_a_baseline_answers_the_same_in_the_same_call(benchmarks: Path, tmp_path: Path) -> None:
    shutil.copytree(TINY, tmp_path / "tiny")  # of the same name, and made another
    made = make_fixed(tmp_path / "other" / "tiny")
    found = evaluated(tmp_path / "tiny", benchmarks, baseline=str(made), output=str(tmp_path / "out"))
    assert [one.baseline for one in found.subjects] == [False, True]
    names = [one.checkpoint.slug for one in found.subjects]
    assert [one.name for one in found.told.scored] == names
    (table, *_) = found.told.tables
    assert table.columns == ["", *names, "difference"]
    assert table.rows[0][-1].startswith("+")
    assert "[" in table.rows[0][-1]
    same = evaluated(tmp_path / "tiny", benchmarks, baseline="tiny", output=str(tmp_path / "out"))
    assert len(same.subjects) == 1  # one and the same checkpoint


def test_a_second_call_has_nothing_to_do(benchmarks: Path, whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*.parquet")}
    assert len(before) == 2
    here(str(benchmarks), str(whole))
    assert before == {path: path.stat().st_mtime_ns for path in whole.rglob("*.parquet")}


@pytest.fixture(scope="module")
def forked() -> Iterator[Forked]:
    """Interpreters that have torch loaded."""
    with Forked("builder.evaluate.runner", "builder.towers.stream", "torch", "transformers", "pytest") as one:
        yield one


@pytest.mark.parametrize("point", ["plan.json", "cifar10.parquet", "muge.parquet", "tables.json"])
def test_a_call_that_was_killed_goes_on(
    benchmarks: Path, whole: Path, tmp_path: Path, forked: Forked, point: str
) -> None:
    code = KILLED.format(module="tests.evaluate.test_runner")
    ended = forked(code, [str(benchmarks), str(tmp_path / "out"), point])
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    here(str(benchmarks), str(tmp_path / "out"))
    assert results(tmp_path / "out") == results(whole)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"evaluate", "ledger"}


def test_answers_do_not_depend_on_batches_and_threads(benchmarks: Path, whole: Path, tmp_path: Path) -> None:
    evaluated("tiny", benchmarks, output=str(tmp_path / "out"), batch_size=5, workers=1)
    for path in whole.rglob("*.parquet"):
        other = tmp_path / "out" / path.relative_to(whole)
        assert pq.read_table(other).equals(pq.read_table(path))


def test_what_answers_follow_from_decides_what_is_done_again(benchmarks: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"

    def written() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in output.rglob("*.parquet")}

    shutil.copytree(benchmarks, tmp_path / "cn")
    evaluated("tiny", tmp_path / "cn", output=str(output))
    first = written()
    other = prompts(tmp_path)
    evaluated("tiny", tmp_path / "cn", output=str(output), prompts_from=str(other))
    second = written()
    assert {name for name in first if first[name] != second[name]} == {"cifar10.parquet"}
    labels = tmp_path / "cn/cifar-10/label_cn.txt"
    labels.write_text(labels.read_text("utf-8").replace(SHAPES[0], "方块"), "utf-8")
    evaluated("tiny", tmp_path / "cn", output=str(output), prompts_from=str(other))
    assert written()["cifar10.parquet"] != second["cifar10.parquet"]
    third = written()
    evaluated("tiny", tmp_path / "cn", output=str(output), prompts_from=str(other), overwrite=True)
    assert not {*written().values()} & {*third.values()}


def test_classes_that_cannot_be_told_apart_are_named_and_wrong(tmp_path: Path) -> None:
    twice = [SHAPES[0], SHAPES[0].upper(), SHAPES[1]]
    sets.elevater(tmp_path / "cn/cifar-10", twice, [(body, label % 3) for body, label in shapes()])
    found = evaluated("tiny", tmp_path / "cn", output=str(tmp_path / "out"))
    (table,) = found.told.tables
    assert any(
        "2 classes cannot be told apart" in note and f"{SHAPES[0]} = {SHAPES[0]}" in note
        for note in table.notes
    )
    answers = pq.read_table(next((tmp_path / "out").rglob("cifar10.parquet"))).to_pydict()
    both = zip(answers["answer"], answers["truth"], strict=True)
    assert not any(answer == label for answer, (label,) in both if label < 2)


def test_a_trial_takes_some_pictures_of_every_class(
    benchmarks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = evaluated("tiny", benchmarks, output=str(tmp_path / "out"), limit=6)
    kept = {path.stem: pq.read_table(path) for path in (tmp_path / "out").rglob("*.parquet")}
    assert len(kept["cifar10"]) == 6
    assert {one for (one,) in kept["cifar10"]["truth"].to_pylist()} == {0, 1, 2}
    assert len(kept["muge"]) == 12
    assert any("a trial on 6 of 12 pictures" in note for table in found.told.tables for note in table.notes)
    words = ["evaluate", "tiny", str(benchmarks), "--output", str(tmp_path / "out"), "--dry-run", "--json"]
    assert planned(capsys, *words) == ["cifar10", "muge"]
    again = evaluated("tiny", benchmarks, output=str(tmp_path / "out"))
    assert not any("a trial" in note for table in again.told.tables for note in table.notes)
    assert planned(capsys, *words) == []
    assert planned(capsys, *words, "--overwrite") == ["cifar10", "muge"]
    assert planned(capsys, *words, "--prompts-from", str(prompts(tmp_path))) == ["cifar10"]


def planned(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """What a dry run says is left of tiny."""
    capsys.readouterr()
    assert cli.main([*words]) == 0
    todo: list[str] = json.loads(capsys.readouterr().out)["todo"]["tiny"]
    return todo


def test_leaks_without_benchmarks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name the folder of benchmarks too"):
        evaluated("tiny", output=str(tmp_path / "out"), leaks=str(tmp_path))


def test_a_trial_takes_the_place_of_no_result(benchmarks: Path, whole: Path) -> None:
    before = results(whole)
    evaluated("tiny", benchmarks, output=str(whole), limit=3)
    after = results(whole)
    assert {name: after[name] for name in before} == before
    assert {name.split("/")[2] for name in after.keys() - before.keys()} == {"trial-3"}
    for name in after.keys() - before.keys():
        (whole / name).unlink()


def test_figures_without_what_leaked_are_told_as_numbers(benchmarks: Path, tmp_path: Path) -> None:
    make_web(tmp_path / "root")
    found = evaluated("tiny", benchmarks, output=str(tmp_path / "out"), leaks=str(tmp_path / "root"))
    told: Any = found.as_dict()
    assert told["figures_without_leaks"] == told["figures"]  # nothing of it lies there
    assert any("0 of 12 pictures lie in" in line for line in told["told"])
    clean = [table for table in found.told.tables if "without the pictures" in table.title]
    assert [table.notes for table in clean] == [[], []]


def a_run(folder: Path, name: str, pairs: int = 1600) -> Path:
    """A run with one checkpoint."""
    made = make_run(folder / name)
    plan = json.loads((made / "ledger/train/plan.json").read_bytes())
    plan["rows"]["train"] = pairs
    plan["checkpoint"]["name"] = "siglip2-base-patch16-256"
    (made / "ledger/train/plan.json").write_text(json.dumps(plan))
    shutil.rmtree(made / "checkpoints")
    shutil.copytree(TINY, made / "checkpoints/step-00000050")
    config = made / "checkpoints/step-00000050/config.json"
    config.write_text(json.dumps(json.loads(config.read_bytes()) | {"danqing": name}))
    return made


def test_the_results_of_a_run_lie_in_it_and_are_told_without_the_benchmarks(
    benchmarks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [a_run(tmp_path, "small", 1000), a_run(tmp_path, "large", 2000)]
    evaluated(*runs, benchmarks, baseline="tiny")
    for run_, name in zip(runs, ("small", "large"), strict=True):
        (slug,) = (path.name for path in (run_ / "evaluate").iterdir() if path.name.startswith(name))
        assert slug.startswith(f"{name}-step-00000050-")
    assert (runs[0] / "evaluate" / find("tiny").slug / "muge.parquet").is_file()
    evaluated(runs[1], benchmarks, baseline=str(runs[0]))
    assert {path.name.split("-")[0] for path in (runs[1] / "evaluate").iterdir()} == {"large", "tables.json"}
    found = evaluated(*runs)
    scaling = found.told.tables[-1]
    assert [row[:3] for row in scaling.rows] == [
        ["small-step-00000050", "B/16", "1,000"], ["large-step-00000050", "B/16", "2,000"],
    ]  # fmt: skip
    assert "the paper's B/16, before → after" in found.told.tables[0].columns
    assert cli.main(["report", str(runs[0]), str(tmp_path / "run.html"), "--quiet"]) == 0
    page = Page((tmp_path / "run.html").read_text(encoding="utf-8"))
    assert page.tables["evaluation-1"][1][0].strip() == "CIFAR10"
    assert cli.main(["status", str(runs[0])]) == 0
    capsys.readouterr()


def test_a_dry_run_tells_what_is_there_and_touches_nothing(
    benchmarks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "tiny", str(benchmarks), "--output", str(tmp_path / "out"), "--dry-run"]
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert "cifar10       19 pictures" in out
    assert "tiny: cifar10, muge" in out
    assert not (tmp_path / "out").exists()
    assert cli.main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["benchmarks"] == {"cifar10": 19, "muge": 12}
    assert "flickr30k-cn" in told["missing"]


@pytest.mark.parametrize(
    ("inputs", "options", "said"),
    [
        (["tiny"], {}, r"tiny: is no run; say with --output"),
        (["CN", "OTHER", "tiny"], {}, r"name a checkpoint or a run, and at most one folder of benchmarks"),
        (["CN"], {}, r"name a checkpoint or a run"),
        (["tiny", "CN"], {"tasks": "cifar10,imagenet"}, r"--tasks imagenet: no such benchmark"),
        (["tiny", "tiny"], {}, r"name each checkpoint, run and folder once"),
        (["tiny", "CN"], {"draws": -1}, r"--draws -1: must be"),
    ],
)
def test_a_call_that_makes_no_sense_is_one_line(
    tmp_path: Path, benchmarks: Path, inputs: list[str], options: dict[str, Any], said: str
) -> None:
    (tmp_path / "other").mkdir()
    places = {"CN": benchmarks, "OTHER": tmp_path / "other"}
    known = {} if "no run" in said else {"output": str(tmp_path / "out")}
    with pytest.raises(UsageError, match=said):
        evaluated(*(places.get(one, one) for one in inputs), **known, **options)


def test_a_folder_without_benchmarks_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: holds none of the benchmarks; not there: Caltech101"):
        evaluated("tiny", tmp_path / "empty", output=str(tmp_path / "out"))
    with pytest.raises(InputError, match=r"tiny: nothing was evaluated yet"):
        evaluated("tiny", output=str(tmp_path / "out"))


def test_what_is_not_ours_is_left_alone(benchmarks: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine/evaluate"
    mine.mkdir(parents=True)
    (mine / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"no root of ours, .* it holds evaluate"):
        evaluated("tiny", benchmarks, output=str(tmp_path / "mine"))
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "evaluate", "thesis.txt"]
    evaluated("tiny", benchmarks, output=str(tmp_path / "out"))
    path = next((tmp_path / "out").rglob("muge.parquet"))
    path.write_bytes(b"another's")
    with pytest.raises(InputError, match=r"muge.parquet: no result of danqing evaluate"):
        evaluated("tiny", benchmarks, output=str(tmp_path / "out"))
    assert path.read_bytes() == b"another's"


def test_concepts_language_models_and_sets_of_ones_own(tmp_path: Path) -> None:
    concept = tmp_path / "concepts/五角星"
    concept.mkdir(parents=True)
    stars = [number for number in range(200) if scenes.attributes(number, 21).shape == "五角星"][:4]
    for number in stars:
        (concept / f"{number}.jpg").write_bytes(drawn(number)[0])
    (concept / "broken.jpg").write_bytes(BROKEN)
    (concept / "label.txt").write_text("五角星\n", "utf-8")
    (concept / "distractors.txt").write_text("圆形\n爱心\n", "utf-8")
    sets.elevater(tmp_path / "cn/shapes", SHAPES, shapes())
    asked = {
        "concepts": str(tmp_path / "concepts"),
        "lmm": str(tmp_path / "lmm"),
        "output": str(tmp_path / "out"),
    }
    model = make_fixed(tmp_path / "model")
    found = evaluated("tiny", tmp_path / "cn", baseline=str(model), **asked)
    shown = {table.title: table for table in found.told.tables}
    assert shown["Zero-shot classification, %"].rows[0][0] == "shapes"
    told = shown["New concepts, mean confidence and top-1 in %"]
    (row,) = told.rows
    assert row[0] == "五角星 (5 pictures)"
    assert 50 < float(row[1].split()[0]) <= 80 >= float(row[1].split()[1])  # the broken one counts as wrong
    assert told.notes == ["五角星: 1 cannot be decoded, and count as wrong"]
    made = sorted(path.relative_to(tmp_path / "lmm").as_posix() for path in (tmp_path / "lmm").rglob("*.sh"))
    assert made == sorted(
        f"{one.checkpoint.slug}/{name}.sh" for one in found.subjects for name in ("evaluate", "train")
    )
    assert not any("lmms-eval" in title for title in shown)


def test_captions_that_fill_the_tower_and_ties_are_told(tmp_path: Path) -> None:
    long = "一个红色的圆形" * 40
    same = drawn(0)[0]
    texts = [("一个红色的圆形", [0]), (long, [1]), ("蓝色的圆环", [2])]
    sets.chinese_clip(tmp_path / "cn/MUGE", {0: same, 1: same, 2: drawn(1)[0]}, texts)
    found = evaluated("tiny", tmp_path / "cn", output=str(tmp_path / "out"))
    notes = found.told.tables[0].notes
    assert "MUGE: 1 of 3 captions fill all positions of the text tower, and may be cut there" in notes
    assert "MUGE: 2 queries have a tie at their best, which counts against the checkpoint" in notes
