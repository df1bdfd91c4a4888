"""A retrieval task of mteb whose embeddings are there already, run as mteb runs any: arrays in, its scores out.

What mteb takes for a text is the number of a row. To be imported by a Python that has mteb: `make peers mteb`.
"""

from __future__ import annotations

from typing import Any

import mteb
import numpy as np
from datasets import Dataset, disable_progress_bars
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.model_meta import ModelMeta
from mteb.types import PromptType

disable_progress_bars()
DEFAULT = AbsTaskRetrieval.k_values


class Ready:
    """A model of mteb that looks its embeddings up."""

    def __init__(self, queries: Any, items: Any) -> None:
        self.rows = {PromptType.query: queries, PromptType.document: items}
        self.mteb_model_meta = ModelMeta.create_empty({"modalities": ["text"]})

    def encode(self, inputs: Any, *, prompt_type: Any, **_: Any) -> Any:
        """The rows that the texts name."""
        return self.rows[prompt_type][[int(text) for batch in inputs for text in batch["text"]]]

    def similarity(self, one: Any, other: Any) -> Any:
        """Cosines."""
        import torch

        return torch.as_tensor(one) @ torch.as_tensor(other).T

    similarity_pairwise = similarity  # of the protocol, and not asked for


class Rows(AbsTaskRetrieval):
    """Queries and items that are numbers of rows."""

    metadata = TaskMetadata(
        name="Rows", description="Rows of arrays.", dataset={"path": "none", "revision": "none"},
        type="Retrieval", category="t2t", eval_langs=["eng-Latn"], main_score="ndcg_at_10", modalities=["text"],
    )  # fmt: skip

    def load_data(self, **_: Any) -> None:
        """Nothing is left to load."""


def scores(queries: Any, items: Any, pairs: Any, k_values: tuple[int, ...] = DEFAULT) -> dict[str, float]:
    """What mteb says of arrays (q, d), (m, d) and pairs (p, 2)."""
    task = Rows()
    task.k_values, task._top_k = k_values, max(k_values)
    relevant: dict[str, dict[str, int]] = {}
    for query, item in np.asarray(pairs).tolist():
        relevant.setdefault(f"q{query}", {})[f"d{item}"] = 1
    task.dataset = {
        "default": {
            "test": {
                "queries": Dataset.from_dict({"id": [f"q{n}" for n in range(len(queries))],
                                              "text": [str(n) for n in range(len(queries))]}),
                "corpus": Dataset.from_dict({"id": [f"d{n}" for n in range(len(items))],
                                             "text": [str(n) for n in range(len(items))]}),
                "relevant_docs": relevant, "top_ranked": None,
            }
        }
    }  # fmt: skip
    task.data_loaded = True
    found = mteb.evaluate(Ready(queries, items), task, cache=None, show_progress_bar=False, co2_tracker=False)
    told: dict[str, float] = found.task_results[0].scores["test"][0]
    return told
