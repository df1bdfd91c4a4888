"""The third part of `danqing demo`: what was kept is released to folders, and read back as a stranger would.

    folder/released/images      the pictures of today as v2025.11, and over them those of a year later as v2026.11
    folder/released/manifest    the verified manifest of today, v2025.11

What streams back, and what a rebuild of that manifest keeps, is held against the roots.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, compress
from pathlib import Path
from typing import Any

from ..web.hostname import host_of
from .drive import Demo
from .truth import outcomes_of, read_rows

FIRST, SECOND = "v2025.11", "v2026.11"
# Shards of so few pairs; the license is of pictures and captions that were made up here.
OPTIONS = ("--license", "cc0-1.0", "--divide-by", "2")
SHOWN = 4  # pairs of a stream


def release(demo: Demo, root: Path, what: str, tag: str, *options: str) -> None:
    """Release a root to the folder of its kind by the command line."""
    said = ("--what", what, "--tag", tag, "--repository", f"demo/danqing-{what}", *OPTIONS, *options)
    demo.run(["release", str(root), str(demo.released(what)), *said])


def release_the_first(demo: Demo) -> None:
    """Release the root as it was rebuilt first: its pictures, and the manifest that makes it checkable."""
    for what in ("images", "manifest"):
        release(demo, demo.root, what, FIRST)


def release_a_year_later(demo: Demo) -> None:
    """Release the pictures that are left a year later, without those of a host that asked to be taken out."""
    takedown = demo.folder / "takedown.txt"
    takedown.write_text(f"# asked to be taken out\n{taken_out(demo)}\n", "utf-8")
    release(demo, demo.later, "images", SECOND, "--remove", str(takedown))


def taken_out(demo: Demo) -> str:
    """The host whose pictures are taken out: of those that serve a picture, the one that serves fewest."""
    hosts = Counter(host_of(row["url"]) for row in demo.truth.kept)
    return min((count, host) for host, count in hosts.items() if host)[1]


def verify(demo: Demo) -> None:
    """Hold what is released against what its card says."""
    for what in ("images", "manifest"):
        demo.run(["verify", str(demo.released(what))])


def stream(demo: Demo) -> None:
    """Stream the release with stock `datasets`, and compare every pair with the root."""
    from datasets import load_dataset

    folder = str(demo.released("images").absolute())
    demo.show(f'>>> load_dataset("{folder}", streaming=True)')
    splits = load_dataset(folder, streaming=True)
    found = digests(chain.from_iterable(split.decode(False) for split in splits.values()))
    demo.show(*(f"{pair['alt_text']}  {pair['image'].size}" for pair in splits["train"].take(SHOWN)))
    pairs, reasons = read_rows(demo.later, "images"), read_rows(demo.later, "curated", "reason")
    out, kept = taken_out(demo), [row["reason"] is None for row in reasons]
    wanted = digests(pair for pair in compress(pairs, kept) if host_of(pair["url"]) != out)
    wrong = [
        f"{key}: {'not streamed' if key not in found else 'not released' if key not in wanted else 'changed'}"
        for key in sorted(wanted.keys() | found.keys())
        if wanted.get(key) != found.get(key)
    ]
    demo.differ(wrong, f"the {len(wanted):,} pairs that were kept, and their pictures byte for byte")


def digests(pairs: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """SHA-256 of the stored picture of each pair, by key."""
    return {pair["key"]: hashlib.sha256(pair["image"]["bytes"]).hexdigest() for pair in pairs}


def rebuild_the_first(demo: Demo) -> None:
    """Rebuild the released manifest from the web of today: only what has the released bytes comes back.

    What the newer release took out is not asked for.
    """
    again, removals = demo.folder / "danqing-again", str(demo.released("images"))
    demo.host.forget()
    words = demo.rebuild(again, str(demo.released("manifest")), "--verify-hash", "--removals", removals)
    demo.run(words, shown=2)
    outcomes = outcomes_of(again)
    counts = Counter(row["reason"] or "kept" for row in outcomes)
    demo.count(counts)
    out, urls = taken_out(demo), {row["key"]: row["url"] for row in demo.truth.rows}
    then, now = (
        {row["key"]: row["sha256"] for row in read_rows(root, "images", "key", "sha256")}
        for root in (demo.root, demo.later)
    )
    wrong = []
    for row in outcomes:
        url, found = urls[row["key"]], row["reason"] or "kept"
        same = now.get(row["key"]) == then[row["key"]]
        wanted = "removed" if host_of(url) == out else "kept" if same else None
        if found != wanted and (wanted or found in ("kept", "removed")):
            wrong.append(f"{url}: {found}, wanted {wanted or 'dropped'}")
    all_right = f"all {counts['kept']:,} pairs of the released bytes, and nothing of what was taken out"
    demo.differ(wrong, all_right)


STEPS: tuple[tuple[str, Callable[[Demo], None]], ...] = (
    ("Release the first root to a folder", release_the_first),
    ("Release what is left a year later, without a host that asked to be taken out", release_a_year_later),
    ("Verify what was released", verify),
    ("Stream it back with stock datasets", stream),
    ("Rebuild the released manifest, checked by its hashes", rebuild_the_first),
)
