"""The cluster as the dashboard tells it: queues in order, GPUs by node, and what is gone."""

from __future__ import annotations

from typing import Any

import pytest

from sihl_dashboard.records import JobRef
from sihl_dashboard.server.cluster import Cluster, gpus_of

Raw = dict[str, Any]


def job(name: str, version: int = 1, phase: str = "Queued", **more: Any) -> Raw:
    status = {"phase": phase, "queue": "cells", "attempt": 1, **more.pop("status", {})}
    return {
        "metadata": {
            "namespace": "team-a", "name": name, "uid": f"{name:0<8}-uid",
            "resourceVersion": str(version), "creationTimestamp": "2026-01-02T03:00:00Z",
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {"project": "cells", **more},
        "status": status,
    }  # fmt: skip


def pod(gpus: int, node: str = "n", phase: str = "Running", **spec: Any) -> Raw:
    resources = {"resources": {"requests": {"nvidia.com/gpu": str(gpus)}}}
    return {
        "metadata": {"uid": "pod"},
        "spec": {"nodeName": node, "containers": [resources], **spec},
        "status": {"phase": phase},
    }


def test_who_holds_the_queue_comes_first_then_who_waits_in_order_then_what_has_ended() -> None:
    cluster = Cluster()
    cluster.replace(
        "job",
        [
            job("ended", phase="Succeeded"), job("low"), job("high", priority=9),
            job("runs", phase="Running"), job("halted", suspend=True),
        ],
    )  # fmt: skip
    assert [live.name for live in cluster.in_order("team-a")] == [
        "runs", "high", "low", "halted", "ended",
    ]  # fmt: skip


def test_a_job_is_found_by_its_record_until_it_is_gone_and_a_namesake_is_another() -> None:
    cluster = Cluster()
    cluster.see("job", "ADDED", job("night"))
    ref = JobRef("team-a", "cells", "night.night000")
    live = cluster.live_of(ref)
    assert live is not None
    assert live.document["phase"] == "Queued"
    assert "managedFields" not in live.job.raw["metadata"]
    assert cluster.live_of(JobRef("team-a", "cells", "night.00000000")) is None
    assert cluster.live_of(JobRef("team-b", "cells", "night.night000")) is None
    cluster.see("job", "DELETED", job("night", 2))
    assert cluster.live_of(ref) is None
    assert cluster.jobs() == []


def test_a_version_changes_with_what_is_shown_and_with_nothing_else() -> None:
    cluster = Cluster()
    steps: list[tuple[str, str, Raw, bool]] = [
        ("job", "ADDED", job("night"), True),
        ("job", "MODIFIED", job("night"), False),
        ("job", "MODIFIED", job("night", 2), True),
        ("pod", "ADDED", pod(0), False),
        ("pod", "ADDED", pod(1), True),
        ("pod", "MODIFIED", pod(1), False),
        ("pod", "MODIFIED", pod(1, phase="Succeeded"), True),
        ("node", "ADDED", {"metadata": {"name": "n"}}, True),
        ("node", "MODIFIED", {"metadata": {"name": "n", "resourceVersion": "9"}}, False),
    ]
    for kind, what, raw, is_new in steps:
        before = cluster.version
        cluster.see(kind, what, raw)
        assert (cluster.version != before) is is_new, (kind, what, raw)


def test_a_listing_removes_what_it_lacks_of_its_own_namespace_only() -> None:
    cluster = Cluster()
    other = job("other")
    other["metadata"]["namespace"] = "team-b"
    cluster.replace("job", [job("night")], "team-a")
    cluster.replace("job", [other], "team-b")
    cluster.replace("job", [], "team-a")
    assert [live.name for live in cluster.jobs()] == ["other"]


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (pod(2), ("n", 2)),
        (pod(0), None),
        (pod(2, node=""), None),
        (pod(2, phase="Failed"), None),
        (pod(1, initContainers=[{"resources": {"limits": {"nvidia.com/gpu": 4}}}]), ("n", 4)),
        ({"metadata": {}}, None),
    ],
)
def test_a_pod_holds_the_gpus_that_it_asks_for_while_it_is_on_a_node(
    raw: Raw, told: tuple[str, int] | None
) -> None:
    assert gpus_of(raw, "nvidia.com/gpu") == told


def test_gpus_are_told_by_node_and_a_node_that_takes_nothing_is_not_ready() -> None:
    cluster = Cluster()
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    gpus = {**ready, "allocatable": {"nvidia.com/gpu": "4"}}
    cluster.see("node", "ADDED", {"metadata": {"name": "plain"}, "status": ready})
    cluster.see("node", "ADDED", {"metadata": {"name": "n"}, "status": gpus})
    cluster.see(
        "node",
        "ADDED",
        {"metadata": {"name": "shut"}, "spec": {"unschedulable": True}, "status": gpus},
    )
    cluster.see("pod", "ADDED", pod(3))
    assert cluster.nodes() == [
        {"name": "n", "ready": True, "gpus": {"allocatable": 4, "used": 3}},
        {"name": "shut", "ready": False, "gpus": {"allocatable": 4, "used": 0}},
        {"name": "plain", "ready": True, "gpus": {"allocatable": 0, "used": 0}},
    ]


def test_a_watch_that_fails_is_told_until_it_works_again() -> None:
    cluster = Cluster()
    cluster.trouble_with("job ", "jobs as of a while ago")
    assert cluster.trouble == "jobs as of a while ago"
    cluster.trouble_with("job ", None)
    assert cluster.trouble is None
