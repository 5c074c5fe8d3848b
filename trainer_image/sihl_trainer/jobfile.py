"""A TrainingJob from a file, held to the same rules that the API server holds it to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sihl_api.manifest import Loader
from sihl_api.rules import job_faults
from sihl_api.trainingjob import KIND, TrainingJobSpec
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
    spec, faults = job_faults(job)
    if spec is None or faults:
        raise _invalid(path, faults)
    metadata = job["metadata"]
    return JobFile(str(metadata.get("namespace") or "default"), metadata["name"], spec)


def _document(path: Path) -> dict[str, Any]:
    try:
        found = yaml.load_all(path.read_text(), Loader)
        documents = [each for each in found if each is not None]
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
    return jobs[0]


def _invalid(path: Path, faults: list[str]) -> BadConfig:
    lines = "".join(f"\n  {fault}" for fault in faults)
    return BadConfig("JobInvalid", f"{path} is not a valid {KIND}:{lines}")
