"""The checker of the audit log sees each broken invariant, and none where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.witness import OPERATOR, Witness, writes

Entry = dict[str, Any]


def entry(revision: int, found: Entry, verb: str = "patch", user: str = OPERATOR) -> Entry:
    """As the API server logs it."""
    found["metadata"]["resourceVersion"] = str(revision)
    return {
        "verb": verb,
        "user": {"username": user},
        "requestURI": "/some",
        "responseStatus": {"code": 200},
        "responseObject": found,
    }


def job(phase: str, attempt: int = 1, name: str = "job", **status: Any) -> Entry:
    """A job of the queue `cells`."""
    return {
        "kind": "TrainingJob",
        "metadata": {"name": name, "namespace": "team", "uid": f"uid-{name}"},
        "spec": {"suspend": status.pop("suspend", False)},
        "status": {"phase": phase, "attempt": attempt, "queue": "cells", **status},
    }


def pod(phase: str, attempt: int = 1, owner: str = "job", **metadata: Any) -> Entry:
    """The pod of an attempt."""
    labels = {
        "sihl.ai/job-uid": f"uid-{owner}",
        "sihl.ai/attempt": str(attempt),
        "sihl.ai/queue": "cells",
    }
    uid = f"pod-{owner}-{attempt}"
    named = {"name": "cells-runner", "namespace": "team", "uid": uid, "labels": labels}
    return {"kind": "Pod", "metadata": {**named, **metadata}, "status": {"phase": phase}}


def broken(*found: Entry) -> list[str]:
    """What the witness says of entries in this order."""
    witness = Witness()
    for write in writes(found):
        witness.see(write)
    return witness.broken


def started(attempt: int = 1, name: str = "job", at: int = 1) -> list[Entry]:
    """Status, then pod, then both run."""
    return [
        entry(at, job("Queued", attempt - 1, name)),
        entry(at + 1, job("Starting", attempt, name)),
        entry(at + 2, pod("Pending", attempt, name), "create"),
        entry(at + 3, pod("Running", attempt, name), user="kubelet"),
        entry(at + 4, job("Running", attempt, name)),
    ]


ENDED = [
    entry(11, pod("Succeeded"), user="kubelet"),
    entry(12, job("Succeeded", checkpoint={"step": 9})),
    entry(13, pod("Succeeded", deletionGracePeriodSeconds=0), "delete"),
]
STOPPED = [
    entry(11, job("Stopping")),
    entry(12, pod("Running", deletionGracePeriodSeconds=30), "delete"),
    entry(13, pod("Running", deletionGracePeriodSeconds=0), "delete", "kubelet"),
    entry(14, job("Stopped", checkpoint={"step": 4})),
]


def test_jobs_that_run_stop_resume_and_follow_each_other_break_nothing() -> None:
    assert broken(*started(), *ENDED) == []
    assert broken(*started(), *ENDED, *started(name="next", at=20)) == []
    resumed = started(2, at=20)[1:]
    for each in resumed:
        if each["responseObject"]["kind"] == "TrainingJob":
            each["responseObject"]["status"]["checkpoint"] = {"step": 4}
    assert broken(*started(), *STOPPED, *resumed) == []


def test_the_order_is_that_of_revisions_and_not_of_the_log() -> None:
    assert broken(*reversed([*started(), *ENDED])) == []


def test_refused_and_dry_writes_and_reads_never_happened() -> None:
    refused, dry = entry(20, job("Starting", 7)), entry(21, job("Starting", 7))
    refused["responseStatus"]["code"] = 409
    dry["requestURI"] = "/some?dryRun=All"
    assert broken(*started(), refused, dry, entry(22, job("Starting", 7), "get")) == []


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([*started(), entry(9, pod("Pending", 1, "other"), "create")], "a second pod of the queue"),
        ([*started(), entry(9, job("Starting", 1, "other"))], "admitted while the pod"),
        (started()[:1] + started()[2:3], "which its job's status does not have"),
        ([*started(), entry(9, job("Running", 0))], "the attempt fell from 1 to 0"),
        ([entry(1, job("Starting", suspend=True))], "admitted while suspended"),
        ([entry(1, job("Running"))], "Running without a new attempt"),
        ([*started(), *ENDED, entry(20, job("Queued"))], "Succeeded was not final"),
        ([*started(), *ENDED, entry(20, job("Succeeded"))], "step fell from 9 to 0"),
        ([*started(), entry(9, job("Succeeded"))], "no pod of its attempt did"),
        ([*started(), entry(9, job("Stopped"))], "Stopped while its pod works"),
        ([*started(), entry(9, job("Stopping"), user="someone")], "was written by someone"),
        ([entry(1, pod("Pending", 0), "create", "someone")], "was made by someone"),
    ],
)  # fmt: skip
def test_each_broken_invariant_is_told(found: list[Entry], told: str) -> None:
    assert any(told in sentence for sentence in broken(*found)), broken(*found)
