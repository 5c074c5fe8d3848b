"""One operator serves all namespaces: what one user does must not stop it for the others."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sihl_api.runtime import TERMINATION_MESSAGE_LIMIT, Result
from sihl_operator import progress
from sihl_operator.lifecycle import decide
from sihl_operator.moment import Moment
from sihl_operator.settings import Settings
from sihl_operator.world import World
from tests.support.objects import NOW, SPEC, ended, job, pod, raw_pod
from tests.unit.test_operator_rounds import SlowApi, leading, settle, submit


def required(expression: Any) -> dict[str, Any]:
    """Node affinity with one expression."""
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


RUNNERS: dict[str, dict[str, Any]] = {
    "cpu that is no number": {"resources": {"limits": {"cpu": "lots"}}},
    "memory that is not a number": {"resources": {"requests": {"memory": "NaN"}}},
    "memory without end": {"resources": {"requests": {"memory": "Infinity"}}},
    "a number of a billion digits": {"resources": {"limits": {"cpu": "1e999999999"}}},
    "affinity that is text": {"affinity": {"nodeAffinity": "any"}},
    "an expression without a key": {"affinity": required({})},
    "an expression that is a list": {"affinity": required([1])},
}
"""What an older CRD may have let through."""


@pytest.mark.parametrize("runner", RUNNERS.values(), ids=RUNNERS.keys())
async def test_a_job_that_asks_for_nonsense_holds_up_nobody_else(runner: dict[str, Any]) -> None:
    api = SlowApi()
    api.answers.set()
    rounds = leading(api, gpus=4)
    submit(rounds, api, "hostile", "plates", runner={**SPEC["runner"], **runner})
    submit(rounds, api, "good", "cells")
    for _ in range(3):
        rounds.round()
        await settle()
    assert "good" in api.admitted


@pytest.mark.parametrize("attempt", ["", "first", "-", "1.5", "9" * 63])
def test_a_pod_that_bears_our_labels_wrongly_is_no_reason_to_fail(attempt: str) -> None:
    labels = {"sihl.ai/job-uid": "forged", "sihl.ai/attempt": attempt}
    world = World()
    world.saw_all("pod", [raw_pod(metadata={"labels": labels}), raw_pod(queue="plates")], "9")
    assert ("team", "plates-runner") in world.pods


@pytest.mark.parametrize("code", [0, 65, 69, 70, 75, 76, 78])
@pytest.mark.parametrize(
    "result",
    [
        Result(reason="x" * 3000),
        Result(reason=""),
        Result(reason="two words\n", message="\0" * 500),
    ],
    ids=["long", "empty", "no-word"],
)
def test_whatever_an_image_leaves_as_its_result_a_decision_is_made(
    result: Result, code: int
) -> None:
    assert len(result.encode()) <= TERMINATION_MESSAGE_LIMIT
    over = pod(phase="Failed", containers={"trainer": ended(code, result)})
    decision = decide(job(phase="Running"), over, Moment(NOW, Settings()))
    assert decision.status is not None


# --- what a pod answers when it is asked how far it is ---------------------------------------


@asynccontextmanager
async def answering(
    monkeypatch: pytest.MonkeyPatch, answer: Any, address: str = "127.0.0.1"
) -> AsyncIterator[aiohttp.ClientSession]:
    """A session for asking a pod at an address that answers by a handler of ours."""
    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address, 0)
        await site.start()
        monkeypatch.setattr(progress, "HTTP_PORT", runner.addresses[0][1])
        async with aiohttp.ClientSession(timeout=progress._TIMEOUT) as session:
            yield session
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("encoding", ["identity", "deflate"])
async def test_a_pod_that_answers_without_end_takes_no_memory(
    monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        if encoding == "deflate":
            answer.enable_compression(web.ContentCoding.deflate)
        await answer.prepare(request)
        for _ in range(128):
            await answer.write(b" " * 2**20)
        return answer

    async with answering(monkeypatch, endless) as session:
        tracemalloc.start()
        try:
            assert await progress._report(session, "127.0.0.1") is None
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 32 * 2**20


async def test_a_pod_sends_the_operator_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(request.path)
        if request.path == "/progress":
            raise web.HTTPFound("/latest/meta-data")
        return web.json_response({"stage": "Training"})

    async with answering(monkeypatch, elsewhere) as session:
        await progress._report(session, "127.0.0.1")
    assert asked == ["/progress"]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_a_pod_is_asked_at_whatever_address_it_has(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"stage": "Training", "progress": {"step": 7}})

    try:
        async with answering(monkeypatch, answer, address) as session:
            report = await progress._report(session, address)
    except OSError as error:
        pytest.skip(f"this machine has no {address}: {error}")
    assert report is not None
    assert report.progress.step == 7
