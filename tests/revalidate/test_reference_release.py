"""A release as the reference: `danqing revalidate --reference RELEASE` finds what it recorded, wherever it lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest

from builder.disk.digests import keys_of
from builder.disk.schema import saying
from builder.errors import InputError
from builder.manifest import ManifestOptions, open_manifest
from builder.rebuild.assemble import keys_of as keys_of_rows
from builder.revalidate.reference import open_reference
from builder.towers import Checkpoint
from tests.hub.clients import answers, client_env
from tests.releases import files_of, listed, pairs, write_release
from tests.scored import CHECKPOINT as SCORED_BY

from .test_reference import look

CHECKPOINT = Checkpoint(Path("x"), "org/tiny", "tiny", None, SCORED_BY["fingerprint"], kind="siglip")
URLS = [f"http://a.test/{i}.jpg" for i in range(30)]


def release(folder: Path) -> str:
    """A verified manifest in two shards, with a removal list and a diff that have keys too."""
    table = pairs(
        URLS,
        sha256=[f"{i:064x}" for i in range(30)],
        code=pa.array([bytes([i]) * 32 for i in range(30)], pa.binary()),
        score=[i / 100 for i in range(30)],
        verdict=["same"] * 30,
    )
    table = table.cast(saying(table.schema, {**SCORED_BY, "caption": "alt_text"}))
    shards = {f"manifest/train-0000{i}-of-00002.parquet": table[15 * i : 15 * i + 15] for i in range(2)}
    write_release(folder, "v0", {"changes/v0.parquet": pa.table({"key": ["0" * 32], "reason": ["dead"]})})
    write_release(folder, "v1", shards, listed(("key", "0" * 32)))
    return str(folder)


@pytest.mark.parametrize("where", ["disk", "store"])
def test_every_row_of_a_rebuild_from_a_release_is_found_in_it(tmp_path: Path, where: str) -> None:
    source = release(tmp_path / "r")
    if where == "store":
        files = {f"/recorded/{path}": data for path, data in files_of(tmp_path / "r").items()}
        fsspec.filesystem("memory").pipe(files)
        source = "memory://recorded"
    manifest = open_manifest(source, ManifestOptions())
    (table,) = manifest.tables("train", [(0, 30)])
    found = open_reference(look(source, CHECKPOINT), tmp_path / "work").lookup(
        keys_of(pa.array(keys_of_rows(table)))[0]
    )
    assert found["known"].all()
    assert found["code"][:, 0].tolist() == list(range(30))
    assert found["sha256"][:, 31].tolist() == list(range(30))
    assert np.allclose(found["scores"][:, 0], np.arange(30) / 100)


def test_a_release_of_images_is_no_reference(tmp_path: Path) -> None:
    write_release(tmp_path, "v1", {"images/train-00000-of-00001.parquet": pairs(URLS)})
    with pytest.raises(InputError, match=r"a release of images.* or give the release of a manifest"):
        look(str(tmp_path), CHECKPOINT)


def test_a_release_on_the_hub_is_a_reference(hub: Any, tmp_path: Path) -> None:
    release(tmp_path / "r")
    revision = hub.push("tester/x", files_of(tmp_path / "r"))
    code = f"""
        import json
        from pathlib import Path
        import pyarrow as pa
        from builder.revalidate.reference import Recorded, find_parts, open_reference
        from builder.disk.digests import keys_of
        from builder.towers import Checkpoint
        checkpoint = Checkpoint(Path("x"), "org/tiny", "tiny", None, "{CHECKPOINT.fingerprint}", kind="siglip")
        source = "hf://datasets/tester/x@{revision}"
        index = open_reference(Recorded.of(source, find_parts(source), checkpoint), Path("{tmp_path}/work"))
        keys = {pairs(URLS)["key"].to_pylist()!r}
        print(json.dumps(index.lookup(keys_of(pa.array(keys))[0])["code"][:, 5].tolist()))
    """
    assert answers(code, client_env(hub, tmp_path, xet=False)) == list(range(30))
