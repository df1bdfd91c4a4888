"""A checkpoint in mteb: our benchmarks give there what they give here, and what cannot be had is a line of its own."""

import importlib.util
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builder.console import Console
from builder.errors import EnvironmentProblem
from builder.evaluate import harness, metrics
from builder.evaluate.metrics import UNFOUND, ranks
from builder.evaluate.recipe import BENCHMARKS, RANKS
from builder.evaluate.tasks import Captioned, Labelled
from builder.towers import DualEncoder, Options, ToEmbed, find
from tests.checkpoints import make_fixed
from tests.pictures import numbered

MTEB = importlib.util.find_spec("mteb") is not None
with_mteb = pytest.mark.skipif(
    not MTEB, reason="mteb is not installed: pip install 'danqing[evaluate]', or make parity"
)
quietly = pytest.mark.filterwarnings("ignore")  # its imports warn of much
PICTURES = [numbered(at) for at in range(12)]
TEXTS = [f"第{at}张图片" for at in range(20)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> DualEncoder:
    folder = make_fixed(tmp_path_factory.mktemp("checkpoint") / "fixed")
    options = Options(device="cpu", dtype="float32", workers=1, compile="off")
    return DualEncoder.load(find(str(folder)), options, Console(quiet=True))


def captioned(pictures: list[bytes] = PICTURES) -> Captioned:
    pairs = np.stack([np.arange(20) % 12, np.arange(20)], axis=1)
    names = [str(at) for at in range(len(pictures))]
    return Captioned(
        BENCHMARKS["coco-cn"], names, lambda: iter(pictures), "ab" * 32, texts=TEXTS, pairs=pairs
    )


def labelled(truth: np.ndarray[Any, Any], identity: str = "cd" * 32) -> Labelled:
    names, classes = [str(at) for at in range(12)], ["猫", "狗", "数字七"]
    task = BENCHMARKS["cifar10"]
    return Labelled(task, names, lambda: iter(PICTURES), identity, classes=classes, truth=truth)


def embedded(encoder: DualEncoder, texts: list[str]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    (pictures,) = encoder.embed([ToEmbed(None, PICTURES)])
    (words,) = encoder.embed([ToEmbed(None, [None] * len(texts), (texts,))])
    return pictures.image.numpy(), words.captions[0].numpy()


Ran = Callable[..., dict[str, harness.Harnessed]]


@pytest.fixture
def ran(encoder: DualEncoder, tmp_path: Path) -> Ran:
    """Run, and what came of each task; said: what the console was told."""

    def run(*tasks: Any, said: io.StringIO | None = None) -> dict[str, harness.Harnessed]:
        console = Console(stream=said) if said else Console(quiet=True)
        return {one.task: one for one in harness.run(encoder, tasks, str(tmp_path), console)}

    return run


@with_mteb
@quietly
def test_our_benchmarks_give_in_mteb_what_they_give_here(
    ran: Ran, encoder: DualEncoder, tmp_path: Path
) -> None:
    truth = np.eye(3, dtype=bool)[np.arange(12) % 3]
    found = ran(captioned(), labelled(truth))
    assert [*found] == [*harness.THEIRS, "CocoCnT2IRetrieval", "CocoCnI2TRetrieval", "Cifar10ZeroShot"]
    pictures, texts = embedded(encoder, TEXTS)
    pairs = captioned().pairs
    for name, rank in (
        ("CocoCnT2IRetrieval", ranks(texts, pictures, pairs[:, ::-1]).rank),
        ("CocoCnI2TRetrieval", ranks(pictures, texts, pairs).rank),
    ):
        for most in RANKS:
            (ours,) = metrics.recall(rank, np.ones((1, len(rank))), most)
            assert found[name].scores[f"hit_rate_at_{most}"] == pytest.approx(ours, abs=1e-5)
        assert "ndcg_at_10" in found[name].scores
    _, classes = embedded(encoder, [harness.SENTENCE.format(one) for one in ("猫", "狗", "数字七")])
    right = ranks(pictures, classes, np.argwhere(truth)).rank == 1
    assert found["Cifar10ZeroShot"].scores["accuracy"] == pytest.approx(right.mean())

    # What cannot be had without a network is one line, and the rest was run.
    for name in harness.THEIRS:
        assert found[name].problem.startswith("its data cannot be had: ")
        assert "\n" not in found[name].problem
        assert not found[name].scores

    # mteb's own files, of this checkpoint and of what was found here; the second time they are read.
    files = {path.stem: path for path in tmp_path.glob("results/*/*/*.json") if path.stem in found}
    assert sorted(files) == sorted([*found][4:])
    written = json.loads(files["CocoCnT2IRetrieval"].read_bytes())
    assert written["dataset_revision"] == "ab" * 32
    assert files["CocoCnT2IRetrieval"].parent.name == encoder.checkpoint.fingerprint
    before = {path: path.stat().st_mtime_ns for path in files.values()}
    for name, again in ran(captioned(), labelled(truth)).items():
        assert again.scores == pytest.approx(dict(found[name].scores), nan_ok=True)
    assert {path: path.stat().st_mtime_ns for path in files.values()} == before


@with_mteb
@quietly
def test_a_picture_that_cannot_be_read_is_never_found_and_told(ran: Ran, encoder: DualEncoder) -> None:
    said = io.StringIO()
    found = ran(captioned([b"no picture", *PICTURES[1:]]), said=said)
    assert "CocoCnT2IRetrieval: 1 pictures could not be read" in said.getvalue()
    pictures, texts = embedded(encoder, TEXTS)
    pictures[0] = np.nan
    rank = ranks(texts, pictures, captioned().pairs[:, ::-1]).rank
    assert (rank == UNFOUND).sum() == 2
    scores = found["CocoCnT2IRetrieval"].scores
    assert scores["hit_rate_at_10"] == pytest.approx((rank <= 10).mean(), abs=1e-5)


@with_mteb
@quietly
def test_a_benchmark_that_changed_is_run_again(ran: Ran) -> None:
    right = np.arange(12) % 3
    found = [
        ran(labelled(np.eye(3, dtype=bool)[label], identity))["Cifar10ZeroShot"].scores["accuracy"]
        for label, identity in (
            (right, "cd" * 32),
            ((right + 1) % 3, "ef" * 32),
            ((right + 2) % 3, "01" * 32),
        )
    ]
    assert sum(found) == pytest.approx(1, abs=1e-5)  # each picture has one answer, right in one of the three


@with_mteb
@quietly
def test_pictures_of_several_classes_are_no_task_of_mteb(ran: Ran) -> None:
    found = ran(labelled(np.ones((12, 3), bool)))
    assert found["cifar10"].problem == "pictures of several classes: mteb's zero-shot takes one each"


@pytest.mark.skipif(MTEB, reason="mteb is installed")
def test_without_mteb_the_command_is_said(ran: Ran) -> None:
    with pytest.raises(EnvironmentProblem, match=r"mteb missing; pip install 'danqing\[evaluate\]'"):
        ran()
