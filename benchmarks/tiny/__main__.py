"""Makes the tiny SigLIP that comes with danqing (`--model tiny`): trains it, measures what it saved, writes its card.

    python -m benchmarks.tiny OUT --seed 0 --steps 4000    OUT/ model.safetensors, tokenizer ..., README.md

So the whole path of a re-validation runs on machines without a network. The card tells how it does on scenes of
another seed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from .measure import PAIRS, write_card
from .train import BATCH, LENGTH, POOL, SIDE, STEPS, make_tokenizer, save, train


def main(words: Sequence[str] | None = None) -> None:
    """Train, save, measure what was saved, and write its card."""
    import torch

    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiny", description="Train a tiny SigLIP.")
    parser.add_argument("out", type=Path, help="folder of the checkpoint")
    parser.add_argument("--seed", type=int, default=0, help="of scenes, weights and order (default: 0)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of {BATCH} pairs (default: {STEPS})")
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"held out, for the card (default: {PAIRS})")
    given = parser.parse_args(words)
    torch.set_num_threads(1)  # sums of several threads differ in their last bits
    began = time.process_time()
    model = train(given.steps, given.seed)
    save(model, make_tokenizer(), given.out)
    print(f"{time.process_time() - began:.0f} CPU seconds", flush=True)
    made = {"steps": given.steps, "side": SIDE, "length": LENGTH, "pool": POOL}
    figures = write_card(given.out, given.pairs, given.seed, made)
    print("\n".join(f"{name} {value:.4f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
