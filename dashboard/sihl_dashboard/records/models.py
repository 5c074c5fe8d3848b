"""A job's final model, as its manifest tells it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from sihl_api.record import MANIFEST, Manifest
from sihl_dashboard.records.errors import MissingError, Trouble
from sihl_dashboard.records.place import Place
from sihl_dashboard.records.refs import JobRef


@dataclass(frozen=True)
class Model:
    """A final model.

    Attributes:
        key: The folder that holds its files, with a final slash.
        manifest: Its files, with their sizes and checksums.
    """

    key: str
    manifest: Manifest


_NONE = {
    "Succeeded": "the job succeeded, and the store does not have it any more: bring it back there, "
    "or train again",
    "Failed": "the job failed, and a model is written when a job succeeds",
    "Stopped": "the job is stopped, and a model is written when a job succeeds: resume it",
}


def why_none(state: str) -> str:
    """Why there is no final model, by how the job's record says that it stands."""
    return _NONE.get(state, "it is written when the job succeeds, which it has not yet")


def model_of(place: Place, ref: JobRef) -> Model | Trouble | None:
    """A job's model; None before there is one.

    Raises:
        StoreAwayError: the store is away.
        StoreDeniedError: it lets nobody read.
    """
    root = ref.paths(place.prefix).model
    try:
        return Model(root, Manifest.model_validate_json(place.get(root + MANIFEST).data))
    except MissingError:
        return None
    except ValidationError:
        return Trouble(root + MANIFEST, "is no manifest that this release reads")
