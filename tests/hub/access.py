"""Who may do what on the loopback Hub, and how it refuses: tokens, private and gated repositories, the quota.

The words and the headers of a refusal are those of the Hub, because clients read them: a 401 is a missing repository
to huggingface_hub unless it says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

from .store import Repository, Store

USER, ORGANIZATION = "tester", "danqing-org"


class HubError(Exception):
    """A refusal: the status, X-Error-Code, X-Error-Message."""

    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a token speaks for. role: write, read or expired; member: whether private and gated repositories open."""

    name: str
    role: str = "write"
    member: bool = True


def account_of(accounts: dict[str, Account], authorization: str) -> Account | None:
    """The account of an Authorization header, None without one; HubError for a token that is none or has expired."""
    if not authorization:
        return None
    account = accounts.get(authorization.removeprefix("Bearer "))
    if account is None:
        raise HubError(401, "", "Invalid credentials in Authorization header")
    if account.role == "expired":
        raise HubError(401, "", 'User Access Token "old" is expired')
    return account


def missing(account: Account | None) -> HubError:
    """What the Hub says of a repository that is not there, or not for these eyes."""
    if account is None:
        return HubError(401, "RepoNotFound", "Invalid username or password.")
    return HubError(404, "RepoNotFound", "Repository not found")


def may_read(account: Account | None, repository: Repository, files: bool = False) -> None:
    """Refuse a private repository to strangers, and the files of a gated one."""
    state, member = repository.state, account is not None and account.member
    if state.private and not member:
        raise missing(account)
    if files and state.gated and not member:
        told = f"Access to dataset {repository.name} is restricted."
        if account is None:
            raise HubError(
                401, "GatedRepo", f"{told} You must have access to it and be authenticated to access it."
            )
        raise HubError(403, "GatedRepo", f"{told} Visit its page to ask for access.")


def may_write(account: Account | None, message: str = "Authorization error.") -> Account:
    """The account, if it may write; else 401 or 403."""
    if account is None:
        raise HubError(401, "", "Invalid username or password.")
    if account.role != "write" or not account.member:
        raise HubError(403, "", message)
    return account


@dataclass(slots=True)
class Quota:
    """How much may lie on the Hub. limit: bytes, None without one; status: 403 as the Hub answers, or 507."""

    limit: int | None = None
    status: int = 403

    def check(self, store: Store, coming: int, private: bool) -> None:
        """Refuse when `coming` bytes more are too many."""
        if self.limit is not None and store.stored() + coming > self.limit:
            kind = "Private" if private else "Public"
            plan = f"please upgrade your plan to increase your {kind.lower()} storage limit"
            raise HubError(self.status, "", f"{kind} repository storage limit reached, {plan}")
