"""Asks the pods how far they are, a few at a time; one that does not answer is no failure."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp

from sihl_api.runtime import HTTP_PORT, ProgressReport
from sihl_operator.rounds import Rounds
from sihl_operator.settings import Settings
from sihl_operator.views import JobView, PodView
from sihl_operator.world import World

_AT_ONCE = 8
_LIMIT = 1 << 18
_TIMEOUT = aiohttp.ClientTimeout(total=3)


async def follow_progress(world: World, rounds: Rounds, settings: Settings) -> None:
    """Ask every active job's pod each interval, for ever."""
    gate = asyncio.Semaphore(_AT_ONCE)
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:

        async def ask(job: JobView, pod: PodView) -> None:
            async with gate:
                report = await _report(session, pod.ip)
            newest = world.jobs.get(job.key)
            serves = newest is not None and newest.active and newest.attempt == pod.attempt
            if report is not None and newest is not None and serves:
                rounds.tell_progress(newest, pod, report)

        while True:
            await asyncio.sleep(settings.progress_interval)
            if rounds.leading:
                jobs = [world.jobs[key] for key in world.queues.active()]
                active = [(job, pod) for job in jobs if (pod := _asked(world, job))]
                await asyncio.gather(*(ask(job, pod) for job, pod in active))


def _asked(world: World, job: JobView) -> PodView | None:
    """The pod to ask, where there is one that can answer."""
    pod = world.pod_of(job)
    return pod if pod is not None and pod.ip and not pod.ended else None


async def _report(session: aiohttp.ClientSession, address: str) -> ProgressReport | None:
    host = f"[{address}]" if ":" in address else address  # IPv6
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError, ValueError):
        # A pod runs whatever image its user likes: it is sent nowhere else, and read to a limit.
        async with session.get(
            f"http://{host}:{HTTP_PORT}/progress", allow_redirects=False, auto_decompress=False
        ) as answer:
            text = b""
            while len(text) < _LIMIT and (part := await answer.content.read(_LIMIT)):
                text += part
            if answer.status == 200:
                return ProgressReport.model_validate_json(text)
    return None
