"""kopf as the operator has it watch, without all that decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import kopf

from sihl_operator.jobwatch import JobWatch
from sihl_operator.kube import KubeApi
from sihl_operator.main import registry
from sihl_operator.process import Operator
from sihl_operator.reflector import Reflector
from sihl_operator.settings import Settings


class Watcher(Operator):
    """What sees jobs, and nothing that acts on them."""

    async def start(self) -> None:
        self.api = await KubeApi(lambda *_: None, self.settings.watch_namespaces).__aenter__()
        self.reflector = Reflector(self.world, self.api, lambda: None)
        self.job_watch = JobWatch(self.api, self.reflector)

    async def stop(self) -> None:
        await self.api.__aexit__()


@asynccontextmanager
async def kopf_watching(*namespaces: str) -> AsyncIterator[Watcher]:
    """What kopf tells of jobs, of all namespaces or of some; it ends by itself at no time."""
    watcher, over = Watcher(Settings(watch_namespaces=namespaces)), asyncio.Event()
    task = asyncio.create_task(
        kopf.operator(
            registry=registry(watcher), standalone=True, clusterwide=not namespaces,
            namespaces=namespaces, stop_flag=over,
        )
    )  # fmt: skip
    try:
        yield watcher
        assert not task.done()
    finally:
        over.set()
        await task


async def comes(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Return once a condition holds, which other tasks of this loop bring about."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 # whoever brings it about knows nothing of a waiter
            await asyncio.sleep(0.01)
