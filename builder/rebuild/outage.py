"""Is the network gone? Dead links end one by one, among answers; a lost line ends everything at once.

While no host at all answers, failed rows are held back instead of recorded. An answer releases them. After a
hundred from twenty-five hosts without one, which the tail of a run can have too, a URL that did answer before is
asked again: if it does not, the run stops, and the rows held back are fetched by the next.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ..web.pace import UNANSWERED
from .outcome import Outcome

if TYPE_CHECKING:
    from .job import Job

# At 40 % dead links a hundred in a row are one in 10^40; a kill costs the rows held back too.
ROWS, HOSTS = 100, 25
WITNESSES = 3  # URLs asked before the network is given up


class Outage:
    """Holds back failed rows; `passed` gives the rows to record now, in order of arrival."""

    def __init__(self, watch: bool) -> None:
        """watch: False where failures are expected, as when failed rows are fetched again."""
        self._watch = watch
        self._held: list[tuple[Job, Outcome]] = []
        self._hosts: set[str] = set()
        self.witnesses: deque[str] = deque(maxlen=WITNESSES)  # URLs that have answered, the latest last

    @property
    def suspected(self) -> bool:
        """Whether so much has failed without an answer that the witnesses should be asked."""
        return len(self._held) >= ROWS and len(self._hosts) >= HOSTS

    def passed(self, job: Job, outcome: Outcome, host: str) -> list[tuple[Job, Outcome]]:
        """Take one finished row."""
        self._held.append((job, outcome))
        if self._watch and outcome.reason in UNANSWERED and outcome.http_status is None:
            self._hosts.add(host)
            return []
        if outcome.reason is None:
            self.witnesses.append(job.url)
        return self.release()

    def release(self) -> list[tuple[Job, Outcome]]:
        """Give up what is held back: an answer came, or nothing is left to wait for."""
        held, self._held = self._held, []
        self._hosts.clear()
        return held

    def verdict(self) -> str:
        """Why the run stops."""
        return (
            f"no answer from any of {len(self._hosts)} hosts in the last {len(self._held)} requests: "
            "the network or the name servers are gone; nothing is lost, mend it and run the same command again"
        )
