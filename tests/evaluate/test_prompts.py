"""Templates of our own and of a Chinese-CLIP checkout, and the vectors of classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import InputError
from builder.evaluate.prompts import CHINESE_CLIP, GENERAL, FloatArray, Prompts, class_vectors, own, read
from builder.evaluate.recipe import BENCHMARKS, ZERO_SHOT

ZERO = [one.name for one in BENCHMARKS.values() if one.family == ZERO_SHOT]
COUNTS = {"openai": 183, "flower": 32, "food": 21, "aircraft": 100, "eurosat": 24, "country211": 4}


def chinese_clip(folder: Path, counts: dict[str, int] | None = None) -> Path:
    """A file of the form of Chinese-CLIP's, with so many templates a list: of 183, four stand there twice."""
    lines = ['"""', "Templates.", '"""', ""]
    for name, count in {**(counts or COUNTS), "cars": 7}.items():
        lines += [f"{name}_templates = ["]
        lines += [
            f'    lambda c: f"{name}{number % 179}号，{{c}}的图",  # {number}' for number in range(count)
        ]
        lines += ["]", ""]
    path = folder / "cvinw_zeroshot_templates.py"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


# -- our own --------------------------------------------------------------------------------------------------------


def test_own_templates_name_the_class_once_and_are_few() -> None:
    for benchmark in ZERO:
        templates = own().of(benchmark)
        assert all(template.count("{}") == 1 for template in templates)
        assert 3 <= len({*templates}) == len(templates) <= 8


def test_sets_of_a_kind_of_their_own_have_templates_of_their_own() -> None:
    general = own().of("a benchmark that nobody knows")
    special = {name for name in ZERO if own().of(name) != general}
    assert special == {*ZERO} - {"caltech101", "voc2007"}
    assert own().lists.keys() - {GENERAL} <= {*ZERO}


def test_the_digest_is_of_the_templates_alone() -> None:
    one = Prompts("a", {GENERAL: ("{}",), "pets": ("一只{}",)})
    assert one.digest == Prompts("b", {"pets": ("一只{}",), GENERAL: ("{}",)}, ("said",)).digest
    assert one.digest != Prompts("a", {GENERAL: ("{}",), "pets": ("两只{}",)}).digest
    assert len(own().digest) == 64


# -- those of Chinese-CLIP ------------------------------------------------------------------------------------------


def test_the_six_lists_go_to_the_sets_that_its_script_asks_by_them(tmp_path: Path) -> None:
    prompts = read(str(chinese_clip(tmp_path)))
    assert prompts.name == "chinese-clip"
    special = {
        "flowers102": 32,
        "food101": 21,
        "aircraft": 100,
        "eurosat": 24,
        "resisc45": 24,
        "country211": 4,
    }
    assert {name: len(prompts.of(name)) for name in ZERO} == {**dict.fromkeys(ZERO, 183), **special}
    assert prompts.of("flowers102")[1] == "flower1号，{}的图"
    assert prompts.of("cars") == prompts.of("imagenet") == prompts.of("voc2007")


def test_counts_of_its_file_are_checked_and_told(tmp_path: Path) -> None:
    path = chinese_clip(tmp_path)
    (said,) = read(str(path)).said
    assert said == f"templates of {path}: 183, 32, 21, 100, 24, 4, as Chinese-CLIP's file has"
    assert len({*read(str(path)).of("mnist")}) == CHINESE_CLIP["openai_templates"][1] == 179


def test_a_file_with_other_counts_is_taken_and_said_to_be_another(tmp_path: Path) -> None:
    path = chinese_clip(tmp_path, {**COUNTS, "openai": 182, "food": 20})
    prompts = read(str(path))
    assert prompts.name == "cvinw_zeroshot_templates.py"
    (said,) = prompts.said
    assert said.endswith(
        "not Chinese-CLIP's: openai_templates 182 (179 distinct) instead of 183 (179), "
        "food_templates 20 (20 distinct) instead of 21 (21)"
    )


def test_a_file_with_the_general_list_alone_will_do(tmp_path: Path) -> None:
    prompts = read(str(written(tmp_path, 'openai_templates = [lambda name: f"{name}图", "一张{}"]')))
    assert prompts.of("flowers102") == prompts.of("memes") == ("{}图", "一张{}")


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "templates.py"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


FIRST = 'openai_templates = [\n    lambda c: f"{c}",\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("import os", 1),
        ("print('a')", 1),
        ("\nif True:\n    pass", 2),
        ("def f(c):\n    return c", 1),
        ("a = b = []", 1),
        ("a, b = [], []", 1),
        ("a.b = ['{}']", 1),
        ("a: list = ['{}']", 1),
        ("openai_templates = ('{}',)", 1),
        ("openai_templates = [f'{x}' for x in 'ab']", 1),
        ("openai_templates = []", 1),
        ("openai_templates = " + "[" + "'{}'," * 1001 + "]", 1),
        (FIRST + "]\nopenai_templates = ['{}']", 4),
        (FIRST + "    *others,\n]", 3),
        (FIRST + "    other,\n]", 3),
        (FIRST + "    f'{c}',\n]", 3),
        (FIRST + "    lambda c: c,\n]", 3),
        (FIRST + "    lambda c: '照片',\n]", 3),
        (FIRST + "    lambda c: '{}'.format(c),\n]", 3),
        (FIRST + "    lambda c: '%s' % c,\n]", 3),
        (FIRST + "    lambda c: f'照片',\n]", 3),
        (FIRST + "    lambda c: f'{c}和{c}',\n]", 3),
        (FIRST + "    lambda c: f'{c}{{}}',\n]", 3),
        (FIRST + "    lambda c: f'{d}',\n]", 3),
        (FIRST + "    lambda c: f'{c.upper()}',\n]", 3),
        (FIRST + "    lambda c: f'{print(c)}',\n]", 3),
        (FIRST + "    lambda c: f'{c!r}',\n]", 3),
        (FIRST + "    lambda c: f'{c:>9}',\n]", 3),
        (FIRST + "    lambda: f'{c}',\n]", 3),
        (FIRST + "    lambda c, d: f'{c}',\n]", 3),
        (FIRST + "    lambda c='a': f'{c}',\n]", 3),
        (FIRST + "    lambda *c: f'{c}',\n]", 3),
        (FIRST + "    lambda **c: f'{c}',\n]", 3),
        (FIRST + "    lambda *, c: f'{c}',\n]", 3),
        (FIRST + "    lambda c, /: f'{c}',\n]", 3),
        (FIRST + "    '没有名字',\n]", 3),
        (FIRST + "    b'{}',\n]", 3),
        (FIRST + "    '{}\\n第二行',\n]", 3),
        (FIRST + "    '{}\\ud800',\n]", 3),
        (FIRST + "    '{}" + "长" * 199 + "',\n]", 3),
        (FIRST + "    lambda c: f'{c', \n]", 3),
        (FIRST, 1),
        (b"openai_templates = ['\xff{}']", 1),
        (b"openai_templates = ['{}']\0", 1),
        ("a = " + "[" * 5000, 1),
    ],
)
def test_anything_else_is_refused_in_one_line_with_its_number(
    tmp_path: Path, text: str | bytes, line: int
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=rf"^{path}: line {line}: [^\n]+$"):
        read(str(path))


def test_nothing_of_the_file_is_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    path = written(tmp_path, f"openai_templates = [open({str(mark)!r}, 'w') or '{{}}']")
    with pytest.raises(InputError, match="line 1"):
        read(str(path))
    assert not mark.exists()


def test_a_file_without_the_general_list_too_large_or_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no list openai_templates"):
        read(str(written(tmp_path, "food_templates = ['{}']")))
    with pytest.raises(InputError, match="at most 262,144 bytes"):
        read(str(written(tmp_path, "#" * (1 << 18) + "\n")))
    for other in (tmp_path, tmp_path / "gone"):
        with pytest.raises(InputError, match="no file"):
            read(str(other))


# -- vectors --------------------------------------------------------------------------------------------------------


def ids(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Token ids of a tokenizer that knows x, y and 一, cuts a text after four characters, and pads it with blanks."""
    return np.array([["xy一 ".find(one) for one in f"{text:4.4}"] for text in texts])


class Table:
    """A text tower that knows some texts, and remembers what it was asked."""

    def __init__(self, known: dict[str, list[float]]) -> None:
        self.known, self.asked = known, list[str]()

    def __call__(self, texts: Sequence[str]) -> FloatArray:
        self.asked += texts
        return np.array([self.known[text] for text in texts], np.float32)


def ones(texts: Sequence[str]) -> FloatArray:
    return np.ones((len(texts), 2), np.float32)


def test_a_class_vector_is_the_mean_of_unit_vectors_made_a_unit_vector() -> None:
    tower = Table({"x": [3.0, 0.0], "一x": [0.0, 0.5], "y": [0.0, 2.0], "一y": [0.0, 1.0]})
    vectors, alike = class_vectors(tower, ids, ["x", "y"], ["{}", "一{}"])
    np.testing.assert_allclose(vectors, [[2**-0.5, 2**-0.5], [0, 1]], atol=1e-7)
    assert vectors.dtype == np.float32
    assert alike == []


def test_a_template_that_stands_there_twice_counts_twice_and_is_embedded_once() -> None:
    tower = Table({"x": [1.0, 0.0], "一x": [0.0, 1.0]})
    vectors, _ = class_vectors(tower, ids, ["x"], ["{}", "一{}", "{}"])
    np.testing.assert_allclose(vectors, [[2 / 5**0.5, 1 / 5**0.5]], atol=1e-7)
    assert tower.asked == ["x", "一x"]


def test_braces_in_the_name_of_a_class_are_its_own() -> None:
    tower = Table({"x{}": [1.0], "x{0}": [1.0]})
    class_vectors(tower, ids, ["{}", "{0}"], ["x{}"])
    assert tower.asked == ["x{}", "x{0}"]


def test_braces_of_a_template_are_its_own(tmp_path: Path) -> None:
    templates = read(str(written(tmp_path, 'openai_templates = [lambda c: f"{{{c}}}"]'))).of("pets")
    tower = Table({"{x}": [1.0]})
    class_vectors(tower, ids, ["x"], templates)
    assert tower.asked == ["{x}"]


@pytest.mark.parametrize(
    ("classes", "templates", "alike"),
    [
        (["x", "y", "xy"], ["{}", "一{}"], []),
        (["x", "y", "x"], ["{}"], [[0, 2]]),  # one name
        (["x", "甲", "y", "乙"], ["{}", "一{}"], [[1, 3]]),  # both unknown
        (["xxxxx", "xxxxy"], ["{}"], [[0, 1]]),  # both cut
        (["x", "y"], ["{}", "一一一一{}"], [[0, 1]]),  # cut in one template alone
        (["一x", "x"], ["{}", "一{}"], [[0, 1]]),  # a prompt of the one is another of the other
        (["x", "一x", "y", "一一x"], ["{}", "一{}"], [[0, 1, 3]]),  # the first and the last by the second
        (["甲", "x", "乙", "x"], ["{}"], [[0, 2], [1, 3]]),
    ],
)
def test_classes_with_a_prompt_or_a_token_sequence_in_common_are_named(
    classes: list[str], templates: list[str], alike: list[list[int]]
) -> None:
    assert class_vectors(ones, ids, classes, templates)[1] == alike


@given(st.lists(st.text("xy一甲乙", max_size=5), min_size=1, max_size=8))
def test_groups_of_classes_are_the_parts_that_hang_together(classes: list[str]) -> None:
    sequences = [{ids([text]).tobytes() for text in (name, f"一{name}")} for name in classes]
    near = np.array([[bool(one & other) for other in sequences] for one in sequences])
    for _ in classes:
        near = near @ near
    parts = {tuple(np.flatnonzero(row).tolist()) for row in near if row.sum() > 1}
    assert class_vectors(ones, ids, classes, ["{}", "一{}"])[1] == sorted(map(list, parts))


@pytest.mark.parametrize("lost", [[0.0, 0.0], [float("nan"), 1.0], [-1.0, 0.0]])
def test_a_class_without_a_direction_is_told(lost: list[float]) -> None:
    tower = Table({"x": [1.0, 0.0], "一x": [1.0, 0.0], "y": [1.0, 0.0], "一y": lost})
    with pytest.raises(InputError, match=r"^y: the text tower gives the class no direction"):
        class_vectors(tower, ids, ["x", "y"], ["{}", "一{}"])
