#!/usr/bin/env bash
# mteb 2.26.24: results that lie in a ResultCache are taken for those of any task of the same name and model. A task whose
# metadata names another revision of its data, and whose labels are others, gets the scores of the first.
#
# Guess before the run: the revision of the data, which the results name, decides whether a task is run again.
# Seen:
#   mteb 2.26.24: labels of revision 1: accuracy 1.0; all labels changed, revision 2: accuracy 1.0 of revision 1; without the cache: 0.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mteb==2.26.24 torch==2.13.0
cat >"$folder/ask.py" <<'PYTHON'
import sys

import mteb
import numpy as np
from datasets import Dataset, DatasetDict
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.model_meta import ModelMeta

import torch


class Model:
    mteb_model_meta = ModelMeta.create_empty({"name": "one/axes", "revision": "1", "modalities": ["text"]})

    def encode(self, inputs, **_):
        return np.stack([np.eye(4, dtype=np.float32)[int(text)] for batch in inputs for text in batch["text"]])

    def similarity(self, one, other):
        return torch.as_tensor(one) @ torch.as_tensor(other).T

    similarity_pairwise = similarity


def asked(revision, shift, cache):
    class Axes(AbsTaskRetrieval):
        metadata = TaskMetadata(
            name="Axes", description="Axes.", dataset={"path": "none", "revision": revision}, type="Retrieval",
            category="t2t", eval_langs=["zho-Hans"], main_score="hit_rate_at_1", modalities=["text"],
        )

        def load_data(self, **_):
            pass

    task = Axes()
    rows = {"id": [f"{n}" for n in range(4)], "text": [f"{n}" for n in range(4)]}
    relevant = {f"{n}": {f"{(n + shift) % 4}": 1} for n in range(4)}
    task.dataset = {"default": {"test": {"queries": Dataset.from_dict(rows), "corpus": Dataset.from_dict(rows),
                                         "relevant_docs": relevant, "top_ranked": None}}}
    task.data_loaded = True
    found = mteb.evaluate(Model(), task, cache=cache, show_progress_bar=False, co2_tracker=False).task_results[0]
    return found.scores["test"][0]["hit_rate_at_1"], found.dataset_revision


cache = mteb.ResultCache(sys.argv[1])
(first, _), (second, of), (fresh, _) = asked("1", 0, cache), asked("2", 1, cache), asked("2", 1, None)
print(f"labels of revision 1: accuracy {first}; all labels changed, revision 2: accuracy {second} of revision {of}; "
      f"without the cache: {fresh}")
PYTHON
found=$("$folder/venv/bin/python" "$folder/ask.py" "$folder/results" 2>/dev/null | tail -n 1)
echo "mteb 2.26.24: $found"
[ "$found" = "labels of revision 1: accuracy 1.0; all labels changed, revision 2: accuracy 1.0 of revision 1; without the cache: 0.0" ] || { echo "the behaviour has changed" >&2; exit 1; }
