"""A real Argo CD on a real API server, told what gitops/argo-cd/ says; the test is the kubelet."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from gitops import argo_cd as kit
from sihl_api.runtime import ExitCode, Result
from sihl_api.trainingjob import API_VERSION, KIND
from tests.support.argo_cd import NAMESPACE, ArgoCD, Repository, running
from tests.support.chart import CHART
from tests.support.kubelet import HandKubelet
from tests.support.objects import MODEL, SAVED, SPEC
from tests.support.operators import Process, Team, leading
from tests.support.waiting import eventually

PLATFORM = "https://git.example.com/platform/sihl.git"
JOBS = "https://git.example.com/vision/jobs.git"
TEAM = "vision"
SYSTEM = "sihl-system"
OPERATOR = ("-n", SYSTEM, "get", "deployment", "sihl-operator", "-o")


@dataclass
class Place:
    """An Argo CD that has installed the operator, and the repositories that it reads."""

    argo: ArgoCD
    platform: Repository
    jobs: Repository
    team: Team
    revision: str = ""
    """The jobs' last."""

    def commit(self, files: dict[str, str | None]) -> str:
        """Another state of the jobs' repository, whose new folders are seen at once."""
        self.revision = self.jobs.commit(files)
        self.argo.look("applicationset", "training-jobs")
        return self.revision

    def submit(self, project: str, *names: str, **spec: Any) -> str:
        """Commit jobs of a project; the application that has them once they are in the cluster."""
        application = f"{TEAM}.{project}"
        self.commit({path(project, name): manifest(project, name, **spec) for name in names})
        self.argo.synced(application, self.revision)
        return application

    def uid(self, job: str) -> str:
        return str(self.team.job(job)["metadata"]["uid"])


def path(project: str, name: str) -> str:
    return f"jobs/{TEAM}/{project}/{name}.yaml"


OUTLIVES = {"argocd.argoproj.io/compare-options": "IgnoreExtraneous"}
"""A job whose file goes leaves its application in sync."""


def manifest(project: str, name: str, **spec: Any) -> str:
    """A job as a user writes it."""
    job = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "annotations": OUTLIVES},
        "spec": {**SPEC, "project": project, **spec},
    }
    return yaml.safe_dump(job)


@pytest.fixture(scope="module")
def kubelet(api: client.ApiClient) -> Iterator[HandKubelet]:
    with HandKubelet(api, {"argo-a": 8}) as kubelet:
        yield kubelet


@pytest.fixture(scope="module")
def place(
    api: client.ApiClient, kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """The operator's chart, installed from Git, and an application for each project's jobs."""
    folder = tmp_path_factory.mktemp("argo-cd")
    platform, jobs = Repository(folder / "platform"), Repository(folder / "jobs")
    shutil.copytree(CHART, platform.folder / "helm")
    revision = platform.commit({})
    jobs.commit({"README.md": "Jobs"})
    with running(api, kubeconfig, folder / "argo") as argo:
        patch = str(kit.FOLDER / "argocd-cm.yaml")
        argo.kubectl("patch", "configmap", "argocd-cm", "-n", NAMESPACE, "--patch-file", patch)
        for name in ("projects.yaml", "application.yaml", "applicationset.yaml"):
            text = (kit.FOLDER / name).read_text()
            for url, repository in ((PLATFORM, platform), (JOBS, jobs)):
                text = text.replace(url, repository.url)
            argo.kubectl("apply", "-f", "-", text=text)
        argo.synced("sihl", revision)
        team = Team(api, TEAM)
        eventually(lambda: team.core.list_namespaced_service_account(TEAM).items, 60, 0.1)
        yield Place(argo, platform, jobs, team)
        team.clear()
    for kind in ("clusterroles", "clusterrolebindings"):
        argo.kubectl("delete", kind, "-l", "app.kubernetes.io/instance=sihl")
    argo.kubectl("delete", "namespaces", TEAM, SYSTEM, "--wait=false")


@pytest.fixture(scope="module")
def operator(
    place: Place, kubeconfig: Path, kubelet: HandKubelet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Process]:
    log = tmp_path_factory.mktemp("operator") / "log"
    with leading("argo", kubeconfig, log) as process:
        yield process


def test_what_somebody_changes_of_the_operator_is_as_git_has_it_again(place: Place) -> None:
    argo = place.argo

    def replicas() -> str:
        return argo.kubectl(*OPERATOR, "jsonpath={.spec.replicas}")

    before = replicas()
    argo.kubectl("-n", SYSTEM, "scale", "deployment", "sihl-operator", "--replicas=0")
    argo.kubectl("-n", SYSTEM, "delete", "service", "sihl-operator")
    eventually(lambda: replicas() == before, 60, 0.2)
    service = ("-n", SYSTEM, "get", "service", "sihl-operator", "--ignore-not-found", "-o", "name")
    eventually(lambda: argo.kubectl(*service).strip(), 60, 0.2)


def test_a_job_trains_for_days_and_a_sync_waits_for_none_of_them(
    place: Place, kubelet: HandKubelet, operator: Process
) -> None:
    application = place.submit("cells", "cells-1", "cells-2")
    kubelet.runs(pod := place.team.pod("cells"))
    first, second = pod.metadata.labels["sihl.ai/job"], "cells-2"
    if first == second:
        second = "cells-1"
    place.team.phase(first, "Running")
    place.argo.health(application, "Progressing")
    place.submit("cells", second, priority=7)
    assert place.team.job(second)["spec"]["priority"] == 7
    kubelet.ends(pod, 0, Result(reason="Completed", step=10, model=MODEL))
    place.team.phase(first, "Succeeded")
    kubelet.ends(place.team.pod("cells", second), 0, Result(reason="Completed", model=MODEL))
    place.team.phase(second, "Succeeded")
    place.argo.health(application, "Healthy")


def test_a_job_stopped_by_an_action_stays_so_over_commits_until_it_is_resumed(
    place: Place, kubelet: HandKubelet, operator: Process
) -> None:
    application = place.submit("plates", "plates-1", suspend=False)
    kubelet.runs(place.team.pod("plates"))
    place.team.phase("plates-1", "Running")
    place.argo.act(application, TEAM, "plates-1", "suspend")
    leaving = place.team.leaving("plates")
    kubelet.ends(leaving, ExitCode.STOPPED, Result(reason="Stopped", step=7, checkpoint=SAVED))
    kubelet.removes(leaving)
    place.team.phase("plates-1", "Stopped")
    place.argo.health(application, "Suspended")
    place.submit("plates", "plates-1", suspend=False, priority=3)
    job = place.team.job("plates-1")
    assert (job["spec"]["priority"], job["spec"]["suspend"]) == (3, True)
    assert job["status"]["phase"] == "Stopped"
    place.argo.act(application, TEAM, "plates-1", "resume")
    kubelet.runs(place.team.pod("plates", attempt=2))
    place.team.phase("plates-1", "Running")


def test_a_priority_that_git_leaves_out_is_raised_by_an_action_for_good(
    place: Place, operator: Process
) -> None:
    application = place.submit("leaves", "leaves-1", suspend=True)
    place.team.phase("leaves-1", "Stopped")
    place.argo.act(application, TEAM, "leaves-1", "raise-priority", priority="50")
    place.argo.compared(application)
    assert place.team.job("leaves-1")["spec"]["priority"] == 50
    found = place.argo.application(application)
    assert found and found["status"]["sync"]["status"] == "Synced"


def test_a_finished_job_is_never_trained_again_and_outlives_its_file(
    place: Place, kubelet: HandKubelet, operator: Process
) -> None:
    application = place.submit("wells", "wells-1")
    kubelet.ends(place.team.pod("wells"), 0, Result(reason="Completed", step=10, model=MODEL))
    place.team.phase("wells-1", "Succeeded")
    uid = place.uid("wells-1")

    def unchanged() -> bool:
        status = place.team.status("wells-1")
        found = (place.uid("wells-1"), status["phase"], status["attempt"])
        return found == (uid, "Succeeded", 1)

    place.submit("wells", "wells-2", suspend=True)
    assert unchanged()
    place.commit({path("wells", "wells-1"): None})
    sync = place.argo.compared(application)["status"]["sync"]
    assert (sync["revision"], sync["status"]) == (place.revision, "Synced")
    assert unchanged()


def test_a_job_is_started_again_by_an_action_as_one_that_git_does_not_have(
    place: Place, kubelet: HandKubelet, operator: Process
) -> None:
    application = place.submit("stems", "stems-1")
    kubelet.ends(place.team.pod("stems"), 0, Result(reason="Completed", step=10, model=MODEL))
    place.team.phase("stems-1", "Succeeded")
    place.argo.act(application, TEAM, "stems-1", "start-again")

    def served() -> str | None:
        pod = place.team.pod_now("stems")
        job = pod.metadata.labels["sihl.ai/job"] if pod else "stems-1"
        return job if job != "stems-1" else None

    name = eventually(served, 60, 0.1)
    assert re.fullmatch(r"stems-1-[a-z0-9]{5}", name)
    assert place.team.job(name)["spec"] == place.team.job("stems-1")["spec"]
    found = place.argo.compared(application)
    assert [each["name"] for each in found["status"]["resources"]] == ["stems-1"]


def test_what_cannot_change_fails_the_sync_with_the_reason_and_the_job_trains_on(
    place: Place, kubelet: HandKubelet, operator: Process
) -> None:
    application = place.submit("roots", "roots-1")
    kubelet.runs(place.team.pod("roots"))
    place.team.phase("roots-1", "Running")
    place.commit({path("roots", "roots-1"): manifest("roots", "roots-1", training={"seed": 5})})

    def told() -> str:
        found = place.argo.look_again(application) or {}
        return json.dumps(found["status"].get("operationState", {}).get("syncResult", {}))

    eventually(lambda: "submit a new job instead" in told(), 60, 0.1)
    assert place.team.phase("roots-1", "Running")["attempt"] == 1


def test_the_operator_is_upgraded_and_rolled_back_by_git_in_the_middle_of_a_job(
    place: Place, kubelet: HandKubelet, operator: Process, kubeconfig: Path, tmp_path: Path
) -> None:
    argo, chart = place.argo, place.platform.folder / "helm" / "Chart.yaml"
    place.submit("seeds", "seeds-1")
    kubelet.runs(pod := place.team.pod("seeds"))
    place.team.phase("seeds-1", "Running")

    def image() -> str:
        return argo.kubectl(*OPERATOR, "jsonpath={.spec.template.spec.containers[0].image}")

    before = image()
    newer = re.sub(r"(?m)^appVersion: .*$", "appVersion: 99.0.0", chart.read_text())
    argo.synced("sihl", place.platform.commit({"helm/Chart.yaml": newer}))
    assert image().endswith(":99.0.0")
    operator.signal(signal.SIGSTOP)  # no kubelet carries the Deployment out: these are its replicas
    try:
        with leading("upgraded", kubeconfig, tmp_path / "log"):
            argo.synced("sihl", place.platform.revert())
            assert image() == before
    finally:
        operator.signal(signal.SIGCONT)
    operator.wait_until_it_leads()
    assert place.team.pod_now("seeds").metadata.uid == pod.metadata.uid
    kubelet.ends(pod, 0, Result(reason="Completed", step=10, model=MODEL))
    assert place.team.phase("seeds-1", "Succeeded")["attempt"] == 1


def test_a_namespace_and_a_crd_that_git_forgets_stay_with_their_jobs(
    place: Place, operator: Process
) -> None:
    argo = place.argo
    place.submit("roses", "roses-1", suspend=True)
    uid = place.uid("roses-1")
    values = {"crds": {"install": False}, "namespaces": {}}
    argo.change("sihl", {"source": {"helm": {"valuesObject": None}}})
    argo.change("sihl", {"source": {"helm": {"valuesObject": values}}})
    sihl = ("-n", TEAM, "get", "networkpolicy", "-o", "name")
    eventually(lambda: not argo.kubectl(*sihl).strip(), 60, 0.2)  # which are pruned
    argo.compared("sihl")
    assert place.uid("roses-1") == uid
    phase = ("get", "namespace", TEAM, "-o", "jsonpath={.status.phase}")
    assert argo.kubectl(*phase) == "Active"
