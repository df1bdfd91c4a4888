"""Each way in which the Hub refuses, provoked on the loopback Hub with the real client: one line, no token in it."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.web.tokens import mask, mask_chain
from tests.hub import Fault, Hub
from tests.hub.access import Account
from tests.hub.clients import answers, client_env, run_client

TOKEN = f"hf_testtoken{secrets.token_hex(12)}"
STORAGE = "Private repository storage limit reached, please upgrade your plan to increase your private storage limit"

# Calls by name, in a process whose token is TOKEN; `as_` runs one with another token.
CASES = """
    import io, json, os, traceback
    from huggingface_hub import CommitOperationAdd, HfApi
    from builder.errors import DanqingError
    from builder.hub.client import api, hub_errors

    def as_(token, call):
        before = os.environ.pop("HF_TOKEN")
        os.environ.update({"HF_TOKEN": token} if token else {})
        try:
            call()
        finally:
            os.environ["HF_TOKEN"] = before

    hub = api()
    data = dict(repo_type="dataset")

    def commit(repo, parent=None):
        add = CommitOperationAdd("a.txt", os.urandom(9).hex().encode())
        hub.create_commit(repo, [add], commit_message="x", parent_commit=parent, **data)

    head = hub.dataset_info("tester/open").sha
    commit("tester/open", head)
    cases = {
        "no token": lambda: as_("", hub.whoami),
        "no token to write": lambda: as_("", lambda: commit("tester/open")),
        "unknown token": lambda: as_("hf_unknownunknown", hub.whoami),
        "expired token": lambda: as_("hf_loopback_expired", lambda: hub.dataset_info("tester/open")),
        "read token": lambda: as_("hf_loopback_read", lambda: hub.create_branch("tester/open", branch="b", **data)),
        "no rights": lambda: hub.create_repo("strangers/x", **data),
        "gated": lambda: as_("hf_loopback_stranger", lambda: hub.hf_hub_download("tester/gated", "a.txt", **data)),
        "private": lambda: as_("hf_loopback_stranger", lambda: hub.dataset_info("tester/private")),
        "private, signed out": lambda: as_("", lambda: hub.dataset_info("tester/private")),
        "missing": lambda: hub.dataset_info("tester/nothing"),
        "revision": lambda: list(hub.list_repo_tree("tester/open", revision="v9", **data)),
        "file": lambda: hub.hf_hub_download("tester/open", "b.txt", **data),
        "name": lambda: hub.dataset_info("a/b/c"),
        "moved": lambda: commit("tester/open", head),
        "refused": lambda: HfApi(endpoint="http://127.0.0.1:9").dataset_info("tester/open"),
        "echo": lambda: hub.dataset_info("tester/echo"),
        "cut": lambda: hub.dataset_info("tester/cut"),
        "ours": lambda: (_ for _ in ()).throw(DanqingError("as it was")),
        "not ours": lambda: 1 / 0,
        "disk": lambda: open("/nowhere/" + os.environ["HF_TOKEN"]),
    }
    cases |= {name: lambda name=name: hub.dataset_info(f"tester/{name}") for name in json.loads(os.environ["STATUSES"])}
    told = {}
    for name, case in cases.items():
        try:
            with hub_errors("doing it"):
                case()
            told[name] = ["nothing", "", ""]
        except Exception as error:
            told[name] = [type(error).__name__, str(error), traceback.format_exc()]
    print(json.dumps(told))
"""

STATUSES: dict[str, tuple[int, str, int | None]] = {
    "s402": (402, "", None), "s403": (403, "Forbidden: pass a valid Authorization Bearer", None),
    "quota": (403, STORAGE, None), "s409": (409, "being written", None), "s413": (413, "", None),
    "s418": (418, "teapot", None), "s429": (429, "", 90), "s500": (500, "", None), "s503": (503, "maintenance", None),
    "s507": (507, "", None), "disabled": (403, "Access to this resource is disabled.", None),
}  # fmt: skip

WANTED = {
    "no token": ("EnvironmentProblem", "there is no token; log in with `hf auth login` or set HF_TOKEN"),
    "no token to write": ("EnvironmentProblem", "there is no token"),
    "unknown token": ("EnvironmentProblem", "the Hub knows no such token; log in"),
    "expired token": ("EnvironmentProblem", "the token has expired; log in"),
    "read token": (
        "EnvironmentProblem",
        "the token may not do this: Authorization error; take one of the role write",
    ),
    "no rights": (
        "EnvironmentProblem",
        'rights to create a dataset under the namespace "strangers"; take one',
    ),
    "gated": ("EnvironmentProblem", "a gated data set; ask for access on its page"),
    "private": ("InputError", "no such repository, or a private one that this token may not see"),
    "private, signed out": ("InputError", "no such repository, or a private one; log in"),
    "missing": ("InputError", "no such repository, or a private one"),
    "revision": ("InputError", "there is no such revision"),
    "file": ("InputError", "there is no such file: http://127.0.0.1"),
    "name": ("UsageError", "that is no name of a repository"),
    "moved": ("EnvironmentProblem", "someone else committed meanwhile, nothing of theirs was overwritten"),
    "refused": ("EnvironmentProblem", "127.0.0.1 cannot be reached"),
    "echo": ("EnvironmentProblem", "the Hub is in trouble (500: you sent hf_***)"),
    "cut": ("EnvironmentProblem", "the connection to 127.0.0.1 was lost"),
    "ours": ("DanqingError", "as it was"),
    "not ours": ("ZeroDivisionError", "division"),
    "disk": ("FileNotFoundError", "/nowhere/"),
    "s402": ("EnvironmentProblem", "no space is left there"),
    "s403": ("EnvironmentProblem", "the token may not do this: Forbidden: pass a valid"),
    "quota": ("EnvironmentProblem", "no space is left there (Private repository storage limit reached"),
    "s409": (
        "EnvironmentProblem",
        "another change to the repository is under way: being written; run the same",
    ),
    "s413": ("EnvironmentProblem", "too large for one request"),
    "s418": ("EnvironmentProblem", "the Hub refused (418: teapot)"),
    "s429": ("EnvironmentProblem", "too many requests; in 1 min 31 s run the same command again"),
    "s500": ("EnvironmentProblem", "the Hub is in trouble (500"),
    "s503": ("EnvironmentProblem", "the Hub is in trouble (503: maintenance); run the same command again"),
    "s507": ("EnvironmentProblem", "no space is left there"),
    "disabled": ("EnvironmentProblem", "the Hub has disabled the repository"),
}


def allowed(folder: Path) -> Hub:
    """A Hub that knows TOKEN, with three data sets."""
    hub = Hub(folder)
    hub.accounts[TOKEN] = Account("tester")
    for name in ("open", "gated", "private"):
        hub.push(f"tester/{name}", {"README.md": b"# x\n"})
    state = {name: hub.store.get("dataset", f"tester/{name}").state for name in ("gated", "private")}  # type: ignore[union-attr]
    state["gated"].gated, state["private"].private = "manual", True
    return hub


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[str]]]:
    """What each case raises: its class, its message, its traceback."""
    tmp = tmp_path_factory.mktemp("hub")
    with allowed(tmp / "hub") as hub:
        for name, (status, message, wait) in STATUSES.items():
            hub.faults.add(Fault("GET", f"/tester/{name}$", status=status, message=message, retry_after=wait))
        hub.faults.add(Fault("GET", "/tester/echo$", status=500, message=f"you sent {TOKEN}"))
        hub.cut("GET", "/tester/cut$", "response", after=0)
        environment = client_env(hub, tmp, token=TOKEN) | {"STATUSES": json.dumps(list(STATUSES))}
        yield answers(CASES, environment)


@pytest.mark.parametrize("name", WANTED)
def test_a_refusal_is_one_line(told: dict[str, list[str]], name: str) -> None:
    kind, message, trace = told[name]
    wanted, words = WANTED[name]
    assert kind == wanted, trace
    assert words in message
    assert "\n" not in message
    if kind.endswith(("Problem", "InputError", "UsageError")):
        assert message.startswith("doing it: ")


def test_every_case_is_looked_at(told: dict[str, list[str]]) -> None:
    assert set(told) == set(WANTED)


def test_no_token_is_in_a_message_or_traceback(told: dict[str, list[str]]) -> None:
    assert TOKEN not in json.dumps(told)
    assert "hf_loopback" not in json.dumps(told)


def test_offline_is_said(tmp_path: Path) -> None:
    code = """
        import json
        from builder.hub.client import api, hub_errors
        try:
            with hub_errors("doing it"):
                api().dataset_info("a/b")
        except Exception as error:
            print(json.dumps([type(error).__name__, str(error)]))
    """
    said = answers(code, client_env("http://127.0.0.1:9", tmp_path) | {"HF_HUB_OFFLINE": "1"})
    assert said == ["EnvironmentProblem", "doing it: HF_HUB_OFFLINE forbids to ask the Hub; unset it"]


def test_a_token_goes_nowhere_in_the_clear(tmp_path: Path) -> None:
    code = """
        from builder.hub.client import api
        api()
    """
    said = run_client(code, client_env("http://mirror.invalid", tmp_path, token=TOKEN), check=False)
    assert (
        "EnvironmentProblem: HF_ENDPOINT http://mirror.invalid: the token would go there unenc" in said.stderr
    )
    assert TOKEN not in said.stderr


PATIENT = """
    import io, json, time
    from builder.console import Console
    from builder.hub.client import api, hushed, patiently

    hub, stream, told = api(), io.StringIO(), {}
    console = Console(stream=stream)
    for name in ("twice", "asked", "long", "never", "elsewhere", "lost"):
        began = time.monotonic()
        only = "/models/" if name == "elsewhere" else ""
        try:
            hub_is = patiently(lambda: hub.dataset_info(f"tester/{name}"), console, (0.0, 0.0, 0.0), only).id
        except Exception as error:
            hub_is = type(error).__name__
        told[name] = [hub_is, time.monotonic() - began]
    with hushed(console):
        list(hub.list_repo_tree("tester/twice", repo_type="dataset"))
    print(json.dumps(told | {"notes": stream.getvalue()}))
"""


def test_patience(hub: Hub, tmp_path: Path) -> None:
    for name in ("twice", "asked", "long", "never", "elsewhere", "lost"):
        hub.push(f"tester/{name}", {})
    hub.fail("GET", "/tester/twice$", 503, times=2)
    hub.fail("GET", "/tester/asked$", 429, retry_after=0)
    hub.fail("GET", "/tester/long$", 429, retry_after=3600)
    hub.fail("GET", "/tester/never$", 502, times=4)
    hub.fail("GET", "/tester/elsewhere$", 502)
    hub.cut("GET", "/tester/lost$", "response")
    hub.fail("GET", "/tree/main", 503, retry_after=0)
    said = answers(PATIENT, client_env(hub, tmp_path))
    notes = said.pop("notes")
    assert {name: kind for name, (kind, _) in said.items()} == {
        "twice": "tester/twice", "asked": "tester/asked", "lost": "tester/lost",
        "long": "HfHubHTTPError", "never": "HfHubHTTPError", "elsewhere": "HfHubHTTPError",
    }  # fmt: skip
    assert said["asked"][1] >= 1
    assert "the Hub answered 503; trying again in 0 s (2 of 3)\n" in notes
    assert "HTTP Error 503 thrown while requesting GET http://127.0.0.1" in notes
    assert "Retrying" not in notes
    assert len([seen for seen in hub.requests if "never" in seen.target]) == 4


SECRETS = {
    "of the Hub": ("sent hf_AbCdEf0123456789xyz now", "sent hf_*** now"),
    "of an organisation": ("api_org_AbCdEf0123456789", "hf_***"),
    "by browser": ("hf_oauth_AbCdEf012345.eyJh-bGci", "hf_***"),
    "in a header": ("Authorization: Bearer abc.def", "Authorization: Bearer hf_***"),
    "signed": ("PUT https://s3.test/a/b?X-Amz-Signature=1f&x=2 failed", "PUT https://s3.test/a/b?... failed"),
    "no secret": ("hf_xet, hf_hub_download and hf_transfer at https://hf.co/x", None),
}


@pytest.mark.parametrize("name", SECRETS)
def test_mask(name: str) -> None:
    text, wanted = SECRETS[name]
    assert mask(text) == (text if wanted is None else wanted)


def test_the_token_in_use_is_masked_whatever_it_looks_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "correct-horse")
    assert mask("my correct-horse!") == "my hf_***!"


def test_a_chain_is_masked_to_its_end() -> None:
    first, second = ValueError(TOKEN, 3), KeyError(f"by {TOKEN}")
    second.__cause__ = first
    second.add_note(f"note {TOKEN}")
    first.__context__ = second  # a circle, as re-raised errors make
    mask_chain(second)
    assert (first.args, second.args, second.__notes__) == (("hf_***", 3), ("by hf_***",), ["note hf_***"])


def test_importing_it_loads_no_client() -> None:
    code = "import sys, builder.hub.client, builder.hub.store; print('huggingface_hub' in sys.modules)"
    done: Any = run_client([sys.executable, "-c", code], client_env("http://127.0.0.1:9", Path("/tmp")))
    assert done.stdout == "False\n"
