"""Tars as what is trained on: what others publish, each pair once, and nothing of them believed."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from builder.disk.schema import pair_key
from builder.disk.tars import TarWriter
from builder.errors import InputError
from builder.train.config import TrainConfig
from builder.train.data import PairSource, open_source
from builder.train.tars import BYTES, MANY, MEMBERS, Tars
from tests.roots import jpeg, pair

Member = tuple[str | tarfile.TarInfo, bytes]


def write(path: Path, members: list[Member], kind: int = tarfile.USTAR_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as tar:
        for name, data in members:
            member = tarfile.TarInfo(name) if isinstance(name, str) else name
            member.size = member.size or len(data)
            tar.addfile(member, io.BytesIO(data) if data else None)
    return path


def three(number: int, name: str = "", **columns: Any) -> list[Member]:
    """A pair as img2dataset writes it."""
    name = name or f"{number:05d}"
    said = {"caption": f"图{number}", "url": f"http://x.test/{number}", "key": name, **columns}
    return [
        (f"{name}.jpg", jpeg(number)),
        (f"{name}.json", json.dumps(said).encode()),
        (f"{name}.txt", f"图{number}".encode()),
    ]


def rows(place: Path | str) -> list[dict[str, Any]]:
    tars = Tars(str(place))
    found = []
    for number, looked in enumerate(tars.looked()):
        assert looked.rows.tolist() == [*range(looked.starts[-1])]
        read = [
            row for group in range(len(looked.starts) - 1) for row in tars.read(number, group).to_pylist()
        ]
        assert [bytes.fromhex(row["key"]) for row in read] == [
            bytes(key).ljust(16, b"\0") for key in looked.keys
        ]
        found += read
    return found


def refused(path: Path, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        rows(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pairs_as_img2dataset_writes_them(tmp_path: Path) -> None:
    write(tmp_path / "0.tar", [*three(1), *three(2, recaption="好图")])
    assert rows(tmp_path / "*.tar") == [
        {
            "key": pair_key(f"http://x.test/{n}", f"图{n}"),
            "image": jpeg(n),
            "alt_text": f"图{n}",
            "recaption": after,
        }
        for n, after in ((1, None), (2, "好图"))
    ]


def test_pairs_as_rebuild_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "train-00000-of-00001.tar"
    writer = TarWriter(path, path.stem)
    writer.write_table(pa.Table.from_pylist([pair(number) for number in range(1, 9)]))
    writer.close()
    assert rows(path) == [
        {"image": one["image"]["bytes"], **{name: one[name] for name in ("key", "alt_text", "recaption")}}
        for one in map(pair, range(1, 9))
    ]


def test_pictures_with_a_text_alone_have_the_key_of_their_place(tmp_path: Path) -> None:
    write(
        tmp_path / "a.tar",
        [("x/1.b.PNG", b"not seen: its name ends in b.PNG"), ("x/1.WEBP", b"w"), ("x/1.txt", b"t ")],
    )
    assert rows(tmp_path / "a.tar") == [
        {"key": pair_key("a.tar/x/1", "t"), "image": b"w", "alt_text": "t", "recaption": None}
    ]
    (tmp_path / "moved").mkdir()
    there = (tmp_path / "a.tar").rename(tmp_path / "moved" / "a.tar")
    assert rows(there)[0]["key"] == pair_key("a.tar/x/1", "t")


def test_pairs_without_a_picture_or_a_text_keep_their_place(tmp_path: Path) -> None:
    write(
        tmp_path / "a.tar",
        [("1.txt", b"t"), ("2.jpg", b"j"), ("3.cls", b"7"), ("4.jpg", b"k"), ("4.txt", b"\xff\xfe")],
    )
    told = [(row["image"], row["alt_text"]) for row in rows(tmp_path / "a.tar")]
    assert told == [(None, "t"), (b"j", None), (b"k", None)]


NOTHING = (
    *(b"[1]", b"{", b'{"alt_text": 7}', b'{"alt_text": "\\ud800"}', b'{"key": "zz"}', b"[" * 100_000),
    b'{"a": ' + b"1" * 5000 + b"}",
)


@pytest.mark.parametrize("said", NOTHING)
def test_a_json_that_says_nothing_leaves_the_text(tmp_path: Path, said: bytes) -> None:
    write(tmp_path / "a.tar", [("1.jpg", b"j"), ("1.json", said), ("1.txt", b"t")])
    assert rows(tmp_path / "a.tar")[0] | {"image": b""} == {
        "key": pair_key("a.tar/1", "t"), "image": b"", "alt_text": "t", "recaption": None,
    }  # fmt: skip


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_long_and_chinese_names_in_every_format(tmp_path: Path, kind: int) -> None:
    name = f"{'d' * 80}/图片{'n' * 40}"
    write(tmp_path / "a.tar", [*three(1, name), *three(2, "short")], kind)
    stamped = tarfile.TarInfo("3.jpg")
    stamped.mtime = 1.5  # as webdataset writes them: a header of its own for the time
    write(tmp_path / "b.tar", [(stamped, b"j"), ("3.txt", b"t")], kind)
    assert [row["image"] for row in rows(tmp_path / "*.tar")] == [jpeg(1), jpeg(2), b"j"]
    assert rows(tmp_path / "b.tar")[0]["key"] == pair_key("b.tar/3", "t")


def special(name: str, kind: bytes, size: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.size, member.linkname = kind, size, "/etc/passwd"
    return member


def test_what_is_no_plain_file_is_passed_over(tmp_path: Path) -> None:
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)
    odd = [(special(f"{number}.jpg", kind), b"") for number, kind in enumerate(kinds, 10)]
    odd += [
        (special("20.jpg", tarfile.GNUTYPE_SPARSE, 5), b"holes"),
        ("._1.jpg", b"of a Mac"),
        (".hidden", b""),
    ]
    write(tmp_path / "a.tar", [*odd, *three(1), (special("1.png", tarfile.SYMTYPE), b""), *three(2)])
    assert [row["image"] for row in rows(tmp_path / "a.tar")] == [jpeg(1), jpeg(2)]


def test_a_sparse_member_with_further_headers_is_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", [(special("0.jpg", tarfile.GNUTYPE_SPARSE, 5), b"holes"), *three(1)])
    data = bytearray(path.read_bytes())
    data[482] = 1
    data[148:156] = b"%06o\0 " % (sum(data[:148]) + sum(data[156:512]) + 8 * 32)
    path.write_bytes(data[:512] + bytes(504) + b"\1" + bytes(7) + bytes(512) + data[512:])
    assert [row["image"] for row in rows(path)] == [jpeg(1)]


def test_what_is_no_tar_or_cut_off_is_told_by_its_name_and_place(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", [*three(1), *three(2)])
    data = path.read_bytes()
    refused(_with(path, data[:700]), r"ends within the member at byte 0: truncated")
    first = 512 - len(jpeg(1)) // -512 * 512
    refused(_with(path, data[: first + 100]), r"ends within the header at byte 1,\d+: truncated")
    refused(_with(path, b"\x1f\x8b" + data), "no header of a tar at byte 0: no tar, damaged, or compressed")
    huge = bytearray(data)
    huge[124:136] = b"77777777777\0"
    huge[148:156] = b"%06o\0 " % (sum(huge[:148]) + sum(huge[156:512]) + 8 * 32)
    refused(_with(path, bytes(huge)), r"the member at byte 0 has more than 268,435,456 bytes")
    assert (
        len(rows(_with(path, data.rstrip(b"\0") + bytes(-len(data.rstrip(b"\0")) % 512)))) == 2
    )  # without an end


def test_a_tar_without_an_end_is_read_and_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", [*three(1), *three(2)])
    data, said = path.read_bytes().rstrip(b"\0"), list[str]()
    _with(path, data + bytes(-len(data) % 512))
    tars = Tars(str(path), said.append)
    assert [len(looked.rows) for looked in tars.looked()] == [2]
    assert said == [f"{path}: 1 such tars have no end; they may be cut off between two pairs"]


def test_two_members_of_one_name_and_pairs_that_lie_apart_are_refused(tmp_path: Path) -> None:
    refused(write(tmp_path / "a.tar", [*three(1), *three(1)[:1]]), r"two members '00001\.jpg'")
    refused(
        write(tmp_path / "b.tar", [*three(1)[:1], *three(2), *three(1)[1:]]),
        "'00001' lie apart; sort the tar",
    )


def test_many_tars_are_looked_through_in_processes(tmp_path: Path) -> None:
    for number in range(MANY):
        write(tmp_path / f"{number:03}.tar", three(number))
    said: list[str] = []
    config = TrainConfig(str(tmp_path / "*.tar"), "run", batch_size=8, validation=0)
    source = open_source(config, said.append)
    assert [source.read(unit)["image"].to_pylist() for unit in source.train] == [
        [jpeg(n)] for n in range(MANY)
    ]
    assert said == [f"{tmp_path}/*.tar: looking through {MANY} tars, from end to end"]


def test_a_glob_without_tars_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such tars; write the glob in quotes"):
        Tars(str(tmp_path / "*.tar"))


@pytest.fixture
def source(tmp_path: Path) -> PairSource:
    for tar in range(3):
        write(tmp_path / f"{tar}.tar", [one for number in range(400) for one in three(tar * 400 + number)])
    return open_source(TrainConfig(str(tmp_path / "*.tar"), "run", batch_size=8, validation=0.1))


def test_tars_are_a_source_in_units_of_some_hundred_pairs(source: PairSource, tmp_path: Path) -> None:
    assert [len(unit.rows) > 0 for unit in source.train] == [True] * 6  # 1,200 members each
    assert {(unit.shard, unit.group) for unit in source.train} == {
        (tar, part) for tar in range(3) for part in (0, 1)
    }
    keys = {
        row["key"]
        for units in (source.train, source.validation)
        for u in units
        for row in source.read(u).to_pylist()
    }
    assert keys == {pair_key(f"http://x.test/{number}", f"图{number}") for number in range(1200)}
    assert source.pairs + source.identity["validation"] == 1200
    assert MEMBERS < 1200 < 2 * MEMBERS
    assert BYTES > 1200 * 2000


def test_a_tar_that_changed_is_another_root_and_one_that_shrank_is_told(
    source: PairSource, tmp_path: Path
) -> None:
    config = TrainConfig(str(tmp_path / "*.tar"), "run", batch_size=8, validation=0.1)
    assert open_source(config).identity == source.identity
    write(tmp_path / "1.tar", [one for number in range(20) for one in three(number)])
    assert open_source(config).identity["hash"] != source.identity["hash"]
    with pytest.raises(InputError, match=r"1\.tar: part 0 has 20 pairs"):
        [*map(source.read, source.train)]


def test_tars_whose_names_have_other_dots_say_what_a_pair_is(tmp_path: Path) -> None:
    write(tmp_path / "1.tar", [("a.b.jpg", b"x"), ("a.b.txt", b"y")])
    with pytest.raises(
        InputError, match=r"there is no pair in it; a pair is members NAME\.jpg and NAME\.txt"
    ):
        open_source(TrainConfig(str(tmp_path / "*.tar"), "run", batch_size=8))


def _with(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
