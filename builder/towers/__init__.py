"""SigLIP, SigLIP2 and Chinese-CLIP checkpoints, loaded and run: pictures and captions in, normalised embeddings out.

checkpoint = find("google/siglip2-base-patch16-256")
siglip = DualEncoder.load(checkpoint, Options(), Console())
for embedded in siglip.embed([ToEmbed("a", [jpeg], (["一只猫"],))]):
    scores = (embedded.image * embedded.captions[0]).sum(-1)  # cosines
"""

from __future__ import annotations

from .checkpoint import Checkpoint, find
from .device import Options
from .embedded import Embedded, ToEmbed
from .stream import DualEncoder

__all__ = ["Checkpoint", "DualEncoder", "Embedded", "Options", "ToEmbed", "find"]
