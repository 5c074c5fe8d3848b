"""Why a command ends early: one line that names the thing and the remedy."""

from __future__ import annotations


class CommandError(Exception):
    """It cannot be done; the message is a person's, a line of standard error."""

    exit_code = 1


class UsageError(CommandError):
    """What was typed cannot be meant."""

    exit_code = 2


class NotFoundError(CommandError):
    """There is no such object."""


class TakenError(CommandError):
    """Another object has the name already."""


class DeniedError(CommandError):
    """The cluster does not let this user."""


class AwayError(CommandError):
    """The cluster did not answer; a later try may succeed."""
