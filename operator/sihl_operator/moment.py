"""What a job's next step is decided from, beside the job and its pod: the moment; and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sihl_operator.decision import Decision
from sihl_operator.hearsay import Told
from sihl_operator.settings import Settings
from sihl_operator.sightings import UNSEEN, Ages
from sihl_operator.views import JobView, PodView


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
"""One part of the decision: None leaves it to the policies that are asked later."""
