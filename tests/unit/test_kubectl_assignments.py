"""What `--set` does to a spec, and how a job's file and its clone are read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import yaml

from sihl_api.trainingjob import TrainingJobSpec
from sihl_dashboard.cli.assignments import assigned, parse, paths
from sihl_dashboard.cli.errors import CommandError, UsageError
from sihl_dashboard.cli.manifests import changed, clone, next_name, read
from sihl_dashboard.records.facts import flat

SPEC: dict[str, Any] = {
    "project": "cells",
    "dataset": {"train": {"endpoint": "http://s3", "bucket": "data"}},
    "model": {"neck": {}, "heads": [{"name": "boxes", "task": "ObjectDetection"}]},
    "training": {"maxSteps": 100},
}
JOB: dict[str, Any] = {
    "apiVersion": "sihl.ai/v1alpha1",
    "kind": "TrainingJob",
    "metadata": {"name": "night", "labels": {"team": "a"}},
    "spec": SPEC,
}


def at(spec: dict[str, Any], path: str) -> Any:
    """The value at a path; entries of lists by their number."""
    found: Any = spec
    for part in path.split("."):
        found = found[int(part)] if isinstance(found, list) else found[part]
    return found


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("training.maxSteps=500", "training.maxSteps", 500),
        ("spec.training.maxSteps=500", "training.maxSteps", 500),
        ("training.optimizer.learningRate=1e-3", "training.optimizer.learningRate", 0.001),
        ("training.augmentation.horizontalFlip=true", "training.augmentation.horizontalFlip", True),
        ("training.maxDuration=1h30m", "training.maxDuration", "1h30m"),
        ("runner.image=1.0", "runner.image", "1.0"),
        ("model.neck.levels=[3, 5]", "model.neck.levels", [3, 5]),
        ("model.heads.boxes.lossWeight=2", "model.heads.0.lossWeight", 2.0),
        ("model.heads.0.lossWeight=2", "model.heads.0.lossWeight", 2.0),
        ("model.initialization={from: Job, job: day}", "model.initialization.job", "day"),
        ("runner.resources.limits={memory: 8Gi}", "runner.resources.limits.memory", "8Gi"),
        ("dataset.train.prefix=", "dataset.train.prefix", ""),
    ],
)
def test_a_value_is_read_as_its_field_s_type_wants_it(text: str, path: str, value: Any) -> None:
    assert at(assigned(SPEC, [parse(text)]), path) == value


def test_a_key_that_has_dots_is_one_key() -> None:
    found = assigned(SPEC, [parse("runner.nodeSelector.sihl.ai/gpu=h100")])
    assert found["runner"] == {"nodeSelector": {"sihl.ai/gpu": "h100"}}


def test_null_takes_a_field_out_so_that_its_default_holds() -> None:
    assert assigned(SPEC, [parse("training.maxSteps=null")])["training"] == {}


def test_of_two_values_the_later_counts_and_the_spec_given_stays_as_it_was() -> None:
    twice = [parse("training.maxSteps=1"), parse("training.maxSteps=2")]
    assert assigned(SPEC, twice)["training"]["maxSteps"] == 2
    assert SPEC["training"] == {"maxSteps": 100}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("training.maxStep=5", "there is no field maxStep; there are .*maxSteps"),
        ("training.maxSteps=0", "training.maxSteps=0: .*greater than or equal to 1"),
        ("training.maxSteps=many", "training.maxSteps=many: .*integer"),
        ("training.maxSteps.x=1", "training.maxSteps has no fields of its own"),
        ("model.heads.masks.lossWeight=2", "the job has boxes"),
        ("model.heads.boxes=2", "name one of its entries and a field of it"),
        ("training.maxSteps", "write it as field=value"),
        ("=5", "write it as field=value"),
        ("training.\x1b[2J=5", r"there is no field \\x1b\[2J"),
    ],
)
def test_what_fits_no_field_is_refused_with_what_does(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        assigned(SPEC, [parse(text)])
    assert caught.value.exit_code == 2


def test_whatever_a_comparison_shows_of_a_spec_can_be_set() -> None:
    effective = TrainingJobSpec.model_validate(SPEC).model_dump(mode="json", by_alias=True)
    facts = dict(flat(effective, "spec"))
    assert len(facts) > 50
    found: dict[str, Any] = SPEC
    for path, value in facts.items():
        if value != "{}":  # an empty mapping
            found = assigned(found, [parse(f"{path}={'null' if value is None else value}")])
    again = TrainingJobSpec.model_validate(found)
    assert again.model_dump(mode="json", by_alias=True) == effective


def test_the_fields_that_are_offered_are_the_spec_s() -> None:
    offered = paths()
    assert {"training.maxSteps", "model.heads", "dataset.train.bucket", "suspend"} <= set(offered)
    assert len(offered) == len(set(offered))


# --- files -----------------------------------------------------------------------------------


def test_a_job_is_read_from_a_file_or_from_standard_input(tmp_path: Path) -> None:
    text = yaml.safe_dump_all([{"kind": "Secret"}, JOB])
    (tmp_path / "job.yaml").write_text(text)
    assert read(str(tmp_path / "job.yaml"), io.StringIO()) == JOB
    assert read("-", io.StringIO(text)) == JOB


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds 0 documents of kind TrainingJob"),
        (yaml.safe_dump_all([JOB, JOB]), "holds 2 documents"),
        ("a: [", "line 1 is not YAML"),
        ("kind: a\nkind: b", "line 2 is not YAML: the key kind stands there twice"),
        ("a: \x00", "is not YAML"),
        (yaml.safe_dump({**JOB, "apiVersion": "v1"}), "apiVersion must be sihl.ai/v1alpha1"),
        (yaml.safe_dump({**JOB, "metadata": {}}), "give the job a metadata.name"),
        (yaml.safe_dump({**JOB, "spec": []}), "it has no spec"),
    ],
)
def test_a_file_that_holds_no_one_job_is_refused_in_a_line(text: str, told: str) -> None:
    with pytest.raises(CommandError, match=f"standard input.*{told}"):
        read("-", io.StringIO(text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"none\.yaml cannot be read: No such file"):
        read(str(tmp_path / "none.yaml"), io.StringIO())


def test_a_job_is_submitted_with_fields_and_name_changed() -> None:
    found = changed(JOB, [parse("training.maxSteps=7")], "day")
    assert (found["metadata"]["name"], found["spec"]["training"]) == ("day", {"maxSteps": 7})
    assert found["metadata"]["labels"] == {"team": "a"}


def test_a_clone_has_spec_and_labels_and_nothing_of_what_became_of_the_job() -> None:
    applied = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "sihl.ai/queue": "fast"}
    ended = {
        **JOB,
        "metadata": {**JOB["metadata"], "uid": "1", "annotations": applied, "finalizers": ["x"]},
        "spec": {**SPEC, "suspend": True},
        "status": {"phase": "Stopped"},
    }
    assert clone(ended, [parse("training.maxSteps=7")], "night-2") == {
        **JOB,
        "metadata": {
            "name": "night-2",
            "labels": {"team": "a"},
            "annotations": {"sihl.ai/queue": "fast"},
        },
        "spec": {**SPEC, "training": {"maxSteps": 7}},
    }


@pytest.mark.parametrize(
    ("name", "taken", "found"),
    [
        ("night", {"night"}, "night-2"),
        ("night-2", {"night-2", "night-3"}, "night-4"),
        ("a" * 63, {"a" * 63}, "a" * 61 + "-2"),
        ("a" * 60 + "-b", set(), "a" * 60 + "-2"),
    ],
)
def test_a_clone_has_the_next_free_name_of_at_most_63_characters(
    name: str, taken: set[str], found: str
) -> None:
    assert next_name(name, taken) == found
