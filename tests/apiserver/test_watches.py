"""The operator's view of a real API server, whatever becomes of its watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from sihl_api.runtime import Result
from sihl_operator.kube import GoneError, KubeApi
from sihl_operator.reflector import Reflector
from sihl_operator.world import World
from tests.support.kubelet import HandKubelet
from tests.support.operators import MODEL, Process, Team
from tests.support.proxy import Faults, proxied
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def users(kubeconfig: Path) -> client.ApiClient:
    return config.new_client_from_config(str(kubeconfig))


@pytest.fixture
def teams(users: client.ApiClient) -> Iterator[list[Team]]:
    core = client.CoreV1Api(users)
    made = [
        Team(users, core.create_namespace({"metadata": {"generateName": "seen-"}}).metadata.name)
        for _ in range(3)
    ]
    yield made
    for team in made:
        team.clear()


@pytest.fixture
def road(kubeconfig: Path, tmp_path: Path) -> Iterator[tuple[Faults, Path]]:
    """A road to the API server that can be cut, and a kubeconfig that leads over it."""
    given = yaml.safe_load(kubeconfig.read_text())
    cluster = given["clusters"][0]["cluster"]
    with proxied(cluster["server"]) as faults:
        cluster["server"] = faults.endpoint.replace("http://", "https://")
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(given))
        yield faults, path


@pytest.fixture
def at_home(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's client finds the API server."""
    monkeypatch.setattr(config.kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))


@asynccontextmanager
async def following(kind: str, *namespaces: str, void: str = "") -> AsyncIterator[World]:
    """What a reflector of a kind sees, of all namespaces or of some.

    Args:
        void: The version of an earlier list, to begin with.
    """
    world = World()
    async with KubeApi(lambda *_: None, namespaces) as api:
        reflector = Reflector(world, api, lambda: None)
        if void:
            reflector._versions[kind] = void
        tasks = [asyncio.create_task(reflector.follow(kind, each)) for each in namespaces or ("",)]
        try:
            yield world
            assert not any(task.done() for task in tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def comes(condition: Callable[[], Any]) -> None:
    await asyncio.to_thread(eventually, condition, 60)


async def test_jobs_of_the_named_namespaces_are_seen_and_of_no_other(
    at_home: None, teams: list[Team]
) -> None:
    first, second, other = teams
    first.submit("before")
    async with following("job", first.namespace, second.namespace) as world:
        await comes(lambda: (first.namespace, "before") in world.jobs)
        other.submit("elsewhere")
        for team in (first, second):
            team.submit("after")
            await comes(lambda team=team: (team.namespace, "after") in world.jobs)  # type: ignore[misc]
        first.delete("before")
        await comes(lambda: (first.namespace, "before") not in world.jobs)
        assert {key[0] for key in world.jobs} == {first.namespace, second.namespace}


async def test_where_the_api_server_has_forgotten_all_is_listed_anew(
    at_home: None, teams: list[Team]
) -> None:
    team = teams[0]
    raw = team.submit("stays")
    async with KubeApi(lambda *_: None) as api:
        with pytest.raises(GoneError):
            await api.watch("job", "1", "", lambda *_: None)
    async with following("job", void="1") as world:
        ghost = {**raw, "metadata": {**raw["metadata"], "name": "ghost", "resourceVersion": "2"}}
        world.saw("job", ghost)
        await comes(lambda: (team.namespace, "stays") in world.jobs)
        await comes(lambda: (team.namespace, "ghost") not in world.jobs)


def test_what_happens_while_the_api_server_is_out_of_reach_is_seen_afterwards(
    road: tuple[Faults, Path], users: client.ApiClient, teams: list[Team], tmp_path: Path
) -> None:
    faults, kubeconfig = road
    team = teams[0]
    with HandKubelet(users, {"node-road": 1}) as kubelet:
        operator = Process("roadside", kubeconfig, tmp_path / "log")
        try:
            operator.wait_until_it_leads()
            for name in ("a-first", "b-deleted", "c-last"):
                team.submit(name)
            pod = team.pod(job="a-first")
            kubelet.runs(pod)
            team.phase("a-first", "Running")
            faults.down = True
            before = faults.connections
            team.delete("b-deleted")
            team.submit("new", project="other", runner={"gpus": 0})
            kubelet.ends(pod, 0, Result(reason="Completed", step=9, model=MODEL))
            eventually(lambda: faults.connections > before + 3, 60)
            assert team.status("a-first")["phase"] == "Running", "nobody can tell it yet"
            faults.down = False
            assert team.phase("a-first", "Succeeded")["attempt"] == 1
            assert team.pod(job="c-last").metadata.labels["sihl.ai/attempt"] == "1"
            team.pod("other", job="new")
        finally:
            operator.end()
