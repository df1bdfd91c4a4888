"""`danqing verify` as it is typed: exit codes, what goes where, and against a Hub on loopback."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from builder import __version__
from builder.cli import main
from tests.hub import Hub
from tests.hub.clients import answers, client_env, run_client
from tests.published import made
from tests.published.broken import carded, recounted

SHARD = "images/train-00000-of-00002.parquet"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    made.make(folder)
    return folder


def test_a_true_release(release: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(release), "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(f"release   {release}: images v2026.11, 23 pairs\nread      8 files, 28 rows, ")
    assert "28 pictures decoded" in out
    assert out.endswith("it holds what it says\n")


def test_as_json(release: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(release), "--json", "--quick", "--sample", "2", "--workers", "1"]) == 0
    found = json.loads(capsys.readouterr().out)
    picked = {name: found[name] for name in ("version", "rows", "kept", "pictures", "quick", "differences")}
    assert picked == {
        "version": "v2026.11",
        "rows": 28,
        "kept": 23,
        "pictures": 2,
        "quick": True,
        "differences": [],
    }


def test_all_differences_are_told_and_the_first_again(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(release, tmp_path / "release")
    (folder / SHARD).write_bytes((folder / SHARD).read_bytes()[:-1])
    (folder / "danqing.py").write_text("")
    assert main(["verify", str(folder), "--quiet"]) == 1
    out, err = capsys.readouterr()
    assert out.endswith("\nit does not hold what it says\n")
    lines = err.splitlines()
    assert len(lines) > 3
    assert all(line.startswith("danqing: ") for line in lines)
    assert any(line.startswith("danqing: danqing.py: should not be there") for line in lines)
    assert lines[-1].startswith(
        f"danqing: {folder}: does not hold what it says: {lines[0].removeprefix('danqing: ')}"
    )
    assert lines[-1].endswith(f", and {len(lines) - 2} more lines above")
    assert main(["verify", str(folder), "--json"]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert [f"danqing: {line}" for line in found["differences"]] == lines[:-1]
    assert (found["error"], found["exit_code"]) == (lines[-1].removeprefix("danqing: "), 1)
    assert err.splitlines() == lines


def test_one_of_another_version_says_what_was_not_compared(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(release, tmp_path / "release"))
    carded(r"Made with danqing .*\.", "Made with danqing 0.0.9.")(folder)
    recounted("danqing", value="0.0.9")(folder)
    assert main(["verify", str(folder), "--quiet", "--quick"]) == 0
    other = f"written by danqing 0.0.9, this is danqing {__version__}: its prose was not compared"
    assert f"\ncard      {other}\n" in capsys.readouterr().out
    assert main(["verify", str(folder), "--quick", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["prose"] == other
    assert main(["verify", str(release), "--quick", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["prose"] is None


def test_hostile_names_stay_on_their_line(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(release, tmp_path / "release")
    (folder / "a\nb\x1b[31m").write_text("x")
    assert main(["verify", str(folder), "--quiet"]) == 1
    err = capsys.readouterr().err
    assert "a b?[31m: should not be there" in err
    assert "\x1b" not in err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["nowhere"], 3, "nowhere: no such folder; give a release, or ORG/NAME@revision"),
        (["."], 3, ".: no release: it has no release.json"),
        ([".", "--sample", "-1"], 2, "--sample -1: must be"),
        ([], 2, "SOURCE|source"),
        (["nothing://x"], 3, "nothing://x"),
    ],
)
def test_refusals(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["verify", *words]) == code
    err = capsys.readouterr().err
    assert re.search(told, err)
    assert err.count("\n") == 1
    assert main(["verify", *words, "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert (found["exit_code"], found["differences"]) == (code, [])
    assert f"danqing: {found['error']}\n" == err


def uploaded(hub: Hub, folder: Path, tmp: Path) -> dict[str, str]:
    env = client_env(hub, tmp)
    run_client(["hf", "upload", "tester/danqing", str(folder), ".", "--type", "dataset"], env)
    return env


# In one process, as to import the clients costs seconds: what a reader does with a release on the Hub.
READER = """
import contextlib, io, json, re, sys
from builder.cli import main
from builder.console import Console
from builder.published.check import check
from builder.disk.location import address

def differences(source, depth):
    return check(address(source), depth, Console(quiet=True)).differences

found = {"full": differences("tester/danqing", "full"), "quick": differences("tester/danqing@main", "quick")}
url = check(address("tester/danqing"), "quick", Console(quiet=True)).url
found["pinned"] = bool(re.fullmatch("hf://datasets/tester/danqing@[0-9a-f]{40}", url))
import danqing, datasets
def read(**options):
    pairs = danqing.load("tester/danqing", split="train", streaming=True, **options)
    return [row["verdict"] for row in pairs]
found["kept"] = sorted(set(read(columns=["verdict"])))
found["drifted"] = len(read(columns=["verdict"], verdicts="drifted"))
found["all"] = len(read(columns=["verdict"], verdicts="all"))
stock = datasets.load_dataset("tester/danqing", split="train", streaming=True)
found["stock"] = sum(1 for row in stock if row["image"].size[0] == row["width"])
found["whole"] = datasets.load_dataset("tester/danqing", split="validation").num_rows
from huggingface_hub import HfApi
HfApi().upload_file(path_or_fileobj=b"terms", path_in_repo="LICENSE", repo_id="tester/danqing", repo_type="dataset")
HfApi().upload_file(path_or_fileobj=b"junk", path_in_repo="SHARD", repo_id="tester/danqing", repo_type="dataset")
found["broken"] = differences("tester/danqing", "quick")
found["code"] = main(["verify", "tester/danqing", "--quick"])
found["gone"] = main(["verify", "tester/gone", "--quiet"])
with contextlib.redirect_stderr(io.StringIO()) as told:
    main(["rebuild", "tester/danqing", "root"])
found["rebuild"] = told.getvalue()
print(json.dumps(found))
""".replace("SHARD", SHARD)


def test_on_the_hub(hub: Hub, release: Path, tmp_path: Path) -> None:
    env = uploaded(hub, release, tmp_path)
    found = answers(READER, env)
    assert (found["full"], found["quick"], found["pinned"]) == ([], [], True)
    assert found["kept"] == ["same"]
    assert (found["drifted"], found["all"], found["stock"], found["whole"]) == (4, 22, 18, 5)
    assert any(line.startswith(f"{SHARD}: bytes should be") for line in found["broken"])
    assert not any("LICENSE" in line for line in found["broken"])
    assert (found["code"], found["gone"]) == (1, 3)
    where, refused = found["rebuild"].splitlines()
    assert "read from the Hub, hf://datasets/tester/danqing" in where
    assert "hf://datasets/tester/danqing: a release of images" in refused


def test_a_push_meanwhile_a_refusal_and_rot_on_the_hub(hub: Hub, release: Path, tmp_path: Path) -> None:
    env = uploaded(hub, release, tmp_path)
    before = hub.head("tester/danqing")
    pinned = f"hf://datasets/tester/danqing@{before.oid}"

    def verified(source: str, *words: str) -> tuple[int, str]:
        done = run_client(["danqing", "verify", source, *words], env, check=False)
        return done.returncode, done.stderr

    hub.during("GET", "/tree/", lambda: hub.push("tester/danqing", {"README.md": b"other"}))
    first = "tester/danqing: read from the Hub, hf://datasets/tester/danqing, as there is no such path here\n"
    assert verified("tester/danqing", "--quick") == (0, first)
    assert hub.head("tester/danqing") != before

    hub.fail("GET", f"/resolve/.*/{SHARD}", 403, times=9)
    code, told = verified(pinned, "--quick")
    assert code == 4
    assert told.count("\n") == 1
    assert f"{SHARD}: " in told
    assert "damaged" not in told

    hub.forget()
    stored = hub.content(before.files["figures/score.png"])
    stored.write_bytes(stored.read_bytes()[::-1])
    assert verified(pinned, "--quick")[0] == 0  # the Hub's own listing says otherwise
    code, told = verified(pinned)
    assert code == 1
    assert "figures/score.png: sha256 should be" in told
