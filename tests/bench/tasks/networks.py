"""How another library's model learns: the same images, the same time, our instruments.

Batches, augmentation, precision, optimizer and schedule are ours; where they are in the schedule is
told by the clock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sihl_api.training import Precision
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.dataset.dataset import Datasets, open_datasets
from sihl_trainer.dataset.loading import batches, validation_batches
from sihl_trainer.dataset.samples import Batch
from sihl_trainer.model.model import VisionModel, build_model
from sihl_trainer.training.optimizer import build_optimizer, set_rate
from sihl_trainer.training.schedule import rate_factor
from tests.bench.tasks.clock import of_cores
from tests.bench.tasks.plans import HEAD

TICKS = 1_000_000  # of the schedule, which counts them for steps

Measured = dict[str, float]


@dataclass(frozen=True)
class Network:
    """Another library's model of a task.

    Args:
        model: With random weights.
        loss: To learn from.
        measure: After training, of the validation images.
    """

    model: nn.Module
    loss: Callable[[Batch], Tensor]
    measure: Callable[[Sequence[tuple[Batch, Any]]], Measured]
    answers: Callable[[Batch], Any]
    """What `measure` is given of each validation batch."""


def learn(
    make: Callable[[TrainingJobSpec, Datasets], Network],
    spec: TrainingJobSpec,
    folder: Path,
    seconds: float,
    threads: int,
) -> tuple[Measured, float, int]:
    """Train for a time; what came of it, seconds and steps."""
    torch.set_num_threads(threads)
    torch.manual_seed(spec.training.seed)
    data = open_datasets(spec, folder)
    network = make(spec, data)
    model = network.model.to(memory_format=torch.channels_last)
    settings = spec.training
    optimizer = build_optimizer(settings.optimizer, model)
    clock = of_cores(threads)
    began, steps = clock(), 0
    model.train()
    for batch in batches(data.train, spec):
        passed = clock() - began
        if passed >= seconds:
            break
        factor = rate_factor(settings.scheduler, int(TICKS * passed / seconds), TICKS)
        set_rate(optimizer, settings.optimizer.learning_rate * factor)
        optimizer.zero_grad(set_to_none=True)
        with precision(spec):
            loss = network.loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        if settings.gradient_clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip_norm)
        optimizer.step()
        steps += 1
    passed = clock() - began
    model.eval()
    with torch.inference_mode():
        answered = [(b, network.answers(b)) for b in validation_batches(data.validation, spec)]
    return network.measure(answered), passed, steps


def precision(spec: TrainingJobSpec) -> AbstractContextManager[object]:
    """The number format of steps, as the product has it; torchvision's answers need float32."""
    if spec.training.precision is Precision.BFLOAT16:
        return torch.autocast("cpu", dtype=torch.bfloat16)
    return nullcontext()


# --- measuring ---------------------------------------------------------------------------------


def our_model(spec: TrainingJobSpec, data: Datasets) -> VisionModel:
    """Whose head knows its metric; it learns nothing here."""
    return build_model(spec, data.head_info)


def by_our_metric(
    reference: VisionModel,
    answered: Sequence[tuple[Batch, Any]],
    prediction: Callable[[Any], Any],
) -> Measured:
    """What our head's metric says of another model's answers."""
    metric = reference.head(HEAD).metric()
    for target, found, place in by_image(answered):
        metric.update([prediction(found)], [target], [place])
    return metric.compute()


def by_image(answered: Sequence[tuple[Batch, Any]]) -> list[tuple[Any, Any, int]]:
    """Target, answer and place of each image."""
    return [
        row
        for batch, found in answered
        for row in zip(batch.targets[HEAD], found, batch.indices, strict=True)
    ]
