"""`kubectl sihl` on a real API server, with a real operator; the test is the kubelet."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from local_cluster import programs
from local_cluster.control_plane import free_port
from sihl_api.runtime import STORE_SECRET, ExitCode, Result
from tests.support import podlogs, s3, screens
from tests.support.browsing import served
from tests.support.kubelet import HandKubelet
from tests.support.objects import MODEL, SAVED, SPEC
from tests.support.operators import Team, leading, new_team
from tests.support.recorded import Recorded
from tests.support.typed import Typing, rows
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
NODES = {"node-sihl": 4}
POD = "cells-runner"


@pytest.fixture(scope="module")
def kubelet(api: client.ApiClient) -> Iterator[HandKubelet]:
    with HandKubelet(api, NODES) as kubelet:
        yield kubelet


@pytest.fixture(scope="module")
def logs(
    api: client.ApiClient, kubelet: HandKubelet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[podlogs.PodLogs]:
    with podlogs.serve(api, list(NODES), tmp_path_factory.mktemp("kubelet")) as logs:
        yield logs


@pytest.fixture(scope="module")
def operator(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with leading("kubectl", kubeconfig, tmp_path_factory.mktemp("operator") / "log"):
        yield


@pytest.fixture
def team(api: client.ApiClient, kubelet: HandKubelet) -> Iterator[Team]:
    with new_team(api, "sihl") as team:
        yield team


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.S3Server]:
    with s3.serve(tmp_path_factory.mktemp("s3")) as server:
        server.make_bucket("data")
        yield server


@pytest.fixture
def sihl(kubeconfig: Path, team: Team) -> Typing:
    return Typing(kubeconfig, team.namespace)


def manifest(name: str, **spec: Any) -> str:
    """A job's YAML."""
    return yaml.safe_dump(
        {
            "apiVersion": "sihl.ai/v1alpha1",
            "kind": "TrainingJob",
            "metadata": {"name": name, "labels": {"owner": name}},
            "spec": {**SPEC, **spec},
        }
    )


# --- without an operator ---------------------------------------------------------------------


def test_jobs_are_listed_with_what_kubectl_s_options_choose(sihl: Typing, team: Team) -> None:
    for name in ("b", "a"):
        assert sihl("submit", "-f", "-", stdin=manifest(name))[0] == 0
    team.set_status("b", {"phase": "Running", "queue": "cells", "attempt": 1})
    header, *found = rows(sihl()[1])
    assert header[:3] == ["NAME", "QUEUE", "PHASE"]
    assert sorted(row[:3] for row in found) == [["a", "cells", "Queued"], ["b", "cells", "Running"]]
    assert sihl("list", "-o", "name", "--phase", "running")[1] == "trainingjob.sihl.ai/b\n"
    assert sihl("list", "-o", "name", "-l", "owner=a")[1] == "trainingjob.sihl.ai/a\n"
    assert [each["spec"]["project"] for each in json.loads(sihl("-o", "json")[1])["items"]] == [
        "cells",
        "cells",
    ]
    assert yaml.safe_load(sihl("list", "a", "-o", "yaml")[1])["items"][0]["metadata"]["name"] == "a"


def test_a_queue_stands_in_order_beyond_the_positions_that_the_status_has(sihl: Typing) -> None:
    for name, priority in (("low", -1), ("high", 9), ("mid", 0)):
        sihl("submit", "-f", "-", "--set", f"priority={priority}", stdin=manifest(name))
    assert sihl("list", "cells@latest", "-o", "name")[1] == "trainingjob.sihl.ai/mid\n"
    assert [row[1:3] for row in rows(sihl("queue", "cells")[1])[1:]] == [
        ["1", "high"],
        ["2", "mid"],
        ["3", "low"],
    ]
    assert "No training jobs found" in sihl("queue", "other")[2]


@pytest.mark.parametrize(
    ("words", "text", "told"),
    [
        ([], manifest("x", priority="high"), "spec.priority"),
        ([], manifest("x", colour="red"), 'unknown field "spec.colour"'),
        ([], manifest("x", training={"batchSize": 16, "maxSteps": 0}), "spec.training.maxSteps"),
        (["--name", "Upper"], manifest("x"), "metadata.name"),
    ],
)
def test_what_the_api_server_refuses_is_told_in_a_line_and_nothing_is_submitted(
    sihl: Typing, words: list[str], text: str, told: str
) -> None:
    code, out, err = sihl("submit", "-f", "-", *words, stdin=text)
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert told in err
    assert sihl("-o", "name")[1] == ""


def test_a_name_that_is_taken_is_refused_and_a_clone_takes_the_next_free_one(sihl: Typing) -> None:
    text = manifest("night", suspend=True)
    sihl("submit", "-f", "-", stdin=text)
    code, _, err = sihl("submit", "-f", "-", stdin=text)
    assert (code, "night exists already" in err) == (1, True)
    sihl("clone", "night", "--set", "training.maxSteps=7")
    sihl("clone", "night-2")
    found = json.loads(sihl("-o", "json")[1])["items"]
    assert {
        each["metadata"]["name"]: (each["spec"]["training"]["maxSteps"], each["spec"]["suspend"])
        for each in found
    } == {"night": (10_000, True), "night-2": (7, False), "night-3": (7, False)}
    assert [each["metadata"]["labels"] for each in found] == [{"owner": "night"}] * 3


def test_a_dry_run_submits_nothing(sihl: Typing) -> None:
    code, out, _ = sihl("submit", "-f", "-", "--dry-run", "--name", "x", stdin=manifest("night"))
    assert (code, yaml.safe_load(out)["metadata"]["name"]) == (0, "x")
    assert "No training jobs found" in sihl("list")[2]


@pytest.mark.parametrize("verb", ["stop", "resume", "clone", "list"])
def test_a_job_that_is_not_there_is_named_with_its_namespace(
    sihl: Typing, team: Team, verb: str
) -> None:
    code, _, err = sihl(verb, "nobody", *(("--record", "/tmp") if verb == "clone" else ()))
    assert (code, len(err.splitlines())) == (1, 1)
    assert "nobody" in err
    assert team.namespace in err


def test_only_a_stopped_job_is_resumed_and_one_that_has_ended_is_left_alone(
    sihl: Typing, team: Team
) -> None:
    sihl("submit", "-f", "-", stdin=manifest("night"))
    assert "night is not stopped" in sihl("resume", "night")[2]
    team.set_status("night", {"phase": "Failed"})
    assert "night has ended already: Failed" in sihl("stop", "night")[2]
    code, _, err = sihl("resume", "night")
    assert (code, "kubectl sihl clone night" in err) == (1, True)
    assert team.job("night")["spec"]["suspend"] is False


def test_a_job_that_is_deleted_while_it_is_waited_for_ends_the_wait(
    sihl: Typing, team: Team
) -> None:
    waited, _, err = sihl.begin("submit", "-f", "-", "--wait", stdin=manifest("night"))
    eventually(lambda: "night: Queued" in err.getvalue())
    team.delete("night")
    assert waited.result(60) == 1
    assert err.getvalue().splitlines()[-1] == "error: night was deleted while it was waited for"


def test_a_job_in_the_queue_has_no_log_and_says_why(sihl: Typing) -> None:
    sihl("submit", "-f", "-", stdin=manifest("night"))
    code, out, err = sihl("logs", "night")
    assert (code, out) == (1, "")
    assert "night has no log yet: Queued; wait for it by kubectl sihl logs -f night -n " in err


# --- with one --------------------------------------------------------------------------------


def test_a_job_is_submitted_followed_through_its_queue_and_its_success(
    sihl: Typing, team: Team, kubelet: HandKubelet, logs: podlogs.PodLogs, operator: None
) -> None:
    followed, out, err = sihl.begin("submit", "-f", "-", "--follow", stdin=manifest("night"))
    pod = team.pod()
    logs.write(team.namespace, POD, "step 1\n\x1b[2J")
    kubelet.runs(pod)
    eventually(lambda: "step 1\n" in out.getvalue())
    logs.write(team.namespace, POD, "step 2\n")
    eventually(lambda: "step 2\n" in out.getvalue())
    logs.close(team.namespace, POD)
    kubelet.ends(pod, 0, Result(reason="Completed", model=MODEL, metrics={"boxes/map": "0.5"}))
    assert followed.result(60) == 0, err.getvalue()
    assert out.getvalue() == "step 1\n\\x1b[2Jstep 2\n"
    told = err.getvalue().splitlines()
    assert told[0] == "trainingjob.sihl.ai/night created"
    assert "night: Running: attempt 1 on node-sihl" in told
    assert told[-1] == (
        f"night succeeded: boxes/map 0.5; fetch it: kubectl sihl pull night -n {team.namespace}"
    )


def test_a_failure_is_the_exit_code_of_who_waits(
    sihl: Typing, team: Team, kubelet: HandKubelet, operator: None
) -> None:
    waited, out, err = sihl.begin("submit", "-f", "-", "--wait", stdin=manifest("night"))
    pod = team.pod()
    kubelet.ends(pod, ExitCode.BAD_DATA, Result(reason="DatasetMalformed", message="a.yaml: b"))
    assert waited.result(60) == 3
    assert (out.getvalue(), err.getvalue().splitlines()[-1]) == (
        "",
        "night failed (DatasetMalformed): a.yaml: b",
    )


def test_a_job_is_stopped_resumed_and_followed_into_its_next_attempt(
    sihl: Typing, team: Team, kubelet: HandKubelet, logs: podlogs.PodLogs, operator: None
) -> None:
    submitted, _, _ = sihl.begin("submit", "-f", "-", "--wait", stdin=manifest("night"))
    first = team.pod()
    kubelet.runs(first)
    team.phase("night", "Running")
    stopped, _, told = sihl.begin("stop", "night", "--wait")
    leaving = team.leaving()
    kubelet.ends(leaving, ExitCode.STOPPED, Result(reason="Stopped", step=7, checkpoint=SAVED))
    kubelet.removes(leaving)
    assert submitted.result(60) == 4
    assert stopped.result(60) == 0
    assert told.getvalue().splitlines()[-1] == (
        "night was stopped, its checkpoint is of step 7; "
        f"go on: kubectl sihl resume night -n {team.namespace}"
    )
    resumed, out, _ = sihl.begin("resume", "night", "--follow")
    second = team.pod(attempt=2)
    logs.write(team.namespace, POD, "from step 7\n")
    kubelet.runs(second)
    eventually(lambda: out.getvalue() == "from step 7\n")
    logs.close(team.namespace, POD)
    kubelet.ends(second, 0, Result(reason="Completed", model=MODEL))
    assert resumed.result(60) == 0


def test_a_failed_job_that_has_a_checkpoint_is_resumed(
    sihl: Typing, team: Team, kubelet: HandKubelet, operator: None
) -> None:
    sihl("submit", "-f", "-", stdin=manifest("night"))
    bad = Result(reason="DatasetMalformed", message="m", step=7, checkpoint=SAVED)
    kubelet.ends(team.pod(), ExitCode.BAD_DATA, bad)
    team.phase("night", "Failed")
    code, _, err = sihl("resume", "night")
    assert (code, "night resumed" in err) == (0, True)
    team.pod(attempt=2)


def test_the_log_of_a_running_job_is_its_pod_s_and_of_an_ended_one_its_record_s(
    sihl: Typing, team: Team, kubelet: HandKubelet, logs: podlogs.PodLogs, operator: None,
    bucket: s3.S3Server,
) -> None:  # fmt: skip
    followed, out, _ = sihl.begin("logs", "night", "-f")
    assert followed.result(60) == 1  # nobody knows such a job yet, and there is no store
    uid = team.submit("night")["metadata"]["uid"]
    followed, out, _ = sihl.begin("logs", "night", "-f")
    pod = team.pod()
    logs.write(team.namespace, POD, "of the pod\n")
    kubelet.runs(pod)
    team.phase("night", "Running")
    assert sihl("logs", "night")[1] == "of the pod\n"
    eventually(lambda: out.getvalue() == "of the pod\n")
    logs.close(team.namespace, POD)
    kubelet.ends(pod, 0, Result(reason="Completed", model=MODEL))
    assert followed.result(60) == 0

    team.phase("night", "Succeeded")
    put_store(team, bucket)
    put_record(team, bucket, uid).log(1, 0, "of the record\n")
    assert sihl("logs", "night")[1] == "of the record\n"
    assert sihl("logs", "-f", "night")[1] == "of the record\n"
    team.delete("night")
    assert sihl("logs", "night")[1] == "of the record\n"
    assert sihl("clone", "night", "--set", "training.maxSteps=7")[0] == 0
    assert team.job("night-2")["spec"]["training"]["maxSteps"] == 7


def test_an_attempt_that_was_too_short_to_be_seen_is_told_from_its_record(
    sihl: Typing, team: Team, kubelet: HandKubelet, operator: None, bucket: s3.S3Server
) -> None:
    put_store(team, bucket)
    followed, out, err = sihl.begin("submit", "-f", "-", "--follow", stdin=manifest("night"))
    pod = team.pod()
    record = put_record(team, bucket, team.job("night")["metadata"]["uid"])
    record.log(1, 0, "in a moment\n")
    kubelet.ends(pod, 0, Result(reason="Completed", model=MODEL))
    assert followed.result(60) == 0, err.getvalue()
    assert out.getvalue() == "in a moment\n"


def test_a_log_that_cannot_be_read_does_not_keep_from_how_the_job_ends(
    sihl: Typing, team: Team, kubelet: HandKubelet, operator: None
) -> None:
    followed, _, err = sihl.begin("submit", "-f", "-", "--follow", stdin=manifest("night"))
    pod = team.pod()
    kubelet.ends(pod, ExitCode.BAD_DATA, Result(reason="DatasetMalformed", message="a.yaml: b"))
    assert followed.result(60) == 3
    told = err.getvalue().splitlines()
    assert "the log of attempt 1 was not seen: there is no secret sihl-store" in told[-2]
    assert "night failed" in told[-1]


def test_a_job_that_has_not_started_has_no_record_yet(
    sihl: Typing, team: Team, bucket: s3.S3Server
) -> None:
    put_store(team, bucket)
    team.submit("night")
    code, _, err = sihl("metrics", "night")
    assert (code, "night has no record" in err, len(err.splitlines())) == (1, True, 1)
    team.submit("day")
    code, out, err = sihl("compare", "night", "day")
    assert (code, out) == (1, "")
    assert "note: night is left out: a job has a record once it has started\n" in err


def test_a_store_that_only_the_cluster_reaches_is_read_by_another_address(
    sihl: Typing, team: Team, bucket: s3.S3Server
) -> None:
    put_store(team, bucket, f"http://127.0.0.1:{free_port()}")
    put_record(team, bucket, team.submit("night")["metadata"]["uid"]).log(1, 0, "a line\n")
    code, out, err = sihl("logs", "night", "--attempt", "1")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert "kubectl port-forward, and --endpoint" in err
    assert sihl("logs", "night", "--attempt", "1", "--endpoint", bucket.endpoint)[1] == "a line\n"


def put_store(team: Team, bucket: s3.S3Server, endpoint: str = "") -> None:
    """The namespace's Secret `sihl-store`."""
    access, secret = bucket.reader
    keys = {
        "endpoint": endpoint or bucket.endpoint, "bucket": "data", "prefix": "runs",
        "accessKeyId": access, "secretAccessKey": secret,
    }  # fmt: skip
    data = {key: base64.b64encode(value.encode()).decode() for key, value in keys.items()}
    team.core.create_namespaced_secret(
        team.namespace, {"metadata": {"name": STORE_SECRET}, "data": data}
    )


def put_record(team: Team, bucket: s3.S3Server, uid: str) -> Recorded:
    """The record of the job `night`."""

    def put(key: str, data: bytes) -> None:
        bucket.put("data", {key.replace("/team-a/", f"/{team.namespace}/"): data})

    record = Recorded(put, "night", "runs", uid)
    record.job()
    return record


def _heeding_interrupts() -> None:
    """What a shell starts in the background ignores them, and so would all that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_who_no_longer_waits_leaves_the_job_alone(
    kubeconfig: Path, team: Team, tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text(manifest("night"))
    words = ["submit", "-f", "job.yaml", "--wait", "-n", team.namespace]
    process = subprocess.Popen(
        [sys.executable, "-m", "sihl_dashboard.cli", *words], cwd=tmp_path,
        env={**os.environ, "KUBECONFIG": str(kubeconfig)}, stderr=subprocess.PIPE, text=True,
        preexec_fn=_heeding_interrupts,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "Queued" in line:
            break
    process.send_signal(signal.SIGINT)
    assert process.stderr.read().splitlines()[-1] == "no longer waited for: the job goes on"
    assert process.wait(60) == 130
    assert team.job("night")["spec"]["suspend"] is False


# --- on the whole terminal -------------------------------------------------------------------


def test_top_shows_jobs_as_they_go_on_and_opens_a_log(
    kubeconfig: Path, team: Team, kubelet: HandKubelet, logs: podlogs.PodLogs, operator: None
) -> None:
    team.submit("night")
    pod = team.pod()
    logs.write(team.namespace, POD, "of the pod\n")
    command = [sys.executable, "-m", "sihl_dashboard.cli", "top", "-n", team.namespace]
    with screens.drawn(command, {"KUBECONFIG": str(kubeconfig)}) as screen:
        eventually(lambda: "night" in screen.text and "Starting" in screen.text)
        kubelet.runs(pod)
        eventually(lambda: "Runn" in screen.text)  # what differs from Starting is written
        screen.press("\n")
        eventually(lambda: "of the pod" in screen.text)
        logs.write(team.namespace, POD, "and more\n")
        eventually(lambda: "and more" in screen.text)
        screen.press("qq")
        assert screen.process.wait(60) == 0
    logs.close(team.namespace, POD)


# --- in the browser --------------------------------------------------------------------------


def test_the_dashboard_shows_the_cluster_s_jobs_and_records_with_one_s_own_rights(
    sihl: Typing, viewer: Typing, team: Team, bucket: s3.S3Server
) -> None:
    put_store(team, bucket)
    uid = team.submit("night", suspend=True)["metadata"]["uid"]
    put_record(team, bucket, uid).log(1, 0, "a line\n")
    with served(environ=viewer.environ) as browser:
        assert browser.opens() == 303
        eventually(lambda: browser.get("/overview")[1]["namespaces"])
        (found,) = browser.get("/overview")[1]["namespaces"]
        assert found["name"] == team.namespace
        assert [job["name"] for queue in found["queues"] for job in queue["jobs"]] == ["night"]
        path = f"/namespaces/{team.namespace}/projects/cells/jobs/night.{uid[:8]}"
        status, told = browser.get(f"{path}/log")  # the viewer may not read the store's Secret
        assert (status, "cannot get resource" in json.dumps(told)) == (503, True)
    with served("-n", team.namespace, environ=sihl.environ) as browser:
        browser.opens()
        eventually(lambda: browser.get("/overview")[1]["namespaces"])
        assert [line["text"] for line in browser.get(f"{path}/log")[1]["lines"]] == ["a line"]


# --- before it is submitted ------------------------------------------------------------------


def put_dataset(team: Team, bucket: s3.S3Server, secret: str | None = "keys") -> dict[str, Any]:
    """A dataset with its Secret; returns where it is."""
    if secret:
        values = dict(zip(("accessKeyId", "secretAccessKey"), bucket.reader, strict=True))
        team.core.create_namespaced_secret(
            team.namespace, {"metadata": {"name": secret}, "stringData": values}
        )
    bucket.put("data", {
        "digits/images/a.png": b"1", "digits/labels.yaml": b"a.png: x\n",
        "digits/metadata.yaml":
            b"task: multiclass classification\nannotations: labels.yaml\ncategories: [x]\n",
    })  # fmt: skip
    return {"train": {"endpoint": bucket.endpoint, "bucket": "data", "prefix": "digits",
                      "credentials": {"secretName": "keys"}}}  # fmt: skip


def test_a_job_that_would_be_accepted_and_find_its_data_is_checked_and_not_submitted(
    sihl: Typing, team: Team, bucket: s3.S3Server
) -> None:
    put_store(team, bucket)
    text = manifest("night", dataset=put_dataset(team, bucket))
    code, out, err = sihl("check", "-", stdin=text)
    assert (code, err) == (0, ""), out
    assert [line.split()[0] for line in out.splitlines()] == ["ok"] * 9
    assert "asked by a dry run" in out
    assert sihl("-o", "name")[1] == ""


def test_what_only_the_pods_service_account_may_is_told_and_not_held_against_the_job(
    sihl: Typing, team: Team, bucket: s3.S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"endpoint": bucket.endpoint, "bucket": "data", "serviceAccount": "true"}
    team.core.create_namespaced_secret(
        team.namespace, {"metadata": {"name": "sihl-store"}, "stringData": said}
    )
    text = manifest("night", dataset=put_dataset(team, bucket))
    words = ("check", "-", "--set", "runner.serviceAccountName=sihl-jobs")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    code, out, _ = sihl(*words, stdin=text)
    assert code == 1
    assert "mend   account sihl-jobs" in out
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/jobs"}
    account = {"metadata": {"name": "sihl-jobs", "annotations": role}}
    team.core.create_namespaced_service_account(team.namespace, account)
    code, out, _ = sihl(*words, stdin=text)
    assert code == 0, out
    assert "is there, with the role arn:aws:iam::1:role/jobs" in out
    assert "only its pod can be the service account: no key for s3://data" in out
    key, secret = bucket.reader
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    code, out, _ = sihl(*words, stdin=text)
    assert code == 0, out
    assert "it is asked with your keys" in out


def test_what_is_to_be_mended_is_told_all_at_once(
    sihl: Typing, team: Team, bucket: s3.S3Server
) -> None:
    text = manifest("night", dataset=put_dataset(team, bucket, secret=None))
    sihl("submit", "-f", "-", "--set", "suspend=true", stdin=text)
    code, out, _ = sihl("check", "-f", "-", stdin=text)
    assert code == 1
    found = [line.split("   ")[-1] for line in out.splitlines() if line.startswith("mend")]
    assert [" ".join(text.split()[:5]) for text in found] == [
        "training job night exists already",
        "there is no secret sihl-store",
        "there is no secret keys",
    ]
    code, out, _ = sihl("check", "-", "--set", "runner.gpus=3", "--name", "x", stdin=text)
    assert "must be a multiple of runner.gpus" in out.splitlines()[0]


# --- rights ----------------------------------------------------------------------------------


@pytest.fixture
def viewer(api: client.ApiClient, kubeconfig: Path, team: Team, tmp_path: Path) -> Typing:
    """One who may look at jobs, and at nothing else."""
    rbac = client.RbacAuthorizationV1Api(api)
    team.core.create_namespaced_service_account(team.namespace, {"metadata": {"name": "viewer"}})
    rule = {"apiGroups": ["sihl.ai"], "resources": ["trainingjobs"], "verbs": ["get", "list"]}
    rbac.create_namespaced_role(team.namespace, {"metadata": {"name": "viewer"}, "rules": [rule]})
    rbac.create_namespaced_role_binding(
        team.namespace,
        {
            "metadata": {"name": "viewer"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "viewer",
            },
            "subjects": [
                {"kind": "ServiceAccount", "name": "viewer", "namespace": team.namespace}
            ],
        },
    )  # fmt: skip
    token = team.core.create_namespaced_service_account_token(
        "viewer", team.namespace, {"spec": {}}
    )
    found = yaml.safe_load(kubeconfig.read_text())
    found["users"] = [{"name": "viewer", "user": {"token": token.status.token}}]
    context = {
        "cluster": found["clusters"][0]["name"], "user": "viewer", "namespace": team.namespace,
    }  # fmt: skip
    found["contexts"] = [{"name": "viewer", "context": context}]
    found["current-context"] = "viewer"
    file = tmp_path / "viewer.kubeconfig"
    file.write_text(yaml.safe_dump(found))
    return Typing(file, "")  # the context's namespace


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("metrics", "night"), "give --record DIR or --record s3://bucket/prefix"),
        (("stop", "night"), 'cannot patch resource "trainingjobs"'),
        (("list", "-A"), "in all namespaces"),
        (("list", "-n", "default"), "in namespace default"),
        (("metrics", "@latest"), "give --record DIR or --record s3://bucket/prefix"),
    ],
)
def test_what_one_may_not_is_told_in_a_line_and_what_one_may_works(
    viewer: Typing, team: Team, words: tuple[str, ...], told: str
) -> None:
    team.submit("night")
    code, out, err = viewer(*words)
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert told in err
    assert viewer("-o", "name")[1] == "trainingjob.sihl.ai/night\n"


def test_a_cluster_that_is_away_is_told_in_a_line(kubeconfig: Path, tmp_path: Path) -> None:
    found = yaml.safe_load(kubeconfig.read_text())
    found["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_port()}"
    (tmp_path / "away").write_text(yaml.safe_dump(found))
    code, out, err = Typing(tmp_path / "away", "")("list")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert "did not answer" in err


# --- as kubectl runs it ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH with the programs that pyproject.toml has pip install."""
    folder = tmp_path_factory.mktemp("bin")
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for name, place in scripts.items():
        module, _, function = place.partition(":")
        file = folder / name
        file.write_text(f"#!{sys.executable}\nfrom {module} import {function}\n{function}()\n")
        file.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def kubectl(path: str, kubeconfig: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """As a user types it."""
    return subprocess.run(
        [programs.program("kubectl"), *words],
        env={**os.environ, "PATH": path, "KUBECONFIG": str(kubeconfig)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_kubectl_finds_it_and_its_exit_code(path: str, kubeconfig: Path, team: Team) -> None:
    team.submit("night")
    done = kubectl(path, kubeconfig, "sihl", "list", "-n", team.namespace, "-o", "name")
    assert (done.returncode, done.stdout, done.stderr) == (0, "trainingjob.sihl.ai/night\n", "")
    assert kubectl(path, kubeconfig, "sihl", "destroy").returncode == 2


def test_kubectl_completes_verbs_and_names(path: str, kubeconfig: Path, team: Team) -> None:
    team.submit("night")
    found = kubectl(path, kubeconfig, "__complete", "sihl", "-n", team.namespace, "stop", "")
    assert found.stdout.splitlines()[:3] == ["night", "@latest", ":4"]
    assert kubectl(path, kubeconfig, "__complete", "sihl", "com").stdout.startswith("compare\t")
