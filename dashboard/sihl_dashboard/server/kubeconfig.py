"""The dashboard on one's own machine over a cluster: with one's own kubeconfig and rights."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sihl_dashboard.cli.errors import CommandError, DeniedError, NotFoundError
from sihl_dashboard.records import Place, SettingsError
from sihl_dashboard.server.access import Owner
from sihl_dashboard.server.acting import KubeActor
from sihl_dashboard.server.cluster import Cluster
from sihl_dashboard.server.kube import Kube
from sihl_dashboard.server.local import LocalPeople
from sihl_dashboard.server.mirror import mirrored
from sihl_dashboard.server.refusals import NotThereError
from sihl_dashboard.server.state import State
from sihl_dashboard.server.stores import ManyStores


@asynccontextmanager
async def own_state(
    configuration: Any,
    place: Callable[[str], Place],
    namespaces: tuple[str, ...] = (),
    scratch: Path | None = None,
    accelerator: str = "nvidia.com/gpu",
) -> AsyncIterator[State]:
    """What `kubectl sihl ui` serves, as long as the context lasts.

    Args:
        configuration: The kubeconfig's, as the client library loads it.
        place: Finds a namespace's records with the person's own rights. Raises CommandError.
        namespaces: Whose jobs are watched; empty: all.
        scratch: A folder for indexes that may be lost.
        accelerator: The name of the resource that is a GPU.
    """
    cluster = Cluster(accelerator)

    def find(namespace: str) -> Place:
        try:
            return place(namespace)
        except NotFoundError as error:
            raise NotThereError(str(error)) from None
        except (DeniedError, CommandError) as error:
            raise SettingsError(str(error)) from None

    stores = ManyStores(
        find, lambda: sorted(namespaces or {job.namespace for job in cluster.jobs()}), scratch
    )
    async with Kube(configuration) as kube, mirrored(kube, cluster, namespaces):
        yield State(stores, LocalPeople(), Owner(), cluster, KubeActor(kube, as_itself=True))
