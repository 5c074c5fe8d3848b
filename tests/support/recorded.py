"""Records as jobs leave them, to be read: written object by object, merged as far as one likes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sihl_api.record import JobRecord, JobSummary, RecordPaths
from sihl_api.trainingjob import TrainingJobSpec
from sihl_dashboard.records.place import Content, Item, Place
from sihl_dashboard.records.refs import JobRef

Put = Callable[[str, bytes], None]
SPEC: dict[str, Any] = {
    "project": "cells",
    "dataset": {"train": {"endpoint": "http://s3", "bucket": "data"}},
    "model": {"heads": [{"name": "boxes", "task": "ObjectDetection"}]},
    "training": {"maxSteps": 100, "batchSize": 4},
}
CREATED = "2026-01-02T03:00:00Z"


@dataclass(frozen=True)
class Recorded:
    """One job's record.

    Args:
        put: Writes an object.
        name: The job's.
        prefix: Of the store.
        project: The job's.
    """

    put: Put
    name: str = "night"
    prefix: str = ""
    uid: str = "0123456789abcdef"
    project: str = "cells"

    @property
    def ref(self) -> JobRef:
        """As a reader names it."""
        return JobRef("team-a", self.project, f"{self.name}.{self.uid[:8]}")

    @property
    def paths(self) -> RecordPaths:
        """Where its parts lie."""
        return RecordPaths(self.prefix, "team-a", self.project, self.name, self.uid)

    def job(self, spec: Mapping[str, Any] = SPEC, **more: Any) -> None:
        """Write job.json."""
        record = JobRecord(
            namespace="team-a",
            name=self.name,
            uid=self.uid,
            spec=TrainingJobSpec.model_validate(spec),
            **{"created_at": CREATED, "image": "trainer:1", **more},
        )
        self.put(self.paths.job_json, record.model_dump_json(by_alias=True).encode())

    def summary(self, attempts: Iterable[Mapping[str, Any]] = (), **more: Any) -> None:
        """Write summary.json."""
        told = {"updatedAt": "2026-01-02T04:00:00Z", "attempts": list(attempts), **more}
        summary = JobSummary.model_validate(told)
        self.put(self.paths.summary, summary.model_dump_json(by_alias=True).encode())

    def metrics(self, attempt: int, segment: int, *lines: dict[str, Any]) -> None:
        """Write one segment of metrics."""
        text = "".join(json.dumps(each) + "\n" for each in lines)
        self.put(self.paths.metrics(attempt, segment), text.encode())

    def log(self, attempt: int, segment: int, text: str) -> None:
        """Write one segment of the log."""
        self.put(self.paths.log(attempt, segment), text.encode())


def recorded(root: Path, name: str = "night", **more: str) -> Recorded:
    """A record in a folder."""

    def put(key: str, data: bytes) -> None:
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(data)

    return Recorded(put, name, **more)


def train(step: int, loss: float, time: str = CREATED) -> dict[str, Any]:
    """A line of metrics."""
    return {"time": time, "step": step, "kind": "train", "values": {"loss": loss}}


def validation(step: int, value: float, time: str = CREATED) -> dict[str, Any]:
    """A line of metrics."""
    return {"time": time, "step": step, "kind": "validation", "values": {"boxes/map": value}}


def changed(spec: Mapping[str, Any], **training: Any) -> dict[str, Any]:
    """A spec with other values of training."""
    return {**spec, "training": {**spec.get("training", {}), **training}}


class Watched:
    """A place that counts what it is asked, and lets something happen before it answers."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.is_near = False
        self.is_near = False  # as a store afar: several threads read
        self.prefix = place.prefix
        self.name = place.name
        self.asked: list[str] = []
        self.before: Callable[[str], None] = lambda _: None

    def folders(self, prefix: str) -> list[str]:
        self._note(f"folders {prefix}")
        return self._place.folders(prefix)

    def items(self, prefix: str, after: str = "") -> list[Item]:
        self._note(f"items {prefix} after {after}" if after else f"items {prefix}")
        return self._place.items(prefix, after)

    def get(self, key: str) -> Content:
        self._note(f"get {key}")
        return self._place.get(key)

    def changed(self, key: str, tag: str) -> Content | None:
        self._note(f"changed {key}")
        return self._place.changed(key, tag)

    def part(self, key: str, start: int, end: int) -> bytes:
        self._note(f"part {key}")
        return self._place.part(key, start, end)

    def _note(self, request: str) -> None:
        self.before(request)
        self.asked.append(request)
