"""The one way to read run records, for the server, the command line and notebooks alike.

    records = Records(FolderPlace(Path("runs")))
    jobs = records.jobs("team-a", "cells", Query(columns=("spec.training.seed",)))
    curves = records.curves([row.ref for row in jobs.rows], buckets=300)

A record may be of any release, torn, or hostile: what can be read of it is answered, and what
cannot is told beside, as `Trouble`. Errors are for what nothing can be answered to.
"""

# mypy: implicit-reexport
# ruff: noqa: F401 (what is imported for the type checker alone is loaded when it is asked for)

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sihl_dashboard.records.curves import Curve, Curves, View
    from sihl_dashboard.records.differences import Difference, Differences, Score, Spread
    from sihl_dashboard.records.errors import (
        MissingError,
        QueryError,
        RecordsError,
        SettingsError,
        StoreAwayError,
        StoreDeniedError,
        Trouble,
    )
    from sihl_dashboard.records.front import Jobs, Records
    from sihl_dashboard.records.job import Job
    from sihl_dashboard.records.logs import Line, Log, Page, Spot
    from sihl_dashboard.records.looks import Look
    from sihl_dashboard.records.models import Model, why_none
    from sihl_dashboard.records.pictures import Picture, SameImage
    from sihl_dashboard.records.place import FolderPlace, Place
    from sihl_dashboard.records.pulse import Pulse
    from sihl_dashboard.records.query import Condition, Query
    from sihl_dashboard.records.refs import JobRef
    from sihl_dashboard.records.remembered import Remembered
    from sihl_dashboard.records.s3 import S3Place, S3Settings

_HOMES = {
    "curves": ("Curve", "Curves", "View"),
    "differences": ("Difference", "Differences", "Score", "Spread"),
    "errors": (
        "MissingError",
        "QueryError",
        "RecordsError",
        "SettingsError",
        "StoreAwayError",
        "StoreDeniedError",
        "Trouble",
    ),
    "front": ("Jobs", "Records"),
    "job": ("Job",),
    "logs": ("Line", "Log", "Page", "Spot"),
    "looks": ("Look",),
    "models": ("Model", "why_none"),
    "pictures": ("Picture", "SameImage"),
    "place": ("FolderPlace", "Place"),
    "pulse": ("Pulse",),
    "query": ("Condition", "Query"),
    "refs": ("JobRef",),
    "remembered": ("Remembered",),
    "s3": ("S3Place", "S3Settings"),
}

__all__ = [name for names in _HOMES.values() for name in names]


def __getattr__(name: str) -> object:
    """What is asked for is loaded then: who lists a cluster's jobs needs no numpy and no boto3."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__} has no {name}")
