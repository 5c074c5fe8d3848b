"""`sihl-dashboard`: the Deployment's process; with --record, the same over a folder or a prefix."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

from sihl_api.logs import JSON, log_as_json
from sihl_api.version import installed_version
from sihl_dashboard.cli.errors import CommandError
from sihl_dashboard.cli.store import named_place
from sihl_dashboard.records import RecordsError
from sihl_dashboard.records.early import read_early
from sihl_dashboard.server import assets
from sihl_dashboard.server.access import Owner
from sihl_dashboard.server.app import serving
from sihl_dashboard.server.local import LocalPeople
from sihl_dashboard.server.state import State
from sihl_dashboard.server.stores import OneStore

log = logging.getLogger("sihl.dashboard")


def parser() -> argparse.ArgumentParser:
    """What can be typed."""
    found = argparse.ArgumentParser(prog="sihl-dashboard", description=__doc__)
    found.add_argument("--version", action="version", version=f"%(prog)s {installed_version()}")
    found.add_argument("--record", help="a folder or s3://bucket/prefix, without any cluster")
    found.add_argument("--endpoint", help="the S3 endpoint of --record s3://...")
    found.add_argument("--host", default="127.0.0.1", help="with --record; keep it this machine's")
    found.add_argument("--port", type=int, help="0 is any that is free")
    found.add_argument("--assets", type=Path, help="the folder that has uPlot")
    return found


def serve(
    state: AbstractAsyncContextManager[State],
    assets: Path,
    host: str,
    port: int,
    ready: Callable[[str], None],
) -> None:
    """Serve until the process is asked to end.

    Args:
        state: What requests share, as long as its context lasts.
        assets: The folder that has uPlot.
        host: The address to listen at.
        port: Likewise; 0 is any that is free.
        ready: Told what a browser opens first.
    """

    async def run() -> None:
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        async with state as shared, serving(shared, assets, host, port) as served:
            ready(served.opening)
            await ended.wait()

    # Lines of metrics are hundreds of thousands of objects, none of which leads back to another:
    # looking for such circles at each 700 of them takes a third of the time.
    gc.set_threshold(100_000, 20, 50)
    asyncio.run(run())


@asynccontextmanager
async def local_state(
    record: str, endpoint: str | None = None, scratch: Path | None = None
) -> AsyncIterator[State]:
    """Over a folder or a prefix, for whoever starts it. Raises CommandError, RecordsError."""
    place = named_place(record, endpoint, os.environ)
    state = State(OneStore(place, scratch), LocalPeople(), Owner())
    if place.is_near:
        state.ahead(state.read("", read_early))
    yield state


def main() -> None:
    """Serve what was typed, or what the environment says."""
    options = parser().parse_args()
    if os.environ.get("SIHL_DASHBOARD_LOG_FORMAT") == JSON:
        log_as_json(logging.INFO)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    try:
        if options.record:
            folder = assets.fetch(options.assets or assets.default_folder())
            state = local_state(options.record, options.endpoint)
            serve(state, folder, options.host, options.port or 0, _say)
        else:
            _serve_cluster(options)
    except (CommandError, RecordsError, assets.AssetError, OSError) as error:
        sys.exit(f"error: {error}")


def _serve_cluster(options: argparse.Namespace) -> None:
    """As the Deployment. Raises RecordsError, OSError."""
    # Half a second to import, which who looks at a folder need not wait for.
    from kubernetes.config import ConfigException

    from sihl_dashboard.server.deployed import cluster_state, settings_of

    settings = settings_of(os.environ, options.port)
    folder = options.assets or settings.assets
    try:
        as_json = settings.log_format == JSON
        say = partial(log.info, "the dashboard is at %s") if as_json else _say
        serve(cluster_state(settings), folder, settings.host, settings.port, say)
    except ConfigException as error:
        sys.exit(f"error: no credentials for the API server ({error}): run it in a cluster, or "
                 "give --record")  # fmt: skip


def _say(address: str) -> None:
    print(f"The dashboard is at {address}", flush=True)
