"""What of a spec was chosen: the rest equals a default."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from sihl_api.trainingjob import TrainingJobSpec

Document = dict[str, Any]


def given_of(spec: Document) -> Document | None:
    """The spec without what equals its default; None where this release cannot read it.

    Args:
        spec: With all defaults, those that depend on other fields too.
    """
    try:
        typed = TrainingJobSpec.model_validate(spec)
    except ValidationError:
        return None
    scale = typed.training.augmentation.scale
    unset = typed.training.augmentation.model_copy(update={"scale": None})
    training = typed.training.model_copy(update={"augmentation": unset})
    bare = typed.model_copy(update={"training": training})
    if bare.augmentation.scale == scale:  # as the tasks alone would have it
        typed = bare
    found: Document = typed.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return found
