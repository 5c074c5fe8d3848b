"""What a real kubectl and a real helm make of the statuses that a real operator writes."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from local_cluster.programs import program
from sihl_api.runtime import ExitCode, Result
from sihl_api.trainingjob import API_VERSION, KIND
from tests.support.kstatus import waited_for
from tests.support.kubelet import HandKubelet
from tests.support.objects import MODEL, SAVED, SPEC
from tests.support.operators import Process, Team, leading, new_team
from tests.support.waiting import eventually

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def kubelet(api: client.ApiClient) -> Iterator[HandKubelet]:
    with HandKubelet(api, {"node-judged": 4}) as kubelet:
        yield kubelet


@pytest.fixture
def team(api: client.ApiClient, kubelet: HandKubelet) -> Iterator[Team]:
    with new_team(api, "judged") as team:
        yield team


@pytest.fixture(scope="module")
def operator(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with leading("judged", kubeconfig, tmp_path_factory.mktemp("operator") / "log") as process:
        yield process


class Tools:
    """kubectl and helm, in a team's namespace."""

    def __init__(self, kubeconfig: Path, team: Team, chart: Path) -> None:
        self._common = f"--kubeconfig={kubeconfig}", f"--namespace={team.namespace}"
        self._chart = chart

    def wait(self, name: str, condition: str) -> None:
        """Returns once kubectl has waited for the condition."""
        done = self._run(
            "kubectl", "wait", "sihljob", name, f"--for=condition={condition}", "--timeout=60s"
        )
        assert done.returncode == 0, done.stderr

    def install(self, timeout: str, **metadata: Any) -> Done:
        """A chart of one job, which helm waits for."""
        job = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": SPEC}
        templates = self._chart / "templates"
        templates.mkdir(parents=True, exist_ok=True)
        (templates / "job.yaml").write_text(json.dumps(job))
        (self._chart / "Chart.yaml").write_text("{apiVersion: v2, name: job, version: 0.1.0}")
        command = "upgrade", "--install", metadata["name"], str(self._chart), "--wait"
        return self._run("helm", *command, f"--timeout={timeout}")

    def _run(self, name: str, *arguments: str) -> Done:
        command = [str(program(name)), *arguments, *self._common]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def tools(kubeconfig: Path, team: Team, tmp_path: Path) -> Tools:
    return Tools(kubeconfig, team, tmp_path / "chart")


@pytest.mark.parametrize(
    ("phase", "code", "result"),
    [
        ("Succeeded", 0, Result(reason="Completed", step=10, model=MODEL)),
        ("Failed", ExitCode.BAD_DATA, Result(reason="DatasetMalformed", message="bad")),
        ("Stopped", ExitCode.STOPPED, Result(reason="Stopped", step=7, checkpoint=SAVED)),
    ],
)
def test_one_wait_of_kubectl_serves_for_every_end_and_for_edits_that_come_after_it(
    team: Team, kubelet: HandKubelet, operator: Process, tools: Tools,
    phase: str, code: int, result: Result,
) -> None:  # fmt: skip
    team.submit("job")
    pod = team.pod()
    kubelet.runs(pod)
    team.phase("job", "Running")
    team.change("job", priority=3)
    tools.wait("job", "Admitted")  # of the newest spec, while it trains
    if phase == "Stopped":
        team.change("job", suspend=True)
        pod = team.leaving()
    kubelet.ends(pod, code, result)
    if phase == "Stopped":
        kubelet.removes(pod)
    tools.wait("job", "Finished")
    assert team.told("job", "Finished", phase)["status"] == "True"
    before = operator.writes()
    team.change("job", priority=5)
    tools.wait("job", "Finished")
    assert operator.writes() - before == 1
    if phase == "Stopped":
        team.change("job", suspend=False)
        tools.wait("job", "Finished=False")


def test_helm_waits_for_an_operator_takes_a_job_that_waits_or_runs_for_well_and_a_failed_one_not(
    team: Team, kubelet: HandKubelet, operator: Process, tools: Tools
) -> None:
    operator.signal(signal.SIGSTOP)
    try:
        unseen = tools.install("2s", name="job")
        assert unseen.returncode != 0, "nobody has seen the job"
        assert "InProgress" in unseen.stderr
    finally:
        operator.signal(signal.SIGCONT)
    well = tools.install("60s", name="job")
    assert well.returncode == 0, well.stderr
    pod = team.pod()
    kubelet.runs(pod)
    team.phase("job", "Running")
    well = tools.install("60s", name="job", labels={"team": "cells"})
    assert well.returncode == 0, well.stderr
    assert not waited_for(team.job("job"), "Finished")
    bad = Result(reason="DatasetMalformed", message="annotations.yaml: line 3")
    kubelet.ends(pod, ExitCode.BAD_DATA, bad)
    team.phase("job", "Failed")
    failed = tools.install("60s", name="job", labels={"team": "plates"})
    assert failed.returncode != 0
    assert "annotations.yaml: line 3" in failed.stderr


def test_helm_fails_at_once_with_why_a_job_is_refused(
    team: Team, operator: Process, tools: Tools
) -> None:
    wrong = tools.install("60s", name="job", annotations={"sihl.ai/queue": "No_Queue"})
    assert wrong.returncode != 0
    assert "lower-case letters" in wrong.stderr


def test_somebody_elses_condition_is_kept_and_last_whatever_becomes_of_the_job(
    team: Team, kubelet: HandKubelet, operator: Process
) -> None:
    team.submit("job", suspend=True)
    team.phase("job", "Stopped")
    others = {
        "type": "example.com/Audited", "status": "True", "reason": "Seen", "message": "by us",
        "lastTransitionTime": "2027-01-15T08:00:00Z",
    }  # fmt: skip
    team.set_status("job", {"conditions": [others, *team.status("job")["conditions"]]})
    team.change("job", suspend=False)
    kubelet.ends(team.pod(), 0, Result(reason="Completed", model=MODEL))
    status = team.phase("job", "Succeeded")
    assert status["conditions"][-1] == others
    eventually(lambda: waited_for(team.job("job"), "Complete"), 60)
