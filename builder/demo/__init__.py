"""`danqing demo`: the main job on real files without a network, and the proof that it did what it should.

    small web of pictures ─▶ loopback host that also misbehaves ─▶ danqing rebuild ─▶ load_dataset("danqing")
    the same web a year later ─▶ danqing rebuild ─▶ danqing revalidate ─▶ danqing report, load_dataset("danqing")

Every step drives danqing as a user does, by its command line and its public module, and compares what came out
with what was planted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .config import Config as Config

if TYPE_CHECKING:
    from ..console import Console
    from .steps import Summary


def run(config: Config, console: Console) -> Summary:
    """Run the demo; VerificationError when something came out otherwise than planted, InputError for the folder."""
    from .steps import run as run_steps

    return run_steps(config, console)
