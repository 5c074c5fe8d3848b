"""What the operator's process answers over HTTP: metrics and probes that tell the truth."""

from __future__ import annotations

import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kubernetes import client
from prometheus_client.parser import text_string_to_metric_families

from sihl_api.runtime import ExitCode, Result
from sihl_api.status import CheckpointStatus
from sihl_api.times import rfc3339
from tests.support.kubelet import HandKubelet
from tests.support.operators import Process, Team, leading, new_team
from tests.support.proxy import Faults, proxied
from tests.support.waiting import eventually

QUEUE = "measured"
Samples = dict[tuple[str, ...], float]


@pytest.fixture(scope="module")
def kubelet(api: client.ApiClient) -> Iterator[HandKubelet]:
    with HandKubelet(api, {"node-m": 2}) as kubelet:
        yield kubelet


@pytest.fixture
def team(api: client.ApiClient) -> Iterator[Team]:
    with new_team(api, "metrics") as team:
        yield team


@pytest.fixture
def operator(kubeconfig: Path, tmp_path: Path) -> Iterator[Process]:
    with leading("measured", kubeconfig, tmp_path / "log") as process:
        yield process


def samples(operator: Process) -> Samples:
    """All values by the metric's name and its labels' values."""
    text = operator.get(operator.metrics_port, "/metrics")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def ask(port: int, path: str) -> tuple[int, str]:
    """Status and body of an answer; 0 where there is none."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


# --- metrics ---------------------------------------------------------------------------------


def test_a_jobs_wait_its_start_its_stop_and_its_checkpoints_age_are_measured(
    team: Team, kubelet: HandKubelet, operator: Process
) -> None:
    began = time.time()
    saved = CheckpointStatus(step=7, uri="s3://b/c/7", saved_at=rfc3339(began - 60))
    team.submit("job", project=QUEUE)
    kubelet.runs(team.pod(QUEUE))
    team.phase("job", "Running")
    team.change("job", suspend=True)
    leaving = team.leaving(QUEUE)
    team.phase("job", "Stopping")
    kubelet.ends(leaving, ExitCode.STOPPED, Result(reason="Stopped", step=7, checkpoint=saved))
    kubelet.removes(leaving)
    team.phase("job", "Stopped")
    where = team.namespace, QUEUE
    ended = "sihl_job_stop_seconds_count", *where
    stopped = eventually(lambda: now if ended in (now := samples(operator)) else None)
    for name in ("queue_wait", "time_to_running", "stop"):
        assert stopped[f"sihl_job_{name}_seconds_count", *where] == 1
        # Times of the API server are whole seconds.
        assert 0 <= stopped[f"sihl_job_{name}_seconds_sum", *where] <= time.time() - began + 1
    age = "sihl_job_checkpoint_age_seconds", *where, "job"
    assert age not in stopped
    team.change("job", suspend=False)
    team.pod(QUEUE, attempt=2)
    resumed = samples(operator)
    assert 59 <= resumed[age] <= time.time() - began + 61
    assert resumed["sihl_job_queue_wait_seconds_count", *where] == 1, "the first attempt's only"


def test_writes_are_counted_by_verb_and_resource_and_decisions_are_timed(
    team: Team, kubelet: HandKubelet, operator: Process
) -> None:
    before = samples(operator)
    team.submit("job", project=QUEUE)
    kubelet.runs(team.pod(QUEUE))
    team.phase("job", "Running")
    team.change("job", suspend=True)
    team.leaving(QUEUE)

    def more(name: str, *labels: str) -> float:
        return samples(operator).get((name, *labels), 0) - before.get((name, *labels), 0)

    writes = "sihl_operator_api_writes_total"
    assert more(writes, "pods", "create") == 1
    assert eventually(lambda: more(writes, "pods", "delete")) == 1
    assert more(writes, "trainingjobs", "patch") >= 3  # Starting, Running, Stopping
    assert eventually(lambda: more(writes, "leases", "update")) >= 1
    assert more("sihl_operator_decision_seconds_count") >= 3
    assert more("sihl_operator_decision_seconds_sum") > 0


# --- probes ----------------------------------------------------------------------------------


@pytest.fixture
def way(kubeconfig: Path, tmp_path: Path) -> Iterator[Faults]:
    """A way to the API server that can be cut; `tmp_path/kubeconfig` leads there."""
    settings = yaml.safe_load(kubeconfig.read_text())
    cluster = settings["clusters"][0]["cluster"]
    with proxied(cluster["server"]) as way:
        cluster["server"] = way.endpoint.replace("http:", "https:")
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(settings))
        yield way


def test_a_replica_cut_off_from_the_api_server_is_unready_but_not_to_be_restarted(
    way: Faults, tmp_path: Path
) -> None:
    process = Process(
        "cut-off", tmp_path / "kubeconfig", tmp_path / "log", SIHL_OPERATOR_RELIST_INTERVAL="1s"
    )
    try:
        eventually(process.ready, 60, 0.1)
        way.down = True
        status, told = eventually(lambda: unready(process), 60, 0.1)
        assert status == 503
        assert told.startswith("the cluster has not been read for ")
        assert process.alive(), "what another process could not do either is no fault of this one"
        way.down = False
        eventually(process.ready, 60, 0.1)
    finally:
        way.down = False
        process.end()


def unready(process: Process) -> tuple[int, str] | None:
    answer = ask(process.metrics_port, "/readyz")
    return answer if answer[0] != 200 else None


def test_a_process_whose_loop_is_silent_is_to_be_restarted(
    kubeconfig: Path, tmp_path: Path
) -> None:
    process = Process("silent", kubeconfig, tmp_path / "log", "tests.support.silent")
    try:
        eventually(process.alive, 60, 0.1)
        process.signal(signal.SIGUSR1)
        eventually(lambda: ask(process.liveness_port, "/healthz")[0] == 500, 60, 0.1)
        assert "silent for" in eventually(lambda: unready(process), 60, 0.1)[1]
    finally:
        process.end()
