"""How a line of the log is spelled: with its time, by which a reader finds a moment of training."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from sihl_api.logs import JSON, Job, JsonFormatter
from sihl_api.runtime import Env, JobReference
from sihl_api.times import rfc3339
from sihl_trainer.environment import attempt_of, job_of
from sihl_trainer.errors import BadConfig

Sink = Callable[[bytes], None]

_OURS = {"time", "level", "logger", "message"}


def is_json(environ: Mapping[str, str]) -> bool:
    """Whether a container's lines are to be JSON."""
    return environ.get(Env.LOG_FORMAT) == JSON


def job_fields(job: JobReference, attempt: int) -> Job:
    """What tells of which job a line is."""
    return {"namespace": job.namespace, "name": job.name, "uid": job.uid, "attempt": attempt}


def formatter(as_json: bool = False, job: Job | None = None) -> logging.Formatter:
    """`2026-01-02T03:04:05Z INFO what happened`, or the same as a JSON object."""
    if as_json:
        return JsonFormatter(job)
    made = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    made.converter = time.gmtime
    return made


def log_to_console(environ: Mapping[str, str]) -> None:
    """Have a process that does nothing but fetch print its lines."""
    console = logging.StreamHandler(sys.stdout)
    job = None
    with contextlib.suppress(BadConfig):  # it is told later, by who cannot do without
        job = job_fields(job_of(environ), attempt_of(environ))
    console.setFormatter(formatter(is_json(environ), job))
    logging.basicConfig(level=logging.INFO, handlers=[console])
    logging.getLogger("botocore").setLevel(logging.WARNING)


class JsonLines:
    """Takes the lines of supervisor and worker: the record has them as text, the console as JSON.

    Args:
        record: Is given text: a record reads the same whatever the console's tools want.
        console: Is given an object a line, what the worker merely prints too.
        job: Of which all of them are.
    """

    def __init__(self, record: Sink, console: Sink, job: Job) -> None:
        self._record = record
        self._console = console
        self._job = dict(job)

    def __call__(self, line: bytes) -> None:
        """A line, without its end."""
        fields = _fields(line)
        if fields is None:
            self._record(line)
            fields = _printed(line)
        else:
            for each in _as_text(fields).splitlines():
                self._record(each.encode())
        self._console(json.dumps({**fields, "job": self._job}).encode())


def _fields(line: bytes) -> dict[str, Any] | None:
    """Those of a line that one of our own loggers spelled; None where somebody else printed it."""
    if not line.startswith(b'{"time"'):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    ours = isinstance(found, dict) and all(isinstance(found.get(key), str) for key in _OURS)
    return found if ours else None


def _as_text(fields: Mapping[str, Any]) -> str:
    told = f"{fields['time'][:19]}Z {fields['level']} {fields['message']}"
    if not (exception := fields.get("exception")):
        return told
    return told + ("" if told.endswith("\n") else "\n") + str(exception)  # as `logging` does


def _printed(line: bytes) -> dict[str, Any]:
    at, text = rfc3339(time.time(), "milliseconds"), line.decode(errors="replace")
    return {"time": at, "level": "INFO", "logger": "worker", "message": text}
