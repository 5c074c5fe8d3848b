"""The rules that the API server holds a TrainingJob to, where there is none to ask.

Apart from the types, which need no CEL: only who reads jobs from files imports this.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import celpy
from celpy.adapter import json_to_cel
from pydantic import ValidationError

from sihl_api.trainingjob import API_VERSION, JOB_RULES, Rule, Schema, TrainingJobSpec


def job_faults(job: dict[str, Any]) -> tuple[TrainingJobSpec | None, list[str]]:
    """The spec of a job's document, and a line for each field at fault.

    Args:
        job: As it was written down.

    Returns:
        The spec where its fields have their types, whether or not it breaks a rule.
    """
    if job.get("apiVersion") != API_VERSION:
        return None, [f"apiVersion: must be {API_VERSION}"]
    metadata = job.get("metadata")
    if not isinstance(metadata, dict):
        return None, ["metadata: required"]
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        return None, ["metadata.name: required"]
    try:
        spec = TrainingJobSpec.model_validate(job.get("spec"))
    except ValidationError as error:
        return None, [_fault(each) for each in error.errors()]
    return spec, [
        *_broken_rules({"metadata": metadata}, JOB_RULES, ""),
        *_broken_in(spec, "spec"),
        *_repeated_heads(spec),
    ]


def _fault(error: Any) -> str:
    where = "spec"
    for part in error["loc"]:
        where += f"[{part}]" if isinstance(part, int) else f".{part}"
    message = {"missing": "required", "extra_forbidden": "no such field"}.get(error["type"])
    return f"{where}: {message or error['msg']}"


def _broken_in(part: Schema, where: str) -> list[str]:
    """Rules that this part of the spec, or a part of it, breaks."""
    content = part.model_dump(mode="json", by_alias=True, exclude_none=True)
    faults = _broken_rules(content, part.rules, where)
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        below = f"{where}.{field.alias or name}"
        if isinstance(value, Schema):
            faults += _broken_in(value, below)
        elif isinstance(value, list):
            for index, each in enumerate(value):
                faults += _broken_in(each, f"{below}[{index}]") if isinstance(each, Schema) else []
    return faults


def _broken_rules(content: dict[str, Any], rules: tuple[Rule, ...], where: str) -> list[str]:
    # A rule about oldSelf is one for updates: a file has no past.
    return [
        f"{(where + (rule.field_path or '')) or 'metadata.name'}: {rule.message}"
        for rule in rules
        if "oldSelf" not in rule.cel
        and not _program(rule.cel).evaluate({"self": json_to_cel(content)})
    ]


@cache
def _program(cel: str) -> Any:
    environment = celpy.Environment()
    return environment.program(environment.compile(cel))


def _repeated_heads(spec: TrainingJobSpec) -> list[str]:
    """The schema's list type: heads are told apart by their names."""
    names = [head.name for head in spec.model.heads]
    return [
        f"spec.model.heads[{index}].name: Duplicate value: {name!r}"
        for index, name in enumerate(names)
        if name in names[:index]
    ]
