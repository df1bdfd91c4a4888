"""Is cleaning worth it? Three roots of one web give three checkpoints, which are tried on scenes they never saw.

    python benchmarks/worth.py                          # all parts, on two cores an hour
    python benchmarks/worth.py --parts roots --seeds 1 --folder /tmp/worth

A web of drawn scenes (worthroot.py) is re-validated and curated by `danqing`, with the checkpoint tiny. Then `danqing
train` goes on from a weak checkpoint: on all pairs, on those that the re-validation keeps, on those that curate keeps
too. All of a part have the same start, steps and batch; each seed has an order of its own. The weak checkpoint lies
between tiny and the random weights that tiny was trained from, `--known` of the way: it knows a little of its world.

**Judge and web are of one kind**: tiny was trained on such scenes, so it knows wrong pairs better than any checkpoint
knows those of the real web. What is shown is that cleaning pays where the judge is good.

With --folder a run that was broken off goes on, as its runs of `danqing train` do.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import measure  # noqa: E402
from plantedroot import jpeg, write_root  # noqa: E402
from worthroot import SCENES, SHARES, SIZE, UNTRUE, Web  # noqa: E402

from benchmarks.tiny.pairs import TOLD, truth, words_of  # noqa: E402
from benchmarks.tiny.train import SIDE, SPECIAL, alphabet, make_model, make_tokenizer, save  # noqa: E402
from builder.console import Console  # noqa: E402
from builder.demo.scene import Attributes, attributes, captions, draw  # noqa: E402
from builder.towers import DualEncoder, Options, ToEmbed, find  # noqa: E402

Floats = npt.NDArray[np.float32]
Bits = npt.NDArray[np.bool_]
Figures = dict[str, float]

RAW, REVALIDATED, CURATED = ROOTS = ("raw", "revalidated", "curated")
PARTS = ("roots", "epochs", "sizes", "text")
MIX = "alt_text:0.5,recaption:0.5"
BATCH, RATE, WARMUP = 64, 2e-3, 30
HELD_OUT, PROMPTS = 1000, 24  # added to the seed of the web; captions that stand for one word
# What fits tiny and this web: the calibrated ends would drop 14 % of captions that are all right by then, and 5 % as of
# few shades; at .9 a third of the near duplicates were other scenes, at .97 two of 594.
CURATE = ("--align", "0.13,1", "--entropy", "3", "--dedup-cosine", "0.97")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent)}
COLUMNS = {
    "t1": "text→image R@1", "t5": "R@5", "i1": "image→text R@1", "i5": "R@5", "recaption": "recaption→image R@1",
    "words": "zero-shot", "loss": "loss",
}  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """A run of `danqing train`. known: of its start; flags: beside the usual ones."""

    part: str
    name: str
    root: str
    seed: int
    steps: int
    known: float
    flags: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """A name for its folder, which says all that it is."""
        words = (self.root, *(word.strip("-") for word in self.flags), self.steps, self.known, self.seed)
        return "_".join(map(str, words)).replace(":", "").replace(",", "+")


class HeldOut:
    """Clean scenes of a seed that no web has, and captions that stand for one word each."""

    def __init__(self, pairs: int, seed: int) -> None:
        rng = np.random.default_rng((seed, 29))
        self.shown = [replace(attributes(n, SCENES + HELD_OUT + seed), size=SIZE) for n in range(pairs)]
        self.pixels = [seen(one, rng) for one in self.shown]
        told = [captions(one, rng) for one in self.shown]
        self.alt_texts, self.recaptions = [one for one, _ in told], [one for _, one in told]
        self.words = words_of(self.shown)
        self.true = {
            name: truth(texts, self.words)
            for name, texts in (("alt", self.alt_texts), ("re", self.recaptions))
        }
        self.classes = [sorted(set(self.words[:, column])) for column in range(len(TOLD))]
        self.prompts = [
            self._prompt(name, word, rng)
            for name, words in zip(TOLD, self.classes, strict=True)
            for word in words
            for _ in range(PROMPTS)
        ]

    def _prompt(self, name: str, word: str, rng: np.random.Generator) -> str:
        """A caption of some scene with this word in it."""
        while True:
            one = replace(self.shown[int(rng.integers(len(self.shown)))], **{name: word})
            text = captions(one, rng)[0]
            if one.colour != one.ground and word in text:
                return text

    def figures(self, checkpoint: str) -> Figures:
        """COLUMNS of a checkpoint: shares, and the loss of batches of BATCH."""
        encoder = DualEncoder.load(find(checkpoint), Options(device="cpu", workers=1), Console(quiet=True))
        works = [
            ToEmbed("pairs", self.pixels, (self.alt_texts, self.recaptions)),
            ToEmbed("prompts", [None] * len(self.prompts), (self.prompts,)),
        ]
        pairs, prompts = encoder.embed(works)
        images, texts, recaptions = (one.numpy() for one in (pairs.image, *pairs.captions))
        cosines, told = texts @ images.T, recaptions @ images.T
        found = {
            "t1": hits(cosines, self.true["alt"], 1), "t5": hits(cosines, self.true["alt"], 5),
            "i1": hits(cosines.T, self.true["alt"].T, 1), "i5": hits(cosines.T, self.true["alt"].T, 5),
            "recaption": hits(told, self.true["re"], 1),
            "loss": loss(cosines * encoder.scale + encoder.bias),
        }  # fmt: skip
        return found | self._told(images, prompts.captions[0].numpy())

    def _told(self, images: Floats, prompts: Floats) -> Figures:
        """The share of pictures of which each attribute is told right among its words, and the mean of these."""
        means = prompts.reshape(-1, PROMPTS, prompts.shape[1]).mean(1)
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        found, first = {}, 0
        for column, words in enumerate(self.classes):
            guess = (images @ means[first : first + len(words)].T).argmax(1)
            found[TOLD[column]] = float((np.array(words)[guess] == self.words[:, column]).mean())
            first += len(words)
        return found | {"words": sum(found.values()) / len(TOLD)}

    @property
    def chance(self) -> Figures:
        """The figures of whoever guesses."""
        alt = self.true["alt"]
        return {
            "t1": float(alt.mean()), "i1": float(alt.mean()), "recaption": float(self.true["re"].mean()),
            "t5": guessed(alt, 5), "i5": guessed(alt.T, 5),
            "words": float(np.mean([1 / len(one) for one in self.classes])),
        }  # fmt: skip


def seen(shown: Attributes, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """What the towers see of a scene as a JPEG, (SIDE, SIDE, 3)."""
    with Image.open(io.BytesIO(jpeg(draw(shown, rng)))) as image:
        return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def hits(cosines: Floats, true: Bits, among: int) -> float:
    """The share of rows with a true column among the nearest."""
    nearest = np.argpartition(-cosines, among - 1, axis=1)[:, :among]
    return float(np.take_along_axis(true, nearest, 1).any(1).mean())


def guessed(true: Bits, among: int) -> float:
    """The share of rows with a true column among so many at random."""
    return float((1 - (1 - true.mean(1)) ** among).mean())


def loss(logits: Floats) -> float:
    """The sigmoid loss of batches of BATCH, as it is trained: only the own caption counts as true. logits: (n, n)."""
    whole = len(logits) // BATCH
    blocks = [logits[n * BATCH : (n + 1) * BATCH, n * BATCH : (n + 1) * BATCH] for n in range(whole)]
    signs = 1 - 2 * np.eye(BATCH)
    return float(np.mean([np.logaddexp(0, signs * block).sum() / BATCH for block in blocks]))


def start(folder: Path, known: float) -> Path:
    """A checkpoint on the line from the random weights that tiny was trained from to its own, `known` of the way."""
    import torch
    from transformers import AutoModel

    path = folder / f"start-{known}"
    if not path.exists():
        torch.manual_seed(0)  # as of tiny: from other random weights there is no such way
        model = make_model(len(SPECIAL) + len(alphabet()))
        trained = AutoModel.from_pretrained(find("tiny").folder, dtype=torch.float32).state_dict()
        with torch.no_grad():
            for name, own in model.named_parameters():
                own.lerp_(trained[name], known)
        save(model, make_tokenizer(), path)
    return path


def danqing(*words: object, log: Path) -> measure.Usage:
    """Run a command as a user does."""
    command = [sys.executable, "-m", "builder.cli", *map(str, words), "--quiet"]
    return measure.run(command, log=log, env=os.environ | ENVIRONMENT).check()


@dataclass(frozen=True)
class World:
    """The roots of a web, judged. counts: pairs by root; kinds: of what is in each, how many were planted as what."""

    folder: Path
    counts: dict[str, int]
    kinds: dict[str, dict[str, int]]

    @classmethod
    def made(cls, folder: Path, pairs: int, seed: int) -> World:
        """Draw it and judge it, or find it as an earlier call left it."""
        known = folder / "world.json"
        if not known.exists():
            plants = Web(pairs, seed).plants()
            shutil.rmtree(folder / RAW, ignore_errors=True)
            shutil.rmtree(folder / REVALIDATED, ignore_errors=True)
            write_root(folder / RAW, plants)
            log = folder / "judges.log"
            danqing("revalidate", folder / RAW, "--model", "tiny", "--alpha", 0.05, "--workers", 1, log=log)
            shutil.copytree(folder / RAW, folder / REVALIDATED, copy_function=os.link)
            danqing(
                "curate", folder / RAW, "--embedder", "tiny", *CURATE, "--workers", 1, log=log,
            )  # fmt: skip
            kinds = np.array([one.kind for one in plants])
            kept = np.array(column(folder / RAW / "scores", "kept"))
            stays = np.array([one is None for one in column(folder / RAW / "curated", "reason")])
            of = {RAW: kinds, REVALIDATED: kinds[kept], CURATED: kinds[kept & stays]}
            found = {name: {kind: int((some == kind).sum()) for kind in SHARES} for name, some in of.items()}
            known.write_text(json.dumps(found), "utf-8")
        kinds_of = json.loads(known.read_text("utf-8"))
        return cls(folder, {name: sum(found.values()) for name, found in kinds_of.items()}, kinds_of)

    def untrue(self, root: str) -> float:
        """The share of the pairs of a root whose alt text is not of their picture."""
        return sum(self.kinds[root][kind] for kind in UNTRUE) / self.counts[root]

    def train(self, trial: Trial) -> Path:
        """Its run. `raw` and `curated` are one root, which is served without or with what its judges say."""
        run = self.folder / "runs" / trial.label
        root = self.folder / (REVALIDATED if trial.root == REVALIDATED else RAW)
        verdicts = ("--verdicts", "all") if trial.root == RAW else ()
        danqing(
            "train", root, run, "--model", start(self.folder, trial.known), "--seed", trial.seed,
            "--batch-size", BATCH, "--steps", trial.steps, "--learning-rate", RATE, "--warmup", WARMUP,
            "--validation", 0, "--validate-every", 0, "--save-every", trial.steps, "--track", "none", "--device", "cpu",
            "--workers", 1, *verdicts, *trial.flags, log=run.parent / f"{run.name}.log",
        )  # fmt: skip
        return run


def column(folder: Path, name: str) -> list[Any]:
    """A column of the shards of a folder, in their order."""
    return [
        value
        for path in sorted(folder.glob("*.parquet"))
        for value in pq.read_table(path, columns=[name])[name].to_pylist()
    ]


def trials(part: str, asked: argparse.Namespace, counts: Mapping[str, int]) -> list[Trial]:
    """The runs of a part, seed by seed."""
    plain = [(root, root, asked.steps, ()) for root in ROOTS]
    kinds: dict[str, list[tuple[str, str, int, tuple[str, ...]]]] = {
        "epochs": [(root, root, round(asked.steps * counts[root] / counts[RAW]), ()) for root in ROOTS],
        "sizes": [
            (f"{pairs:,}", CURATED, asked.steps, ("--subset", str(pairs)) if pairs < counts[CURATED] else ())
            for pairs in (counts[CURATED] // 4, counts[CURATED] // 2, counts[CURATED])
        ],
        "text": [
            (f"{root}, {text}", root, asked.steps, ("--text", text) if text != "alt_text" else ())
            for root in (RAW, CURATED)
            for text in ("alt_text", MIX, "recaption")
        ],
    }
    return [
        Trial(part, name, root, seed, steps, asked.known, flags)
        for seed in range(asked.seeds)
        for name, root, steps, flags in kinds.get(part, plain)
    ]


def tried(world: World, every: list[Trial], held_out: HeldOut, jobs: int) -> list[dict[str, Any]]:
    """A row for each trial: what it is, what its run counted, and the figures of its checkpoint."""
    found, once = {}, {trial.label: trial for trial in every}  # parts have runs in common
    with ThreadPoolExecutor(jobs) as pool:
        for trial, run in zip(once.values(), pool.map(world.train, once.values()), strict=True):
            done = json.loads((run / "ledger/train/done.json").read_text("utf-8"))
            figures = held_out.figures(str(run))
            found[trial.label] = {"done": done, "figures": figures}
            told = ", ".join(f"{COLUMNS[name]} {cell(name, [figures[name]])}" for name in COLUMNS)
            print(f"{trial.part}, {trial.name}, seed {trial.seed}: {told}", flush=True)
    return [asdict(trial) | found[trial.label] for trial in every]


def cell(name: str, values: list[float]) -> str:
    """Mean of the seeds, and their standard deviation; shares in per cent."""
    times, digits = (1, 3) if name == "loss" else (100, 1)
    mean, spread = (
        times * float(np.mean(values)),
        times * float(np.std(values, ddof=1)) if len(values) > 1 else math.nan,
    )
    return f"{mean:.{digits}f}" + ("" if math.isnan(spread) else f" ± {spread:.{digits}f}")


def table(title: str, rows: list[dict[str, Any]], extra: Mapping[str, Figures]) -> str:
    """One row a name: steps, pairs, figures. extra: rows without runs, such as that of chance."""
    lines = [
        [name, "", *(cell(one, [found[one]]) if one in found else "" for one in COLUMNS)]
        for name, found in extra.items()
    ]
    for name in dict.fromkeys(row["name"] for row in rows):
        same = [row for row in rows if row["name"] == name]
        figures = [cell(one, [row["figures"][one] for row in same]) for one in COLUMNS]
        lines.append([name, f"{same[0]['steps']:,}", *figures])
    return measure.table(title, ["", "steps", *COLUMNS.values()], lines)


def line(rows: list[dict[str, Any]]) -> str:
    """The line of log loss over log pairs, over all seeds, and how much it explains."""
    x = np.log([float(row["name"].replace(",", "")) for row in rows])
    y = np.log([row["figures"]["loss"] for row in rows])
    (slope, offset) = np.polyfit(x, y, 1)
    explained = 1 - float(((y - slope * x - offset) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    return (
        f"loss = {math.exp(offset):.2f} pairs^{slope:.3f}, which explains {100 * explained:.0f} % of log loss"
    )


def faults(world: World, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is wrong whatever luck was: pairs that are missing, and figures that are no numbers."""
    wrong = []
    for row in rows:
        done, name = row["done"], f"{row['part']}, {row['name']}, seed {row['seed']}"
        seen = done["pairs"] + sum(done["lost"].values())
        if (done["steps"], seen) != (row["steps"], row["steps"] * BATCH):
            wrong.append(f"{name}: {done['steps']} steps and {seen} pairs, not {row['steps']} of {BATCH}")
        if not all(math.isfinite(value) for value in row["figures"].values()):
            wrong.append(f"{name}: a figure is no number")
    shares = [world.untrue(root) for root in ROOTS]
    if (
        not shares[0] > shares[1] >= shares[2]
        or not world.counts[RAW] > world.counts[REVALIDATED] > world.counts[CURATED] > 0
    ):
        wrong.append(f"pairs {world.counts}, of which untrue: {shares}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=8000)
    parser.add_argument(
        "--seeds", type=int, default=3, help="of the order of the pairs; web and start are one"
    )
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument(
        "--known", type=float, default=0.3, help="how near to tiny the start is: 0 is random, 1 is tiny"
    )
    parser.add_argument("--held-out", type=int, default=2000, help="scenes that checkpoints are tried on")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--folder", type=Path, help="keep roots and runs there, and go on from them")
    parser.add_argument("--smoke", action="store_true", help="400 pairs, one seed, a few steps")
    parser.add_argument("--json", type=Path, default=HERE / "out" / "worth.json")
    asked = parser.parse_args()
    if asked.smoke:
        asked.pairs, asked.seeds, asked.steps, asked.held_out, asked.parts = 400, 1, 3, 200, ("roots",)
    with tempfile.TemporaryDirectory(prefix="worth-") as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        world, held_out = World.made(folder, asked.pairs, 0), HeldOut(asked.held_out, 0)
        kinds = [
            [root, f"{world.counts[root]:,}", f"{100 * world.untrue(root):.1f}", *world.kinds[root].values()]
            for root in ROOTS
        ]
        print(measure.table("the roots", ["root", "pairs", "% untrue", *SHARES], kinds), flush=True)
        every = [trial for part in asked.parts for trial in trials(part, asked, world.counts)]
        before = {"chance": held_out.chance, "the start": held_out.figures(str(start(folder, asked.known)))}
        rows = tried(world, every, held_out, asked.jobs)
    for part in asked.parts:
        of_part = [row for row in rows if row["part"] == part]
        print(table(f"{part}: mean and standard deviation of {asked.seeds} seeds", of_part, before))
        if part == "sizes":
            print(line(of_part))
    wrong = faults(world, rows)
    found = {"kinds": world.kinds, "rows": rows, "before": before, "missed": wrong}
    measure.save(asked.json, "worth", found)
    return measure.verdict(wrong, [])


if __name__ == "__main__":
    sys.exit(main())
