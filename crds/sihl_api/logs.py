"""How a line of the log is spelled where tools take it: one line is one JSON object."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sihl_api.times import rfc3339

JSON = "json"
TEXT = "text"
FORMATS = (TEXT, JSON)
"""How log lines may be spelled."""

Job = Mapping[str, Any]
"""Of which job a line tells: namespace, name, uid, attempt, as far as they are known."""

_ABOUT: ContextVar[Job | None] = ContextVar("sihl_job", default=None)


@contextmanager
def about(job: Job) -> Iterator[None]:
    """Lines that are logged while the context lasts, in this task or thread, tell of a job."""
    before = _ABOUT.get()
    _ABOUT.set(job)
    try:
        yield
    finally:
        _ABOUT.set(before)  # not by the token: a task that is thrown away is closed outside of it


class JsonFormatter(logging.Formatter):
    """`{"time": ..., "level": ..., "logger": ..., "message": ..., "job": {...}, "exception": ...}`.

    What is not there is left out. All of it is ASCII: no character of a message breaks the line.

    Args:
        job: Of a process that serves but one.
    """

    def __init__(self, job: Job | None = None) -> None:
        super().__init__()
        self._job = job

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        fields: dict[str, Any] = {
            "time": rfc3339(record.created, "milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if job := self._job or _ABOUT.get() or _as_kopf_tells(record):
            fields["job"] = dict(job)
        if record.exc_info and record.exc_info[0] is not None:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = self.formatStack(record.stack_info)
        return json.dumps(fields, default=str)


def _as_kopf_tells(record: logging.LogRecord) -> Job | None:
    told = getattr(record, "k8s_ref", None)
    if not isinstance(told, Mapping):
        return None
    return {key: told[key] for key in ("namespace", "name", "uid") if told.get(key)} or None


def log_as_json(level: int | str) -> None:
    """Have this process log JSON: Python's own warnings, and what ends it, too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)

    def ended(*error: Any) -> None:
        logging.getLogger("sihl").critical("the process ends", exc_info=error)

    sys.excepthook = ended
