"""Whom the operator asks how far it is, and how often: in virtual time."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from sihl_api.runtime import ProgressReport
from sihl_api.status import Progress
from sihl_operator import progress
from sihl_operator.settings import Settings
from sihl_operator.views import JobView, PodView
from tests.simulation.clock import VirtualLoop
from tests.support.objects import RUNNING, job, pod

WELL, SILENT = "10.0.0.1", "10.0.0.2"
INTERVAL = Settings().progress_interval


class Cluster:
    """Running jobs, each with a pod; stands for the world and for who is told."""

    leading = True

    def __init__(self, silent: int) -> None:
        names = ["well", *(f"silent-{number}" for number in range(silent))]
        jobs = [job(name, phase="Running") for name in names]
        self.jobs = {each.key: each for each in jobs}
        self.heard: list[float] = []

    @property
    def queues(self) -> Cluster:
        return self

    def active(self) -> list[Any]:
        return list(reversed(self.jobs))  # who answers comes last

    def pod_of(self, job: JobView) -> PodView:
        address = WELL if job.name == "well" else SILENT
        return pod(serves=job.name, containers={"trainer": RUNNING}, podIP=address)

    def tell_progress(self, job: JobView, pod: PodView, report: ProgressReport) -> None:
        assert job.name == "well"
        self.heard.append(asyncio.get_running_loop().time())


def test_pods_that_do_not_answer_keep_nobody_waiting_who_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[float] = []

    async def report(session: Any, address: str) -> ProgressReport | None:
        if address == WELL:
            return ProgressReport(stage="Training", progress=Progress(step=1))
        asked.append(loop.time())
        await asyncio.sleep(3)
        return None

    class Session:
        def __init__(self, **_: Any) -> None: ...
        async def __aenter__(self) -> Session:
            return self

        async def __aexit__(self, *_: object) -> None: ...

    async def follow() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(600):
                given: Any = cluster
                await progress.follow_progress(given, given, Settings())

    monkeypatch.setattr(progress, "_report", report)
    monkeypatch.setattr("aiohttp.ClientSession", Session)
    cluster, loop = Cluster(silent=300), VirtualLoop(0.0)
    loop.run_until_complete(follow())
    gaps = [later - earlier for earlier, later in pairwise(cluster.heard)]
    assert max(gaps[1:]) <= INTERVAL + 1
    assert len(cluster.heard) > 40
    assert len([at for at in asked if at > 300]) > 300, "they are asked all the same"
