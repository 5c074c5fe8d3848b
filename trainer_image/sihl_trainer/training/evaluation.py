"""Validation: every head on every validation image, broken off by a stop at any moment."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, wait
from contextlib import closing
from typing import Any, TypeVar

import torch

from sihl_trainer.dataset.loading import validation_batches
from sihl_trainer.dataset.samples import Batch
from sihl_trainer.training.channel import MetricsMessage
from sihl_trainer.training.report import line, tell
from sihl_trainer.training.run import Run

T = TypeVar("T")
log = logging.getLogger(__name__)

_HEARING_SECONDS = 0.1


def validate(run: Run) -> bool:
    """Evaluate every head; False where a stop broke it off. Changes nothing that trains."""
    tell(run, "Validating")
    pairs = predict(run)
    if pairs is None:
        return False
    # Rank 0 measures what all have found; the others come to the end of it at once.
    gathered = {
        name: [pair for part in run.ranks.gather(found) for pair in part]
        for name, found in pairs.items()
    }
    metrics = unless_stopped(run, lambda: measure(run, gathered))
    if run.ranks.agree(int(metrics is None)) or metrics is None:
        return False
    run.state.validated, run.state.metrics = run.state.step, metrics
    if run.ranks.first:
        shown = ", ".join(f"{name} {value:.4f}" for name, value in sorted(metrics.items()))
        log.info("step %d: validation %s", run.state.step, shown)
        run.send(MetricsMessage(line=line(run.state.step, "validation", metrics)))
    tell(run, "Training")
    return True


def predict(run: Run) -> dict[str, list[tuple[Any, Any]]] | None:
    """By head name, (prediction, target) of this rank's annotated images; None after a stop."""
    pairs: dict[str, list[tuple[Any, Any]]] = {head.name: [] for head in run.spec.model.heads}
    run.ranks.share_buffers(run.model)
    run.model.eval()
    try:
        with torch.inference_mode(), run.precision(), closing(_even(run)) as source:
            for batch in source:
                if run.ranks.agree(int(run.ranks.first and run.stop_requested())):
                    return None
                if batch is None:
                    continue
                features = run.model(batch.images.to(run.device, non_blocking=True))
                for name, found in pairs.items():
                    predictions = run.model.head(name).predict(features)
                    found += [
                        (prediction, target)
                        for prediction, target in zip(predictions, batch.targets[name], strict=True)
                        if target is not None
                    ]
    finally:
        run.model.train()
    return pairs


def measure(run: Run, pairs: dict[str, list[tuple[Any, Any]]]) -> dict[str, float]:
    """Results as `head/metric`, of the heads that have pairs of prediction and target."""
    return {
        f"{name}/{kind}": value
        for name, found in pairs.items()
        if found
        for kind, value in run.model.head(name)
        .evaluate(*map(list, zip(*found, strict=True)))
        .items()
    }


def unless_stopped(run: Run, work: Callable[[], T]) -> T | None:
    """What a long call returns; None as soon as a stop is asked for.

    The call cannot be broken off: it goes on in a thread that nobody waits for, and ends with the
    process at the latest, which a stop is about to end.
    """
    future: Future[T] = Future()

    def call() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call, name="measure", daemon=True).start()
    while not wait([future], _HEARING_SECONDS).done:
        if run.ranks.first and run.stop_requested():
            return None
    return future.result()


def _even(run: Run) -> Generator[Batch | None]:
    """Validation batches, None to the end of the longest rank's: all ranks agree once a batch."""
    size = max(1, run.spec.training.batch_size // run.ranks.size)
    longest = -(-len(run.data.validation) // run.ranks.size)
    count = -(-longest // size)
    loader = validation_batches(
        run.data.validation, run.spec, run.ranks.rank, run.ranks.size, run.workers
    )
    with closing(loader) as source:  # type: ignore[type-var]  # a generator, which can be closed
        for _ in range(count):
            yield next(source, None)
