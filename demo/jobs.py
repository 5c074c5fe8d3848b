"""The demo's jobs: submitted, and seen as the cluster shows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from demo.chart import NAMESPACE
from demo.cluster import Cluster
from demo.commands import ROOT
from sihl_api.status import Phase
from sihl_api.trainingjob import PLURAL
from sihl_api.units import human_bytes

FILES = tuple(
    ROOT / "examples" / name
    for name in (
        "digits-detection.yaml",
        "digits-detection-fast.yaml",
        "digits-classification.yaml",
    )
)
"""In the order in which they are submitted: two of one project, one of another."""


@dataclass(frozen=True)
class JobView:
    """What the live view shows of a job."""

    name: str
    project: str
    phase: str = ""
    position: int | None = None
    dataset: str = ""
    step: str = ""
    left: str = ""
    metrics: dict[str, str] = field(default_factory=dict)
    model: str = ""
    trouble: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return bool(self.phase) and Phase(self.phase).ended


def read(path: Path) -> dict[str, Any]:
    """A job's file."""
    job: dict[str, Any] = yaml.safe_load(path.read_text())
    return job


def submit(cluster: Cluster, with_gpus: bool) -> list[str]:
    """Submit the jobs anew, those of an earlier demo being deleted; returns their names."""
    jobs = [read(path) for path in FILES]
    names = [job["metadata"]["name"] for job in jobs]
    cluster.kubectl(
        "delete", PLURAL, *names, "--namespace", NAMESPACE, "--ignore-not-found", "--timeout=5m"
    )
    for job in jobs:
        if not with_gpus:
            job["spec"].setdefault("runner", {})["gpus"] = 0
        cluster.kubectl("apply", "--namespace", NAMESPACE, "-f", "-", text=yaml.safe_dump(job))
    return names


def look(cluster: Cluster, names: Iterable[str]) -> list[JobView]:
    """The jobs as they are now, in the order of their names' list."""
    shown = {
        job["metadata"]["name"]: view(job)
        for job in cluster.get(PLURAL, "--namespace", NAMESPACE)["items"]
    }
    return [shown[name] for name in names if name in shown]


def view(job: dict[str, Any]) -> JobView:
    """A job's view from its raw object."""
    status = job.get("status", {})
    phase, progress = status.get("phase", ""), status.get("progress", {})
    failed = [
        condition
        for condition in status.get("conditions", [])
        if condition["type"] == "Failed" and condition["status"] == "True"
    ]
    fetched = _of(
        progress.get("datasetBytes"), progress.get("datasetTotalBytes"), human_bytes
    )  # fmt: skip
    is_training = progress.get("step") is not None
    return JobView(
        name=job["metadata"]["name"],
        project=job["spec"]["project"],
        phase=phase,
        position=status.get("queuePosition"),
        dataset="" if is_training else fetched,
        step=_of(progress.get("step"), progress.get("maxSteps"), str),
        # Between the fetch and the first step nobody knows, and the fetch's was another's.
        left=progress.get("remaining") or "" if is_training or phase == Phase.STARTING else "",
        metrics=status.get("metrics", {}),
        model=status.get("model", {}).get("uri", ""),
        trouble=f"{failed[0]['reason']}: {failed[0]['message']}" if failed else "",
    )


def _of(part: float | None, whole: float | None, show: Any) -> str:
    return "" if part is None or not whole else f"{show(part)} of {show(whole)}"
