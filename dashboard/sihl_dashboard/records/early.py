"""What is read before anybody asks, where reading costs nothing but time: a folder's records."""

from __future__ import annotations

import time

from sihl_dashboard.records.errors import RecordsError
from sihl_dashboard.records.front import Records
from sihl_dashboard.records.query import Query

MOST_COMPARED = 50
"""Jobs that a page compares; of a project the newest are read."""
_LONGEST = 5.0
"""Seconds after which nothing else is begun: who ends the server waits for this."""


def read_early(records: Records) -> None:
    """Look at projects, and read what their newest jobs measured.

    What cannot be read is told when it is asked for.
    """
    end = time.monotonic() + _LONGEST
    try:
        for namespace in records.namespaces():
            for project in records.projects(namespace):
                if time.monotonic() > end:
                    return
                for row in records.jobs(namespace, project, Query(limit=MOST_COMPARED)).rows:
                    if time.monotonic() < end:
                        records.read_ahead([row.ref])
    except RecordsError:
        return
