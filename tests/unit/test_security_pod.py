"""What the author of a job can put into its pod, and what not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sihl_api.crd import custom_resource_definition
from sihl_api.runtime import STORE_SECRET, Env, JobReference
from sihl_operator.pod import render_pod
from sihl_operator.queues import queue_fault
from sihl_operator.settings import Settings
from sihl_operator.views import JobView
from tests.support.objects import SPEC, Raw, job

REFERENCE = re.compile(r"\$(?:\$|\(([^)]*)\))")
HOST = "KUBERNETES_SERVICE_HOST"  # the kubelet gives it to every container

PIECES = st.sampled_from(
    ["$", "$$", "(", ")", Env.ATTEMPT, Env.store("secretAccessKey"), HOST, "x"]
)
DOLLARS = st.lists(PIECES, min_size=1, max_size=8).map("".join)
WORDS = DOLLARS | st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=40)
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)


def containers(pod: Raw) -> list[Raw]:
    return [*pod["spec"]["initContainers"], *pod["spec"]["containers"]]


def rendered(prefix: str = "", image: str = "", secret: str = "keys", **more: Any) -> Raw:
    train = {**SPEC["dataset"]["train"], "prefix": prefix, "credentials": {"secretName": secret}}
    settings = Settings(trainer_image=image) if image else Settings()
    runner = {**SPEC["runner"], **more}
    return render_pod(job(dataset={"train": train}, runner=runner), 1, "cells", settings)


def seen_by(container: Raw) -> dict[str, str]:
    """A container's variables as the kubelet makes them: `$(NAME)` stands for what came before."""
    known = {HOST: "10.96.0.1"}
    for each in container["env"]:
        known[each["name"]] = REFERENCE.sub(
            lambda found: "$" if found[0] == "$$" else known.get(found[1], found[0]),
            each.get("value", "a secret's value, or a field's"),
        )
    return known


@pytest.mark.parametrize("text", [f"$({HOST})", f"$({Env.ATTEMPT})", "$$", "$$(x)", "100$", "$("])
def test_a_dollar_sign_of_a_job_reaches_the_trainer_as_it_is(text: str) -> None:
    for container in containers(rendered(prefix=text, image=text)):
        given_job = JobReference.model_validate_json(seen_by(container)[Env.JOB])
        assert given_job.spec.dataset.train.prefix == text
        assert seen_by(container)[Env.IMAGE] == text


@given(prefix=WORDS, image=DOLLARS)
def test_nothing_that_a_job_says_is_expanded_to_a_variables_value(prefix: str, image: str) -> None:
    for container in containers(rendered(prefix, image)):
        given_job = JobReference.model_validate_json(seen_by(container)[Env.JOB])
        assert given_job.spec.dataset.train.prefix == prefix
        assert seen_by(container)[Env.IMAGE] == image


@given(prefix=WORDS, image=DOLLARS)
def test_no_command_has_a_word_of_the_job(prefix: str, image: str) -> None:
    fetch, trainer = containers(rendered(prefix, image))
    assert fetch["command"] == ["sihl-trainer", "fetch", "train"]
    assert trainer["command"] == ["sihl-trainer", "train"]
    assert not {"args", "workingDir", "envFrom"} & (set(fetch) | set(trainer))


@given(secret=NAMES)
def test_a_container_sees_the_jobs_own_secret_or_the_stores_and_by_reference(secret: str) -> None:
    pod = rendered(secret=secret)
    assert pod["metadata"]["namespace"] == "team"  # a reference means the pod's own namespace
    # The first container sees whether the record can be written, before it fetches for nothing.
    names = ({secret, STORE_SECRET}, {STORE_SECRET})
    for container, seen in zip(containers(pod), names, strict=True):
        sources = [each["valueFrom"] for each in container["env"] if "valueFrom" in each]
        references = [each["secretKeyRef"] for each in sources if "secretKeyRef" in each]
        assert {each["name"] for each in references} == seen
        assert all(set(each) <= {"name", "key", "optional"} for each in references)
        assert all(set(each) <= {"secretKeyRef", "fieldRef"} for each in sources)
    volumes = pod["spec"]["volumes"]
    assert all(set(volume) in ({"name", "emptyDir"}, {"name", "secret"}) for volume in volumes)
    mounted = {volume["secret"]["secretName"] for volume in volumes if "secret" in volume}
    assert mounted == {secret, STORE_SECRET}


def test_labels_and_annotations_of_a_job_are_not_the_pods() -> None:
    raw = {**job().raw}
    raw["metadata"] = {
        **raw["metadata"],
        "labels": {"app.kubernetes.io/name": "other", "admin": "yes"},
        "annotations": {"container.apparmor.security.beta.kubernetes.io/trainer": "unconfined"},
    }
    metadata = render_pod(JobView(raw), 1, "cells", Settings())["metadata"]
    assert metadata == render_pod(job(), 1, "cells", Settings())["metadata"]


def test_a_fixed_list_of_fields_makes_up_the_pod_whatever_the_runner_says() -> None:
    affinity: Raw = {"nodeAffinity": {}}
    spec = rendered(affinity=affinity, serviceAccountName="other", priorityClassName="high")["spec"]
    where = spec.pop("affinity")
    assert {**where, "nodeAffinity": {}} == affinity
    assert set(spec) == {
        "restartPolicy", "automountServiceAccountToken", "enableServiceLinks", "securityContext",
        "terminationGracePeriodSeconds", "initContainers", "containers", "volumes",
        "serviceAccountName", "priorityClassName", "os", "tolerations",
    }  # fmt: skip
    assert spec["automountServiceAccountToken"] is False


def schema_fields(schema: Raw, path: str) -> Iterator[tuple[str, Raw]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from schema_fields(child, f"{path}.{name}")
    for part in ("items", "additionalProperties"):
        if part in schema:
            yield from schema_fields(schema[part], f"{path}[]")


def test_no_field_of_a_job_names_a_namespace_or_takes_anything() -> None:
    version = custom_resource_definition()["spec"]["versions"][0]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    fields = dict(schema_fields(spec, "spec"))
    named = [path for path in fields if "namespace" in path.lower()]
    assert {path.split(".")[3] for path in named} == {"podAffinity", "podAntiAffinity"}
    assert not [p for p, each in fields.items() if "x-kubernetes-preserve-unknown-fields" in each]


@pytest.mark.parametrize(
    "queue",
    [
        "../x",
        "a/b",
        "a\nb",
        "cells\n",
        "\ncells",
        "x" * 1024,
        "größe",
        "$(X)",
        "a;reboot",
        "a b",
        "-",
    ],
)
def test_a_queue_that_could_name_no_pod_is_refused_and_the_message_stays_short(queue: str) -> None:
    fault = queue_fault(queue)
    assert fault is not None
    assert len(fault) < 500
    assert "\n" not in fault


@given(st.text(max_size=60) | NAMES.map(lambda name: f"{name}\n"))
def test_what_is_taken_as_a_queue_can_name_a_pod(queue: str) -> None:
    label = re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,48}[a-z0-9])?", queue)
    assert (queue_fault(queue) is None) == (label is not None)
