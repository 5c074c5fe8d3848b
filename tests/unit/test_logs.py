"""Logs as JSON: one line is one object, whatever is logged; the record's text stays as it is."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sihl_api.logs import JsonFormatter, about
from sihl_api.runtime import Env
from sihl_operator.settings import Settings
from sihl_trainer.loglines import JsonLines, formatter
from sihl_trainer.supervisor.output import Redactor
from tests.unit.test_operator_pod import containers, rendered

JOB = {"namespace": "team", "name": "cells-1", "uid": "u-1", "attempt": 2}


def record(message: str, error: Exception | None = None, **extra: Any) -> logging.LogRecord:
    """What a logger hands to its handlers."""
    info = None if error is None else (type(error), error, error.__traceback__)
    made = logging.LogRecord("sihl_operator.acts", logging.ERROR, "f", 1, message, (), info)
    made.created = 1_800_000_000.25
    made.__dict__.update(extra)
    return made


def spelled(made: logging.LogRecord, job: dict[str, Any] | None = None) -> dict[str, Any]:
    """The object of a line."""
    found: dict[str, Any] = json.loads(JsonFormatter(job).format(made))
    return found


def failure(text: str) -> Exception:
    """An error that was raised, and has come from another."""
    try:
        try:
            raise KeyError(text)
        except KeyError as cause:
            raise ValueError(text) from cause
    except ValueError as error:
        return error


def test_a_line_says_when_how_bad_who_and_what() -> None:
    assert spelled(record("it broke")) == {
        "time": "2027-01-15T08:00:00.250Z",
        "level": "ERROR",
        "logger": "sihl_operator.acts",
        "message": "it broke",
    }


@given(st.text(), st.text(), st.text())
def test_whatever_is_logged_is_one_line_of_ascii_and_one_object(
    message: str, error: str, name: str
) -> None:
    line = JsonFormatter({"name": name}).format(record(message.replace("%", ""), failure(error)))
    assert line.isascii()
    assert len(line.splitlines()) == 1
    found = json.loads(line)
    assert found["job"] == {"name": name}
    assert "Traceback" in found["exception"]
    assert "The above exception was the direct cause" in found["exception"]


def test_lines_tell_of_the_job_that_is_being_acted_on_and_of_none_afterwards() -> None:
    with about(JOB):
        assert spelled(record("refused"))["job"] == JOB
        with about({"name": "another"}):
            assert spelled(record("refused"))["job"] == {"name": "another"}
        assert spelled(record("refused"))["job"] == JOB
    assert "job" not in spelled(record("refused"))


def test_kopfs_own_lines_tell_of_the_object_that_kopf_handles() -> None:
    reference = {"apiVersion": "sihl.ai/v1alpha1", "kind": "TrainingJob", **JOB}
    told = spelled(record("Handler failed", k8s_ref=reference))["job"]
    assert told == {"namespace": "team", "name": "cells-1", "uid": "u-1"}


class Listener:
    """What a supervisor's record and console are given."""

    def __init__(self) -> None:
        self.record: list[bytes] = []
        self.console: list[bytes] = []
        self.take = JsonLines(self.record.append, self.console.append, JOB)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.booleans())
@example("\n", True)
def test_the_record_has_a_line_as_it_has_it_where_logs_are_text(message: str, fails: bool) -> None:
    made = record(message.replace("%", ""), failure("x") if fails else None)
    heard = Listener()
    heard.take(formatter(as_json=True).format(made).encode())
    assert heard.record == [line.encode() for line in formatter().format(made).splitlines()]
    (line,) = map(json.loads, heard.console)
    assert line["job"] == JOB
    assert line["message"] == made.getMessage()
    assert ("exception" in line) == fails


@pytest.mark.parametrize(
    "printed",
    [b"epoch 3", b"", b'{"time": 3}', b'{"time"', b"\xff\xfe", b'{"time": "x", "level": "y"}'],
)
def test_what_a_worker_merely_prints_is_a_message_and_in_the_record_as_it_is(
    printed: bytes,
) -> None:
    heard = Listener()
    heard.take(printed)
    assert heard.record == [printed]
    (line,) = map(json.loads, heard.console)
    assert line["message"] == printed.decode(errors="replace")
    assert (line["logger"], line["job"]) == ("worker", JOB)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=4))
def test_no_secret_is_in_a_line_of_json(secret: str) -> None:
    line = JsonFormatter().format(record(f"the key is <{secret.replace('%', '')}>"))
    clean = Redactor([secret.replace("%", "")]).clean(line.encode())
    assert b"<[redacted]>" in clean or not secret.replace("%", "")


def test_pods_are_told_of_the_format_where_it_is_not_the_usual_one() -> None:
    told = [
        [
            variable["value"]
            for container in containers(rendered(settings))
            for variable in container["env"]
            if variable["name"] == Env.LOG_FORMAT
        ]
        for settings in (Settings(), Settings(log_format="json"))
    ]
    assert told == [[], ["json", "json"]]
