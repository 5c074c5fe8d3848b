"""What Flux is told of TrainingJobs: its health expressions, over the status of every phase."""

from __future__ import annotations

import copy
import functools
from typing import Any

import celpy
import pytest
import yaml
from celpy.adapter import json_to_cel

from gitops import argo_cd
from sihl_api.trainingjob import API_VERSION, KIND
from tests.support import kstatus, phases

FOLDER = argo_cd.FOLDER.parent / "flux"
JOBS = phases.every()
ACCEPTED = {"refused": "Failed", "failed": "Failed", "failed with a checkpoint": "Failed"}
TRAINED = {**ACCEPTED, "succeeded": "Current"}


def objects(file: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / file).read_text()))


@functools.cache
def programs(file: str) -> dict[str, celpy.Runner]:
    (kustomization,) = [o for o in objects(file) if o["kind"] == "Kustomization"]
    (found,) = kustomization["spec"]["healthCheckExprs"]
    assert (found.pop("apiVersion"), found.pop("kind")) == (API_VERSION, KIND)
    cel = celpy.Environment()
    return {name: cel.program(cel.compile(text)) for name, text in found.items()}


def judged(file: str, job: dict[str, Any]) -> str:
    """As Flux asks: in progress, else failed, else current; what is none of these goes on."""
    fields = {name: json_to_cel(job.get(name, {})) for name in ("metadata", "spec", "status")}
    for name in ("inProgress", "failed", "current"):
        if programs(file)[name].evaluate(fields):
            return name[0].upper() + name[1:]
    return "InProgress"


@pytest.mark.parametrize("name", JOBS)
def test_jobs_are_ready_once_they_are_accepted_and_none_holds_up_the_next_commit(
    name: str,
) -> None:
    otherwise = "InProgress" if name == "fresh" else "Current"
    assert judged("jobs.yaml", JOBS[name]) == ACCEPTED.get(name, otherwise)


@pytest.mark.parametrize("name", JOBS)
def test_kstatus_says_the_same_of_jobs_without_an_expression(name: str) -> None:
    default = {"status": {"observedGeneration": -1}}  # the API server's
    job = {**default, **JOBS[name]}
    assert kstatus.verdict(job)[0] == judged("jobs.yaml", job)


@pytest.mark.parametrize("name", JOBS)
def test_who_waits_for_models_waits_until_they_are_trained(name: str) -> None:
    assert judged("trained.yaml", JOBS[name]) == TRAINED.get(name, "InProgress")


@pytest.mark.parametrize("file", ["jobs.yaml", "trained.yaml"])
@pytest.mark.parametrize("name", JOBS)
def test_what_was_said_of_an_old_generation_says_nothing(file: str, name: str) -> None:
    job = copy.deepcopy(JOBS[name])
    job["metadata"]["generation"] += 1
    assert judged(file, job) == "InProgress"
    job["status"] = {"observedGeneration": -1}
    assert judged(file, job) == "InProgress"


@pytest.mark.parametrize("file", ["jobs.yaml", "trained.yaml"])
def test_no_job_is_deleted_by_a_kustomization(file: str) -> None:
    for each in objects(file):
        if each["kind"] == "Kustomization":
            assert not each["spec"]["prune"]
            assert not each["spec"]["force"]


@pytest.mark.parametrize("file", ["jobs.yaml", "trained.yaml"])
def test_what_kubectl_changes_of_a_job_is_left_where_git_does_not_say_it(file: str) -> None:
    """Flux takes back what a manager called kubectl has written, unless it is told to merge."""
    (kustomization,) = [each for each in objects(file) if each["kind"] == "Kustomization"]
    annotations = kustomization["spec"]["commonMetadata"]["annotations"]
    assert annotations == {"kustomize.toolkit.fluxcd.io/ssa": "Merge"}
