"""One job's next step: decided on from all that is known of the job, and begun."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sihl_api.logs import about
from sihl_api.runtime import ProgressReport
from sihl_api.status import ConditionType
from sihl_operator.acts import Acts
from sihl_operator.alarms import Alarms
from sihl_operator.attempts import Attempts
from sihl_operator.conditions import condition
from sihl_operator.lifecycle import decide
from sihl_operator.moment import Moment
from sihl_operator.places import Place, Places
from sihl_operator.queues import OCCUPIED, Reason, in_line
from sihl_operator.reports import reported
from sihl_operator.settings import Settings
from sihl_operator.views import JobView, Key, PodView
from sihl_operator.world import World

log = logging.getLogger(__name__)


class Steps:
    """Takes them.

    Args:
        world: What is known.
        acts: Carries out what was decided.
        attempts: Knows which pods are yet to be made.
        alarms: Set where a job is to be decided on again.
        settings: The operator's.
        clock: Seconds since 1970, for people to read.
    """

    def __init__(
        self,
        world: World,
        acts: Acts,
        attempts: Attempts,
        alarms: Alarms,
        settings: Settings,
        clock: Callable[[], float],
    ) -> None:
        self._world = world
        self._acts = acts
        self._attempts = attempts
        self._alarms = alarms
        self._settings = settings
        self._clock = clock
        self._places = Places(settings.position_interval)

    def forget(self, key: Key) -> None:
        """A job that is gone."""
        self._places.forget(key)

    def forget_all(self) -> None:
        """Another replica leads, and tells all jobs their places."""
        self._places.forget_all()

    def take(self, job: JobView, now: float, place: Place = (None, OCCUPIED)) -> None:
        """Decide on one job and start what follows."""
        if job.key in self._acts.busy or self._places.settled(job, place):
            return
        until = self._places.put_off_until(job, place, now)
        if until is not None:
            self._alarms.set(until, job.key)  # an earlier alarm may just have rung
            return
        pod = self._world.pod_of(job)
        if pod is not None:  # created, whatever the answer was: never again under this number
            self._attempts.over(job)
        try:
            decision = decide(job, pod, self._moment(job, pod, place))
        except Exception:  # one user's job must not hold up all others
            with about(job.told):
                log.exception("%s/%s: cannot be decided on; trying again", *job.key)
            self._acts.rest(job)
            return
        if decision.after is not None:
            self._alarms.set(now + decision.after, job.key)
        if decision.refresh and (due := self._places.refresh(job.key, now)) > now:
            self._alarms.set(due, job.key)
            if decision.after is None and in_line(job):  # of others, the pod may tell more
                self._places.put_off(job, place, due)
        elif decision.acts:
            self._acts.carry_out(job, decision)
        elif in_line(job) and decision.after is None:
            self._places.settle(job, place)

    def _moment(self, job: JobView, pod: PodView | None, place: Place) -> Moment:
        position, reason = place
        backoff = self._world.seen.backoff(job)
        if backoff:
            reason = _as_told(job) or reason
        return Moment(
            self._clock(), self._settings, position, reason, backoff,
            self._attempts.creating(job), self._world.ages(job, pod),
            self._world.hearsay.of(pod.uid) if pod is not None else (),
        )  # fmt: skip

    def tell_progress(self, job: JobView, pod: PodView, report: ProgressReport) -> None:
        """Write what a pod said of its progress, if it is news."""
        if job.key in self._acts.busy:
            return
        decision = reported(job, pod, report, self._clock())
        if decision.acts:
            self._acts.carry_out(job, decision)


def _as_told(job: JobView) -> Reason | None:
    """What a job that backs off was told: why its last attempt ended."""
    told = condition(job.status, ConditionType.ADMITTED)
    return (told.reason, told.message) if told else None
