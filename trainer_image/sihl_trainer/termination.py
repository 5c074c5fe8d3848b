"""The termination log: what a container says last, which Kubernetes puts into the pod's status."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from sihl_api.runtime import TERMINATION_LOG, Result

log = logging.getLogger(__name__)

PATH_VARIABLE = "SIHL_TERMINATION_LOG"
"""Where the log lies instead, outside a pod."""


def termination_log() -> Path:
    """The file that the kubelet reads once the container has ended."""
    return Path(os.environ.get(PATH_VARIABLE, TERMINATION_LOG))


def write_result(result: Result) -> None:
    """Leave a container's result. Never fails: the exit code stands for itself."""
    try:
        termination_log().write_bytes(result.encode())
    except OSError as error:
        log.warning("The result could not be left in the termination log: %s", error)
