from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from sihl_api.reading import phase_of, read_spec, read_status
from sihl_api.runtime import JobReference, reference_json
from sihl_api.status import Phase
from sihl_api.trainingjob import TrainingJobSpec
from tests.support.objects import SPEC

KNOWN: dict[str, Any] = {
    "type": "Admitted", "status": "True", "reason": "Admitted",
    "lastTransitionTime": "2027-01-15T08:00:00Z",
}  # fmt: skip


@pytest.mark.parametrize(
    ("odd", "left"),
    [
        ({"attempt": "x", "queue": "cells"}, {"queue": "cells"}),
        ({"checkpoint": {"step": 3, "uri": "s3://b/3"}, "attempt": 2}, {"attempt": 2}),
        ({"progress": {"step": "x", "percent": 3}}, {"progress": {"percent": 3}}),
        ({"metrics": {"a/b": "1", "c/d": {"e": 2}}}, {"metrics": {"a/b": "1"}}),
        ({"conditions": [{"type": "Odd"}, {**KNOWN, "new": 1}]}, {"conditions": [KNOWN]}),
        ({"new": {"deep": [1]}, "attempt": 1}, {"attempt": 1}),
    ],
)
def test_what_cannot_be_read_of_a_status_is_as_if_it_were_not_there(
    odd: dict[str, Any], left: dict[str, Any]
) -> None:
    before = json.dumps(odd)
    assert read_status(odd) == read_status(left)
    assert json.dumps(odd) == before


def test_an_unknown_phase_is_read_as_the_nearest() -> None:
    assert phase_of({}) is None
    assert phase_of({"phase": "Running"}) is Phase.RUNNING
    assert phase_of({"phase": "Rehearsing", "conditions": [KNOWN]}) is Phase.STARTING
    over = {**KNOWN, "type": "Finished", "reason": "Succeeded"}
    assert read_status({"phase": "Archived", "conditions": [over]}).phase is Phase.SUCCEEDED


def test_a_spec_is_read_without_fields_of_a_newer_release_and_those_are_named() -> None:
    newer = {**SPEC, "new": 1, "runner": {**SPEC["runner"], "colour": {"red": 1}}}
    newer["model"] = {"heads": [{**SPEC["model"]["heads"][0], "shade": "dark"}]}
    spec, unknown = read_spec(newer)
    assert spec == TrainingJobSpec.model_validate(SPEC)
    assert sorted(unknown) == ["model.heads.0.shade", "new", "runner.colour"]
    with pytest.raises(ValidationError):
        TrainingJobSpec.model_validate(newer)
    with pytest.raises(ValidationError):
        read_spec({**newer, "priority": "high"})


def test_operator_and_trainer_may_be_of_different_releases() -> None:
    newer = {**SPEC, "runner": {**SPEC["runner"], "colour": "red"}}
    text = reference_json("team", "job", "uid", newer)
    told = json.loads(text)
    told["spec"]["training"]["momentumOfOptimizer"] = 0.9
    told["spec"]["newer"] = told["newer"] = {}
    job = JobReference.model_validate_json(json.dumps(told))
    assert job.spec == TrainingJobSpec.model_validate(SPEC)
