"""The last part of `danqing demo`: the small checkpoint that comes with danqing is trained on, and asked.

    folder/danqing-later ─▶ danqing train ─▶ folder/run ─▶ danqing status, danqing report; another run that begins there
    scenes ─▶ folder/benchmarks-cn, in the forms of those who publish theirs ─▶ danqing evaluate ─▶ tables

What was planted is arithmetic: each step sees as many pairs as it should, and the checkpoint that lies in the run is
the one that was validated. In the benchmarks a picture cannot be decoded, and has to count as wrong; others lie in the
training data, and have to be found.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow.parquet as pq

from .drive import Demo
from .scene import SHAPES, Scene, attributes, scene
from .truth import ENOUGH

MOST = 400  # steps: a minute on two cores
BATCH = 64  # pairs, where there are twice as many
RATE = "2e-4"  # twenty times the paper's: the small checkpoint shall learn something in a minute
SETTINGS = ("--warmup", "10", "--validate-every", "10", "--track", "none")
WAYS = ("image_to_text", "text_to_image")
Log = Sequence[Mapping[str, Any]]
CLASSES = list(SHAPES)
EACH = 12  # pictures of a class
QUERIES = 80  # captions to search by, and as many pictures
LEAKED = 8  # pictures of the training data among those
SIZE = (256, 192)
BROKEN = b"\xff\xd8\xff\xe0 no picture"


def train(demo: Demo) -> None:
    """Train the small checkpoint on for a minute, and hold what the log says of each step against the command."""
    pairs = sum(1 for _ in demo.open(demo.later, "train", columns=["key"]))
    batch, steps = max(2, min(BATCH, pairs // 2)), min(MOST, demo.config.pairs // 4)
    demo.run(command(demo, "run", "--model", "tiny", "--steps", str(steps), "--batch-size", str(batch),
                     "--learning-rate", RATE))  # fmt: skip
    told = [line for line in read_log(demo, "run") if "loss" in line]
    wanted = [(number, number * batch) for number in range(1, steps + 1)]
    found = [(line["step"], line["pairs"] + sum(line["lost"].values())) for line in told]
    seen = f"{steps:,} steps of {batch} pairs, {steps * batch / pairs:.1f} times each of {pairs:,}"
    demo.differ([] if found == wanted else [f"the log is not of {seen}"], f"every step saw its pairs: {seen}")
    demo.differ(*fallen([line["loss"] for line in told], demo.config.pairs >= ENOUGH))


def fallen(losses: Sequence[float], enough: bool) -> tuple[list[str], str]:
    """What is wrong with losses that should fall, where they are of `enough` pairs, and how they fell."""
    part = max(1, len(losses) // 8)
    first, last = fmean(losses[:part]), fmean(losses[-part:])
    told = f"mean loss of the first {part} steps {first:.3f}, of the last {last:.3f}"
    return ([f"{told}: it did not fall"] if enough and not last < first else []), told


def look(demo: Demo) -> None:
    """Ask how far the run is, and make the page about it."""
    demo.run(["status", str(demo.folder / "run")])
    demo.run(["report", str(demo.folder / "run"), str(demo.folder / "run.html")])


def load(demo: Demo) -> None:
    """Begin another run with what was trained, and change nothing: it validates as the first one did at its end."""
    run = demo.folder / "run"
    batch = json.loads((run / "ledger/train/plan.json").read_bytes())["config"]["batch_size"]
    same = ("--steps", "1", "--batch-size", str(batch), "--learning-rate", "0")
    demo.run(command(demo, "run-again", "--model", str(run), *same), shown=0)
    first, *_, last = (line["validation"] for line in read_log(demo, "run") if "validation" in line)
    (again,) = (line["validation"] for line in read_log(demo, "run-again") if "validation" in line)
    for way in WAYS:
        demo.show(f"R@1 {way.replace('_', ' ')}, of {again['pairs']:.0f} pairs: {first[way]:.1%} after the warm-up, "
                  f"{last[way]:.1%} at the end, {again[way]:.1%} as loaded")  # fmt: skip
    other = [name for name in again if not math.isclose(last[name], again[name], rel_tol=1e-4)]
    wrong = [f"validation {name}: {last[name]} as trained, {again[name]} as loaded" for name in other]
    demo.differ(wrong, "the checkpoint that was written is the one that was validated")


def command(demo: Demo, run: str, *options: str) -> list[str]:
    """The words of a training of what was kept a year later."""
    return ["train", str(demo.later), str(demo.folder / run), *options, *SETTINGS]


def read_log(demo: Demo, run: str) -> Log:
    """The lines of the log of a run."""
    return [*map(json.loads, (demo.folder / run / "log.jsonl").read_text("utf-8").splitlines())]


def write_benchmarks(demo: Demo) -> None:
    """Write a benchmark of classes and one of captions, of scenes that no step before has drawn."""
    folder = demo.folder / "benchmarks-cn"
    seed = demo.config.seed + 1
    shapes = folder / "drawn-shapes"
    for number, shape in enumerate(CLASSES):
        place = shapes / "test" / str(number)
        place.mkdir(parents=True)
        those = (index for index in count() if attributes(index, seed).shape == shape)
        for picture, index in enumerate(islice(those, EACH)):
            (place / f"{picture}.jpg").write_bytes(jpeg(scene(index, seed, size=SIZE)))
    (shapes / "test" / "0" / "broken.jpg").write_bytes(BROKEN)
    (shapes / "label_cn.txt").write_text("\n".join(CLASSES) + "\n", "utf-8")
    kept = demo.open(demo.later, "train", columns=["image", "alt_text"]).cast_column("image", undecoded())
    leaked = [(pair["image"]["bytes"], pair["alt_text"]) for pair in kept.take(LEAKED)]
    drawn = (scene(index, seed + 1, size=SIZE) for index in range(QUERIES - len(leaked)))
    write_captioned(folder / "drawn-scenes", [*leaked, *((jpeg(one), one.alt_text) for one in drawn)])
    demo.show(
        f"{len(CLASSES)} shapes, {EACH} pictures each and a broken one, as ELEVATER lays its sets out",
        f"{QUERIES} pictures with captions, as Chinese-CLIP does; {len(leaked)} of them lie in the training data",
    )


def jpeg(one: Scene) -> bytes:
    """The picture of a scene as a file."""
    file = io.BytesIO()
    one.image.save(file, "JPEG", quality=90)
    return file.getvalue()


def undecoded() -> object:
    """The feature of a picture that stays a file."""
    from datasets import Image

    return Image(decode=False)


def write_captioned(folder: Path, pairs: list[tuple[bytes, str]]) -> None:
    """A test split in the files of Chinese-CLIP: base64 by id, and captions with the ids that they belong to."""
    folder.mkdir(parents=True)
    files = (f"{row}\t{base64.urlsafe_b64encode(body).decode()}\n" for row, (body, _) in enumerate(pairs))
    (folder / "test_imgs.tsv").write_text("".join(files))
    lines = ({"text_id": row, "text": text, "image_ids": [row]} for row, (_, text) in enumerate(pairs))
    texts = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / "test_texts.jsonl").write_text(texts, "utf-8")


def evaluate(demo: Demo) -> None:
    """Ask the trained checkpoint and the one before training, and hold what was planted against what they answered."""
    demo.run(asking(demo))
    folder = demo.folder / "run" / "evaluate"
    answers = [pq.read_table(path) for path in sorted(folder.glob("*/drawn-shapes.parquet"))]
    wrong = [f"{len(one):,} pictures of shapes" for one in answers if len(one) != len(CLASSES) * EACH + 1]
    broken = [
        row["answer"] for one in answers for row in one.to_pylist() if row["picture"] == "test/0/broken.jpg"
    ]
    wrong += [f"a broken picture was answered {one}" for one in broken if one != -1]
    wrong += [] if len(broken) == 2 else [f"{len(broken)} checkpoints answered"]
    demo.differ(wrong, "both checkpoints answered every picture, and the broken one counts as wrong")
    (hits,) = (pq.read_table(path) for path in folder.glob("leaks-*.parquet"))
    found = {(row["benchmark"], row["row"]) for row in hits.to_pylist()}
    lost = [row for row in range(LEAKED) if ("drawn-scenes", row) not in found]
    demo.differ(
        [f"pictures {lost} of drawn-scenes lie in the training data, and were not found"] if lost else [],
        f"the {LEAKED} pictures of the training data were found",
    )
    # Unlike two photographs, two scenes on one ground may be all but the same picture.
    demo.show(f"{len(found) - LEAKED + len(lost)} other scenes are taken for one of it")
    demo.run(["report", str(demo.folder / "run"), str(demo.folder / "run.html")], shown=0)


def asking(demo: Demo, *more: str) -> list[str]:
    """The words of an evaluation of the run."""
    words = ["evaluate", str(demo.folder / "run"), str(demo.folder / "benchmarks-cn"), "--baseline", "tiny"]
    return [*words, "--leaks", str(demo.later), *more]


STEPS: tuple[tuple[str, Callable[[Demo], None]], ...] = (
    ("Train the small checkpoint on, on what was kept", train),
    ("Look at the run", look),
    ("Load what was trained", load),
    ("Write two small benchmarks", write_benchmarks),
    ("Evaluate what was trained, beside what it was", evaluate),
)
