"""Where each verb is: loaded once it was typed, with what it needs and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from sihl_dashboard.cli.session import Session

Action = Callable[[Session], int]

_RECORDED = "recorded.list_recorded"
"""`list`, where no cluster is asked."""
_HOMES = {
    "list": "looking.list_jobs",
    "queue": "looking.queue",
    "top": "looking.top",
    "submit": "steering.submit",
    "check": "checking.check",
    "stop": "steering.stop",
    "resume": "steering.resume",
    "logs": "logs.print_log",
    "clone": "steering.clone",
    "metrics": "reading.metrics",
    "compare": "reading.compare",
    "pull": "reading.pull",
    "ui": "ui.ui",
}


def action(session: Session) -> Action:
    """What the verb that was typed does."""
    verb = session.options.verb
    home = _RECORDED if verb == "list" and session.record else _HOMES[verb]
    module, _, name = home.partition(".")
    return cast(Action, getattr(import_module(f"sihl_dashboard.cli.{module}"), name))
