"""The command `danqing`: text in, a stage's `Config` out; then its `run`, its result and its exit code.

    danqing <stage> INPUT OUTPUT [--flags]

A stage's `Config` is imported when its name was read, as its flags come from there, and its `run` when these were
found sound, so `danqing --help` loads nothing heavy. stdout carries the result, as a few lines or with --json as one
object, also of an error; stderr everything else.
Exit codes are those of errors.py: 0 done, 1 failed or nothing kept, 2 usage, 3 input, 4 environment, 130 interrupted.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import dataclasses
import errno
import importlib
import io
import json
import os
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TextIO

from . import __version__
from .console import Console, harmless, harmless_json
from .errors import DanqingError, EnvironmentProblem, Interrupted, UsageError, VerificationError
from .options import add_arguments
from .web.tokens import withhold

if TYPE_CHECKING:
    from .stage.run import Result


class Row(NamedTuple):
    """One stage of the table, each part imported when it is needed. variables: of the environment, where not set."""

    about: str  # what it is for, in a line
    config: str  # the class of its options, `module:Name`
    run: str  # what takes such a one and a Console, and returns a `stage.run.Result`
    variables: Mapping[str, str] = {}


STAGES: Mapping[str, Row] = {
    "crawl": Row(
        "find pictures with Chinese texts in Common Crawl: the candidates, a manifest for rebuild",
        "builder.crawl.config:CrawlConfig",
        "builder.crawl.runner:run",
    ),
    "refine": Row(
        "clean the texts of a manifest and drop those that say nothing: a manifest again",
        "builder.refine.config:RefineConfig",
        "builder.refine.runner:run",
        {"OPENBLAS_NUM_THREADS": "1"},
    ),
    "rebuild": Row(
        "fetch the pictures of a manifest and account for every row",
        "builder.rebuild.config:RebuildConfig",
        "builder.rebuild.runner:run",
        {
            # numpy's linear algebra, which nothing there uses, would start its threads: 50 ms in each process.
            "OPENBLAS_NUM_THREADS": "1",
            # Pillow's memory comes in blocks; those beyond 32 MB go back to the system at once, smaller ones stay.
            "PILLOW_BLOCK_SIZE": "64m",
        },
    ),
    "revalidate": Row(
        "score the pairs with SigLIP2; find the dead, moved and drifted ones",
        "builder.revalidate.config:RevalidateConfig",
        "builder.revalidate.runner:run",
        # Threads of a matrix product that wait for each other shall not spin: with decoding threads beside them a
        # step took 2 s instead of 0.06 s. Read once, when torch loads its OpenMP.
        {"OMP_WAIT_POLICY": "PASSIVE"},
    ),
    "curate": Row(
        "judge pictures and pairs as the paper does, and keep one of each: measures, alignment, duplicates",
        "builder.curate.config:CurateConfig",
        "builder.curate.runner:run",
        # One process a core searches, each in one thread.
        {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"},
    ),
    "release": Row(
        "publish it: a verified manifest or the pairs, with a card that was counted",
        "builder.release.config:ReleaseConfig",
        "builder.release.runner:run",
    ),
    "verify": Row(
        "does a release hold what its card says? reads what is published",
        "builder.published.verify:VerifyConfig",
        "builder.published.verify:run",
    ),
    "train": Row(
        "train a SigLIP or SigLIP2 checkpoint on, from the stream of a root, on as many GPUs as there are",
        "builder.train.config:TrainConfig",
        "builder.train.runner:run",
        {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"},
    ),
    "evaluate": Row(
        "ask checkpoints the paper's benchmarks in Chinese, beside baselines: classification and retrieval",
        "builder.evaluate.config:EvaluateConfig",
        "builder.evaluate.runner:run",
        {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false"},
    ),
    "report": Row(
        "look at what was kept and what was not: one page, with pictures",
        "builder.report.config:ReportConfig",
        "builder.report.work:run",
    ),
    "status": Row(
        "tell how far a root is: the funnel, from its ledger alone",
        "builder.stage.status:StatusConfig",
        "builder.stage.status:run",
    ),
    "demo": Row(
        "the main job on a small web of its own, without a network",
        "builder.demo.config:DemoConfig",
        "builder.demo.steps:run",
    ),
}

# What has to be mended on the machine: space, rights, descriptors, memory, disk, network.
_ENVIRONMENT = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE,
    errno.ENOMEM, errno.EIO, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH, errno.ECONNREFUSED,
    errno.ECONNRESET, errno.ETIMEDOUT, socket.EAI_NONAME, socket.EAI_AGAIN,
    errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG,
}  # fmt: skip


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are one line, and exit code 2, like every other error."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(allow_abbrev=False, **keywords)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        if message.startswith("unrecognized arguments: ") and not message.split()[2].startswith("-"):
            message += "; a pattern needs quotes, or the shell makes many words of it"
        raise UsageError(f"{message}; see {self.prog} --help")


def load(where: str) -> Any:
    """What `module:Name` names, imported now."""
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


def parse(arguments: Sequence[str], stages: Mapping[str, Row] = STAGES) -> tuple[Row, Any]:
    """The stage that `arguments` name and its checked Config; UsageError where they make no sense.

    `--help` and `--version` print to stdout and end by SystemExit, as argparse does.
    """
    name, *rest = arguments or [""]
    if name.startswith("-"):
        _front(stages).parse_args([name])
    if not name or name.startswith("-"):
        raise UsageError(f"which stage? there are {', '.join(stages)}; see danqing --help")
    if name not in stages:
        raise UsageError(f"{name}: no such stage; there are {', '.join(stages)}; see danqing --help")
    row = stages[name]
    kind, parser = load(row.config), Parser(prog=f"danqing {name}", description=row.about)
    add_arguments(parser, kind)
    config = kind(**vars(parser.parse_args(rest)))
    for one in dataclasses.fields(config):
        if one.metadata.get("positional") and getattr(config, one.name) in ("", ("",)):
            raise UsageError(f"{one.name.upper()}: is empty; name a path or a URL")  # it would lead to /
    if hasattr(config, "check"):
        config.check()
    return row, config


def main(arguments: Sequence[str] | None = None, stages: Mapping[str, Row] = STAGES) -> int:
    """Run the command line and return its exit code; nothing but SystemExit of --help comes out."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    _forgive(sys.stdout)
    _forgive(sys.stderr)
    as_json = "--json" in words
    console = Console(json=as_json, no_color="--no-color" in words)
    withhold(os.environ)
    told = False
    try:
        row, config = parse(words, stages)
        as_json = config.json
        console = Console(quiet=config.quiet, json=as_json, no_color=config.no_color)
        for name, value in row.variables.items():
            os.environ.setdefault(name, value)
        summary: Result | None = load(row.run)(config, console)
        if summary is None:  # another rank of the run tells
            return 0
        failed = getattr(summary, "failure", None)
        told = True
        if as_json:
            _print_json({**summary.as_dict(), **(_of_failure(VerificationError(failed)) if failed else {})})
        else:
            _print("\n".join(map(harmless, summary.lines())))
        if failed:
            raise VerificationError(failed)
    except (Exception, KeyboardInterrupt) as error:
        if "--debug" in words:
            for line in traceback.format_exc().splitlines():
                print(harmless(line), file=sys.stderr)
        failure = explain(error)
        console.error(str(failure))
        if as_json and not told:
            with contextlib.suppress(OSError):  # stdout may be what failed; the line and the code are out
                _print_json(_of_failure(failure) | {"differences": []})
        return failure.exit_code
    return 0


def script() -> NoReturn:
    """The process `danqing`: main, and then an end at once.

    While the interpreter takes itself down, a thread of Arrow or of the Hub's client that still lets go of a Python
    object would abort the process ("terminate called without an active exception", one in some fifty on a busy
    machine). All that is to be done at the end is done first.
    """
    code = main()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # its reader has left
            stream.flush()
    os._exit(code)


def explain(error: BaseException) -> DanqingError:
    """The error of ours that says in one line what `error` means, with the exit code."""
    if isinstance(error, DanqingError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("interrupted; the same command goes on from here")
    if isinstance(error, OSError) and error.errno in _ENVIRONMENT:
        where = f"{error.filename}: " if error.filename else ""
        return EnvironmentProblem(f"{where}{error.strerror}; mend it and run the same command again")
    if "huggingface_hub" in sys.modules:  # a root, a manifest or a reference may lie there
        from .hub.refusals import refusal

        if found := refusal(error):
            return found[0](found[1])
    return DanqingError(f"unexpected {type(error).__name__}: {error}; run again with --debug")


def _front(stages: Mapping[str, Row]) -> Parser:
    """The parser of what comes before a stage's name."""
    wide = max(map(len, stages))
    listing = "\n".join(f"  {name:<{wide}}  {row.about}" for name, row in stages.items())
    parser = Parser(
        prog="danqing",
        usage="danqing <stage> INPUT OUTPUT [--flags]",
        description=f"stages:\n{listing}",
        epilog="danqing <stage> --help lists the flags of a stage",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"danqing {__version__}")
    return parser


def _of_failure(failure: DanqingError) -> dict[str, object]:
    """What --json tells of an error, beside what there is of a result."""
    return {"error": " ".join(str(failure).split()), "exit_code": failure.exit_code}


def _print_json(result: Mapping[str, object]) -> None:
    _print(harmless_json(json.dumps(result, ensure_ascii=False)))


def _print(text: str) -> None:
    """The result to stdout; a reader that has left, as `| head` does, is no error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # What is left in the buffer would be tried again, and fail again, when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _forgive(stream: TextIO) -> None:
    """Have a character that the terminal's encoding lacks escaped, not raised."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    script()
