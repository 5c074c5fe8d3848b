"""Batches in an order that is a function of the seed: any step can be the first.

Images are visited in one endless row of epochs, each a permutation of its own; batch k takes the
places k * batchSize up to (k + 1) * batchSize of that row, so every batch is full and a small
dataset wraps into its next epoch. Of these, rank r takes each worldSize-th place from r on.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import count
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.dataset.dataset import VisionDataset
from sihl_trainer.dataset.samples import Batch, collate
from sihl_trainer.errors import BadConfig, TrainerError

Places: TypeAlias = "list[tuple[int, int]]"
"""(epoch, index) of each sample of a batch."""

PREFETCH = 4
"""Batches that each loader process works ahead."""
_PERMUTATION = 2**62
"""Keeps the counters of permutations apart from those of augmentation."""


@lru_cache(maxsize=2)
def permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    """int64 [size]: the order in which an epoch visits the images."""
    key = np.array((seed, _PERMUTATION), dtype=np.uint64)
    position = np.array((0, 0, epoch, 0), dtype=np.uint64)
    # Sorted by random keys: only the generator's raw stream is guaranteed across NumPy releases.
    keys = np.random.Philox(key=key, counter=position).random_raw(size)
    return np.argsort(keys, kind="stable")


def places(
    step: int, batch_size: int, size: int, seed: int, rank: int = 0, world_size: int = 1
) -> Places:
    """What the batch of a step holds on one rank, of a dataset with `size` images."""
    row = range(step * batch_size + rank, (step + 1) * batch_size, world_size)
    return [
        (place // size, int(permutation(seed, place // size, size)[place % size])) for place in row
    ]


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
    row = (
        places(step, batch_size, len(dataset), seed, rank, world_size) for step in count(start_step)
    )
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
