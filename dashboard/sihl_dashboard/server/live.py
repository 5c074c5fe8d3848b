"""A TrainingJob as the API server has it, and as pages show it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sihl_api.record import folder_of
from sihl_api.trainingjob import QUEUE_ANNOTATION
from sihl_dashboard.cli.jobs import Job

Document = dict[str, Any]
_ANNOTATIONS = (QUEUE_ANNOTATION,)


@dataclass(frozen=True)
class Live:
    """A TrainingJob as the API server has it."""

    job: Job
    version: str

    @property
    def name(self) -> str:
        """Its name."""
        return self.job.name

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return self.job.namespace

    @property
    def project(self) -> str:
        """What it is compared within."""
        return self.job.project

    @property
    def queue(self) -> str:
        """The one that it holds or waits in."""
        return self.job.queue

    @property
    def folder(self) -> str:
        """Its record's."""
        return folder_of(self.job.name, self.job.uid)

    @property
    def has_record(self) -> bool:
        """Whether it may have one: an attempt begins it."""
        return bool(self.job.attempt)

    @property
    def spec(self) -> Document:
        """As the API server defaulted it."""
        return dict(self.job.spec)

    @property
    def annotations(self) -> dict[str, str]:
        """Those of ours."""
        found = (self.job.raw.get("metadata") or {}).get("annotations") or {}
        return {name: found[name] for name in _ANNOTATIONS if name in found}

    @cached_property
    def conditions(self) -> list[Document]:
        """With reasons and messages for a person."""
        found: list[Document] = list((self.job.raw.get("status") or {}).get("conditions") or [])
        return found

    @cached_property
    def document(self) -> Document:
        """What pages show of it."""
        job, status = self.job, self.job.status
        reason, message = job.why
        return {
            "name": job.name,
            "uid": job.uid,
            "folder": self.folder if self.has_record else None,
            "namespace": job.namespace,
            "project": job.project,
            "queue": job.queue,
            "phase": str(job.phase.value),
            "position": status.queue_position,
            "reason": reason,
            "message": message,
            "progress": _dumped(status.progress),
            "metrics": status.metrics or {},
            "node": status.node_name,
            "attempt": status.attempt,
            "priority": job.priority,
            "suspend": job.suspended,
            "createdAt": job.created or None,
            "submittedAt": _text(status, "submitted_at"),
            "startedAt": _text(status, "started_at"),
            "runningAt": _text(status, "running_at"),
            "endedAt": _text(status, "ended_at"),
            "checkpoint": _dumped(status.checkpoint),
            "model": _dumped(status.model),
            "isDeleted": "deletionTimestamp" in (job.raw.get("metadata") or {}),
        }


def _dumped(model: Any) -> Document | None:
    if model is None:
        return None
    found: Document = model.model_dump(mode="json", by_alias=True)
    return found


def _text(status: Any, name: str) -> str | None:
    found = getattr(status, name, None)
    return None if found is None else str(found)
