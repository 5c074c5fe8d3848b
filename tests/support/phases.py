"""TrainingJobs in every phase, with the status that the operator itself writes."""

from __future__ import annotations

import copy

from sihl_api.runtime import ProgressReport, RecordReport, Result
from sihl_api.status import ConditionType, Phase, Progress
from sihl_api.status import TrainingJobStatus as Status
from sihl_api.trainingjob import API_VERSION, KIND
from sihl_operator import status
from sihl_operator.patches import as_json
from sihl_operator.reports import after_attempt, with_report
from sihl_operator.views import JobView
from tests.support.objects import MODEL, NOW, RUNNING, SAVED, Raw, job, pod

LOST = RecordReport(writable=False, reason="StoreAccessRefused", message="Correct the Secret.")


def _after(before: JobView, new: Status) -> JobView:
    return job(status=as_json(new), suspend=before.suspend)


def _told(before: JobView, report: ProgressReport) -> Status:
    return with_report(before, pod(containers={"trainer": RUNNING}), report, NOW)


def every() -> dict[str, Raw]:
    """By what the job is: the whole object, as the API server has it."""
    fresh = job()
    queued = _after(fresh, status.queued(fresh, 2, "WaitingForQueue", "Job a is ahead.", NOW))
    odd = job(annotations={"sihl.ai/queue": "A"})
    refused = _after(odd, status.refused(odd, "InvalidQueue", "Queue 'A' is no name.", NOW))
    starting = _after(queued, status.starting(queued, NOW))
    running = _after(starting, status.running(starting, pod(), NOW))
    learned = _after(running, _told(running, ProgressReport(
        stage="Training", progress=Progress(step=8, max_steps=10), checkpoint=SAVED)))  # fmt: skip
    lost = _after(learned, _told(learned, ProgressReport(stage="Training", record=LOST)))
    wanted = job(status=as_json(learned.status), suspend=True)
    stopping = _after(wanted, status.stopping(wanted, pod()))
    stopped = _after(stopping, status.stopped(stopping, "Stopped.", NOW, saved=True))
    held = job(suspend=True)
    never = _after(held, status.stopped(held, "Suspended while it waited.", NOW, saved=False))
    done = after_attempt(learned, Result(reason="Completed", step=10, model=MODEL), NOW)

    def ended(of: JobView, phase: Phase, kind: ConditionType, reason: str, text: str) -> JobView:
        return _after(of, status.ended(of, phase, kind, reason, text, NOW))

    complete = (ConditionType.COMPLETE, "Completed", "Trained for 10 steps.")
    malformed = (ConditionType.FAILED, "DatasetMalformed", "annotations.yaml, line 3: no mapping.")
    diverged = (ConditionType.FAILED, "LossNotFinite", "The loss is not finite at step 9.")

    jobs = {
        "fresh": fresh,
        "queued": queued,
        "refused": refused,
        "starting": starting,
        "running": learned,
        "running, its record not writable": lost,
        "stopping": stopping,
        "stopped": stopped,
        "stopped before it ran": never,
        "succeeded": ended(done, Phase.SUCCEEDED, *complete),
        "failed": ended(running, Phase.FAILED, *malformed),
        "failed with a checkpoint": ended(learned, Phase.FAILED, *diverged),
    }
    return {name: _whole(each) for name, each in jobs.items()}


def _whole(view: JobView) -> Raw:
    whole = {"apiVersion": API_VERSION, "kind": KIND, **copy.deepcopy(view.raw)}
    if not whole["status"]:
        del whole["status"]
    return whole
