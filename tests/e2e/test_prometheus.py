"""Debian's real Prometheus scrapes both ends and answers with the right numbers."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from local_cluster.control_plane import free_port
from tests.e2e.harness import NAMESPACE, SYSTEM, Harness
from tests.support.waiting import eventually


class Prometheus:
    """A running server, and the file that names what it scrapes.

    Debian builds it without the discovery of pods: the test names them by the same annotations.
    """

    def __init__(self, port: int, targets: Path) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._targets = targets

    def ready(self) -> bool:
        """Whether it answers queries."""
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def scrape(self, pods: list[Any]) -> None:
        """Scrape these pods, as their annotations ask for."""
        groups = [
            {
                "targets": [f"{pod.status.pod_ip}:{notes['prometheus.io/port']}"],
                "labels": {"pod": pod.metadata.name},
            }
            for pod in pods
            if (notes := pod.metadata.annotations or {}).get("prometheus.io/scrape") == "true"
        ]
        unfinished = self._targets.with_suffix(".new")
        unfinished.write_text(json.dumps(groups))
        unfinished.rename(self._targets)

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
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    targets: Path = folder / "targets.json"
    scrape = {
        "job_name": "pods",
        "file_sd_configs": [{"files": [str(targets)], "refresh_interval": "1s"}],
    }
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
            prometheus = Prometheus(port, targets)
            eventually(lambda: prometheus.ready() or server.poll() is not None, pause=0.1)
            assert server.poll() is None, (folder / "log").read_text()[-3000:]
            yield prometheus
        finally:
            server.terminate()
            server.wait(30)


def reported_step(harness: Harness) -> int:
    """The step that the pod itself tells of now."""
    report = harness.until(lambda: harness.report("q-seen"), "an answer", "seen-1")
    return int(report["progress"]["step"])


def test_prometheus_knows_queue_lengths_phases_loss_and_step(
    harness: Harness, prometheus: Prometheus
) -> None:
    endless = {"training": {"maxSteps": 100_000, "validations": 1000}}
    for name in ("seen-1", "seen-2", "seen-3"):
        harness.submit(name, "q-seen", endless)
    harness.wait("seen-1", "Running")
    prometheus.scrape(
        harness.core.list_namespaced_pod(NAMESPACE).items
        + harness.core.list_namespaced_pod(SYSTEM).items
    )

    def ask(query: str) -> float | None:
        found = prometheus.ask(query)
        return found[0] if found else None

    def expect(query: str, value: float) -> None:
        harness.until(lambda: ask(query) == value, f"{query} = {value}", "seen-1")

    expect('max(sihl_jobs{queue="q-seen",phase="Queued"})', 2)
    expect('max(sihl_jobs{queue="q-seen",phase="Running"})', 1)
    expect('max(sihl_job_queue_position{training_job="seen-3"})', 2)
    expect("sum(sihl_operator_leader)", 1)
    expect('sihl_training_max_steps{pod="q-seen-runner"}', 100_000)

    harness.wait_stage("seen-1", "q-seen", "Training", "Validating", step=1)
    step = 'sihl_training_step{pod="q-seen-runner"}'
    before, since = reported_step(harness), time.time()
    harness.until(lambda: (ask(f"timestamp({step})") or 0) > since, "a later scrape", "seen-1")
    assert before <= (ask(step) or 0) <= reported_step(harness)

    query = 'sihl_training_loss{pod="q-seen-runner",head="digit"}'
    loss = harness.until(lambda: ask(query), "a loss", "seen-1")
    for name in ("seen-3", "seen-2"):
        harness.delete(name)
    harness.suspend("seen-1")
    harness.wait("seen-1", "Stopped")
    lines = harness.recorded_metrics(harness.record("seen-1"), 1)
    assert loss in [line.values["digit/cross_entropy"] for line in lines if line.kind == "train"]
