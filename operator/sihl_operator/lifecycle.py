"""One job's next step: a chain of policies, each a pure function; the first answer wins.

A policy sees the job, the pod that serves its current attempt (None: none is known) and the moment.
"""

# ruff: noqa: ARG001 (policies share one signature; few need all of it)

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from sihl_api.runtime import NODE_OUT_OF_MEMORY
from sihl_api.status import ConditionType, Phase
from sihl_api.status import TrainingJobStatus as Status
from sihl_operator import judges, status
from sihl_operator.conditions import condition
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
from sihl_operator.hearsay import Told
from sihl_operator.hindrances import GATED, UNSCHEDULABLE, hindrance, lacking, silent, unseen
from sihl_operator.patches import as_json
from sihl_operator.queues import refusal
from sihl_operator.refusals import QUOTA_EXCEEDED, QUOTA_TOO_SMALL
from sihl_operator.reports import after_attempt
from sihl_operator.retries import failed, judged
from sihl_operator.settings import Settings
from sihl_operator.sightings import UNSEEN, Ages
from sihl_operator.views import JobView, PodView, pod_name

_BESIDE_SECONDS = 30.0
"""How long a pod may outlast its trainer: the kubelet tells of its end within a few seconds."""
_SANDBOX_SECONDS = 10.0
"""Within which a node has a pod's network and volumes: nobody is told, or asked, before."""
_ASK_SECONDS = 60.0
"""How often others are asked about a pod that does not start."""


@dataclass(frozen=True)
class Moment:
    """What the policies are given beside job and pod.

    Attributes:
        now: Seconds since 1970, to be written for people to read; nothing is held against it.
        settings: The operator's.
        position: The job's in its queue, if it waits among the first ten.
        waiting: Reason and message for a job that waits.
        backoff: Seconds that the job is held back yet.
        creating: Whether this process has admitted the attempt and not created its pod yet.
        hearsay: What others said of the pod when they were asked last.
        ages: For how long it has seen what is so of job and pod: what time-outs are counted by.
    """

    now: float
    settings: Settings
    position: int | None = None
    waiting: tuple[str, str] = ("Queued", "The job waits for its turn.")
    backoff: float = 0.0
    creating: bool = False
    ages: Ages = UNSEEN
    hearsay: tuple[Told, ...] = ()


Policy = Callable[[JobView, PodView | None, Moment], Decision | None]


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


# --- no attempt runs -------------------------------------------------------------------------


def orphaning(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """A job that is deleted without its pod needs nothing: it is gone in a moment."""
    return NOTHING if job.orphaning else None


def resumable(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """A Failed job that has a checkpoint is Stopped once its user suspends it, to be resumed."""
    if job.phase is not Phase.FAILED or not job.suspend or job.status.checkpoint is None:
        return None
    return Decision(status=status.resumable(job, moment.now))


def expired(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """A job that has Succeeded or Failed is deleted, once it was kept for as long as it says."""
    if job.phase not in (Phase.SUCCEEDED, Phase.FAILED) or job.life is None or job.deleting:
        return None
    return Decision(expire=True) if moment.ages.finished >= job.life else None


def finished(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """Succeeded and Failed are final; Stopped is until its user resumes it, if it is there yet."""
    if job.phase in (Phase.SUCCEEDED, Phase.FAILED):
        kept = None if job.life is None or job.deleting else job.life - moment.ages.finished
        return Decision(after=kept)
    return NOTHING if job.phase is Phase.STOPPED and job.unwanted else None


def unwanted_while_waiting(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """A job that waits, or was never seen, is stopped at once."""
    if not job.unwanted or job.active:
        return None
    text = "Deleted while it waited."
    if not job.deleting:
        text = "Suspended while it waited: set spec.suspend to false to queue it again."
    return Decision(status=status.stopped(job, text, moment.now, saved=False))


def not_accepted(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """A queue or a spec that cannot be is never admitted; its user can mend it."""
    if job.active or (fault := refusal(job)) is None:
        return None
    return _written(job, status.refused(job, *fault, moment.now))


def waiting(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """A new, resumed or waiting job: Queued, with the reason why it waits."""
    if job.active:
        return None
    reason, message = moment.waiting
    met = job.status.obstacle
    if met is not None and not moment.backoff:  # else it is what the job is told
        message += f" Its last attempt met {met.reason}, which is in the way since {met.since}."
    new = status.queued(job, moment.position, reason, message, moment.now)
    after = moment.backoff or None
    if job.phase is not Phase.QUEUED or new.queue != job.status.queue:
        return Decision(status=new, after=after)
    if as_json(new) == as_json(job.status):
        return Decision(after=after)
    changed = _reason(new) != _reason(job.status)
    return Decision(status=new, refresh=not changed, after=after)


def _reason(of: Status) -> str | None:
    admitted = condition(of, ConditionType.ADMITTED)
    return admitted.reason if admitted else None


# --- an attempt runs -------------------------------------------------------------------------


def without_pod(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """An active job without its pod: about to be created by us, or vanished unseen."""
    if pod is not None:
        return None
    absent = job.status.pod_name or pod_name(job.queue)
    if moment.creating:
        if job.unwanted:
            return _never_created(job, moment)
        if _start_left(job, moment.ages.attempt) > 0:
            return Decision(create=True)
        return _not_created_in_time(job, absent, moment)
    seen = "vanished unseen" if job.phase is not Phase.STARTING else "is not there"
    text = f"The pod {seen}; the next attempt resumes from the last checkpoint."
    if job.unwanted:
        new = status.stopped(job, f"Stopped; the pod {seen}.", moment.now, saved=None)
    else:
        new = status.requeued(job, "PodVanished", text, moment.now)
    return Decision(status=new, confirm_absent=absent, notice=Notice("PodVanished", text))


def _start_left(job: JobView, age: float) -> float:
    """Seconds until the trainer must run."""
    return job.runner_seconds("startTimeout", "1h") - age


def _not_created_in_time(job: JobView, name: str, moment: Moment) -> Decision:
    """The API server did not answer all along: nobody's fault, and others may go."""
    told = condition(job.status, ConditionType.DATASET_READY)
    text = "The pod was not created within spec.runner.startTimeout."
    if told is not None and told.reason == status.NOT_CREATED:
        text += f" {status.cause(told)}"
    met = status.obstacle(job, status.NOT_CREATED, moment.now, attempts=1)
    text += f" {status.since(met)}"
    backoff = moment.settings.retry_backoff_limit
    new = status.requeued(job, status.NOT_CREATED, text, moment.now, retry_in=backoff, obstacle=met)
    notice = Notice(status.NOT_CREATED, text)
    return Decision(status=new, confirm_absent=name, notice=notice, after=backoff)


def _never_created(job: JobView, moment: Moment) -> Decision:
    text = f"{'Deleted' if job.deleting else 'Suspended'} before its pod was created."
    return Decision(status=status.stopped(job, text, moment.now, saved=False))


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
    return Decision(delete=_deletion(pod, 0), notice=Notice("PodForcedAway", text))


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
    delete = None if pod.deleting else _deletion(pod, None)
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
    return Decision(after=left) if left > 0 else Decision(delete=_deletion(pod, None))


def inquired(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """Starting, and the pod does not say why it is not yet: others may have."""
    if pod is None or job.phase is not Phase.STARTING or not silent(pod):
        return None
    if _settling(moment) > 0 or moment.ages.heard < _ASK_SECONDS:
        return None
    return Decision(inquire=pod)


def hindered(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """Starting, and something is in the way: said at once, given back after a time-out."""
    if pod is None or job.phase is not Phase.STARTING:
        return None
    end = hindrance(pod, job, moment.hearsay)
    if end is None and unseen(pod) and _settling(moment) <= 0:
        end = lacking(pod, job)
    left = min(_start_left(job, moment.ages.tried), _patience_left(job, end, moment))
    if end is not None and end.reason == GATED:
        left = math.inf  # whoever set the gate has the pod in a line of theirs
    if left <= 0 or (end is not None and end.verdict is Verdict.FATAL):
        return _given_back(job, pod, end or _not_started(job, pod), moment)
    if silent(pod):
        left = min(left, max(_settling(moment), _ASK_SECONDS - moment.ages.heard))
    if pod.sandbox is False and _settling(moment) > 0:
        return Decision(after=left)
    if end is None:
        new = status.not_fetched(job, moment.now)
    else:
        new = status.hindered(job, end, moment.now)
    return Decision(status=_written(job, new).status, after=left if left < math.inf else None)


def _settling(moment: Moment) -> float:
    """Seconds until it is odd that a node has not begun a pod."""
    usual = min(_SANDBOX_SECONDS, moment.settings.startup_problem_timeout / 2)
    return usual - moment.ages.tried


def _patience_left(job: JobView, end: Ending | None, moment: Moment) -> float:
    """Seconds for which a hindrance may last yet, before others have the pod's queue and room."""
    if end is None:
        return math.inf
    ages, patience = moment.ages, moment.settings.startup_problem_timeout
    if end.reason == UNSCHEDULABLE:
        return moment.settings.unschedulable_timeout - ages.tried
    before = job.status.obstacle
    if before is not None and before.reason == end.reason and before.attempts:
        patience /= 2  # what lasted before holds a node's room for a small part of the time
    # What the trainer's container lacks shows only once the dataset is fetched.
    return patience - min(ages.tried, ages.progress)


def _not_started(job: JobView, pod: PodView) -> Ending:
    """The dataset's time is over; or it never began, which is not the job's fault."""
    if not pod.began:
        return lacking(pod, job)
    text = (
        "The job was not running within spec.runner.startTimeout "
        f"({job.runner.get('startTimeout', '1h')}): submit it again with a longer one if its "
        "dataset takes so long to fetch."
    )
    return Ending(Verdict.FAILED, "StartTimeout", text)


def _given_back(job: JobView, pod: PodView, end: Ending, moment: Moment) -> Decision:
    decision = judged(job, end, moment.now, moment.settings, moment.ages.obstacle)
    return replace(decision, delete=_deletion(pod, None))


def refused_by_api(job: JobView, end: Ending, moment: Moment) -> Decision:
    """The API server does not take the pod: it holds no room, and may be asked again soon.

    Not where a quota would have to be raised first.
    """
    settings = moment.settings
    longest = 0.0 if end.reason == QUOTA_EXCEEDED else settings.retry_backoff_limit
    if end.reason == QUOTA_TOO_SMALL:
        longest = settings.unavailable_backoff_limit
    return judged(job, end, moment.now, settings, moment.ages.obstacle, longest)


def _deletion(pod: PodView, grace: int | None) -> Deletion:
    return Deletion(pod.namespace, pod.name, pod.uid, grace)


def _written(job: JobView, new: Status) -> Decision:
    """The status, if it differs from what stands."""
    same = as_json(new) == as_json(job.status)
    return NOTHING if same else Decision(status=new)


POLICIES: tuple[Policy, ...] = (
    orphaning,
    resumable,
    expired,
    finished,
    unwanted_while_waiting,
    not_accepted,
    waiting,
    without_pod,
    over,
    stuck,
    stop_wanted,
    leaving,
    learning,
    outlasted,
    inquired,
    hindered,
)
"""In the order in which they are asked."""
