"""Errors of the Hub's client as errors of ours: what happened, and what to do about it.

GatedRepoError, 403, 412, 429, ConnectError ... ─▶ (class of errors.py, text)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..console import in_time, one_line
from ..errors import DanqingError, EnvironmentProblem, InputError, UsageError
from ..web.tokens import chain

AGAIN = "run the same command again, what has arrived is not sent again"
LOG_IN = "log in with `hf auth login` or set HF_TOKEN, with a token that may write"

Refusal = tuple[type[DanqingError], str]

_QUOTA = re.compile(
    r"storage (?:limit|quota)|quota|storage.*exceed|upgrade your (?:plan|storage)", re.IGNORECASE
)
_NETWORK = "look at the network and at HF_ENDPOINT"
_NO_NAME = "that is no name of a repository ({error}); write hf://datasets/ORG/NAME"
_NO_LOGIN = f"the login failed ({{error}}); {LOG_IN}"
_NO_HUB = f"the Hub cannot be reached ({{error}}); {_NETWORK}"
# The client's errors by name, as errors of ours. said: what the Hub answered.
_ERRORS: Mapping[type[DanqingError], Mapping[str, str]] = {
    UsageError: {"HFValidationError": _NO_NAME, "HfUriError": _NO_NAME},
    InputError: {
        "RevisionNotFoundError": "there is no such revision; the page of the repository lists its tags{said}",
        "RemoteEntryNotFoundError": "there is no such file: {error.response.url}",
        "BucketNotFoundError": "no such bucket, or a private one that this token may not see",
        "RepositoryNotFoundError": "no such repository, or a private one that this token may not see",
    },
    EnvironmentProblem: {
        "LocalTokenNotFoundError": f"there is no token; {LOG_IN}",
        "OfflineModeIsEnabled": "HF_HUB_OFFLINE forbids to ask the Hub; unset it",
        "OIDCError": _NO_LOGIN,
        "DeviceCodeError": _NO_LOGIN,
        "RevisionResolutionError": _NO_HUB,
        "LocalEntryNotFoundError": _NO_HUB,
        "GatedRepoError": "a gated data set; ask for access on its page, with the account of the token{said}",
        "DisabledRepoError": "the Hub has disabled the repository{said}",
    },
}
_STATUS = {
    403: "the token may not do this{said}; take one of the role write, of an account that may write there",
    409: f"another change to the repository is under way{{said}}; {AGAIN}",
    412: f"someone else committed meanwhile, nothing of theirs was overwritten; look at it, then {AGAIN}",
    413: f"too large for one request{{said}}; {AGAIN}",
}


def refusal(error: BaseException) -> Refusal | None:
    """The error of ours, by whatever in the chain of `error` is the client's; None where nothing is."""
    for one in chain(error):
        found = _of_client(one) or _of_network(one)
        if found is not None:
            return found
    if isinstance(error, ConnectionError | TimeoutError) and error.errno is None:
        return EnvironmentProblem, f"the connection failed ({error}); {AGAIN}"
    if type(error).__module__.startswith("hf_xet"):
        return EnvironmentProblem, f"the storage of the Hub failed ({error}); {AGAIN}"
    return None


def limit_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds until the Hub answers again, by the RateLimit of an answer; None where it says no such thing."""
    from huggingface_hub.utils._http import parse_ratelimit_headers

    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return limit.reset_in_seconds + 1.0  # it rounds down
    return None


def wanted_wait(error: Any) -> float | None:
    """Seconds after which the Hub wants to be asked again, as an HfHubHTTPError says; None where it does not."""
    limit = limit_wait(error.response.headers)
    if limit is not None:
        return limit
    said = str(error.response.headers.get("Retry-After", "")).strip()
    return float(said) if said.isdigit() else None


def _of_client(error: Any) -> Refusal | None:
    """The refusal for an error that huggingface_hub makes, by its class or by the nearest that it derives from."""
    names = [one.__name__ for one in type(error).__mro__ if one.__module__.startswith("huggingface_hub")]
    answered = "HfHubHTTPError" in names
    status, said = (int(error.response.status_code), _said(error)) if answered else (0, "")
    if status == 401 and "GatedRepoError" not in names:
        return _of_401(error, said, bool({"RepositoryNotFoundError", "BucketNotFoundError"} & {*names}))
    for name in names:
        for kind, texts in _ERRORS.items():
            if name in texts:
                return kind, texts[name].format(error=error, said=said)
    if answered:
        return EnvironmentProblem, _of_status(error, status, said)
    if isinstance(error, ValueError) and str(error).startswith("LFS batch API"):
        text = str(error).partition("\n")[2]
        return EnvironmentProblem, _quota(text) or f"the storage of the Hub refused: {text}"
    return None


def _of_network(error: BaseException) -> Refusal | None:
    """The refusal for a connection that was not made, or was lost."""
    import httpx2

    if not isinstance(error, httpx2.TransportError):
        return None
    try:
        where = error.request.url.host
    except RuntimeError:
        where = "the Hub"
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return EnvironmentProblem, f"{where} cannot be reached ({error}); {_NETWORK}"
    if isinstance(error, httpx2.TimeoutException):
        return EnvironmentProblem, f"{where} gave no answer in time; {AGAIN}"
    return EnvironmentProblem, f"the connection to {where} was lost ({error}); {AGAIN}"


def _of_401(error: Any, said: str, unseen: bool) -> Refusal:
    """The refusal for a 401, which the Hub says of tokens, and of what it does not tell those without one."""
    token = error.response.request.headers.get("authorization")
    if "expired" in said.lower():
        return EnvironmentProblem, f"the token has expired; {LOG_IN}"
    if token and "credentials" in said.lower():
        return EnvironmentProblem, f"the Hub knows no such token; {LOG_IN}"
    if unseen:
        return InputError, f"no such repository, or a private one; {LOG_IN}"
    return EnvironmentProblem, f"{'the token was refused' if token else 'there is no token'}{said}; {LOG_IN}"


def _of_status(error: Any, status: int, said: str) -> str:
    """The text for a status that is no missing thing."""
    if full := _quota(said.removeprefix(": "), status in {402, 507}):
        return full
    if status in _STATUS:
        return _STATUS[status].format(said=said)
    if status == 429:
        wait = wanted_wait(error)
        when = "in some minutes" if wait is None else f"in {in_time(wait)}"
        return f"too many requests; {when} {AGAIN}"
    if status >= 500:
        return f"the Hub is in trouble ({status}{said}); {AGAIN}"
    return f"the Hub refused ({status}{said})"


def _quota(said: str, full: bool = False) -> str:
    """The text for an account that is `full`, or by what is said of it; empty for one that is not."""
    if not (full or _QUOTA.search(said)):
        return ""
    said = said or "the quota of the account is used up"
    return f"no space is left there ({said}); free some, then {AGAIN}"


def _said(error: Any) -> str:
    """The words of the Hub about its refusal, as `: text`; empty where it says nothing."""
    text = error.server_message or error.response.headers.get("X-Error-Message") or ""
    return f": {one_line(str(text))[:300].rstrip('.')}" if text else ""
