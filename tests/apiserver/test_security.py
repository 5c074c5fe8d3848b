"""What the operator may do, and what jobs may make of it, asked of a real API server."""

from __future__ import annotations

import asyncio
import copy
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes import client, config, utils
from kubernetes.client.exceptions import ApiException
from prometheus_client import generate_latest

from sihl_api.trainingjob import GROUP, PLURAL, VERSION
from sihl_operator.kube import ApiError, KubeApi
from sihl_operator.metrics import Metrics
from sihl_operator.pod import render_pod
from sihl_operator.settings import Settings
from sihl_operator.views import JobView
from sihl_operator.world import World
from tests.support.chart import render
from tests.support.kubelet import HandKubelet
from tests.support.operators import Process, Team, leading
from tests.support.waiting import eventually

SYSTEM, TEAM, OTHERS = "security-system", "security-team", "security-others"
Job = dict[str, Any]
Change = Callable[[Job], object]

# --- what the operator may do ----------------------------------------------------------------

OF_THE_CLUSTER = {
    ("", "pods", "list", ""),  # KubeApi.list_all
    ("", "pods", "watch", ""),  # KubeApi.watch
    ("", "nodes", "list", ""),  # KubeApi.list_all
    ("", "nodes", "watch", ""),  # KubeApi.watch
}
WHERE_SERVED = OF_THE_CLUSTER | {
    (GROUP, PLURAL, "list", ""),  # KubeApi.list_all
    (GROUP, PLURAL, "watch", ""),  # KubeApi.watch
    (GROUP, PLURAL, "get", ""),  # KubeApi.get_job
    (GROUP, PLURAL, "delete", ""),  # KubeApi.delete_job
    (GROUP, f"{PLURAL}/status", "patch", ""),  # KubeApi.patch_job_status
    ("", "pods", "get", ""),  # KubeApi.get_pod
    ("", "pods", "create", ""),  # KubeApi.create_pod
    ("", "pods", "delete", ""),  # KubeApi.delete_pod
    ("", "events", "create", ""),  # KubeApi.create_event
    ("", "events", "list", ""),  # KubeApi.events_of
}
AT_HOME = {
    ("coordination.k8s.io", "leases", "create", ""),  # KubeApi.lease
    ("coordination.k8s.io", "leases", "get", "sihl-operator"),
    ("coordination.k8s.io", "leases", "update", "sihl-operator"),
}

READ, WRITE = ("get", "list", "watch"), ("create", "update", "patch", "delete", "deletecollection")
FORBIDDEN: list[tuple[str, str, tuple[str, ...]]] = [
    ("*", "*", ("*",)),
    ("", "secrets", (*READ, *WRITE)),
    ("", "configmaps", (*READ, *WRITE)),
    ("", "serviceaccounts", (*READ, *WRITE, "impersonate")),
    ("", "serviceaccounts/token", ("create",)),
    ("", "users", ("impersonate",)),
    ("", "groups", ("impersonate",)),
    ("", "pods", ("update", "patch", "deletecollection")),
    ("", "pods/status", ("update", "patch")),
    ("", "pods/exec", ("get", "create")),
    ("", "pods/attach", ("get", "create")),
    ("", "pods/portforward", ("get", "create")),
    ("", "pods/proxy", ("get", "create")),
    ("", "pods/log", ("get",)),
    ("", "pods/binding", ("create",)),
    ("", "pods/eviction", ("create",)),
    ("", "pods/ephemeralcontainers", ("update", "patch")),
    ("", "nodes", ("get", *WRITE)),
    ("", "nodes/status", ("patch",)),
    ("", "nodes/proxy", ("get", "create")),
    ("", "namespaces", (*READ, *WRITE)),
    ("", "persistentvolumes", WRITE),
    ("", "events", ("get", "watch", "update", "patch", "delete")),
    (GROUP, PLURAL, ("create", "update", "patch", "deletecollection")),
    (GROUP, f"{PLURAL}/status", ("get", "update")),
    (GROUP, f"{PLURAL}/finalizers", ("update",)),
    ("apps", "deployments", (*READ, *WRITE)),
    ("batch", "jobs", (*READ, *WRITE)),
    ("coordination.k8s.io", "leases", ("list", "watch", "patch", "delete")),
    ("apiextensions.k8s.io", "customresourcedefinitions", (*READ, *WRITE)),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations", WRITE),
    ("rbac.authorization.k8s.io", "roles", (*WRITE, "bind", "escalate")),
    ("rbac.authorization.k8s.io", "rolebindings", WRITE),
    ("rbac.authorization.k8s.io", "clusterroles", (*WRITE, "bind", "escalate")),
    ("rbac.authorization.k8s.io", "clusterrolebindings", WRITE),
]


@pytest.fixture(scope="module")
def namespaces(api: client.ApiClient) -> Iterator[None]:
    """The operator's, and two that submit jobs and hold pods to the restricted standard."""
    core = client.CoreV1Api(api)
    enforced = {"pod-security.kubernetes.io/enforce": "restricted"}
    for name, labels in ((SYSTEM, {}), (TEAM, enforced), (OTHERS, enforced)):
        core.create_namespace({"metadata": {"name": name, "labels": labels}})
    core.create_namespaced_service_account(TEAM, {"metadata": {"name": "trainer"}})
    for name in (SYSTEM, TEAM, OTHERS):  # a controller makes the account of pods that name none
        eventually(partial(has_account, core, name), 60, 0.1)
    yield
    for name in (SYSTEM, TEAM, OTHERS):
        core.delete_namespace(name)


def has_account(core: client.CoreV1Api, namespace: str) -> bool:
    found = core.list_namespaced_service_account(namespace).items
    return any(each.metadata.name == "default" for each in found)


def client_of(api: client.ApiClient, account: str) -> client.ApiClient:
    """A client with the token of one of the system namespace's accounts."""
    review = client.CoreV1Api(api).create_namespaced_service_account_token(
        account, SYSTEM, {"spec": {"audiences": []}}
    )
    own = client.Configuration()
    own.host, own.ssl_ca_cert = api.configuration.host, api.configuration.ssl_ca_cert
    return client.ApiClient(own, "Authorization", f"Bearer {review.status.token}")


@contextmanager
def account_of_the_chart(
    api: client.ApiClient, name: str, values: Any = None
) -> Iterator[client.ApiClient]:
    """A client with the operator's own token, and all that the chart grants it."""
    kinds = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    made = [
        each
        for each in render(values, namespace=SYSTEM)
        if each["kind"] in kinds
        and each["metadata"]["labels"]["app.kubernetes.io/name"] == "sihl-operator"
    ]
    # Another name, for those that a cluster has once, where two accounts are there at once.
    made = json.loads(json.dumps(made).replace('"sihl-operator', f'"{name}'))
    for each in made:
        utils.create_from_dict(api, each)
    yield client_of(api, name)
    rbac = client.RbacAuthorizationV1Api(api)
    for each in made:
        if each["kind"] == "ClusterRole":
            rbac.delete_cluster_role(each["metadata"]["name"])
        if each["kind"] == "ClusterRoleBinding":
            rbac.delete_cluster_role_binding(each["metadata"]["name"])


@pytest.fixture(scope="module")
def operator(api: client.ApiClient, namespaces: None) -> Iterator[client.ApiClient]:
    with account_of_the_chart(api, "sihl-operator") as own:
        yield own


def granted(api: client.ApiClient, namespace: str) -> set[tuple[str, str, str, str]]:
    """(group, resource, verb, name) of what an account may do in a namespace, by the server."""
    review = client.AuthorizationV1Api(api).create_self_subject_rules_review(
        {"spec": {"namespace": namespace}}
    )
    return {
        (group, resource, verb, name)
        for rule in review.status.resource_rules
        for group in rule.api_groups or []
        for resource in rule.resources or []
        for verb in rule.verbs
        for name in rule.resource_names or [""]
    }


def test_the_operator_is_granted_what_it_does_and_nothing_more(
    api: client.ApiClient, operator: client.ApiClient
) -> None:
    anyone = granted(client_of(api, "default"), SYSTEM)
    assert granted(operator, SYSTEM) - anyone == WHERE_SERVED | AT_HOME
    assert granted(operator, TEAM) - anyone == WHERE_SERVED


def test_an_operator_of_some_namespaces_may_write_in_no_other(
    api: client.ApiClient, namespaces: None
) -> None:
    anyone = granted(client_of(api, "default"), SYSTEM)
    values = {"operator": {"settings": {"watchNamespaces": f"{TEAM}, kube-public"}}}
    with account_of_the_chart(api, "sihl-narrow", values) as narrow:
        assert granted(narrow, TEAM) - anyone == WHERE_SERVED
        assert granted(narrow, "kube-public") - anyone == WHERE_SERVED
        assert granted(narrow, OTHERS) - anyone == OF_THE_CLUSTER


def test_an_operator_of_some_namespaces_needs_no_right_beyond_them(
    api: client.ApiClient, kubeconfig: Path, namespaces: None, tmp_path: Path
) -> None:
    values = {"operator": {"settings": {"watchNamespaces": TEAM}}}
    own = tmp_path / "kubeconfig"
    with account_of_the_chart(api, "sihl-apart", values) as apart:
        given = yaml.safe_load(kubeconfig.read_text())
        token = apart.default_headers["Authorization"].removeprefix("Bearer ")
        given["users"][0]["user"] = {"token": token}
        own.write_text(yaml.safe_dump(given))
        lease = {"SIHL_OPERATOR_LEASE_NAMESPACE": SYSTEM, "SIHL_OPERATOR_LEASE_NAME": "sihl-apart"}
        here, there = Team(api, TEAM), Team(api, OTHERS)
        with leading(
            "apart", own, tmp_path / "log", SIHL_OPERATOR_WATCH_NAMESPACES=TEAM, **lease
        ) as process:
            for team in (there, here):
                team.submit("job")
            here.phase("job", "Queued")
            here.delete("job")
            here.submit("next")
            here.phase("next", "Queued")
            assert there.status("job") == {"observedGeneration": -1}  # the CRD's default
            assert process.ready()
        for team in (there, here):
            team.clear()
    assert "forbidden" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("namespace", ["", SYSTEM, TEAM, "kube-system"])
def test_what_could_hurt_others_is_denied_to_the_operator(
    operator: client.ApiClient, namespace: str
) -> None:
    reviews = client.AuthorizationV1Api(operator)

    def allowed(group: str, resource: str, verb: str) -> bool:
        kind, _, part = resource.partition("/")
        asked = {"namespace": namespace, "group": group, "resource": kind, "verb": verb}
        review = {"spec": {"resourceAttributes": {**asked, "subresource": part}}}
        return bool(reviews.create_self_subject_access_review(review).status.allowed)

    assert [
        f"{verb} {resource}.{group}"
        for group, resource, verbs in FORBIDDEN
        for verb in verbs
        if allowed(group, resource, verb)
    ] == []


def test_what_is_denied_is_refused_when_it_is_tried(operator: client.ApiClient) -> None:
    core, custom = client.CoreV1Api(operator), client.CustomObjectsApi(operator)
    rbac = client.RbacAuthorizationV1Api(operator)
    binding = {
        "metadata": {"name": "mine"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                    "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "sihl-operator", "namespace": SYSTEM}],
    }  # fmt: skip
    where = (GROUP, VERSION, TEAM, PLURAL, "any")
    tries: list[Callable[[], object]] = [
        lambda: core.read_namespaced_secret("sihl-store", TEAM),
        lambda: core.list_secret_for_all_namespaces(),
        lambda: core.patch_namespaced_pod("any", TEAM, {"metadata": {"labels": {"a": "b"}}}),
        lambda: core.connect_post_namespaced_pod_exec("any", TEAM, command=["sh"]),
        lambda: core.read_namespaced_pod_log("any", TEAM),
        lambda: custom.patch_namespaced_custom_object(*where, {"spec": {"suspend": True}}),
        lambda: custom.delete_collection_namespaced_custom_object(*where[:-1]),
        lambda: rbac.create_cluster_role_binding(binding),
        lambda: rbac.create_namespaced_role_binding(TEAM, binding),
        lambda: core.create_namespaced_service_account_token("default", TEAM, {"spec": {}}),
    ]
    for attempt in tries:
        with pytest.raises(ApiException) as refusal:
            attempt()
        assert refusal.value.status == 403


# --- what a job can make of its pod ----------------------------------------------------------

GOOD: Job = {
    "apiVersion": f"{GROUP}/{VERSION}",
    "kind": "TrainingJob",
    "metadata": {"name": "job"},
    "spec": {
        "project": "cells",
        "dataset": {"train": {"endpoint": "https://s3.example.com", "bucket": "cells"}},
        "model": {"heads": [{"name": "kind", "task": "MulticlassClassification"}]},
    },
}


class Users:
    """What users of the team's namespace submit; nothing of it stays."""

    def __init__(self, api: client.ApiClient) -> None:
        self._custom = client.CustomObjectsApi(api)

    def submit(self, job: Job, validation: str = "Strict") -> JobView:
        """A job as the API server would store it."""
        return JobView(
            self._custom.create_namespaced_custom_object(
                GROUP, VERSION, TEAM, PLURAL, job, dry_run="All", field_validation=validation
            )
        )

    def with_status(self, job: Job, status: Job) -> Job | None:
        """A job with a status as the API server stores it; None where it refuses the status."""
        where = (GROUP, VERSION, TEAM, PLURAL)
        self._custom.create_namespaced_custom_object(*where, job)
        name = job["metadata"]["name"]
        try:
            stored: Job = self._custom.patch_namespaced_custom_object_status(
                *where, name, {"status": status}
            )
        except ApiException as error:
            assert error.status in (400, 422)
            return None
        finally:
            self._custom.delete_namespaced_custom_object(*where, name)
        return stored

    def admitted(self, job: JobView, change: Change = lambda _: None) -> Job:
        """The pod of a job as the API server would store it, asked as the operator asks."""
        pod = render_pod(job, 1, job.queue, Settings())
        change(pod["spec"])
        path = f"/api/v1/namespaces/{job.namespace}/pods"

        async def ask() -> Job:
            async with KubeApi(lambda *_: None) as api:
                return await api._call("POST", path, pod, query={"dryRun": "All"})

        return asyncio.run(ask())

    def refusal(self, job: Job) -> str:
        """What the API server says of a job that it does not take."""
        with pytest.raises(ApiException) as refusal:
            self.submit(job)
        assert refusal.value.status in (400, 422)
        return str(json.loads(refusal.value.body)["message"])


@pytest.fixture(scope="module")
def users(api: client.ApiClient, namespaces: None, kubeconfig: Path) -> Iterator[Users]:
    with pytest.MonkeyPatch.context() as patch:  # read when the client was imported
        patch.setattr(config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
        yield Users(api)


def changed(change: Change) -> Job:
    job = copy.deepcopy(GOOD)
    change(job)
    return job


def with_runner(**runner: Any) -> Job:
    return changed(lambda job: job["spec"].update(runner=runner))


NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
FOLDERS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=60).filter(
    lambda text: not re.search(r"//|(^|/)[.][.]?(/|$)", text)
)
LOCATIONS = st.fixed_dictionaries(
    {"endpoint": st.just("https://s3.example.com"), "bucket": st.just("cells")},
    optional={"prefix": FOLDERS, "credentials": st.fixed_dictionaries({"secretName": NAMES})},
)
TOLERATIONS = [
    {"operator": "Exists"},
    {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"},
    {"key": "gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60},
]
AFFINITIES: list[Job] = [
    {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}}},
    {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "kubernetes.io/hostname", "namespaceSelector": {},
         "labelSelector": {"matchLabels": {"app": "x"}}}]}},
]  # fmt: skip
IMAGES = ["trainer", "r.example:5000/a/b:c", "localhost/x", f"a@sha256:{'0' * 64}"]
RUNNERS = st.fixed_dictionaries(
    {},
    optional={
        "gpus": st.sampled_from([0, 1, 2, 4, 8]),
        "resources": st.fixed_dictionaries(
            {},
            optional={
                "limits": st.sampled_from([{"cpu": 2, "memory": "3Gi"}, {"memory": "2.5G"}]),
                "requests": st.sampled_from([{"cpu": "500m"}, {"cpu": 1, "memory": "1Gi"}]),
            },
        ),
        "nodeSelector": st.dictionaries(NAMES, NAMES, max_size=3),
        "tolerations": st.lists(st.sampled_from(TOLERATIONS), max_size=3),
        "affinity": st.sampled_from(AFFINITIES),
        "serviceAccountName": st.sampled_from(["default", "trainer"]),
        "priorityClassName": st.just("system-cluster-critical"),
        "image": st.sampled_from(IMAGES),
        "datasetSize": st.sampled_from(["1Gi", "1.5T", "2000"]),
        "stopGracePeriod": st.sampled_from(["10s", "5m", "1h30m"]),
    },
)
JOBS = st.fixed_dictionaries(
    {
        "project": NAMES,
        "dataset": st.fixed_dictionaries({"train": LOCATIONS}, optional={"validation": LOCATIONS}),
        "model": st.just(GOOD["spec"]["model"]),
        "runner": RUNNERS,
    }
)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(spec=JOBS)
def test_the_pod_of_any_job_passes_the_restricted_standard_in_the_jobs_namespace(
    users: Users, spec: Job
) -> None:
    pod = users.admitted(users.submit({**GOOD, "spec": spec}))
    assert pod["metadata"]["namespace"] == TEAM
    assert pod["spec"]["automountServiceAccountToken"] is False
    kinds = {kind for each in pod["spec"]["volumes"] for kind in each if kind != "name"}
    assert kinds == {"emptyDir", "secret"}


def test_the_standard_is_enforced_where_these_tests_ask(users: Users) -> None:
    job = users.submit(GOOD)
    for change in (
        lambda spec: spec.update(hostNetwork=True),
        lambda spec: spec["volumes"].append({"name": "root", "hostPath": {"path": "/"}}),
        lambda spec: spec["containers"][0].update(securityContext={"privileged": True}),
    ):
        with pytest.raises(ApiError, match="violates PodSecurity"):
            users.admitted(job, change)


RUNNER_FIELDS: dict[str, Any] = {
    "privileged": True,
    "hostNetwork": True,
    "hostPID": True,
    "hostIPC": True,
    "hostUsers": True,
    "hostAliases": [{"ip": "127.0.0.1", "hostnames": ["s3"]}],
    "securityContext": {"runAsUser": 0},
    "podSecurityContext": {"runAsUser": 0},
    "volumes": [{"name": "root", "hostPath": {"path": "/"}}],
    "volumeMounts": [{"name": "root", "mountPath": "/host"}],
    "envFrom": [{"secretRef": {"name": "other"}}],
    "command": ["sh", "-c", "id"],
    "args": ["-c", "id"],
    "lifecycle": {"postStart": {"exec": {"command": ["id"]}}},
    "containers": [{"name": "x", "image": "x"}],
    "initContainers": [{"name": "x", "image": "x"}],
    "podTemplate": {"spec": {"hostNetwork": True}},
    "automountServiceAccountToken": True,
    "serviceAccount": "admin",
    "nodeName": "node-1",
    "namespace": "kube-system",
    "shareProcessNamespace": True,
}


@pytest.mark.parametrize("field", RUNNER_FIELDS)
def test_a_field_that_is_none_of_the_runners_is_refused_or_never_stored(
    users: Users, field: str
) -> None:
    hostile = with_runner(**{field: RUNNER_FIELDS[field]})
    assert f'unknown field "spec.runner.{field}"' in users.refusal(hostile)
    stored = users.submit(hostile, validation="Ignore")
    assert stored.spec == users.submit(GOOD).spec


def test_a_variable_is_no_way_to_a_secret(users: Users) -> None:
    source = {"secretKeyRef": {"name": "other", "key": "token"}}
    hostile = with_runner(env=[{"name": "X", "value": "", "valueFrom": source}])
    assert 'unknown field "spec.runner.env[0].valueFrom"' in users.refusal(hostile)
    stored = users.submit(hostile, validation="Ignore")
    assert stored.runner["env"] == [{"name": "X", "value": ""}]


def test_what_is_no_affinity_is_refused_or_never_stored(users: Users) -> None:
    more = {"hostNetwork": True, "containers": [{"name": "x"}], "podAffinity": {"privileged": True}}
    hostile = with_runner(affinity={**AFFINITIES[0], **more})
    for field in ("hostNetwork", "containers", "podAffinity.privileged"):
        assert f'unknown field "spec.runner.affinity.{field}"' in users.refusal(hostile)
    stored = users.submit(hostile, validation="Ignore")
    assert stored.runner["affinity"] == {**AFFINITIES[0], "podAffinity": {}}


# --- names that mean harm --------------------------------------------------------------------

HOSTILE = [
    "../x", "a/b", "a\nb", "ab\n", "a\0b", "x" * 1024, "größe", "$(SIHL_JOB)", "a;reboot", "a b",
]  # fmt: skip
FIELDS: dict[str, Callable[[str], Change]] = {
    "metadata.name": lambda text: lambda job: job["metadata"].update(name=text),
    "spec.project": lambda text: lambda job: job["spec"].update(project=text),
    "spec.model.heads[0].name": lambda text: (
        lambda job: job["spec"]["model"]["heads"][0].update(name=text)
    ),
    "spec.dataset.train.bucket": lambda text: (
        lambda job: job["spec"]["dataset"]["train"].update(bucket=text)
    ),
}


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:20])
@pytest.mark.parametrize("field", FIELDS)
def test_a_hostile_name_is_refused_by_its_field(users: Users, field: str, text: str) -> None:
    assert field in users.refusal(changed(FIELDS[field](text)))


@pytest.mark.parametrize(
    "text",
    [
        "a\nb",
        " a",
        "a ",
        "a\tb",
        "x" * 1024,
        "",
        "$(SIHL_JOB)",
        "a;reboot",
        "`id`",
        "../../x",
        "größe",
    ],
)
def test_an_image_that_is_none_is_refused_by_its_field(users: Users, text: str) -> None:
    assert "spec.runner.image" in users.refusal(with_runner(image=text))


@pytest.mark.parametrize(
    "text", ["s3", "file:///etc/passwd", "http://a b", "http://a/b/../c", "http://a\n", "x" * 1024]
)
def test_an_endpoint_that_is_none_is_refused_by_its_field(users: Users, text: str) -> None:
    job = changed(lambda job: job["spec"]["dataset"]["train"].update(endpoint=text))
    assert "spec.dataset.train.endpoint" in users.refusal(job)


QUANTITIES: list[Any] = [
    -1,
    "lots",
    "NaN",
    "Infinity",
    "1e999999999",
    "-1",
    "1 Gi",
    "",
    "0x10",
    "1" * 1000,
]


@pytest.mark.parametrize("amount", QUANTITIES, ids=lambda amount: ascii(amount)[:12])
@pytest.mark.parametrize("part", ["limits", "requests"])
def test_an_amount_that_is_none_is_refused_by_its_field(
    users: Users, part: str, amount: Any
) -> None:
    job = with_runner(resources={part: {"cpu": amount}})
    assert f"spec.runner.resources.{part}" in users.refusal(job)


def test_a_grace_period_that_no_pod_can_have_is_refused_by_its_field(users: Users) -> None:
    assert "spec.runner.stopGracePeriod" in users.refusal(
        with_runner(stopGracePeriod="9" * 17 + "h")
    )


# --- one user's jobs, and the others' --------------------------------------------------------

NONSENSE: dict[str, Any] = {
    "text-as-cpu": {"resources": {"limits": {"cpu": "lots"}}},
    "endless-memory": {"resources": {"requests": {"memory": "Infinity"}}},
    "text-as-affinity": {"affinity": {"nodeAffinity": "any"}},
    "empty-expression": {"affinity": {"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{}]}]}}}},
    "another-namespaces-account": {"serviceAccountName": "kube-system/default"},
    "no-such-class": {"priorityClassName": "none"},
    "no-selector": {"nodeSelector": {"a b": "c\n"}},
    "no-image": {"image": "$(SIHL_JOB)"},
    "grace-without-end": {"stopGracePeriod": "99999999999999999h"},
}  # fmt: skip


@contextmanager
def serving(api: client.ApiClient, kubeconfig: Path, log: Path) -> Iterator[Process]:
    """The operator and a node; the jobs of both namespaces are gone afterwards."""
    try:
        with (
            leading("security", kubeconfig, log) as process,
            HandKubelet(api, {"security-node": 4}),
        ):
            yield process
    finally:
        custom = client.CustomObjectsApi(api)
        for namespace in (TEAM, OTHERS):
            custom.delete_collection_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL)


def submit(
    api: client.ApiClient, namespace: str, name: str, queue: str, runner: dict[str, Any]
) -> None:
    """Submit a job; one that is refused does no harm."""
    job = with_runner(**runner)
    job["metadata"] = {"name": name, "annotations": {f"{GROUP}/queue": queue}}
    try:
        client.CustomObjectsApi(api).create_namespaced_custom_object(
            GROUP, VERSION, namespace, PLURAL, job
        )
    except ApiException as error:
        assert error.status in (400, 422)


def test_whatever_one_user_submits_the_jobs_of_the_others_start(
    api: client.ApiClient, kubeconfig: Path, namespaces: None, tmp_path: Path
) -> None:
    for name, runner in NONSENSE.items():
        submit(api, TEAM, name, name, runner)
    for number, queue in enumerate(HOSTILE):
        submit(api, TEAM, f"queue-{number}", queue, {"gpus": 0})
    with serving(api, kubeconfig, tmp_path / "log") as process:
        submit(api, OTHERS, "good", "good", {"gpus": 1})
        eventually(lambda: client.CoreV1Api(api).list_namespaced_pod(OTHERS).items, 30, 0.1)
        assert process.ready()


@pytest.mark.parametrize(
    "time",
    ["2027-01-15t08:00:00z", "2027-01-15T08:00:00+99:99", "2027-01-15T08:00:00x5Z",
     "0000-01-01T00:00:00Z", "2027-01-15T08:00:00.123456789123Z"],
)  # fmt: skip
def test_whatever_is_stored_as_a_time_metrics_are_told(users: Users, time: str) -> None:
    checkpoint = {"step": 1, "uri": "s3://b/c", "savedAt": time}
    job = {**GOOD, "metadata": {"name": "timed"}}
    stored = users.with_status(job, {"phase": "Running", "attempt": 1, "checkpoint": checkpoint})
    if stored is None:
        return  # refused: harmless
    world = World()
    world.saw_job(stored)
    assert b"sihl_jobs" in generate_latest(Metrics(world).registry)


def test_a_pod_that_bears_our_labels_wrongly_is_passed_over(
    api: client.ApiClient, kubeconfig: Path, users: Users, tmp_path: Path
) -> None:
    core = client.CoreV1Api(api)
    forged = render_pod(users.submit(GOOD), 1, "forged", Settings())
    labels = {**forged["metadata"]["labels"], "sihl.ai/attempt": "first"}
    forged["metadata"] = {"name": "forged", "labels": labels}
    core.create_namespaced_pod(TEAM, forged)
    try:
        with serving(api, kubeconfig, tmp_path / "log") as process:
            eventually(process.ready, 30, 0.1)
            eventually(process.alive, 60, 0.1)
    finally:
        core.delete_namespaced_pod("forged", TEAM, grace_period_seconds=0)
