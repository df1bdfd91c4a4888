"""Who the loopback Hub lets in, what it refuses, and in which words."""

from pathlib import Path

import pytest

from tests.hub import Hub
from tests.hub.clients import answers, client_env, run_client

REPO = "danqing-org/x"
# Every call is tried; what it raised is told by class, status and the server's words.
TRY = """
import json, os, tempfile, warnings
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError
R, K, said = "danqing-org/x", {"repo_type": "dataset"}, {}
def tell(name, action, *arguments, **options):
    try:
        action(*arguments, **options)
        said[name] = "ok"
    except HfHubHTTPError as error:
        said[name] = f"{type(error).__name__} {error.response.status_code} {error.server_message or ''}"
    except ValueError as error:
        said[name] = f"{type(error).__name__} {error}"
for role, token in json.loads(os.environ["TOKENS"]).items():
    api = HfApi(token=token)
    tell(f"{role} whoami", api.whoami)
    tell(f"{role} info", api.dataset_info, R)
    tell(f"{role} file", api.hf_hub_download, R, "a.txt", cache_dir=tempfile.mkdtemp(), **K)
    tell(f"{role} create", api.create_repo, "danqing-org/y", exist_ok=True, **K)
    tell(f"{role} commit", api.create_commit, R, [CommitOperationAdd("b.txt", b"b")], commit_message="b", **K)
    tell(f"{role} tag", api.create_tag, R, tag=f"of-{role}", **K)
print(json.dumps(said))
"""


@pytest.fixture
def tokens(hub: Hub) -> dict[str, str | bool]:
    return {
        "writer": hub.token, "reader": hub.read_token, "stranger": hub.stranger_token, "expired": hub.expired_token,
        "wrong": "hf_wrong", "nobody": False,
    }  # fmt: skip


def told(hub: Hub, tmp: Path, tokens: dict[str, str | bool]) -> dict[str, str]:
    import json

    said: dict[str, str] = answers(TRY, client_env(hub, tmp, token=None) | {"TOKENS": json.dumps(tokens)})
    return said


def test_a_public_repository(hub: Hub, tmp_path: Path, tokens: dict[str, str | bool]) -> None:
    hub.push(REPO, {"a.txt": b"a"})
    said = told(hub, tmp_path, tokens)
    assert {name for name, what in said.items() if what == "ok"} == {
        *(f"writer {what}" for what in ("whoami", "info", "file", "create", "commit", "tag")),
        *(f"{who} {what}" for who in ("reader", "stranger") for what in ("whoami", "info", "file")),
        *(f"{who} create" for who in ("reader", "stranger", "nobody")),  # exist_ok, and it is there
        "nobody info",
        "nobody file",
    }
    assert said["reader commit"] == "HfHubHTTPError 403 Authorization error."
    assert said["expired info"].endswith('401 User Access Token "old" is expired')
    assert said["wrong info"] == "HfHubHTTPError 401 Invalid credentials in Authorization header"
    assert "401" in said["nobody tag"]


def test_a_private_repository_is_missing_to_strangers(
    hub: Hub, tmp_path: Path, tokens: dict[str, str | bool]
) -> None:
    hub.push(REPO, {"a.txt": b"a"})
    env = client_env(hub, tmp_path)
    run_client(["hf", "repos", "settings", REPO, "--private", "--type", "dataset"], env)
    said = told(hub, tmp_path, {who: tokens[who] for who in ("reader", "stranger", "nobody")})
    assert said["reader file"] == "ok"
    assert said["stranger info"].startswith("RepositoryNotFoundError 404")
    assert said["nobody info"].startswith("RepositoryNotFoundError 401")


def test_a_gated_repository_shows_itself_and_not_its_files(
    hub: Hub, tmp_path: Path, tokens: dict[str, str | bool]
) -> None:
    hub.push(REPO, {"a.txt": b"a"})
    repository = hub.store.get("dataset", REPO)
    assert repository
    repository.state.gated = "auto"
    said = told(hub, tmp_path, {who: tokens[who] for who in ("reader", "stranger", "nobody")})
    assert said["reader file"] == said["stranger info"] == said["nobody info"] == "ok"
    assert said["stranger file"].startswith("GatedRepoError 403")
    assert said["nobody file"].startswith("GatedRepoError 401")


@pytest.mark.parametrize("status", [403, 507])
def test_a_quota_refuses_before_anything_is_sent(hub: Hub, tmp_path: Path, status: int) -> None:
    hub.push(REPO, {"a.txt": b"a" * 100_000})
    hub.quota.limit, hub.quota.status = 50_000, status
    code = """
    import json
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError
    try:
        HfApi().upload_file(repo_id="danqing-org/x", path_or_fileobj=bytes(10_000), path_in_repo="b.bin",
                            repo_type="dataset")
    except HfHubHTTPError as error:
        print(json.dumps([error.response.status_code, error.server_message]))
    """
    got, words = answers(code, client_env(hub, tmp_path, xet=False))
    assert got == status
    assert words.startswith("Public repository storage limit reached, please upgrade")
    assert not any(one.method == "PUT" for one in hub.requests)


def test_a_card_is_checked(hub: Hub, tmp_path: Path) -> None:
    code = """
    import json, warnings
    from huggingface_hub import RepoCard
    said = []
    cards = ["---\\nlicense: mit\\n---\\n", "---\\nlicense: [1, 2\\n---\\n", "---\\nlicense: 3\\n---\\n", "no metadata",
             "---\\nconfigs:\\n- data_files: x\\n---\\n", "---\\n- a list\\n---\\n"]
    from huggingface_hub import HfApi
    for card in cards:
        try:
            with warnings.catch_warnings(record=True) as heard:
                warnings.simplefilter("always")
                HfApi()._validate_yaml(card, repo_type="dataset")
            said.append(["ok", *(str(one.message).splitlines()[-1] for one in heard)])
        except ValueError as error:
            said.append(str(error).splitlines()[1])
    print(json.dumps(said))
    """
    good, broken, number, empty, nameless, listed = answers(code, client_env(hub, tmp_path))
    assert good == ["ok"]
    assert broken.startswith("- YAML: while parsing a flow sequence")
    assert number == '- "license" must be str or list'
    assert empty == ["ok", "- empty or missing yaml metadata in repo card"]
    assert nameless == '- "configs[0].config_name" is required'
    assert listed == '- "value" must be of type object'
