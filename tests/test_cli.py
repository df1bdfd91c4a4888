"""The command line: from words to a Config, from an outcome to stdout, stderr and an exit code."""

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import builder
from builder.cli import STAGES, Row, load, main, parse
from builder.console import Console
from builder.errors import UsageError
from builder.reasons import REBUILD_REASONS, Reason
from builder.rebuild.config import RebuildConfig
from tests.hub.clients import client_env, run_client

# A stage of the tests' own: what it does is what its INPUT says.
STAGE = """
from dataclasses import dataclass
from builder.errors import DanqingError, InputError, Interrupted, VerificationError
from builder.options import option

@dataclass(frozen=True)
class Config:
    input: str = option("", "what to do", positional=True)
    many: int = option(1, "how many", shared=False)
    json: bool = option(False, "JSON", shared=True)
    quiet: bool = option(False, "quiet", shared=True)
    no_color: bool = option(False, "plain", shared=True)
    debug: bool = option(False, "debug", shared=True)

class Summary:
    def __init__(self, config): self.config = config
    def lines(self): return ["一张图", f"many {self.config.many}"]
    def as_dict(self): return {"caption": "一张图", "many": self.config.many}

def run(config, console):
    console.info("a note")
    console.warn("a warning")
    if config.input != "work":
        raise eval(config.input)
    return Summary(config)
"""


def row(module: str, about: str = "") -> Row:
    return Row(about, f"{module}:Config", f"{module}:run")


@pytest.fixture
def stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Row]:
    (tmp_path / "stage_of_the_tests.py").write_text(STAGE)
    monkeypatch.syspath_prepend(tmp_path)
    return {"work": row("stage_of_the_tests", "does what it is told")}


def python(code: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, **options
    )  # type: ignore[call-overload,no-any-return]


def test_result_goes_to_stdout_and_notes_to_stderr(
    stages: Mapping[str, Row], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["work", "work", "--many", "3"], stages) == 0
    assert capsys.readouterr() == ("一张图\nmany 3\n", "a note\nwarning: a warning\n")


def test_json_is_one_object(stages: Mapping[str, Row], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["work", "work", "--json"], stages) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"caption": "一张图", "many": 1}
    assert err == "warning: a warning\n"


# What each command is asked that it cannot do.
MISSING = {
    "crawl": ["gone.wat.gz", "out"],
    "refine": ["gone.parquet", "out"],
    "rebuild": ["gone.parquet", "out"],
    "revalidate": ["gone"],
    "curate": ["gone", "--embedder", "tiny"],
    "release": ["gone", "out", "--license", "mit"],
    "verify": ["gone"],
    "train": ["gone", "run", "--model", "tiny"],
    "evaluate": ["gone", "--output", "out"],
    "report": ["gone", "page.html"],
    "status": ["gone"],
    "demo": ["--no-such-flag"],
}


@pytest.mark.parametrize("name", STAGES)
def test_json_is_one_object_also_of_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code = main([name, *MISSING[name], "--json"])
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert code in (2, 3)
    assert found == {"error": found["error"], "exit_code": code, "differences": []}
    assert err.splitlines()[-1] == f"danqing: {found['error']}"


def test_json_of_what_nobody_can_have_wanted_is_one_object(
    stages: Mapping[str, Row], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = tmp_path / "doubtful_stage_of_the_tests.py"
    module.write_text(STAGE.replace("class Summary:", "class Summary:\n    failure = 'nothing kept'"))
    doubtful = {"work": row(module.stem, "keeps nothing")}
    assert main(["work", "work", "--json"], doubtful) == 1
    out, err = capsys.readouterr()
    assert json.loads(out) == {"caption": "一张图", "many": 1, "error": "nothing kept", "exit_code": 1}
    assert err.endswith("danqing: nothing kept\n")


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        ("VerificationError('3 of 4')", 1, "3 of 4"),
        ("InputError('x.csv: no such file')", 3, "x.csv: no such file"),
        ("Interrupted('stopped')", 130, "stopped"),
        ("KeyboardInterrupt()", 130, "interrupted; the same command goes on from here"),
        ("KeyError('k')", 1, "unexpected KeyError: 'k'; run again with --debug"),
        (
            "ValueError('two\\nlines \\x1b[2J')",
            1,
            "unexpected ValueError: two lines ?[2J; run again with --debug",
        ),
        ("OSError(2, 'No such file', 'f')", 1, "unexpected FileNotFoundError"),
    ],
)
def test_an_error_is_one_line_and_a_code(
    stages: Mapping[str, Row], capsys: pytest.CaptureFixture[str], raised: str, code: int, said: str
) -> None:
    assert main(["work", raised, "--quiet"], stages) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"danqing: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["ENOSPC", "EROFS", "EACCES"])
def test_a_disk_that_cannot_is_code_4(
    stages: Mapping[str, Row], capsys: pytest.CaptureFixture[str], name: str
) -> None:
    number = getattr(errno, name)
    assert main(["work", f"OSError({number}, 'the cause', '/root/x')", "--quiet"], stages) == 4
    assert capsys.readouterr().err == "danqing: /root/x: the cause; mend it and run the same command again\n"


@pytest.fixture
def nobody() -> str:
    """The URL of a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        return f"http://127.0.0.1:{one.getsockname()[1]}"


@pytest.mark.parametrize("words", ["status ROOT", "report ROOT page.html"])
def test_a_store_that_cannot_be_reached_is_code_4(
    nobody: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.replace("ROOT", f"{nobody}/root").split()) == 4
    assert capsys.readouterr().err.endswith("; mend it and run the same command again\n")


def test_a_hub_that_cannot_be_reached_is_code_4(nobody: str, tmp_path: Path) -> None:
    words = ["danqing", "status", "hf://datasets/org/name"]
    done = run_client(words, client_env(nobody, tmp_path, xet=False), check=False)
    assert done.returncode == 4
    assert "danqing: 127.0.0.1 cannot be reached (" in done.stderr


def test_debug_adds_the_traceback(stages: Mapping[str, Row], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["work", "KeyError('k')", "--debug"], stages) == 1
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.endswith("danqing: unexpected KeyError: 'k'; run again with --debug\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "which stage? there are crawl, refine, rebuild, "),
        (["rebiuld", "a", "b"], "rebiuld: no such stage; there are crawl, refine, rebuild, "),
        (["--quiet"], "unrecognized arguments: --quiet; see danqing --help"),
        (["rebuild", "a"], "the following arguments are required: OUTPUT; see danqing rebuild --help"),
        (["rebuild", "a", "b", "--image-sise", "3"], "unrecognized arguments: --image-sise 3"),
        (
            ["crawl", "a.wat.gz", "b.wat.gz", "c"],
            "unrecognized arguments: c; a pattern needs quotes, or the shell",
        ),
        (["rebuild", "a", "b", "--imag", "3"], "unrecognized arguments: --imag 3"),
        (["rebuild", "a", "b", "--image-size", "x"], "argument --image-size: invalid int value: 'x'"),
        (["rebuild", "a", "b", "--resize", "crop"], "argument --resize: invalid choice: 'crop'"),
        (["rebuild", "a", "b", "--max-bytes", "lots"], "argument --max-bytes: 'lots' is no size"),
        (["rebuild", "a", "b", "--quality", "101"], "--quality 101: must be from 1 to 100"),
    ],
)
def test_usage_errors_are_one_line_and_code_2(
    capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"danqing: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "wrong",
    [
        "--image-size 0", "--image-size 70000", "--quality 0", "--min-side -1", "--max-aspect 0.5",
        "--max-aspect nan", "--max-bytes 0", "--max-pixels 0", "--timeout 0", "--timeout nan", "--timeout inf",
        "--retries -1", "--concurrency -1", "--per-host 0", "--shard-size 0", "--validation 1",
        "--validation -0.1", "--limit -1", "--rank 1", "--rank -1", "--rank 3 --world-size 3", "--world-size 0",
        "--seed -1", "--workers -1", "--encode original", "--encode original --resize center-crop",
        "--retry-failed timeot", "--retry-failed timeout,nope", "--user-agent ''", "--overwrite --world-size 2",
    ],
)  # fmt: skip
def test_rebuild_refuses(wrong: str) -> None:
    words = [word.strip("'") for word in wrong.split()]
    with pytest.raises(UsageError, match=words[0]):
        parse(["rebuild", "a", "b", *words])


@pytest.mark.parametrize("agent", ["a\nb: c", "爬虫", "a\x00"])
def test_rebuild_refuses_a_user_agent_that_breaks_the_header(agent: str) -> None:
    with pytest.raises(UsageError, match="--user-agent"):
        parse(["rebuild", "a", "b", "--user-agent", agent])


def test_rebuild_reads_its_flags() -> None:
    words = "a b --image-size 384 --max-bytes 8MiB --rank 2 --world-size 3 --encode original --resize none"
    _, config = parse(["rebuild", *words.split(), "--url-column", "图"])
    assert config == RebuildConfig(
        "a", "b", image_size=384, max_bytes=8 << 20, rank=2, world_size=3, encode="original", resize="none",
        url_column="图",
    )  # fmt: skip


def test_retry_failed_lists_and_names_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    assert RebuildConfig(retry_failed="timeout, dns").retried == {Reason.TIMEOUT, Reason.DNS}
    assert RebuildConfig(retry_failed="all").retried == set(REBUILD_REASONS)
    assert RebuildConfig().retried == frozenset()
    assert main(["rebuild", "a", "b", "--retry-failed", "nope"]) == 2
    assert capsys.readouterr().err == (
        f"danqing: --retry-failed nope: no such reason; there are all, {', '.join(REBUILD_REASONS)}\n"
    )
    with pytest.raises(SystemExit):
        main(["rebuild", "--help"])
    text = "".join(capsys.readouterr().out.split())
    assert all(reason in text for reason in REBUILD_REASONS)


def test_every_option_has_help_and_every_stage_the_same_four_flags() -> None:
    for row in STAGES.values():
        made = load(row.config)
        fields = made.__dataclass_fields__
        assert all(field.metadata["help"] for field in fields.values())
        assert {"json", "quiet", "no_color", "debug"} <= {
            n for n, f in fields.items() if f.metadata.get("shared")
        }


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["rebuild", "--help"]])
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    code = f"""
import sys
from builder.cli import main
try: main({words!r})
except SystemExit as end: assert end.code == 0
heavy = {{"pyarrow", "datasets", "aiohttp", "numpy", "PIL", "torch", "fsspec", "tqdm", "cv2"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")
    assert "danqing" in done.stdout


def test_help_lists_the_stages_and_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(f"  {name}" in out and row.about in out for name, row in STAGES.items())
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"danqing {builder.__version__}\n"


def test_a_reader_that_leaves_is_no_error(stages: Mapping[str, Row], tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from builder.cli import Row, main
sys.exit(main(["work", "work", "--quiet"], {{"work": Row("", "stage_of_the_tests:Config", "stage_of_the_tests:run")}}))
"""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_terminal_without_chinese_gets_escapes(stages: Mapping[str, Row], tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from builder.cli import Row, main
sys.exit(main(["work", "work"], {{"work": Row("", "stage_of_the_tests:Config", "stage_of_the_tests:run")}}))
"""
    done = python(code, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "\\u4e00\\u5f20\\u56fe"


def test_the_process_ends_with_what_was_registered_and_before_the_interpreter_does() -> None:
    code = """
import atexit, sys
from builder import cli

class Last:
    def __del__(self): print("the interpreter takes itself down")

last = Last()
atexit.register(print, "registered")
sys.argv = ["danqing", "status", "nowhere"]
cli.script()
"""
    done = python(code)
    assert (done.returncode, done.stdout) == (3, "registered\n")


@pytest.mark.parametrize("module", ["builder.cli", "danqing"])
def test_the_module_runs_as_a_command(tmp_path: Path, module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "status", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr.startswith(f"danqing: {tmp_path}: no root of a data set")


def test_stages_are_given_a_console_of_the_flags(stages: Mapping[str, Row]) -> None:
    stage, config = parse(["work", "work", "--json", "--no-color"], stages)
    assert (config.json, config.no_color, config.quiet) == (True, True, False)
    assert load(stage.run)(config, Console(quiet=True)).as_dict()["many"] == 1


@pytest.mark.parametrize(
    "words", [["rebuild", "m.csv", ""], ["rebuild", "", "out"], ["revalidate", ""], ["status", ""]]
)
def test_an_empty_path_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "is empty; name a path or a URL" in capsys.readouterr().err
