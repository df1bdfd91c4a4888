"""The Hub, as a stage meets it: its client, its errors in one line each without a token, and patience.

    with hub_errors("hf://datasets/org/x"): api().dataset_info("org/x") ─▶ EnvironmentProblem, one line

huggingface_hub is imported by what uses it, as it costs more than `danqing --help` may take. It retries its uploads and
listings itself; for its other calls, which it makes once, there is `patiently`.
"""

from __future__ import annotations

import contextlib
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from .. import __version__
from ..console import Console, in_time, one_line
from ..errors import DanqingError, EnvironmentProblem
from ..web.tokens import is_loopback, mask, mask_chain
from .refusals import refusal, wanted_wait

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub import HfApi

T = TypeVar("T")

WAITS = (1.0, 2.0, 4.0, 8.0, 8.0)  # seconds before each new try, as in huggingface_hub's own backoff
LONGEST = 600.0  # seconds; the Hub counts requests in windows of 300: who asks for more is not waited for
ANSWER = 300.0  # seconds without a byte; the client's default is to wait for ever
_TRANSIENT = {408, 429, 500, 502, 503, 504}


def api() -> HfApi:
    """The client of the Hub that HF_ENDPOINT names; EnvironmentProblem where a token would go there in the clear."""
    from huggingface_hub import HfApi, constants, set_client_factory

    parts = urlsplit(constants.ENDPOINT)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise EnvironmentProblem(
            f"HF_ENDPOINT {constants.ENDPOINT}: the token would go there unencrypted; write https:// or unset it"
        )
    set_client_factory(_client)
    return HfApi(library_name="danqing", library_version=__version__)


def bucket_file(url: str) -> tuple[str, dict[str, str]]:
    """The https address of hf://buckets/ORG/NAME/PATH, and the headers to ask for it: the token, where there is one."""
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # public, but not said to be

    org, name, *path = url.removeprefix("hf://buckets/").split("/")
    endpoint = api().endpoint
    return f"{endpoint}/buckets/{org}/{name}/resolve/{quote('/'.join(path))}", build_hf_headers(
        library_name="danqing"
    )


@contextlib.contextmanager
def hub_errors(what: str) -> Iterator[None]:
    """Turn what the client of the Hub raises into one line of ours. what: is being done, and where.

    Raises UsageError for a name that is none; InputError for a repository, revision or file that is not there;
    EnvironmentProblem for the rest. What is not the client's passes, without tokens.
    """
    try:
        yield
    except DanqingError:
        raise
    except Exception as error:
        found = refusal(error)
        mask_chain(error)
        if found is None:
            raise
        kind, text = found
        raise kind(mask(one_line(f"{what}: {text}"))) from error


def patiently(call: Callable[[], T], console: Console, waits: Sequence[float] = WAITS, only: str = "") -> T:
    """The result of `call`, tried again after errors that pass: 429, 5xx, a lost connection. It must bear repetition.

    waits: seconds before each new try, where the Hub does not say how many; only: in the path of the request.
    """
    for number, pause in enumerate(waits, 1):
        try:
            return call()
        except Exception as error:
            wait = _wait(error, pause, only)
            if wait is None:
                raise
            console.info(f"{_brief(error)}; trying again in {in_time(wait)} ({number} of {len(waits)})")
            time.sleep(wait)
    return call()


@contextlib.contextmanager
def hushed(console: Console) -> Iterator[None]:
    """Without the client's own progress bars and warnings, and with what it logs as notes of ours."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    library, drawn = logging.getLogger("huggingface_hub"), not are_progress_bars_disabled()
    before, library.handlers = library.handlers, [_Notes(console)]
    if drawn:
        disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as those of a card, which the Hub is asked about before
            yield
    finally:
        library.handlers = before
        if drawn:
            enable_progress_bars()


_IDLE = ("No files have been modified", "Retrying in ", "It seems you are trying to upload a large folder")


class _Notes(logging.Handler):
    """A handler that shows on our console what the client logs."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print one, without tokens."""
        text = record.getMessage()
        if not text.startswith(_IDLE):
            self._console.info(mask(text))


def _client() -> httpx2.Client:
    """huggingface_hub's own HTTP client, but one that gives up on a host that says nothing."""
    import httpx2
    from huggingface_hub.utils._http import default_client_factory

    client = default_client_factory()
    client.timeout = httpx2.Timeout(ANSWER, connect=20.0)
    return client


def sends_by_xet() -> bool:
    """Whether huggingface_hub sends files by Xet: its package is there, and HF_HUB_DISABLE_XET does not forbid it."""
    from huggingface_hub.utils._runtime import is_xet_available

    return is_xet_available()


def _wait(error: Exception, pause: float, only: str) -> float | None:
    """Seconds to wait before trying again; None where that is no use."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    lost = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError)
    if not isinstance(error, (HfHubHTTPError, *lost)) or only not in _path(error):
        return None
    if not isinstance(error, HfHubHTTPError):
        return pause
    if error.response.status_code not in _TRANSIENT:
        return None
    wanted = wanted_wait(error)
    return pause if wanted is None else wanted if wanted <= LONGEST else None


def _path(error: Exception) -> str:
    """The path of the request that failed; empty where it is unknown."""
    with contextlib.suppress(RuntimeError):  # of an error that was not told its request
        asked: Any = getattr(error, "response", error)
        return str(asked.request.url.path)
    return ""


def _brief(error: Exception) -> str:
    """An error that passes, in a few words."""
    response = getattr(error, "response", None)
    return f"the Hub answered {response.status_code}" if response is not None else mask(one_line(str(error)))
