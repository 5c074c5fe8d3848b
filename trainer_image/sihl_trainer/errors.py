"""Ends that the trainer can explain: each has its exit code, a reason and a person's message."""

# ruff: noqa: N818 (they are named for the exit code that they end with)

from __future__ import annotations

from typing import ClassVar

from sihl_api.runtime import ExitCode, Result
from sihl_api.text import shortened

_LONGEST = 1500


class TrainerError(Exception):
    """What ends a container of the pod, told in full.

    Args:
        reason: CamelCase; becomes the reason of a condition.
        message: Names the file, field or resource, and what to do.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.CRASHED

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)  # both in `args`: pickles across processes
        self.reason = reason
        self.message = _plain(message)

    def __str__(self) -> str:
        return self.message

    @property
    def result(self) -> Result:
        """What to leave in the termination log."""
        return Result(reason=self.reason, message=self.message)


def _plain(message: str) -> str:
    """Printable, whatever a dataset or a store made it hold: a log shows it as it is.

    Its own line breaks are followed by an indent, so that none looks like a line of the log.
    """
    lines = shortened(message, _LONGEST).split("\n  ")
    return "\n  ".join(
        "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) for line in lines
    )


class BadData(TrainerError):
    """The dataset is at fault; no retry helps."""

    exit_code = ExitCode.BAD_DATA


class BadConfig(TrainerError):
    """The job, or a Secret that it names, is at fault; no retry helps."""

    exit_code = ExitCode.BAD_CONFIG


class Refused(TrainerError):
    """A store that answers, and refuses: its keys, its bucket or its policy can be mended.

    Another try helps once somebody has.
    """

    exit_code = ExitCode.REFUSED


class Unavailable(TrainerError):
    """A store did not answer, or changed under our hands; a later try may succeed."""

    exit_code = ExitCode.UNAVAILABLE


class DiskFull(TrainerError):
    """What must be on the node's disk does not fit now; a later attempt may find room."""


class OutOfMemory(TrainerError):
    """More memory than the job may use, of the host or of the GPU."""

    exit_code = ExitCode.OUT_OF_MEMORY
