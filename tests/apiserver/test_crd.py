"""The API server itself refuses bad jobs: what it says is what a user of kubectl reads."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from sihl_api.tasks import Task
from sihl_api.trainingjob import GROUP, KIND, PLURAL, VERSION

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
GOOD: dict[str, Any] = {
    "apiVersion": "sihl.ai/v1alpha1",
    "kind": "TrainingJob",
    "metadata": {"name": "job"},
    "spec": {
        "project": "cells",
        "dataset": {"train": {"endpoint": "https://s3.example.com", "bucket": "cells"}},
        "model": {
            "neck": {"name": "FPN", "levels": [3, 5]},
            "heads": [{"name": "boxes", "task": "ObjectDetection", "levels": [3, 5]}],
        },
    },
}


class Jobs:
    """TrainingJobs of one namespace, through the official client."""

    def __init__(self, kubeconfig: Path) -> None:
        api = config.new_client_from_config(str(kubeconfig))
        self._api = client.CustomObjectsApi(api)
        self._where = (GROUP, VERSION, "default", PLURAL)

    def create(self, job: dict[str, Any], **options: str) -> dict[str, Any]:
        created: dict[str, Any] = self._api.create_namespaced_custom_object(
            *self._where, job, field_validation="Strict", **options
        )
        return created

    def patch(self, name: str, change: dict[str, Any]) -> dict[str, Any]:
        patched: dict[str, Any] = self._api.patch_namespaced_custom_object(
            *self._where, name, change
        )
        return patched

    def patch_status(self, name: str, status: dict[str, Any]) -> None:
        self._api.patch_namespaced_custom_object_status(*self._where, name, {"status": status})

    def list(self, **selectors: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._api.list_namespaced_custom_object(
            *self._where, **selectors
        )["items"]
        return found

    def delete(self, name: str) -> None:
        self._api.delete_namespaced_custom_object(*self._where, name)


@pytest.fixture(scope="module")
def jobs(kubeconfig: Path) -> Jobs:
    return Jobs(kubeconfig)


@pytest.fixture
def job(jobs: Jobs) -> Iterator[str]:
    name = jobs.create(GOOD)["metadata"]["name"]
    yield name
    jobs.delete(name)


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    job = copy.deepcopy(GOOD)
    change(job)
    return job


def training(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda job: job["spec"].update(training=fields)


def runner(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda job: job["spec"].update(runner=fields)


def head(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda job: job["spec"]["model"]["heads"][0].update(fields)


def model(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda job: job["spec"]["model"].update(fields)


INVALID: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a batch that GPUs cannot share": (
        lambda j: j["spec"].update(training={"batchSize": 3}, runner={"gpus": 2}),
        "spec.training.batchSize",
    ),
    "a batch of a single value a channel": (
        training(batchSize=1, inputSize={"width": 32, "height": 32}),
        "spec.training.batchSize",
    ),
    "a job without a project": (lambda j: j["spec"].pop("project"), "spec.project"),
    "a project that is no name": (lambda j: j["spec"].update(project="My Cells"), "spec.project"),
    "a job without a dataset": (lambda j: j["spec"].pop("dataset"), "spec.dataset"),
    "an endpoint without a scheme": (
        lambda j: j["spec"]["dataset"]["train"].update(endpoint="s3.example.com"),
        "spec.dataset.train.endpoint",
    ),
    "a dataset without a bucket": (
        lambda j: j["spec"]["dataset"]["train"].pop("bucket"),
        "spec.dataset.train.bucket",
    ),
    "a validation fraction of one": (
        lambda j: j["spec"]["dataset"].update(validationFraction=1),
        "spec.dataset.validationFraction",
    ),
    "a misspelt field": (training(maxStep=5), "spec.training.maxStep"),
    "no head": (model(heads=[]), "spec.model.heads"),
    "two heads of one name": (
        lambda j: j["spec"]["model"]["heads"].append(copy.deepcopy(j["spec"]["model"]["heads"][0])),
        "spec.model.heads[1]",
    ),
    "a task that does not exist": (head(task="Juggling"), "spec.model.heads[0].task"),
    "levels in the wrong order": (head(levels=[5, 3]), "spec.model.heads[0].levels"),
    "levels outside the neck": (head(levels=[3, 7]), "spec.model.heads"),
    "a number of detections for a head that finds none": (
        head(task="MulticlassClassification", maxDetections=5),
        "spec.model.heads[0].maxDetections",
    ),
    "several levels without a neck": (lambda j: j["spec"]["model"].pop("neck"), "spec.model.heads"),
    "a backbone that does not exist": (
        model(backbone={"name": "resnet19"}),
        "spec.model.backbone.name",
    ),
    "initialization from a job without its name": (
        model(initialization={"from": "Job"}),
        "spec.model.initialization.job",
    ),
    "a uri without from: URI": (
        model(initialization={"from": "Random", "uri": "s3://a/b"}),
        "spec.model.initialization.uri",
    ),
    "no steps": (training(maxSteps=0), "spec.training.maxSteps"),
    "a batch of nothing": (training(batchSize=0), "spec.training.batchSize"),
    "a learning rate of zero": (
        training(optimizer={"learningRate": 0}),
        "spec.training.optimizer.learningRate",
    ),
    "momentum for AdamW": (
        training(optimizer={"name": "AdamW", "momentum": 0.9}),
        "spec.training.optimizer.momentum",
    ),
    "MultiStep without milestones": (
        training(scheduler={"name": "MultiStep"}),
        "spec.training.scheduler.milestones",
    ),
    "warm-up without OneCycle": (
        training(scheduler={"name": "Constant", "warmupSteps": 5}),
        "spec.training.scheduler",
    ),
    "a duration without a unit": (training(maxDuration="10"), "spec.training.maxDuration"),
    "a negative number of GPUs": (runner(gpus=-1), "spec.runner.gpus"),
    "a dataset size with a blank": (runner(datasetSize="20 GB"), "spec.runner.datasetSize"),
    "text that is mirrored": (
        lambda j: (
            head(task="TextRecognition")(j),
            training(augmentation={"horizontalFlip": True})(j),
        ),
        "spec.training.augmentation.horizontalFlip",
    ),
    "depth that is shrunk": (
        lambda j: (head(task="DepthEstimation")(j), training(augmentation={"scale": 0.1})(j)),
        "spec.training.augmentation.scale",
    ),
    "a name too long for a label": (
        lambda j: j["metadata"].update(name="j" * 64),
        "metadata.name",
    ),
}


@pytest.mark.parametrize("fault", INVALID)
def test_the_api_server_refuses_and_names_the_field(jobs: Jobs, fault: str) -> None:
    change, field = INVALID[fault]
    with pytest.raises(ApiException) as refusal:
        jobs.create(changed(change))
    assert refusal.value.status in (400, 422)
    assert field in json.loads(refusal.value.body)["message"]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_what_people_copy_is_accepted_by_the_api_server_as_it_stands(
    jobs: Jobs, example: Path
) -> None:
    documents = [each for each in yaml.safe_load_all(example.read_text()) if each]
    found = [each for each in documents if each["kind"] == KIND]
    assert found
    for job in found:
        job["metadata"]["namespace"] = "default"
        jobs.create(job, dry_run="All")


@pytest.mark.parametrize("task", Task)
def test_a_head_may_learn_any_task(jobs: Jobs, task: Task) -> None:
    jobs.create(changed(head(task=task.value)), dry_run="All")


def test_defaults_are_filled_in_by_the_api_server(jobs: Jobs, job: str) -> None:
    spec = jobs.list()[0]["spec"]
    assert spec["training"]["maxSteps"] == 10_000
    assert spec["training"]["optimizer"] == {
        "name": "AdamW",
        "learningRate": 0.001,
        "weightDecay": 0.0001,
    }
    assert spec["runner"]["stopGracePeriod"] == "5m"
    assert spec["suspend"] is False


def test_a_project_never_changes(jobs: Jobs, job: str) -> None:
    with pytest.raises(ApiException, match="project cannot change"):
        jobs.patch(job, {"spec": {"project": "other"}})


def test_a_job_that_has_not_started_may_change(jobs: Jobs, job: str) -> None:
    assert jobs.patch(job, {"spec": {"training": {"maxSteps": 5}}})["spec"]["training"]


def test_a_job_that_has_started_changes_only_suspend_and_priority(jobs: Jobs, job: str) -> None:
    jobs.patch_status(job, {"phase": "Starting", "attempt": 1})
    jobs.patch(job, {"spec": {"suspend": True, "priority": 3}})
    for part in (
        {"training": {"maxSteps": 5}},
        {"runner": {"gpus": 2}},
        {"dataset": {"validationFraction": 0.5}},
        {"model": {"backbone": {"name": "resnet18"}}},
    ):
        with pytest.raises(ApiException, match="submit a new job instead"):
            jobs.patch(job, {"spec": part})


def test_jobs_are_selected_by_project_and_phase(jobs: Jobs, job: str) -> None:
    jobs.patch_status(job, {"phase": "Queued"})
    selected = jobs.list(field_selector="spec.project=cells,status.phase=Queued")
    assert [found["metadata"]["name"] for found in selected] == [job]
    assert jobs.list(field_selector="status.phase=Running") == []
