"""A node falls silent, for longer than Kubernetes waits for it, and comes back."""

from __future__ import annotations

from tests.e2e.harness import Harness, Job

_AT_ONCE = [
    {"key": f"node.kubernetes.io/{what}", "operator": "Exists", "effect": "NoExecute",
     "tolerationSeconds": 3}
    for what in ("unreachable", "not-ready")
]  # fmt: skip
PINNED: Job = {
    "training": {"maxSteps": 60},
    "runner": {
        "checkpointInterval": "1s",
        "stopGracePeriod": "10s",
        "nodeSelector": {"kubernetes.io/hostname": "node-2"},
        "tolerations": _AT_ONCE,
    },
}


def test_a_job_whose_node_falls_silent_is_given_back_and_goes_on_when_the_node_is_back(
    harness: Harness,
) -> None:
    node = harness.cluster.node("node-2")
    harness.submit("silent", "q-silent", PINNED)
    harness.until(
        lambda: (harness.report("q-silent") or {}).get("checkpoint"), "a checkpoint", "silent"
    )
    first = harness.pod("q-silent").metadata.uid
    harness.has_dataset(first)
    node.stop_kubelet()
    try:
        harness.until(
            lambda: harness.status("silent").get("phase") == "Queued", "given back", "silent"
        )
        gone = harness.pod("q-silent")
        assert gone is None or gone.metadata.uid != first
    finally:
        node.start_kubelet()
    status = harness.wait("silent", "Succeeded")
    assert status["attempt"] == 2
    assert status.get("failures", 0) == 0
    harness.until(lambda: not harness.dataset_folders(first), "its dataset is gone", "silent")
