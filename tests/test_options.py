"""Options: sizes in words, and the argparse arguments that fields become."""

import argparse
import math
from dataclasses import dataclass

import pytest

from builder.console import in_words
from builder.errors import UsageError
from builder.options import add_arguments, byte_size, check_values, option


@dataclass(frozen=True)
class Config:
    input: str = option("", "what goes in", positional=True)
    root: str = option("./here", "where", positional=True)
    column: str | None = option(None, "50 % of it")
    size: int = option(7, "how many")
    share: float = option(0.5, "how much")
    kind: str = option("a", "which", choices=("a", "b"))
    cap: int = option(32 << 20, "at most", parse=byte_size)
    flag: bool = option(False, "whether", shared=True)
    batch: int = option(0, "at once, or auto", shown="auto")


def parse(*words: str) -> Config:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_arguments(parser, Config)
    return Config(**vars(parser.parse_args(words)))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), ("17", 17), ("17B", 17), ("32MB", 32_000_000), ("32 MiB", 32 << 20), ("1.5k", 1500),
        (" 2gib ", 2 << 30), ("1T", 10**12), ("8ki", 8192),
    ],
)  # fmt: skip
def test_byte_size(text: str, size: int) -> None:
    assert byte_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1", "32 XB", "1e9", "3 M B", "nan"])
def test_byte_size_refuses(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="no size"):
        byte_size(text)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 B"),
        (17, "17 B"),
        (32 << 20, "32 MiB"),
        (3_100_000_000, "3.1 GB"),
        (1536, "1.5 kB"),
        (4_000_000_000, "4.0 GB"),
    ],
)
def test_in_words(size: int, words: str) -> None:
    assert in_words(size) == words


def test_defaults_are_those_of_the_fields() -> None:
    assert parse("x") == Config(input="x")


def test_every_type_is_read_from_its_annotation() -> None:
    words = [
        "x",
        "y",
        "--column",
        "c",
        "--size",
        "8",
        "--share",
        "0.25",
        "--kind",
        "b",
        "--cap",
        "1MB",
        "--flag",
    ]
    assert parse(*words) == Config("x", "y", "c", 8, 0.25, "b", 1_000_000, flag=True)


def test_help_tells_defaults_and_survives_per_cent() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser, Config)
    text = " ".join(parser.format_help().split())
    assert "how many (default: 7)" in text
    assert "at most (default: 32 MiB)" in text
    assert "at once, or auto (default: auto)" in text
    assert "50 % of it" in text
    assert "flags of every stage: --flag whether" in text


@pytest.mark.parametrize("size", [0, 11, math.nan])
def test_check_values_names_flag_value_and_bounds(size: int) -> None:
    with pytest.raises(UsageError, match=f"--size {size}: must be from 1 to 10"):
        check_values(Config(size=size), {"size": (1, 10)})


def test_check_values_knows_choices_and_open_bounds() -> None:
    check_values(Config(), {"size": (1, math.inf)})
    with pytest.raises(UsageError, match="--size 0: must be at least 1"):
        check_values(Config(size=0), {"size": (1, math.inf)})
    with pytest.raises(UsageError, match="--kind z: none of a, b"):
        check_values(Config(kind="z"), {})
