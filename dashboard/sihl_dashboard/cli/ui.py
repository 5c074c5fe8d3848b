"""`ui`: the dashboard on one's own machine, with one's own kubeconfig and rights."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from sihl_dashboard.cli import store
from sihl_dashboard.cli.errors import CommandError
from sihl_dashboard.cli.session import Session
from sihl_dashboard.server import assets
from sihl_dashboard.server.kubeconfig import own_state
from sihl_dashboard.server.main import local_state, serve
from sihl_dashboard.server.state import State

HOST = "127.0.0.1"


def ui(session: Session) -> int:
    """Serve until it is interrupted.

    Raises:
        CommandError: the cluster, the records or uPlot cannot be reached, or the port is taken.
    """
    options = session.options
    state = _state(session)
    try:
        folder = assets.fetch(assets.default_folder())
    except (assets.AssetError, OSError) as error:
        raise CommandError(f"the charts' code is missing: {error}") from None

    def ready(address: str) -> None:
        session.terminal.say(f"The dashboard is at {address}")
        session.terminal.note("It lets one browser in, and ends with Ctrl-C.")
        if options.browser and has_browser(os.environ, sys.platform):
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    try:
        serve(state, folder, HOST, options.port, ready)
    except OSError as error:
        raise CommandError(
            f"port {options.port} of {HOST} cannot be listened at ({error.strerror or error}): "
            "choose another by --port, or none"
        ) from None
    return 0


def _state(session: Session) -> AbstractAsyncContextManager[State]:
    options = session.options
    if session.record:
        store.named_place(session.record, options.endpoint, session.environ)  # or an error, early
        return local_state(session.record, options.endpoint, session.scratch)
    cluster = session.cluster
    sees_all = not options.namespace and cluster.sees_all()
    return own_state(
        cluster.configuration,
        session.archive.place_of,
        () if sees_all else (session.namespace,),
        session.scratch,
    )


def has_browser(environ: Mapping[str, str], platform: str) -> bool:
    """Whether there is a screen for one: a browser of text would take the terminal."""
    if platform in ("darwin", "win32"):
        return True
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))
