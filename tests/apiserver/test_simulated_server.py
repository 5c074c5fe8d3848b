"""One suite for two servers: what the simulation's promises to the operator, the real one keeps.

Each rule is asked of both, so that they cannot drift apart.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import groupby
from typing import Any, Protocol

import pytest
from kubernetes import client, config

from sihl_api.trainingjob import API_VERSION, GROUP, PLURAL, VERSION
from sihl_operator.kube import (
    AlreadyExistsError,
    ConflictError,
    KubeApi,
    NotFoundError,
)
from sihl_operator.views import parse
from tests.simulation.server import Faults, Raw, SimulatedApi, SimulatedServer
from tests.support.objects import SPEC

NAMESPACE = "default"
GRACE = 30


class Server(Protocol):
    """What users and kubelets do to a server; the operator's own calls go through `api`."""

    api: Any

    def create_job(self, name: str) -> Raw: ...
    def edit_job(self, name: str, spec: Raw, annotations: Raw) -> Raw: ...
    def delete_job(self, name: str) -> None: ...
    def end_pod(self, name: str, phase: str) -> None: ...
    def told_since(self, kind: str, version: str) -> list[tuple[str, str, int]] | None:
        """(type, name, version) of each event; None where the version is too old."""

    def bookmark(self, kind: str, version: str) -> str:
        """The version of a bookmark that a watch from that version is sent."""


class Simulated:
    """The simulation's, without delay."""

    def __init__(self) -> None:
        faults = Faults(latest=0)
        faults.end()
        self.server = SimulatedServer(random.Random(0), faults, time.time)
        self.api = SimulatedApi(self.server, "test")

    def create_job(self, name: str) -> Raw:
        return self.server.create("job", _job(name))

    def edit_job(self, name: str, spec: Raw, annotations: Raw) -> Raw:
        job = self.server.get("job", NAMESPACE, name)
        generation = job["metadata"]["generation"] + (spec != {})
        metadata = {"annotations": annotations, "generation": generation}
        return self.server.replace("job", job, spec={**job["spec"], **spec}, metadata=metadata)

    def delete_job(self, name: str) -> None:
        self.server.delete_job(NAMESPACE, name)

    def end_pod(self, name: str, phase: str) -> None:
        pod = self.server.get("pod", NAMESPACE, name)
        self.server.replace("pod", pod, status={**pod["status"], "phase": phase})

    def told_since(self, kind: str, version: str) -> list[tuple[str, str, int]] | None:
        if int(version) < self.server.forgotten[kind]:
            return None
        seen: set[str] = set()
        told = []
        for event in self.server.log[kind]:
            name = event.raw["metadata"]["name"]
            if event.version > int(version):
                kind_of = "DELETED" if event.deleted else "MODIFIED" if name in seen else "ADDED"
                told.append((kind_of, name, event.version))
            seen = seen - {name} if event.deleted else seen | {name}
        return told

    def bookmark(self, kind: str, version: str) -> str:
        return str(self.server.bookmark())


class Real:
    """The API server."""

    def __init__(self, api: KubeApi, users: client.ApiClient) -> None:
        self.api = api
        self._core, self._custom = client.CoreV1Api(users), client.CustomObjectsApi(users)

    def create_job(self, name: str) -> Raw:
        created: Raw = self._custom.create_namespaced_custom_object(
            GROUP, VERSION, NAMESPACE, PLURAL, _job(name)
        )
        return created

    def edit_job(self, name: str, spec: Raw, annotations: Raw) -> Raw:
        body = {"spec": spec, "metadata": {"annotations": annotations}}
        edited: Raw = self._custom.patch_namespaced_custom_object(
            GROUP, VERSION, NAMESPACE, PLURAL, name, body
        )
        return edited

    def delete_job(self, name: str) -> None:
        self._custom.delete_namespaced_custom_object(GROUP, VERSION, NAMESPACE, PLURAL, name)

    def end_pod(self, name: str, phase: str) -> None:
        self._core.patch_namespaced_pod_status(name, NAMESPACE, {"status": {"phase": phase}})

    def told_since(self, kind: str, version: str) -> list[tuple[str, str, int]] | None:
        told = []
        for event in self._watch(kind, version, 2):
            if event["type"] == "ERROR":
                assert event["object"]["code"] == 410
                return None
            metadata = event["object"]["metadata"]
            told.append((event["type"], metadata["name"], int(metadata["resourceVersion"])))
        return told

    def bookmark(self, kind: str, version: str) -> str:
        # The API server sends one some 2 s before a watch's time is over, unless it is busy.
        marks: list[Any] = []
        while not marks:
            events = self._watch(kind, version, 6, allow_watch_bookmarks=True)
            marks = [each["object"] for each in events if each["type"] == "BOOKMARK"]
        return str(marks[-1]["metadata"]["resourceVersion"])

    def _watch(self, kind: str, version: str, seconds: int, **more: Any) -> list[Any]:
        asked: Any = {
            "watch": True, "resource_version": version, "timeout_seconds": seconds,
            "_preload_content": False, **more,
        }  # fmt: skip
        if kind == "pod":
            answer = self._core.list_namespaced_pod(NAMESPACE, **asked)
        else:
            where = (GROUP, VERSION, NAMESPACE, PLURAL)
            answer = self._custom.list_namespaced_custom_object(*where, **asked)
        return [json.loads(line) for line in answer.data.decode().splitlines()]


@pytest.fixture(params=["simulated", "real"])
async def server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Server]:
    if request.param == "simulated":
        yield Simulated()
        return
    kubeconfig = str(request.getfixturevalue("kubeconfig"))
    monkeypatch.setattr(config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", kubeconfig)
    async with KubeApi(lambda *_: None) as api:
        yield Real(api, config.new_client_from_config(kubeconfig))


def _job(name: str) -> Raw:
    return {
        "apiVersion": API_VERSION, "kind": "TrainingJob",
        "metadata": {"namespace": NAMESPACE, "name": name, "annotations": {}}, "spec": SPEC,
    }  # fmt: skip


def _pod(name: str, node: str = "") -> Raw:
    container = {"name": "trainer", "image": "none"}
    spec: Raw = {"containers": [container], "terminationGracePeriodSeconds": GRACE}
    if node:
        spec["nodeName"] = node
    labels = {"sihl.ai/job": "none", "sihl.ai/attempt": "1"}
    metadata = {"namespace": NAMESPACE, "name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _lease(name: str, version: str = "") -> Raw:
    metadata = {"namespace": NAMESPACE, "name": name}
    if version:
        metadata["resourceVersion"] = version
    spec = {"holderIdentity": "a", "leaseDurationSeconds": 15}
    return {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec,
    }  # fmt: skip


async def _raises(error: type[Exception], act: Callable[[], Awaitable[Any]]) -> None:
    with pytest.raises(error) as raised:
        await act()
    assert raised.type is error, f"{raised.type} is not the same as {error}"


async def test_a_status_is_written_only_over_the_version_that_was_seen(server: Server) -> None:
    first = server.create_job("swap")["metadata"]["resourceVersion"]
    after = await server.api.patch_job_status(NAMESPACE, "swap", first, {"phase": "Queued"})
    assert int(after["metadata"]["resourceVersion"]) > int(first)
    stale = server.api.patch_job_status
    await _raises(ConflictError, lambda: stale(NAMESPACE, "swap", first, {"phase": "Starting"}))
    assert (await server.api.get_job(NAMESPACE, "swap"))["status"]["phase"] == "Queued"


async def test_a_job_is_deleted_only_as_it_was_seen(server: Server) -> None:
    first = server.create_job("kept")["metadata"]
    uid, seen = first["uid"], first["resourceVersion"]
    after = server.edit_job("kept", {"suspend": True}, {})["metadata"]["resourceVersion"]
    delete = server.api.delete_job
    await _raises(ConflictError, lambda: delete(NAMESPACE, "kept", uid, seen))
    await _raises(ConflictError, lambda: delete(NAMESPACE, "kept", "another", after))
    await delete(NAMESPACE, "kept", uid, after)
    await _raises(NotFoundError, lambda: server.api.get_job(NAMESPACE, "kept"))


async def test_a_patch_merges_and_a_null_removes(server: Server) -> None:
    made = server.create_job("merge")
    assert made["status"] == {"observedGeneration": -1}, "nobody has seen it yet"
    version = made["metadata"]["resourceVersion"]
    for patch in (
        {"phase": "Queued", "queuePosition": 3, "progress": {"step": 1, "percent": 2}},
        {"queuePosition": None, "observedGeneration": None, "progress": {"step": 2}},
    ):
        after = await server.api.patch_job_status(NAMESPACE, "merge", version, patch)
        version = after["metadata"]["resourceVersion"]
    assert after["status"] == {"phase": "Queued", "progress": {"step": 2, "percent": 2}}


async def test_a_patch_that_changes_nothing_is_no_write(server: Server) -> None:
    version = server.create_job("idle")["metadata"]["resourceVersion"]
    write = server.api.patch_job_status
    one = await write(NAMESPACE, "idle", version, {"phase": "Queued"})
    version = one["metadata"]["resourceVersion"]
    two = await write(NAMESPACE, "idle", version, {"phase": "Queued", "queuePosition": None})
    assert two["metadata"]["resourceVersion"] == version


async def test_a_status_changes_no_generation_and_a_spec_does(server: Server) -> None:
    created = server.create_job("generation")
    version = created["metadata"]["resourceVersion"]
    told = await server.api.patch_job_status(NAMESPACE, "generation", version, {"phase": "Queued"})
    assert told["metadata"]["generation"] == 1
    assert server.edit_job("generation", {}, {"sihl.ai/queue": "x"})["metadata"]["generation"] == 1
    edited = server.edit_job("generation", {"suspend": True}, {"sihl.ai/queue": "x"})
    assert edited["metadata"]["generation"] == 2
    assert edited["status"] == told["status"]


async def test_a_job_that_is_not_there_is_not_found(server: Server) -> None:
    await _raises(NotFoundError, lambda: server.api.get_job(NAMESPACE, "none"))
    await _raises(
        NotFoundError, lambda: server.api.patch_job_status(NAMESPACE, "none", "1", {"phase": "x"})
    )


async def test_a_namesake_has_another_uid(server: Server) -> None:
    first = server.create_job("namesake")["metadata"]["uid"]
    server.delete_job("namesake")
    await _raises(NotFoundError, lambda: server.api.get_job(NAMESPACE, "namesake"))
    assert server.create_job("namesake")["metadata"]["uid"] != first


async def test_one_pod_has_a_name(server: Server) -> None:
    first = await server.api.create_pod(_pod("single"))
    assert first["status"]["phase"] == "Pending"
    await _raises(AlreadyExistsError, lambda: server.api.create_pod(_pod("single")))
    there = await server.api.get_pod(NAMESPACE, "single")
    assert there["metadata"]["uid"] == first["metadata"]["uid"]


async def test_only_the_pod_that_was_meant_is_deleted(server: Server) -> None:
    uid = (await server.api.create_pod(_pod("meant")))["metadata"]["uid"]
    delete = server.api.delete_pod
    await _raises(ConflictError, lambda: delete(NAMESPACE, "meant", "another", None))
    assert (await server.api.get_pod(NAMESPACE, "meant"))["metadata"]["uid"] == uid
    await _raises(NotFoundError, lambda: delete(NAMESPACE, "none", uid, None))


async def test_a_pod_that_has_no_node_is_gone_at_once(server: Server) -> None:
    uid = (await server.api.create_pod(_pod("unbound")))["metadata"]["uid"]
    await server.api.delete_pod(NAMESPACE, "unbound", uid, None)
    await _raises(NotFoundError, lambda: server.api.get_pod(NAMESPACE, "unbound"))


async def test_a_pod_on_a_node_has_its_grace_period_and_a_second_request_changes_none(
    server: Server,
) -> None:
    uid = (await server.api.create_pod(_pod("bound", "some-node")))["metadata"]["uid"]
    asked = time.time()
    await server.api.delete_pod(NAMESPACE, "bound", uid, None)
    first = (await server.api.get_pod(NAMESPACE, "bound"))["metadata"]
    due = parse(first["deletionTimestamp"])
    assert due is not None and -2 < due - asked - GRACE < 30
    await server.api.delete_pod(NAMESPACE, "bound", uid, None)
    again = (await server.api.get_pod(NAMESPACE, "bound"))["metadata"]
    assert again["deletionTimestamp"] == first["deletionTimestamp"]
    await server.api.delete_pod(NAMESPACE, "bound", uid, 0)
    await _raises(NotFoundError, lambda: server.api.get_pod(NAMESPACE, "bound"))


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_a_pod_that_has_ended_is_gone_at_once(server: Server, phase: str) -> None:
    name = f"ended-{phase.lower()}"
    uid = (await server.api.create_pod(_pod(name, "some-node")))["metadata"]["uid"]
    server.end_pod(name, phase)
    await server.api.delete_pod(NAMESPACE, name, uid, None)
    await _raises(NotFoundError, lambda: server.api.get_pod(NAMESPACE, name))


async def test_a_list_is_of_one_moment_and_tells_which(server: Server) -> None:
    server.create_job("listed")
    items, version = await server.api.list_all("job")
    found = {job["metadata"]["name"]: job for job in items}
    assert int(found["listed"]["metadata"]["resourceVersion"]) <= int(version)


async def test_a_watch_tells_all_that_came_after_a_version_once_and_in_order(
    server: Server,
) -> None:
    _, version = await server.api.list_all("pod")
    uid = (await server.api.create_pod(_pod("watched", "some-node")))["metadata"]["uid"]
    server.end_pod("watched", "Failed")
    await server.api.delete_pod(NAMESPACE, "watched", uid, None)
    told = await asyncio.to_thread(server.told_since, "pod", version)
    assert told is not None
    kinds = [kind for kind, name, _ in told if name == "watched"]
    assert [kind for kind, _ in groupby(kinds)] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [version for *_, version in told]
    assert versions == sorted(set(versions)), "a deletion has a version of its own"
    later = await asyncio.to_thread(server.told_since, "pod", str(versions[-1]))
    assert later == []


async def test_a_watch_resumes_from_a_bookmark_and_misses_nothing(server: Server) -> None:
    _, version = await server.api.list_all("pod")
    server.create_job("of-another-kind")
    first = await server.api.create_pod(_pod("before-the-mark"))
    mark = await asyncio.to_thread(server.bookmark, "pod", version)
    assert int(mark) >= int(first["metadata"]["resourceVersion"])
    after = await server.api.create_pod(_pod("after-the-mark"))
    told = await asyncio.to_thread(server.told_since, "pod", mark)
    assert told is not None
    assert told[0] == ("ADDED", "after-the-mark", int(after["metadata"]["resourceVersion"]))


async def test_a_watch_from_too_long_ago_is_refused(server: Server) -> None:
    server.create_job("old")
    version = "1"
    for round_ in range(100):
        server.edit_job("old", {}, {"round": str(round_)})
    assert await asyncio.to_thread(server.told_since, "job", version) is None


async def test_of_two_who_take_a_lease_one_is_refused(server: Server) -> None:
    await _raises(NotFoundError, lambda: server.api.lease("get", NAMESPACE, "led"))
    created = await server.api.lease("create", NAMESPACE, "led", _lease("led"))
    await _raises(
        AlreadyExistsError, lambda: server.api.lease("create", NAMESPACE, "led", _lease("led"))
    )
    version = created["metadata"]["resourceVersion"]
    mine = _lease("led", version)
    mine["spec"]["holderIdentity"] = "b"
    await server.api.lease("update", NAMESPACE, "led", mine)
    theirs = _lease("led", version)
    await _raises(ConflictError, lambda: server.api.lease("update", NAMESPACE, "led", theirs))
    assert (await server.api.lease("get", NAMESPACE, "led"))["spec"]["holderIdentity"] == "b"
