"""Random specs, edits and mistakes on a real API server: valid, then not, then valid again.

After Acto (Gu et al., SOSP 2023): whatever way led to a spec, the operator makes the same of it.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from sihl_api.trainingjob import API_VERSION, GROUP, KIND, PLURAL, VERSION, TrainingJobSpec
from sihl_api.units import seconds
from tests.support.kubelet import HandKubelet
from tests.support.operators import leading
from tests.support.specs import Spec, Specs
from tests.support.waiting import eventually

JOBS = 150
AT_ONCE = 8
_LOOKED_AT_SECONDS = 600
"""What is given up sooner looks different from one moment to the next."""
_ELSEWHERE = ("CheckpointSaved", "Finished", "DatasetReady")
"""Conditions that tell of earlier days; of a pod that no kubelet takes up, others after seconds."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
PLENTY = {"cpu": "1M", "memory": "1Pi", "pods": "10k", "ephemeral-storage": "1Pi"}
HOLDS: dict[str, dict[str, Any]] = {
    "stopped": {"suspend": True},
    "no node fits": {"runner": {"nodeSelector": {"no-node": "has-this"}}},
}
"""What keeps a job from starting, and is taken back."""


class Namespace:
    """TrainingJobs of one namespace, each of a project of its own name."""

    def __init__(self, api: client.ApiClient) -> None:
        self._core, self._custom = client.CoreV1Api(api), client.CustomObjectsApi(api)
        self.name = self._core.create_namespace(
            {"metadata": {"generateName": "drawn-"}}
        ).metadata.name
        self._where = (GROUP, VERSION, self.name, PLURAL)
        eventually(lambda: self._core.list_namespaced_service_account(self.name).items, 60, 0.1)

    def create(self, name: str, spec: Spec, **options: Any) -> dict[str, Any]:
        job = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}
        made: dict[str, Any] = self._custom.create_namespaced_custom_object(
            *self._where, job, field_validation="Strict", **options
        )
        return made

    def job(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._custom.get_namespaced_custom_object(*self._where, name)
        return found

    def put(self, name: str, spec: Spec) -> None:
        """Replace a job's spec, as `kubectl replace` does."""
        while True:
            job = {**self.job(name), "spec": spec}
            try:
                self._custom.replace_namespaced_custom_object(
                    *self._where, name, job, field_validation="Strict"
                )
                return
            except ApiException as error:
                if error.status != 409:  # the operator has written its status meanwhile
                    raise

    def outcome(self, name: str) -> str:
        """What the operator made of a job: its pod, or what it says.

        Names, uids and times are left out.
        """

        def told() -> str | None:
            job = self.job(name)
            status = job.get("status") or {}
            now = [
                (each["type"], each["reason"], each["message"])
                for each in status.get("conditions", [])
                if each.get("observedGeneration") == job["metadata"]["generation"]
                and each["type"] not in _ELSEWHERE
            ]
            pod = self._pod_of(job)
            if status.get("phase") == "Starting" and pod is None:
                return None
            if status.get("phase") == "Queued" and not any(
                kind == "Admitted" and reason not in ("WaitingForQueue", "WaitingForPod")
                for kind, reason, _ in now
            ):
                return None
            if status.get("phase") not in ("Queued", "Starting", "Failed"):
                return None
            text = json.dumps([status["phase"], now, pod], sort_keys=True)
            metadata = job["metadata"]
            for own in (metadata["uid"], self.name):
                text = text.replace(own, "...")
            return _TIME.sub("...", text)

        try:
            return eventually(told, 60, 0.05)
        except AssertionError:
            raise AssertionError(f"{json.dumps(self.job(name))} comes to no end") from None

    def _pod_of(self, job: dict[str, Any]) -> Any:
        name = f"{job['spec']['project']}-runner"
        try:
            raw = self._core.read_namespaced_pod(name, self.name, _preload_content=False).json()
        except ApiException as error:
            assert error.status == 404, error
            return None
        metadata = {key: raw["metadata"][key] for key in ("labels", "annotations")}
        raw["spec"].pop("nodeName", None)
        return [metadata, raw["spec"]]

    def clear(self) -> None:
        self._custom.delete_collection_namespaced_custom_object(*self._where)
        self._core.delete_collection_namespaced_pod(self.name, grace_period_seconds=0)


@pytest.fixture(scope="module")
def _operator(
    kubeconfig: Path, api: client.ApiClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    log = tmp_path_factory.mktemp("operator") / "log"
    with (
        HandKubelet(api, {"vast-a": 100_000, "vast-b": 100_000}, PLENTY),
        leading(
            "drawn",
            kubeconfig,
            log,
            SIHL_OPERATOR_RETRY_BACKOFF="1h",
            SIHL_OPERATOR_RETRY_BACKOFF_LIMIT="1h",
            SIHL_OPERATOR_STARTUP_PROBLEM_TIMEOUT="1h",  # no kubelet takes the pods up
            SIHL_OPERATOR_UNSCHEDULABLE_TIMEOUT="1h",
        ),
    ):
        yield
    assert "Traceback" not in log.read_text(), log.read_text()[-3000:]


@pytest.fixture
def crooked(api: client.ApiClient) -> Iterator[Namespace]:
    namespace = Namespace(api)
    yield namespace
    namespace.clear()


@pytest.fixture
def straight(api: client.ApiClient) -> Iterator[Namespace]:
    namespace = Namespace(api)
    yield namespace
    namespace.clear()


def legal(namespace: Namespace, specs: Specs, project: str) -> Spec:
    """A spec that the API server takes; whatever it takes, the trainer takes too."""
    while True:
        spec = specs.drawn(project)
        try:
            made = namespace.create(f"probe-{project}", spec, dry_run="All")
        except ApiException as error:
            assert error.status == 422, error  # a rule between fields
            assert "spec" in json.loads(error.body)["message"]
            continue
        TrainingJobSpec.model_validate(made["spec"])
        if seconds(made["spec"]["runner"]["startTimeout"]) > _LOOKED_AT_SECONDS:
            return spec


def refused(error: ApiException, field: str) -> bool:
    """Whether the API server says which field is wrong."""
    message: str = json.loads(error.body)["message"]
    return error.status in (400, 422) and field in message


def test_a_job_that_was_edited_wrongly_and_rightly_ends_as_one_that_was_made_right(
    crooked: Namespace, straight: Namespace, _operator: None
) -> None:
    """150 jobs with seven operations each, and a few hundred that are only tried."""

    def lead_astray(number: int) -> str:
        specs, name = Specs(random.Random(number)), f"job-{number}"
        chance = random.Random(-number)
        first, last = legal(crooked, specs, name), legal(crooked, specs, name)
        hold = HOLDS[chance.choice(list(HOLDS))]
        crooked.create(name, held(first, hold))
        for spec in (first, last):
            for tried in (crooked.create, crooked.put):
                wrong, field = specs.spoiled(held(spec, hold))
                with pytest.raises(ApiException) as error:
                    tried(name if tried == crooked.put else f"{name}-wrong", wrong)
                assert refused(error.value, field), (field, error.value)
            crooked.put(name, held(spec, hold))
        crooked.put(name, last)
        straight.create(name, last)
        return name

    with ThreadPoolExecutor(AT_ONCE) as pool:
        names = list(pool.map(lead_astray, range(1, JOBS + 1)))
        made = list(pool.map(crooked.outcome, names))
        right = list(pool.map(straight.outcome, names))
    assert made == right
    assert sum("containers" in each for each in made) > 0.3 * JOBS, "most of them start"


def held(spec: Spec, hold: dict[str, Any]) -> Spec:
    """The spec, and what keeps its job from starting."""
    return {**spec, **hold, "runner": {**spec.get("runner", {}), **hold.get("runner", {})}}
