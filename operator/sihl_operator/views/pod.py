"""A pod of ours, as it was seen."""

from __future__ import annotations

from dataclasses import dataclass

from sihl_api.runtime import (
    FETCH_TRAIN_CONTAINER,
    FETCH_VALIDATION_CONTAINER,
    TRAINER_CONTAINER,
    Env,
    Result,
    read_result,
)
from sihl_api.trainingjob import GROUP, KIND
from sihl_operator.views.job import JobView
from sihl_operator.views.raw import Key, Raw

JOB_UID_LABEL = f"{GROUP}/job-uid"
JOB_LABEL = f"{GROUP}/job"
PROJECT_LABEL = f"{GROUP}/project"
QUEUE_LABEL = f"{GROUP}/queue"
ATTEMPT_LABEL = f"{GROUP}/attempt"

OURS = (FETCH_TRAIN_CONTAINER, FETCH_VALIDATION_CONTAINER, TRAINER_CONTAINER)
"""The containers that the operator puts into a pod; a cluster may put others beside."""
_SUFFIX = "-runner"
_SANDBOX_CONDITION = "PodReadyToStartContainers"


def pod_name(queue: str) -> str:
    """The one name of a queue's pod: a second pod cannot exist, whatever operators believe."""
    return f"{queue}{_SUFFIX}"


def pod_of(job: JobView) -> str:
    """What the pod of its current attempt is called."""
    return job.status.pod_name or pod_name(job.queue)


def queue_of(name: str) -> str | None:
    """The queue whose pod has that name, or None."""
    return name.removesuffix(_SUFFIX) if name.endswith(_SUFFIX) else None


@dataclass(frozen=True)
class ContainerView:
    """One container's state; `result` is what it left in its termination message.

    It is `memory_limited` where it, or its pod as a whole, has a limit of memory. Its `image` is
    the one that the pod names, which a cluster may have put in place of another.
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
    image: str = ""

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
    def decided(self) -> bool:
        """Whether what it is there for has ended, though others of it may go on."""
        own = [container for container in self.containers if container.name in OURS]
        return any(c.exit_code for c in own) or any(c.ended for c in own if not c.init)

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


def serves_a_job(raw: Raw) -> bool:
    """Whether a pod is an attempt's: its labels may be taken off, but not its owner by chance."""
    return JOB_UID_LABEL in (raw["metadata"].get("labels") or {}) or _owner(raw) is not None


def _owner(raw: Raw) -> Raw | None:
    """The TrainingJob that a pod goes with; none where the job was deleted without it."""
    owners = raw["metadata"].get("ownerReferences") or ()
    ours = (o for o in owners if o.get("controller") and o.get("kind") == KIND)
    return next((o for o in ours if str(o.get("apiVersion")).startswith(f"{GROUP}/")), None)


def _attempt_told(raw: Raw) -> str:
    """An attempt's number, by what the trainer is told: nobody changes a container's variables."""
    for container in raw["spec"].get("containers") or ():
        if container.get("name") == TRAINER_CONTAINER:
            for variable in container.get("env") or ():
                if variable["name"] == Env.ATTEMPT:
                    return str(variable.get("value") or "")
    return (raw["metadata"].get("labels") or {}).get(ATTEMPT_LABEL) or ""


def pod_view(raw: Raw, gone: bool = False) -> PodView:
    """A pod of ours. Of what it serves, owner and variables say more than labels."""
    metadata, spec, status = raw["metadata"], raw["spec"], raw.get("status") or {}
    labels, owner = metadata.get("labels") or {}, _owner(raw)
    conditions = {c["type"]: c for c in status.get("conditions") or []}
    scheduled, sandbox = (conditions.get(c, {}) for c in ("PodScheduled", _SANDBOX_CONDITION))
    disruption = conditions.get("DisruptionTarget", {})
    restarts = spec.get("restartPolicy") not in (None, "Never")
    specs = {
        each.get("name"): each
        for each in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    }
    return PodView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        job_uid=owner["uid"] if owner else labels.get(JOB_UID_LABEL, ""),
        job_name=owner["name"] if owner else labels.get(JOB_LABEL, ""),
        attempt=_attempt(_attempt_told(raw)),
        queue=queue_of(metadata["name"]) or labels.get(QUEUE_LABEL, ""),
        phase=status.get("phase") or "Pending",
        node=spec.get("nodeName") or "",
        ip=status.get("podIP") or "",
        deleting="deletionTimestamp" in metadata,
        owned=owner is not None,
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
        containers=tuple(
            _container(_first_run(c) if restarts else c, init, specs.get(c["name"], {}), spec)
            for init, key in ((True, "initContainerStatuses"), (False, "containerStatuses"))
            for c in status.get(key) or ()
        ),
        gone=gone,
    )


def _attempt(label: str) -> int:
    """0, which is no attempt, where a label that others wrote is no number."""
    return int(label) if label.isascii() and label.isdigit() and len(label) < 20 else 0


def _first_run(raw: Raw) -> Raw:
    """A container of ours that the cluster has start again, as it ended: an attempt runs once."""
    last = (raw.get("lastState") or {}).get("terminated")
    return {**raw, "state": {"terminated": last}} if last and raw["name"] in OURS else raw


def _container(raw: Raw, init: bool, asked: Raw, pod: Raw) -> ContainerView:
    """From its status, and what was asked for it and for its pod as a whole."""
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
        memory_limited=any(
            "memory" in ((of.get("resources") or {}).get("limits") or {}) for of in (asked, pod)
        ),
        image=asked.get("image") or "",
    )
