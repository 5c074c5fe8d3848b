"""The invariants, held against the API server's own log: what happened, not what anyone says.

Each write that took effect is in the audit log with the object as it then was. Resource versions
are revisions of one etcd, so that they order the writes of all objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OPERATOR = "system:serviceaccount:sihl-system:sihl-operator"
OVER = ("Succeeded", "Failed")
UNSEEN = {"observedGeneration": -1}
"""The status that the CRD gives each new job."""
ACTIVE = ("Starting", "Running", "Stopping")
_WRITES = ("create", "update", "patch", "delete")


@dataclass(frozen=True)
class Write:
    """One write that took effect.

    Attributes:
        revision: etcd's, of the write.
        kind: "Pod" or "TrainingJob".
        user: Who wrote.
        gone: The object is no more.
        object: As it was afterwards, or last.
    """

    revision: int
    kind: str
    user: str
    gone: bool
    object: dict[str, Any]

    @property
    def uid(self) -> str:
        """The object's."""
        return str(self.object["metadata"]["uid"])

    @property
    def status(self) -> dict[str, Any]:
        """The object's, empty at first."""
        found: dict[str, Any] = self.object.get("status") or {}
        return found

    def __str__(self) -> str:
        metadata = self.object["metadata"]
        said = {name: self.status.get(name) for name in ("phase", "attempt", "reason")}
        left = f"gone={self.gone}, grace={metadata.get('deletionGracePeriodSeconds')}"
        return f"{self.revision} {metadata['name']} {self.uid} by {self.user}: {said}, {left}"


def entries(log: Path) -> Iterator[dict[str, Any]]:
    """Completed requests, of all files of an audit log, in no order."""
    for file in log.parent.glob(f"{log.stem}*{log.suffix}"):
        with file.open() as lines:
            for line in lines:
                entry = json.loads(line)
                if entry.get("stage") == "ResponseComplete":
                    yield entry


def writes(entries: Iterable[dict[str, Any]]) -> list[Write]:
    """The writes of pods and jobs among completed requests, in the order of their effect."""
    return sorted(_writes(entries), key=lambda write: write.revision)


def _writes(entries: Iterable[dict[str, Any]]) -> Iterator[Write]:
    for entry in entries:
        found = entry.get("responseObject") or {}
        kind, metadata = found.get("kind"), found.get("metadata") or {}
        if (
            entry["verb"] in _WRITES
            and entry["responseStatus"]["code"] < 300
            and kind in ("Pod", "TrainingJob")
            and "dryRun" not in entry["requestURI"]
        ):
            gone = entry["verb"] == "delete" and (
                metadata.get("deletionGracePeriodSeconds") == 0
                or (kind == "TrainingJob" and not metadata.get("finalizers"))
            )
            user = entry["user"]["username"]
            yield Write(int(metadata["resourceVersion"]), kind, user, gone, found)


@dataclass
class Witness:
    """Follows writes, and notes what must never happen.

    Attributes:
        broken: A sentence for each invariant that was broken.
    """

    broken: list[str] = field(default_factory=list)
    _jobs: dict[str, dict[str, Any]] = field(default_factory=dict)  # status by the job's uid
    _pods: dict[str, dict[str, str]] = field(default_factory=dict)  # labels by uid, while it works
    _known: set[str] = field(default_factory=set)  # pods by uid
    _succeeded: set[tuple[str, int]] = field(default_factory=set)  # attempts

    def see(self, write: Write) -> None:
        """Take one more write."""
        if write.kind == "TrainingJob":
            self._see_job(write)
        elif "sihl.ai/job-uid" in (write.object["metadata"].get("labels") or {}):
            self._see_pod(write)

    def _see_pod(self, write: Write) -> None:
        labels = write.object["metadata"]["labels"]
        name = write.object["metadata"]["name"]
        if write.uid not in self._known:
            self._known.add(write.uid)
            self._see_new_pod(write, name, labels)
        if write.status.get("phase") == "Succeeded":
            self._succeeded.add(_attempt_of(labels))
        if write.gone or write.status.get("phase") in OVER:
            self._pods.pop(write.uid, None)

    def _see_new_pod(self, write: Write, name: str, labels: dict[str, str]) -> None:
        if write.user != OPERATOR:
            self._note(write, f"{name} was made by {write.user}")
        place = write.object["metadata"]["namespace"], labels["sihl.ai/queue"]
        for other in self._pods.values():
            if (other["namespace"], other["sihl.ai/queue"]) == place:
                self._note(write, f"{name}: a second pod of the queue {place[1]}")
        uid, attempt = _attempt_of(labels)
        status = self._jobs.get(uid, {})
        if attempt > status.get("attempt", 0):
            self._note(write, f"{name}: of attempt {attempt}, which its job's status does not have")
        self._pods[write.uid] = {**labels, "namespace": place[0]}

    def _see_job(self, write: Write) -> None:
        name, uid, new = write.object["metadata"]["name"], write.uid, write.status
        old = self._jobs.get(uid, {})
        self._jobs[uid] = new
        if new == old or write.gone or (not old and new == UNSEEN):
            return
        if write.user != OPERATOR:
            self._note(write, f"{name}: its status was written by {write.user}")
        for what, before, after in (
            ("attempt", old.get("attempt", 0), new.get("attempt", 0)),
            ("count of failures", old.get("failures", 0), new.get("failures", 0)),
            ("checkpoint's step", _step(old), _step(new)),
        ):
            if after < before:
                self._note(write, f"{name}: the {what} fell from {before} to {after}")
        past, phase = old.get("phase"), new.get("phase")
        if past in OVER and phase != past:
            self._note(write, f"{name}: {past} was not final")
        if phase in ACTIVE and past not in ACTIVE:
            self._see_admission(write, old)
        if phase == "Succeeded" and (uid, new.get("attempt")) not in self._succeeded:
            self._note(write, f"{name}: Succeeded, and no pod of its attempt did")
        if past in ("Running", "Stopping") and phase not in ACTIVE and self._works(uid, new):
            self._note(write, f"{name}: {phase} while its pod works")

    def _see_admission(self, write: Write, old: dict[str, Any]) -> None:
        name, new = write.object["metadata"]["name"], write.status
        if new["phase"] != "Starting" or new.get("attempt", 0) != old.get("attempt", 0) + 1:
            self._note(write, f"{name}: {new['phase']} without a new attempt")
        if write.object["spec"].get("suspend"):
            self._note(write, f"{name}: admitted while suspended")
        place = write.object["metadata"]["namespace"], new["queue"]
        for uid, pod in self._pods.items():
            if (pod["namespace"], pod["sihl.ai/queue"]) == place:
                self._note(write, f"{name}: admitted while the pod {uid} of its queue works")

    def _works(self, uid: str, status: dict[str, Any]) -> bool:
        attempt = uid, status.get("attempt", 0)
        return any(_attempt_of(labels) == attempt for labels in self._pods.values())

    def _note(self, write: Write, what: str) -> None:
        self.broken.append(f"revision {write.revision}: {what}")


def _attempt_of(labels: dict[str, str]) -> tuple[str, int]:
    return labels["sihl.ai/job-uid"], int(labels["sihl.ai/attempt"])


def _step(status: dict[str, Any]) -> int:
    return int((status.get("checkpoint") or {}).get("step") or 0)
