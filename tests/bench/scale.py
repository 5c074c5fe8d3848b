"""`python -m tests.bench.scale`: the operator on a real API server with thousands of jobs.

Pods are created, scheduled and ended for real; kwok plays their nodes.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from kubernetes import client, config

from local_cluster import programs
from local_cluster.control_plane import free_port
from local_cluster.process import Daemon
from local_cluster.programs import Module
from sihl_api.trainingjob import API_VERSION, KIND, PLURAL
from sihl_operator.kube import KubeApi
from sihl_operator.pod import render_pod
from sihl_operator.settings import Settings
from sihl_operator.views import JobView, pod_name
from tests.apiserver.conftest import know_training_jobs, local_cluster
from tests.bench.report import tell

HERE = Path(__file__).parent
KWOK = (Module("kwok", {"sigs.k8s.io/kwok/cmd/kwok": "kwok"}, parent=HERE / "modules"),)
NAMESPACE = "default"
NODES, GPUS = 8, 8
LASTS = (("0.2s", 0.7), ("0.5s", 0.9), ("1s", math.inf))
"""How long pods run, up to which share of a queue: Kueue's harness has 350, 100 and 50 of 500."""
AT_ONCE = 32
WRITES = "sihl_operator_api_writes_total"
_TICKS = os.sysconf("SC_CLK_TCK")


class Operator:
    """One replica as a process."""

    def __init__(self, kubeconfig: Path, log: Path) -> None:
        self._port = free_port()
        given = {
            "KUBECONFIG": str(kubeconfig),
            "SIHL_OPERATOR_METRICS_PORT": str(self._port),
            "SIHL_OPERATOR_LIVENESS_PORT": str(free_port()),
            "SIHL_OPERATOR_LEASE_DURATION": "15s",
        }
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "sihl_operator.main"],
                env={**os.environ, **given}, stdout=file, stderr=file,
            )  # fmt: skip

    def samples(self, name: str) -> dict[str, float]:
        """A metric's values by their labels; none where nobody answers yet."""
        try:
            url = f"http://127.0.0.1:{self._port}/metrics"
            with urllib.request.urlopen(url, timeout=30) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return {}
        found = (line.rsplit(" ", 1) for line in lines if line.split("{")[0].split(" ")[0] == name)
        return {labels: float(value) for labels, value in found}

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels; 0 where nobody answers yet."""
        return sum(self.samples(name).values())

    def cpu_seconds(self) -> float:
        """User and system time until now."""
        return cpu_seconds(self._process.pid)

    def peak_mib(self) -> float:
        """The largest resident memory until now."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))

    async def leads(self) -> None:
        """Return once it does."""
        while not await asyncio.to_thread(self.metric, "sihl_operator_leader"):
            assert self._process.poll() is None, "the operator has ended; see its log"
            await asyncio.sleep(0.1)

    def end(self) -> None:
        """By SIGTERM, so that the lead is let go."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)


def cpu_seconds(pid: int | None) -> float:
    """A process's user and system time until now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


@dataclass
class Watcher:
    """Sees every pod; all times are one observer's.

    Attributes:
        ended: Pods that succeeded.
        gaps: Seconds from a pod's end to its queue's next pod.
        closed: Watches that the API server ended.
    """

    ended: int = 0
    gaps: list[float] = field(default_factory=list)
    closed: int = 0
    _version: str = ""
    _free: dict[str, float] = field(default_factory=dict)
    _over: set[str] = field(default_factory=set)
    _awaited: dict[str, asyncio.Event] = field(default_factory=dict)

    async def has_seen(self, count: int, watching: asyncio.Task[None]) -> None:
        """Return once so many pods have ended; tell of it meanwhile."""
        while self.ended < count:
            assert not watching.done(), watching.exception()
            await asyncio.sleep(0.1)
            print(f"\r{self.ended:,} of {count:,} pods have ended", end="", flush=True)
        print()

    async def sees_end_of(self, uid: str) -> None:
        """Return once that pod has ended."""
        if uid not in self._over:
            await self._awaited.setdefault(uid, asyncio.Event()).wait()

    def figures(self, wall: float) -> dict[str, float]:
        """What was seen in so many seconds."""
        gaps = statistics.quantiles(self.gaps, n=100)
        return {
            "jobs a second": self.ended / wall,
            "end to next pod, p50, ms": gaps[49] * 1000,
            "end to next pod, p99, ms": gaps[98] * 1000,
            "watches closed by the API server": self.closed,
        }

    async def run(self, api: KubeApi) -> None:
        """Follow the pods for ever; a watch that is closed is taken up from its last event."""
        _, self._version = await api.list_all("pod")
        while True:
            await self._follow(api)
            self.closed += 1

    async def _follow(self, api: KubeApi) -> None:
        url = f"{api._access.host}/api/v1/namespaces/{NAMESPACE}/pods"
        query = {"watch": "1", "resourceVersion": self._version, "timeoutSeconds": "3600"}
        forever = aiohttp.ClientTimeout(total=None)
        async with api._session.get(
            url, params=query, timeout=forever, ssl=api._access.tls
        ) as answer:
            rest = b""
            async for part in answer.content.iter_any():
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    self._see(orjson.loads(line))

    def _see(self, event: Any) -> None:
        assert event["type"] != "ERROR", event
        pod, now = event["object"], time.perf_counter()
        self._version = pod["metadata"]["resourceVersion"]
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        if event["type"] == "ADDED" and name in self._free:
            self.gaps.append(now - self._free.pop(name))
        if pod["status"].get("phase") == "Succeeded" and uid not in self._over:
            self._over.add(uid)
            self._free[name] = now
            self.ended += 1
            self._awaited.pop(uid, asyncio.Event()).set()


def jobs(count: int, queues: int) -> Iterator[dict[str, Any]]:
    """Jobs of all queues, in turn, as they are submitted."""
    for number in range(count):
        share = number // queues * queues / count
        lasts = next(text for text, until in LASTS if share < until)
        yield job(f"job-{number}", f"queue-{number % queues}", lasts)


def job(name: str, queue: str, lasts: str) -> dict[str, Any]:
    """A job whose pod runs for so long."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "project": queue,
            "dataset": {"train": {"endpoint": "http://none.invalid", "bucket": "none"}},
            "model": {"heads": [{"name": "kind", "task": "MulticlassClassification"}]},
            "runner": {
                "gpus": 1,
                "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
                "tolerations": [{"key": "bench", "operator": "Equal", "value": lasts}],
            },
        },
    }


async def submit(api: KubeApi, wanted: Iterator[dict[str, Any]]) -> None:
    """Create jobs, many at once."""
    path = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/{PLURAL}"

    async def lane() -> None:
        for each in wanted:
            await api._call("POST", path, each)

    await asyncio.gather(*(lane() for _ in range(AT_ONCE)))


async def unfinished(api: KubeApi) -> bool:
    """Whether a job has not succeeded."""
    path = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/{PLURAL}"
    query = {"fieldSelector": "status.phase!=Succeeded", "limit": "1"}
    return bool((await api._call("GET", path, query=query))["items"])


async def measure(
    kubeconfig: Path, folder: Path, count: int, queues: int, first: int | None
) -> dict[str, Any]:
    """One run, its figures by name.

    Args:
        kubeconfig: Of the cluster.
        folder: Where the operator's log goes, and the cluster's state lies.
        count: How many jobs are submitted.
        queues: To how many queues.
        first: Measure only while so many of them run, and all others wait; None: from the first
            submission to the last job's end.
    """
    config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION = str(kubeconfig)
    figures: dict[str, Any] = {"jobs": count, "queues": queues, "cores": os.cpu_count()}
    operator = Operator(kubeconfig, folder / "operator.log")
    server = Daemon("kube-apiserver", folder / "state" / "run")
    async with KubeApi(lambda *_: None) as api:
        try:
            await operator.leads()
            if first is not None:
                await submit(api, jobs(count, queues))
            watcher = Watcher()
            watching = asyncio.create_task(watcher.run(api))
            cpu, served = operator.cpu_seconds(), cpu_seconds(server.pid)
            written, began = operator.samples(WRITES), time.perf_counter()
            if first is None:
                await submit(api, jobs(count, queues))
                figures["submitted after, s"] = time.perf_counter() - began
            await watcher.has_seen(first or count, watching)
            while first is None and await unfinished(api):  # noqa: ASYNC110 # only the API server knows
                await asyncio.sleep(0.1)
            wall, ran = time.perf_counter() - began, watcher.ended
            cpu, served = operator.cpu_seconds() - cpu, cpu_seconds(server.pid) - served
            writes = {k: n - written.get(k, 0) for k, n in operator.samples(WRITES).items()}
            watching.cancel()
            figures |= {
                "wall, s": wall,
                **watcher.figures(wall),
                "operator CPU a job, ms": cpu / ran * 1000,
                "operator peak memory, MiB": operator.peak_mib(),
                "API server CPU a job, ms": served / ran * 1000,
                "API writes a job": sum(writes.values()) / ran,
                **{f"API writes a job, {_short(what)}": n / ran for what, n in writes.items()},
            }
            if first is None:
                figures |= await at_rest(operator)
            operator.end()
            operator = Operator(kubeconfig, folder / "operator.log")
            figures |= await restarted(operator, api)
        finally:
            operator.end()
    return figures


async def bare(kubeconfig: Path, folder: Path, count: int, queues: int) -> dict[str, Any]:
    """The same pods, one after another in each queue, without jobs and without an operator.

    Two writes a pod, its creation and its deletion, and nothing decided or told: what the cluster
    itself takes on this machine, so that no operator can be faster.
    """
    config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION = str(kubeconfig)
    server = Daemon("kube-apiserver", folder / "state" / "run")
    lines: dict[str, list[JobView]] = {}
    for each in jobs(count, queues):
        each["metadata"] |= {"uid": each["metadata"]["name"]}
        view = JobView(each)
        lines.setdefault(view.wanted_queue, []).append(view)

    async with KubeApi(lambda *_: None) as api:
        watcher = Watcher()
        watching = asyncio.create_task(watcher.run(api))

        async def line(queue: str, waiting: list[JobView]) -> None:
            for view in waiting:
                pod = render_pod(view, 1, queue, Settings())
                del pod["metadata"]["ownerReferences"]  # no job is there to own it
                uid = (await api.create_pod(pod))["metadata"]["uid"]
                await watcher.sees_end_of(uid)
                await api.delete_pod(NAMESPACE, pod_name(queue), uid, 0)

        served, began = cpu_seconds(server.pid), time.perf_counter()
        running = asyncio.gather(*(line(*each) for each in lines.items()))
        await watcher.has_seen(count, watching)
        await running
        wall = time.perf_counter() - began
        watching.cancel()
        return {
            "pods, and no operator": count,
            "wall, s": wall,
            **watcher.figures(wall),
            "API server CPU a pod, ms": (cpu_seconds(server.pid) - served) / count * 1000,
        }


def _short(sample: str) -> str:
    """A metric's labels as words: `patch trainingjobs`."""
    labels = dict(part.split("=") for part in sample.partition("{")[2].rstrip("}").split(","))
    return f"{labels['verb']} {labels['resource']}".replace('"', "")


async def at_rest(operator: Operator) -> dict[str, float]:
    """What an operator does when all has ended; the leader renews its Lease, and lists once."""

    def writes() -> float:
        return operator.metric(WRITES)

    await asyncio.sleep(15)  # what was under way ends
    before, cpu = await asyncio.to_thread(writes), operator.cpu_seconds()
    began = time.perf_counter()
    await asyncio.sleep(Settings().relist_interval)
    lasted, used = time.perf_counter() - began, operator.cpu_seconds() - cpu
    return {
        "at rest: writes a minute, the Lease's among them": (
            (await asyncio.to_thread(writes) - before) / lasted * 60
        ),
        "at rest: % of a core": 100 * used / lasted,
    }


async def restarted(operator: Operator, api: KubeApi) -> dict[str, float]:
    """How long a new process takes until it leads and has started a job that waits."""
    began = time.perf_counter()
    await submit(api, iter([job("waits", "restart", "0.2s")]))
    await operator.leads()
    leads = time.perf_counter() - began
    status: dict[str, Any] = {}
    while status.get("phase") != "Succeeded":
        await asyncio.sleep(0.1)
        status = (await api.get_job(NAMESPACE, "waits")).get("status", {})
    return {
        "restart: leads after, s": leads,
        "restart: a job of 0.2 s that waited has ended after, s": time.perf_counter() - began,
    }


@contextmanager
def cluster(folder: Path) -> Iterator[Path]:
    """An API server that knows TrainingJobs, scheduler, controllers, and kwok's nodes."""
    programs.build(modules=(*programs.ALL, *KWOK))
    state = folder / "state"
    kwok = Daemon("kwok", folder)
    try:
        kubeconfig = Path(local_cluster("control-plane", "--state", str(state)).split()[-1])
        know_training_jobs(kubeconfig)
        kwok.start(
            [programs.program("kwok", KWOK),
             f"--kubeconfig={kubeconfig}", "--manage-all-nodes=true",
             f"--config={HERE / 'stages.yaml'}", "--server-address=127.0.0.1:0",
             "--node-lease-duration-seconds=40"]
        )  # fmt: skip
        core = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
        room = {"cpu": "64", "memory": "256Gi", "pods": "1000", "nvidia.com/gpu": str(GPUS)}
        for number in range(NODES):
            core.create_node({"metadata": {"name": f"node-{number}"}})
            status = {"capacity": room, "allocatable": room}
            core.patch_node_status(f"node-{number}", {"status": status})
        yield kubeconfig
    finally:
        kwok.stop()
        local_cluster("down", "--state", str(state))


def main() -> int:
    """Print figures, and write them as JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--jobs", type=int, default=15_000)
    parser.add_argument("--queues", type=int, default=30)
    parser.add_argument("--first", type=int, help="only while so many of the jobs run")
    parser.add_argument("--bare", action="store_true", help="only the pods, without an operator")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--keep", type=Path, help="keep logs in this folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        with cluster(folder) as kubeconfig:
            shape = kubeconfig, folder, given.jobs, given.queues
            run = bare(*shape) if given.bare else measure(*shape, given.first)
            figures = asyncio.run(run)
    tell(figures, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
