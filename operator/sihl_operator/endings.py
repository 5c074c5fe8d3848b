"""Why an attempt ended, told from its pod alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from sihl_api.runtime import ExitCode, Result
from sihl_operator.views import ContainerView, PodView


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
    """How an attempt ended."""

    verdict: Verdict
    reason: str
    message: str
    result: Result | None = None


_FATAL = {ExitCode.BAD_DATA: "BadData", ExitCode.BAD_CONFIG: "BadConfig",
          ExitCode.OUT_OF_MEMORY: "OutOfMemory"}  # fmt: skip
_NODE_REASONS = {
    "Evicted", "NodeLost", "NodeShutdown", "Shutdown", "Terminated", "Preempting", "NodeAffinity",
    "UnexpectedAdmissionError", "OutOfcpu", "OutOfmemory", "OutOfpods",
}  # fmt: skip
_VOLUME = re.compile(r'EmptyDir volume "([^"]+)"')
_OWN_DISK = re.compile(r"ephemeral local storage usage|local ephemeral storage limit")


def ending(pod: PodView) -> Ending:
    """How the attempt of an ended pod ended; the more telling sign wins."""
    return (
        _disk_limit(pod)
        or _own_words(pod)
        or _out_of_memory(pod)
        or _interrupted(pod)
        or _crashed(pod)
    )


def _disk_limit(pod: PodView) -> Ending | None:
    if pod.reason != "Evicted":
        return None
    volume = _VOLUME.search(pod.message)
    if volume and volume.group(1) == "dataset":
        return Ending(
            Verdict.FATAL,
            "DatasetTooLarge",
            f"The dataset outgrew spec.runner.datasetSize, and the node evicted the pod: submit "
            f"the job again with a larger one. ({pod.message.strip()})",
        )
    if volume or _OWN_DISK.search(pod.message):
        return Ending(
            Verdict.FATAL,
            "DiskLimitExceeded",
            "The pod outgrew its limit of local disk, and the node evicted it: raise "
            f"ephemeral-storage in spec.runner.resources. ({pod.message.strip()})",
        )
    return None


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
    if code == ExitCode.UNAVAILABLE:
        reason = result.reason if result else "Unavailable"
        return Ending(Verdict.INTERRUPTED, reason, told or "A store did not answer.", result)
    return None


def _out_of_memory(pod: PodView) -> Ending | None:
    for container in pod.containers:
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
    if pod.reason in _NODE_REASONS or pod.reason.startswith("OutOf"):
        text = f"The node ended the pod: {pod.reason}. {pod.message}".strip()
        return Ending(Verdict.INTERRUPTED, pod.reason, text, result)
    if pod.deleting or pod.gone:
        return Ending(
            Verdict.INTERRUPTED, "PodDeleted", "The pod was deleted before it was done.", result
        )
    return None


def _crashed(pod: PodView) -> Ending:
    container = _decisive(pod)
    if container is None:
        text = f"The pod failed: {pod.reason or 'no reason given'}. {pod.message}".strip()
        return Ending(Verdict.FAILED, "PodFailed", text)
    result = container.result
    if result is not None:
        return Ending(Verdict.FAILED, result.reason, result.message, result)
    tail = container.message.strip()[-800:]
    text = f"The container {container.name} ended by exit code {container.exit_code}."
    return Ending(Verdict.FAILED, "Crashed", f"{text} Its last words: {tail}" if tail else text)


def _decisive(pod: PodView) -> ContainerView | None:
    """The container that ended the pod: the first that failed, else the trainer."""
    for container in pod.containers:
        if container.ended and container.exit_code != 0:
            return container
    trainer = pod.trainer
    return trainer if trainer is not None and trainer.ended else None


def _said(pod: PodView) -> Result | None:
    container = _decisive(pod)
    return container.result if container is not None else None
