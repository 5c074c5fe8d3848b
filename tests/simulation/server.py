"""An API server as far as the operator sees one, with the real one's rules and faults by seed.

Objects are never changed in place: a write puts a new one, so that all may share the old.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sihl_api.times import rfc3339
from sihl_operator.kube import (
    KINDS,
    AlreadyExistsError,
    ApiError,
    ConflictError,
    GoneError,
    NotFoundError,
    See,
    UnavailableError,
)

Raw = dict[str, Any]
Key = tuple[str, str]
_HORIZON = 40  # events of a kind that a watch can resume from
_AT_ONCE = 0.6
_BOOKMARKED = 0.2  # of the times that a watch has told all that there is


@dataclass
class Faults:
    """How often what goes wrong."""

    unanswered: float = 0.04  # half of them took effect
    busy: float = 0.03
    latest: float = 0.6  # seconds that an answer or an event may take
    watch_cut: float = 0.02  # at an event
    watch_gone: float = 0.5  # of cut watches: 410, listed anew without what was deleted meanwhile

    def end(self) -> None:
        """Nothing goes wrong any more; what is under way still takes its time."""
        self.unanswered = self.busy = self.watch_cut = 0.0
        self.latest = min(self.latest, 0.2)

    @property
    def over(self) -> bool:
        """Whether nothing goes wrong."""
        return not (self.unanswered or self.busy or self.watch_cut)


RIGHTS = {
    "create pods": "", "delete pods": "", "patch trainingjobs/status": "sihl.ai",
    "delete trainingjobs": "sihl.ai", "create events": "", "get trainingjobs": "sihl.ai",
    "get pods": "", "list trainingjobs": "sihl.ai", "list pods": "", "list nodes": "",
    "watch trainingjobs": "sihl.ai", "watch pods": "", "watch nodes": "",
    "get leases": "coordination.k8s.io", "create leases": "coordination.k8s.io",
    "update leases": "coordination.k8s.io",
}  # fmt: skip
"""What the operator asks for, as verb and resource, and the resource's API group."""
_PLURALS = {"job": "trainingjobs", "pod": "pods", "node": "nodes"}


@dataclass(frozen=True, eq=False)
class Refusal:
    """What is not let through, whoever asks, until it is taken back; `said` knows the right."""

    rights: tuple[str, ...]
    status: int
    said: Callable[[str], str]


def forbidden(rights: tuple[str, ...]) -> Refusal:
    """The operator's role has lost rights."""
    return Refusal(rights, 403, _unauthorized)


def _unauthorized(right: str) -> str:
    verb, _, resource = right.partition(" ")
    return (
        f'{resource} is forbidden: User "system:serviceaccount:sihl:sihl-operator" cannot {verb} '
        f'resource "{resource}" in API group "{RIGHTS[right]}" in the namespace "team"'
    )


@dataclass(frozen=True)
class Event:
    """What a watch tells."""

    version: int
    raw: Raw
    deleted: bool


class SimulatedServer:
    """Objects by kind and key. Every write raises the version and is told to the watches."""

    def __init__(self, random: random.Random, faults: Faults, clock: Callable[[], float]) -> None:
        self.objects: dict[str, dict[Key, Raw]] = {"job": {}, "pod": {}, "node": {}, "lease": {}}
        self.log: dict[str, list[Event]] = {kind: [] for kind in KINDS}
        self.forgotten: dict[str, int] = dict.fromkeys(KINDS, 0)  # events no longer in `log`
        self.watchers: dict[str, list[asyncio.Future[None]]] = {kind: [] for kind in KINDS}
        self.observers: list[Callable[[str, Raw | None, Raw | None], None]] = []
        self.on_deletion: Callable[[Raw, int | None], None] = lambda *_: None
        self.on_expiry: Callable[[Raw], None] = lambda _: None
        self.refusals: list[Refusal] = []
        self.writes = 0
        self.version = 0
        self.faults, self.clock, self.random = faults, clock, random
        self.history: list[tuple[float, str, Any]] = []
        self._uid = 0

    def note(self, who: str, what: Any) -> None:
        """A line of the history."""
        self.history.append((self.clock(), who, what))

    def bookmark(self) -> int:
        """What a watch that has told all can resume from, whatever became of other kinds."""
        return self.version

    def permit(self, right: str) -> None:
        """Raises ApiError where it is refused now."""
        for refusal in self.refusals:
            if right in refusal.rights:
                self.note("all", f"{right}: refused")
                kind = UnavailableError if refusal.status >= 500 else ApiError
                raise kind(refusal.status, "Refused", refusal.said(right))

    # --- what writers of all kinds do; at once, without faults --------------------------------

    def get(self, kind: str, namespace: str, name: str) -> Raw:
        """Raises NotFoundError."""
        found = self.objects[kind].get((namespace, name))
        if found is None:
            raise NotFoundError(404, "NotFound", f"{kind} {name}")
        return found

    def create(self, kind: str, raw: Raw) -> Raw:
        """Raises AlreadyExistsError."""
        given = raw["metadata"]
        if (given.get("namespace", ""), given["name"]) in self.objects[kind]:
            raise AlreadyExistsError(409, "AlreadyExists", f"{kind} {given['name']}")
        self._uid += 1
        metadata = {
            "generation": 1, **given, "uid": f"{kind}-{self._uid}",
            "creationTimestamp": rfc3339(self.clock()),
        }  # fmt: skip
        default = {"status": {"observedGeneration": -1}} if kind == "job" else {}
        return self._put(kind, None, {**default, **raw, "metadata": metadata})

    def replace(self, kind: str, before: Raw, **parts: Any) -> Raw:
        """A write: the object with parts of its top level, or of its metadata, exchanged."""
        metadata = {**before["metadata"], **parts.pop("metadata", {})}
        after = {**before, **parts, "metadata": metadata}
        return before if after == before else self._put(kind, before, after)

    def delete_job(self, namespace: str, name: str) -> None:
        """Its pod follows, as the garbage collector has it, once no finalizer keeps it."""
        job = self.get("job", namespace, name)
        if job["metadata"].get("finalizers"):
            mark = {
                "deletionTimestamp": rfc3339(self.clock()),
                "generation": job["metadata"]["generation"] + 1,
            }
            if "deletionTimestamp" not in job["metadata"]:
                self.replace("job", job, metadata=mark)
            return
        self._remove("job", job)
        for pod in list(self.objects["pod"].values()):
            owners = pod["metadata"].get("ownerReferences") or [{"uid": ""}]
            if owners[0]["uid"] == job["metadata"]["uid"]:
                self.delete_pod(pod["metadata"]["namespace"], pod["metadata"]["name"])

    def delete_pod(
        self, namespace: str, name: str, uid: str | None = None, grace: int | None = None
    ) -> None:
        """Raises NotFoundError, and ConflictError where the uid is another's."""
        pod = self.get("pod", namespace, name)
        metadata = pod["metadata"]
        if uid is not None and metadata["uid"] != uid:
            raise ConflictError(409, "Conflict", "the uid is another one")
        seconds = pod["spec"]["terminationGracePeriodSeconds"] if grace is None else grace
        over = pod["status"]["phase"] in ("Succeeded", "Failed")
        if seconds == 0 or over or not pod["spec"].get("nodeName"):
            self._remove("pod", pod)
        elif "deletionTimestamp" not in metadata:
            mark = {
                "deletionTimestamp": rfc3339(self.clock() + seconds),
                "deletionGracePeriodSeconds": seconds,
            }
            self.replace("pod", pod, metadata=mark)

    def remove_pod(self, pod: Raw) -> None:
        """A kubelet's last act."""
        self._remove("pod", pod)

    def _put(self, kind: str, before: Raw | None, after: Raw) -> Raw:
        self.version += 1
        metadata = after["metadata"]
        metadata["resourceVersion"] = str(self.version)  # of the new object, which nobody has yet
        self.objects[kind][metadata.get("namespace", ""), metadata["name"]] = after
        self._tell(kind, before, after, after, False)
        return after

    def _remove(self, kind: str, raw: Raw) -> None:
        self.version += 1
        last = {**raw, "metadata": {**raw["metadata"], "resourceVersion": str(self.version)}}
        del self.objects[kind][raw["metadata"].get("namespace", ""), raw["metadata"]["name"]]
        self._tell(kind, raw, None, last, True)

    def _tell(
        self, kind: str, before: Raw | None, after: Raw | None, last: Raw, deleted: bool
    ) -> None:
        for observer in self.observers:
            observer(kind, before, after)
        if kind not in self.log:
            return
        log = self.log[kind]
        log.append(Event(self.version, last, deleted))
        if len(log) > 2 * _HORIZON:
            self.forgotten[kind] = log[_HORIZON - 1].version
            del log[:_HORIZON]
        waiting, self.watchers[kind] = self.watchers[kind], []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class SimulatedApi:
    """The server as one replica's client reaches it: with delays, losses and refusals."""

    def __init__(self, server: SimulatedServer, name: str) -> None:
        self._server, self._name = server, name
        self._cut = dict.fromkeys(KINDS, False)
        self._forgotten = dict.fromkeys(KINDS, 0)

    def cut(self) -> None:
        """Every watch is, at its next event."""
        self._cut = dict.fromkeys(KINDS, True)

    async def list_all(self, kind: str) -> tuple[list[Raw], str]:
        """All of a kind, and the version of the list."""
        await self._quick_road()
        self._server.permit(f"list {_PLURALS[kind]}")
        found = list(self._server.objects[kind].values()), str(self._server.version)
        await self._quick_road()
        return found

    async def watch(self, kind: str, version: str, see: See) -> None:
        """Tell events after a version, and bookmarks, until the connection is cut."""
        server, faults, told = self._server, self._server.faults, int(version)
        server.permit(f"watch {_PLURALS[kind]}")
        if self._cut[kind]:
            self._cut[kind] = False
            await asyncio.sleep(server.random.random() * 3)
            if server.random.random() < faults.watch_gone:
                self._forgotten[kind] = server.version
        while True:
            log = server.log[kind]
            if told < max(server.forgotten[kind], self._forgotten[kind]):
                raise GoneError(410, "Expired", "too old resource version")
            if not log or log[-1].version <= told:
                if server.random.random() < _BOOKMARKED:
                    told = server.bookmark()
                    see("BOOKMARK", {"metadata": {"resourceVersion": str(told)}})
                future = asyncio.get_running_loop().create_future()
                server.watchers[kind].append(future)
                await future
                continue
            last = log[-1].version
            self._cut[kind] |= server.random.random() < faults.watch_cut
            if self._cut[kind]:
                return
            await asyncio.sleep(server.random.random() * faults.latest)
            for event in [e for e in server.log[kind] if told < e.version <= last]:
                see("DELETED" if event.deleted else "MODIFIED", event.raw)
            told = last

    async def get_job(self, namespace: str, name: str) -> Raw:
        """A job."""
        await self._road()
        self._server.permit("get trainingjobs")
        return self._server.get("job", namespace, name)

    async def get_pod(self, namespace: str, name: str) -> Raw:
        """A pod."""
        await self._road()
        self._server.permit("get pods")
        return self._server.get("pod", namespace, name)

    async def patch_job_status(self, namespace: str, name: str, version: str, status: Raw) -> Raw:
        """By JSON merge patch, if the job still is at the version."""

        def act() -> Raw:
            job = self._server.get("job", namespace, name)
            if job["metadata"]["resourceVersion"] != version:
                raise ConflictError(409, "Conflict", "the object has been modified")
            return self._server.replace("job", job, status=merged(job.get("status") or {}, status))

        return await self._write("patch trainingjobs/status", ("status of", name, status), act)

    async def delete_job(self, namespace: str, name: str, uid: str, version: str) -> None:
        """A job, if it has that uid and is at that version."""

        def act() -> Raw:
            job = self._server.get("job", namespace, name)
            metadata = job["metadata"]
            if (metadata["uid"], metadata["resourceVersion"]) != (uid, version):
                raise ConflictError(409, "Conflict", "the object has been modified")
            self._server.on_expiry(job)
            self._server.delete_job(namespace, name)
            return {}

        await self._write("delete trainingjobs", ("delete job", name, uid), act)

    async def create_pod(self, pod: Raw) -> Raw:
        """A pod of that name, if there is none."""
        raw = {**pod, "status": {"phase": "Pending"}}
        labels = pod["metadata"]["labels"]
        what = ("create", pod["metadata"]["name"], labels["sihl.ai/job"], labels["sihl.ai/attempt"])
        return await self._write("create pods", what, lambda: self._server.create("pod", raw))

    async def delete_pod(self, namespace: str, name: str, uid: str, grace: int | None) -> None:
        """A pod, if it has that uid."""

        def act() -> Raw:
            pod = self._server.get("pod", namespace, name)
            if pod["metadata"]["uid"] == uid or not uid:
                self._server.on_deletion(pod, grace)
            self._server.delete_pod(namespace, name, uid, grace)
            return {}

        await self._write("delete pods", ("delete", name, uid, "grace", grace), act)

    async def events_of(self, namespace: str, uid: str) -> list[Raw]:
        """Nobody tells of pods here."""
        await self._road()
        return []

    async def create_event(self, event: Raw) -> None:
        """An Event."""
        await self._write("create events", ("event", event.get("reason")), lambda: {})

    async def lease(self, verb: str, namespace: str, name: str, body: Raw | None = None) -> Raw:
        """Get, create or update the Lease."""
        await self._quick_road()
        server = self._server
        server.permit(f"{verb} leases")
        if verb == "get":
            return _own(server.get("lease", namespace, name))
        assert body is not None
        if verb == "create":
            return _own(server.create("lease", _own(body)))
        lease = server.get("lease", namespace, name)
        if lease["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise ConflictError(409, "Conflict", "the lease has been modified")
        after = _own(server.replace("lease", lease, spec=dict(body["spec"])))
        await self._quick_road()
        return after

    async def _write(self, right: str, what: Any, act: Callable[[], Raw]) -> Raw:
        server, faults = self._server, self._server.faults
        await self._road()
        server.writes += 1
        dice = server.random.random()
        if dice < faults.busy:
            raise UnavailableError(429, "TooManyRequests", "busy")
        dice -= faults.busy
        if dice < faults.unanswered / 2:
            raise UnavailableError(0, "TimeoutError", "never arrived")
        server.permit(right)
        server.note(self._name, what)
        answer = act()
        if dice < 0.5:  # else answered at once
            await self._road()
        if dice < faults.unanswered:
            raise UnavailableError(0, "TimeoutError", "took effect, unanswered")
        return answer

    async def _road(self) -> None:
        await asyncio.sleep(self._server.random.random() * self._server.faults.latest)

    async def _quick_road(self) -> None:
        """Of what comes most often, much takes no time to speak of: so there are more histories."""
        if self._server.random.random() > _AT_ONCE:
            await self._road()


def _own(lease: Raw) -> Raw:
    """A copy whose metadata and spec may be changed."""
    return {**lease, "metadata": dict(lease["metadata"]), "spec": dict(lease["spec"])}


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
