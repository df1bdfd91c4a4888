"""Prompts: what a class is called in a sentence before the text tower reads it, and the vector that a class gets.

    own()       danqing's templates: a general list, and one for each set of pictures that is of a kind of its own
    read(path)  those of a Chinese-CLIP checkout, cn_clip/eval/cvinw_zeroshot_templates.py: parsed, never run

templates ─▶ Prompts ─▶ class_vectors: (classes, dim), and the classes that the text tower cannot tell apart

A class vector is the mean of the normalised vectors of its prompts, normalised again; a template that stands in a list
twice counts twice. Both are as in cn_clip/eval/zeroshot_evaluation.py.
"""

from __future__ import annotations

import ast
import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import InputError, first_line

FloatArray = npt.NDArray[np.float32]
HOLE = "{}"  # where a template has the name of the class
GENERAL = ""  # key of the list for every benchmark that has none of its own
LARGEST = 1 << 18  # bytes of a file of templates; Chinese-CLIP's has 19,106
MANY, LONG = 1000, 200  # templates of a list, characters of one
# What zeroshot_evaluation.py takes of its file: the list, its templates and how many of them differ, and the benchmarks
# that are asked by it. The other ten lists of that file are used by nothing.
CHINESE_CLIP: Mapping[str, tuple[int, int, tuple[str, ...]]] = {
    "openai_templates": (183, 179, (GENERAL,)),
    "flower_templates": (32, 32, ("flowers102",)),
    "food_templates": (21, 21, ("food101",)),
    "aircraft_templates": (100, 100, ("aircraft",)),
    "eurosat_templates": (24, 24, ("eurosat", "resisc45")),
    "country211_templates": (4, 4, ("country211",)),
}
_SMALL = ("{}", "{}小图", "一张模糊的{}图片", "很小的{}照片", "看不太清的{}")
_ABOVE = ("{}卫星图", "{}遥感影像", "从高空俯瞰的{}", "航拍{}", "卫星拍下的一片{}")
_OWN: Mapping[str, tuple[str, ...]] = {
    GENERAL: ("{}", "{}图片", "{}实拍图", "一张{}的照片", "照片里有{}", "图中拍的是{}", "{}近景", "远处的{}"),
    "cifar10": _SMALL,
    "cifar100": _SMALL,
    "country211": ("{}", "在{}拍的照片", "{}街景", "{}风光", "摄于{}", "去{}旅行时看到的景象"),
    "dtd": ("{}", "{}纹理", "{}的表面", "表面呈{}的样子", "{}材质贴图"),
    "food101": ("{}", "美食{}", "一份{}", "端上桌的{}", "{}，一道菜"),
    "mnist": ("数字{}", "手写数字{}", "黑底白字的数字{}", "有人用笔写下的{}"),
    "flowers102": ("{}", "盛开的{}", "一朵{}", "{}，花卉摄影", "公园里的{}开花了"),
    "pets": ("{}", "一只{}", "宠物{}", "家里养的{}", "{}，猫狗品种"),
    "resisc45": _ABOVE,
    "eurosat": _ABOVE,
    "cars": ("{}", "{}汽车", "一辆{}", "停在路边的{}", "二手{}实车图"),
    "memes": ("{}", "网上流传的{}", "配了文字的图，{}"),
    "fer2013": ("{}", "{}的表情", "一张{}的脸", "这个人看上去很{}"),
    "aircraft": ("{}", "{}飞机", "一架{}", "停机坪上的{}", "飞行中的{}，机型照片"),
    "gtsrb": ("交通标志，{}", "{}标志", "路边的{}标志牌", "路牌上是{}"),
    "kitti": ("{}", "行车记录仪画面，{}", "开车时拍的照片，{}"),
    "pcam": ("{}", "{}切片", "显微镜下的{}", "病理图片，{}"),
    "sst2": ("{}", "{}的影评", "截图里是一条{}的评论", "一段文字，态度是{}"),
}


@dataclass(frozen=True, slots=True)
class Prompts:
    """Lists of templates, each with one {}, by benchmark, and GENERAL. said: where they come from, for people."""

    name: str
    lists: Mapping[str, tuple[str, ...]]
    said: tuple[str, ...] = ()

    def of(self, benchmark: str) -> tuple[str, ...]:
        """The templates of a benchmark: its own list, or the general one."""
        return self.lists.get(benchmark, self.lists[GENERAL])

    @property
    def digest(self) -> str:
        """SHA-256 of all lists, whatever they are called."""
        return hashlib.sha256(json.dumps({**self.lists}, sort_keys=True).encode()).hexdigest()


def own() -> Prompts:
    """The templates of danqing."""
    return Prompts("danqing", _OWN)


def read(path: str) -> Prompts:
    """The templates of a file of Chinese-CLIP's form: lists of `lambda c: f"...{c}..."` or of strings with one {}.

    Only the lists that CHINESE_CLIP names are kept; a benchmark without one gets the general list. Raises InputError
    where there is no such file, or anything else in it, with the line.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name, line, templates in _lists(path, _tree(path)):
        if name in found:
            raise _refused(path, line, f"{name} is there for the second time")
        found[name] = templates
    if "openai_templates" not in found:
        raise InputError(
            f"{path}: has no list openai_templates; give Chinese-CLIP's file, or one of its form"
        )
    lists = {key: found[name] for name in CHINESE_CLIP if name in found for key in CHINESE_CLIP[name][2]}
    counted = {name: (len(found.get(name, ())), len({*found.get(name, ())})) for name in CHINESE_CLIP}
    other = [
        f"{name} {counted[name][0]} ({counted[name][1]} distinct) instead of {count} ({distinct})"
        for name, (count, distinct, _) in CHINESE_CLIP.items()
        if counted[name] != (count, distinct)
    ]
    counts = ", ".join(str(count) for count, _ in counted.values())
    said = f"not Chinese-CLIP's: {', '.join(other)}" if other else f"{counts}, as Chinese-CLIP's file has"
    return Prompts(Path(path).name if other else "chinese-clip", lists, (f"templates of {path}: {said}",))


def class_vectors(
    embed: Callable[[Sequence[str]], FloatArray],
    ids: Callable[[Sequence[str]], npt.NDArray[np.integer]],
    classes: Sequence[str],
    templates: Sequence[str],
) -> tuple[FloatArray, list[list[int]]]:
    """The unit vectors of c classes (c, dim), and groups of classes that share a prompt or a token sequence.

    embed: k texts to their vectors (k, dim); ids: their token ids (k, positions). Each text is
    embedded once. Raises InputError for a class that gets no direction.
    """
    prompts = [template.replace(HOLE, name) for name in classes for template in templates]
    texts = [*dict.fromkeys(prompts)]
    place = {text: row for row, text in enumerate(texts)}
    rows = np.array([place[prompt] for prompt in prompts], np.intp).reshape(len(classes), len(templates))
    vectors = embed(texts)
    with np.errstate(invalid="ignore"):  # a vector of zeros has no direction
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    means = np.stack([vectors[row].mean(axis=0, dtype=np.float64) for row in rows])
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    if lost := [name for name, length in zip(classes, lengths, strict=True) if not length > 0]:
        raise InputError(f"{lost[0]}: the text tower gives the class no direction; check the checkpoint")
    _, sequence = np.unique(ids(texts), axis=0, return_inverse=True)
    return (means / lengths).astype(np.float32), _alike(sequence.reshape(-1)[rows])


def _alike(sequences: npt.NDArray[np.intp]) -> list[list[int]]:
    """Groups of the classes that share a number, directly or by others; sequences: numbers of each class (c, t)."""
    groups: list[tuple[list[int], set[int]]] = []
    for number, row in enumerate(sequences.tolist()):
        near = [group for group in groups if not group[1].isdisjoint(row)]
        groups = [group for group in groups if group[1].isdisjoint(row)]
        members = sorted(number for group in near for number in group[0])
        groups.append(([*members, number], {*row}.union(*(group[1] for group in near))))
    return sorted(members for members, _ in groups if len(members) > 1)


def _refused(path: str, line: int, why: str) -> InputError:
    return InputError(
        f"{path}: line {line}: {why}; templates are read from lists of lambdas of one f-string alone"
    )


def _tree(path: str) -> ast.Module:
    file = Path(path)
    if not file.is_file() or file.stat().st_size > LARGEST:
        raise InputError(
            f"{path}: no file of at most {LARGEST:,} bytes; give Chinese-CLIP's file of templates"
        )
    try:
        with warnings.catch_warnings(action="ignore"):  # of escapes that mean nothing
            return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _refused(path, getattr(error, "lineno", None) or 1, f"no Python: {first_line(error)}") from None


def _lists(path: str, tree: ast.Module) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    """Name, line and templates of each list of a file; InputError for whatever else stands there."""
    for node in tree.body:
        match node:
            case ast.Expr(ast.Constant(str())):
                pass
            case ast.Assign([ast.Name(name)], ast.List(elements)):
                if not 0 < len(elements) <= MANY:
                    raise _refused(
                        path, node.lineno, f"{name} has {len(elements):,} templates, not 1 to {MANY:,}"
                    )
                yield name, node.lineno, tuple(_template(path, element) for element in elements)
            case _:
                raise _refused(path, node.lineno, f"{type(node).__name__} is no list of templates")


def _template(path: str, element: ast.expr) -> str:
    """The template of `lambda c: f"...{c}..."`, or of a string with one {}."""
    match element:
        case ast.Constant(str(text)):
            pass
        case ast.Lambda(ast.arguments([], [ast.arg(name)], None, [], [], None, []), ast.JoinedStr(parts)):
            text = "".join(_part(path, part, name) for part in parts)
        case _:
            raise _refused(path, element.lineno, "no lambda of one name and one f-string")
    if text.count(HOLE) != 1 or len(text) > LONG or not text.isprintable():
        raise _refused(
            path, element.lineno, f"not one line of at most {LONG} characters with the name once in it"
        )
    return text


def _part(path: str, part: ast.expr, name: str) -> str:
    match part:
        case ast.Constant(str(text)):
            return text
        case ast.FormattedValue(ast.Name(used), -1, None) if used == name:
            return HOLE
        case _:
            raise _refused(path, part.lineno, "an f-string that holds more than the name")
