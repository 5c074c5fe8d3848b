"""One simulated history by its seed: users, faults, invariants after every write, an end."""

from __future__ import annotations

import asyncio
import copy
import random
from typing import Any

from sihl_operator.settings import Settings
from tests.simulation.clock import VirtualLoop
from tests.simulation.cluster import SimulatedCluster
from tests.simulation.replica import Replica
from tests.simulation.server import Faults, Raw, SimulatedServer
from tests.support.objects import SPEC

EPOCH = 1_800_000_000.0
TEAM = "team"
QUEUES = ("cells", "plates", "scans")
NODES = {"node-1": 1, "node-2": 2}
FAULTY_SECONDS = 900.0
SETTLING_SECONDS = 4 * 3600.0
QUIET_SECONDS = 1800.0
FINAL = ("Succeeded", "Failed")


class BrokenPromiseError(AssertionError):
    """An invariant does not hold; has the history that led there."""


class Simulation:
    """A cluster, two replicas and their users."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.faults = Faults()
        loop = asyncio.get_running_loop()
        self.clock = loop.time
        self.server = SimulatedServer(self.random, self.faults, self.clock)
        self.cluster = SimulatedCluster(self.server, self.faults, self.random, NODES)
        self.server.checks.append(self._check)
        settings = Settings(lost_node_timeout=60, retry_backoff_limit=60, reserve_after=120)
        self.replicas = [
            Replica(
                self.server, name, Settings(**{**vars(settings), "identity": name}), self.random
            )
            for name in ("a", "b")
        ]
        self.broken: list[BrokenPromiseError] = []
        self._names = 0

    async def run(self) -> None:
        """Faults for a while, then calm: everything must settle, and then nothing be written."""
        for replica in self.replicas:
            replica.start()
        end = self.clock() + FAULTY_SECONDS
        while self.clock() < end and not self.broken:
            await asyncio.sleep(self.random.expovariate(1 / 8))
            self._something_happens()
        self.faults.active = False
        for replica in self.replicas:
            if replica.controller is None:
                replica.start()
        end = self.clock() + SETTLING_SECONDS
        while (unsettled := self._unsettled()) and not self.broken:
            if self.clock() > end:
                self._fail(f"never settled: {unsettled}")
            await asyncio.sleep(30)
        await asyncio.sleep(60)
        if self.cluster.crowded > 120:
            self._fail(f"pods without room, for {self.cluster.crowded} s after the faults")
        before = self.server.writes
        await asyncio.sleep(QUIET_SECONDS)
        if self.server.writes != before:
            self._fail(f"{self.server.writes - before} writes while nothing changed")

    # --- what users and fate do --------------------------------------------------------------

    def _something_happens(self) -> None:
        pick = self.random
        jobs = list(self.server.objects["job"].values())
        fate = pick.random()
        if fate < 0.3 or not jobs:
            self._submit()
        elif fate < 0.75:
            metadata = pick.choice(jobs)["metadata"]
            name = metadata["name"]
            if fate < 0.45:
                self._edit(name, suspend=True)
            elif fate < 0.65:
                self._edit(name, suspend=False)
            elif fate < 0.7:
                self._edit(name, priority=pick.randint(-3, 3))
            else:
                self.server.history.append(f"{self.clock():.2f} user deletes {name}")
                self.server.delete_job(TEAM, name)
                if pick.random() < 0.5:
                    self._submit(name)
        elif fate < 0.9:
            self._crash(pick.choice(self.replicas))
        else:
            pods = list(self.server.objects["pod"].values())
            if pods:
                metadata = pick.choice(pods)["metadata"]
                grace = pick.choice((None, None, 0))
                self.server.history.append(
                    f"{self.clock():.2f} somebody deletes {metadata['name']} grace {grace}"
                )
                self.server.delete_pod(TEAM, metadata["name"], grace=grace)

    def _submit(self, name: str | None = None) -> None:
        self._names += 1
        name = name or f"job-{self._names}"
        pick = self.random
        spec = copy.deepcopy(SPEC)
        spec |= {"project": pick.choice(QUEUES), "priority": pick.randint(-1, 1)}
        spec["runner"] |= {"gpus": pick.choice((0, 1, 1, 2))}
        self.server.history.append(f"{self.clock():.2f} user submits {name} to {spec['project']}")
        self.server.create(
            "job",
            {
                "apiVersion": "sihl.ai/v1alpha1", "kind": "TrainingJob",
                "metadata": {"namespace": TEAM, "name": name}, "spec": spec,
            },
        )  # fmt: skip

    def _edit(self, name: str, **spec: Any) -> None:
        self.server.history.append(f"{self.clock():.2f} user sets {spec} of {name}")

        def change(raw: Raw) -> None:
            if any(raw["spec"].get(key) != value for key, value in spec.items()):
                raw["spec"].update(spec)
                raw["metadata"]["generation"] += 1

        self.server.update("job", TEAM, name, change)

    def _crash(self, replica: Replica) -> None:
        if replica.controller is None:
            self.server.history.append(f"{self.clock():.2f} {replica.name} starts")
            replica.start()
        else:
            self.server.history.append(f"{self.clock():.2f} {replica.name} crashes")
            replica.crash()

    # --- what must hold ----------------------------------------------------------------------

    def _check(self, kind: str, before: Raw | None, after: Raw) -> None:
        if kind == "job" and before is not None:
            self._check_job(before, after)
        if kind == "pod" and before is None:
            labels = after["metadata"]["labels"]
            if after["metadata"]["name"] != f"{labels['sihl.ai/queue']}-runner":
                self._fail(f"a pod that is not named after its queue: {labels}")

    def _check_job(self, before: Raw, after: Raw) -> None:
        old, new = before.get("status") or {}, after.get("status") or {}
        name, uid = after["metadata"]["name"], after["metadata"]["uid"]
        truth = self.cluster.truth
        if new.get("attempt", 0) < old.get("attempt", 0):
            self._fail(f"{name}: the attempt's number fell")
        if old.get("phase") in FINAL and new.get("phase") != old["phase"]:
            self._fail(f"{name}: {old['phase']} was not final")
        if new.get("phase") == "Succeeded" and uid not in truth.succeeded:
            self._fail(f"{name}: Succeeded, and it did not")
        if new.get("phase") == "Running" and (uid, new["attempt"]) not in truth.ran:
            self._fail(f"{name}: Running, and attempt {new['attempt']} never ran")
        steps = [(status.get("checkpoint") or {}).get("step", 0) for status in (old, new)]
        if steps[1] < steps[0]:
            self._fail(f"{name}: the checkpoint's step fell from {steps[0]} to {steps[1]}")
        if steps[1] > truth.saved.get(uid, 0):
            self._fail(f"{name}: a checkpoint that nobody wrote")
        if new.get("phase") == "Starting" and old.get("phase") in (None, "Queued", "Stopped"):
            if new.get("attempt", 0) != old.get("attempt", 0) + 1:
                self._fail(f"{name}: admitted without a new attempt")
            if after["spec"].get("suspend"):
                self._fail(f"{name}: admitted while suspended")

    def _unsettled(self) -> list[str]:
        wrong = []
        for job in self.server.objects["job"].values():
            phase = (job.get("status") or {}).get("phase")
            wanted = (*FINAL, "Stopped") if job["spec"].get("suspend") else FINAL
            if phase not in wanted:
                wrong.append(f"{job['metadata']['name']} is {phase}")
        return wrong

    def _fail(self, what: str) -> None:
        told = "\n".join(self.server.history[-60:])
        error = BrokenPromiseError(f"{self.clock():.2f} {what}\n{told}")
        self.broken.append(error)  # the operator's own code may catch what is raised within it
        raise error


def simulate(seed: int) -> None:
    """Play one history.

    Raises:
        BrokenPromiseError: An invariant does not hold.
    """
    loop = VirtualLoop(EPOCH)
    asyncio.set_event_loop(loop)

    async def play() -> None:
        simulation = Simulation(seed)
        try:
            await simulation.run()
        finally:
            for replica in simulation.replicas:
                replica.crash()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if simulation.broken:
                raise simulation.broken[0]

    try:
        loop.run_until_complete(play())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
