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
    """Ask every active job's pod each interval, for ever.

    Those that did not answer last time are asked beside the others, and keep none of them waiting:
    a namespace may let nobody in.
    """
    well, silent = asyncio.Semaphore(_AT_ONCE), asyncio.Semaphore(_AT_ONCE)
    unheard: set[str] = set()
    under_way: dict[str, asyncio.Task[None]] = {}
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session, asyncio.TaskGroup() as tasks:

        async def ask(job: JobView, pod: PodView) -> None:
            async with silent if pod.uid in unheard else well:
                report = await _report(session, pod.ip)
            if report is None:
                unheard.add(pod.uid)
                return
            unheard.discard(pod.uid)
            newest = world.jobs.get(job.key)
            if newest is not None and newest.active and newest.attempt == pod.attempt:
                rounds.tell_progress(newest, pod, report)

        while True:
            await asyncio.sleep(settings.progress_interval)
            if not rounds.leading:
                continue
            jobs = [world.jobs[key] for key in world.queues.active()]
            active = {pod.uid: (job, pod) for job in jobs if (pod := _asked(world, job))}
            under_way = {uid: task for uid, task in under_way.items() if not task.done()}
            unheard &= active.keys()
            for uid in active.keys() - under_way.keys():
                under_way[uid] = tasks.create_task(ask(*active[uid]))


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
