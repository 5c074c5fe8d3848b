"""Probes tell the truth: what they answer follows from what the process does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from sihl_operator.kube import UnavailableError
from sihl_operator.process import Operator
from sihl_operator.reflector import Reflector
from sihl_operator.relist import Relist
from sihl_operator.settings import Settings


class Loop:
    """What a probe looks at of the rounds."""

    def __init__(self, heartbeat: float) -> None:
        self.heartbeat = heartbeat


class Answering:
    """The API server, as far as it is there."""

    silence = (0.0, "")


class Lacking:
    """Whoever competes for the lease, as far as it may."""

    lacking = ""


def operator(heartbeat: float | None = None) -> Operator:
    made = Operator(Settings())
    made.leader = Lacking()  # type: ignore[assignment]  # all that is read
    made.api = Answering()  # type: ignore[assignment]  # all that is read
    made.rounds = Loop(heartbeat or time.monotonic())  # type: ignore[assignment]  # all that is read
    return made


def test_a_loop_that_went_silent_is_a_fault() -> None:
    assert operator().fault() is None
    silent = operator(time.monotonic() - 3600).fault()
    assert silent is not None
    assert "silent for 3600 s" in silent


async def test_a_replica_that_cannot_reach_the_api_server_is_neither_ready_nor_well() -> None:
    made = operator()
    made.api.silence = (89.0, "0 Timeout: no answer")  # type: ignore[misc]
    assert made.fault() is None, "others may be at work on it"
    made.api.silence = (91.0, "0 Timeout: no answer")  # type: ignore[misc]
    told = "the API server has not answered for 91 s: 0 Timeout: no answer"
    assert made.fault() == told
    answer = await made._answer_ready(make_mocked_request("GET", "/readyz"))
    assert (answer.status, answer.text) == (503, told)


async def test_a_task_that_ended_is_a_fault_that_names_it() -> None:
    made = operator()

    async def broken() -> None:
        raise RuntimeError("broken")

    task = asyncio.create_task(broken(), name="relist")
    with pytest.raises(RuntimeError):
        await task
    made._tasks = [task]
    assert made.fault() == "the task relist has ended"


class EmptyApi:
    """A cluster that has nothing."""

    async def list_all(self, kind: str) -> tuple[list[dict[str, Any]], str]:
        return [], "1"


def reads(made: Operator, api: EmptyApi) -> None:
    made.reflector = Reflector(made.world, api, lambda: None)  # type: ignore[arg-type]
    made.relist = Relist(made.reflector, made.rounds, made.leader, made.settings.relist_interval)


async def test_a_replica_is_ready_once_it_has_read_the_cluster_and_while_it_has_no_fault() -> None:
    made = operator()
    reads(made, EmptyApi())
    request = make_mocked_request("GET", "/readyz")
    answer = await made._answer_ready(request)
    assert (answer.status, answer.text) == (503, "the cluster has not been read yet")
    await made.reflector.relist()
    assert (await made._answer_ready(request)).status == 200
    made.leader.lacking = "403 Forbidden: leases is forbidden"
    answer = await made._answer_ready(request)
    assert (answer.status, answer.text) == (503, "403 Forbidden: leases is forbidden")
    made.rounds.heartbeat -= 3600
    assert (await made._answer_ready(request)).status == 503


class FallibleApi(EmptyApi):
    """A cluster that has nothing, and can be away."""

    away = False

    async def list_all(self, kind: str) -> tuple[list[dict[str, Any]], str]:
        if self.away:
            raise UnavailableError(0, "Unavailable", "no route to host")
        return await super().list_all(kind)


async def test_a_replica_that_cannot_read_the_cluster_any_more_is_not_ready_until_it_can(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, api = operator(), FallibleApi()
    reads(made, api)
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def answer(passed: float) -> tuple[int, str | None]:
        monkeypatch.setattr(loop, "time", lambda: began + passed)
        with contextlib.suppress(UnavailableError):
            await made.reflector.relist()
        answer = await made._answer_ready(make_mocked_request("GET", "/readyz"))
        return answer.status, answer.text

    made.relist._trouble = ": no route to host"
    interval = made.settings.relist_interval
    assert await answer(0) == (200, "ok")
    api.away = True
    assert await answer(2.9 * interval) == (200, "ok")
    assert await answer(3.1 * interval) == (
        503,
        "the cluster has not been read for 930 s: no route to host",
    )
    api.away = False
    assert await answer(3.2 * interval) == (200, "ok")
