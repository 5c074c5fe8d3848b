"""What an image's identity becomes for the head."""

from __future__ import annotations

from dataclasses import dataclass

from sihl_trainer.tasks.target import Anywhere


@dataclass(frozen=True)
class IdentityTarget(Anywhere):
    """An index into the identities: the training set's, then those that only validation has."""

    identity: int
