"""The operator's view of a real API server, whatever becomes of its watches."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from sihl_api.runtime import Result
from sihl_operator import jobwatch
from sihl_operator.kube import GoneError
from tests.support.kubelet import HandKubelet
from tests.support.objects import MODEL
from tests.support.operators import Process, Team
from tests.support.proxy import Faults, proxied
from tests.support.waiting import eventually
from tests.support.watching import comes, kopf_watching


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


async def test_jobs_of_the_named_namespaces_are_seen_and_of_no_other(
    at_home: None, teams: list[Team]
) -> None:
    first, second, other = teams
    first.submit("before")
    async with kopf_watching(first.namespace, second.namespace) as watcher:
        jobs = watcher.world.jobs
        await comes(lambda: (first.namespace, "before") in jobs)
        other.submit("elsewhere")
        for team in (first, second):
            team.submit("after")
            await comes(lambda team=team: (team.namespace, "after") in jobs)  # type: ignore[misc]
        first.delete("before")
        await comes(lambda: (first.namespace, "before") not in jobs)
        assert {key[0] for key in jobs} == {first.namespace, second.namespace}


async def test_a_namespace_that_is_gone_takes_its_jobs_along_and_is_watched_when_it_is_made_anew(
    at_home: None, users: client.ApiClient, teams: list[Team]
) -> None:
    gone, stays, _ = teams
    core = client.CoreV1Api(users)
    async with kopf_watching(gone.namespace, stays.namespace) as watcher:
        jobs = watcher.world.jobs
        for team in (gone, stays):
            team.submit("job")
            await comes(lambda team=team: (team.namespace, "job") in jobs)  # type: ignore[misc]
        core.delete_namespace(gone.namespace)
        await comes(lambda: (gone.namespace, "job") not in jobs)

        def made() -> bool:
            try:
                core.create_namespace({"metadata": {"name": gone.namespace}})
            except ApiException:  # the old one is there still
                return False
            return True

        await asyncio.to_thread(eventually, made, 60, 0.1)
        gone.submit("again")
        await comes(lambda: (gone.namespace, "again") in jobs)
        assert (stays.namespace, "job") in jobs


async def test_where_the_api_server_has_forgotten_all_is_listed_at_once(
    at_home: None, teams: list[Team], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobwatch, "_WATCH_SECONDS", 1)
    team = teams[0]
    raw = team.submit("stays")
    async with kopf_watching() as watcher:
        jobs = watcher.world.jobs
        await comes(lambda: (team.namespace, "stays") in jobs)
        ghost = {**raw, "metadata": {**raw["metadata"], "name": "ghost"}}
        ghost["metadata"]["resourceVersion"] = str(int(raw["metadata"]["resourceVersion"]) + 1)
        watcher.world.saw("job", ghost)
        with pytest.raises(GoneError):
            await watcher.api.watch("job", "1", lambda *_: None)
        team.submit("more")  # what is listed already is not listed for nothing
        monkeypatch.setattr(watcher.reflector, "put_back", lambda _: 1)  # kopf asks from 1 as well
        await comes(lambda: (team.namespace, "ghost") not in jobs)
        assert (team.namespace, "stays") in jobs


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
