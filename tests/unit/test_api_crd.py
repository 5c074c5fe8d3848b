from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from sihl_api.crd import custom_resource_definition, render
from sihl_api.schema import Schema
from sihl_api.tasks import Task
from sihl_api.trainingjob import JOB_RULES, TrainingJobSpec

ROOT = Path(__file__).parents[2]

MINIMAL: dict[str, Any] = {
    "project": "cells",
    "dataset": {"train": {"endpoint": "https://s3.example.com", "bucket": "cells"}},
    "model": {"heads": [{"name": "kind", "task": "MulticlassClassification"}]},
}


def schema() -> dict[str, Any]:
    version = custom_resource_definition()["spec"]["versions"][0]
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return found


def nodes(node: Any, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every schema below a schema, with its path."""
    found = [(path, node)]
    for name, child in node.get("properties", {}).items():
        found += nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            found += nodes(node[key], f"{path}[]")
    return found


@pytest.mark.parametrize("folder", ["crds", "helm/files"])
def test_the_checked_in_crds_are_what_the_types_render(folder: str) -> None:
    checked_in = (ROOT / folder / "trainingjobs.sihl.ai.yaml").read_text()
    assert checked_in == render(), "run `make crd`"


def test_the_crd_holds_no_yaml_alias() -> None:
    assert yaml.safe_load(render()) == custom_resource_definition()
    assert "&id" not in render()


def test_every_string_and_list_is_bounded_so_that_cel_costs_are_too() -> None:
    bounded = {"string": ("maxLength", "enum", "format"), "array": ("maxItems",)}
    loose = [
        path
        for path, node in nodes(schema()["properties"]["spec"])
        if node.get("type") in bounded
        and not any(key in node for key in bounded[node["type"]])
        and "additionalProperties" not in path
        and not path.endswith("[]")
    ]
    assert loose == []


def test_the_enum_of_tasks_is_exactly_the_tasks_that_exist() -> None:
    head = schema()["properties"]["spec"]["properties"]["model"]["properties"]["heads"]["items"]
    assert head["properties"]["task"]["enum"] == [task.value for task in Task]


def test_every_rule_of_the_types_stands_in_the_crd() -> None:
    rendered = {
        validation["rule"]
        for _, node in nodes(schema())
        for validation in node.get("x-kubernetes-validations", [])
    }
    declared = {rule.cel for rule in JOB_RULES}
    stack: list[type[Schema]] = [Schema]
    while stack:
        part = stack.pop()
        declared |= {rule.cel for rule in part.rules}
        stack += part.__subclasses__()
    assert declared <= rendered


def test_a_minimal_job_gets_every_other_field_by_default() -> None:
    spec = TrainingJobSpec.model_validate(MINIMAL)
    assert spec.training.max_steps == 10_000
    assert spec.runner.gpus == 1
    assert spec.stop_grace_seconds == 300
    again = TrainingJobSpec.model_validate(spec.model_dump(by_alias=True, exclude_none=True))
    assert again == spec


def test_a_misspelt_field_is_refused_by_its_path() -> None:
    with pytest.raises(ValidationError, match=r"training\.maxStep\b"):
        TrainingJobSpec.model_validate({**MINIMAL, "training": {"maxStep": 5}})
