"""changes/: exactly the pairs of the last release that this one lacks, each with why, the same bytes every time."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.disk.digests import KEY, hex_of, keys_of
from builder.disk.removals import Removals
from builder.disk.schema import CHANGES, pair_key
from builder.errors import InputError
from builder.reasons import Cause
from builder.release import changes
from builder.release.changes import previous_keys, write
from builder.release.plan import Previous
from tests.hub.clients import answers, client_env
from tests.releases import files_of, listed, write_release
from tests.roots import make_root
from tests.scored import Scoring, make_scored

SHARD = "manifest/train-00000-of-00001.parquet"
NOTHING = Removals.of(())


def url(number: int) -> str:
    return f"http://images.test/{number}.jpg"


def key(number: int) -> str:
    return pair_key(url(number), f"第{number}张图片")


def shard(numbers: Iterable[int], **columns: Sequence[Any]) -> pa.Table:
    """A shard of the pairs of tests.roots with these numbers."""
    numbers = list(numbers)
    return pa.table({"key": [key(i) for i in numbers], "url": [url(i) for i in numbers], **columns})


def previous(
    folder: Path, numbers: Iterable[int], what: str = "manifest", **columns: Sequence[Any]
) -> Previous:
    """A release of two shards with these pairs."""
    table = shard(numbers, **columns)
    half = table.num_rows // 2
    parts = {
        f"{what}/train-0000{i}-of-00002.parquet": part for i, part in enumerate((table[:half], table[half:]))
    }
    return Previous(str(folder), write_release(folder, "v1", parts))


def kept(folder: Path, table: pa.Table) -> list[Path]:
    """The new release, a file."""
    folder.mkdir(exist_ok=True)
    pq.write_table(table, folder / "new.parquet", row_group_size=max(5, table.num_rows // 10))
    return [folder / "new.parquet"]


def reasons(path: Path) -> dict[int, str]:
    """The reason by the number of the pair."""
    numbers = {key(i): i for i in range(1000)}
    return {numbers[row["key"]]: row["reason"] for row in pq.read_table(path).to_pylist()}


def test_only_what_is_gone_is_told_sorted_and_dated(tmp_path: Path) -> None:
    before = previous(tmp_path / "r", range(20))
    out = tmp_path / "changes" / "v2.parquet"
    new = kept(tmp_path / "new", shard([*range(3, 18), *range(50, 60)]))
    assert write(str(tmp_path / "root"), before, new, NOTHING, out, "v2") == {"absent": 5}
    table = pq.read_table(out)
    assert table.schema.equals(CHANGES)
    assert table["key"].to_pylist() == sorted(key(i) for i in (0, 1, 2, 18, 19))
    assert set(table["since"].to_pylist()) == {"v2"}
    assert [path.name for path in out.parent.iterdir()] == ["v2.parquet"]


def test_every_reason_comes_from_where_it_was_decided(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make_root(root, shards=2)
    rows = make_scored(root)
    for file in (
        root / "images"
    ).iterdir():  # as a rebuild leaves it: what it dropped has no picture and no score
        file.unlink()
    before = previous(tmp_path / "r", range(60))
    out = tmp_path / "v2.parquet"
    new = kept(tmp_path / "new", shard(i for i in range(50) if rows[i]["kept"]))
    gone = listed(("url", url(55)), ("key", key(3)), ("url", "https://images.test/1.jpg"))
    counts = write(str(root), before, new, gone, out, "v2")
    told = reasons(out)
    assert Counter(told.values()) == counts
    for number in set(range(50)) & told.keys() - {1, 3}:
        cause, verdict = rows[number]["cause"], rows[number]["verdict"]
        assert told[number] == (cause if cause == Cause.MIN_SCORE else verdict), number
    assert told.keys() == {i for i in range(50) if not rows[i]["kept"]} | set(range(50, 60))
    assert {i for i in told if told[i] == "removed"} == {3, 55}  # 1 is listed, yet it was released
    assert {told[i] for i in range(50, 60) if i != 55} == {"absent"}


def test_without_scores_the_outcome_of_the_rebuild_is_the_reason(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make_root(root, shards=1)
    out = tmp_path / "v2.parquet"
    new = kept(tmp_path / "new", shard(i for i in range(25) if i % 3))
    assert write(str(root), previous(tmp_path / "r", range(30)), new, NOTHING, out, "v2") == {
        "absent": 5,
        "http_4xx": 9,
    }
    assert {i for i, reason in reasons(out).items() if reason == "http_4xx"} == set(range(0, 25, 3))


def test_scores_that_nothing_was_decided_by_say_nothing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make_root(root, shards=1)
    make_scored(root, Scoring(decided=False))
    new = kept(tmp_path / "new", shard(range(1, 25)))
    counts = write(
        str(root), previous(tmp_path / "r", range(25)), new, NOTHING, tmp_path / "v2.parquet", "v2"
    )
    assert counts == {"http_4xx": 1}


@pytest.mark.parametrize("entry", [("host", "images.test"), ("host", "test.images.test"), ("key", key(2))])
def test_the_list_goes_before_every_other_reason(tmp_path: Path, entry: tuple[str, str]) -> None:
    root = tmp_path / "root"
    make_root(root, shards=1)
    make_scored(root)
    out = tmp_path / "v2.parquet"
    write(
        str(root),
        previous(tmp_path / "r", range(30)),
        kept(tmp_path / "new", shard([5])),
        listed(entry),
        out,
        "v2",
    )
    gone = {i for i, reason in reasons(out).items() if reason == "removed"}
    assert gone == {"images.test": set(range(30)) - {5}, "test.images.test": set(), key(2): {2}}[entry[1]]


def test_a_flagged_pair_of_a_pinned_release_is_not_in_it(tmp_path: Path) -> None:
    flags = [i % 4 != 0 for i in range(20)]
    before = previous(tmp_path / "r", range(20), "images", kept=flags)
    now = [i % 4 != 0 and i != 7 for i in range(20)]
    out = tmp_path / "v2.parquet"
    new = kept(tmp_path / "new", shard(range(20), kept=now))
    assert write(str(tmp_path / "root"), before, new, NOTHING, out, "v2") == {"absent": 1}
    assert reasons(out) == {7: "absent"}
    assert len(previous_keys(before)) == 15


def test_a_pair_that_is_flagged_no_more_is_back(tmp_path: Path) -> None:
    before = previous(tmp_path / "r", range(4), "images", kept=[True, True, True, False])
    new = kept(tmp_path / "new", shard(range(4), kept=[True] * 4))
    assert write(str(tmp_path / "root"), before, new, NOTHING, tmp_path / "v2.parquet", "v2") == {}
    assert pq.read_metadata(tmp_path / "v2.parquet").num_rows == 0


def test_a_pair_that_comes_twice_counts_once(tmp_path: Path) -> None:
    before = previous(tmp_path / "r", [1, 2, 2, 3, 3, 3])
    new = kept(tmp_path / "new", shard([1, 1]))
    assert write(str(tmp_path / "root"), before, new, NOTHING, tmp_path / "v2.parquet", "v2") == {"absent": 2}


def test_the_same_releases_make_the_same_bytes(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make_root(root, shards=3)
    make_scored(root)
    made = []
    for name, numbers in (("a", range(75)), ("b", reversed(range(75)))):
        before = previous(tmp_path / name, numbers)
        new = kept(tmp_path / f"new-{name}", shard(range(10, 30)))
        write(str(root), before, new, listed(("key", key(2))), tmp_path / f"{name}.parquet", "v2")
        made.append((tmp_path / f"{name}.parquet").read_bytes())
    assert made[0] == made[1]


def test_tars_are_read_for_their_keys(tmp_path: Path) -> None:
    path = "images/train-00000-of-00001.tar"
    (tmp_path / "r" / "images").mkdir(parents=True)
    with tarfile.open(tmp_path / "r" / path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number in range(5):
            files = {"jpg": b"x" * 2000, "txt": b"x", "json": json.dumps({"key": key(number)}).encode()}
            for suffix, data in files.items():
                member = tarfile.TarInfo(f"{number:06d}.{suffix}")
                member.size = len(data)
                tar.addfile(member, BytesIO(data))
    release = write_release(tmp_path / "r", "v1", {SHARD.replace("manifest", "images"): shard([])})
    release.files[path] = {"rows": None, "bytes": 1, "sha256": "0" * 64}
    out = tmp_path / "v2.parquet"
    new = [tmp_path / "r" / path, *kept(tmp_path / "new", shard([8]))]
    before = previous(tmp_path / "p", range(7))
    assert write(str(tmp_path / "root"), before, new, NOTHING, out, "v2") == {"absent": 2}
    assert len(previous_keys(Previous(str(tmp_path / "r"), release))) == 5


def test_a_shard_that_cannot_be_read_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    before = previous(tmp_path / "r", range(20))
    (tmp_path / "r/manifest/train-00001-of-00002.parquet").write_bytes(b"PAR1")
    out = tmp_path / "changes" / "v2.parquet"
    with pytest.raises(InputError, match=r"train-00001-of-00002\.parquet"):
        write(str(tmp_path / "root"), before, [], NOTHING, out, "v2")
    assert not out.parent.exists()


def test_a_release_on_the_hub_is_compared_with_where_it_lies(hub: Any, tmp_path: Path) -> None:
    previous(tmp_path / "r", range(40))
    revision = hub.push("tester/x", files_of(tmp_path / "r"))
    hub.push("tester/x", {"manifest/train-00000-of-00002.parquet": None})
    kept(tmp_path / "new", shard(range(5, 40)))
    code = f"""
        import json
        from pathlib import Path
        from builder.release.changes import write
        from builder.release.plan import Previous
        from builder.disk.release import read
        from builder.disk.removals import Removals, digest_of

        url = "hf://datasets/tester/x@{revision}"
        removals = Removals.of([("host", digest_of("host", "images.test"), "v2")])
        out = Path("{tmp_path}/v2.parquet")
        before, new = Previous(url, read(url)), ["{tmp_path}/new/new.parquet"]
        print(json.dumps(write("{tmp_path}/root", before, new, removals, out, "v2")))
    """
    assert answers(code, client_env(hub, tmp_path, xet=False)) == {"removed": 5}
    assert reasons(tmp_path / "v2.parquet") == dict.fromkeys(range(5), "removed")


def test_half_a_million_pairs_take_seventeen_bytes_each_and_a_moment(tmp_path: Path) -> None:
    rows, gone = 500_000, changes.ROW_GROUP + 1000
    draw = np.random.default_rng(0)
    digests = np.frombuffer(draw.bytes(16 * rows), KEY)
    table = pa.table({"key": hex_of(digests)})
    before = Previous(str(tmp_path / "r"), write_release(tmp_path / "r", "v1", {SHARD: table[:7]}))
    pq.write_table(table, tmp_path / "r" / SHARD)
    before.release.files[SHARD]["rows"] = rows
    out = tmp_path / "v2.parquet"
    counts = write(str(tmp_path / "root"), before, kept(tmp_path / "n", table[gone:]), NOTHING, out, "v2")
    assert counts == {"absent": gone}
    found = keys_of(pq.read_table(out)["key"])[0]
    assert np.array_equal(found, np.sort(digests[:gone]))
    assert previous_keys(before).nbytes == 16 * rows
