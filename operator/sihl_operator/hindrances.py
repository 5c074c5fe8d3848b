"""What keeps a pod from starting, told from the pod and from the events about it. Pure.

A hindrance is how the attempt ends if it lasts: waited for and not counted (INTERRUPTED), unless
it is the job's own image that is not there (FAILED), or a field that no pod can have (FATAL).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sihl_api.runtime import STORE_SECRET
from sihl_operator.endings import Ending, Verdict, starved
from sihl_operator.hearsay import Told
from sihl_operator.views import OURS, ContainerView, JobView, PodView

UNSCHEDULABLE = "Unschedulable"
GATED = "SchedulingGated"
NOT_STARTED = "PodNotStarted"

_CLUSTER = "whoever runs the cluster"
_IMAGE_PROBLEMS = {
    "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
    "RegistryUnavailable", "ImageInspectError", "SignatureValidationFailed",
}  # fmt: skip
_CONFIG_PROBLEMS = {
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreStartHookError",
    "PostStartHookError", "CrashLoopBackOff",
}  # fmt: skip
_SECRET = re.compile(r"(?<!failed to sync )\bsecret\b|\bkey \S+ in Secret\b", re.IGNORECASE)
_NO_SUCH_IMAGE = re.compile(
    r"not found|no such image|manifest unknown|name unknown|not known to registry|"
    r"does not exist in the registry|no match for platform|no matching manifest|"
    r"invalid reference format",
    re.IGNORECASE,
)
_NOT_ITS_FAULT = re.compile(
    r"authori[sz]|denied|forbidden|credential|too ?many ?requests|rate.?limit|time[d -]?out|"
    r"deadline|no such host|server misbehaving|connection|x509|certificate|tls:|\bEOF\b|"
    r"no space left|unexpected status[^,]*: 5\d\d|(?:status|code)\D{0,12}(?:429|5\d\d)\b",
    re.IGNORECASE,
)
"""A registry that is away, overloaded or locked says much else beside, a "not found" too."""
_OF_THE_SANDBOX = {
    "FailedCreatePodSandBox": "SandboxNotCreated", "FailedPodSandBoxStatus": "SandboxNotCreated",
    "NetworkNotReady": "SandboxNotCreated", "FailedKillPod": "SandboxNotCreated",
    "FailedMount": "VolumeNotMounted", "FailedAttachVolume": "VolumeNotMounted",
    "FailedMapVolume": "VolumeNotMounted", "FailedPrepareDynamicResources": "DevicesNotPrepared",
}  # fmt: skip
"""Events that the kubelet has of a pod of which no container is there yet."""
_OF_THE_AUTOSCALER = {"NotTriggerScaleUp", "FailedScaleUp", "TriggeredScaleUp", "Nominated"}


def hindrance(pod: PodView, job: JobView, events: Iterable[Told] = ()) -> Ending | None:
    """What is in a pod's way, or None; to be taken as the attempt's end where it lasts.

    Args:
        pod: Of a job that is starting.
        job: Its job.
        events: About the pod, the newest first.
    """
    if not pod.node:
        return _unscheduled(pod, tuple(events))
    for container in pod.containers:
        if container.waiting_reason in _IMAGE_PROBLEMS:
            return _image(container, job)
        if container.waiting_reason in _CONFIG_PROBLEMS:
            return _container(container, job)
    return _sandbox(pod, job, tuple(events)) if silent(pod) else None


def unseen(pod: PodView) -> bool:
    """Whether neither a scheduler nor a kubelet has said anything of the pod yet."""
    if pod.node:
        return pod.sandbox is None and silent(pod)
    return not (pod.unschedulable or pod.gates)


def silent(pod: PodView) -> bool:
    """Whether the pod itself does not say all of what it waits for."""
    if not pod.node:
        return bool(pod.unschedulable and not pod.gates)
    told = any(c.waiting_reason in _IMAGE_PROBLEMS | _CONFIG_PROBLEMS for c in pod.containers)
    return not (told or pod.began or pod.sandbox)


def lacking(pod: PodView, job: JobView) -> Ending:
    """How an attempt ends of which nothing ever ran, and nobody says why."""
    if not pod.node:
        named = job.runner.get("schedulerName")
        whose = f"{named}, of spec.runner.schedulerName," if named else "the one that the pod names"
        text = f"No scheduler has looked at the pod: is {whose} running?"
    elif pod.sandbox is None:
        text = f"The node {pod.node} has not taken up the pod: {_CLUSTER} can look at its kubelet."
    else:
        text = (
            f"The node {pod.node} has not started the pod's first container: its image may still "
            f"be pulled. {_CLUSTER.capitalize()} can look at the node's kubelet."
        )
    return Ending(Verdict.INTERRUPTED, NOT_STARTED, text)


def _unscheduled(pod: PodView, events: tuple[Told, ...]) -> Ending | None:
    if pod.gates:
        text = (
            f"The pod has the scheduling gate {', '.join(pod.gates)}: it starts once who set the "
            "gate, such as a quota manager, removes it."
        )
        return Ending(Verdict.INTERRUPTED, GATED, text)
    if not pod.unschedulable:
        return None
    text = (
        f"Kubernetes finds no node for the pod: {pod.unschedulable} {_CLUSTER.capitalize()} can "
        "make one fit; meanwhile its room is other queues'."
    )
    scaling = next((event for event in events if event[0] in _OF_THE_AUTOSCALER), None)
    if scaling is not None:
        text += f" The autoscaler says: {': '.join(scaling)}."
    return Ending(Verdict.INTERRUPTED, UNSCHEDULABLE, text)


def _image(container: ContainerView, job: JobView) -> Ending:
    image = str(job.runner.get("image") or "") if container.name in OURS else ""
    said = container.waiting_message
    if image and container.image not in ("", image):
        text = (
            f"The image {container.image}, which the cluster put in place of spec.runner.image, "
            f"cannot be pulled: {_CLUSTER} can mend the registry, or what changes pods. {said}"
        )
        return Ending(Verdict.INTERRUPTED, "ImageNotPulled", text)
    words = said.replace(image, "") if image else said
    if image and container.waiting_reason == "InvalidImageName":
        text = f"spec.runner.image {image!r} is no image's name: correct it in a new job. {said}"
        return Ending(Verdict.FATAL, "ImageNotPulled", text)
    if image and _NO_SUCH_IMAGE.search(words) and not _NOT_ITS_FAULT.search(words):
        text = f"There is no image {image!r}: push it, or correct spec.runner.image. {said}"
        return Ending(Verdict.FAILED, "ImageNotPulled", text)
    whose = f"The image of {container.name}, which the cluster put beside the trainer,"
    if container.name in OURS:
        whose = "The image of spec.runner.image"
        if not image:
            whose = "The trainer's image, the operator's where spec.runner.image names none,"
    text = (
        f"{whose} cannot be pulled: {_CLUSTER} can mend the registry, its pull secrets or the "
        f"operator's settings. {said}"
    )
    return Ending(Verdict.INTERRUPTED, "ImageNotPulled", text)


def _container(container: ContainerView, job: JobView) -> Ending:
    said = container.waiting_message
    if container.name not in OURS:
        text = (
            f"The container {container.name}, which the cluster put beside the trainer, does not "
            f"run: {container.waiting_reason}. {said} {_CLUSTER.capitalize()} can mend it."
        )
        return Ending(Verdict.INTERRUPTED, "PodNotConfigured", text)
    if told := starved(said):
        return told
    if _SECRET.search(said):
        return _no_secret(job, f"The container {container.name} cannot be made: {said}.")
    text = (
        f"The container {container.name} cannot be made: {said}. {_CLUSTER.capitalize()} can look "
        "at it."
    )
    return Ending(Verdict.INTERRUPTED, "PodNotConfigured", text)


def _sandbox(pod: PodView, job: JobView, events: tuple[Told, ...]) -> Ending | None:
    told = next((event for event in events if event[0] in _OF_THE_SANDBOX), None)
    if told is None and pod.sandbox is None:
        return None
    if told is None:
        text = (
            f"The node {pod.node} has not made the pod's sandbox (network, volumes) yet: "
            f"{_CLUSTER} finds why in the pod's events."
        )
        return Ending(Verdict.INTERRUPTED, "SandboxNotCreated", text)
    kind, said = told
    if found := starved(said):
        return found
    if kind == "FailedMount" and _SECRET.search(said):
        return _no_secret(job, f"A volume of the pod cannot be made: {said}.")
    text = (
        f"The node {pod.node} cannot make the pod's sandbox: {said} The job's dataset is not at "
        f"fault; {_CLUSTER} can mend the node."
    )
    return Ending(Verdict.INTERRUPTED, _OF_THE_SANDBOX[kind], text)


def _no_secret(job: JobView, text: str) -> Ending:
    """A Secret may yet come; but for the store's, the job names it, and maybe wrongly."""
    own = STORE_SECRET not in text
    text += (
        f" A Secret must exist in namespace {job.namespace} with the keys accessKeyId and "
        f"secretAccessKey ({STORE_SECRET} also endpoint and bucket)."
    )
    return Ending(Verdict.INTERRUPTED, "PodNotConfigured", text, of_the_jobs=own)
