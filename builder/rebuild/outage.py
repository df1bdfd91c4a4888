"""Is the network gone? Dead links end one by one, among answers; a lost line ends everything at once.

While no host at all answers, failed rows are held back instead of recorded. An answer releases them; a hundred
from twenty-five hosts without one stop the run, and the rows held back are fetched again by the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import EnvironmentProblem
from .hosts import UNANSWERED
from .outcome import Outcome

if TYPE_CHECKING:
    from .schedule import Job

# At 40 % dead links a hundred in a row are one in 10^40; a kill costs the rows held back too.
ROWS, HOSTS = 100, 25


class Outage:
    """Holds back failed rows; `passed` gives the rows to record now, in order of arrival."""

    def __init__(self, watch: bool) -> None:
        """watch: False where failures are expected, as when failed rows are fetched again."""
        self._watch = watch
        self._held: list[tuple[Job, Outcome]] = []
        self._hosts: set[str] = set()

    def passed(self, job: Job, outcome: Outcome, host: str) -> list[tuple[Job, Outcome]]:
        """Take one finished row; EnvironmentProblem when the network must be gone."""
        self._held.append((job, outcome))
        if outcome.reason not in UNANSWERED or outcome.http_status is not None or not self._watch:
            return self.release()
        self._hosts.add(host)
        if len(self._held) >= ROWS and len(self._hosts) >= HOSTS:
            raise EnvironmentProblem(
                f"no answer from any of {len(self._hosts)} hosts in the last {len(self._held)} requests: "
                "the network or the name servers are gone; nothing is lost, mend it and run the same command again"
            )
        return []

    def release(self) -> list[tuple[Job, Outcome]]:
        """Give up what is held back: an answer came, or nothing is left to wait for."""
        held, self._held = self._held, []
        self._hosts.clear()
        return held
