from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sihl_operator.queues import Queues, in_line
from sihl_operator.views import JobView
from tests.support.objects import job

PHASES = (None, "Queued", "Starting", "Running", "Stopping", "Stopped", "Succeeded", "Failed")


def made(row: tuple[int, int, int, str | None, bool, str]) -> JobView:
    number, minute, priority, phase, suspend, queue = row
    return job(
        f"job-{number}",
        phase,
        status={"queuePosition": 1} if phase == "Queued" else {},
        created=f"2027-01-15T08:{minute:02d}:00Z",
        annotations={"sihl.ai/queue": queue},
        priority=priority,
        suspend=suspend,
    )


views = st.tuples(
    st.integers(0, 9),
    st.integers(0, 3),
    st.integers(-1, 1),
    st.sampled_from(PHASES),
    st.booleans(),
    st.sampled_from(("cells", "plates", "No_Queue")),
).map(made)


@given(st.lists(views, max_size=40))
def test_however_jobs_change_each_queue_has_its_jobs_and_its_line_in_order(
    history: list[JobView],
) -> None:
    queues = Queues()
    jobs: dict[tuple[str, str], JobView] = {}
    for view in history:
        if view.key in jobs:
            queues.take(jobs[view.key])
        jobs[view.key] = view
        queues.put(view)
    expected = {(each.namespace, each.queue) for each in jobs.values()}
    assert set(queues) == expected
    for name, queue in queues.items():
        of_it = [each for each in jobs.values() if (each.namespace, each.queue) == name]
        waiting = sorted(
            (each for each in of_it if in_line(each)),
            key=lambda each: (-each.priority, each.created, each.name),
        )
        assert queue.line == waiting
        assert queue.members == {each.key for each in of_it}
        assert queue.active == {each.key for each in of_it if each.active}
        assert queue.placed == {each.key for each in waiting if each.has_position}
    for view in jobs.values():
        queues.take(view)
    assert queues == {}


def test_who_has_ended_is_stopped_or_cannot_be_queued_is_not_in_line() -> None:
    assert in_line(job())
    assert in_line(job(phase="Queued"))
    assert in_line(job(phase="Stopped")), "it has been resumed"
    assert not in_line(job(phase="Stopped", suspend=True))
    assert not in_line(job(phase="Queued", annotations={"sihl.ai/queue": "No_Queue"}))
    for phase in ("Starting", "Running", "Stopping", "Succeeded", "Failed"):
        assert not in_line(job(phase=phase))
