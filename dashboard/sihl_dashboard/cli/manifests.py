"""Jobs to be submitted: read from a file, or made from an earlier one."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import yaml

from sihl_api.manifest import Loader
from sihl_api.trainingjob import API_VERSION, KIND
from sihl_dashboard.cli.assignments import Assignment, assigned
from sihl_dashboard.cli.errors import CommandError
from sihl_dashboard.cli.terminal import shown

_NUMBERED = re.compile(r"(.+)-(\d{1,9})")
_LONGEST_NAME = 63
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def read(file: str, stdin: TextIO) -> dict[str, Any]:
    """The one TrainingJob of a YAML or JSON file; `-` is standard input.

    Raises:
        CommandError: it cannot be read, or holds none or several.
    """
    name = "standard input" if file == "-" else file
    try:
        text = stdin.read() if file == "-" else Path(file).read_text()
        found = yaml.load_all(text, Loader)
        documents = [each for each in found if each is not None]
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise CommandError(f"{shown(name)} cannot be read: {why}") from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        told = getattr(error, "problem", None) or "correct it"
        raise CommandError(f"{shown(name)}{line} is not YAML: {shown(told)}") from None
    jobs = [each for each in documents if isinstance(each, dict) and each.get("kind") == KIND]
    if len(jobs) != 1:
        raise CommandError(
            f"{shown(name)} holds {len(jobs)} documents of kind {KIND}, where submit takes exactly "
            "one; kubectl apply takes any number"
        )
    job: dict[str, Any] = jobs[0]
    if job.get("apiVersion") != API_VERSION:
        raise CommandError(f"{shown(name)}: apiVersion must be {API_VERSION}")
    metadata, spec = job.get("metadata"), job.get("spec")
    if not isinstance(metadata, dict) or not (metadata.get("name") or metadata.get("generateName")):
        raise CommandError(f"{shown(name)}: give the job a metadata.name")
    if not isinstance(spec, dict):
        raise CommandError(f"{shown(name)}: it has no spec; examples/ shows some")
    return job


def changed(
    job: Mapping[str, Any], assignments: Sequence[Assignment], name: str | None = None
) -> dict[str, Any]:
    """The job with fields of its spec set, and perhaps another name. Raises UsageError."""
    found = {**job, "spec": assigned(dict(job["spec"]), assignments)}
    if name:
        found["metadata"] = {**job["metadata"], "name": name}
    return found


def clone(job: Mapping[str, Any], assignments: Sequence[Assignment], name: str) -> dict[str, Any]:
    """A new job like another: its spec, labels and annotations; not stopped, whatever that one is.

    Raises:
        UsageError: an assignment fits no field.
    """
    spec = {key: value for key, value in job["spec"].items() if key != "suspend"}
    metadata: dict[str, Any] = {"name": name}
    for kind in ("labels", "annotations"):
        kept = {k: v for k, v in (job["metadata"].get(kind) or {}).items() if k != _APPLIED}
        if kept:
            metadata[kind] = kept
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": metadata,
        "spec": assigned(spec, assignments),
    }


def next_name(name: str, taken: Collection[str]) -> str:
    """The next free one of a series: `cells`, `cells-2`, `cells-3`."""
    match = _NUMBERED.fullmatch(name)
    stem, number = (match[1], int(match[2])) if match else (name, 1)
    while True:
        number += 1
        ending = f"-{number}"
        found = f"{stem[: _LONGEST_NAME - len(ending)].rstrip('-.')}{ending}"
        if found not in taken:
            return found
