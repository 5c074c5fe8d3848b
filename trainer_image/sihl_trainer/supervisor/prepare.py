"""What happens before the worker can start: the record is read, and what it needs brought here."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from sihl_api.fingerprint import DatasetFingerprint
from sihl_api.record import MetricLine, RecordPaths
from sihl_api.runtime import JobReference
from sihl_trainer.errors import TrainerError
from sihl_trainer.record.checkpoints import restore_latest
from sihl_trainer.record.models import complete_model, download_initial, model_status
from sihl_trainer.record.retry import persist
from sihl_trainer.record.store import Store
from sihl_trainer.record.writer import last_validation, write_job
from sihl_trainer.supervisor.events import (
    AlreadyComplete,
    Event,
    PreparationFailed,
    Prepared,
    Standing,
)
from sihl_trainer.training.disk import writing

log = logging.getLogger(__name__)

PATIENCE = 120.0
"""Seconds for which a store that does not answer is tried at the start."""


def prepare(
    store: Store,
    paths: RecordPaths,
    job: JobReference,
    image: str,
    dataset: DatasetFingerprint | None,
    scratch: Path,
    tell: Callable[[Event], None],
    patience: float = PATIENCE,
) -> None:
    """Read the record and bring here what the worker starts from; tells the outcome as events."""
    end = time.monotonic() + patience
    try:
        event = persist(
            lambda: _prepared(store, paths, job, image, dataset, scratch, tell),
            "Reading the run record",
            until=lambda: end,
        )
    except TrainerError as error:
        event = PreparationFailed(error)
    except Exception as error:
        # A thread that ends without a word would leave the pod waiting for ever.
        log.exception("The preparation failed unexpectedly")
        event = PreparationFailed(
            TrainerError("PreparationCrashed", f"{type(error).__name__}: {error}")
        )
    tell(event)


def _prepared(
    store: Store,
    paths: RecordPaths,
    job: JobReference,
    image: str,
    dataset: DatasetFingerprint | None,
    scratch: Path,
    tell: Callable[[Event], None],
) -> Event:
    model = complete_model(store, paths)
    if model is not None:
        log.info("An earlier attempt has finished this job: nothing is left to train.")
        validation = last_validation(store, paths)
        return AlreadyComplete(
            model_status(store, paths, model), model.step, metrics_text(validation)
        )
    write_job(store, paths, job, image, dataset)
    resume, start = scratch / "resume", scratch / "initial"
    with writing(resume):
        restored = restore_latest(
            store, paths, resume, standing=lambda status: tell(Standing(status))
        )
    if restored is not None:
        tell(Standing(restored.status))
        return Prepared(resume=restored.directory)
    with writing(start):
        initial = download_initial(store, paths, job.spec.model.initialization, start)
    return Prepared(initial=initial)


def metrics_text(line: MetricLine | None) -> dict[str, str]:
    """A validation's results as a job's status shows them: four significant digits."""
    return {} if line is None else {name: f"{value:.4g}" for name, value in line.values.items()}
