"""One job's next step: a chain of policies, each a pure function; the first answer wins.

A policy sees the job, the pod that serves its current attempt (None: none is known) and the time.
"""

# ruff: noqa: ARG001 (policies share one signature; few need all of it)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sihl_api.trainingjob import ConditionType, Phase
from sihl_operator import status
from sihl_operator.decision import NOTHING, Decision, Deletion, Notice
from sihl_operator.endings import Ending, Verdict, ending
from sihl_operator.queues import queue_fault
from sihl_operator.settings import Settings
from sihl_operator.views import JobView, PodView, parse, pod_name

_IMAGE_PROBLEMS = {
    "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
    "RegistryUnavailable", "ImageInspectError",
}  # fmt: skip
_CONFIG_PROBLEMS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_BESIDE_SECONDS = 30.0
"""How long a pod may outlast its trainer: the kubelet tells of its end within a few seconds."""


@dataclass(frozen=True)
class Moment:
    """What the policies are given beside job and pod.

    Attributes:
        now: Seconds since 1970.
        settings: The operator's.
        position: The job's in its queue, if it waits among the first ten.
        waiting: Reason and message for a job that waits.
        creating: Whether this process has admitted the attempt and not created its pod yet.
    """

    now: float
    settings: Settings
    position: int | None = None
    waiting: tuple[str, str] = ("Queued", "The job waits for its turn.")
    creating: bool = False


Policy = Callable[[JobView, PodView | None, Moment], Decision | None]


def decide(job: JobView, pod: PodView | None, moment: Moment) -> Decision:
    """What to do for a job now."""
    for policy in POLICIES:
        decision = policy(job, pod, moment)
        if decision is not None:
            return decision
    return NOTHING


# --- no attempt runs -------------------------------------------------------------------------


def deleted(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """A job that is being deleted needs nothing: its pod goes with it, by its owner reference."""
    return NOTHING if job.deleting else None


def finished(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """Succeeded and Failed are final; Stopped is until its user resumes it."""
    if job.phase in (Phase.SUCCEEDED, Phase.FAILED):
        return NOTHING
    return NOTHING if job.phase is Phase.STOPPED and job.suspend else None


def suspended_while_waiting(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """A job that waits, or was never seen, is stopped at once."""
    if not job.suspend or job.active:
        return None
    text = "Suspended while it waited: set spec.suspend to false to queue it again."
    return Decision(status=status.stopped(job, text, moment.now, saved=False))


def not_accepted(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """A queue or a spec that cannot be is never admitted; its user can mend it."""
    if job.active:
        return None
    if fault := queue_fault(job.wanted_queue):
        return _written(job, status.refused(job, "InvalidQueue", fault, moment.now))
    if job.spec_fault:
        return _written(job, status.refused(job, "InvalidSpec", job.spec_fault, moment.now))
    return None


def waiting(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """A new, resumed or waiting job: Queued, with the reason why it waits."""
    if job.active:
        return None
    reason, message = moment.waiting
    new = status.queued(job, moment.position, reason, message, moment.now)
    due = job.retry_after if job.retry_after > moment.now else None
    if job.phase is not Phase.QUEUED or new.queue != job.status.queue:
        return Decision(status=new, due=due)
    if status.as_json(new) == status.as_json(job.status):
        return Decision(due=due)
    changed = _reason(new) != _reason(job.status)
    return Decision(status=new, refresh=not changed, due=due)


def _reason(of: status.Status) -> str | None:
    admitted = status.condition(of, ConditionType.ADMITTED)
    return admitted.reason if admitted else None


# --- an attempt runs -------------------------------------------------------------------------


def without_pod(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """An active job without its pod: about to be created by us, or vanished unseen."""
    if pod is not None:
        return None
    absent = job.status.pod_name or pod_name(job.queue)
    if moment.creating:
        if job.suspend:
            return _never_created(job, moment)
        if moment.now < _start_due(job, moment.now):
            return Decision(create=True)
        return _not_created_in_time(job, absent, moment)
    seen = "vanished unseen" if job.phase is not Phase.STARTING else "is not there"
    text = f"The pod {seen}; the next attempt resumes from the last checkpoint."
    if job.suspend:
        new = status.stopped(job, f"Stopped; the pod {seen}.", moment.now, saved=None)
    else:
        new = status.requeued(job, "PodVanished", text, moment.now)
    return Decision(status=new, confirm_absent=absent, notice=Notice("PodVanished", text))


def _start_due(job: JobView, began: float) -> float:
    """Until when the trainer must run."""
    return (parse(job.status.started_at) or began) + job.runner_seconds("startTimeout", "1h")


def _not_created_in_time(job: JobView, name: str, moment: Moment) -> Decision:
    """The API server refused all along, or did not answer: nobody's fault, and others may go."""
    told = status.condition(job.status, ConditionType.DATASET_READY)
    text = "The pod was not created within spec.runner.startTimeout."
    if told is not None and told.reason == status.NOT_CREATED:
        text += f" {told.message}"
    again = moment.now + moment.settings.retry_backoff_limit
    new = status.requeued(job, status.NOT_CREATED, text, moment.now, retry_at=again)
    notice = Notice(status.NOT_CREATED, text)
    return Decision(status=new, confirm_absent=name, notice=notice, due=again)


def _never_created(job: JobView, moment: Moment) -> Decision:
    text = "Suspended before its pod was created."
    return Decision(status=status.stopped(job, text, moment.now, saved=False))


def over(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """The attempt's pod has ended: what that means for the job."""
    if pod is None or not pod.ended:
        return None
    end = ending(pod)
    told = status.after_attempt(job, end.result, moment.now)
    if end.verdict is Verdict.SUCCEEDED:
        new = status.ended(
            told, Phase.SUCCEEDED, ConditionType.COMPLETE, end.reason, end.message, moment.now
        )
        return Decision(status=new)
    if end.verdict is Verdict.FATAL:
        return _failed(told, end, moment)
    if job.suspend:
        return Decision(status=_stopped(told, pod, end, moment))
    if end.verdict is Verdict.FAILED:
        return _retried(told, end, moment)
    backoff = moment.settings.unavailable_backoff if _may_recur_at_once(end, pod) else 0
    text = f"{end.message} The next attempt resumes from the last checkpoint."
    again = moment.now + backoff if backoff else None
    new = status.requeued(told, end.reason, text, moment.now, retry_at=again)
    return Decision(status=new, notice=Notice(end.reason, text), due=again)


def _may_recur_at_once(end: Ending, pod: PodView) -> bool:
    """The store is away, or a node refused the pod before anything of it ran."""
    return end.verdict is Verdict.INTERRUPTED and (end.result is not None or not pod.began)


def _stopped(job: JobView, pod: PodView, end: Ending, moment: Moment) -> status.Status:
    if pod.gone and not any(c.ended for c in pod.containers):
        return status.stopped(job, "The pod ended unseen.", moment.now, saved=None)
    saved = end.verdict is Verdict.STOPPED
    missing = end.result.reason if end.result and not saved else "NoStepYet"
    return status.stopped(job, end.message, moment.now, saved=saved, missing=missing)


def _failed(job: JobView, end: Ending, moment: Moment) -> Decision:
    new = status.ended(job, Phase.FAILED, ConditionType.FAILED, end.reason, end.message, moment.now)
    return Decision(status=new, notice=Notice(end.reason, end.message))


def _retried(job: JobView, end: Ending, moment: Moment) -> Decision:
    """Counted against `retries`, with a backoff that doubles."""
    failures, retries = job.failures + 1, int(job.runner.get("retries", 3))
    if failures > retries:
        text = end.message
        if retries:
            text += f" Given up after {failures} failed attempts (spec.runner.retries: {retries})."
        return _failed(
            _counted(job, failures), Ending(end.verdict, end.reason, text, end.result), moment
        )
    limit = moment.settings.retry_backoff_limit
    again = moment.now + min(limit, moment.settings.retry_backoff * 2 ** min(failures - 1, 30))
    text = f"{end.message} Failure {failures}, to be retried up to {retries} times."
    new = status.requeued(job, end.reason, text, moment.now, failures=failures, retry_at=again)
    return Decision(status=new, notice=Notice(end.reason, text), due=again)


def _counted(job: JobView, failures: int) -> JobView:
    return JobView(job.raw, {**job.stored_status, "failures": failures})


def stuck(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """A pod that should be gone long since is forced away: its node is lost."""
    if pod is None or not pod.deleting or pod.deletion_due is None:
        return None
    due = pod.deletion_due + moment.settings.lost_node_timeout
    if moment.now < due:
        return Decision(due=due) if job.phase is Phase.STOPPING else None
    text = f"The pod did not end on node {pod.node or 'unknown'} and was removed by force."
    return Decision(delete=_deletion(pod, 0), notice=Notice("PodForcedAway", text))


def stop_wanted(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """Suspended, or Stopping before a crash of ours: the pod is asked to save and end."""
    if pod is None or not (job.suspend or job.phase is Phase.STOPPING):
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
    """The trainer has ended and its pod has not: what others run beside it is asked to end too."""
    if pod is None or pod.trainer is None or not pod.trainer.ended:
        return None
    due = (pod.trainer.finished or pod.created) + _BESIDE_SECONDS
    return Decision(due=due) if moment.now < due else Decision(delete=_deletion(pod, None))


def hindered(job: JobView, pod: PodView | None, moment: Moment) -> Decision | None:
    """Starting, and something is in the way: said at once, given back after a time-out."""
    if pod is None or job.phase is not Phase.STARTING:
        return None
    problem = start_problem(pod, job)
    started = parse(job.status.started_at) or pod.created
    due = _start_due(job, pod.created)
    if problem is not None:
        patience = (
            moment.settings.unschedulable_timeout
            if problem[0] == "Unschedulable"
            else moment.settings.startup_problem_timeout
        )
        # What the trainer's container lacks shows only once the dataset is fetched.
        last = max((c.finished or 0.0 for c in pod.containers), default=0.0)
        due = min(due, max(started, last) + patience)
    if moment.now >= due:
        reason, text = problem or (
            "StartTimeout",
            f"The job was not running within spec.runner.startTimeout ({due - started:.0f} s): "
            "submit it again with a longer one if its dataset takes so long to fetch.",
        )
        return _given_back(job, pod, reason, text, moment)
    new = status.start_problem(job, *(problem or status.NOT_FETCHED), moment.now)
    return Decision(status=_written(job, new).status, due=due)


def start_problem(pod: PodView, job: JobView) -> tuple[str, str] | None:
    """Reason and message of what keeps a pod from starting."""
    if not pod.node and pod.unschedulable:
        return "Unschedulable", f"Kubernetes finds no node for the pod: {pod.unschedulable}"
    for container in pod.containers:
        if container.waiting_reason in _IMAGE_PROBLEMS:
            return (
                "ImageNotPulled",
                "The trainer's image cannot be pulled: check spec.runner.image, or the operator's "
                f"trainer image and pull secrets. {container.waiting_message}",
            )
        if container.waiting_reason in _CONFIG_PROBLEMS:
            return (
                "PodNotConfigured",
                f"The container {container.name} cannot be made: {container.waiting_message}. A "
                f"Secret must exist in namespace {job.namespace} with the keys accessKeyId and "
                "secretAccessKey (sihl-store also endpoint and bucket).",
            )
    return None


def _given_back(job: JobView, pod: PodView, reason: str, text: str, moment: Moment) -> Decision:
    decision = _retried(job, Ending(Verdict.FAILED, reason, text), moment)
    return Decision(
        status=decision.status,
        notice=decision.notice,
        due=decision.due,
        delete=_deletion(pod, None),
    )


def refused_by_api(job: JobView, end: Ending, moment: Moment) -> Decision:
    """The API server does not take the pod: final for a field, counted unless a quota is full."""
    if end.verdict is Verdict.FATAL:
        return _failed(job, end, moment)
    if end.verdict is Verdict.INTERRUPTED:
        again = moment.now + moment.settings.unavailable_backoff
        new = status.requeued(job, end.reason, end.message, moment.now, retry_at=again)
        return Decision(status=new, due=again)
    return _retried(job, end, moment)


def _deletion(pod: PodView, grace: int | None) -> Deletion:
    return Deletion(pod.namespace, pod.name, pod.uid, grace)


def _written(job: JobView, new: status.Status) -> Decision:
    """The status, if it differs from what stands."""
    same = status.as_json(new) == status.as_json(job.status)
    return NOTHING if same else Decision(status=new)


POLICIES: tuple[Policy, ...] = (
    deleted,
    finished,
    suspended_while_waiting,
    not_accepted,
    waiting,
    without_pod,
    over,
    stuck,
    stop_wanted,
    leaving,
    learning,
    outlasted,
    hindered,
)
"""In the order in which they are asked."""
