"""Batches in an order that is a function of the seed: any step can be the first.

Images are visited in one endless row of epochs, each a permutation of its own; batch k takes the
places k * batchSize up to (k + 1) * batchSize of that row, so every batch is full and a small
dataset wraps into its next epoch. Of these, rank r takes each worldSize-th place from r on. Where
few images are labelled, there are two such rows, and each batch takes half of either.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.data.draws import Stream, permutation
from sihl_trainer.dataset.dataset import VisionDataset
from sihl_trainer.dataset.samples import Batch, collate
from sihl_trainer.errors import BadConfig, TrainerError

Places: TypeAlias = "list[tuple[int, int]]"
"""(epoch, index) of each sample of a batch."""

PREFETCH = 4
"""Batches that each loader process works ahead."""


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
) -> Iterator[Batch]:
    """Training batches from `start_step` on, without end.

    Args:
        dataset: What to learn from.
        spec: Gives batch size (over all ranks) and seed.
        start_step: Step of the first batch; costs the same wherever it lies.
        rank: This process's, below `world_size`.
        world_size: How many processes share each batch.
        workers: Processes that decode ahead; 0 decodes in this one.

    Raises:
        BadConfig: The batch size cannot be shared evenly.
        BadData: An image cannot be decoded; names its file.
        TrainerError: A loader process was ended from outside.
    """
    batch_size, seed = spec.training.batch_size, spec.training.seed
    if batch_size % world_size:
        raise BadConfig(
            "BatchSizeNotShareable",
            f"training.batchSize {batch_size} must be a multiple of runner.gpus, {world_size}",
        )
    order = Order(len(dataset), seed, dataset.labelled())
    row = (order.places(step, batch_size, rank, world_size) for step in count(start_step))
    return _load(dataset, row, workers)


def validation_batches(
    dataset: VisionDataset,
    spec: TrainingJobSpec,
    rank: int = 0,
    world_size: int = 1,
    workers: int = 0,
) -> Iterator[Batch]:
    """Each validation image once over all ranks, in order; the last batch may be smaller.

    Raises:
        BadData: An image cannot be decoded; names its file.
        TrainerError: A loader process was ended from outside.
    """
    size = max(1, spec.training.batch_size // world_size)
    mine = [(0, index) for index in range(rank, len(dataset), world_size)]
    return _load(dataset, (mine[at : at + size] for at in range(0, len(mine), size)), workers)


# --- loader processes ------------------------------------------------------------------------


def _load(dataset: VisionDataset, row: Iterable[Places], workers: int) -> Iterator[Batch]:
    options: dict[str, Any] = {}
    if workers:
        options = {
            "num_workers": workers,
            "prefetch_factor": PREFETCH,
            "multiprocessing_context": _processes(),
            "worker_init_fn": _shield,
        }
    loader = DataLoader(
        _Batches(dataset),
        sampler=_Row(row),
        batch_size=None,
        collate_fn=_as_it_is,
        # Without a generator each loader would advance torch's global one, and a resumed run,
        # which makes another number of loaders, would part from the uninterrupted one.
        generator=torch.Generator(),
        pin_memory=torch.cuda.is_available(),  # from there a copy to the GPU blocks nothing
        **options,
    )
    source = iter(loader)
    while True:
        try:
            batch = next(source, None)
        except (EOFError, OSError, RuntimeError) as error:
            if not workers or not _lost(error):
                raise
            text = f"a process that decodes images was ended from outside ({error or 'EOF'})"
            hint = "if the memory was short, raise runner.resources.limits.memory"
            raise TrainerError("LoaderEnded", f"{text}; {hint}") from error
        if isinstance(batch, TrainerError):
            raise batch
        if batch is None:
            return
        yield batch


def _lost(error: Exception) -> bool:
    """Whether a loader process is gone; else it is what one of them, or this process, raised."""
    told = str(error)
    if isinstance(error, RuntimeError):
        return told.startswith("DataLoader worker")  # " ... exited", " ... is killed by signal"
    return not told.startswith("Caught ")  # gone while it handed a batch over


class _Row(Sampler[Places]):
    def __init__(self, row: Iterable[Places]) -> None:
        self.row = row

    def __iter__(self) -> Iterator[Places]:
        return iter(self.row)


class _Batches(Dataset["Batch | TrainerError"]):
    """Whole batches, made where they are decoded."""

    def __init__(self, dataset: VisionDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, places: Places) -> Batch | TrainerError:
        try:
            return collate([self.dataset.sample(epoch, index) for epoch, index in places])
        except TrainerError as error:
            return error  # raised where it is awaited; torch would make a RuntimeError of it


def _as_it_is(batch: Any) -> Any:
    return batch


def _processes() -> Any:
    """Processes forked from a server that holds no locks, no threads and no CUDA context."""
    context = multiprocessing.get_context("forkserver")
    program = getattr(sys.modules["__main__"], "__spec__", None)
    # Imported once in the server, not once in every process.
    context.set_forkserver_preload([__name__, *([program.name] if program else [])])
    return context


def _shield(_: int) -> None:
    """Make a loader process deaf to what asks the job to stop.

    Ctrl-C and SIGTERM reach whole process groups; a loader that died of them would take the
    checkpoint with it. Only the process that it loads for may end it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_obey_parent, daemon=True).start()


def _obey_parent() -> None:
    parent = multiprocessing.parent_process()
    while True:
        sender = signal.sigwaitinfo({signal.SIGTERM}).si_pid
        if parent is None or sender == parent.pid:
            os._exit(0)
