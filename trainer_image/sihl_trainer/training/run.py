"""A training run: everything that it works on, gathered once."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sihl_api.runtime import Message
from sihl_api.training import Precision
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.dataset.awaited import Awaited
from sihl_trainer.dataset.dataset import Datasets
from sihl_trainer.dataset.samples import Batch
from sihl_trainer.model.model import VisionModel
from sihl_trainer.tasks.passes import Keys
from sihl_trainer.training.checkpoint import BackgroundWriter, TrainingState
from sihl_trainer.training.distributed import Ranks
from sihl_trainer.training.pictures import PictureWriter

HEARING_SECONDS = 0.1
"""For so long at most nobody asks whether to stop."""


@dataclass
class Run:
    """Everything that a training run works on.

    Attributes:
        spec: The job's.
        data: What is learnt from.
        model: On its device.
        optimizer: Over the model's weights.
        state: Where the run stands.
        ranks: This process among its fellows.
        device: Where to compute.
        scratch: Where checkpoints are written.
        attempt: For manifests.
        send: Tells the supervisor.
        stop_requested: Whether the supervisor asked for a stop.
        workers: Loader processes.
        pictures: Draws what validations predict; None on other ranks, or where none are wanted.
        clock: Seconds that only grow.
    """

    spec: TrainingJobSpec
    data: Datasets
    model: VisionModel
    optimizer: torch.optim.Optimizer
    state: TrainingState
    ranks: Ranks
    device: torch.device
    scratch: Path
    attempt: int
    send: Callable[[Message], None]
    stop_requested: Callable[[], bool]
    workers: int = 0
    pictures: PictureWriter | None = None
    clock: Callable[[], float] = time.monotonic
    writer: BackgroundWriter = field(default_factory=BackgroundWriter)

    def heard(self, source: Awaited[Batch], decision: Callable[[], int]) -> tuple[int, bool]:
        """Rank 0's decision, on every rank, and whether all of them have their next batch.

        A moment at most is waited for it: what asks for a stop meanwhile is to be heard.
        """
        ready = source.ready(HEARING_SECONDS)
        return self.ranks.agree_when_ready(decision(), ready)

    @property
    def loss_weights(self) -> dict[str, float]:
        """Of each head, by name."""
        return {head.name: head.loss_weight for head in self.spec.model.heads}

    def precision(self) -> AbstractContextManager[object]:
        """The number format of forward passes."""
        if self.spec.training.precision is Precision.BFLOAT16:
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def keys(self, batch: Batch) -> Keys:
        """What the changes that passes make to a batch follow from."""
        settings = self.spec.training
        mirror = settings.augmentation.horizontal_flip
        return Keys(settings.seed, batch.epochs, batch.indices, mirror)
