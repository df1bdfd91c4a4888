"""The card of a release: README.md, with figures and Croissant metadata, every number of it from the release.

    Release, schema ─▶ write_card ─▶ README.md, figures/*.png, croissant.json

The text is cards/manifest.md or cards/images.md. A field that is not filled, a number that no one counted, and a
funnel that does not add up fail the build.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from ..disk.release import Release
from ..errors import InputError, VerificationError
from . import croissant, figures
from .facts import facts
from .metadata import front_matter
from .template import fill

REPOSITORY = "ORG/NAME"  # where the release is not on the Hub yet


def write_card(
    folder: Path, release: Release, schema: pa.Schema, name: str, repository: str = REPOSITORY
) -> None:
    """Write README.md, figures/*.png and croissant.json into `folder`.

    schema: of the shards, for tars that of the rows they were written from; name: the title, "" for one by the source;
    repository: as load_dataset takes it. Of release.files the shards, changes/ and removals/ count.
    Raises VerificationError where a number does not add up or is missing, InputError for an unknown license.
    """
    title = name or default_title(release)
    card = render(release, schema, title, repository)
    drawn = figures.draw(release)
    described = croissant.checked(croissant.document(release, schema, title, repository))
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for figure, data in drawn.items():
        (folder / "figures" / figure).write_bytes(data)
    (folder / croissant.NAME).write_bytes(described)
    (folder / "README.md").write_text(card, encoding="utf-8")


def check_columns(what: str, schema: pa.Schema) -> None:
    """InputError, before any shard is made, for a column that the card or Croissant cannot describe."""
    from datasets import Features

    for field in schema:
        try:
            Features.from_arrow_schema(pa.schema([field]))
        except (ValueError, TypeError) as error:
            raise InputError(
                f"column {field.name}: {field.type} has no place in a release: {error}"
            ) from error
    shard = {f"{what}/train-00000-of-00001.parquet": {"rows": 0, "bytes": 0, "sha256": "0" * 64}}
    day = "2026-01-01T00:00:00Z"
    empty = Release(
        what, "v0", day, validated=False, license="mit", source="", files=shard, counts={}, funnel={}
    )
    try:
        croissant.checked(croissant.document(empty, schema, "columns", REPOSITORY))
    except VerificationError as error:
        raise InputError(f"a column has no place in a release: {error}") from error


def default_title(release: Release) -> str:
    """DanQing100M, verified manifest: by the source and what is released."""
    source = release.source.rstrip("/").rpartition("/")[2] or "Image–text pairs"
    return f"{source}, {'verified manifest' if release.what == 'manifest' else 'images'}"


def render(release: Release, schema: pa.Schema, title: str, repository: str = REPOSITORY) -> str:
    """README.md: front matter and body."""
    body = fill(f"{release.what}.md", facts(release, schema) | {"title": title, "repository": repository})
    return f"---\n{front_matter(release, schema, title)}\n---\n{body}"
