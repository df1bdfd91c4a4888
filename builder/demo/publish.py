"""The third part of `danqing demo`: what was kept is released to a Hub on loopback, and read back as a stranger would.

Both roots go there, the one of today as v2025.11 and the one of a year later as v2026.11; what streams back, and what
a rebuild of the first release keeps, is held against the roots.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from ..console import table
from ..errors import VerificationError
from ..web.hostname import host_of
from .drive import Demo
from .truth import outcomes_of

OWNER = "demo"
IMAGES, MANIFEST = f"{OWNER}/danqing", f"{OWNER}/danqing-manifest"
FIRST, SECOND = "v2025.11", "v2026.11"
SHARDS = ("--divide-by", "2")  # of so few pairs
LICENSE = ("--license", "cc0-1.0")  # of pictures and captions that were made up here
SHOWN = 4  # pairs of a stream
# What a stranger types, with nothing of ours; prints key and hash of each pair, then the captions of some.
STREAM = f"""
import hashlib, itertools, json, os
from datasets import load_dataset
pairs = load_dataset({IMAGES!r}, streaming=True, revision={SECOND!r})
found = {{}}
for pair in itertools.chain.from_iterable(split.decode(False) for split in pairs.values()):
    found[pair["key"]] = hashlib.sha256(pair["image"]["bytes"]).hexdigest()
some = [[pair["alt_text"], *pair["image"].size] for pair in pairs["train"].take({SHOWN})]
print(json.dumps({{"found": found, "some": some}}), flush=True)
os._exit(0)  # as builder.cli.script ends, and why
"""


def release(demo: Demo, root: Path, repository: str, what: str, *options: str) -> None:
    """Release a root to the Hub by the command line."""
    demo.run(
        ["release", str(root), f"hf://datasets/{repository}", "--what", what, *LICENSE, *SHARDS, *options]
    )


def release_the_first(demo: Demo) -> None:
    """Release the root as it was rebuilt first: its pictures, and the manifest that makes it checkable."""
    where = demo.environment()["HF_ENDPOINT"]
    demo.say(f"  with HF_ENDPOINT={where}, a Hub on this machine; its user is signed in")
    release(demo, demo.root, IMAGES, "images", "--tag", FIRST)
    release(demo, demo.root, MANIFEST, "manifest", "--tag", FIRST)


def release_a_year_later(demo: Demo) -> None:
    """Release what is left a year later, without the pictures of a host that asked to be taken out."""
    takedown = demo.folder / "takedown.txt"
    takedown.write_text(f"# asked to be taken out\n{taken_out(demo)}\n", "utf-8")
    for repository, what in ((IMAGES, "images"), (MANIFEST, "manifest")):
        release(demo, demo.later, repository, what, "--tag", SECOND, "--remove", str(takedown))


def taken_out(demo: Demo) -> str:
    """The host whose pictures are taken out: of those that serve a picture, the one that serves fewest."""
    hosts = Counter(host_of(row["url"]) for row in demo.truth.rows if row["outcome"] == "kept")
    return min((count, host) for host, count in hosts.items() if host)[1]


def verify(demo: Demo) -> None:
    """Hold what is published against what its card says."""
    for repository in (IMAGES, MANIFEST):
        demo.run(["verify", f"{repository}@{SECOND}"])


def stream(demo: Demo) -> None:
    """Stream the release with stock `datasets`, and compare every pair with the root."""
    demo.say(f'  >>> load_dataset("{IMAGES}", streaming=True, revision="{SECOND}")')
    # Elsewhere than in the user's folder: there ./demo/danqing may be a folder, which load_dataset would take first.
    code, elsewhere = [sys.executable, "-c", STREAM], demo.folder / "cache"
    done = subprocess.run(code, env=demo.environment(), cwd=elsewhere, stdout=subprocess.PIPE, text=True)  # noqa: S603
    if done.returncode:
        raise VerificationError("load_dataset failed; see above")
    read = json.loads(done.stdout)
    demo.say(*(f"  {alt_text}  ({width}, {height})" for alt_text, width, height in read["some"]))
    wanted = released(demo)
    wrong = [
        f"{key}: {'not streamed' if key not in read['found'] else 'not released' if key not in wanted else 'changed'}"
        for key in sorted(wanted.keys() | read["found"].keys())
        if wanted.get(key) != read["found"].get(key)
    ]
    demo.differ(wrong, f"the {len(wanted):,} pairs that were kept, and their pictures byte for byte")


def released(demo: Demo) -> dict[str, str]:
    """SHA-256 of the stored picture of each pair that the second release has, by key."""
    import hashlib

    out, found = taken_out(demo), {}
    for path in sorted((demo.later / "images").glob("*.parquet")):
        kept = pq.read_table(demo.later / "scores" / path.name, columns=["kept"])["kept"].to_pylist()
        for pair, is_kept in zip(pq.read_table(path).to_pylist(), kept, strict=True):
            if is_kept and host_of(pair["url"]) != out:
                found[pair["key"]] = hashlib.sha256(pair["image"]["bytes"]).hexdigest()
    return found


def rebuild_the_first(demo: Demo) -> None:
    """Rebuild the first release from the web of today: only what has the released bytes comes back."""
    demo.host.forget()
    demo.run([*demo.rebuild(demo.again, f"hf://datasets/{MANIFEST}@{FIRST}"), "--verify-hash"], shown=2)
    outcomes = outcomes_of(demo.again)
    counts = Counter(row["reason"] or "kept" for row in outcomes)
    demo.say(
        *(f"  {line}" for line in table([*((name, f"{count:,}") for name, count in counts.most_common())]))
    )
    now = hashes(demo.later)
    then, out = hashes(demo.root), taken_out(demo)
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
    ("Release the first root to a Hub", release_the_first),
    ("Release what is left a year later, without a host that asked to be taken out", release_a_year_later),
    ("Verify what was published", verify),
    ("Stream it back with stock datasets", stream),
    ("Rebuild the first release, checked by its hashes", rebuild_the_first),
)
