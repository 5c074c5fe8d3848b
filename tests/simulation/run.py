"""One simulated history: a plan carried out, promises checked at every write, and a calm end."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from sihl_operator.settings import Settings
from tests.simulation.clock import VirtualLoop
from tests.simulation.cluster import GPU, SimulatedCluster
from tests.simulation.plan import NODES, QUEUES, SECONDS, Plan, Step
from tests.simulation.promises import (
    FINAL,
    GRACE,
    LIFE_SECONDS,
    OTHERS,
    TEAM,
    Promises,
    misqueued,
    unseen,
    unwanted,
)
from tests.simulation.replica import Replica
from tests.simulation.server import (
    RIGHTS,
    Faults,
    Raw,
    Refusal,
    SimulatedServer,
    forbidden,
)
from tests.support.objects import SPEC

EPOCH = 1_800_000_000.0
SETTLING_SECONDS = 1800.0
SETTINGS = {
    "lost_node_timeout": 20.0, "retry_backoff": 2.0, "retry_backoff_limit": 20.0,
    "unavailable_backoff": 5.0, "unavailable_backoff_limit": 20.0, "reserve_after": 40.0,
    "relist_interval": 30.0, "lease_duration": 15.0, "lease_renewal": 5.0,
}  # fmt: skip
_DENIED = 'admission webhook "policies.example.com" denied the request: by mistake'
_FULL = (
    'pods "runner" is forbidden: exceeded quota: team, requested: requests.nvidia.com/gpu=1, '
    "used: requests.nvidia.com/gpu={limit}, limited: requests.nvidia.com/gpu={limit}"
)
QUIET_SECONDS = 40.0  # longer than a relist takes to come
_NEVER_SECONDS = 1e6


class Simulation:
    """A cluster, two replicas and their users."""

    def __init__(self, loop: VirtualLoop, plan: Plan) -> None:
        dice = random.Random(plan.seed + 1)
        self.loop, self.plan = loop, plan
        self.faults = Faults()
        if not plan.faults:
            self.faults.end()
        self.server = SimulatedServer(dice, self.faults, loop.time)
        self.cluster = SimulatedCluster(
            self.server, random.Random(plan.seed + 2), NODES, plan.fates,
            EPOCH if plan.fates else EPOCH + SECONDS + 60,
        )  # fmt: skip
        strict = not plan.faults
        self.promises = Promises(self.server, self.cluster.truth, strict, self.told)
        self._clocks = random.Random(plan.seed + 3)
        settings: dict[str, Any] = dict(SETTINGS)
        if plan.unlisted:
            settings["relist_interval"] = _NEVER_SECONDS
        self.replicas = [
            Replica(self.server, Settings(identity=name, **settings), dice, self.cluster.report)
            for name in ("a", "b")
        ]
        self._names: list[str] = []
        self._tenants: list[tuple[Raw, str, int]] = []

    async def run(self) -> None:
        """Carry the plan out, then calm: everything must settle, and then nothing be written."""
        for replica in self.replicas:
            self._set_clock(replica, self._clocks.random())
            replica.start(self.loop)
        audits = asyncio.ensure_future(self._audits())
        for step in self.plan.steps:
            await self._until(EPOCH + step.at)
            self._carry_out(step)
        end = EPOCH + max(self.plan.steps[-1].at, 0.0 if self.plan.fates else SECONDS)
        await self._until(end + 5)
        self._calm()
        await self._settle()
        audits.cancel()

    async def _audits(self) -> None:
        while True:
            await asyncio.sleep(4)
            self.promises.audit()

    async def _until(self, when: float) -> None:
        if when > self.loop.now:
            await asyncio.sleep(when - self.loop.now)
        if self.promises.broken:
            raise self.promises.broken

    def _calm(self) -> None:
        self.server.note("all", "faults end")
        self.faults.end()
        self.server.refusals.clear()
        self.cluster.store_away = self.cluster.fates = False
        self.cluster.find_all()
        for replica in self.replicas:
            if replica.runs:
                replica.wake(self.loop)
            else:
                replica.start(self.loop)
        for pod, node, gpus in self._tenants:
            self.server.remove_pod(pod)
            self.cluster.take(node, -gpus)
        for pod in list(self.server.objects["pod"].values()):
            if not pod["metadata"].get("ownerReferences"):
                self.server.remove_pod(pod)
        for job in list(self.server.objects["job"].values()):
            if misqueued(job):
                self.server.replace("job", job, metadata={"annotations": {}})
        self.promises.calm()

    async def _settle(self) -> None:
        end = self.loop.now + SETTLING_SECONDS
        while unsettled := self._unsettled():
            if self.loop.now > end:
                self.promises.fail(f"never settled: {', '.join(unsettled)}")
            await self._until(self.loop.now + 5)
        crowded = self.cluster.crowded
        if crowded > (60 if self.plan.faults else 3):
            self.promises.fail(f"pods without room for {crowded:.0f} s, and nothing went wrong")
        await self._until(self.loop.now + 20)
        before = self.server.writes
        await self._until(self.loop.now + QUIET_SECONDS)
        if self.server.writes != before:
            self.promises.fail(f"{self.server.writes - before} writes while nothing changed")

    # --- what users and fate do --------------------------------------------------------------

    def _carry_out(self, step: Step) -> None:
        self.server.note("plan", step)
        act = getattr(self, f"_do_{step.what.replace('-', '_')}")
        act(step)

    def _job(self, step: Step) -> Raw | None:
        name = self._names[step.number % len(self._names)] if self._names else ""
        return self.server.objects["job"].get((TEAM, name))

    def _pod(self, step: Step) -> Raw | None:
        pods = [p for p in self.server.objects["pod"].values() if "labels" in p["metadata"]]
        return pods[step.number % len(pods)] if pods else None

    def _replica(self, step: Step) -> Replica:
        return self.replicas[step.number % 2]

    def _do_submit(self, step: Step) -> None:
        self._submit(step.value)
        if step.value < 0.3:
            self._submit(1 - step.value)  # at the same moment

    def _submit(self, value: float, name: str = "") -> None:
        name = name or f"job-{len(self._names) + 1}"
        if name not in self._names:
            self._names.append(name)
        pick = random.Random(value)
        queue, priority, gpus = (
            pick.choice(QUEUES), pick.randint(-1, 1), pick.choice((0, 1, 1, 2))
        )  # fmt: skip
        runner = {**SPEC["runner"], "gpus": gpus, "stopGracePeriod": f"{GRACE:.0f}s"}
        spec = {
            **SPEC, "project": queue, "priority": priority, "suspend": False, "runner": runner,
        }  # fmt: skip
        job = {
            "apiVersion": "sihl.ai/v1alpha1", "kind": "TrainingJob",
            "metadata": {"namespace": TEAM, "name": name, "annotations": {}}, "spec": spec,
        }  # fmt: skip
        if pick.random() < 0.3:
            job["status"] = {"observedGeneration": -1, "conditions": [OTHERS]}
        if pick.random() < 1 / 3:
            spec["ttlAfterFinished"] = f"{LIFE_SECONDS:.0f}s"
        self.server.create("job", job)

    def _edit(self, step: Step, **change: Any) -> None:
        job = self._job(step)
        if job is not None and any(job["spec"].get(k) != v for k, v in change.items()):
            generation = {"generation": job["metadata"]["generation"] + 1}
            self.server.replace("job", job, spec={**job["spec"], **change}, metadata=generation)

    def _do_suspend(self, step: Step) -> None:
        self._edit(step, suspend=True)

    def _do_resume(self, step: Step) -> None:
        self._edit(step, suspend=False)

    def _do_priority(self, step: Step) -> None:
        self._edit(step, priority=int(step.value * 7) - 3)

    def _do_move(self, step: Step) -> None:
        if job := self._job(step):
            queue = QUEUES[int(step.value * 1000) % 2]
            self.server.replace("job", job, metadata={"annotations": {"sihl.ai/queue": queue}})

    def _do_misqueue(self, step: Step) -> None:
        if job := self._job(step):
            self.server.replace("job", job, metadata={"annotations": {"sihl.ai/queue": "No_Queue"}})

    def _do_delete(self, step: Step) -> None:
        """Every other job has somebody's finalizer, who lets go of it later, or never."""
        job = self._job(step)
        if job is None:
            return
        name = job["metadata"]["name"]
        if step.value < 0.5:
            self.server.replace("job", job, metadata={"finalizers": ["example.com/backup"]})
        self.server.delete_job(TEAM, name)
        if 0.2 < step.value < 0.5:
            self.loop.call_later(step.value * 100, self._let_go, name, job["metadata"]["uid"])

    def _let_go(self, name: str, uid: str) -> None:
        job = self.server.objects["job"].get((TEAM, name))
        if job is not None and job["metadata"]["uid"] == uid:
            job = self.server.replace("job", job, metadata={"finalizers": []})
            self.server.delete_job(TEAM, name)

    def _do_recreate(self, step: Step) -> None:
        if job := self._job(step):
            self.server.delete_job(TEAM, job["metadata"]["name"])
            if not job["metadata"].get("finalizers"):
                self._submit(step.value, job["metadata"]["name"])

    def _do_kill(self, step: Step) -> None:
        replica = self._replica(step)
        if replica.runs:
            replica.kill()
            self.loop.call_later(step.value * 20, self._start_again, replica)

    def _start_again(self, replica: Replica) -> None:
        if not replica.runs:
            self.server.note("plan", f"{replica.name} starts")
            replica.start(self.loop)

    def _do_pause(self, step: Step) -> None:
        replica = self._replica(step)
        replica.pause()
        self.loop.call_later(step.value, replica.wake, self.loop)

    def _do_skew(self, step: Step) -> None:
        self._set_clock(self._replica(step), step.value)

    def _set_clock(self, replica: Replica, value: float) -> None:
        """Nobody looks after the machines' clocks: they are off by hours, and run wrong."""
        replica.skew = (value - 0.5) * 24 * 3600
        replica.drift = (value * 1000 % 1 - 0.5) / 5

    def _do_cut(self, step: Step) -> None:
        self._replica(step).cut()

    def _do_evict(self, step: Step) -> None:
        if (pod := self._pod(step)) and pod["spec"].get("nodeName"):
            disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByAPI"}
            status = {**pod["status"], "conditions": [disrupted]}
            pod = self.server.replace("pod", pod, status=status)
            self.server.delete_pod(TEAM, pod["metadata"]["name"])

    def _do_delete_pod(self, step: Step) -> None:
        if pod := self._pod(step):
            self.server.delete_pod(TEAM, pod["metadata"]["name"])

    def _do_force_pod(self, step: Step) -> None:
        if pod := self._pod(step):
            self.server.delete_pod(TEAM, pod["metadata"]["name"], grace=0)

    def _do_deny(self, step: Step) -> None:
        """A policy's or a webhook's no, which may be of any status."""
        status = (400, 403, 422, 500)[step.number % 4]
        self._refuse(step, Refusal(("create pods",), status, lambda _: _DENIED))

    def _do_fill_quota(self, step: Step) -> None:
        """Others use it up; or somebody lowers it below what a pod asks for."""
        said = _FULL.format(limit=step.number % 2)
        self._refuse(step, Refusal(("create pods",), 403, lambda _: said))

    def _do_forbid(self, step: Step) -> None:
        """A right that acts need; or all."""
        needed = ("create pods", "delete pods", "patch trainingjobs/status")
        lost = (*((right,) for right in needed), tuple(RIGHTS))[step.number % 4]
        self._refuse(step, forbidden(lost))

    def _refuse(self, step: Step, refusal: Refusal) -> None:
        self.server.refusals.append(refusal)
        self.loop.call_later(step.value, self._allow, refusal)

    def _allow(self, refusal: Refusal) -> None:
        if refusal in self.server.refusals:
            self.server.refusals.remove(refusal)

    def _do_lose_node(self, step: Step) -> None:
        name = list(NODES)[step.number % len(NODES)]
        self.cluster.lose(name)
        self.loop.call_later(step.value, self.cluster.find, name)

    def _do_store_away(self, step: Step) -> None:
        self.cluster.store_away = True
        self.loop.call_later(step.value, setattr, self.cluster, "store_away", False)

    def _do_tenant(self, step: Step) -> None:
        """Somebody else's pod has a node's GPUs until the end."""
        name = list(NODES)[step.number % len(NODES)]
        if gpus := self.cluster.take(name):
            container = {"name": "x", "resources": {"requests": {GPU: str(gpus)}}}
            metadata = {"namespace": "else", "name": f"tenant-{len(self._tenants)}"}
            spec = {"containers": [container], "nodeName": name}
            pod = {"metadata": metadata, "spec": spec, "status": {"phase": "Running"}}
            self._tenants.append((self.server.create("pod", pod), name, gpus))

    def _do_stranger(self, step: Step) -> None:
        name = f"{QUEUES[step.number % 2]}-runner"
        if (TEAM, name) not in self.server.objects["pod"]:
            metadata = {"namespace": TEAM, "name": name}
            spec = {"containers": [], "terminationGracePeriodSeconds": 30, "nodeName": "node-1"}
            pod = {"metadata": metadata, "spec": spec, "status": {"phase": "R"}}
            stranger = self.server.create("pod", pod)["metadata"]
            unseen = int(step.value * 1000) % 3 == 0
            self.loop.call_later(
                step.value * 40, self._leave, stranger["name"], stranger["uid"], unseen
            )

    def _leave(self, name: str, uid: str, unseen: bool) -> None:
        """A stranger's pod goes, if it is there; unseen where watches break at that moment."""
        if unseen:
            for replica in self.replicas:
                replica.cut()
        pod = self.server.objects["pod"].get((TEAM, name))
        if pod is not None and pod["metadata"]["uid"] == uid:
            self.server.remove_pod(pod)

    def _unsettled(self) -> list[str]:
        wrong = []
        for job in self.server.objects["job"].values():
            phase = (job.get("status") or {}).get("phase")
            wanted = (*FINAL, "Stopped") if unwanted(job) else FINAL
            if phase not in wanted:
                wrong.append(f"{job['metadata']['name']} is {phase}")
            elif unseen(job):
                wrong.append(f"{job['metadata']['name']} has a generation that nobody has seen")
        return wrong

    def told(self, lines: int = 80) -> str:
        """The end of the history, a line for each thing that happened."""
        return "\n".join(_line(*entry) for entry in self.server.history[-lines:])

    def end(self) -> dict[str, str]:
        """How each job ended, by its name."""
        jobs = self.server.objects["job"]
        return {name: job["status"]["phase"] for (_, name), job in sorted(jobs.items())}


def _line(when: float, who: str, what: Any) -> str:
    if isinstance(what, tuple):
        what = " ".join(_shown(part) for part in what)
    return f"{when - EPOCH:8.2f} {who:4} {what}"


def _shown(part: Any) -> str:
    if not isinstance(part, dict):
        return str(part)
    told = {k: v for k, v in part.items() if k in ("phase", "attempt", "queuePosition", "queue")}
    reasons = [f"{c['type']}={c['reason']}" for c in part.get("conditions") or []]
    return f"{told} {' '.join(reasons)}"


def simulate(plan: Plan) -> Simulation:
    """Play one history.

    Raises:
        BrokenPromiseError: It breaks a promise.
    """
    loop = VirtualLoop(EPOCH)
    asyncio.set_event_loop(loop)
    try:
        simulation = Simulation(loop, plan)
        loop.run_until_complete(simulation.run())
        return simulation
    finally:
        asyncio.set_event_loop(None)
        loop.close()
