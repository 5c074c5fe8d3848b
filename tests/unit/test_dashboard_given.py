"""What of a spec was chosen, as the dashboard tells it."""

from typing import Any

from sihl_api.trainingjob import TrainingJobSpec
from sihl_dashboard.server.given import given_of
from tests.support.recorded import SPEC


def filled(**training: Any) -> dict[str, Any]:
    """The spec with all its defaults, as records have it."""
    spec = TrainingJobSpec.model_validate(SPEC | {"training": {"maxSteps": 100, **training}})
    found: dict[str, Any] = spec.model_dump(mode="json", by_alias=True)
    found["training"]["augmentation"]["scale"] = spec.augmentation.scale
    return found


def test_what_equals_a_default_was_not_chosen() -> None:
    given = given_of(filled(batchSize=4))
    assert given is not None
    assert given["training"] == {"maxSteps": 100, "batchSize": 4}
    assert given["model"]["heads"] == [{"name": "boxes", "task": "ObjectDetection"}]
    assert "runner" not in given


def test_a_default_that_depends_on_other_fields_was_not_chosen_but_another_value_was() -> None:
    assert "augmentation" not in (given_of(filled()) or {})["training"]
    chosen = given_of(filled(augmentation={"scale": 0.125}))
    assert chosen is not None
    assert chosen["training"]["augmentation"] == {"scale": 0.125}


def test_of_a_spec_of_another_release_nobody_says_what_was_chosen() -> None:
    assert given_of({"project": "cells", "warp": 9}) is None
