"""Our figures beside those of mteb, CLIP_benchmark and scikit-learn, on the same arrays.

    make parity                  # which is: make peers mteb, and this by its Python

In: the arrays of tests/evaluate/parity.py. Out: a table, and tests/evaluate/parity.json, which the tests hold ours to
wherever the others are not installed. Where no two cosines are equal all must be the same, and it ends with 1 if not;
where they are, each tool breaks ties in its own way, and ours is the least: every wrong item as near comes first.
11-point mAP is no figure of any of the three.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import measure  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from clip_benchmark.metrics.zeroshot_classification import accuracy  # noqa: E402
from clip_benchmark.metrics.zeroshot_retrieval import batchify, recall_at_k  # noqa: E402
from mteb.abstasks.zeroshot_classification import AbsTaskZeroShotClassification  # noqa: E402
from mteb.similarity_functions import similarity  # noqa: E402
from mtebtask import scores  # noqa: E402
from sklearn.metrics import balanced_accuracy_score, roc_auc_score  # noqa: E402

from tests.evaluate.parity import CLOSE, KEPT, MOST, RETRIEVAL, WAYS, classified, ours, scored  # noqa: E402

Told = dict[str, dict[str, float]]  # tool -> figure -> number


def retrieval(told: Told) -> None:
    """R@k of mteb, hit_rate_at_k, and of CLIP_benchmark, recall_at_k > 0."""
    for case, made in RETRIEVAL.items():
        for way in WAYS:
            queries, items, pairs = made().way(way)
            theirs = scores(queries, items, pairs, MOST)
            cosines = torch.from_numpy(queries) @ torch.from_numpy(items).T
            right = torch.zeros_like(cosines, dtype=torch.bool)
            right[tuple(pairs.T)] = True
            for most in MOST:
                name = f"{case}, {way}, R@{most}"
                told["mteb"][name] = theirs[f"hit_rate_at_{most}"]
                found = batchify(recall_at_k, cosines, right, 64, "cpu", k=most)
                told["CLIP_benchmark"][name] = (found > 0).float().mean().item()


def classification(told: Told) -> None:
    """Accuracy, mean per class and AUC."""
    pictures, classes, label = classified()
    probabilities = similarity(classes, pictures)
    theirs = AbsTaskZeroShotClassification._calculate_scores(None, label, probabilities.numpy())
    told["mteb"] |= {"top-1": float(theirs["accuracy"]), "mean per class": float(theirs["recall"])}
    told["scikit-learn"]["mean per class"] = float(balanced_accuracy_score(label, probabilities.argmax(1)))
    told["scikit-learn"]["AUC"] = float(roc_auc_score(*reversed(scored())))
    try:
        (told["CLIP_benchmark"]["top-1"],) = accuracy(probabilities, torch.from_numpy(label))
    except TypeError as error:  # float() of an array of one number, which NumPy 2.4 refuses
        print(f"CLIP_benchmark's accuracy with NumPy {np.__version__}: TypeError: {error}")


def main() -> int:
    """Run all, print the table, keep what the others gave."""
    told: Told = {"mteb": {}, "CLIP_benchmark": {}, "scikit-learn": {}}
    retrieval(told)
    classification(told)
    own, missed, rows = ours(), [], []
    for name, mine in own.items():
        theirs = [tool.get(name) for tool in told.values()]
        rows.append([name, f"{mine:.4f}", *("" if one is None else f"{one:.4f}" for one in theirs)])
        apart = [one - mine for one in theirs if one is not None]
        if any(one < -CLOSE if name.startswith("tied") else abs(one) > CLOSE for one in apart):
            missed.append(f"{name}: ours {mine}, theirs {theirs}")
    print(measure.table("the same arrays", ["", "ours", *told], rows))
    versions = {name: version(name) for name in ("mteb", "clip-benchmark", "scikit-learn")}
    KEPT.write_text(json.dumps({"versions": versions, "figures": told}, indent=1) + "\n")
    return measure.verdict(missed, [])


if __name__ == "__main__":
    sys.exit(main())
