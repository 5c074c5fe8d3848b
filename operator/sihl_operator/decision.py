"""What can be decided about a job: values that `acts` carries out."""

from __future__ import annotations

from dataclasses import dataclass

from sihl_api.status import TrainingJobStatus
from sihl_operator.patches import as_json
from sihl_operator.views import JobView, PodView


@dataclass(frozen=True)
class Deletion:
    """A pod to be deleted, only if it still is the one that was seen."""

    namespace: str
    name: str
    uid: str
    grace: int | None  # seconds; 0 forces, None leaves it to the pod

    @classmethod
    def of(cls, pod: PodView, grace: int | None = None) -> Deletion:
        """That of this pod."""
        return cls(*pod.key, pod.uid, grace)


@dataclass(frozen=True)
class Notice:
    """A Kubernetes Event for what the status does not keep."""

    reason: str
    message: str
    warning: bool = True


@dataclass(frozen=True)
class Decision:
    """What to do for one job now, and when to look again though nothing changes.

    Attributes:
        status: The status to write, by compare-and-swap; None leaves it.
        refresh: The status is news of position, progress or generation only, which may wait.
        create: The pod of the current attempt is to be created.
        delete: The pod to be deleted.
        expire: The job is to be deleted, as its spec says.
        inquire: What others say of this pod is to be read.
        confirm_absent: Act only if the API server confirms that no such pod exists.
        notice: What an Event tells beside.
        after: Look again in so many seconds.
    """

    status: TrainingJobStatus | None = None
    refresh: bool = False
    create: bool = False
    delete: Deletion | None = None
    expire: bool = False
    inquire: PodView | None = None
    confirm_absent: str | None = None
    notice: Notice | None = None
    after: float | None = None

    @property
    def acts(self) -> bool:
        """Whether there is something to do now."""
        return (
            self.create
            or self.expire
            or any(each is not None for each in (self.status, self.delete, self.inquire))
        )


NOTHING = Decision()
"""Nothing to do until something changes."""


def written(job: JobView, new: TrainingJobStatus) -> Decision:
    """The status, if it differs from what stands."""
    same = as_json(new) == as_json(job.status)
    return NOTHING if same else Decision(status=new)
