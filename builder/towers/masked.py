"""The perplexity of texts by a masked language model, as Chinese BERT: MODEL, texts ─▶ a number each.

A masked model gives no probability of a text, but of each token beside all others. The pseudo-perplexity of a text W is
exp(-1/|W| sum log P(w_t | W without w_t)), one forward a token (Salazar et al. 2020, Masked Language Model Scoring,
equations 1 and 3, of one text). Tokens that a tokenizer adds count nowhere. No code of a repository is run, and weights
are read from safetensors alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .checkpoint import checked, located
from .classifier import TEXT_FILES, VOCABULARIES, text_model
from .siglip2 import explained, quiet

MOST_TOKENS = 128  # of a text that are read
HELD = 1 << 26  # logits of one forward, 256 MB

Perplexities = npt.NDArray[np.float64]


def masked_model(name: str) -> Callable[[str], float]:
    """The pseudo-perplexity of one text, by a model of a folder or the Hub; NaN where the text has no token.

    Raises InputError where it is no masked language model or cannot be read, EnvironmentProblem where what runs it is
    missing; later InputError where it gives no number.
    """
    folder, _, config = located(name, files=TEXT_FILES)
    checked(folder, config, name, (VOCABULARIES,))
    with explained(name), quiet():
        tokenizer, model = text_model(folder, name, "AutoModelForMaskedLM", "masked language model")
    if tokenizer.mask_token_id is None:
        raise InputError(
            f"{name}: its tokenizer has no mask, so it is no masked language model; take another"
        )
    longest = getattr(model.config, "max_position_embeddings", None) or MOST_TOKENS
    length = min(tokenizer.model_max_length, longest, MOST_TOKENS)

    def perplexity(text: str) -> float:
        batch = tokenizer(text, truncation=True, max_length=length, return_special_tokens_mask=True)
        added = np.array(batch.pop("special_tokens_mask"), np.bool_)
        unknown = (
            np.array(batch["input_ids"]) == tokenizer.unk_token_id
        )  # special by its name, and a token of the text
        places = np.flatnonzero(~added | unknown)
        if not len(places):
            return float("nan")
        rows = max(1, HELD // (len(added) * model.config.vocab_size))
        parts = [places[start : start + rows] for start in range(0, len(places), rows)]
        logs = sum(_log_likelihood(model, batch, some, tokenizer.mask_token_id) for some in parts)
        found = float(np.exp(-logs / len(places)))
        if not np.isfinite(found):
            raise InputError(
                f"{name}: gives no number for {text[:60]!r}; its weights are broken, take another"
            )
        return found

    return perplexity


def _log_likelihood(model: Any, batch: Any, places: Sequence[int] | npt.NDArray[np.intp], mask: int) -> float:
    """The sum of the logarithms of what the model gives the tokens at some places, each masked in a row of its own."""
    import torch

    inputs = {name: torch.tensor([ids] * len(places), device=model.device) for name, ids in batch.items()}
    rows, at = torch.arange(len(places)), torch.tensor(places)
    true = inputs["input_ids"][rows, at]
    inputs["input_ids"][rows, at] = mask
    with torch.inference_mode():
        logits = model(**inputs).logits[rows, at].float()
    return float(logits.log_softmax(-1)[rows, true].sum())
