"""Why a record cannot be read, each with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from sihl_api.text import shortened

_LONGEST = 500


class RecordsError(Exception):
    """Nothing can be answered; the message is a person's."""


class StoreAwayError(RecordsError):
    """The store did not answer, or not as a store does; a later try may succeed."""


class StoreDeniedError(RecordsError):
    """The store does not let these credentials read."""


class SettingsError(RecordsError):
    """What should name the store does not."""


class QueryError(RecordsError):
    """What was asked cannot be: a name or a number is none."""


class MissingError(RecordsError):
    """There is nothing under this key."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"the record has no {printable(self.key)}"


@dataclass(frozen=True)
class Trouble:
    """What could not be read, told beside what could.

    Args:
        where: The object or the job.
        what: What is wrong with it, and what that costs.
    """

    where: str
    what: str


def printable(text: object) -> str:
    """At most 500 characters that a terminal shows as they are, whatever a record held."""
    held = shortened(str(text), _LONGEST)
    return shortened("".join(c if c.isprintable() else ascii(c)[1:-1] for c in held), _LONGEST)
