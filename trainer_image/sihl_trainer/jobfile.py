"""A TrainingJob from a file, held to the same rules that the API server holds it to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import celpy
import yaml
from celpy.adapter import json_to_cel
from pydantic import ValidationError

from sihl_api.trainingjob import API_VERSION, JOB_RULES, KIND, Rule, Schema, TrainingJobSpec
from sihl_trainer.errors import BadConfig


@dataclass(frozen=True)
class JobFile:
    """A job as it was written down."""

    namespace: str
    name: str
    spec: TrainingJobSpec


def read_job(path: Path) -> JobFile:
    """Read and check a job's file.

    Raises:
        BadConfig: not a valid TrainingJob; the message has a line for each field at fault.
    """
    job = _document(path)
    metadata = job.get("metadata")
    if not isinstance(metadata, dict):
        raise _invalid(path, ["metadata: required"])
    name = metadata.get("name")
    if not isinstance(name, str) or not name:
        raise _invalid(path, ["metadata.name: required"])
    try:
        spec = TrainingJobSpec.model_validate(job.get("spec"))
    except ValidationError as error:
        raise _invalid(path, [_fault(each) for each in error.errors()]) from None
    faults = [
        *_broken_rules({"metadata": metadata}, JOB_RULES, ""),
        *_broken_in(spec, "spec"),
        *_repeated_heads(spec),
    ]
    if faults:
        raise _invalid(path, faults)
    return JobFile(str(metadata.get("namespace") or "default"), name, spec)


def _document(path: Path) -> dict[str, Any]:
    try:
        documents = [each for each in yaml.safe_load_all(path.read_text()) if each is not None]
    except OSError as error:
        raise BadConfig("JobFileUnreadable", f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadConfig("JobFileUnreadable", f"{path} is not YAML: {error}") from None
    jobs = [each for each in documents if isinstance(each, dict) and each.get("kind") == KIND]
    if len(jobs) != 1:
        raise BadConfig(
            "JobFileUnreadable",
            f"{path} holds {len(jobs)} documents of kind {KIND}, where it takes exactly one",
        )
    if jobs[0].get("apiVersion") != API_VERSION:
        raise _invalid(path, [f"apiVersion: must be {API_VERSION}"])
    return jobs[0]


def _invalid(path: Path, faults: list[str]) -> BadConfig:
    lines = "".join(f"\n  {fault}" for fault in faults)
    return BadConfig("JobInvalid", f"{path} is not a valid {KIND}:{lines}")


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
