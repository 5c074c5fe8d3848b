"""What the outside is told of a run: learning that is not saved counts, and nothing else does."""

from __future__ import annotations

from sihl_api.runtime import JobReference
from sihl_trainer.supervisor.status import Status
from tests.support.datasets import job
from tests.support.objects import SAVED


def test_unsaved_is_the_time_of_training_since_the_last_checkpoint() -> None:
    now = [0.0]
    reference = JobReference(namespace="team", name="job", uid="u", spec=job())
    status = Status(reference, 1, lambda: None, lambda: now[0])

    def after(seconds: float) -> float | None:
        now[0] += seconds
        return status.registry.get_sample_value("sihl_training_unsaved_seconds")

    assert after(100) == 0, "the model is loaded"
    status.stage("Training")
    assert after(10) == 10
    status.stage("Training")  # said with each report
    assert after(10) == 20
    status.stage("Validating")
    assert after(10_000) == 20, "a validation may take hours, and teaches nothing"
    status.stage("Training")
    assert after(5) == 25
    status.checkpoint(SAVED)
    assert after(3) == 3
