from __future__ import annotations

import json
from typing import Any

import pytest

from sihl_api.runtime import DATASET_KEYS, STORE_KEYS, Env, JobReference
from sihl_operator.pod import demand, render_pod
from sihl_operator.settings import Settings
from sihl_operator.views import pod_requests
from tests.support.objects import SPEC, Raw, job

VALIDATION = {**SPEC["dataset"], "validation": {"endpoint": "http://s3", "bucket": "held-out"}}


def rendered(settings: Settings | None = None, **spec: Any) -> dict[str, Any]:
    return render_pod(job(**spec), 3, "cells", settings or Settings())


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]


def test_the_pod_is_named_after_its_queue_and_labelled_with_job_and_attempt() -> None:
    metadata = rendered()["metadata"]
    assert metadata["name"] == "cells-runner"
    assert metadata["labels"]["sihl.ai/job-uid"] == "uid-job"
    assert metadata["labels"]["sihl.ai/attempt"] == "3"
    assert metadata["ownerReferences"][0]["uid"] == "uid-job"


def test_each_dataset_has_its_own_fetch() -> None:
    assert [c["name"] for c in rendered()["spec"]["initContainers"]] == ["fetch-train"]
    both = rendered(dataset=VALIDATION)["spec"]["initContainers"]
    assert [c["command"] for c in both] == [
        ["sihl-trainer", "fetch", "train"],
        ["sihl-trainer", "fetch", "validation"],
    ]


def test_secrets_go_by_reference_and_only_where_they_are_needed() -> None:
    dataset = {**SPEC["dataset"], "validation": SPEC["dataset"]["train"]}
    first, second, trainer = (
        {e["name"] for e in c["env"] if "secretKeyRef" in e.get("valueFrom", {})}
        for c in containers(rendered(dataset=dataset))
    )
    # The first sees whether the record can be written before it fetches anything.
    assert first == second | trainer
    assert second == {Env.dataset(key) for key in DATASET_KEYS}
    assert trainer == {Env.store(key) for key in STORE_KEYS}


def test_each_container_has_the_files_of_the_secrets_that_it_needs_and_no_others() -> None:
    other = {"endpoint": "http://s3", "bucket": "held-out", "credentials": {"secretName": "other"}}
    pod = rendered(dataset={**SPEC["dataset"], "validation": other})
    secrets = {
        v["name"]: v["secret"]["secretName"] for v in pod["spec"]["volumes"] if "secret" in v
    }
    found = {}
    for container in containers(pod):
        mounts = {m["mountPath"]: m for m in container["volumeMounts"] if m["name"] in secrets}
        env = {e["name"]: e.get("value") for e in container["env"]}
        told = {env.get(Env.STORE_FILES), env.get(Env.DATASET_FILES)} - {None}
        assert told == set(mounts)
        assert not any("subPath" in m for m in mounts.values())  # which never follows its Secret
        found[container["name"]] = {secrets[m["name"]] for m in mounts.values()}
    assert found == {
        "fetch-train": {"sihl-store", "keys"},
        "fetch-validation": {"other"},
        "trainer": {"sihl-store"},
    }


def test_the_pod_passes_the_restricted_pod_security_standard() -> None:
    pod = rendered(dataset=VALIDATION)
    security = pod["spec"]["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["spec"]["automountServiceAccountToken"] is False
    for container in containers(pod):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    kinds = {kind for volume in pod["spec"]["volumes"] for kind in volume} - {"name"}
    assert kinds == {"emptyDir", "secret"}


def test_no_user_is_named_where_the_cluster_assigns_one_and_libraries_still_find_a_name() -> None:
    pod = rendered(Settings(runner_user=None))
    security = pod["spec"]["securityContext"]
    assert set(security) == {"runAsNonRoot", "seccompProfile"}
    for container in containers(pod):
        assert {"name": "USER", "value": "sihl"} in container["env"]


def test_a_runtime_class_is_the_jobs_or_the_platforms() -> None:
    platform = Settings(default_runtime_class="gvisor")
    assert rendered(platform)["spec"]["runtimeClassName"] == "gvisor"
    own = rendered(platform, runner={"runtimeClassName": "kata"})
    assert own["spec"]["runtimeClassName"] == "kata"
    assert "runtimeClassName" not in rendered()["spec"]


def as_account(**said: Any) -> Raw:
    """A dataset that is read as the pod's service account."""
    train = {**SPEC["dataset"]["train"], "credentials": {"serviceAccount": True, **said}}
    return {"dataset": {"train": train}}


def tokens(pod: dict[str, Any]) -> Raw:
    """By container, where it has a token and for whom that is made out."""
    volumes = {v["name"]: v["projected"]["sources"] for v in pod["spec"]["volumes"]
               if "projected" in v}  # fmt: skip
    found: Raw = {}
    for container in containers(pod):
        env = {e["name"]: e.get("value") for e in container["env"]}
        for mount in container["volumeMounts"]:
            if mount["name"] in volumes:
                (source,) = volumes[mount["name"]]
                assert mount["readOnly"] is True
                path = f"{mount['mountPath']}/{source['serviceAccountToken']['path']}"
                (variable,) = (name for name, value in env.items() if value == path)
                told = (variable, source["serviceAccountToken"]["audience"])
                found.setdefault(container["name"], []).append(told)
    return found


def test_a_token_is_made_out_only_for_whom_it_is_asked_and_never_for_kubernetes_api() -> None:
    assert tokens(rendered()) == {}
    assert tokens(rendered(**as_account())) == {}, "a cloud's webhook gives it"
    role = "arn:aws:iam::1:role/a"
    assert tokens(rendered(**as_account(roleArn=role))) == {
        "fetch-train": [(Env.DATASET_IDENTITY, "sts.amazonaws.com")]
    }
    both = rendered(Settings(store_token_audience="minio"), **as_account(audience="sts"))
    assert tokens(both) == {
        "fetch-train": [(Env.DATASET_IDENTITY, "sts"), (Env.STORE_IDENTITY, "minio")],
        "trainer": [(Env.STORE_IDENTITY, "minio")],
    }
    for pod in (rendered(), both):
        assert pod["spec"]["automountServiceAccountToken"] is False


def test_without_a_secret_none_is_mounted_for_the_dataset() -> None:
    pod = rendered(**as_account())
    assert [v["name"] for v in pod["spec"]["volumes"] if "secret" in v] == ["store"]
    names = {e["name"] for e in pod["spec"]["initContainers"][0]["env"]}
    assert not any(name.startswith("SIHL_DATASET_") for name in names)


def test_the_service_account_is_the_jobs_or_the_platforms() -> None:
    usual = Settings(default_service_account="runner")
    assert "serviceAccountName" not in rendered()["spec"]
    assert rendered(usual)["spec"]["serviceAccountName"] == "runner"
    runner = {**SPEC["runner"], "serviceAccountName": "mine"}
    assert rendered(usual, runner=runner)["spec"]["serviceAccountName"] == "mine"


def test_what_is_said_of_a_namespace_counts_there_before_what_is_said_of_all() -> None:
    for namespace, account, audience in (("team", "own", "sts"), ("other", "runner", "minio")):
        settings = Settings(
            default_service_account="runner",
            service_accounts={namespace: "own"},
            store_token_audience="minio",
            store_token_audiences={namespace: "sts"},
        )
        pod = rendered(settings)
        assert pod["spec"]["serviceAccountName"] == account
        assert tokens(pod)["trainer"] == [(Env.STORE_IDENTITY, audience)]


def test_a_stop_has_the_jobs_grace_and_asks_for_a_checkpoint_first() -> None:
    pod = rendered()
    assert pod["spec"]["terminationGracePeriodSeconds"] == 60
    hook = pod["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]
    assert hook["command"] == ["sihl-trainer", "stop"]


def test_the_pod_is_told_its_job() -> None:
    env = {e["name"]: e.get("value") for e in containers(rendered())[0]["env"]}
    reference = JobReference.model_validate_json(env["SIHL_JOB"])
    assert (reference.namespace, reference.name, reference.uid) == ("team", "job", "uid-job")
    assert reference.created_at == "2027-01-15T08:00:00Z"
    assert json.loads(env["SIHL_JOB"])["spec"]["project"] == "cells"


OF_ITS_OWN: Raw = {
    "labels": {"kueue.x-k8s.io/queue-name": "gpus"},
    "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
    "env": [{"name": "NCCL_DEBUG", "value": "$(HOME) $$"}],
    "runtimeClassName": "nvidia",
    "schedulerName": "volcano",
    "imagePullSecrets": [{"name": "team"}, {"name": "both"}],
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
         "labelSelector": {"matchLabels": {"team": "a"}}}
    ],
}  # fmt: skip


def test_what_the_job_says_of_its_pod_is_taken_over() -> None:
    settings = Settings(image_pull_secrets=("both", "platform"))
    pod = rendered(settings, runner={**SPEC["runner"], **OF_ITS_OWN})
    usual = rendered(settings)
    for part in ("labels", "annotations"):
        assert pod["metadata"][part] == {**OF_ITS_OWN[part], **usual["metadata"][part]}
    for field in ("runtimeClassName", "schedulerName", "topologySpreadConstraints"):
        assert pod["spec"][field] == OF_ITS_OWN[field]
        assert field not in usual["spec"]
    assert [each["name"] for each in pod["spec"]["imagePullSecrets"]] == [
        "team",
        "both",
        "platform",
    ]
    for container in containers(pod):
        # Kubernetes would put in HOME's value, and make one dollar of two.
        assert {"name": "NCCL_DEBUG", "value": "$$(HOME) $$$$"} in container["env"]


def test_what_is_ours_stays_ours_whatever_a_job_that_passed_another_crd_says() -> None:
    theirs = {
        "labels": dict.fromkeys(rendered()["metadata"]["labels"], "theirs"),
        "annotations": dict.fromkeys(rendered()["metadata"]["annotations"], "theirs"),
        "env": [
            {"name": each["name"], "value": "theirs"}
            for container in containers(rendered())
            for each in container["env"]
        ],
    }
    pod = rendered(runner={**SPEC["runner"], **theirs})
    assert pod["metadata"] == rendered()["metadata"]
    for given, usual in zip(containers(pod), containers(rendered()), strict=True):
        told = {each["name"]: each for each in given["env"] if each["name"] != "SIHL_JOB"}
        assert told == {**told, **{e["name"]: e for e in usual["env"] if e["name"] != "SIHL_JOB"}}


@pytest.mark.parametrize("gpus", [0, 1, 4])
def test_room_is_counted_as_the_scheduler_will_count_it(gpus: int) -> None:
    spec: Raw = {"runner": {"gpus": gpus, "resources": {"limits": {"cpu": "2"}, "requests": {}}}}
    pod = rendered(**spec)
    assert pod_requests(pod["spec"]) == demand(job(**spec), Settings()).requests
    limits = pod["spec"]["containers"][0]["resources"]["limits"]
    assert limits.get("nvidia.com/gpu") == (str(gpus) if gpus else None)


def test_kubectl_logs_shows_the_trainer_unless_it_is_asked_for_another() -> None:
    pod = rendered()
    default = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"]
    assert [each["name"] for each in pod["spec"]["containers"]] == [default]


def test_a_spec_near_the_api_servers_limit_reaches_the_container() -> None:
    names = [f"node-{number:04}.{'x' * 50}" for number in range(100)]
    expression = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": names}
    term = {"matchExpressions": [expression] * 20}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term] * 9}}
    selector = {f"label-{number}": "x" * 60 for number in range(20)}
    runner = {**SPEC["runner"], "nodeSelector": selector, "affinity": {"nodeAffinity": required}}
    pod = rendered(runner=runner)
    assert len(json.dumps(pod)) > 1_000_000
    (text,) = {e["value"] for c in containers(pod) for e in c["env"] if e["name"] == "SIHL_JOB"}
    assert len(text.encode()) < 128 * 1024
    reference = JobReference.model_validate_json(text)
    assert reference.spec.runner.node_selector == selector, "only what is too long is left out"
    assert reference.spec.dataset == JobReference.model_validate_json(environment()).spec.dataset


def environment() -> str:
    return str({e["name"]: e.get("value") for e in containers(rendered())[0]["env"]}["SIHL_JOB"])
