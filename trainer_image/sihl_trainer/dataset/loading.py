"""Batches in an order that is a function of the seed: any step can be the first.

Images are visited in one endless row of epochs, each a permutation of its own; batch k takes the
places k * batchSize up to (k + 1) * batchSize of that row, so every batch is full and a small
dataset wraps into its next epoch. Of these, rank r takes each worldSize-th place from r on. Where
few images are labelled, there are two such rows, and each batch takes half of either.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import count

import numpy as np

from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.data.draws import Stream, permutation
from sihl_trainer.dataset.awaited import Awaited
from sihl_trainer.dataset.dataset import VisionDataset
from sihl_trainer.dataset.loaders import Places, loaded
from sihl_trainer.dataset.samples import Batch
from sihl_trainer.errors import BadConfig


class Order:
    """The order in which the images of a dataset are visited.

    Args:
        size: How many there are.
        seed: The same seed makes the same order.
        labelled: Indices of those of which each batch takes half, because a uniform draw would
            hardly meet any (Zhai et al., "S4L", ICCV 2019); None: all are drawn alike.
    """

    def __init__(self, size: int, seed: int, labelled: Sequence[int] | None = None) -> None:
        self._seed = seed
        self._labelled = np.asarray(labelled or (), dtype=np.int64)
        self._others = np.setdiff1d(np.arange(size), self._labelled)

    def places(self, step: int, batch_size: int, rank: int = 0, world_size: int = 1) -> Places:
        """What the batch of a step holds on one rank."""
        half = -(-batch_size // 2) if len(self._labelled) else 0
        batch = self._part(self._labelled, step, half, Stream.LABELLED_PERMUTATION)
        batch += self._part(self._others, step, batch_size - half, Stream.PERMUTATION)
        return batch[rank::world_size]

    def _part(self, indices: np.ndarray, step: int, count: int, stream: Stream) -> Places:
        """The step's part of an endless row of epochs, each in an order of its own."""
        found = []
        for place in range(step * count, (step + 1) * count):
            epoch, at = divmod(place, len(indices))
            index = indices[_permutation(self._seed, epoch, len(indices), stream)[at]]
            found.append((epoch, int(index)))
        return found


_permutation = lru_cache(maxsize=4)(permutation)


def batches(
    dataset: VisionDataset,
    spec: TrainingJobSpec,
    start_step: int = 0,
    rank: int = 0,
    world_size: int = 1,
    workers: int = 0,
) -> Awaited[Batch]:
    """Training batches from `start_step` on, without end; to be closed.

    Args:
        dataset: What to learn from.
        spec: Gives batch size (over all ranks) and seed.
        start_step: Step of the first batch; costs the same wherever it lies.
        rank: This process's, below `world_size`.
        world_size: How many processes share each batch.
        workers: Processes that decode ahead; 0 decodes in this one.

    Raises:
        BadConfig: The batch size cannot be shared evenly.
        BadData: Of a step: an image cannot be decoded; names its file.
        TrainerError: Of a step: a loader process was ended from outside, or no batch comes.
    """
    batch_size, seed = spec.training.batch_size, spec.training.seed
    if batch_size % world_size:
        raise BadConfig(
            "BatchSizeNotShareable",
            f"training.batchSize {batch_size} must be a multiple of runner.gpus, {world_size}",
        )
    order = Order(len(dataset), seed, dataset.labelled())
    row = (order.places(step, batch_size, rank, world_size) for step in count(start_step))
    return loaded(dataset, row, workers, world_size)


def validation_batches(
    dataset: VisionDataset,
    spec: TrainingJobSpec,
    rank: int = 0,
    world_size: int = 1,
    workers: int = 0,
) -> Awaited[Batch]:
    """Each validation image once over all ranks, in order; the last batch may be smaller.

    Raises:
        BadData: Of a step: an image cannot be decoded; names its file.
        TrainerError: Of a step: a loader process was ended from outside, or no batch comes.
    """
    size = max(1, spec.training.batch_size // world_size)
    mine = [(0, index) for index in range(rank, len(dataset), world_size)]
    row = (mine[at : at + size] for at in range(0, len(mine), size))
    return loaded(dataset, row, workers, world_size)
