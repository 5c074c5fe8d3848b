"""Validation: every head on every validation image, broken off by a stop at any batch."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import closing
from typing import Any

import torch

from sihl_trainer.data.loading import validation_batches
from sihl_trainer.data.samples import Batch
from sihl_trainer.training.channel import MetricsMessage
from sihl_trainer.training.report import line, tell
from sihl_trainer.training.run import Run

log = logging.getLogger(__name__)


def validate(run: Run) -> bool:
    """Evaluate every head; False where a stop broke it off. Changes nothing that trains."""
    tell(run, "Validating")
    pairs = predict(run)
    if pairs is None:
        return False
    metrics: dict[str, float] = {}
    for name, found in pairs.items():
        everything = [pair for part in run.ranks.gather(found) for pair in part]
        if everything:
            values = run.model.head(name).evaluate(*map(list, zip(*everything, strict=True)))
            metrics |= {f"{name}/{kind}": value for kind, value in values.items()}
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
