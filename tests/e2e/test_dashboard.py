"""The dashboard of the chart, as people with different rights see a job while it trains."""

from __future__ import annotations

import base64
import http.client
import json
import math
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e.harness import NAMESPACE, OTHERS, SYSTEM, Harness, Store

PROJECT, JOB = "q-dashboard", "shown-1"
HIDDEN_PROJECT, HIDDEN_JOB = "q-hidden", "hidden-1"
ENDLESS = {"training": {"maxSteps": 100_000, "validations": 1000}}
LOSS = "train/digit/cross_entropy"


class Visitor:
    """Someone with a token, or with none, at the dashboard's Service."""

    def __init__(self, host: str, token: str = "") -> None:
        self._host = host
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def ask(self, path: str, method: str = "GET", body: Any = None) -> tuple[int, bytes]:
        """Status and content."""
        connection, answer = self._send(path, method, body)
        with closing(connection):
            return answer.status, answer.read()

    def get(self, path: str) -> Any:
        """The JSON that is answered with 200."""
        status, data = self.ask(path)
        assert status == 200, f"{path}: {status} {data[:500]!r}"
        return json.loads(data)

    def listen(self, path: str) -> Iterator[tuple[str, Any]]:
        """Name and data of a stream's events, as they come."""
        connection, answer = self._send(path, "GET", None)
        assert answer.status == 200, answer.read()
        event: dict[str, str] = {}
        with closing(connection):
            while line := answer.readline().decode():
                name, _, value = line.rstrip("\n").partition(": ")
                if name:
                    event[name] = value
                    continue
                if "data" in event:
                    yield event.get("event", ""), json.loads(event["data"])
                event = {}

    def _send(
        self, path: str, method: str, body: Any
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(self._host, timeout=120)
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        text = None if body is None else json.dumps(body)
        connection.request(method, f"/api/v1{path}", text, headers)
        return connection, connection.getresponse()


class Ground:
    """The dashboard, and the accounts that the tests make."""

    def __init__(self, harness: Harness) -> None:
        self._kubectl = harness.cluster.kubectl
        service = harness.core.read_namespaced_service("sihl-dashboard", SYSTEM)
        self.host: str = service.spec.cluster_ip
        self.folder = folder(harness, JOB, NAMESPACE)
        self.hidden = folder(harness, HIDDEN_JOB, OTHERS)

    def visitor(self, namespace: str, name: str, role: str) -> Visitor:
        """An account of a namespace with a role in it, as the documentation says to make one."""
        self._kubectl("create", "serviceaccount", name, "-n", namespace)
        self._kubectl(
            "create", "rolebinding", name, "-n", namespace,
            f"--{role}", f"--serviceaccount={namespace}:{name}",
        )  # fmt: skip
        token = self._kubectl("create", "token", name, "-n", namespace, "--duration=1h").strip()
        return Visitor(self.host, token)


def folder(harness: Harness, name: str, namespace: str) -> str:
    """A job's place in its project, as the dashboard's addresses have it."""
    uid: str = harness.job(name, namespace)["metadata"]["uid"]
    return f"{name}.{uid[:8]}"


@pytest.fixture(scope="module")
def ground(harness: Harness) -> Iterator[Ground]:
    """With a job that trains, and one of another namespace that nobody may see."""
    harness.submit(JOB, PROJECT, ENDLESS)
    harness.submit(HIDDEN_JOB, HIDDEN_PROJECT, {"suspend": True}, namespace=OTHERS)
    yield Ground(harness)
    harness.delete(HIDDEN_JOB, OTHERS)


@pytest.fixture(scope="module")
def viewer(ground: Ground) -> Visitor:
    """May see the tests' namespace and no other."""
    return ground.visitor(NAMESPACE, "viewer", "clusterrole=view")


def newest(answer: Any) -> tuple[float, float]:
    """Step and clock of a curve's last point."""
    (curve,) = [each for each in answer["curves"] if each["metric"] == LOSS]
    points = zip(answer["grid"]["x"], curve["last"], curve["clock"], strict=True)
    return max((x, clock) for x, last, clock in points if last is not None)


def test_who_may_view_a_namespace_is_told_of_new_points_while_a_job_of_it_trains(
    harness: Harness, ground: Ground, viewer: Visitor
) -> None:
    harness.wait_stage(JOB, PROJECT, "Training", "Validating", step=1)
    base = f"/namespaces/{NAMESPACE}/projects/{PROJECT}"
    steps, waited = [0.0], math.inf
    for event, data in viewer.listen(f"/stream?jobs={NAMESPACE}/{PROJECT}/{ground.folder}"):
        assert event == "job"
        assert (data["namespace"], data["job"]) == (NAMESPACE, ground.folder)
        answer = viewer.get(f"{base}/curves?jobs={ground.folder}&metrics={LOSS}")
        if not answer["curves"]:
            continue  # told of its log
        step, clock = newest(answer)
        if step > steps[-1]:
            steps.append(step)
            waited = min(waited, time.time() - clock)
        if len(steps) > 3:
            break
    print(f"a new point was seen {waited:.1f} s after it was made")
    assert waited < 10, "seconds after which a point that was made is seen"
    row, *others = viewer.get(f"{base}/jobs")["rows"]
    assert (row["job"], others) == (ground.folder, [])
    found = viewer.get(f"{base}/jobs/{ground.folder}")
    assert found["live"]["phase"] == "Running"
    assert found["spec"]["training"]["maxSteps"] == 100_000
    lines = viewer.get(f"{base}/jobs/{ground.folder}/log")["lines"]
    assert lines
    printed = harness.log(PROJECT).splitlines()
    assert [line["text"] for line in lines] == printed[: len(lines)]


def test_what_one_may_not_see_is_answered_as_what_does_not_exist(
    ground: Ground, viewer: Visitor
) -> None:
    insider = ground.visitor(OTHERS, "insider", "clusterrole=view")
    insider.get(f"/namespaces/{OTHERS}/projects/{HIDDEN_PROJECT}/jobs/{ground.hidden}")

    def answers(visitor: Visitor, namespace: str) -> list[tuple[int, bytes]]:
        project = f"/namespaces/{namespace}/projects/{HIDDEN_PROJECT}"
        chosen = f"jobs={ground.hidden}"
        job = f"{project}/jobs/{ground.hidden}"
        paths = [
            f"{project}/jobs", f"{project}/metrics?{chosen}", f"{project}/curves?{chosen}",
            f"{project}/differences?{chosen}", f"{project}/same-images?{chosen}",
            f"{project}/export.csv", f"{project}/export.json", job, f"{job}/log",
            f"{job}/log/search?q=a", f"{job}/log.txt", f"{job}/pictures",
            f"{job}/pictures/1/digit/1/0.png", f"{job}/manifest.yaml",
            f"/stream?jobs={namespace}/{HIDDEN_PROJECT}/{ground.hidden}",
            f"/stream?projects={namespace}/{HIDDEN_PROJECT}",
        ]  # fmt: skip
        return [visitor.ask(path) for path in paths]

    hidden = answers(viewer, OTHERS)
    assert {status for status, _ in hidden} == {404}
    assert hidden == answers(viewer, "of-nobody")
    assert {status for status, _ in answers(Visitor(ground.host), OTHERS)} == {401}
    seen = viewer.get("/overview")
    assert [each["name"] for each in seen["namespaces"]] == [NAMESPACE]
    assert "hidden" not in json.dumps(seen)


def test_a_log_is_for_those_who_may_read_the_logs_of_pods(harness: Harness, ground: Ground) -> None:
    harness.cluster.kubectl(
        "create", "role", "lists-jobs", "-n", NAMESPACE,
        "--verb=list", "--resource=trainingjobs.sihl.ai",
    )  # fmt: skip
    visitor = ground.visitor(NAMESPACE, "lists-jobs", "role=lists-jobs")
    job = f"/namespaces/{NAMESPACE}/projects/{PROJECT}/jobs/{ground.folder}"
    assert visitor.get(job)["job"] == ground.folder
    assert visitor.ask(f"{job}/log")[0] == 404


def test_its_keys_read_every_namespaces_records_and_write_none(harness: Harness) -> None:
    secret = harness.core.read_namespaced_secret("sihl-dashboard-stores", SYSTEM).data
    stores = json.loads(base64.b64decode(secret["stores.json"]))
    assert set(stores) == {NAMESPACE, OTHERS}
    for namespace, keys in stores.items():
        own = harness.store_of(namespace)
        own.put("reading/record", b"kept")
        reader = Store(
            own.endpoint, own.inside, keys["bucket"], keys["accessKeyId"], keys["secretAccessKey"]
        )
        assert keys["endpoint"] == own.inside
        assert reader.get("reading/record") == b"kept"
        assert reader.keys("reading/") == ["reading/record"]
        calls: dict[str, dict[str, Any]] = {
            "put_object": {"Key": "reading/record", "Body": b"changed"},
            "delete_object": {"Key": "reading/record"},
            "create_multipart_upload": {"Key": "reading/other"},
            "delete_bucket": {},
        }
        for call, arguments in calls.items():
            with pytest.raises(ClientError) as error:
                getattr(reader.client, call)(Bucket=reader.bucket, **arguments)
            assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403, call
        assert own.get("reading/record") == b"kept"


def test_its_network_policy_is_of_its_pod_and_of_ports_that_the_pod_has(harness: Harness) -> None:
    kubectl = harness.cluster.kubectl
    policy = json.loads(
        kubectl("get", "networkpolicy", "sihl-dashboard", "-n", SYSTEM, "-o", "json")
    )
    labels = policy["spec"]["podSelector"]["matchLabels"]
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    (pod,) = harness.core.list_namespaced_pod(SYSTEM, label_selector=selector).items
    assert pod.spec.service_account_name == "sihl-dashboard"
    ports = {port.name for container in pod.spec.containers for port in container.ports}
    assert {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]} == ports


def test_no_page_is_at_the_port_of_its_metrics_where_others_than_a_proxy_are_let_in(
    harness: Harness,
) -> None:
    (pod,) = harness.core.list_namespaced_pod(
        SYSTEM, label_selector="app.kubernetes.io/name=sihl-dashboard"
    ).items
    with urllib.request.urlopen(f"http://{pod.status.pod_ip}:9466/metrics", timeout=60) as answer:
        assert b"sihl_dashboard_requests_total" in answer.read()
    for path in ("/", "/api/v1/me"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://{pod.status.pod_ip}:9466{path}", timeout=60)


def test_who_may_edit_stops_a_job_and_who_may_view_does_not(
    harness: Harness, ground: Ground, viewer: Visitor
) -> None:
    path, wish = f"/namespaces/{NAMESPACE}/trainingjobs/{JOB}", {"suspend": True}
    status, _ = viewer.ask(path, "PATCH", wish)
    assert status in (403, 404)
    assert not harness.job(JOB)["spec"].get("suspend")
    editor = ground.visitor(NAMESPACE, "editor", "clusterrole=edit")
    status, data = editor.ask(path, "PATCH", wish)
    assert status == 200, data
    harness.wait(JOB, "Stopped")
