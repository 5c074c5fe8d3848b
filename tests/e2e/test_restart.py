"""The API server and its store end under jobs, and come back."""

from __future__ import annotations

import os
import signal

from tests.e2e.harness import Harness


def test_jobs_outlive_a_restart_of_the_api_server_and_of_etcd(harness: Harness) -> None:
    for number in range(3):
        harness.submit(f"outlives-{number}", "q-outlives", {"training": {"maxSteps": 40}})
    harness.wait("outlives-0", "Running")
    plane = harness.cluster.control_plane
    for part in ("kube-apiserver", "etcd"):
        daemon = plane.daemons[part]
        assert daemon.pid
        os.kill(daemon.pid, signal.SIGKILL)
        daemon.stop()
    plane.start_etcd()
    plane.start_api_server()
    for number in range(3):
        assert harness.wait(f"outlives-{number}", "Succeeded")["attempt"] == 1
