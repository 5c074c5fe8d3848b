"""`python -m tests.bench.watchers`: what 200 tabs on 20 running jobs take of the dashboard.

Records lie in a real S3 server; each job writes a line of metrics and of its log every five
seconds, as the trainer does, and has some that are not merged yet. Each tab listens to one job and
fetches its curves and its log's end whenever they are new, as the page does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from tests.bench.records import NAMESPACE, PROJECT, paths_of, project, put, spelled, summary
from tests.bench.report import tell
from tests.support.s3 import S3Server, serve

API = f"/api/v1/namespaces/{NAMESPACE}/projects/{PROJECT}"
HEADS = ("boxes", "masks", "labels")
_EVERY = 5.0
_BEFORE = 300
"""Segments of each job that are there when the tabs open."""


def line_of(number: int) -> bytes:
    """One line of metrics."""
    values = {f"{head}/{name}": 1 / (1 + number) for head in HEADS for name in ("box", "class")}
    line = {"time": spelled(datetime.now(UTC)), "step": 20 * (number + 1), "kind": "train",
            "values": values}  # fmt: skip
    return json.dumps(line).encode() + b"\n"


class Jobs:
    """Jobs that run.

    Args:
        server: The store.
        count: How many.
    """

    def __init__(self, server: S3Server, count: int) -> None:
        self._server = server
        self._paths = [paths_of(f"job-{number:05d}", number) for number in range(count)]
        self.folders = [f"{each.job}.{each.uid}" for each in self._paths]
        self.written: dict[tuple[str, int], float] = {}
        put(server, project(count, living=count))
        told = summary(0, ended=False).model_dump_json(by_alias=True, exclude_none=True).encode()
        put(server, iter({each.summary: told for each in self._paths}.items()))
        self._segment = 0
        for _ in range(_BEFORE):
            self._write()

    def _write(self) -> None:
        objects = {}
        for paths in self._paths:
            objects[paths.metrics(1, self._segment)] = line_of(self._segment)
            text = f"{spelled(datetime.now(UTC))} step {20 * (self._segment + 1)} of 100000\n"
            objects[paths.log(1, self._segment)] = text.encode()
        put(self._server, iter(objects.items()))
        self._segment += 1

    async def run(self) -> None:
        """Write a segment of each every five seconds."""
        while True:
            began = time.monotonic()
            step = 20 * (self._segment + 1)
            await asyncio.to_thread(self._write)
            for folder in self.folders:
                self.written[folder, step] = time.monotonic()
            await asyncio.sleep(max(0.0, _EVERY - (time.monotonic() - began)))


class Tab:
    """One page of a job that is looked at."""

    def __init__(self, session: aiohttp.ClientSession, url: str, folder: str, jobs: Jobs) -> None:
        self._session, self._url, self._folder, self._jobs = session, url, folder, jobs
        self.delays: list[float] = []
        self._seen = 0.0

    async def run(self) -> None:
        """Listen, and fetch what is new."""
        query = f"jobs={NAMESPACE}/{PROJECT}/{self._folder}"
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.get(
            f"{self._url}/api/v1/stream?{query}", timeout=timeout
        ) as answer:
            assert answer.status == 200
            async for raw in answer.content:
                if raw.startswith(b"data: "):
                    await self._fetch()

    async def _fetch(self) -> None:
        curves = await self._get(f"{API}/curves?jobs={self._folder}&buckets=500")
        end = curves["grid"]["last"]
        if end > self._seen > 0 and (wrote := self._jobs.written.get((self._folder, int(end)))):
            self.delays.append(time.monotonic() - wrote)
        self._seen = end
        await self._get(f"{API}/jobs/{self._folder}/log?from=END&direction=backward&count=100")

    async def _get(self, path: str) -> Any:
        async with self._session.get(f"{self._url}{path}") as answer:
            assert answer.status == 200, await answer.text()
            return json.loads(await answer.read())


@asynccontextmanager
async def a_dashboard(server: S3Server) -> AsyncIterator[tuple[str, int]]:
    """The address that a browser opens, and the process."""
    keys = dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), server.reader, strict=True))
    process = subprocess.Popen(  # noqa: ASYNC220 (it is started before anything is measured)
        [sys.executable, "-m", "sihl_dashboard.server", "--record", "s3://data/runs",
         "--endpoint", server.endpoint],
        env={**os.environ, **keys}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout
        line = await asyncio.to_thread(process.stdout.readline)
        yield re.findall(r"http\S+", line)[0], process.pid
    finally:
        process.terminate()
        process.wait()


def spent(pid: int) -> tuple[float, float]:
    """Seconds of a core and MiB of memory that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    status = Path(f"/proc/{pid}/status").read_text()
    peak = int(re.findall(r"VmHWM:\s+(\d+)", status)[0])
    return ticks / os.sysconf("SC_CLK_TCK"), peak / 1024


async def measured(server: S3Server, tabs: int, count: int, seconds: float) -> dict[str, Any]:
    """Open the tabs, wait until all have seen their job, and measure."""
    jobs = Jobs(server, count)
    connector = aiohttp.TCPConnector(limit=0)
    jar = aiohttp.CookieJar(unsafe=True)
    async with (
        a_dashboard(server) as (opening, pid),
        aiohttp.ClientSession(connector=connector, cookie_jar=jar) as session,
    ):
        async with session.get(opening, allow_redirects=False) as answer:
            assert answer.status == 303
        url = opening.partition("/open")[0]
        opened = [Tab(session, url, jobs.folders[number % count], jobs) for number in range(tabs)]
        tasks = [asyncio.create_task(jobs.run()), *(asyncio.create_task(t.run()) for t in opened)]
        while not all(tab.delays for tab in opened):
            await asyncio.sleep(1)
            assert not any(task.done() for task in tasks), "a tab ended"
        for tab in opened:
            tab.delays.clear()
        began, (before, _) = time.monotonic(), spent(pid)
        await asyncio.sleep(seconds)
        took, (after, memory) = time.monotonic() - began, spent(pid)
        failed = [task.exception() for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        assert not failed, failed[0]
    delays = sorted(delay for tab in opened for delay in tab.delays)
    return {
        f"{tabs} tabs on {count} running jobs: of a core, %": 100 * (after - before) / took,
        f"{tabs} tabs on {count} running jobs: memory at most, MiB": memory,
        "from written to drawn, median, s": delays[len(delays) // 2],
        "from written to drawn, 99 of 100, s": delays[len(delays) * 99 // 100],
        "updates of a tab that were measured": len(delays),
    }


def main() -> int:
    """Print figures, and write them as JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.watchers", description=__doc__)
    parser.add_argument("--tabs", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sihl-") as place, serve(Path(place)) as server:
        server.make_bucket("data")
        figures = asyncio.run(measured(server, given.tabs, given.jobs, given.seconds))
    tell(figures, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
