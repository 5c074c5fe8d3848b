"""What `check` looked at, and what it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sihl_dashboard.cli.terminal import shown, table

_LONGEST = 1500


class State(StrEnum):
    """How something is; `odd` and `?`, which could not be looked at, are no faults."""

    OK = "ok"
    ODD = "odd"
    MEND = "mend"
    UNKNOWN = "?"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        state: How it is.
        what: The thing.
        text: What was seen of it, or what to mend.
    """

    state: State
    what: str
    text: str


def ok(what: str, text: str) -> Finding:
    """It is as it should be."""
    return Finding(State.OK, what, text)


def odd(what: str, text: str) -> Finding:
    """The job would run, and hardly as it was meant."""
    return Finding(State.ODD, what, text)


def mend(what: str, text: str) -> Finding:
    """The job would fail of it."""
    return Finding(State.MEND, what, text)


def unknown(what: str, text: str) -> Finding:
    """It was not looked at."""
    return Finding(State.UNKNOWN, what, text)


def told(findings: Sequence[Finding]) -> list[str]:
    """A line each; the text last, as it may be long."""
    heads = table(["", "LOOKED AT"], [[each.state, each.what] for each in findings])[1:]
    width = max(map(len, heads), default=0)
    return [
        f"{head.ljust(width)}   {shown(each.text, _LONGEST)}"
        for head, each in zip(heads, findings, strict=True)
    ]


def is_faulty(findings: Sequence[Finding]) -> bool:
    """Whether anything is to be mended."""
    return any(each.state is State.MEND for each in findings)
