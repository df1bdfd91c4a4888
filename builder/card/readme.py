"""The card of a release: README.md, with figures and Croissant metadata, every number of it from the release.

    Release, schema ─▶ write_card ─▶ README.md, figures/*.png, croissant.json

The text is cards/manifest.md or cards/images.md. A field that is not filled, a number that no one counted, and a
funnel that does not add up fail the build.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from ..disk.release import CardDocument, Release
from ..errors import InputError, VerificationError
from . import croissant, figures
from .facts import facts
from .metadata import columns_said, columns_told, front_matter
from .template import fill

REPOSITORY = "ORG/NAME"  # where the release is not on the Hub yet


def named(release: Release, schema: pa.Schema, name: str, repository: str = REPOSITORY) -> Release:
    """The release with what its card is called, so that the card can be written again by release.json alone.

    schema: of the shards, for tars that of the rows they were written from, which their files do not tell; name: the
    title, empty for one by the source; repository: as load_dataset takes it.
    """
    said: CardDocument = {"title": name or default_title(release), "repository": repository}
    if release.has_tars:
        said["columns"] = columns_said(schema)
    return replace(release, funnel=release.funnel | {"card": said})


def write_card(folder: Path, release: Release, schema: pa.Schema) -> None:
    """Write README.md, figures/*.png and croissant.json of a release that is named into `folder`.

    Of release.files the shards, changes/ and removals/ count. Raises VerificationError where a number does not add up
    or is missing, InputError for an unknown license.
    """
    said = release.funnel["card"]
    card = render(release, schema, said["title"], said["repository"])
    drawn = figures.draw(release)
    described = croissant.checked(croissant.document(release, schema, said["title"], said["repository"]))
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for figure, data in drawn.items():
        (folder / "figures" / figure).write_bytes(data)
    (folder / croissant.NAME).write_text(described, encoding="utf-8")
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
    schema = columns_told(columns_said(schema))  # the same by the rows and by a footer
    body = fill(f"{release.what}.md", facts(release, schema) | {"title": title, "repository": repository})
    return f"---\n{front_matter(release, schema, title)}\n---\n{body}"
