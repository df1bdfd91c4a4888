"""One interpreter of training, of which the ranks are forked and the runs that are killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.forked import Forked

LOADED = (
    "torch._dynamo",  # of DistributedDataParallel: 3 s in each rank otherwise
    "torch.distributed.fsdp",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.image_processing_auto",
    "transformers.models.siglip.modeling_siglip",
    "accelerate",
    "builder.train.runner",
    "builder.train.work",
    "tests.train.ranks",
    "tests.train.runs",
)


@pytest.fixture(scope="session")
def forked() -> Iterator[Forked]:
    """Its forks: processes that have loaded all this and run nothing."""
    with Forked(*LOADED) as run:
        yield run
