"""Whether the record can be written, asked before a dataset is fetched for nothing."""

from __future__ import annotations

import contextlib
import time

from sihl_api.record import RecordPaths
from sihl_trainer.errors import Refused
from sihl_trainer.record.retry import persist
from sihl_trainer.record.store import Store

REACH_PATIENCE = 30.0
"""Seconds for which a store that never answered yet is tried: the pod holds its GPUs meanwhile.

An attempt is made every half an hour where it stays away, so that this is a small part of the time.
"""


def reach_record(
    store: Store, paths: RecordPaths, attempt: int, patience: float = REACH_PATIENCE
) -> None:
    """List below the job's record, and write a few bytes there that are removed again.

    Raises:
        Refused: The store does not allow it.
        Unavailable: It is away.
    """
    end = time.monotonic() + patience
    probe = paths.probe(attempt)

    def reach() -> None:
        store.folders(paths.attempts)
        store.put(probe, b"")
        with contextlib.suppress(Refused):  # it costs an object, and nothing else
            store.delete(probe)

    persist(reach, "Reaching the run record", until=lambda: end)
