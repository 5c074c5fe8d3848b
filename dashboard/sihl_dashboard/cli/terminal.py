"""Standard output and error: plain lines where nobody looks, bars and colours on a terminal.

Names, messages and logs are anybody's text: `shown` and `shown_line` are the only ways by which
they get here, so that none of them moves a cursor, sets a title or hides behind another.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import TextIO

import yaml

from sihl_api.text import shortened

_COLOURS = {
    "Running": "32", "Succeeded": "32", "Starting": "36", "Stopping": "33", "Stopped": "33",
    "Failed": "31",
}  # fmt: skip
_COLOURED = re.compile(r"\x1b\[[0-9;]*m")
_LONGEST = 300
_BAR = 24


def shown_line(text: str) -> str:
    """A line of a log as a terminal would end up with: colours and what `\\r` wrote over are gone.

    Tabs stay; anything else that moves or hides is spelled out.
    """
    last = _COLOURED.sub("", text.rstrip("\r\n")).rpartition("\r")[2]
    if last.isprintable():
        return last
    return "".join(c if c.isprintable() or c == "\t" else ascii(c)[1:-1] for c in last)


def shown(value: object, longest: int = _LONGEST) -> str:
    """A value as one line of at most so many characters; nothing for None.

    A cell of a screen loses its end; a message, which has its cause or remedy there, its middle.
    """
    text = "" if value is None else str(value)
    held = text[: longest + 1] if longest < _LONGEST else shortened(text, longest)
    line = held
    if not held.isprintable():
        line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in held)
    if longest >= _LONGEST:
        return shortened(line, longest)
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def table(
    header: Sequence[str], rows: Sequence[Sequence[object]], colours: bool = False
) -> list[str]:
    """Lines with aligned columns, three blanks apart, as kubectl's.

    Args:
        header: The columns' names.
        rows: As many values each.
        colours: Whether phases are coloured.
    """
    cells = [list(header), *([shown(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]

    def line(row: list[str]) -> str:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        padded[-1] = row[-1]
        if colours:
            padded = [_coloured(cell) for cell in padded]
        return "   ".join(padded).rstrip()

    return [line(row) for row in cells]


def _coloured(cell: str) -> str:
    colour = _COLOURS.get(cell.rstrip())
    return f"\x1b[{colour}m{cell}\x1b[0m" if colour else cell


def bar(done: float, text: str) -> str:
    """A bar, filled by a part from 0 to 1, and what stands behind it."""
    filled = round(_BAR * min(max(done, 0.0), 1.0))
    return f"[{'#' * filled}{'.' * (_BAR - filled)}] {text}"


class Terminal:
    """Where a command's answer goes, and what is said beside it.

    Args:
        out: The answer; another program may read it.
        err: What a person is told.
        environ: NO_COLOR and TERM count.
    """

    def __init__(self, out: TextIO, err: TextIO, environ: Mapping[str, str]) -> None:
        self._out, self._err = out, err
        dumb = environ.get("TERM") == "dumb"
        self.colours = out.isatty() and not dumb and not environ.get("NO_COLOR")
        self._has_bar = err.isatty() and not dumb
        self._drawn = False
        self._dumb = dumb
        self.is_screen = out.isatty() and not dumb
        self.is_taken = False
        """Whether something else draws on it: then a person is told nothing beside."""

    @property
    def width(self) -> int:
        """Characters in a line, 80 where that is not known."""
        return shutil.get_terminal_size().columns

    def can_show(self, text: str) -> bool:
        """Whether characters beyond ASCII can be printed."""
        if self._dumb:
            return False
        try:
            text.encode(getattr(self._out, "encoding", None) or "utf-8")
        except (UnicodeEncodeError, LookupError):
            return False
        return True

    def say(self, *lines: str) -> None:
        """Lines of the answer."""
        self.clear()
        for line in lines:
            print(line, file=self._out)
        self._out.flush()

    def note(self, line: str) -> None:
        """A line for a person."""
        if self.is_taken:
            return
        self.clear()
        print(line, file=self._err, flush=True)

    def progress(self, line: str) -> None:
        """Draw over the last one; nothing where nobody looks."""
        if self._has_bar and not self.is_taken:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{shown(line, max(width, 10))}", end="", file=self._err, flush=True)
            self._drawn = True

    def clear(self) -> None:
        """Take the bar away."""
        if self._drawn:
            print("\r\x1b[K", end="", file=self._err, flush=True)
            self._drawn = False


def document(form: str, value: object) -> str:
    """A value as JSON or YAML."""
    if form == "json":
        return json.dumps(value, indent=2)  # in ASCII: nothing in it moves a cursor
    return yaml.safe_dump(value, sort_keys=False).rstrip("\n")
