"""The checkpoint in mteb: its Chinese image-text tasks, and our benchmarks as tasks of it, ready to offer upstream.

    DualEncoder, benchmarks found here ─▶ FOLDER/results/<model>/<revision>/<task>.json, as mteb writes them

mteb ranks by ndcg@10; its hit_rate_at_k is the paper's R@k, but for ties, which it breaks by name. It knows one
sentence a class where we have many, and no picture that cannot be read: such a one is put last, and told. Pictures
come from their bytes, through the same decoders as everywhere here, and never through mteb's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..console import Console
from ..errors import first_line, need
from ..towers import DualEncoder, ToEmbed
from .recipe import RANKS
from .tasks import Captioned, Labelled, Task

if TYPE_CHECKING:
    from torch import Tensor

THEIRS = ("XM3600T2IRetrieval", "XM3600I2TRetrieval", "XFlickr30kCoT2IRetrieval", "XFlickr30kCoI2TRetrieval")
SUBSET, LANGUAGE, SPLIT = "zh", "zho-Hans", "test"
SENTENCE = "一张{}的照片"
TOGETHER = 512  # rows that are read at once
LOWEST = -2.0  # cosine of what could not be read: below any


@dataclass(frozen=True, slots=True)
class Harnessed:
    """Scores of one task by mteb's names, its main one among them; problem: why there are none."""

    task: str
    scores: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""


def run(encoder: DualEncoder, tasks: Sequence[Task], folder: str, console: Console) -> list[Harnessed]:
    """Run mteb's Chinese tasks and those that `tasks` make; what lies in `folder` of this checkpoint is not run again.

    A task whose data cannot be had is told as a problem. Raises EnvironmentProblem without mteb.
    """
    need("evaluate", ["mteb"])
    import datasets
    import mteb

    datasets.disable_progress_bars()  # one for every map that mteb makes
    model, cache = Wrapped(encoder), mteb.ResultCache(folder)
    told = [_run(model, mteb.get_task(name, hf_subsets=[SUBSET]), cache, console) for name in THEIRS]
    for task in tasks:
        with tempfile.TemporaryDirectory(prefix="danqing-mteb-") as scratch:
            told += [
                one if isinstance(one, Harnessed) else _run(model, one, cache, console)
                for one in made_of(task, scratch)
            ]
    return told


def _run(model: Wrapped, task: Any, cache: Any, console: Console) -> Harnessed:
    """One task of mteb: its pictures and texts are fetched where they are not here."""
    import mteb

    name, meta = task.metadata.name, model.mteb_model_meta
    console.info(f"mteb: {name}")
    kept = cache.load_task_result(name, meta)
    # Another set under the same name: mteb itself would take the old scores for its own.
    if kept is None or kept.dataset_revision != task.metadata.dataset["revision"]:
        try:
            task.load_data()
        except Exception as error:  # datasets, the Hub and each task have classes of their own
            return Harnessed(
                name, problem=f"its data cannot be had: {first_line(error)}; fetch them with a network"
            )
        model.unread = 0
        quiet = {"show_progress_bar": False, "co2_tracker": False}
        batch = {"batch_size": model.encoder.batch_size, "show_progress_bar": False}
        mteb.evaluate(model, task, cache=cache, encode_kwargs=batch, overwrite_strategy="always", **quiet)
        task.unload_data()
        if model.unread:
            console.warn(f"mteb: {name}: {model.unread:,} pictures could not be read")
        kept = cache.load_task_result(name, meta)
    (scores,) = kept.scores[SPLIT]  # as they were written, which rounds them
    return Harnessed(name, {key: float(one) for key, one in scores.items() if isinstance(one, float | int)})


class Wrapped:
    """A checkpoint as a model of mteb (EncoderProtocol). unread: pictures that could not be decoded."""

    def __init__(self, encoder: DualEncoder) -> None:
        from mteb.models.model_meta import ModelMeta

        self.encoder, self.unread = encoder, 0
        checkpoint = encoder.checkpoint
        self.mteb_model_meta = ModelMeta.create_empty(
            {
                "name": checkpoint.model if checkpoint.revision else f"local/{checkpoint.name}",
                "revision": checkpoint.revision or checkpoint.fingerprint,
                "modalities": ["image", "text"],
                "embed_dim": encoder.dim,
                "framework": ["PyTorch"],
                "similarity_fn_name": "cosine",
            }
        )

    def encode(self, inputs: Any, **_: Any) -> npt.NDArray[np.float32]:
        """Embeddings (n, dim) of a loader of pictures, or else of texts; NaN of what could not be read."""
        import datasets

        rows = inputs.dataset
        if pictures := "image" in rows.column_names:
            rows = rows.cast_column("image", datasets.Image(decode=False))
        column = "image" if pictures else "text"
        works = (
            _work(rows[at : at + TOGETHER][column], pictures=pictures) for at in range(0, len(rows), TOGETHER)
        )
        parts = [np.empty((0, self.encoder.dim), np.float32)]
        for answer in self.encoder.embed(works):
            part = (answer.image if pictures else answer.captions[0]).cpu().numpy()
            if pictures:
                part[~answer.intact] = np.nan
                self.unread += int((~answer.intact).sum())
            parts.append(part)
        return np.concatenate(parts)

    def similarity(self, one: Any, other: Any) -> Tensor:
        """Cosines (n, m), LOWEST where there is none: torch's topk would take NaN for the largest of all."""
        import torch

        return (torch.as_tensor(one) @ torch.as_tensor(other).T).nan_to_num(nan=LOWEST)

    def similarity_pairwise(self, one: Any, other: Any) -> Tensor:
        """The cosine of each row with that of the other (n,)."""
        import torch

        return (torch.as_tensor(one) * torch.as_tensor(other)).sum(-1).nan_to_num(nan=LOWEST)


def _work(values: Sequence[Any], *, pictures: bool) -> ToEmbed:
    if pictures:
        return ToEmbed(None, [one["bytes"] or Path(one["path"]).read_bytes() for one in values])
    return ToEmbed(None, [None] * len(values), (values,))


def made_of(task: Task, scratch: str) -> Iterator[Any]:
    """The tasks of mteb that a benchmark makes, their data in `scratch`; Harnessed where it makes none."""
    pictures = _stored(task, Path(scratch) / "pictures.arrow")
    if isinstance(task, Captioned):
        yield _retrieval(task, "t2i", pictures)
        yield _retrieval(task, "i2t", pictures)
    elif isinstance(task, Labelled) and (task.truth.sum(axis=1) == 1).all():
        yield _zero_shot(task, pictures)
    else:
        yield Harnessed(
            task.benchmark.name, problem="pictures of several classes: mteb's zero-shot takes one each"
        )


def _stored(task: Task, path: Path) -> Any:
    """The pictures as a Dataset that lies on the disk, with ids p0, p1, ..."""
    import datasets

    features = datasets.Features({"id": datasets.Value("string"), "image": datasets.Image()})
    schema = features.arrow_schema
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for at, body in enumerate(task.pictures()):
            image = [{"bytes": body, "path": None}]
            writer.write_batch(pa.RecordBatch.from_pydict({"id": [f"p{at}"], "image": image}, schema))
    return datasets.Dataset.from_file(str(path))


def _retrieval(task: Captioned, category: str, pictures: Any) -> Any:
    import datasets
    from mteb.abstasks.retrieval import AbsTaskRetrieval

    texts = datasets.Dataset.from_dict(
        {"id": [f"t{at}" for at in range(len(task.texts))], "text": task.texts}
    )
    queries, items = (texts, pictures) if category == "t2i" else (pictures, texts)
    relevant: dict[str, dict[str, int]] = {}
    for picture, text in task.pairs.tolist():
        query, item = (f"t{text}", f"p{picture}") if category == "t2i" else (f"p{picture}", f"t{text}")
        relevant.setdefault(query, {})[item] = 1
    data = {"queries": queries, "corpus": items, "relevant_docs": relevant, "top_ranked": None}
    suffix = f"{category.upper()}Retrieval"
    modalities = ["text", "image"] if category == "t2i" else ["image", "text"]
    metadata = _metadata(
        task, suffix, type="Any2AnyRetrieval", category=category, modalities=modalities, main_score="ndcg_at_10",
        task_subtypes=["Image Text Retrieval"], description=f"{task.benchmark.title}: find by Chinese captions."
        if category == "t2i" else f"{task.benchmark.title}: find the Chinese captions of pictures.",
    )  # fmt: skip
    return _made(AbsTaskRetrieval, metadata, {"default": {SPLIT: data}}, k_values=RANKS)


def _zero_shot(task: Labelled, pictures: Any) -> Any:
    import datasets
    from mteb.abstasks.zeroshot_classification import AbsTaskZeroShotClassification

    sentences = [SENTENCE.format(name) for name in task.classes]
    data = pictures.add_column("label", task.truth.argmax(axis=1))
    metadata = _metadata(
        task, "ZeroShot", type="ZeroShotClassification", category="i2t", modalities=["image", "text"],
        main_score="accuracy", task_subtypes=["Object recognition"],
        description=f"{task.benchmark.title}: Chinese classes, each asked for by one sentence as “{SENTENCE}”.",
    )  # fmt: skip
    found = datasets.DatasetDict({SPLIT: data})
    return _made(AbsTaskZeroShotClassification, metadata, found, get_candidate_labels=lambda _: sentences)


def _metadata(task: Task, suffix: str, **more: Any) -> Any:
    """What is known of a benchmark; what its owners do not say stays None. The revision is of what was found here."""
    from mteb.abstasks.task_metadata import TaskMetadata

    name = "".join(part[:1].upper() + part[1:] for part in task.benchmark.name.split("-"))
    return TaskMetadata(
        name=f"{name}{suffix}", dataset={"path": task.benchmark.where, "revision": task.identity},
        eval_splits=[SPLIT], eval_langs=[LANGUAGE], **more,
    )  # fmt: skip


def _made(kind: Any, metadata: Any, dataset: Any, **more: Any) -> Any:
    """A task of a kind whose data are here already."""
    fields = {"metadata": metadata, "load_data": lambda *_, **__: None, **more}
    task = type(metadata.name, (kind,), fields)()
    task.dataset, task.data_loaded = dataset, True
    return task
