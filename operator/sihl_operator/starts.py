"""The policies of an attempt that does not run yet: its pod is created, asked about, given back."""

from __future__ import annotations

import math
from dataclasses import replace

from sihl_api.status import ConditionType, Phase
from sihl_operator import status
from sihl_operator.conditions import condition
from sihl_operator.decision import Decision, Deletion, Notice, written
from sihl_operator.endings import Ending, Verdict
from sihl_operator.hindrances import GATED, UNSCHEDULABLE, hindrance, lacking, silent, unseen
from sihl_operator.moment import Moment
from sihl_operator.refusals import QUOTA_EXCEEDED, QUOTA_TOO_SMALL
from sihl_operator.retries import judged
from sihl_operator.views import JobView, PodView, pod_of

_SANDBOX_SECONDS = 10.0
"""Within which a node has a pod's network and volumes: nobody is told, or asked, before."""
_ASK_SECONDS = 60.0
"""How often others are asked about a pod that does not start."""


def creating(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """Admitted by us, and its pod is not there yet: created, as long as somebody wants it."""
    if pod is not None or not moment.creating:
        return None
    if job.unwanted:
        return _never_created(job, moment)
    if _start_left(job, moment.ages.attempt) > 0:
        return Decision(create=True)
    return _not_created_in_time(job, moment)


def _not_created_in_time(job: JobView, moment: Moment) -> Decision:
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
    return Decision(status=new, confirm_absent=pod_of(job), notice=notice, after=backoff)


def _never_created(job: JobView, moment: Moment) -> Decision:
    text = f"{'Deleted' if job.deleting else 'Suspended'} before its pod was created."
    return Decision(status=status.stopped(job, text, moment.now, saved=False))


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
    return Decision(status=written(job, new).status, after=left if left < math.inf else None)


def _start_left(job: JobView, age: float) -> float:
    """Seconds until the trainer must run."""
    return job.runner_seconds("startTimeout", "1h") - age


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
    return replace(decision, delete=Deletion.of(pod))


def refused_by_api(job: JobView, end: Ending, moment: Moment) -> Decision:
    """The API server does not take the pod: it holds no room, and may be asked again soon.

    Not where a quota would have to be raised first.
    """
    settings = moment.settings
    longest = 0.0 if end.reason == QUOTA_EXCEEDED else settings.retry_backoff_limit
    if end.reason == QUOTA_TOO_SMALL:
        longest = settings.unavailable_backoff_limit
    return judged(job, end, moment.now, settings, moment.ages.obstacle, longest)
