"""Debian's real Prometheus scrapes all ends; what it answers is right, and fills the dashboards."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.__main__ import FOLDER
from local_cluster.control_plane import free_port
from tests.e2e.harness import NAMESPACE, SYSTEM, Harness
from tests.support.proxy import Faults
from tests.support.waiting import eventually

CHOSEN = {
    "$__rate_interval": "30s",
    "[1h]": "[5m]",
    '"$namespace"': '".*"',
    '"$project"': '".*"',
    '"$training_job"': '".*"',
    '"$metric"': '".*"',
}
"""What Grafana writes in for its variables, where all is chosen; the test has no hour."""


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
        return [float(item["value"][1]) for item in self._ask("query", query=query)]

    def course(self, query: str, since: float) -> list[float]:
        """All values of a query, each second since then, that are numbers."""
        found = self._ask("query_range", query=query, start=since, end=time.time(), step=1)
        values = [float(value) for item in found for _, value in item["values"]]
        return [value for value in values if not math.isnan(value)]

    def _ask(self, what: str, **asked: Any) -> list[Any]:
        text = urllib.parse.urlencode(asked)
        try:
            with urllib.request.urlopen(f"{self._url}/api/v1/{what}?{text}", timeout=10) as answer:
                found: list[Any] = json.load(answer)["data"]["result"]
                return found
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{asked}: {error.read().decode()}") from None
        except OSError:
            return []


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


def panels() -> Iterator[tuple[str, str]]:
    """Each query of both dashboards, under its panel's title."""
    for file in FOLDER.glob("*.json"):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", ()):
                query = target["expr"]
                for variable, value in CHOSEN.items():
                    query = query.replace(variable, value)
                yield panel["title"], query


def test_every_query_of_both_dashboards_shows_what_jobs_and_people_do(
    harness: Harness,
    prometheus: Prometheus,
    roads: dict[str, Faults],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    since = time.time()
    monkeypatch.setattr(roads["slow-dataset"], "answer_delay", 2.0)  # else nobody sees the fetch
    slow = {"train": harness.location("datasets/few", endpoint=roads["slow-dataset"].endpoint)}
    nobodys = {"train": harness.location("datasets/few", credentials={"secretName": "nobodys"})}
    endless = {
        "training": {"maxSteps": 100_000, "validations": 10_000},
        "runner": {"checkpointInterval": "3s"},
    }
    harness.submit("shown-1", "shown")
    harness.submit("shown-2", "shown", endless)
    harness.submit("shown-3", "shown", endless)
    harness.submit("shown-fetch", "shown-fetch", {"dataset": slow})
    harness.submit("shown-hindered", "shown-hindered", {"dataset": nobodys})
    harness.submit(
        "shown-large", "shown-large", {"runner": {"gpus": 8}, "training": {"batchSize": 16}}
    )

    empty = list(panels())

    def dark() -> set[str]:
        """The panels of which a query has had no answer yet."""
        pods = harness.core.list_namespaced_pod
        prometheus.scrape(pods(NAMESPACE).items + pods(SYSTEM).items)
        somebody_looks(harness)
        empty[:] = [(title, query) for title, query in empty if not prometheus.course(query, since)]
        return {title for title, _ in empty}

    try:
        harness.until(lambda: dark() <= {"Stops"}, "all but stops", "shown-2", seconds=240)
        harness.suspend("shown-2")
        harness.until(lambda: not dark(), "all", "shown-2", seconds=120)
    except AssertionError as error:
        raise AssertionError(f"nothing is shown by {empty}") from error


def somebody_looks(harness: Harness) -> None:
    """At the dashboard, with a token that the API server does not know."""
    service = harness.core.read_namespaced_service("sihl-dashboard", SYSTEM)
    asked = urllib.request.Request(
        f"http://{service.spec.cluster_ip}/api/v1/me", headers={"Authorization": "Bearer nobodys"}
    )
    with contextlib.suppress(urllib.error.HTTPError):
        urllib.request.urlopen(asked, timeout=10).close()
