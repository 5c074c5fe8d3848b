"""What a person sees in `kubectl describe` of a job that goes well."""

from __future__ import annotations

from typing import Any

import pytest

from sihl_api.status import TrainingJobStatus as Status
from sihl_operator import status
from sihl_operator.events import Allowance, milestone
from sihl_operator.patches import as_json
from sihl_operator.views import JobView
from tests.support.objects import NOW, job, pod


def with_status(new: Status) -> JobView:
    return JobView(job().raw, as_json(new))


QUEUED = with_status(status.queued(job(), 1, "WaitingForQueue", "", NOW))
STARTING = with_status(status.starting(QUEUED, NOW))
RUNNING = with_status(status.running(STARTING, pod(), NOW))


@pytest.mark.parametrize(
    ("before", "after", "reason", "text"),
    [
        (job(), QUEUED, "Queued", "The job waits in the queue 'cells'."),
        (QUEUED, STARTING, "Starting", "Attempt 1 starts as the pod cells-runner."),
        (STARTING, RUNNING, "Running", "Attempt 1 trains on node-1."),
        (
            RUNNING,
            with_status(status.stopped(RUNNING, "Saved and ended.", NOW, saved=True)),
            "Stopped",
            "Saved and ended.",
        ),
    ],
)
def test_each_phase_of_a_life_is_told(
    before: JobView, after: JobView, reason: str, text: str
) -> None:
    notice = milestone(before, after)
    assert notice is not None
    assert (notice.reason, notice.message, notice.warning) == (reason, text, False)


def test_what_changes_within_a_phase_is_not_told() -> None:
    again: Any = with_status(status.queued(QUEUED, 2, "WaitingForGPUs", "full", NOW))
    assert milestone(QUEUED, again) is None


def test_where_hundreds_change_at_once_a_few_are_told_and_then_one_a_second() -> None:
    allowance = Allowance()
    assert sum(allowance.take(NOW) for _ in range(500)) == 20
    assert sum(allowance.take(NOW + second / 10) for second in range(100)) in (9, 10)
    assert not allowance.take(NOW - 3600), "a clock that is set back gives nothing"
