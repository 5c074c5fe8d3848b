"""A job, as it was seen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from sihl_api.oddities import oddities, oddities_in_a_cluster
from sihl_api.reading import phase_of, read_spec, read_status
from sihl_api.status import ConditionType, Phase, TrainingJobStatus
from sihl_api.trainingjob import QUEUE_ANNOTATION
from sihl_api.units import seconds
from sihl_operator.views.raw import Key, Raw, parse

_UNKNOWN = (
    "{} is a field that this release of the operator does not know: the job runs without it, "
    "until the operator is upgraded."
)
_ORPHAN = "orphan"
"""Kubernetes' own finalizer: its garbage collector takes the owner's name off the dependents."""


@dataclass(frozen=True, eq=False)
class JobView:
    """A TrainingJob as it was last seen; `raw_status` stands in for the status in `raw`."""

    raw: Raw
    raw_status: Raw | None = None

    @cached_property
    def key(self) -> Key:
        """(namespace, name)."""
        return self.raw["metadata"]["namespace"], self.raw["metadata"]["name"]

    @cached_property
    def namespace(self) -> str:
        """Its namespace."""
        return self.key[0]

    @cached_property
    def name(self) -> str:
        """Its name."""
        return self.key[1]

    @property
    def uid(self) -> str:
        """Its uid: what tells it from a later job of the same name."""
        return str(self.raw["metadata"]["uid"])

    @property
    def resource_version(self) -> str:
        """What a write must match."""
        return str(self.raw["metadata"]["resourceVersion"])

    @property
    def generation(self) -> int:
        """Of the spec."""
        return int(self.raw["metadata"].get("generation", 0))

    @cached_property
    def created(self) -> float:
        """Seconds since the epoch."""
        return parse(self.raw["metadata"].get("creationTimestamp")) or 0.0

    @cached_property
    def deleting(self) -> bool:
        """Whether the API server was asked to delete it."""
        return "deletionTimestamp" in self.raw["metadata"]

    @property
    def finalizers(self) -> tuple[str, ...]:
        """Whose leave its deletion waits for."""
        return tuple(self.raw["metadata"].get("finalizers") or ())

    @property
    def orphaning(self) -> bool:
        """Whether it is being deleted with --cascade=orphan: its pod is to be left alone."""
        return self.deleting and _ORPHAN in self.finalizers

    @property
    def spec(self) -> Raw:
        """As the API server defaulted it."""
        spec: Raw = self.raw["spec"]
        return spec

    @property
    def spec_fault(self) -> str | None:
        """Why no trainer takes the spec, or None: an older CRD may have let more pass."""
        return self.judged[0]

    @property
    def oddities(self) -> tuple[str, ...]:
        """What is legal in the spec and hardly meant."""
        return self.judged[1]

    @cached_property
    def judged(self) -> tuple[str | None, tuple[str, ...]]:
        """The spec's fault, and its oddities where it has none."""
        try:
            spec, unknown = read_spec(self.spec)
            found = [*oddities(spec, self.raw["metadata"]), *oddities_in_a_cluster(spec)]
            return None, (*found, *(_UNKNOWN.format(field) for field in unknown))
        except ValidationError as error:
            faults = [
                f"{'.'.join(map(str, ('spec', *each['loc'])))}: {each['msg']}"
                for each in error.errors(include_input=False, include_url=False)
            ]
        told = f"{'; '.join(faults[:3])}. Correct it, or delete the job and create it anew."
        return told, ()

    def knowing(self, before: JobView | None) -> JobView:
        """The same view, which takes over what an earlier one that says the same has found out."""
        if before is not None and "judged" in vars(before) and before.said == self.said:
            vars(self)["judged"] = before.judged
        return self

    @property
    def said(self) -> tuple[Any, ...]:
        """What its users and their tools say of it."""
        metadata = self.raw["metadata"]
        return self.spec, metadata.get("labels"), metadata.get("annotations")

    @property
    def life(self) -> float | None:
        """Seconds for which it is kept once it has Succeeded or Failed; None: for ever."""
        text = self.spec.get("ttlAfterFinished")
        return float(seconds(text)) if text else None

    @cached_property
    def status(self) -> TrainingJobStatus:
        """Empty for a job that nobody has seen yet."""
        return read_status(self.stored_status)

    @property
    def stored_status(self) -> Raw:
        """The status as the API server has it."""
        if self.raw_status is not None:
            return self.raw_status
        return self.raw.get("status") or {}

    @cached_property
    def phase(self) -> Phase | None:
        """None for a job that nobody has seen yet."""
        return phase_of(self.stored_status)

    @cached_property
    def active(self) -> bool:
        """Whether it holds its queue."""
        return self.phase is not None and self.phase.active

    @property
    def told(self) -> dict[str, Any]:
        """What a line of the log says of which job it tells."""
        return {
            "namespace": self.namespace, "name": self.name, "uid": self.uid,
            "attempt": self.attempt,
        }  # fmt: skip

    @property
    def attempt(self) -> int:
        """The current or last attempt; 0 before the first."""
        return self.status.attempt or 0

    @property
    def failures(self) -> int:
        """Attempts that counted against `retries`."""
        return self.status.failures or 0

    @property
    def suspend(self) -> bool:
        """Whether its user wants it stopped, to be resumed maybe."""
        return bool(self.spec.get("suspend"))

    @property
    def unwanted(self) -> bool:
        """Whether it is to be stopped: suspended, or deleted and kept by somebody's finalizer."""
        return self.suspend or self.deleting

    @cached_property
    def priority(self) -> int:
        """Higher first in its queue."""
        return int(self.spec.get("priority") or 0)

    @cached_property
    def wanted_queue(self) -> str:
        """The annotation's queue, else the project."""
        annotations = self.raw["metadata"].get("annotations") or {}
        return str(annotations.get(QUEUE_ANNOTATION) or self.spec["project"])

    @cached_property
    def queue(self) -> str:
        """Once admitted it keeps its queue: an edit of the annotation moves a waiting job only."""
        return (self.active and self.stored_status.get("queue")) or self.wanted_queue

    @property
    def runner(self) -> Raw:
        """spec.runner, empty where the API server did not default it."""
        runner: Raw = self.spec.get("runner") or {}
        return runner

    @property
    def gpus(self) -> int:
        """GPUs that it asks for."""
        return int(self.runner.get("gpus", 1))

    def runner_seconds(self, name: str, default: str) -> int:
        """A duration of spec.runner, in seconds."""
        return seconds(self.runner.get(name) or default)

    @property
    def retry_after(self) -> str | None:
        """When it may be tried again, by the clock of whoever wrote it: its backoff's name."""
        return self.stored_status.get("retryAfter")

    @cached_property
    def backoff(self) -> float:
        """Seconds from the end of its last attempt, for which it is held back.

        Both times were written at once, by one clock: what lies between them is right.
        """
        told = {c["type"]: c for c in self.stored_status.get("conditions") or ()}
        began = told.get(ConditionType.ADMITTED.value, {}).get("lastTransitionTime")
        until = parse(self.retry_after)
        return max(0.0, until - (parse(began) or until)) if until is not None else 0.0

    @property
    def has_position(self) -> bool:
        """Whether its status tells a place in line."""
        return self.stored_status.get("queuePosition") is not None
