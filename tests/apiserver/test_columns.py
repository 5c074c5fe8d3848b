"""What `kubectl get sihljob` shows."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_cluster import programs
from tests.apiserver.test_crd import Jobs
from tests.support.invalid import GOOD

STATUS: dict[str, Any] = {
    "phase": "Running",
    "queue": "cells",
    "queuePosition": 3,
    "attempt": 2,
    "nodeName": "node-a",
    "progress": {"step": 42, "maxSteps": 100, "percent": 42, "remaining": "1m20s"},
    "metrics": {"boxes/map": "0.61"},
    "conditions": [
        {
            "type": "Accepted",
            "status": "True",
            "reason": "Valid",
            "message": "",
            "lastTransitionTime": "2027-01-15T08:00:00Z",
        },
        {
            "type": "Admitted",
            "status": "True",
            "reason": "Admitted",
            "message": "",
            "lastTransitionTime": "2027-01-15T08:00:00Z",
        },
    ],
}


@pytest.fixture
def jobs(kubeconfig: Path) -> Iterator[Jobs]:
    jobs = Jobs(kubeconfig)
    for name, status in (("job", STATUS), ("new", {"phase": "Queued", "queue": "cells"})):
        jobs.create({**GOOD, "metadata": {"name": name}})
        jobs.patch_status(name, status)
    yield jobs
    for name in ("job", "new"):
        jobs.delete(name)


def shown(kubeconfig: Path, *options: str) -> dict[str, dict[str, str]]:
    """By job, the cells by their headers."""
    done = subprocess.run(
        [programs.program("kubectl"), "get", "sihljob", *options],
        env={**os.environ, "KUBECONFIG": str(kubeconfig)}, stdout=subprocess.PIPE, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    header, *rows = done.stdout.splitlines()
    starts = [match.start() for match in re.finditer(r"\S+", header)]
    names = header.split()

    def cells(row: str) -> list[str]:
        return [row[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)]

    table = [dict(zip(names, cells(row), strict=True)) for row in rows]
    return {row.pop("NAME"): row for row in table}


def test_a_job_is_shown_with_queue_phase_reason_position_progress_time_left_and_age(
    kubeconfig: Path, jobs: Jobs
) -> None:
    row = shown(kubeconfig)["job"]
    assert re.fullmatch(r"\d+[sm].*", row.pop("AGE"))
    assert row == {
        "QUEUE": "cells", "PHASE": "Running", "REASON": "Admitted", "POSITION": "3",
        "PROGRESS": "42", "LEFT": "1m20s",
    }  # fmt: skip


def test_wide_a_job_is_shown_with_node_attempt_and_metrics_too(
    kubeconfig: Path, jobs: Jobs
) -> None:
    narrow, wide = shown(kubeconfig)["job"], shown(kubeconfig, "-o", "wide")["job"]
    assert [name for name in wide if name not in narrow] == ["NODE", "ATTEMPT", "METRICS"]
    assert (wide["NODE"], wide["ATTEMPT"]) == ("node-a", "2")
    assert wide["METRICS"] == '{"boxes/map":"0.61"}'


def test_what_a_job_does_not_have_yet_is_left_blank(kubeconfig: Path, jobs: Jobs) -> None:
    row = shown(kubeconfig, "-o", "wide")["new"]
    assert [row[name] for name in ("PHASE", "POSITION", "PROGRESS", "NODE")] == [
        "Queued",
        "",
        "",
        "",
    ]
