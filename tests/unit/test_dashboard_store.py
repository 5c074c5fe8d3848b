"""A real store that goes away and comes back while somebody looks."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from sihl_dashboard.records import S3Place, S3Settings
from tests.support.dashboard import API, PROJECT, looking, state_over, until
from tests.support.recorded import Recorded, train
from tests.support.s3 import free_ports, serve

NIGHT = "night.01234567"


@pytest.mark.slow
async def test_a_store_that_is_killed_is_told_keeps_what_was_read_and_comes_back(
    tmp_path: Path,
) -> None:
    port = free_ports(1)[0]
    with ExitStack() as stack:
        server = await asyncio.to_thread(stack.enter_context, serve(tmp_path, port=port))
        server.make_bucket("data")
        night = Recorded(lambda key, data: server.put("data", {key: data}), prefix="runs")
        night.job()
        night.metrics(1, 0, train(1, 1.0))
        night.log(1, 0, "a line\n")
        settings = S3Settings(server.endpoint, "data", *server.reader, prefix="runs")
        state = state_over(S3Place(settings, attempts=1, timeout=5))
        state.hub.fastest = 0.2
        async with looking(state) as looker:
            url = f"{PROJECT}/curves?jobs={NIGHT}&buckets=9"
            events = looker.events(f"jobs=team-a/cells/{NIGHT}")
            assert (await until(events, "job")).data["trouble"] is None
            assert (await looker.found(f"{PROJECT}/jobs"))["total"] == 1
            assert (await looker.found(f"{API}/overview"))["troubles"] == []
            assert (await looker.found(url))["points"] == 1

            await asyncio.to_thread(stack.close)
            assert server.endpoint in (await until(events, "job")).data["trouble"]
            while not (kept := await looker.found(url))["troubles"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)  # what was read a second ago is no trouble
            assert kept["points"] == 1
            assert (await looker.found(f"{PROJECT}/jobs?limit=9"))["total"] == 1
            status, told = await looker.get(f"{PROJECT}/jobs/{NIGHT}/log")
            assert (status, told["error"]["code"]) == (503, "store-away")
            while not (overview := await looker.found(f"{API}/overview"))["troubles"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            assert [each["projects"] for each in overview["namespaces"]] == [["cells"]]

            await asyncio.to_thread(stack.enter_context, serve(tmp_path, port=port))
            while (await until(events, "job", 120)).data["trouble"]:
                pass  # it may be away in another way first
            night.metrics(1, 1, train(2, 0.5))
            await until(events, "job")
            assert (await looker.found(url))["points"] == 2
            assert (await looker.found(f"{PROJECT}/jobs/{NIGHT}/log"))["count"] == 1
