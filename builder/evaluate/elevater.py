"""Benchmarks with classes as Chinese-CLIP's ELEVATER package has them.

label_cn.txt (line n: class n, from 0) and test/<id>/ (id: 0-9, or three digits) ─▶ Labelled
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from .archives import Tree, texts, whole
from .recipe import AUC, MAP, Benchmark
from .tasks import PICTURES, Labelled, identity, pictures_of, shown, sized

LABELS = "label_cn.txt"
CLASS = re.compile("[0-9]|[0-9]{3}", re.ASCII)
LONGEST = 1024  # bytes of a class name


def read(benchmark: Benchmark, tree: Tree) -> Labelled:
    """The benchmark in a folder or zip. InputError where its classes and its pictures do not belong together."""
    classes = _classes(tree)
    said = []
    if benchmark.classes not in (0, len(classes)):
        if benchmark.elevater == AUC:
            raise InputError(
                f"{tree.where}/{LABELS}: {len(classes)} classes, where an area under the ROC curve is of two; "
                "fetch it again"
            )
        said.append(f"{LABELS} has {len(classes)} classes, where the published set has {benchmark.classes}")
    numbers = _numbers(tree, len(classes))
    inside = [path for path in tree.sizes if path.startswith("test/")]
    paths = [path for path in inside if path.count("/") > 1 and PICTURES.search(path)]
    if not paths:
        raise InputError(f"{tree.where}: no pictures in test/<class>; unzip or fetch it again")
    if len(paths) < len(inside):
        said.append(
            f"{len(inside) - len(paths):,} files in test/ that are no pictures of a class are passed over"
        )
    groups = _copies(tree, paths) if benchmark.elevater == MAP else [[path] for path in paths]
    truth = np.zeros((len(groups), len(classes)), np.bool_)
    for row, group in enumerate(groups):
        truth[row, [numbers[path.split("/")[1]] for path in group]] = True
    if empty := [name for number, name in enumerate(classes) if not truth[:, number].any()]:
        said.append(f"{len(empty)} classes without a picture: {shown(empty)}")
    if benchmark.elevater == MAP:
        several = int((truth.sum(1) > 1).sum())
        said.append(f"{several:,} of {len(groups):,} pictures are of several classes")
    names = [group[0] for group in groups]
    digest = identity(benchmark.name, classes, names, sized(tree, names), truth.nonzero()[1].tolist())
    return Labelled(benchmark, names, pictures_of(tree, names), digest, said, classes, truth)


def _classes(tree: Tree) -> list[str]:
    """The names of the classes; InputError where one has none."""
    classes = [*texts(tree, LABELS, LONGEST)]
    while classes and not classes[-1]:
        classes.pop()
    if not classes or not all(classes):
        line = classes.index("") + 1 if classes else 1
        raise InputError(f"{tree.where}/{LABELS}: line {line} is empty, so class {line - 1} has no name")
    return classes


def _numbers(tree: Tree, classes: int) -> dict[str, int]:
    """The class of each folder in test/; InputError where there is no such class, or two folders are one."""
    folders = dict.fromkeys(
        path.split("/")[1] for path in tree.sizes if path.startswith("test/") and path.count("/") > 1
    )
    for name in folders:
        if not CLASS.fullmatch(name) or int(name) >= classes:
            raise InputError(
                f"{tree.where}/test/{name!a}: no such class; {LABELS} has {classes} lines, for "
                "folders 0 to 9 or 000 to 999"
            )
    numbers = {name: int(name) for name in folders}
    if twice := [name for name, number in numbers.items() if name != f"{number}" and f"{number}" in numbers]:
        raise InputError(f"{tree.where}/test: {int(twice[0])} and {twice[0]} are one class; keep one folder")
    return numbers


def _copies(tree: Tree, paths: Sequence[str]) -> list[list[str]]:
    """Paths of equal files together: a picture of several classes lies in the folder of each."""
    many = Counter(tree.sizes[path] for path in paths)
    groups: dict[str, list[str]] = {}
    with tree.reading() as read:
        for path in paths:
            alone = many[tree.sizes[path]] == 1
            key = path if alone else hashlib.sha256(whole(read(path))).hexdigest()
            groups.setdefault(key, []).append(path)
    return [*groups.values()]
