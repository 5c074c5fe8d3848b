"""`top`: queues and jobs on the whole terminal, as they go on."""

from __future__ import annotations

import curses
import os
from collections.abc import Sequence
from contextlib import suppress

from sihl_api.status import Phase
from sihl_dashboard.cli.errors import CommandError, UsageError
from sihl_dashboard.cli.jobs import Job
from sihl_dashboard.cli.logs import last_lines
from sihl_dashboard.cli.polling import Poller
from sihl_dashboard.cli.screen import (
    Row,
    View,
    folded,
    jobs_screen,
    log_screen,
    ordered,
    place,
    pressed,
)
from sihl_dashboard.cli.session import Session

_EVERY = 2.0
_TICK = 200
"""Milliseconds that a key is waited for, before the screen is drawn anew."""
_LINES = 1000
_KEYS = {
    curses.KEY_UP: "up", ord("k"): "up", curses.KEY_DOWN: "down", ord("j"): "down",
    curses.KEY_PPAGE: "pageup", curses.KEY_NPAGE: "pagedown", ord(" "): "pagedown",
    curses.KEY_HOME: "home", ord("g"): "home", curses.KEY_END: "end", ord("G"): "end",
    curses.KEY_ENTER: "open", ord("\n"): "open", ord("\r"): "open", ord("l"): "open",
    curses.KEY_RIGHT: "open", curses.KEY_LEFT: "back", 27: "back", ord("h"): "back",
    ord("q"): "quit",
}  # fmt: skip
_COLOURS = {
    Phase.RUNNING: curses.COLOR_GREEN, Phase.SUCCEEDED: curses.COLOR_GREEN,
    Phase.STARTING: curses.COLOR_CYAN, Phase.STOPPING: curses.COLOR_YELLOW,
    Phase.STOPPED: curses.COLOR_YELLOW, Phase.FAILED: curses.COLOR_RED,
    "trouble": curses.COLOR_RED,
}  # fmt: skip


def top(session: Session) -> int:
    """Show the jobs until the person leaves.

    Raises:
        CommandError: there is no terminal, or no cluster.
    """
    if session.record:
        raise UsageError("top shows what a cluster does: kubectl sihl list --record prints records")
    if not (session.terminal.is_screen and session.stdin.isatty()):
        raise CommandError(
            "top draws on a terminal, and this is none: kubectl sihl queue prints the same once"
        )
    session.cluster  # noqa: B018 (whatever is wrong with it is told in a line, before the screen)
    os.environ.setdefault("ESCDELAY", "25")
    session.terminal.is_taken = True
    try:
        curses.wrapper(lambda window: _Top(session, window).run())
    except curses.error as error:
        raise CommandError(
            f"this terminal cannot be drawn on ({error}; TERM is "
            f"{os.environ.get('TERM', 'not set')}): kubectl sihl queue prints the same once"
        ) from None
    finally:
        session.terminal.is_taken = False
    return 0


class _Top:
    """The screen, its keys, and who asks beside it."""

    def __init__(self, session: Session, window: curses.window) -> None:
        options = session.options
        self._session = session
        self._window = window
        self._all = bool(options.all_namespaces)
        namespace = None if self._all else session.namespace
        self._where = "all namespaces" if self._all else f"namespace {namespace}"
        self._jobs = Poller(lambda: session.cluster.jobs(namespace, options.selector), _EVERY)
        self._log: Poller[list[str]] | None = None
        self._log_of: Job | None = None
        self._styles = _styles(session.terminal.colours)

    def run(self) -> None:
        """Until it is left."""
        with suppress(curses.error):
            curses.curs_set(0)
        self._window.timeout(_TICK)
        view = View()
        try:
            while not view.is_over:
                lines = ordered(self._jobs.answer or [])
                self._attend(view, lines)
                self._draw(self._rows(view, lines))
                try:
                    key = self._window.getch()
                except KeyboardInterrupt:
                    return
                height, width = self._window.getmaxyx()
                length = len(folded((self._log and self._log.answer) or [], width))
                view = pressed(view, _KEYS.get(key, ""), lines, max(height - 2, 1), length)
        finally:
            self._jobs.close()
            self._close_log()

    def _attend(self, view: View, lines: Sequence[tuple[Job, int | None]]) -> None:
        """Open and close the log that the view shows; it is of the job as it is by now."""
        if not view.log:
            self._close_log()
            return
        now = next((job for job, _ in lines if job.uid == view.chosen), self._log_of)
        self._log_of = now or lines[place(view, lines)][0]
        if self._log is None:
            self._log = Poller(self._last_lines, _EVERY)

    def _last_lines(self) -> list[str]:
        return last_lines(self._session, self._log_of, _LINES) if self._log_of else []

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()
        self._log = self._log_of = None

    def _rows(self, view: View, lines: Sequence[tuple[Job, int | None]]) -> list[Row]:
        height, width = self._window.getmaxyx()
        if self._log is not None and self._log_of is not None:
            told = self._log.answer
            if told is None and not self._log.trouble:
                return log_screen(self._log_of, ["..."], view, "", (width, height))
            return log_screen(self._log_of, told or [], view, self._log.trouble, (width, height))
        if self._jobs.answer is None and not self._jobs.trouble:
            return [Row("...")]
        return jobs_screen(
            lines, view, f"kubectl sihl top   {self._where}", self._jobs.trouble, (width, height),
            self._all,
        )  # fmt: skip

    def _draw(self, rows: Sequence[Row]) -> None:
        self._window.erase()
        height, width = self._window.getmaxyx()
        for number, row in enumerate(rows[:height]):
            # The last cell of all cannot be written without an error, nor where it was resized.
            with suppress(curses.error):
                self._window.addnstr(number, 0, row.text, width, self._styles.get(row.style, 0))
        self._window.refresh()


def _styles(colours: bool) -> dict[str, int]:
    styles = {"title": curses.A_BOLD, "header": curses.A_DIM, "chosen": curses.A_REVERSE}
    if colours and curses.has_colors():
        curses.use_default_colors()
        for number, (style, colour) in enumerate(_COLOURS.items(), start=1):
            curses.init_pair(number, colour, -1)
            styles[str(style)] = curses.color_pair(number)
    return styles
