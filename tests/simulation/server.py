"""An API server as far as the operator sees one, with the real one's rules and faults by seed."""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sihl_operator.kube import (
    AlreadyExistsError,
    ConflictError,
    NotFoundError,
    UnavailableError,
)
from sihl_operator.views import rfc3339

Raw = dict[str, Any]
Key = tuple[str, str]


@dataclass
class Faults:
    """How often what goes wrong; all of it ends when `active` is unset."""

    active: bool = True
    unanswered: float = 0.03  # half of them took effect
    busy: float = 0.03
    latest: float = 0.5  # seconds that an answer or an event may take
    watch_cut: float = 0.01  # of events: this one and those under way are lost

    def happens(self, chance: float, random: random.Random) -> bool:
        return self.active and random.random() < chance


@dataclass
class Watch:
    """A replica's watches: events in order and late; None once the connection is lost."""

    queue: asyncio.Queue[tuple[float, str, Raw, bool] | None] = field(default_factory=asyncio.Queue)

    def cut(self) -> None:
        """Lose the connection, and what is under way on it."""
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)


class SimulatedServer:
    """Objects by kind and key. Every write raises the version and is told to the watches."""

    def __init__(self, random: random.Random, faults: Faults, clock: Callable[[], float]) -> None:
        self.objects: dict[str, dict[Key, Raw]] = {"job": {}, "pod": {}, "node": {}, "lease": {}}
        self.watches: list[Watch] = []
        self.writes = 0
        self.checks: list[Callable[[str, Raw | None, Raw], None]] = []
        self.history: list[str] = []
        self._random, self._faults, self._clock = random, faults, clock
        self._version = 0
        self._uid = 0

    # --- what writers of all kinds do; at once, without faults --------------------------------

    def get(self, kind: str, namespace: str, name: str) -> Raw:
        found = self.objects[kind].get((namespace, name))
        if found is None:
            raise NotFoundError(404, "NotFound", f"{kind} {name}")
        return found

    def create(self, kind: str, raw: Raw) -> Raw:
        raw = copy.deepcopy(raw)
        metadata = raw["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        if key in self.objects[kind]:
            raise AlreadyExistsError(409, "AlreadyExists", f"{kind} {key[1]}")
        self._uid += 1
        metadata |= {"uid": f"{kind}-{self._uid}", "creationTimestamp": self._now()}
        metadata.setdefault("generation", 1)
        return self._put(kind, None, raw)

    def update(self, kind: str, namespace: str, name: str, change: Callable[[Raw], None]) -> Raw:
        before = self.get(kind, namespace, name)
        after = copy.deepcopy(before)
        change(after)
        if after == before:
            return before
        return self._put(kind, before, after)

    def delete_job(self, namespace: str, name: str) -> None:
        """Its pod follows, as the garbage collector has it."""
        job = self.get("job", namespace, name)
        self._remove("job", job)
        for pod in list(self.objects["pod"].values()):
            if pod["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]:
                self.delete_pod(pod["metadata"]["namespace"], pod["metadata"]["name"])

    def delete_pod(
        self, namespace: str, name: str, uid: str | None = None, grace: int | None = None
    ) -> None:
        pod = self.get("pod", namespace, name)
        metadata = pod["metadata"]
        if uid is not None and metadata["uid"] != uid:
            raise ConflictError(409, "Conflict", "the uid is another one")
        seconds = pod["spec"]["terminationGracePeriodSeconds"] if grace is None else grace
        over = pod["status"]["phase"] in ("Succeeded", "Failed")
        if seconds == 0 or over or not pod["spec"].get("nodeName"):
            self._remove("pod", pod)
        elif "deletionTimestamp" not in metadata:

            def mark(raw: Raw) -> None:
                raw["metadata"]["deletionTimestamp"] = rfc3339(self._clock() + seconds)
                raw["metadata"]["deletionGracePeriodSeconds"] = seconds

            self.update("pod", namespace, name, mark)

    def remove_pod(self, pod: Raw) -> None:
        """A kubelet's last act."""
        self._remove("pod", pod)

    def _put(self, kind: str, before: Raw | None, after: Raw) -> Raw:
        self._version += 1
        after["metadata"]["resourceVersion"] = str(self._version)
        key = (after["metadata"].get("namespace", ""), after["metadata"]["name"])
        self.objects[kind][key] = after
        for check in self.checks:
            check(kind, before, after)
        self._tell(kind, after, False)
        return after

    def _remove(self, kind: str, raw: Raw) -> None:
        self._version += 1
        last = copy.deepcopy(raw)
        last["metadata"]["resourceVersion"] = str(self._version)
        del self.objects[kind][(raw["metadata"].get("namespace", ""), raw["metadata"]["name"])]
        self._tell(kind, last, True)

    def _tell(self, kind: str, raw: Raw, deleted: bool) -> None:
        for watch in list(self.watches):
            if self._faults.happens(self._faults.watch_cut, self._random):
                self.watches.remove(watch)
                watch.cut()
                continue
            late = self._random.random() * self._faults.latest if self._faults.active else 0.01
            watch.queue.put_nowait((self._clock() + late, kind, copy.deepcopy(raw), deleted))

    def _now(self) -> str:
        return rfc3339(self._clock())


class SimulatedApi:
    """The server as one replica's client reaches it: with delays, losses and refusals."""

    def __init__(self, server: SimulatedServer, name: str) -> None:
        self._server, self._name = server, name

    async def list_all(self, kind: str) -> tuple[list[Raw], str]:
        await self._road()
        items = copy.deepcopy(list(self._server.objects[kind].values()))
        return items, str(self._server._version)

    async def get_job(self, namespace: str, name: str) -> Raw:
        await self._road()
        return copy.deepcopy(self._server.get("job", namespace, name))

    async def get_pod(self, namespace: str, name: str) -> Raw:
        await self._road()
        return copy.deepcopy(self._server.get("pod", namespace, name))

    async def patch_job_status(self, namespace: str, name: str, version: str, status: Raw) -> Raw:
        def change(raw: Raw) -> None:
            if raw["metadata"]["resourceVersion"] != version:
                raise ConflictError(409, "Conflict", "the object has been modified")
            raw["status"] = merged(raw.get("status") or {}, status)

        return await self._write(
            f"{name}: {status}", lambda: self._server.update("job", namespace, name, change)
        )

    async def create_pod(self, pod: Raw) -> Raw:
        name = pod["metadata"]["name"]
        raw = {**pod, "status": {"phase": "Pending"}}
        return await self._write(f"create {name}", lambda: self._server.create("pod", raw))

    async def delete_pod(self, namespace: str, name: str, uid: str, grace: int | None) -> None:
        def act() -> Raw:
            self._server.delete_pod(namespace, name, uid, grace)
            return {}

        await self._write(f"delete {name} uid {uid} grace {grace}", act)

    async def create_event(self, event: Raw) -> None:
        await self._write("event", lambda: {})

    async def lease(self, verb: str, namespace: str, name: str, body: Raw | None = None) -> Raw:
        await self._road()
        if verb == "get":
            return copy.deepcopy(self._server.get("lease", namespace, name))
        assert body is not None
        if verb == "create":
            return self._server.create("lease", body)
        version = body["metadata"]["resourceVersion"]

        def change(raw: Raw) -> None:
            if raw["metadata"]["resourceVersion"] != version:
                raise ConflictError(409, "Conflict", "the lease has been modified")
            raw["spec"] = body["spec"]

        return copy.deepcopy(self._server.update("lease", namespace, name, change))

    async def _write(self, what: str, act: Callable[[], Raw]) -> Raw:
        server, faults = self._server, self._server._faults
        await self._road()
        server.writes += 1
        if faults.happens(faults.busy, server._random):
            raise UnavailableError(429, "TooManyRequests", "busy")
        lost = faults.happens(faults.unanswered, server._random)
        if lost and server._random.random() < 0.5:
            raise UnavailableError(0, "TimeoutError", "never arrived")
        server.history.append(f"{server._clock():.2f} {self._name} {what}")
        answer = copy.deepcopy(act())
        await self._road()
        if lost:
            raise UnavailableError(0, "TimeoutError", "took effect, unanswered")
        return answer

    async def _road(self) -> None:
        faults = self._server._faults
        span = faults.latest if faults.active else 0.01
        await asyncio.sleep(self._server._random.random() * span)


def merged(old: Raw, patch: Raw) -> Raw:
    """RFC 7386."""
    result = dict(old)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            inner = result.get(key)
            result[key] = merged(inner if isinstance(inner, dict) else {}, value)
        else:
            result[key] = value
    return result
