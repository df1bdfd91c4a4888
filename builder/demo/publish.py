"""The third part of `danqing demo`: what was kept is released to folders, and read back as a stranger would.

    folder/released/images      the pictures of today as v2025.11, and over them those of a year later as v2026.11
    folder/released/manifest    the verified manifest of today, v2025.11

What streams back, and what a rebuild of that manifest keeps, is held against the roots.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pyarrow.parquet as pq

from ..console import table
from ..web.hostname import host_of
from .drive import Demo
from .truth import outcomes_of

FIRST, SECOND = "v2025.11", "v2026.11"
# Shards of so few pairs; the license is of pictures and captions that were made up here.
OPTIONS = ("--license", "cc0-1.0", "--divide-by", "2")
SHOWN = 4  # pairs of a stream


def release(demo: Demo, root: Path, what: str, tag: str, *options: str) -> None:
    """Release a root to the folder of its kind by the command line."""
    demo.run(
        ["release", str(root), str(demo.released(what)), "--what", what, "--tag", tag, *OPTIONS, *options]
    )


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
    hosts = Counter(host_of(row["url"]) for row in demo.truth.rows if row["outcome"] == "kept")
    return min((count, host) for host, count in hosts.items() if host)[1]


def verify(demo: Demo) -> None:
    """Hold what is released against what its card says."""
    for what in ("images", "manifest"):
        demo.run(["verify", str(demo.released(what))])


def stream(demo: Demo) -> None:
    """Stream the release with stock `datasets`, and compare every pair with the root."""
    from datasets import load_dataset

    folder = demo.released("images")
    demo.say(f'  >>> load_dataset("{folder.absolute()}", streaming=True)')
    splits = load_dataset(str(folder.absolute()), streaming=True)
    pairs = chain.from_iterable(split.decode(False) for split in splits.values())
    found = {pair["key"]: hashlib.sha256(pair["image"]["bytes"]).hexdigest() for pair in pairs}
    demo.say(*(f"  {pair['alt_text']}  {pair['image'].size}" for pair in splits["train"].take(SHOWN)))
    wanted = kept_a_year_later(demo)
    wrong = [
        f"{key}: {'not streamed' if key not in found else 'not released' if key not in wanted else 'changed'}"
        for key in sorted(wanted.keys() | found.keys())
        if wanted.get(key) != found.get(key)
    ]
    demo.differ(wrong, f"the {len(wanted):,} pairs that were kept, and their pictures byte for byte")


def kept_a_year_later(demo: Demo) -> dict[str, str]:
    """SHA-256 of the stored picture of each pair that the second release has, by key."""
    out, found = taken_out(demo), {}
    for path in sorted((demo.later / "images").glob("*.parquet")):
        kept = pq.read_table(demo.later / "scores" / path.name, columns=["kept"])["kept"].to_pylist()
        for pair, is_kept in zip(pq.read_table(path).to_pylist(), kept, strict=True):
            if is_kept and host_of(pair["url"]) != out:
                found[pair["key"]] = hashlib.sha256(pair["image"]["bytes"]).hexdigest()
    return found


def rebuild_the_first(demo: Demo) -> None:
    """Rebuild the released manifest from the web of today: only what has the released bytes comes back.

    What the newer release took out is not asked for.
    """
    demo.host.forget()
    options = ["--verify-hash", "--removals", str(demo.released("images"))]
    demo.run([*demo.rebuild(demo.again, str(demo.released("manifest"))), *options], shown=2)
    outcomes = outcomes_of(demo.again)
    counts = Counter(row["reason"] or "kept" for row in outcomes)
    demo.say(*(f"  {line}" for line in table([(name, f"{count:,}") for name, count in counts.most_common()])))
    now, then, out = hashes(demo.later), hashes(demo.root), taken_out(demo)
    urls = {row["key"]: row["url"] for row in demo.truth.rows}
    wrong = []
    for row in outcomes:
        url = urls[row["key"]]
        same = now.get(row["key"]) == then[row["key"]]
        wanted = "removed" if host_of(url) == out else "kept" if same else None
        found = row["reason"] or "kept"
        if found != wanted and (wanted or found in ("kept", "removed")):
            wrong.append(f"{url}: {found}, wanted {wanted or 'dropped'}")
    demo.differ(
        wrong, f"all {counts['kept']:,} pairs of the released bytes, and nothing of what was taken out"
    )


def hashes(root: Path) -> dict[str, str]:
    """SHA-256 of the bytes as fetched, by key."""
    files = (pq.read_table(path, columns=["key", "sha256"]) for path in (root / "images").glob("*.parquet"))
    return {row["key"]: row["sha256"] for file in files for row in file.to_pylist()}


STEPS: tuple[tuple[str, Callable[[Demo], None]], ...] = (
    ("Release the first root to a folder", release_the_first),
    ("Release what is left a year later, without a host that asked to be taken out", release_a_year_later),
    ("Verify what was released", verify),
    ("Stream it back with stock datasets", stream),
    ("Rebuild the released manifest, checked by its hashes", rebuild_the_first),
)
