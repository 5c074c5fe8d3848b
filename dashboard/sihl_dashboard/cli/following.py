"""Stays with a job until it ends: tells what happens to it and, if wanted, prints its log."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sihl_api.runtime import TRAINER_CONTAINER
from sihl_api.status import Phase
from sihl_dashboard.cli.endings import Ending, ending
from sihl_dashboard.cli.errors import AwayError, CommandError, NotFoundError
from sihl_dashboard.cli.jobs import Job, headline, progress_bar
from sihl_dashboard.cli.terminal import Terminal, shown_line

if TYPE_CHECKING:
    from sihl_dashboard.cli.cluster import Cluster

PAUSE = 1.0
"""Seconds between two looks at the job."""


class Follower:
    """Of one job; a later one of the same name is another.

    Args:
        cluster: The API server.
        terminal: The log goes to its output, everything else is said beside.
        pause: Between two looks at the job.
    """

    def __init__(
        self, cluster: Cluster, terminal: Terminal, pause: Callable[[], None] | None = None
    ) -> None:
        self._cluster = cluster
        self._terminal = terminal
        self._pause = pause or (lambda: time.sleep(PAUSE))
        self._told = self._trouble = ""
        self._printed: dict[int, int] = {}
        """Lines of each attempt's log that were printed."""
        self.missed: list[int] = []
        """Attempts of which no line was seen when the job had ended: they were short."""

    def wait(self, job: Job, log: bool = False) -> Ending:
        """Until it ends; a cluster that is away meanwhile is waited for.

        Args:
            job: As it was seen last.
            log: Whether to print the log of each attempt as it is written.

        Raises:
            CommandError: the job was deleted, or may not be looked at.
        """
        first = job.attempt if job.phase.active else job.attempt + 1
        while True:
            self._tell(headline(job), job)
            if end := ending(job):
                self._terminal.clear()
                attempts = range(first, job.attempt + 1)
                self.missed = [each for each in attempts if each not in self._printed]
                return end
            if log and job.phase in (Phase.RUNNING, Phase.STOPPING):
                self._print_log(job)
            self._pause()
            job = self._next(job)

    def _next(self, job: Job) -> Job:
        try:
            found = self._cluster.job(job.namespace, job.name)
        except AwayError as error:
            self._tell(str(error), job)
            return job
        except NotFoundError:
            raise CommandError(f"{job.name} was deleted while it was waited for") from None
        if found.uid != job.uid:
            raise CommandError(f"{job.name} was deleted, and another of its name submitted")
        return found

    def _tell(self, line: str, job: Job) -> None:
        if line != self._told:
            self._terminal.note(f"{job.name}: {line}")
            self._told = line
        self._terminal.progress(progress_bar(job))

    def _print_log(self, job: Job) -> None:
        """What is new; ends when the container does, or the connection."""
        known = self._printed.get(job.attempt, 0)
        try:
            if not self._cluster.has_pod(job):
                return
            for number, line in enumerate(
                self._cluster.log(job, TRAINER_CONTAINER, follow=True), start=1
            ):
                if number > known:
                    self._terminal.say(shown_line(line))
                    self._printed[job.attempt] = number
            self._trouble = ""
        except CommandError as error:  # whatever it is, how the job ends can still be told
            if str(error) != self._trouble:
                self._trouble = str(error)
                self._terminal.note(f"{self._trouble}; the log goes on once it can be read")
