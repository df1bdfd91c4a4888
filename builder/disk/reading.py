"""Files of anybody's, opened on any file system; each error is one line: what, where, what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import fsspec
import pyarrow as pa

from ..errors import DanqingError, EnvironmentProblem, InputError

REMOTE_BLOCK = 4 << 20  # bytes asked for at once when a text file of a store is read through


@contextlib.contextmanager
def reading(url: str, size: int = 0, damaged: str = "") -> Iterator[None]:
    """Turn whatever a file system or Arrow raises while `url` is read into one line that names it.

    size: of the file in bytes, to say where a truncated one ends; damaged: what to say of one that is.
    Raises InputError for what is in the file, EnvironmentProblem for what kept it from being read.
    """
    try:
        yield
    except DanqingError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{url}: no such file") from error
    except (pa.ArrowException, EOFError, UnicodeError) as error:
        said = f"{damaged} ({_line(error)})" if damaged else f"{_line(error)}; mend or replace the file"
        raise InputError(f"{url}: {said}") from error
    except OSError as error:
        # Arrow reports damage as an OSError without a number; the system and the network set one.
        if error.errno is None and type(error) is OSError:
            ends = f" (the file ends after {size:,} bytes)" if size else ""
            said = f"{_line(error)}{ends}: damaged or truncated, fetch it again"
            raise InputError(f"{url}: {f'{damaged} ({_line(error)})' if damaged else said}") from error
        raise EnvironmentProblem(f"{url}: cannot be read: {error.strerror or _line(error)}") from error
    except Exception as error:  # every fsspec back end raises kinds of its own
        if "range requests" in str(error):  # fsspec's words; a footer or a row group cannot be had without
            raise EnvironmentProblem(
                f"{url}: the server does not answer range requests; download the file and give its path"
            ) from error
        raise EnvironmentProblem(f"{url}: cannot be read: {type(error).__name__}: {_line(error)}") from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")


@contextlib.contextmanager
def opened(fs: fsspec.AbstractFileSystem, path: str, *, ahead: bool = False) -> Iterator[Any]:
    """A seekable binary file that reads what is asked and no more; with `ahead`, in large blocks in a row."""
    how = {"cache_type": "readahead", "block_size": REMOTE_BLOCK} if ahead else {"cache_type": "none"}
    with fs.open(path, "rb", **how) as file:
        yield file


WEB = ("http://", "https://")


def type_of(fs: fsspec.AbstractFileSystem, path: str) -> str | None:
    """`file`, `directory`, `other` for a pipe, device, socket or broken link, or None where there is nothing."""
    if path.startswith(WEB) and path.endswith("/"):
        return "directory"  # an index page; HTTP itself knows no folders
    try:
        found = fs.info(path)["type"]
    except (FileNotFoundError, NotADirectoryError) as error:
        cause = error.__cause__  # over HTTP, a refused connection and a 403 are told as a missing file too
        if path.startswith(WEB) and cause is not None and getattr(cause, "status", 0) != 404:
            raise cause from None
        return None
    return found if found in ("directory", "other") else "file"
