"""Small typed views of what the API server sends: jobs, pods, nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from sihl_api.oddities import oddities
from sihl_api.reading import phase_of, read_spec, read_status
from sihl_api.runtime import (
    FETCH_TRAIN_CONTAINER,
    FETCH_VALIDATION_CONTAINER,
    TRAINER_CONTAINER,
    Result,
    read_result,
)
from sihl_api.times import since_1970
from sihl_api.trainingjob import (
    GROUP,
    QUEUE_ANNOTATION,
    ConditionType,
    Phase,
    TrainingJobStatus,
)
from sihl_api.units import quantity, seconds

JOB_UID_LABEL = f"{GROUP}/job-uid"
JOB_LABEL = f"{GROUP}/job"
PROJECT_LABEL = f"{GROUP}/project"
QUEUE_LABEL = f"{GROUP}/queue"
ATTEMPT_LABEL = f"{GROUP}/attempt"

_SANDBOX_CONDITION = "PodReadyToStartContainers"

_UNKNOWN = (
    "{} is a field that this release of the operator does not know: the job runs without it, "
    "until the operator is upgraded."
)
_ORPHAN = "orphan"
"""Kubernetes' own finalizer: its garbage collector takes the owner's name off the dependents."""

Raw = Mapping[str, Any]
Resources = dict[str, Decimal]
Key = tuple[str, str]
"""(namespace, name)."""


def parse(text: str | None) -> float | None:
    """Seconds since 1970, or None for None."""
    return since_1970(text) if text else None


def pod_name(queue: str) -> str:
    """The one name of a queue's pod: a second pod cannot exist, whatever operators believe."""
    return f"{queue}-runner"


def lean(raw: Raw) -> dict[str, Any]:
    """An object without the fields' managers: a third of it, which nobody here reads."""
    kept = {name: value for name, value in raw["metadata"].items() if name != "managedFields"}
    return {**raw, "metadata": kept}


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
            found = oddities(spec, self.raw["metadata"])
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


@dataclass(frozen=True)
class ContainerView:
    """One container's state; `result` is what it left in its termination message.

    It is `memory_limited` where it, or its pod as a whole, has a limit of memory.
    """

    name: str
    init: bool
    waiting_reason: str = ""
    waiting_message: str = ""
    running: bool = False
    exit_code: int | None = None
    ended_reason: str = ""
    message: str = ""
    memory_limited: bool = False

    @property
    def ended(self) -> bool:
        """Whether it has run and does no more."""
        return self.exit_code is not None

    @property
    def result(self) -> Result | None:
        """None where it runs, or was killed before it could say anything."""
        return read_result(self.message)


@dataclass(frozen=True)
class PodView:
    """A pod of ours as it was last seen; `gone` when the API server has it no more."""

    namespace: str
    name: str
    uid: str
    job_uid: str
    job_name: str
    attempt: int
    queue: str
    phase: str
    node: str = ""
    ip: str = ""
    deleting: bool = False
    owned: bool = True  # whether it goes when its job goes
    grace: float = 0.0  # seconds from its deletion, as it was asked for
    finalizers: tuple[str, ...] = ()
    unschedulable: str = ""
    gates: tuple[str, ...] = ()  # whoever set one keeps the scheduler from looking at the pod
    sandbox: bool | None = None  # whether its node has made what containers run in
    disruption: str = ""
    reason: str = ""
    message: str = ""
    containers: tuple[ContainerView, ...] = ()
    gone: bool = False

    @property
    def key(self) -> Key:
        """(namespace, name)."""
        return self.namespace, self.name

    @property
    def ours(self) -> bool:
        """Whether it serves a job."""
        return bool(self.job_uid)

    def serves(self, job: JobView) -> bool:
        """Whether it is the pod of the job's current attempt."""
        return self.job_uid == job.uid and self.attempt == job.attempt

    @property
    def ended(self) -> bool:
        """Whether no container of it runs any more, or can again."""
        return self.gone or self.phase in ("Succeeded", "Failed")

    @property
    def kept(self) -> bool:
        """Whether it has ended and was deleted, and is still there because of its finalizers."""
        return self.ended and self.deleting and bool(self.finalizers) and not self.gone

    def container(self, name: str) -> ContainerView | None:
        """A container by name."""
        return next((c for c in self.containers if c.name == name), None)

    @property
    def trainer(self) -> ContainerView | None:
        """The main container."""
        return self.container(TRAINER_CONTAINER)

    @property
    def fetches(self) -> list[ContainerView]:
        """The containers that bring the dataset."""
        return [
            c
            for c in self.containers
            if c.name in (FETCH_TRAIN_CONTAINER, FETCH_VALIDATION_CONTAINER)
        ]

    @property
    def fetched(self) -> bool:
        """Whether the whole dataset lies on the node."""
        return bool(self.fetches) and all(c.exit_code == 0 for c in self.fetches)

    @property
    def warnings(self) -> list[str]:
        """What those that fetched the dataset found odd about it."""
        results = [each.result for each in self.fetches]
        return [warning for result in results if result for warning in result.warnings]

    @property
    def containers_ended(self) -> int:
        """How many containers of it have run and do no more."""
        return sum(container.ended for container in self.containers)

    @property
    def began(self) -> bool:
        """Whether anything of it ever ran."""
        return any(c.ended or c.running for c in self.containers)

    @property
    def training(self) -> bool:
        """Whether the main container runs."""
        return self.trainer is not None and self.trainer.running


def pod_view(raw: Raw, gone: bool = False) -> PodView:
    """A pod of ours."""
    metadata, spec, status = raw["metadata"], raw["spec"], raw.get("status") or {}
    labels = metadata.get("labels") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or []}
    scheduled, sandbox = (conditions.get(c, {}) for c in ("PodScheduled", _SANDBOX_CONDITION))
    disruption = conditions.get("DisruptionTarget", {})
    limited = _memory_limited(spec)
    return PodView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        job_uid=labels.get(JOB_UID_LABEL, ""),
        job_name=labels.get(JOB_LABEL, ""),
        attempt=_attempt(labels.get(ATTEMPT_LABEL) or ""),
        queue=labels.get(QUEUE_LABEL, ""),
        phase=status.get("phase") or "Pending",
        node=spec.get("nodeName") or "",
        ip=status.get("podIP") or "",
        deleting="deletionTimestamp" in metadata,
        owned=any(
            owner.get("uid") == labels.get(JOB_UID_LABEL)
            for owner in metadata.get("ownerReferences") or ()
        ),
        grace=float(metadata.get("deletionGracePeriodSeconds") or 0),
        finalizers=tuple(metadata.get("finalizers") or ()),
        unschedulable=str(scheduled.get("message", ""))
        if scheduled.get("status") == "False" and scheduled.get("reason") != "SchedulingGated"
        else "",
        gates=tuple(str(gate.get("name")) for gate in spec.get("schedulingGates") or ()),
        sandbox={"True": True, "False": False}.get(sandbox.get("status", "")),
        disruption=str(disruption.get("reason", "")) if disruption.get("status") == "True" else "",
        reason=status.get("reason") or "",
        message=status.get("message") or "",
        containers=(
            *(_container(c, True, limited) for c in status.get("initContainerStatuses") or []),
            *(_container(c, False, limited) for c in status.get("containerStatuses") or []),
        ),
        gone=gone,
    )


def _attempt(label: str) -> int:
    """0, which is no attempt, where a label that others wrote is no number."""
    return int(label) if label.isascii() and label.isdigit() and len(label) < 10 else 0


def _memory_limited(spec: Raw) -> frozenset[str]:
    """The names of a pod's containers that have a limit of memory, or all where the pod has one."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return frozenset(
        each.get("name", "")
        for each in containers
        if any("memory" in ((of.get("resources") or {}).get("limits") or {}) for of in (spec, each))
    )


def _container(raw: Raw, init: bool, memory_limited: frozenset[str]) -> ContainerView:
    state = raw.get("state") or {}
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
    return ContainerView(
        name=raw["name"],
        init=init,
        waiting_reason=waiting.get("reason") or "",
        waiting_message=waiting.get("message") or "",
        running=state.get("running") is not None,
        exit_code=ended.get("exitCode"),
        ended_reason=ended.get("reason") or "",
        message=ended.get("message") or "",
        memory_limited=raw["name"] in memory_limited,
    )


@dataclass(frozen=True)
class NodeView:
    """A node: what it offers, and to whom."""

    name: str
    allocatable: Resources
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Raw, ...] = ()
    schedulable: bool = True
    ready: bool = True
    devices: Resources = field(default_factory=dict)
    """Extended resources that it has, the unhealthy ones among them."""

    @cached_property
    def whole(self) -> Resources:
        """What it offers when all its devices are healthy."""
        most = dict(self.allocatable)
        for name, have in self.devices.items():
            most[name] = max(have, most.get(name, have))
        return most


def node_view(raw: Raw) -> NodeView:
    """A node."""
    status, spec = raw.get("status") or {}, raw.get("spec") or {}
    ready = any(
        c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or []
    )
    return NodeView(
        name=raw["metadata"]["name"],
        allocatable=resources(status.get("allocatable") or {}),
        labels=raw["metadata"].get("labels") or {},
        taints=tuple(spec.get("taints") or ()),
        schedulable=not spec.get("unschedulable"),
        ready=ready,
        # cpu and memory have no domain: of these the system keeps some for itself.
        devices={k: v for k, v in resources(status.get("capacity") or {}).items() if "/" in k},
    )


@dataclass(frozen=True)
class Usage:
    """What any pod of the cluster, ours or not, takes of its node."""

    node: str
    requests: Resources


def usage_view(raw: Raw) -> Usage | None:
    """A pod's share of its node; None where it has none, or has given it back.

    A node that others are sent away from for a pod is promised to that pod before it is bound.
    """
    status = raw.get("status") or {}
    node = (raw.get("spec") or {}).get("nodeName") or status.get("nominatedNodeName")
    if not node or status.get("phase") in ("Succeeded", "Failed"):
        return None
    return Usage(node, pod_requests(raw["spec"]))


def pod_requests(spec: Raw) -> Resources:
    """What the scheduler counts: the containers together, or the largest init container.

    Init containers that restart always (sidecars) run beside the others and count with them.
    """
    total: Resources = {"pods": Decimal(1)}
    for container in spec.get("containers") or []:
        _add(total, _requests(container))
    peak: Resources = {}
    for container in spec.get("initContainers") or []:
        if container.get("restartPolicy") == "Always":
            _add(total, _requests(container))
        for name, amount in _requests(container).items():
            peak[name] = max(peak.get(name, Decimal(0)), amount)
    for name, amount in peak.items():
        total[name] = max(total.get(name, Decimal(0)), amount)
    _add(total, resources(spec.get("overhead") or {}))
    return total


def resources(raw: Raw) -> Resources:
    """Quantities as numbers; what is none counts nothing, and the API server refuses its pod."""
    return {name: amount for name, text in raw.items() if (amount := _number(text)) is not None}


def _number(text: Any) -> Decimal | None:
    try:
        return quantity(text)
    except ValueError:
        return None


def _requests(container: Raw) -> Resources:
    given = container.get("resources") or {}
    return resources({**(given.get("limits") or {}), **(given.get("requests") or {})})


def _add(total: Resources, more: Resources) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, Decimal(0)) + amount
