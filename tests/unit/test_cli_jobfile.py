"""A job's file is held to the rules of the API server, and its faults are told by field."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from sihl_trainer.errors import BadConfig
from sihl_trainer.jobfile import read_job

JOB: dict[str, Any] = {
    "apiVersion": "sihl.ai/v1alpha1",
    "kind": "TrainingJob",
    "metadata": {"name": "night", "namespace": "team-a"},
    "spec": {
        "project": "cells",
        "dataset": {"train": {"endpoint": "http://s3.example.org", "bucket": "data"}},
        "model": {
            "neck": {"levels": [3, 5]},
            "heads": [
                {"name": "boxes", "task": "ObjectDetection", "levels": [3, 5]},
                {"name": "kind", "task": "MulticlassClassification"},
            ],
        },
    },
}


def written(tmp_path: Path, job: Any) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(job if isinstance(job, str) else yaml.safe_dump(job))
    return path


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """The job with values at paths like `spec.model.heads.0.name`; ... removes."""
    job = copy.deepcopy(JOB)
    for path, value in changes.items():
        node: Any = job
        *parents, last = path.split(".")
        for part in parents:
            node = node[int(part)] if isinstance(node, list) else node.setdefault(part, {})
        if value is ...:
            del node[last]
        else:
            node[int(last) if isinstance(node, list) else last] = value
    return job


def test_a_valid_file_is_read_with_the_specs_defaults(tmp_path: Path) -> None:
    job = read_job(written(tmp_path, JOB))
    assert (job.namespace, job.name, job.spec.project) == ("team-a", "night", "cells")
    assert job.spec.training.max_steps == 10_000


@pytest.mark.parametrize("written_as", ["1e-3", "1E-3", "1.e-3", "0.001"])
def test_a_number_with_an_exponent_is_one_as_for_kubectl(tmp_path: Path, written_as: str) -> None:
    text = yaml.safe_dump(changed({"spec.training.optimizer.learningRate": "RATE"}))
    job = read_job(written(tmp_path, text.replace("RATE", written_as)))
    assert job.spec.training.optimizer.learning_rate == 0.001
    with pytest.raises(BadConfig, match="learningRate: must be of type number: leave the quotat"):
        read_job(written(tmp_path, text.replace("RATE", f"'{written_as}'")))


def test_null_is_a_field_that_is_left_out_as_for_the_api_server(tmp_path: Path) -> None:
    changes = {"spec.runner": {"gpus": None, "nodeSelector": None}, "spec.training": None}
    assert read_job(written(tmp_path, changed(changes))).spec.runner.gpus == 1


def test_a_field_beside_spec_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="gpus: no such field: is it one of"):
        read_job(written(tmp_path, changed({"gpus": 2})))


def test_other_objects_may_stand_beside_the_job(tmp_path: Path) -> None:
    text = f"kind: Namespace\n---\n{yaml.safe_dump(JOB)}\n---\n"
    assert read_job(written(tmp_path, text)).name == "night"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"spec.trainin": {}}, "spec.trainin: no such field"),
        ({"spec.project": ...}, "spec.project: required"),
        ({"spec.training.batchSize": 0}, "spec.training.batchSize: "),
        ({"spec.training.inputSize.width": "wide"}, "spec.training.inputSize.width: "),
        ({"spec.model.heads.0.task": "Dreaming"}, "spec.model.heads[0].task: "),
        ({"spec.dataset.train.endpoint": "s3.example.org"}, "spec.dataset.train.endpoint: "),
        ({"spec.runner.checkpointInterval": "soon"}, "spec.runner.checkpointInterval: "),
        ({"spec.model.heads": []}, "spec.model.heads: "),
        ({"spec": ...}, "spec: "),
        ({"metadata.name": ...}, "metadata.name: required"),
        ({"metadata": ...}, "metadata: required"),
        ({"apiVersion": "sihl.ai/v9"}, "apiVersion: must be sihl.ai/v1alpha1"),
        # CEL rules
        ({"metadata.name": "x" * 64}, "metadata.name must have at most 63 characters"),
        ({"spec.model.neck": ...}, "spec.model.heads: a head over several levels needs a neck"),
        (
            {"spec.model.neck": ..., "spec.model.heads.0.levels": [6, 6]},
            "spec.model.heads: without a neck a head's levels are the backbone's",
        ),
        (
            {"spec.model.heads.0.levels": [2, 5]},
            "spec.model.heads: a head's levels must lie within the neck's",
        ),
        (
            {"spec.model.heads.0.levels": [5, 3]},
            "spec.model.heads[0].levels: levels are [first, last]",
        ),
        ({"spec.model.neck.levels": [5, 4]}, "spec.model.neck.levels: levels are [first, last]"),
        (
            {"spec.model.initialization.from": "Job"},
            "spec.model.initialization.job: job is given with from: Job",
        ),
        (
            {"spec.model.initialization.uri": "s3://b/m"},
            "spec.model.initialization.uri: uri is given with from: URI",
        ),
        (
            {"spec.training.optimizer.momentum": 0.9},
            "spec.training.optimizer.momentum: momentum belongs to SGD",
        ),
        (
            {"spec.training.scheduler.name": "MultiStep"},
            "spec.training.scheduler.milestones: milestones are given with MultiStep",
        ),
        (
            {"spec.training.scheduler.milestones": [3]},
            "spec.training.scheduler.milestones: milestones are given with MultiStep",
        ),
        (
            {
                "spec.model.heads.0.task": "TextRecognition",
                "spec.training.augmentation.horizontalFlip": True,
            },
            "spec.training.augmentation.horizontalFlip: mirrored images teach a text head to read",
        ),
        (
            {
                "spec.model.heads.1.task": "DepthEstimation",
                "spec.training.augmentation.scale": 0.1,
            },
            "spec.training.augmentation.scale: what is shrunk looks further away",
        ),
        # the list's type
        ({"spec.model.heads.1.name": "boxes"}, "spec.model.heads[1]: Duplicate value"),
    ],
)
def test_a_fault_is_told_by_its_field(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(BadConfig) as caught:
        read_job(written(tmp_path, changed(changes)))
    assert f"\n  {fault}" in caught.value.message or fault in caught.value.message.split("\n  ")[1]


@pytest.mark.parametrize(
    ("task", "augmentation"),
    [
        ("TextRecognition", {"horizontalFlip": False, "scale": 0.2}),
        ("TextRecognition", {}),
        ("DepthEstimation", {"horizontalFlip": True, "scale": 0}),
        ("DepthEstimation", {"brightness": 0.2}),
        ("ObjectDetection", {"horizontalFlip": True, "scale": 0.2}),
    ],
)
def test_a_task_takes_every_augmentation_that_keeps_its_annotations_true(
    tmp_path: Path, task: str, augmentation: dict[str, Any]
) -> None:
    given = {"spec.model.heads.0.task": task, "spec.training.augmentation": augmentation}
    assert read_job(written(tmp_path, changed(given))).spec.model.heads[0].task == task


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, changed({"spec.project": "A B", "spec.training.batchSize": 0}))
    with pytest.raises(BadConfig, match=r"(?s)spec\.project.*spec\.training\.batchSize"):
        read_job(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not YAML"),
        ("kind: Pod", "holds 0 documents of kind TrainingJob"),
        ("kind: TrainingJob\n---\nkind: TrainingJob", "holds 2 documents"),
    ],
)
def test_a_file_that_holds_no_single_job_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(BadConfig, match=message):
        read_job(written(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"nowhere\.yaml: No such file"):
        read_job(tmp_path / "nowhere.yaml")
