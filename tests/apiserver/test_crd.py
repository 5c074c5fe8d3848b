"""The API server itself refuses bad jobs: what it says is what a user of kubectl reads."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from gitops import argo_cd
from sihl_api.crd import custom_resource_definition
from sihl_api.rules import job_faults
from sihl_api.schema import VALIDATIONS
from sihl_api.tasks import Task
from sihl_api.trainingjob import GROUP, KIND, PLURAL, VERSION
from tests.support import lua
from tests.support.invalid import GOOD, INVALID, VALID, changed, head

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


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


def _our_words(node: Any) -> set[str]:
    """What the rules of a schema say."""
    if isinstance(node, list):
        return set().union(*map(_our_words, node))
    if not isinstance(node, dict):
        return set()
    own = {rule["message"] for rule in node.get(VALIDATIONS, ()) if isinstance(rule, dict)}
    return own.union(*map(_our_words, node.values()))


OUR_WORDS = _our_words(custom_resource_definition())


@pytest.mark.parametrize("fault", INVALID)
def test_the_api_server_refuses_and_says_what_is_said_where_there_is_none(
    jobs: Jobs, fault: str
) -> None:
    change, field = INVALID[fault]
    with pytest.raises(ApiException) as refusal:
        jobs.create(changed(change), dry_run="All")
    assert refusal.value.status in (400, 422)
    told = json.loads(refusal.value.body)["message"]
    assert field in told
    if "should match" in told:  # a pattern is no help to a person
        assert any(words in told for words in OUR_WORDS)
    for each in job_faults(changed(change))[1]:
        where, _, words = each.partition(": ")
        # Of metadata, and of types, the API server has its own words.
        assert words in told or where.startswith("metadata") or words not in OUR_WORDS


@pytest.mark.parametrize("job", VALID)
def test_the_api_server_takes_what_is_legal(jobs: Jobs, job: str) -> None:
    jobs.create(changed(VALID[job]), dry_run="All")


def test_a_job_of_the_longest_name_can_be_started_again(jobs: Jobs) -> None:
    old = changed(lambda job: job["metadata"].update(name="j" * 63))
    (action,) = lua.answer(argo_cd.script("actions", "start-again", "action.lua"), old)
    created = jobs.create(action["resource"], dry_run="All")["metadata"]["name"]
    assert len(created) == 63
    assert created != old["metadata"]["name"]


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
