"""The paper's recipe of continual pre-training, each value with its source: what `danqing train` does by itself.

What the paper leaves open is decided here, said so, and a flag. DanQing is arXiv 2601.10305.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

PAPER = "DanQing, section 4.1"
OURS = "ours; the paper does not say"
SIGLIP2 = "SigLIP 2, section 2; the checkpoints were trained so"
SCHEDULES = ("cosine", "linear", "constant")


@dataclass(frozen=True, slots=True)
class TrainingRecipe:
    """How a checkpoint is trained on; SOURCES says where each value is from.

    batch_size: pairs whose captions are each other's negatives, over all ranks; warmup: steps; clip: of the norm of
    all gradients, 0: none; freeze: the tower that stays as it is, or none.
    """

    batch_size: int = 12_288
    epochs: int = 2
    learning_rate: float = 1e-5
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.98
    warmup: int = 1000
    schedule: str = "cosine"
    clip: float = 1.0
    freeze: str = "none"

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, from 0: up over the warm-up, then as `schedule` says, to 0 at `steps`."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, steps - self.warmup)
        falls = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
        return self.learning_rate * falls[self.schedule]


SOURCES: dict[str, str] = {
    "batch_size": f"{PAPER}: 768 on each of 16 GPUs",
    "epochs": PAPER,
    "learning_rate": PAPER,
    "weight_decay": f"{PAPER}; on matrices alone, which is ours",
    "beta1": PAPER,
    "beta2": PAPER,
    "warmup": PAPER,
    "schedule": OURS,
    "clip": f"{OURS}; 1 as {SIGLIP2}",
    "freeze": f"{OURS}: both towers, scale and bias are trained",
    "loss": f"{PAPER}: the sigmoid loss over all pairs of the batch, on all ranks; computed in float32, which is ours",
    "pictures": f"{PAPER}: 256 x 256, squashed to a square, which is {SIGLIP2}",
    "captions": f"{PAPER}: 64 tokens; lower case, padding on the right and no attention mask: {SIGLIP2}",
    "precision": f"{OURS}: bfloat16 on a GPU, with weights and loss in float32",
    "augmentation": f"{OURS}: none",
}
RECIPE = TrainingRecipe()
