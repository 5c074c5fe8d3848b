"""The dashboard of a cluster: its own rights read, its people's rights decide."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from sihl_dashboard.server import probes
from sihl_dashboard.server.acting import KubeActor
from sihl_dashboard.server.changes import Watched, ended_with
from sihl_dashboard.server.cluster import Cluster
from sihl_dashboard.server.guard import tell_refusals
from sihl_dashboard.server.kube import Kube, in_cluster_or_kubeconfig
from sihl_dashboard.server.logins import ProxyPeople, TokenPeople
from sihl_dashboard.server.meters import Meters
from sihl_dashboard.server.mirror import mirrored
from sihl_dashboard.server.people import People
from sihl_dashboard.server.reviews import Reviews
from sihl_dashboard.server.settings import Settings
from sihl_dashboard.server.state import STATE, State
from sihl_dashboard.server.stores import stores_of_file


@asynccontextmanager
async def cluster_state(settings: Settings, configuration: Any = None) -> AsyncIterator[State]:
    """What the Deployment serves, as long as the context lasts.

    Args:
        settings: The environment's.
        configuration: Of the API server; by default the pod's own.

    Raises:
        SettingsError: the stores cannot be read.
        ConfigException: there are no credentials for the API server.
    """
    watched = Watched(settings.stores)  # before it is read: no change is missed
    stores = stores_of_file(settings.stores, settings.scratch)
    cluster, meters = Cluster(settings.accelerator), Meters()
    async with (
        ended_with(watched),
        Kube(configuration or in_cluster_or_kubeconfig()) as kube,
        mirrored(kube, cluster, settings.namespaces),
    ):
        reviews = Reviews(kube, meters)
        people: People = TokenPeople(reviews)
        if settings.login == "proxy":
            people = ProxyPeople(settings.user_header, settings.groups_header)
        state = State(stores, people, reviews, cluster, KubeActor(kube), meters=meters)
        async with probed(state, settings.host, settings.metrics_port):
            yield state


@asynccontextmanager
async def probed(state: State, host: str, port: int) -> AsyncIterator[None]:
    """Answer probes and Prometheus at a port of their own, as long as the context lasts.

    Whoever may read metrics may not be let in to where a proxy's headers are believed.
    """
    app = web.Application(middlewares=[tell_refusals])
    app[STATE] = state
    for path, handler in (
        ("/healthz", probes.healthz), ("/readyz", probes.readyz), ("/metrics", probes.metrics)
    ):  # fmt: skip
        app.router.add_get(path, handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host or None, port).start()
        yield
    finally:
        await runner.cleanup()


def settings_of(environ: Mapping[str, str], port: int | None = None) -> Settings:
    """The environment's, with what was typed. Raises SettingsError."""
    settings = Settings.from_environment(environ)
    return settings if port is None else Settings(**{**vars(settings), "port": port})
