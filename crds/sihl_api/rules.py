"""The rules that the API server holds a TrainingJob to, where there is none to ask.

Apart from the types, which need no CEL: only who reads jobs from files imports this.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import celpy
from celpy import celtypes
from celpy.adapter import json_to_cel
from pydantic import ValidationError

from sihl_api.crd import structural_schema
from sihl_api.schema import LIST_KEYS, Rule, Schema
from sihl_api.texts import LABEL_NAME, LABEL_VALUE, OBJECT_NAME
from sihl_api.trainingjob import API_VERSION, JOB_RULES, KIND, TrainingJobSpec
from sihl_api.units import quantity


def job_faults(job: dict[str, Any]) -> tuple[TrainingJobSpec | None, list[str]]:
    """The spec of a job's document, and a line for each field at fault.

    Args:
        job: As it was written down.

    Returns:
        The spec where its fields have their types, whether or not it breaks a rule.
    """
    if job.get("apiVersion") != API_VERSION:
        return None, [f"apiVersion: must be {API_VERSION}"]
    if job.get("kind") != KIND:
        return None, [f"kind: must be {KIND}"]
    metadata = job.get("metadata")
    if not isinstance(metadata, dict):
        return None, ["metadata: required"]
    if faults := _metadata_faults(metadata):
        return None, faults
    if other := sorted(map(str, job.keys() - _TOP)):
        return None, [f"{name}: no such field: is it one of spec's?" for name in other]
    given = _without_nulls(job.get("spec"))
    if faults := _mistyped(given, _spec_schema(), "spec"):
        return None, faults
    try:
        spec = TrainingJobSpec.model_validate(given)
    except ValidationError as error:
        return None, [_fault(each) for each in error.errors()]
    return spec, [
        *_broken_rules({"metadata": metadata}, JOB_RULES, ""),
        *_broken_in(spec, "spec"),
    ]


_TOP = {"apiVersion", "kind", "metadata", "spec", "status"}


@cache
def _spec_schema() -> dict[str, Any]:
    return structural_schema(TrainingJobSpec)


def _without_nulls(value: Any) -> Any:
    """The API server takes a field that is null for one that is left out."""
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: _without_nulls(each) for name, each in value.items() if each is not None}


def _mistyped(value: Any, node: dict[str, Any], where: str) -> list[str]:
    """What was written as another type, which pydantic would make fit and the API server not."""
    if isinstance(value, dict):
        fields = node.get("properties", {})
        return [
            fault
            for name, each in value.items()
            for fault in _mistyped(each, fields.get(name, {}), f"{where}.{name}")
        ]
    if isinstance(value, list):
        below = node.get("items", {})
        return [
            fault
            for index, each in enumerate(value)
            for fault in _mistyped(each, below, f"{where}[{index}]")
        ]
    wanted = node.get("type")
    if wanted not in ("integer", "number", "boolean"):
        return []
    if isinstance(value, str):
        return [f"{where}: must be of type {wanted}: leave the quotation marks out"]
    if isinstance(value, bool) != (wanted == "boolean"):
        return [f"{where}: must be of type {wanted}"]
    return []


def _metadata_faults(metadata: dict[str, Any]) -> list[str]:
    """What no object may be called, or be labelled with; a name's length is one of `JOB_RULES`."""
    name, labels = metadata.get("name"), metadata.get("labels") or {}
    if not isinstance(name, str) or not name:
        return ["metadata.name: required"]
    if not isinstance(labels, dict):
        return ["metadata.labels: must map names to values"]
    faults = [] if OBJECT_NAME.holds(name) else [f"metadata.name: {OBJECT_NAME.message}"]
    for key, value in labels.items():
        for form, text in ((LABEL_NAME, key), (LABEL_VALUE, value)):
            if not form.holds(text):
                faults.append(f"metadata.labels: {text!r}: {form.message}")
    return faults


def _fault(error: Any) -> str:
    where = "spec"
    for part in error["loc"]:
        where += f"[{part}]" if isinstance(part, int) else f".{part}"
    message = {"missing": "required", "extra_forbidden": "no such field"}.get(error["type"])
    return f"{where}: {message or error['msg']}"


def _broken_in(part: Schema, where: str) -> list[str]:
    """Rules that this part of the spec, or a part of it, breaks."""
    content = part.model_dump(mode="json", by_alias=True, exclude_none=True)
    faults = _broken_rules(content, part.rules, where) + _repeated(part, where)
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
    this = {"self": json_to_cel(content)}
    # A rule about oldSelf is one for updates: a file has no past.
    return [
        f"{(where + (rule.field_path or '')) or 'metadata.name'}: {rule.message}"
        for rule in rules
        if "oldSelf" not in rule.cel and not _program(rule.cel).evaluate(this)
    ]


@cache
def _program(cel: str) -> Any:
    environment = celpy.Environment()
    return environment.program(environment.compile(cel), functions=_QUANTITIES)


def _is_quantity(text: Any) -> Any:
    try:
        quantity(str(text))
    except ValueError:
        return celtypes.BoolType(False)
    return celtypes.BoolType(True)


def _compared(one: Any, other: Any) -> Any:
    return celtypes.IntType((one > other) - (one < other))


_QUANTITIES: dict[str, Any] = {
    "isQuantity": _is_quantity,
    "quantity": lambda text: quantity(str(text)),
    "compareTo": _compared,
    "isInteger": lambda amount: celtypes.BoolType(amount == amount.to_integral_value()),
    "asInteger": lambda amount: celtypes.IntType(int(amount)),
    "sign": lambda amount: _compared(amount, 0),
    "replace": lambda text, old, new: celtypes.StringType(text.replace(old, new)),
}
"""Of Kubernetes' own CEL libraries, what the rules use."""


def _repeated(part: Schema, where: str) -> list[str]:
    """The schema's list type: who is told apart by some fields is there once."""
    faults = []
    for name, field in type(part).model_fields.items():
        extra: Any = field.json_schema_extra or {}
        keys, seen = extra.get(LIST_KEYS, ()), list[Any]()
        for index, each in enumerate(getattr(part, name) if keys else ()):
            dumped = each.model_dump(mode="json", by_alias=True)
            told = {key: dumped[key] for key in keys}
            if told in seen:
                below = f"{where}.{field.alias or name}[{index}]"
                faults.append(f"{below}: Duplicate value: {told}")
            seen.append(told)
    return faults
