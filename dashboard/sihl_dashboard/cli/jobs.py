"""TrainingJobs as the API server sends them, and the lines that tell of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sihl_api.reading import read_status
from sihl_api.status import ConditionType, Phase, Progress, TrainingJobStatus
from sihl_api.times import since_1970
from sihl_api.trainingjob import GROUP, QUEUE_ANNOTATION
from sihl_api.units import human_bytes, human_seconds
from sihl_dashboard.cli.terminal import bar, shown

RESOURCE = f"trainingjob.{GROUP}"
"""As kubectl names one."""

Raw = Mapping[str, Any]
_DAY = 86_400


@dataclass(frozen=True)
class Job:
    """A TrainingJob, whatever release wrote it: what cannot be read is as if it were not there."""

    raw: Raw

    @property
    def _metadata(self) -> Raw:
        return self.raw.get("metadata") or {}

    @property
    def name(self) -> str:
        """Its name."""
        return str(self._metadata.get("name", ""))

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return str(self._metadata.get("namespace", ""))

    @property
    def uid(self) -> str:
        """What tells it from a later job of the same name."""
        return str(self._metadata.get("uid", ""))

    @property
    def created(self) -> str:
        """When it was submitted, as RFC 3339; its text sorts as its time."""
        return str(self._metadata.get("creationTimestamp") or "")

    @property
    def spec(self) -> Raw:
        """As the API server defaulted it."""
        return self.raw.get("spec") or {}

    @property
    def project(self) -> str:
        """What it is compared within."""
        return str(self.spec.get("project", ""))

    @property
    def priority(self) -> int:
        """Higher first."""
        return int(self.spec.get("priority") or 0)

    @property
    def suspended(self) -> bool:
        """Whether it is asked to stop, or not to start."""
        return bool(self.spec.get("suspend"))

    @cached_property
    def status(self) -> TrainingJobStatus:
        """Empty where nobody wrote one yet."""
        return read_status(self.raw.get("status") or {})

    @property
    def phase(self) -> Phase:
        """Queued where the operator has not seen it yet."""
        return self.status.phase or Phase.QUEUED

    @property
    def attempt(self) -> int:
        """0 before the first."""
        return self.status.attempt or 0

    @property
    def queue(self) -> str:
        """The one that it holds or, while it does not, wants."""
        if self.phase.active and self.status.queue:
            return self.status.queue
        return str((self._metadata.get("annotations") or {}).get(QUEUE_ANNOTATION, self.project))

    @property
    def waits(self) -> bool:
        """Whether it stands in its queue's line."""
        return not (
            self.phase.active
            or self.suspended
            or self.phase in (Phase.SUCCEEDED, Phase.FAILED)
            or "deletionTimestamp" in self._metadata
        )

    @property
    def why(self) -> tuple[str, str]:
        """Reason and message of why it waits, runs, or how it ended; empty before it is known."""
        for condition in self.status.conditions or ():
            if condition.type == ConditionType.ADMITTED:
                return condition.reason, condition.message
        return "", ""

    @property
    def refused(self) -> str:
        """Why it is not accepted as it is, which its user has to mend; empty where it is."""
        generation = self._metadata.get("generation")
        for condition in self.status.conditions or ():
            if condition.type == ConditionType.ACCEPTED and condition.status == "False":
                return condition.message if condition.observed_generation == generation else ""
        return ""


# --- tables ----------------------------------------------------------------------------------

COLUMNS = ("NAME", "QUEUE", "PHASE", "REASON", "POSITION", "PROGRESS", "LEFT", "AGE")
WIDE = ("NODE", "ATTEMPT", "METRICS")
QUEUE_COLUMNS = ("QUEUE", "POSITION", "NAME", "PHASE", "PRIORITY", "REASON", "PROGRESS", "LEFT",
                 "AGE")  # fmt: skip


def listed(
    jobs: Iterable[Job], now: float, wide: bool = False, namespaces: bool = False
) -> tuple[list[str], list[list[object]]]:
    """Header and rows of a list of jobs.

    Args:
        jobs: In the order in which they are shown.
        now: Seconds since 1970.
        wide: With node, attempt and metrics.
        namespaces: With the namespace first.
    """
    header = [*(("NAMESPACE",) if namespaces else ()), *COLUMNS, *(WIDE if wide else ())]
    rows: list[list[object]] = []
    for job in jobs:
        status = job.status
        row: list[object] = [
            job.name, job.queue, job.phase, job.why[0], status.queue_position,
            percent(status.progress), left(status.progress), age(job.created, now),
        ]  # fmt: skip
        if wide:
            metrics = sorted((status.metrics or {}).items())
            told = " ".join(f"{name}={value}" for name, value in metrics)
            row += [status.node_name, status.attempt, told]
        rows.append([job.namespace, *row] if namespaces else row)
    return header, rows


def in_queues(jobs: Iterable[Job]) -> list[tuple[Job, int | None]]:
    """Who holds each queue, then who waits in its order, each with its position.

    The order is the operator's: priority, then who came first, then the name. The status has it
    for the first ten only.
    """
    found: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        if job.phase.active or job.waits:
            found.setdefault((job.namespace, job.queue), []).append(job)
    lines: list[tuple[Job, int | None]] = []
    for _, members in sorted(found.items()):
        lines += [(job, None) for job in sorted(members, key=lambda job: job.name)
                  if job.phase.active]  # fmt: skip
        waiting = sorted(
            (job for job in members if job.waits),
            key=lambda job: (-job.priority, job.created, job.name),
        )
        lines += [(job, place) for place, job in enumerate(waiting, start=1)]
    return lines


def queued(
    lines: Iterable[tuple[Job, int | None]], now: float, namespaces: bool = False
) -> tuple[list[str], list[list[object]]]:
    """Header and rows of queues, as `in_queues` orders them."""
    rows: list[list[object]] = [
        [
            *((job.namespace,) if namespaces else ()), job.queue, position, job.name, job.phase,
            job.priority, job.why[0], percent(job.status.progress), left(job.status.progress),
            age(job.created, now),
        ]
        for job, position in lines
    ]  # fmt: skip
    return [*(("NAMESPACE",) if namespaces else ()), *QUEUE_COLUMNS], rows


def percent(progress: Progress | None) -> str:
    """How far a job is."""
    return "" if progress is None or progress.percent is None else f"{progress.percent}%"


def left(progress: Progress | None) -> str | None:
    """The time that it still takes."""
    return progress.remaining if progress else None


def age(created: str, now: float) -> str:
    """How long ago a time was; nothing where it is none."""
    try:
        passed = now - since_1970(created)
    except ValueError:
        return ""
    return f"{int(passed // _DAY)}d" if passed >= 2 * _DAY else human_seconds(max(passed, 0))


# --- what a person who waits is told ---------------------------------------------------------


def headline(job: Job) -> str:
    """What is told when it changes: the phase, and why."""
    reason, message = job.why
    match job.phase:
        case Phase.QUEUED:
            position = job.status.queue_position
            place = f", position {position}" if position else ""
            return shown(f"Queued{place}{_because(reason, message)}")
        case Phase.STARTING:
            for condition in job.status.conditions or ():
                if condition.type == ConditionType.DATASET_READY and condition.status != "True":
                    return shown(f"Starting{_because(condition.reason, condition.message)}")
            return "Starting"
        case Phase.RUNNING:
            node = f" on {job.status.node_name}" if job.status.node_name else ""
            return shown(f"Running: attempt {job.attempt}{node}{_unsaved(job)}")
        case Phase.STOPPING:
            return shown(f"Stopping: it saves a checkpoint first{_unsaved(job)}")
    return shown(f"{job.phase}{_because(reason, message)}")


def _unsaved(job: Job) -> str:
    for condition in job.status.conditions or ():
        if condition.type == ConditionType.RECORD_WRITABLE and condition.status == "False":
            return f". {condition.message}"
    return ""


def _because(reason: str, message: str) -> str:
    told = ": ".join(part for part in (reason, message) if part)
    return f" ({told})" if told else ""


def progress_bar(job: Job) -> str:
    """What is drawn while one waits."""
    progress = job.status.progress
    if job.phase is Phase.STARTING and progress and progress.dataset_total_bytes:
        here, total = progress.dataset_bytes or 0, progress.dataset_total_bytes
        return bar(here / total, f"fetching {human_bytes(here)} of {human_bytes(total)}")
    if job.phase.active and progress and progress.step is not None and progress.max_steps:
        rest = f", {progress.remaining} left" if progress.remaining else ""
        text = f"step {progress.step} of {progress.max_steps}{rest}"
        return bar(progress.step / progress.max_steps, text)
    return f"{job.name}: {headline(job)}"


def names(jobs: Sequence[Job], resource: str) -> list[str]:
    """As `kubectl get -o name`."""
    return [f"{resource}/{shown(job.name)}" for job in jobs]
