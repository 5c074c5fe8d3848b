"""Why an attempt ended, told from its pod alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from sihl_api.runtime import (
    NODE_OUT_OF_MEMORY,
    ExitCode,
    Result,
)
from sihl_operator.views import OURS, ContainerView, PodView


class Verdict(Enum):
    """What an attempt's end means for its job."""

    SUCCEEDED = auto()
    STOPPED = auto()  # with its state saved
    STOPPED_UNSAVED = auto()  # only an earlier checkpoint stands, or none
    FATAL = auto()  # no retry helps
    INTERRUPTED = auto()  # not the job's fault: retried without counting
    FAILED = auto()  # retried, counted


@dataclass(frozen=True)
class Ending:
    """How an attempt ended.

    Attributes:
        of_the_jobs: The obstacle is a place that the job itself names, and maybe names wrongly: it
            is not waited for without counting for ever.
    """

    verdict: Verdict
    reason: str
    message: str
    result: Result | None = None
    of_the_jobs: bool = False


NOT_STARTED = "ContainerNotStarted"
DEADLINE_EXCEEDED = "DeadlineExceeded"
EVICTED = "Evicted"
NODE_OUT_OF_DISK = "NodeOutOfDisk"
NEIGHBOUR_FAILED = "NeighbourFailed"
_FATAL = {ExitCode.BAD_DATA: "BadData", ExitCode.BAD_CONFIG: "BadConfig",
          ExitCode.OUT_OF_MEMORY: "OutOfMemory"}  # fmt: skip
_STORES = (ExitCode.UNAVAILABLE, ExitCode.REFUSED)
_NODE_REASONS = {
    EVICTED, "NodeLost", "NodeShutdown", "Shutdown", "Terminated", "Preempting", "Preempted",
}  # fmt: skip
"""By which a node ends a pod that it has begun; what it never began it may refuse by any."""
_NOT_STARTED = {"StartError", "ContainerCannotRun"}
_NO_TRAINER = re.compile(r"executable file not found|exec:? \S+: no such file|exec format error")
_OTHER_MACHINE = re.compile(r"exec format error")
_STARVED = re.compile(
    r"memory limit too low|OOM-killed|minimum memory limit|set memory limit|memory\.limit_in_bytes"
)
_PRESSURE = re.compile(r"low on resource: (memory|ephemeral-storage|inodes)")
_KILLED = 137
_VOLUME = re.compile(r'EmptyDir volume "([^"]+)"')
_OUTGROWN = re.compile(r"Container (\S+) exceeded its local ephemeral storage limit")
DISK_LIMIT = "DiskLimitExceeded"
_SIZES = {"scratch": "scratchSize", "shm": "sharedMemory"}
"""Volumes whose limits are the operator's, by the setting that has it."""
_OWN_DISK = re.compile(r"ephemeral local storage usage|local ephemeral storage limit")


def ending(pod: PodView) -> Ending:
    """How the attempt of an ended pod ended; the more telling sign wins."""
    return (
        _disk_limit(pod)
        or _own_words(pod)
        or _node_out_of_memory(pod)
        or _out_of_memory(pod)
        or _interrupted(pod)
        or _not_begun(pod)
        or _crashed(pod)
    )


def starved(said: str) -> Ending | None:
    """A limit of memory below what it takes to start a container, in a runtime's words."""
    if not _STARVED.search(said):
        return None
    text = (
        "The pod's limit of memory is below what it takes to start a container: raise "
        f"spec.runner.resources.limits.memory in a new job. ({said.strip()})"
    )
    return Ending(Verdict.FATAL, "OutOfMemory", text)


def pressed(pod: PodView) -> Ending | None:
    """An eviction for the node's memory or disk, whatever the trainer saved at it."""
    short = _PRESSURE.search(pod.message) if pod.reason == EVICTED else None
    if short is None:
        return None
    if short.group(1) == "memory":
        return _of_the_nodes_memory(pod, f"evicted the pod ({pod.message.strip()})")
    text = (
        f"The node {pod.node or 'of the pod'} ran out of local disk and evicted the pod. Where the "
        "job needs more than it asks for, a new one names that in "
        "spec.runner.resources.requests.ephemeral-storage, to be placed where it is free; else "
        f"whoever runs the cluster can look at what else fills it. ({pod.message.strip()})"
    )
    return Ending(Verdict.INTERRUPTED, NODE_OUT_OF_DISK, text, _said(pod))


def overdue(pod: PodView) -> Ending | None:
    """A pod that was given less time than its job needs, whatever the trainer saved at its end."""
    if pod.reason != DEADLINE_EXCEEDED:
        return None
    text = (
        "The pod's time was over (activeDeadlineSeconds), which the cluster sets and no job: "
        "whoever runs the cluster can give it more."
    )
    return Ending(Verdict.INTERRUPTED, DEADLINE_EXCEEDED, text, _said(pod))


def _disk_limit(pod: PodView) -> Ending | None:
    """An eviction for a limit: the job's own is final, the operator's and the cluster's are not."""
    if pod.reason != EVICTED:
        return None
    said = f"({pod.message.strip()})"
    if volume := _VOLUME.search(pod.message):
        return _volume_limit(volume.group(1), said)
    beside = _OUTGROWN.search(pod.message)
    if beside and beside.group(1) not in OURS:
        return _beside_the_trainer(f"The container {beside.group(1)}", said)
    if _OWN_DISK.search(pod.message):
        return Ending(
            Verdict.FATAL,
            DISK_LIMIT,
            "The pod outgrew its limit of local disk, and the node evicted it: raise "
            f"ephemeral-storage in spec.runner.resources.limits of a new job. {said}",
        )
    return None


def _volume_limit(name: str, said: str) -> Ending:
    if name == "dataset":
        return Ending(
            Verdict.FATAL,
            "DatasetTooLarge",
            "The dataset outgrew spec.runner.datasetSize, and the node evicted the pod: submit "
            f"the job again with a larger one. {said}",
        )
    if setting := _SIZES.get(name):
        text = (
            f"The pod outgrew its volume {name}, and the node evicted it: whoever runs the "
            f"operator can raise {setting} in the chart's operator.settings. {said}"
        )
        return Ending(Verdict.INTERRUPTED, DISK_LIMIT, text)
    return _beside_the_trainer(f"The volume {name}", said)


def _beside_the_trainer(what: str, said: str) -> Ending:
    text = (
        f"{what}, which the cluster put beside the trainer, outgrew its limit of local disk, and "
        f"the node evicted the pod: whoever runs the cluster can mend it. {said}"
    )
    return Ending(Verdict.INTERRUPTED, NEIGHBOUR_FAILED, text)


def _own_words(pod: PodView) -> Ending | None:
    """What the exit code says, where the trainer chose it."""
    container = _decisive(pod)
    if container is None or container.exit_code is None:
        return None
    result, code = container.result, container.exit_code
    told = result.message if result else ""
    if code == ExitCode.SUCCEEDED:
        if result is not None and result.model is not None:
            return Ending(Verdict.SUCCEEDED, "Completed", told or "Training is complete.", result)
        return Ending(
            Verdict.FAILED,
            "NoModel",
            "The trainer ended without naming the model that it made. Is spec.runner.image a "
            "trainer of this operator?",
            result,
        )
    if code in _FATAL:
        reason = result.reason if result else _FATAL[ExitCode(code)]
        return Ending(Verdict.FATAL, reason, told or f"{container.name} ended by {code}.", result)
    if code == ExitCode.STOPPED:
        return Ending(Verdict.STOPPED, "Stopped", told or "Stopped.", result)
    if code == ExitCode.STOPPED_WITHOUT_CHECKPOINT:
        return Ending(Verdict.STOPPED_UNSAVED, "Stopped", told or "Stopped.", result)
    if code in _STORES:
        reason = result.reason if result else "Unavailable"
        told = told or "A store did not answer."
        its_own = reason.startswith("Dataset")
        return Ending(Verdict.INTERRUPTED, reason, told, result, of_the_jobs=its_own)
    return None


def _node_out_of_memory(pod: PodView) -> Ending | None:
    """Memory ran out at no limit of the job's own: whether it took it, or others, nobody knows."""
    result = _said(pod)
    if result is not None and result.reason == NODE_OUT_OF_MEMORY:
        return _of_the_nodes_memory(pod, f"ended the trainer ({result.message.strip()})")
    if found := pressed(pod):
        return found
    asked = pod.deleting or pod.gone or pod.disruption or pod.reason
    for container in _own(pod):
        if container.memory_limited or container.result is not None:
            continue
        # A runtime does not always see that it was for memory; but nobody else ends a container
        # by SIGKILL that was not asked to end before.
        killed = container.exit_code == _KILLED and container.ended_reason == "Error" and not asked
        if killed or container.ended_reason == "OOMKilled":
            return _of_the_nodes_memory(pod, f"ended the container {container.name}")
    return None


def _of_the_nodes_memory(pod: PodView, did: str) -> Ending:
    text = (
        f"The node {pod.node or 'of the pod'} ran out of memory and {did}. Where the job needs "
        "more than it asks for, a new one names that in spec.runner.resources.requests.memory, to "
        "be placed where it is free, and in limits.memory; else whoever runs the cluster can look "
        "at what else runs on the node."
    )
    return Ending(Verdict.INTERRUPTED, NODE_OUT_OF_MEMORY, text, _said(pod))


def _out_of_memory(pod: PodView) -> Ending | None:
    for container in _own(pod):
        if container.ended_reason == "OOMKilled":
            return Ending(
                Verdict.FATAL,
                "OutOfMemory",
                f"The container {container.name} used more memory than its limit and was killed: "
                "raise spec.runner.resources.limits.memory, or lower training.batchSize or "
                "training.inputSize.",
                container.result,
            )
    return None


def _interrupted(pod: PodView) -> Ending | None:
    result = _said(pod)
    if pod.disruption:
        return Ending(
            Verdict.INTERRUPTED, "Disrupted", f"The pod was disrupted: {pod.disruption}.", result
        )
    if found := overdue(pod):
        return found
    if pod.reason in _NODE_REASONS or (pod.reason and not pod.began):
        text = f"The node ended the pod: {pod.reason}. {pod.message}".strip()
        return Ending(Verdict.INTERRUPTED, pod.reason, text, result)
    if pod.deleting or pod.gone:
        return Ending(
            Verdict.INTERRUPTED, "PodDeleted", "The pod was deleted before it was done.", result
        )
    return None


def _not_begun(pod: PodView) -> Ending | None:
    """A container that its node could not start or lost, or that is none of the job's."""
    failed = next((c for c in pod.containers if c.exit_code), None)
    if failed is None:
        return None
    if failed.ended_reason == "ContainerStatusUnknown":
        text = f"The node lost the container {failed.name}, as by a restart. {failed.message}"
        return Ending(Verdict.INTERRUPTED, "ContainerLost", text)
    if failed.ended_reason in _NOT_STARTED and not _NO_TRAINER.search(failed.message):
        text = (
            f"The node {pod.node} could not start the container {failed.name}: {failed.message} "
            "Whoever runs the cluster can mend the node."
        )
        return starved(failed.message) or Ending(Verdict.INTERRUPTED, NOT_STARTED, text)
    if _decisive(pod) is None:
        text = (
            f"The container {failed.name}, which the cluster put beside the trainer, ended by exit "
            f"code {failed.exit_code} before the trainer began. {failed.message.strip()[-800:]}"
        )
        return Ending(Verdict.INTERRUPTED, NEIGHBOUR_FAILED, text)
    return None


def _crashed(pod: PodView) -> Ending:
    container = _decisive(pod) or next((c for c in pod.containers if c.exit_code), None)
    if container is None:
        text = f"The pod failed: {pod.reason or 'no reason given'}. {pod.message}".strip()
        return Ending(Verdict.INTERRUPTED, "PodFailed", text)  # nothing of the job's ever ran
    result = container.result
    if result is not None:
        return Ending(Verdict.FAILED, result.reason, result.message, result)
    tail = container.message.strip()[-800:]
    text = f"The container {container.name} ended by exit code {container.exit_code}."
    if _OTHER_MACHINE.search(tail):
        text += (
            " Its image is made for another architecture than the node's: choose nodes by "
            "kubernetes.io/arch in spec.runner.nodeSelector, or have the chart's "
            "operator.settings.runnerArchitectures corrected."
        )
    return Ending(Verdict.FAILED, "Crashed", f"{text} Its last words: {tail}" if tail else text)


def _decisive(pod: PodView) -> ContainerView | None:
    """The container of ours that ended the pod: the first that failed, else the trainer."""
    failed = (container for container in _own(pod) if container.exit_code)
    trainer = pod.trainer
    return next(failed, trainer if trainer is not None and trainer.ended else None)


def _own(pod: PodView) -> list[ContainerView]:
    """Without what a cluster puts beside: Kubernetes kills proxies last, and by any exit code."""
    return [container for container in pod.containers if container.name in OURS]


def _said(pod: PodView) -> Result | None:
    container = _decisive(pod)
    return container.result if container is not None else None
