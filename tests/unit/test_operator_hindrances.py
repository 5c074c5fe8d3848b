"""What keeps a pod from starting: the words of kubelets, runtimes, registries and schedulers."""

from __future__ import annotations

from typing import Any

import pytest

from sihl_operator.endings import Ending, Verdict
from sihl_operator.hindrances import hindrance
from sihl_operator.views import pod_view
from tests.support.objects import SPEC, job, pod, raw_pod, waiting

IMAGE = "registry.example.com/team/tls-trainer:1.500"
PULL = f'failed to pull and unpack image "{IMAGE}": failed to resolve reference "{IMAGE}": '
NO_SANDBOX = {"type": "PodReadyToStartContainers", "status": "False"}
CREATING = {"fetch-train": waiting("PodInitializing")}


def pulling(said: str, reason: str = "ErrImagePull", of: str = "trainer", own: bool = True) -> Any:
    asks = job(runner={**SPEC["runner"], "image": IMAGE} if own else SPEC["runner"])
    return hindrance(pod(phase="Pending", init={of: waiting(reason, said)}), asks)


@pytest.mark.parametrize(
    "said",
    [
        PULL + "unexpected status from HEAD request to https://r/v2/manifests/1: "
        "429 Too Many Requests",
        "toomanyrequests: You have reached your pull rate limit",
        PULL + "unexpected status code https://r/v2/: 503 Service Unavailable",
        PULL + "unexpected status code: 502 Bad Gateway: <html>page not found</html>",
        PULL + 'failed to do request: Head "https://r/v2/": dial tcp 10.0.0.1:443: i/o timeout',
        PULL + "dial tcp: lookup registry.example.com on 10.0.0.10:53: no such host",
        PULL + "dial tcp 10.0.0.1:443: connect: connection refused",
        PULL + "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        PULL + "failed to authorize: failed to fetch oauth token: 401 Unauthorized",
        PULL + "pull access denied, repository does not exist or may require authorization: "
        "server message: insufficient_scope: authorization failed",
        PULL + "unexpected status from HEAD request: 403 Forbidden",
        PULL + "failed to authorize: secret not found: no basic auth credentials",
        "failed to extract layer: write /var/lib/containerd/x: no space left on device",
        PULL + "unexpected EOF",
        "",
    ],
)
@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
def test_a_registry_that_is_away_overloaded_or_locked_is_waited_for(said: str, reason: str) -> None:
    end = pulling(said, reason)
    assert (end.verdict, end.reason) == (Verdict.INTERRUPTED, "ImageNotPulled")
    assert said in end.message
    assert "can mend" in end.message


@pytest.mark.parametrize(
    "said",
    [
        PULL + f"{IMAGE}: not found",
        f'Back-off pulling image "{IMAGE}": ErrImagePull: {PULL}{IMAGE}: not found',
        "reading manifest 1.500 in registry.example.com/team/tls-trainer: manifest unknown",
        "name unknown: The repository with name 'team/tls-trainer' does not exist in the registry",
        PULL + "no match for platform in manifest: not found",
    ],
)
def test_an_image_that_does_not_exist_is_counted_where_the_job_names_it(said: str) -> None:
    end = pulling(said)
    assert end.verdict is Verdict.FAILED
    assert "spec.runner.image" in end.message
    assert pulling(said, own=False).verdict is Verdict.INTERRUPTED, "it is the operator's"
    beside = pulling(said, of="istio-proxy")
    assert beside.verdict is Verdict.INTERRUPTED
    assert "istio-proxy" in beside.message


@pytest.mark.parametrize("reason", ["ErrImagePull", "InvalidImageName"])
def test_an_image_that_the_cluster_put_in_place_of_the_jobs_is_not_the_jobs_fault(
    reason: str,
) -> None:
    mirrored = raw_pod(phase="Pending", init={"fetch-train": waiting(reason, PULL + "not found")})
    mirrored["spec"]["initContainers"][0]["image"] = f"mirror.example.com/{IMAGE}"
    end = hindrance(pod_view(mirrored), job(runner={**SPEC["runner"], "image": IMAGE}))
    assert end is not None
    assert end.verdict is Verdict.INTERRUPTED
    assert f"mirror.example.com/{IMAGE}" in end.message


def test_a_kubelet_that_cannot_read_secrets_says_nothing_of_their_names() -> None:
    said = "failed to sync secret cache: timed out waiting for the condition"
    for end in (
        held("", ("FailedMount", f'MountVolume.SetUp failed for volume "keys" : {said}')),
        held(init={"fetch-train": waiting("CreateContainerConfigError", said)}),
    ):
        assert end.verdict is Verdict.INTERRUPTED
        assert not end.of_the_jobs
        assert "must exist" not in end.message


def test_an_image_that_no_name_is_fails_at_once_where_the_job_names_it() -> None:
    said = 'Failed to apply default image tag ":x": invalid reference format'
    assert pulling(said, "InvalidImageName").verdict is Verdict.FATAL
    assert pulling(said, "InvalidImageName", own=False).verdict is Verdict.INTERRUPTED


def held(said: str = "", *events: tuple[str, str], **what: Any) -> Ending:
    shown = {"init": CREATING, "conditions": [NO_SANDBOX], **what}
    end = hindrance(pod(phase="Pending", **shown), job(), [*events, ("Pulling", said)])
    assert end is not None
    return end


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (("FailedCreatePodSandBox", "failed to setup network for sandbox: plugin type=\"aws-cni\" "
          "failed (add): no IP addresses available in range set"), "SandboxNotCreated"),
        (("NetworkNotReady", "network is not ready: cni plugin not initialized"),
         "SandboxNotCreated"),
        (("FailedMount", 'MountVolume.SetUp failed for volume "scratch": no space left on device'),
         "VolumeNotMounted"),
        (("FailedMount", 'MountVolume.SetUp failed for volume "keys": secret "keys" not found'),
         "PodNotConfigured"),
    ],
)  # fmt: skip
def test_a_sandbox_that_cannot_be_made_is_told_from_the_pods_events(
    event: tuple[str, str], reason: str
) -> None:
    end = held("", event)
    assert (end.verdict, end.reason) == (Verdict.INTERRUPTED, reason)
    assert event[1] in end.message


def test_a_sandbox_that_is_not_there_is_said_where_no_event_tells_why() -> None:
    end = held()
    assert (end.verdict, end.reason) == (Verdict.INTERRUPTED, "SandboxNotCreated")
    assert "node-1" in end.message


@pytest.mark.parametrize(
    "said",
    [
        "runc create failed: unable to start container process: container init was OOM-killed "
        "(memory limit too low?)",
        "OCI runtime create failed: unable to set memory limit to 1000 (current usage: 1204224)",
    ],
)
def test_a_limit_of_memory_below_what_a_runtime_needs_is_final_and_named(said: str) -> None:
    for end in (
        held("", ("FailedCreatePodSandBox", said)),
        held(init={"fetch-train": waiting("RunContainerError", said)}),
    ):
        assert (end.verdict, end.reason) == (Verdict.FATAL, "OutOfMemory")
        assert "spec.runner.resources.limits.memory" in end.message


@pytest.mark.parametrize(
    ("reason", "said", "words"),
    [
        ("CreateContainerConfigError", 'secret "sihl-store" not found', "accessKeyId"),
        ("CreateContainerConfigError", "couldn't find key bucket in Secret team/sihl-store",
         "accessKeyId"),
        ("CreateContainerError", "context deadline exceeded", "whoever runs the cluster"),
        ("RunContainerError", "nvidia-container-cli: initialization error: driver not loaded",
         "whoever runs the cluster"),
    ],
)  # fmt: skip
def test_a_container_that_cannot_be_made_is_waited_for_and_said(
    reason: str, said: str, words: str
) -> None:
    end = held(init={"fetch-train": waiting(reason, said)})
    assert (end.verdict, end.reason) == (Verdict.INTERRUPTED, "PodNotConfigured")
    assert said in end.message
    assert words in end.message or words.capitalize() in end.message


@pytest.mark.parametrize("name", ["sihl-store", "cells-dataset"])
def test_a_secret_that_the_job_names_is_waited_for_as_a_dataset_is(name: str) -> None:
    missing = waiting("CreateContainerConfigError", f'secret "{name}" not found')
    end = held(init={"fetch-train": missing})
    assert end.verdict is Verdict.INTERRUPTED
    assert end.of_the_jobs is (name != "sihl-store"), "it may be named wrongly"


def test_a_gate_is_named_with_who_removes_it() -> None:
    raw = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "x"}
    gates = ("kueue.x-k8s.io/admission",)
    end = hindrance(pod(phase="Pending", node="", gates=gates, conditions=[raw]), job())
    assert end is not None
    assert (end.verdict, end.reason) == (Verdict.INTERRUPTED, "SchedulingGated")
    assert "kueue.x-k8s.io/admission" in end.message


def test_what_the_scheduler_and_the_autoscaler_say_is_told() -> None:
    said = "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules."
    raw = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}
    event = ("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached")
    end = held("", event, node="", conditions=[raw])
    assert (end.verdict, end.reason) == (Verdict.INTERRUPTED, "Unschedulable")
    assert said in end.message
    assert event[1] in end.message


def test_nothing_is_in_the_way_of_a_pod_that_is_being_started() -> None:
    assert hindrance(pod(phase="Pending", init=CREATING), job()) is None
