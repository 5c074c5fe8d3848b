"""What the operator says in a container's environment."""

from __future__ import annotations

from collections.abc import Mapping

from sihl_api.runtime import Env, JobReference
from sihl_trainer.errors import BadConfig


def attempt_of(environ: Mapping[str, str]) -> int:
    """The number of the job's attempt.

    Raises:
        BadConfig: The variable holds none.
    """
    text = environ.get(Env.ATTEMPT, "")
    if not text.isdecimal():
        raise BadConfig(
            "AttemptUnreadable", f"the variable {Env.ATTEMPT} holds {text!r}, not a number"
        )
    return int(text)


def job_of(environ: Mapping[str, str]) -> JobReference:
    """The job that the container works for.

    Raises:
        BadConfig: The variable is missing, or from an operator of another release.
    """
    try:
        return JobReference.model_validate_json(environ.get(Env.JOB, ""))
    except ValueError as error:
        raise BadConfig(
            "JobUnreadable",
            f"the trainer's image cannot read the job in the variable {Env.JOB}: take one of the "
            f"operator's release, in runner.image or the chart's trainer.image ({error})",
        ) from None
