"""The loop that a user writes with accelerate and transformers to train a SigLIP: the peer of benchmarks/training.py.

    python benchmarks/plainloop.py ROOT MODEL --batch 256 --steps 16 --workers 2

As their documentation shows it: load_dataset("parquet") of the same files, the checkpoint's processor in the workers of
a DataLoader, `model(**inputs, return_loss=True)`, accelerator.backward, AdamW and a schedule with the recipe's values.
Prints the loss of the last step.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the workers are forked


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("model")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    print(f"loss {train(parser.parse_args()):.4f}")


def train(options: argparse.Namespace) -> float:
    """The loss of the last step."""
    import torch
    from accelerate import Accelerator
    from transformers import AutoModel, get_cosine_schedule_with_warmup

    accelerator = Accelerator()
    model = AutoModel.from_pretrained(options.model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.98), weight_decay=0.1)
    schedule = get_cosine_schedule_with_warmup(optimizer, 1000, 10_000)
    model, optimizer, loader, schedule = accelerator.prepare(model, optimizer, loader_of(options), schedule)
    model.train()
    step = 0
    while True:
        for inputs in loader:
            loss = model(**inputs, return_loss=True).loss
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            step += 1
            if step == options.steps:
                return float(loss.item())


def loader_of(options: argparse.Namespace) -> Any:
    """The pairs of a root, through the checkpoint's processor in the workers."""
    from datasets import load_dataset
    from torch.utils.data import DataLoader
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(options.model)
    files = sorted(str(path) for path in (options.root / "images").iterdir())
    rows = load_dataset("parquet", data_files=files, split="train").select_columns(["image", "alt_text"])

    def collate(some: list[dict[str, Any]]) -> Any:
        return processor(
            text=[one["alt_text"].lower() for one in some],
            images=[one["image"].convert("RGB") for one in some],
            padding="max_length",
            max_length=64,
            truncation=True,
            return_tensors="pt",
        )

    return DataLoader(
        rows, options.batch, shuffle=True, drop_last=True, num_workers=options.workers, collate_fn=collate
    )


if __name__ == "__main__":
    main()
