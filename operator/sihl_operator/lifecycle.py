"""One job's next step: a chain of policies, each a pure function; the first answer wins.

A policy sees the job, the pod that serves its current attempt (None: none is known) and the moment.
Here are those of a pod that runs, ends or is to end; `idle` and `starts` have what comes before.
"""

# ruff: noqa: ARG001 (policies share one signature; few need all of it)

from __future__ import annotations

from dataclasses import replace

from sihl_api.runtime import NODE_OUT_OF_MEMORY
from sihl_api.status import ConditionType, Phase
from sihl_api.status import TrainingJobStatus as Status
from sihl_operator import idle, judges, starts, status
from sihl_operator.decision import NOTHING, Decision, Deletion, Notice
from sihl_operator.endings import (
    DEADLINE_EXCEEDED,
    DISK_LIMIT,
    EVICTED,
    NEIGHBOUR_FAILED,
    NODE_OUT_OF_DISK,
    NOT_STARTED,
    Ending,
    Verdict,
    ending,
    overdue,
    pressed,
)
from sihl_operator.moment import Moment, Policy
from sihl_operator.reports import after_attempt
from sihl_operator.retries import failed, judged
from sihl_operator.settings import Settings
from sihl_operator.sightings import Ages
from sihl_operator.views import JobView, PodView, pod_of

_BESIDE_SECONDS = 30.0
"""How long a pod may outlast its trainer: the kubelet tells of its end within a few seconds."""


def decide(job: JobView, pod: PodView | None, moment: Moment) -> Decision:
    """What to do for a job now."""
    answers = (policy(job, pod, moment) for policy in POLICIES)
    decision = next((each for each in answers if each is not None), NOTHING)
    if decision.status is not None or job.phase is None or job.orphaning:
        return decision
    return _of_today(job, decision, moment.now)


def _of_today(job: JobView, decision: Decision, now: float) -> Decision:
    """Where nothing new is to be told: all the same of the spec as it is now, by one write."""
    new = judges.complete(job, job.status, now)
    if new is job.status:
        return decision
    return replace(decision, status=new, refresh=not decision.acts)


def vanished(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """An active job without its pod, which nobody here is about to create: it vanished unseen."""
    if pod is not None:
        return None
    seen = "vanished unseen" if job.phase is not Phase.STARTING else "is not there"
    text = f"The pod {seen}; the next attempt resumes from the last checkpoint."
    if job.unwanted:
        new = status.stopped(job, f"Stopped; the pod {seen}.", moment.now, saved=None)
    else:
        new = status.requeued(job, "PodVanished", text, moment.now)
    return Decision(status=new, confirm_absent=pod_of(job), notice=Notice("PodVanished", text))


def over(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """The attempt's pod has ended: what that means for the job."""
    if pod is None or not pod.ended:
        return None
    end = ending(pod)
    told = after_attempt(job, end.result, moment.now)
    if end.verdict is Verdict.SUCCEEDED:
        new = status.ended(
            told, Phase.SUCCEEDED, ConditionType.COMPLETE, end.reason, end.message, moment.now
        )
        return Decision(status=new)
    if end.verdict is Verdict.FATAL:
        return failed(told, end, moment.now)
    if job.unwanted:
        return Decision(status=_stopped(told, pod, end, moment), notice=_loss(end))
    # Though it saved: nobody knows whether it took that memory itself, and time runs out again.
    end = pressed(pod) or overdue(pod) or end
    if end.verdict is Verdict.FAILED or _may_recur_at_once(end, pod):
        return judged(told, end, moment.now, moment.settings, moment.ages.obstacle)
    text = f"{end.message} The next attempt resumes from the last checkpoint."
    new = status.requeued(told, end.reason, text, moment.now)
    return Decision(status=new, notice=Notice(end.reason, text))


def _may_recur_at_once(end: Ending, pod: PodView) -> bool:
    """The store, memory or time is lacking, or a node refused the pod before the job's own ran."""
    refused = not pod.began or end.reason in (
        NOT_STARTED, NEIGHBOUR_FAILED, NODE_OUT_OF_MEMORY, NODE_OUT_OF_DISK, EVICTED,
        DEADLINE_EXCEEDED, DISK_LIMIT,
    )  # fmt: skip
    return end.verdict is Verdict.INTERRUPTED and (end.result is not None or refused)


def _loss(end: Ending) -> Notice | None:
    """An Event where a stop that its user asked for lost steps."""
    if end.verdict is not Verdict.STOPPED_UNSAVED or end.result is None or not end.result.step:
        return None
    return Notice(end.result.reason, end.message)


def _stopped(job: JobView, pod: PodView, end: Ending, moment: Moment) -> Status:
    if pod.gone and not any(c.ended for c in pod.containers):
        return status.stopped(job, "The pod ended unseen.", moment.now, saved=None)
    saved = end.verdict is Verdict.STOPPED
    missing = end.result.reason if end.result and not saved else "NoStepYet"
    return status.stopped(job, end.message, moment.now, saved=saved, missing=missing)


def stuck(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """A pod that should be gone long since is forced away: its node is lost."""
    if pod is None or not pod.deleting:
        return None
    left = patience_left(pod, moment.ages, moment.settings)
    if left > 0:
        return Decision(after=left) if job.phase is Phase.STOPPING else None
    text = f"The pod did not end on node {pod.node or 'unknown'} and was removed by force."
    return Decision(delete=Deletion.of(pod, grace=0), notice=Notice("PodForcedAway", text))


def patience_left(pod: PodView, ages: Ages, settings: Settings) -> float:
    """Seconds for which a pod that is being deleted is waited for yet: its grace, and then some."""
    return pod.grace + settings.lost_node_timeout - ages.deleting


def stop_wanted(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """Suspended, deleted, or Stopping before a crash of ours: its pod is asked to save and end.

    A job that somebody's finalizer keeps is there, and nobody but the operator ends its pod.
    """
    if pod is None or not (job.unwanted or job.phase is Phase.STOPPING):
        return None
    new = status.stopping(job, pod) if job.phase is not Phase.STOPPING else None
    delete = None if pod.deleting else Deletion.of(pod)
    return Decision(status=new, delete=delete) if new or delete else NOTHING


def leaving(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """Somebody else asked the pod to end: a drain, an eviction, a user."""
    if pod is None or not pod.deleting:
        return None
    return Decision(status=status.stopping(job, pod))


def learning(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """Running from what the pod shows, never before."""
    if pod is None or not pod.training:
        return None
    if job.phase is Phase.RUNNING:
        return NOTHING
    return Decision(status=status.running(job, pod, moment.now))


def outlasted(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """The trainer has ended and its pod has not: what others run beside it is asked to end too.

    So is a container of ours that the cluster starts again, which is no attempt's.
    """
    if pod is None or not pod.decided:
        return None
    left = _BESIDE_SECONDS - moment.ages.decided
    return Decision(after=left) if left > 0 else Decision(delete=Deletion.of(pod))


POLICIES: tuple[Policy, ...] = (
    idle.orphaning,
    idle.resumable,
    idle.expired,
    idle.finished,
    idle.unwanted_while_waiting,
    idle.not_accepted,
    idle.waiting,
    starts.creating,
    vanished,
    over,
    stuck,
    stop_wanted,
    leaving,
    learning,
    outlasted,
    starts.inquired,
    starts.hindered,
)
"""In the order in which they are asked."""
