"""`kubectl-sihl`: reads what was typed, does it, and ends with a code that a shell can use."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

from sihl_dashboard.cli.arguments import parser, with_verb
from sihl_dashboard.cli.endings import INTERRUPTED
from sihl_dashboard.cli.errors import CommandError
from sihl_dashboard.cli.session import Session
from sihl_dashboard.cli.terminal import Terminal, shown
from sihl_dashboard.cli.verbs import action
from sihl_dashboard.records import QueryError, RecordsError, StoreAwayError

_LONGEST = 3000
_WITHIN = (
    "; an address within the cluster is reached by kubectl port-forward, and "
    "--endpoint http://localhost:PORT"
)


def run(
    words: Sequence[str], stdin: TextIO, out: TextIO, err: TextIO, environ: Mapping[str, str]
) -> int:
    """One command; returns its exit code."""
    terminal = Terminal(out, err, environ)
    session = None
    try:
        options = parser().parse_args(with_verb(words))
        session = Session(options, terminal, stdin, environ)
        _name_jobs(session)
        return action(session)(session)
    except CommandError as error:
        terminal.note(f"error: {shown(error, _LONGEST)}")
        return error.exit_code
    except RecordsError as error:
        remedy = _WITHIN if isinstance(error, StoreAwayError) and _is_cluster(session) else ""
        terminal.note(f"error: {shown(error, _LONGEST)}{remedy}")
        return 2 if isinstance(error, QueryError) else 1
    except KeyboardInterrupt:
        if getattr(session and session.options, "wait", False) or getattr(
            session and session.options, "follow", False
        ):
            terminal.note("no longer waited for: the job goes on")
        return INTERRUPTED
    finally:
        if session is not None:
            session.close()


def _name_jobs(session: Session) -> None:
    """Put names for `@latest`, wherever one may stand."""
    options = session.options
    if "job" in options:
        options.job = session.meant(options.job)
    if "jobs" in options and not getattr(options, "all_namespaces", False):
        options.jobs = [session.meant(name) for name in options.jobs]


def _is_cluster(session: Session | None) -> bool:
    """Whether the store's address is what the cluster calls it."""
    return session is not None and not session.record and not session.options.endpoint


def main() -> None:
    """Run the command that was typed."""
    try:
        code = run(sys.argv[1:], sys.stdin, sys.stdout, sys.stderr, os.environ)
        sys.stdout.flush()
    except BrokenPipeError:  # as of `kubectl sihl logs job | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        if os.environ.get("SIHL_TRACE"):
            raise
        told = shown(f"{type(error).__name__}: {error}", _LONGEST)
        print(
            f"error: a fault of kubectl sihl itself ({told}): report it, with what SIHL_TRACE=1 "
            "makes it say",
            file=sys.stderr,
        )
        code = 1
    sys.exit(code)
