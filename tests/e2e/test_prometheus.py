"""Debian's real Prometheus scrapes both ends and answers with the right numbers."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from local_cluster.control_plane import free_port
from tests.e2e.harness import NAMESPACE, SYSTEM, Harness

_DISCOVERY = {
    "relabel_configs": [
        {
            "source_labels": ["__meta_kubernetes_pod_annotation_prometheus_io_scrape"],
            "action": "keep",
            "regex": "true",
        },
        {
            "source_labels": [
                "__meta_kubernetes_pod_ip",
                "__meta_kubernetes_pod_annotation_prometheus_io_port",
            ],
            "separator": ":",
            "target_label": "__address__",
        },
        {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
    ]
}


class Prometheus:
    """A running server."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def ask(self, query: str) -> list[float]:
        """The values of an instant query."""
        text = urllib.parse.urlencode({"query": query})
        try:
            with urllib.request.urlopen(f"{self._url}/api/v1/query?{text}", timeout=10) as answer:
                found = json.load(answer)
        except OSError:
            return []
        return [float(item["value"][1]) for item in found["data"]["result"]]


@pytest.fixture(scope="module")
def prometheus(harness: Harness, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    discovery = {
        "role": "pod",
        "kubeconfig_file": str(harness.cluster.kubeconfig),
        "namespaces": {"names": [NAMESPACE, SYSTEM]},
    }
    scrape = {"job_name": "pods", "kubernetes_sd_configs": [discovery], **_DISCOVERY}
    settings = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
    file: Path = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(settings))
    port = free_port()
    command = [
        shutil.which("prometheus") or "prometheus", f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield Prometheus(port)
        finally:
            server.terminate()
            server.wait(30)


def test_prometheus_knows_queue_lengths_phases_loss_and_step(
    harness: Harness, prometheus: Prometheus
) -> None:
    endless = {"training": {"maxSteps": 100_000, "validations": 1000}}
    for name in ("seen-1", "seen-2", "seen-3"):
        harness.submit(name, "q-seen", endless)
    harness.wait("seen-1", "Running")

    def ask(query: str) -> float | None:
        found = prometheus.ask(query)
        return found[0] if found else None

    def expect(query: str, value: float) -> None:
        harness.until(lambda: ask(query) == value, f"{query} = {value}", "seen-1")

    expect('max(sihl_jobs{queue="q-seen",phase="Queued"})', 2)
    expect('max(sihl_jobs{queue="q-seen",phase="Running"})', 1)
    expect('max(sihl_job_queue_position{job="seen-3"})', 2)
    expect("sum(sihl_operator_leader)", 1)
    expect('sihl_training_max_steps{pod="q-seen-runner"}', 100_000)
    harness.until(lambda: (ask('sihl_training_step{pod="q-seen-runner"}') or 0) > 0, "a step")
    harness.until(
        lambda: (ask('sihl_training_loss{pod="q-seen-runner",head="digit"}') or 0) > 0, "a loss"
    )
    for name in ("seen-3", "seen-2", "seen-1"):
        harness.delete(name)
