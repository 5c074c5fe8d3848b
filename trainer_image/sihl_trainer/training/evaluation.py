"""Validation: every head on every validation image, broken off by a stop at any moment."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence, Set
from concurrent.futures import Future, wait
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch

from sihl_api.record import Better
from sihl_trainer.dataset.awaited import Awaited
from sihl_trainer.dataset.loading import validation_batches
from sihl_trainer.dataset.samples import Batch
from sihl_trainer.model.model import VisionModel
from sihl_trainer.tasks.head import Head
from sihl_trainer.tasks.metric import Metric
from sihl_trainer.tasks.picture import Pictured, files
from sihl_trainer.tasks.rooms import painter_of
from sihl_trainer.training.channel import MetricsMessage
from sihl_trainer.training.pictures import chosen
from sihl_trainer.training.report import line, tell
from sihl_trainer.training.run import HEARING_SECONDS, Run

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass
class Measured:
    """What a rank found out in a validation, by head name.

    Attributes:
        metrics: Over its annotated images; of heads that it has none for, there is none.
        pictured: Its images that are drawn.
    """

    metrics: dict[str, Metric] = field(default_factory=dict)
    pictured: dict[str, list[Pictured]] = field(default_factory=dict)


def validate(run: Run) -> bool:
    """Evaluate every head; False where a stop broke it off. Changes nothing that trains."""
    tell(run, "Validating")
    measured = measure(run)
    if measured is None:
        return False
    # Rank 0 sums up what all have measured; the others come to the end of it at once.
    parts = run.ranks.gather(measured)
    metrics = unless_stopped(run, lambda: results([part.metrics for part in parts]))
    if run.ranks.agree(int(metrics is None)) or metrics is None:
        return False
    run.state.validated, run.state.metrics = run.state.step, metrics
    if run.ranks.first:
        shown = ", ".join(f"{name} {value:.4f}" for name, value in sorted(metrics.items()))
        log.info("step %d: validation %s", run.state.step, shown or "has nothing to measure")
        told = line(run.state.step, "validation", metrics)
        run.send(MetricsMessage(line=told, better=directions(part.metrics for part in parts)))
    if run.pictures:
        run.pictures.submit(run.state.step, partial(drawings, run.model, parts))
    tell(run, "Training")
    return True


def measure(run: Run) -> Measured | None:
    """What this rank's images tell; None after a stop."""
    model, settings = run.model, run.spec.training
    heads = {head.name: model.head(head.name) for head in run.spec.model.heads}
    wanted = frozenset().union(*(head.examined for head in heads.values()))
    drawn = frozenset(chosen(run.data.validation.names, settings.pictures, settings.seed))
    measured = Measured()
    run.ranks.share_buffers(model)
    model.eval()
    try:
        with torch.inference_mode(), run.precision(), closing(_source(run)) as source:
            for _ in range(_rounds(run)):
                if not _waited(run, source):
                    source.abandon()  # its processes end their batches first, and a stop is to save
                    return None
                batch = next(source, None)
                if batch is None:
                    continue  # others have one more
                images = batch.images.to(run.device, non_blocking=True)
                keys = run.keys(batch)
                views = model.views(images, wanted, keys)
                for name, head in heads.items():
                    if name in batch.annotated or not drawn.isdisjoint(batch.names):
                        count(measured, name, head, head.examine(views), batch, drawn)
    finally:
        model.train()
    return measured


def count(
    measured: Measured,
    name: str,
    head: Head,
    examined: Sequence[Any],
    batch: Batch,
    drawn: Set[str],
) -> None:
    """Add what a head says of a batch: of annotated images to its metric, of some to pictures."""
    targets = batch.targets[name]
    if rows := [row for row, target in enumerate(targets) if target is not None]:
        metric = measured.metrics.setdefault(name, head.metric())
        metric.update(
            [examined[row] for row in rows],
            [targets[row] for row in rows],
            [batch.indices[row] for row in rows],
        )
    for row, image in enumerate(batch.names):
        if image in drawn:
            measured.pictured.setdefault(name, []).append(
                Pictured(
                    image,
                    batch.images[row].clone(),
                    batch.sizes[row],
                    batch.fits[row],
                    targets[row],
                    examined[row],
                )
            )


def results(parts: Sequence[dict[str, Metric]]) -> dict[str, float]:
    """Results as `head/metric`, over what all ranks have measured."""
    merged: dict[str, Metric] = {}
    for part in parts:
        for name, metric in part.items():
            if name in merged:
                merged[name].merge(metric)
            else:
                merged[name] = metric
    return {
        f"{name}/{kind}": value
        for name, metric in merged.items()
        for kind, value in metric.compute().items()
    }


def directions(parts: Iterable[dict[str, Metric]]) -> dict[str, Better]:
    """Which values of a result, `head/metric`, are the better ones; of some neither are."""
    return {
        f"{name}/{kind}": better
        for part in parts
        for name, metric in part.items()
        for kind, better in metric.better.items()
        if better is not None
    }


def drawings(model: VisionModel, parts: Sequence[Measured]) -> dict[str, bytes]:
    """Files of all pictures as `<head>/<file>`."""
    found = {}
    for config in model.config.heads:
        painter = painter_of(model.head(config.name).task)(config)
        pictured = [each for part in parts for each in part.pictured.get(config.name, ())]
        for file, content in files(painter, pictured).items():
            found[f"{config.name}/{file}"] = content
    return found


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
    while not wait([future], HEARING_SECONDS).done:
        if run.ranks.first and run.stop_requested():
            return None
    return future.result()


def _source(run: Run) -> Awaited[Batch]:
    ranks, data = run.ranks, run.data.validation
    return validation_batches(data, run.spec, ranks.rank, ranks.size, run.workers)


def _rounds(run: Run) -> int:
    """As many batches as the rank with the most images has: all ranks agree once a batch."""
    size = max(1, run.spec.training.batch_size // run.ranks.size)
    longest = -(-len(run.data.validation) // run.ranks.size)
    return -(-longest // size)


def _waited(run: Run, source: Awaited[Batch]) -> bool:
    """Wait until all ranks have their next batch; False where a stop came first."""
    while True:
        stop, all_ready = run.heard(source, lambda: int(run.stop_requested()))
        if stop or all_ready:
            return not stop
