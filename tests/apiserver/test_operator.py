"""The whole operator as a process on a real API server; the test is the kubelet."""

from __future__ import annotations

import asyncio
import copy
import json
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from local_cluster.control_plane import free_port
from local_cluster.pki import Pki
from sihl_api.runtime import HTTP_PORT, ExitCode, ProgressReport, RecordReport, Result
from sihl_operator.hearsay import told
from sihl_operator.kube import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    KubeApi,
    NotFoundError,
    UnavailableError,
)
from sihl_operator.refusals import lacking
from tests.support import mortal
from tests.support.kubelet import HandKubelet
from tests.support.objects import MODEL, SAVED, SPEC
from tests.support.operators import Process, Team, leading, new_team
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def kubelet(api: client.ApiClient) -> Iterator[HandKubelet]:
    with HandKubelet(api, {"node-a": 2, "node-b": 2}) as kubelet:
        yield kubelet


@pytest.fixture
def team(api: client.ApiClient, kubelet: HandKubelet) -> Iterator[Team]:
    with new_team(api, "team") as team:
        yield team


@pytest.fixture(scope="module")
def operator(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with leading("operator", kubeconfig, tmp_path_factory.mktemp("operator") / "log") as process:
        yield process


# --- one operator ----------------------------------------------------------------------------


def test_a_job_goes_from_submission_to_success_in_six_writes_and_four_events_at_most(
    team: Team, kubelet: HandKubelet, operator: Process
) -> None:
    before = operator.writes()
    team.submit("job")
    pod = team.pod()
    kubelet.runs(pod)
    assert team.phase("job", "Running")["nodeName"] == pod.spec.node_name
    kubelet.ends(pod, 0, Result(reason="Completed", step=10, model=MODEL))
    status = team.phase("job", "Succeeded")
    assert status["model"]["checksum"] == MODEL.checksum
    assert operator.writes() - before <= 6

    def told() -> list[str] | None:
        events = team.core.list_namespaced_event(
            team.namespace, field_selector="involvedObject.kind=TrainingJob"
        ).items
        return [event.reason for event in events] if len(events) == 4 else None

    assert sorted(eventually(told, 60)) == ["Queued", "Running", "Starting", "Succeeded"]


def test_probes_and_metrics_tell_the_truth(operator: Process) -> None:
    assert operator.ready()
    eventually(operator.alive, 60, 0.1)  # after its first decisions, which are after it is ready


def test_one_job_of_a_queue_runs_at_a_time_and_the_others_know_their_places(
    team: Team, kubelet: HandKubelet, operator: Process
) -> None:
    team.submit("first")
    pod = team.pod(job="first")
    for name, priority in (("third", 0), ("second", 5)):
        team.submit(name, priority=priority)
    eventually(lambda: team.status("second").get("queuePosition") == 1, 60)
    eventually(lambda: team.status("third").get("queuePosition") == 2, 60)
    kubelet.ends(pod, 0, Result(reason="Completed", model=MODEL))
    following = team.pod(job="second")
    assert team.status("third")["phase"] == "Queued"
    assert following.metadata.uid != pod.metadata.uid


def test_an_annotation_puts_a_job_into_another_queue_than_its_projects(
    team: Team, kubelet: HandKubelet, operator: Process
) -> None:
    team.submit("job", project="cells", annotations={"sihl.ai/queue": "plates"})
    assert team.pod("plates").metadata.labels["sihl.ai/job"] == "job"
    assert team.pod_now("cells") is None


def test_a_stop_ends_the_pod_and_a_resume_starts_the_next_attempt(
    team: Team, kubelet: HandKubelet, operator: Process
) -> None:
    team.submit("job")
    kubelet.runs(team.pod())
    team.phase("job", "Running")
    team.change("job", suspend=True)
    leaving = team.leaving()
    team.phase("job", "Stopping")
    kubelet.ends(leaving, ExitCode.STOPPED, Result(reason="Stopped", step=7, checkpoint=SAVED))
    kubelet.removes(leaving)
    status = team.phase("job", "Stopped")
    assert status["checkpoint"]["step"] == 7
    assert team.told("job", "CheckpointSaved", "Saved")["status"] == "True"
    team.change("job", suspend=False)
    again = team.pod(attempt=2)
    assert (
        json.loads(next(e.value for e in again.spec.containers[0].env if e.name == "SIHL_JOB"))[
            "uid"
        ]
        == team.job("job")["metadata"]["uid"]
    )


def test_a_failure_is_retried_as_the_next_attempt_and_told(
    team: Team, kubelet: HandKubelet, operator: Process
) -> None:
    team.submit("job")
    kubelet.ends(team.pod(), 1)
    team.pod(attempt=2)
    assert team.status("job")["failures"] == 1


def test_bad_data_is_final_and_makes_an_event(
    team: Team, kubelet: HandKubelet, operator: Process
) -> None:
    team.submit("job")
    bad = Result(reason="DatasetMalformed", message="annotations.yaml, line 3: no mapping")
    kubelet.ends(team.pod(), ExitCode.BAD_DATA, bad)
    team.phase("job", "Failed")
    assert "line 3" in team.told("job", "Failed", "DatasetMalformed")["message"]
    events = eventually(lambda: team.core.list_namespaced_event(team.namespace).items, 60)
    assert "DatasetMalformed" in {event.reason for event in events}


@contextmanager
def reporting(address: str) -> Iterator[list[RecordReport]]:
    """A pod's own port, which tells the last of a list."""
    told: list[RecordReport] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            report = ProgressReport(stage="Training", record=told[-1] if told else None)
            body = report.model_dump_json(by_alias=True, exclude_none=True).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer((address, HTTP_PORT), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield told
    server.shutdown()
    server.server_close()


def test_a_record_that_cannot_be_written_is_a_condition_and_an_event_until_it_can_be(
    team: Team, kubelet: HandKubelet, operator: Process
) -> None:
    team.submit("job")
    address = "127.0.94.64"  # which no other pod of these tests has
    with reporting(address) as told:
        kubelet.runs(team.pod(), address)
        team.phase("job", "Running")
        text = "Checkpoints cannot be written: correct the Secret."
        told.append(RecordReport(writable=False, reason="StoreAccessRefused", message=text))
        lost = team.told("job", "RecordWritable", "StoreAccessRefused")
        assert lost["status"] == "False"
        assert lost["message"].startswith(text)
        told.append(RecordReport(writable=True))
        assert team.told("job", "RecordWritable", "Written")["status"] == "True"

    def events() -> set[tuple[str, str]]:
        return {(e.type, e.reason) for e in team.core.list_namespaced_event(team.namespace).items}

    wanted = {("Warning", "RecordNotWritable"), ("Normal", "RecordWritable")}
    eventually(lambda: wanted <= events(), 60, 0.1)


def test_a_failed_job_goes_on_from_its_checkpoint_once_its_user_has_stopped_and_resumed_it(
    team: Team, kubelet: HandKubelet, operator: Process
) -> None:
    team.submit("job")
    kubelet.runs(pod := team.pod())
    team.phase("job", "Running")
    failed = Result(reason="DatasetMalformed", message="m", step=7, checkpoint=SAVED)
    kubelet.ends(pod, ExitCode.BAD_DATA, failed)
    conditions = {c["type"]: c for c in team.phase("job", "Failed")["conditions"]}
    assert "spec.suspend" in conditions["Failed"]["message"]
    team.change("job", suspend=True)
    assert team.phase("job", "Stopped")["checkpoint"]["step"] == 7
    team.change("job", suspend=False)
    following = team.pod(attempt=2)
    kubelet.ends(following, 0, Result(reason="Completed", step=9, model=MODEL))
    conditions = {c["type"]: c["status"] for c in team.phase("job", "Succeeded")["conditions"]}
    assert "Failed" not in conditions


def test_a_deleted_jobs_pod_goes_with_it_and_the_next_one_waits_for_its_end(
    team: Team, kubelet: HandKubelet, operator: Process
) -> None:
    team.submit("deleted")
    kubelet.runs(team.pod(job="deleted"))
    team.phase("deleted", "Running")
    team.submit("next")
    team.phase("next", "Queued")
    team.delete("deleted")
    leaving = team.leaving()
    team.told("next", "Admitted", "WaitingForPod")
    kubelet.removes(leaving)
    assert team.pod(job="next").metadata.uid != leaving.metadata.uid


def test_a_deleted_job_that_a_finalizer_keeps_is_stopped_and_its_queue_goes_on(
    team: Team, kubelet: HandKubelet, operator: Process
) -> None:
    team.submit("kept")
    team.keep("kept", "example.com/backup")
    try:
        kubelet.runs(team.pod(job="kept"))
        team.phase("kept", "Running")
        team.delete("kept")
        team.submit("next")
        leaving = team.leaving()
        kubelet.ends(leaving, ExitCode.STOPPED, Result(reason="Stopped", checkpoint=SAVED))
        kubelet.removes(leaving)
        assert team.phase("kept", "Stopped")["checkpoint"]["step"] == SAVED.step
        assert "example.com/backup" in team.told("kept", "Admitted", "Deleted")["message"]
        team.pod(job="next")
    finally:
        team.keep("kept")


def test_the_pod_of_a_job_deleted_without_it_goes_on_and_who_waits_is_told_what_to_do(
    team: Team, kubelet: HandKubelet, operator: Process
) -> None:
    team.submit("orphaning")
    orphan = team.pod(job="orphaning")
    kubelet.runs(orphan)
    team.phase("orphaning", "Running")
    team.delete("orphaning", cascade="Orphan")
    team.submit("next")
    command = f"kubectl delete pod --namespace {team.namespace} {orphan.metadata.name}"
    eventually(
        lambda: command in team.told("next", "Admitted", "WaitingForPod")["message"], 60, 0.1
    )
    assert team.pod_now().metadata.deletion_timestamp is None
    team.core.delete_namespaced_pod(orphan.metadata.name, team.namespace)
    kubelet.removes(team.leaving())
    team.pod(job="next")


def test_a_strangers_pod_with_the_queues_name_is_left_alone_and_told(
    team: Team, kubelet: HandKubelet, operator: Process
) -> None:
    stranger = {
        "metadata": {"name": "cells-runner"},
        "spec": {"containers": [{"name": "other", "image": "other"}]},
    }
    made = team.core.create_namespaced_pod(team.namespace, stranger)
    team.submit("job")
    assert "delete it" in team.told("job", "Admitted", "PodNameTaken")["message"]
    assert team.pod_now().metadata.uid == made.metadata.uid
    team.core.delete_namespaced_pod("cells-runner", team.namespace, grace_period_seconds=0)
    team.pod(job="job", attempt=int(team.status("job").get("attempt") or 0) or 1)


def test_a_pod_that_a_quota_refuses_is_told_and_tried_again(
    team: Team, kubelet: HandKubelet, operator: Process
) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    team.core.create_namespaced_resource_quota(team.namespace, quota)
    eventually(
        lambda: team.core.read_namespaced_resource_quota("none", team.namespace).status.hard, 60
    )
    team.submit("job", runner={**SPEC["runner"], "retries": 10})
    assert "quota" in team.told("job", "Admitted", "QuotaTooSmall")["message"]
    team.core.delete_namespaced_resource_quota("none", team.namespace)
    eventually(lambda: team.pod_now() is not None, 120, 0.1)


def test_gpus_are_given_out_once(team: Team, kubelet: HandKubelet, operator: Process) -> None:
    for number in range(3):  # two nodes of two GPUs each
        team.submit(f"job-{number}", project=f"q-{number}", runner={**SPEC["runner"], "gpus": 2})
    for number in range(2):
        team.pod(f"q-{number}", attempt=None)  # a lead that lapsed between two writes costs one
    team.told("job-2", "Admitted", "WaitingForGPUs")
    team.submit("huge", project="q-huge", runner={**SPEC["runner"], "gpus": 4})
    told = team.told("huge", "Admitted", "NoNodeFits")
    assert "4 nvidia.com/gpu" in told["message"]
    assert team.pod_now("q-2") is None


def test_a_start_that_a_crash_broke_off_becomes_the_next_attempt_and_counts_as_no_failure(
    team: Team, kubelet: HandKubelet, operator: Process
) -> None:
    # What a leader leaves that dies between the status and the pod.
    operator.signal(signal.SIGSTOP)
    try:
        team.submit("job")
        broken = {"phase": "Starting", "attempt": 1, "queue": "cells", "podName": "cells-runner",
                  "startedAt": "2027-01-15T08:00:00Z"}  # fmt: skip
        team.set_status("job", broken)
    finally:
        operator.signal(signal.SIGCONT)
    # Whether a pod was made and vanished cannot be known any more: a new number is safe.
    kubelet.ends(team.pod(attempt=2), 0, Result(reason="Completed", model=MODEL))
    assert not team.phase("job", "Succeeded").get("failures")


# --- two operators ---------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
def test_another_replica_takes_over_from_a_leader_that_is_lost_and_nothing_runs_twice(
    team: Team, kubelet: HandKubelet, operator: Process, kubeconfig: Path, tmp_path: Path,
    how: signal.Signals,
) -> None:  # fmt: skip
    operator.signal(signal.SIGSTOP)  # this test has leaders of its own
    with ExitStack() as stack:
        stack.callback(operator.signal, signal.SIGCONT)
        first, second = (Process(name, kubeconfig, tmp_path / name) for name in ("first", "second"))
        stack.callback(first.end)
        stack.callback(second.end)
        eventually(lambda: first.leads() or second.leads(), 60, 0.1)
        leader, other = (first, second) if first.leads() else (second, first)
        team.submit("running")
        pod = team.pod(job="running")
        kubelet.runs(pod)
        team.phase("running", "Running")
        leader.signal(how)
        team.submit("waiting")
        other.wait_until_it_leads()
        team.phase("waiting", "Queued")
        leader.signal(signal.SIGCONT) if how == signal.SIGSTOP else None
        kubelet.ends(pod, 0, Result(reason="Completed", model=MODEL))
        assert team.phase("running", "Succeeded")["attempt"] == 1
        following = team.pod(job="waiting")
        kubelet.runs(following)
        kubelet.ends(following, 0, Result(reason="Completed", model=MODEL))
        assert team.phase("waiting", "Succeeded")["attempt"] == 1
        if how == signal.SIGSTOP:
            eventually(lambda: not leader.leads(), 60, 0.1)


# --- an operator that dies all the time ------------------------------------------------------


def test_an_operator_that_is_killed_after_any_write_leaves_what_the_next_one_can_finish(
    team: Team, kubelet: HandKubelet, operator: Process, kubeconfig: Path, tmp_path: Path
) -> None:
    """The n-th of ten jobs, each in its own queue, has the operator killed after its n-th write.

    A late operator does in one write what a prompt one does in two, so no life has a certain
    number of them: a job is stopped and resumed until its operator has died.
    """
    team.patience = 120
    deaths: list[str] = []
    over = threading.Event()

    def live_and_die() -> None:
        while not over.is_set():
            process = Process(
                "mortal", kubeconfig, tmp_path / "log", "tests.support.mortal",
                MORTAL_FOLDER=str(tmp_path), SIHL_OPERATOR_ALLOW_CPU="true",
            )  # fmt: skip
            while process.ended() is None and not over.wait(0.1):
                pass
            if process.end() == -signal.SIGKILL:
                deaths.append(process.log.read_text().rsplit("dies after ", 1)[1].splitlines()[0])

    def stopped_and_resumed(name: str, pod: client.V1Pod) -> client.V1Pod:
        team.change(name, suspend=True)
        leaving = team.leaving(name)
        assert leaving.metadata.uid == pod.metadata.uid
        kubelet.ends(leaving, ExitCode.STOPPED, Result(reason="Stopped", step=7, checkpoint=SAVED))
        kubelet.removes(leaving)
        status = team.phase(name, "Stopped")
        saved = next(c for c in status["conditions"] if c["type"] == "CheckpointSaved")
        if saved["status"] == "True":
            assert status["checkpoint"]["step"] == 7
        else:  # the pod ended and went while no operator was there to read its result
            assert saved["status"] == "Unknown"
        team.change(name, suspend=False)
        following = team.pod(name, attempt=None)
        attempts = [int(each.metadata.labels["sihl.ai/attempt"]) for each in (pod, following)]
        assert attempts[0] < attempts[1]
        kubelet.runs(following)
        team.phase(name, "Running")
        return following

    def whole_life(name: str, due: int) -> None:
        team.submit(name, project=name, runner={**SPEC["runner"], "gpus": 0})
        pod = team.pod(name, attempt=None)
        kubelet.runs(pod)
        team.phase(name, "Running")
        pod = stopped_and_resumed(name, pod)
        while mortal.writes(tmp_path, name) < due:
            pod = stopped_and_resumed(name, pod)
        kubelet.ends(pod, 0, Result(reason="Completed", step=9, model=MODEL))
        status = team.phase(name, "Succeeded")
        assert status["attempt"] == int(pod.metadata.labels["sihl.ai/attempt"])
        assert not status.get("failures")

    operator.signal(signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(11) as pool:
            operators = pool.submit(live_and_die)
            try:
                lives = [pool.submit(whole_life, f"fells-{due}", due) for due in range(1, 11)]
                for life in lives:
                    life.result()
            finally:
                over.set()
            operators.result()
    finally:
        operator.signal(signal.SIGCONT)
    assert len(deaths) == 10, deaths


# --- a new version over old objects ----------------------------------------------------------


def _loosened(schema: Any) -> Any:
    """A schema as an early version might have been: without rules, bounds and defaults."""
    if isinstance(schema, list):
        return [_loosened(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {"x-kubernetes-validations", "default", "pattern", "minimum", "minLength"}
    return {
        key: _loosened(value)
        for key, value in schema.items()
        if key not in strict or isinstance(value, dict)  # a property may have such a name
    }


def test_jobs_of_an_older_crd_go_on_under_the_new_one(
    team: Team, api: client.ApiClient, kubelet: HandKubelet, operator: Process
) -> None:
    extensions = client.ApiextensionsV1Api(api)
    new = yaml.safe_load((ROOT / "crds" / "trainingjobs.sihl.ai.yaml").read_text())
    old = copy.deepcopy(new)
    old["spec"]["versions"][0]["schema"] = _loosened(old["spec"]["versions"][0]["schema"])
    bare = {key: value for key, value in SPEC.items() if key != "runner"}

    def install(crd: dict[str, Any], strict: bool) -> None:
        name = crd["metadata"]["name"]
        found = extensions.read_custom_resource_definition(name)
        metadata = {"name": name, "resourceVersion": found.metadata.resource_version}
        extensions.replace_custom_resource_definition(name, {**crd, "metadata": metadata})

        def serves() -> bool:
            probe = team.probe({**bare, "project": "Not A Name"})
            return probe == ("refused" if strict else "accepted")

        eventually(serves, 60, 0.1)

    install(old, strict=False)
    try:
        team.submit("running", runner={"gpus": 1})
        kubelet.runs(pod := team.pod(job="running"))
        team.phase("running", "Running")
        team.submit("bare", runner={"gpus": 1})
        assert "retries" not in team.job("bare")["spec"]["runner"]
        team.submit("wrong", project="wrong", training={"maxSteps": -5}, runner={"gpus": 1})
        assert "maxSteps" in team.told("wrong", "Accepted", "InvalidSpec")["message"]
        ruled_out = {"optimizer": {"name": "AdamW", "momentum": 0.9}}
        team.submit("unruly", project="unruly", training=ruled_out, runner={"gpus": 1})
        kubelet.runs(team.pod("unruly"))
        team.phase("unruly", "Running")
    finally:
        install(new, strict=True)
    assert team.job("bare")["spec"]["runner"]["retries"] == 3, "the new version's default"
    kubelet.ends(pod, 0, Result(reason="Completed", model=MODEL))
    assert team.phase("running", "Succeeded")["attempt"] == 1
    kubelet.ends(team.pod(job="bare"), 0, Result(reason="Completed", model=MODEL))
    team.phase("bare", "Succeeded")
    # What the new rules forbid can still be stopped, told about and deleted; only not be repeated.
    team.change("unruly", suspend=True)
    leaving = team.leaving("unruly")
    kubelet.ends(leaving, ExitCode.STOPPED, Result(reason="Stopped", step=7, checkpoint=SAVED))
    kubelet.removes(leaving)
    assert team.phase("unruly", "Stopped")["checkpoint"]["step"] == 7
    with pytest.raises(ApiException, match="momentum belongs to SGD"):
        team.submit("unruly-again", training=ruled_out)
    for name in ("unruly", "wrong"):
        team.delete(name)


# --- the API server as the operator calls it -------------------------------------------------


def test_each_refusal_of_the_api_server_has_its_type(
    team: Team, operator: Process, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
    stale = team.submit("job", suspend=True)["metadata"]["resourceVersion"]
    team.phase("job", "Stopped")
    here = team.namespace

    async def refusals() -> None:
        writes: list[tuple[str, str]] = []
        async with KubeApi(lambda verb, kind: writes.append((verb, kind))) as api:
            with pytest.raises(ConflictError):
                await api.patch_job_status(here, "job", stale, {"attempt": 9})
            with pytest.raises(NotFoundError):
                await api.get_job(here, "none")
            pod = {
                "metadata": {"name": "mine", "namespace": here},
                "spec": {"containers": [{"name": "a", "image": "a"}]},
            }
            made = await api.create_pod(pod)
            with pytest.raises(AlreadyExistsError):
                await api.create_pod(pod)
            with pytest.raises(ConflictError):
                await api.delete_pod(here, "mine", "another-uid", None)
            about = {
                "kind": "Pod",
                "namespace": here,
                "name": "mine",
                "uid": made["metadata"]["uid"],
            }
            event = {"metadata": {"generateName": "mine.", "namespace": here},
                     "involvedObject": about, "reason": "FailedMount", "message": "no"}  # fmt: skip
            await api.create_event(event)
            assert ("FailedMount", "no") in told(await api.events_of(here, about["uid"]))
            assert await api.events_of(here, "another-uid") == []
            await api.delete_pod(here, "mine", made["metadata"]["uid"], 0)
            with pytest.raises(NotFoundError):
                await api.get_pod(here, "mine")
            with pytest.raises(ApiError) as refused:
                await api.create_pod({"metadata": {"name": "B_", "namespace": here}})
            assert refused.value.status == 422
            assert ("patch", "trainingjobs") in writes
            api._access.host = f"https://127.0.0.1:{free_port()}"
            with pytest.raises(UnavailableError):
                await api.get_job(here, "job")

    asyncio.run(refusals())


def test_whatever_right_the_operators_role_lacks_is_told_in_the_api_servers_own_words(
    team: Team, kubeconfig: Path, api: client.ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = Pki(kubeconfig.parent / "pki").kubeconfig(
        "nobody", "/CN=nobody", api.configuration.host
    )
    monkeypatch.setattr(config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(nobody))
    here, pod = team.namespace, {"metadata": {"name": "mine", "namespace": team.namespace}}
    told: dict[str, Callable[[KubeApi], Awaitable[Any]]] = {
        "list nodes": lambda asked: asked.list_all("node"),
        "watch pods": lambda asked: asked.watch("pod", "1", lambda *_: None),
        f'patch trainingjobs/status in the namespace "{here}"': (
            lambda asked: asked.patch_job_status(here, "job", "1", {})
        ),
        f'create pods in the namespace "{here}"': lambda asked: asked.create_pod(pod),
        f'delete pods in the namespace "{here}"': (
            lambda asked: asked.delete_pod(here, "mine", "uid", None)
        ),
        f'get pods in the namespace "{here}"': lambda asked: asked.get_pod(here, "mine"),
    }

    async def ask() -> None:
        async with KubeApi(lambda *_: None) as asked:
            for right, act in told.items():
                with pytest.raises(ApiError) as refused:
                    await act(asked)
                end = lacking(refused.value.status, refused.value.message)
                assert end is not None, refused.value
                assert end.message.startswith(f"The operator may not {right}: whoever runs")

    asyncio.run(ask())


def test_a_spec_near_the_api_servers_limit_works(
    team: Team, kubelet: HandKubelet, operator: Process
) -> None:
    names = [f"node-{number:04}.{'x' * 50}" for number in range(100)]
    away = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": names}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [away] * 20}] * 9}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    spec = team.submit("job", runner={**SPEC["runner"], "affinity": affinity})["spec"]
    assert len(json.dumps(spec)) > 1_000_000
    pod = team.pod()
    containers = [*pod.spec.init_containers, *pod.spec.containers]
    longest = max(len(each.value or "") for c in containers for each in c.env)
    assert longest < 128 * 1024, "no process can be given it"
    kubelet.runs(pod)
    team.phase("job", "Running")
