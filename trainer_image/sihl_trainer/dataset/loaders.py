"""Processes that decode batches ahead, as many as processors and shared memory allow."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import Any, TypeAlias

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from sihl_api.units import human_bytes
from sihl_trainer.dataset.awaited import Awaited
from sihl_trainer.dataset.dataset import VisionDataset
from sihl_trainer.dataset.parcel import SHARED, Parcel, packed, shared_room, size_of
from sihl_trainer.dataset.samples import Batch, collate
from sihl_trainer.errors import TrainerError

log = logging.getLogger(__name__)

Places: TypeAlias = "list[tuple[int, int]]"
"""(epoch, index) of each sample of a batch."""

PREFETCH = 4
"""Batches that each loader process works ahead, where there is room."""
_PART = 0.5
"""Of the shared memory: a validation has loaders of its own beside those that train."""
_IN_HAND = 2
"""Batches in shared memory that no loader works on: the one learnt from, and its successor."""
_TASKS = 4
"""Threads of each process, that which feeds it here among them; and of what they have together."""
_NAMED = 3
"""Images of a batch that a message names."""


@dataclass(frozen=True)
class Ahead:
    """How far loaders work ahead.

    Args:
        workers: Processes.
        prefetch: Batches of each.
        shared: Whether all of them find room in shared memory.
    """

    workers: int
    prefetch: int
    shared: bool


def ahead(workers: int, batch_bytes: int, room: int) -> Ahead:
    """So far that all batches on their way find room in shared memory; one each at least.

    Args:
        workers: Processes that the processors allow, at least one.
        batch_bytes: Of a batch.
        room: Bytes of shared memory that this loader may take.
    """
    most = room // max(1, batch_bytes) - _IN_HAND
    if most < 1:
        return Ahead(workers, 1, shared=False)
    workers = min(workers, most)
    return Ahead(workers, min(PREFETCH, most // workers), shared=True)


def loaded(
    dataset: VisionDataset, row: Iterable[Places], workers: int, ranks: int
) -> Awaited[Batch]:
    """Batches of a row of places, one after the other.

    Args:
        dataset: Whose samples they are of.
        row: Which samples each has.
        workers: Processes that decode ahead; 0 decodes in this one.
        ranks: How many processes share the machine's memory in equal parts.
    """
    places_of = _Row(row)

    def what() -> str:
        places = places_of.coming[0] if places_of.coming else []
        names = [dataset.names[index] for _, index in places[:_NAMED]]
        return f"the batch with {', '.join(names)}{', ...' if len(places) > _NAMED else ''}"

    return Awaited(_load(dataset, places_of, workers, ranks), what)


def _load(dataset: VisionDataset, row: _Row, workers: int, ranks: int) -> Generator[Batch]:
    source = _started(dataset, row, workers, ranks)
    while True:
        try:
            batch = next(source, None)
            if isinstance(batch, Parcel):
                batch = batch.open()
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
        row.coming.popleft()
        yield batch
        del batch  # while the next is waited for its memory is another's


def _started(
    dataset: VisionDataset, row: _Row, workers: int, ranks: int
) -> Iterator[Batch | Parcel | TrainerError]:
    chosen = _chosen(dataset, row, workers, ranks) if workers else None
    while chosen is not None:
        try:
            _try_room(chosen.workers)
            return iter(_loader(dataset, row, chosen))
        except (EOFError, OSError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "new thread" not in str(error):
                raise
            row.give_back()
            fewer = chosen.workers // 2
            now = "fewer are tried" if fewer else "they are decoded between the steps"
            _say(
                f"Images are not decoded by {chosen.workers} processes ({error}), for want of "
                f"shared memory, or of processes that the pod may have: {now}, which takes longer"
            )
            chosen = replace(chosen, workers=fewer) if fewer else None
    return iter(_loader(dataset, row, None))


def _try_room(workers: int) -> None:
    """Take what so many processes need, and give it back.

    A process of them that lacked a thread would end without a word on why.

    Raises:
        OSError: There is no shared memory for the semaphores that torch's queues need.
        RuntimeError: The pod may have no more threads, which count as processes do.
    """
    context = _processes()
    assert [context.Lock() for _ in range(8 + 4 * workers)]
    over, threads = threading.Event(), []
    try:
        for _ in range(_TASKS * (workers + 1)):
            threads.append(threading.Thread(target=over.wait, daemon=True))
            threads[-1].start()
    except RuntimeError:
        threads.pop()
        raise
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _chosen(dataset: VisionDataset, row: _Row, workers: int, ranks: int) -> Ahead | None:
    """By the size of a batch, told from that of its first sample."""
    places = row.first()
    if not places:
        return None
    sample = _made(dataset, places[:1])
    if isinstance(sample, TrainerError):
        raise sample
    size = size_of(sample) * len(places)
    chosen = ahead(workers, size, int(_PART * shared_room() / ranks))
    if chosen != Ahead(workers, PREFETCH, shared=True):
        how = (
            f"{chosen.workers} work {chosen.prefetch} ahead each"
            if chosen.shared
            else "batches come through pipes, which takes longer"
        )
        _say(
            f"There is no room for {PREFETCH} batches of {human_bytes(size)} from each of "
            f"{workers} processes that decode images, so {how}; the chart's settings.sharedMemory "
            "gives more"
        )
    return chosen


@lru_cache(maxsize=64)
def _say(text: str) -> None:
    """Once: each validation would say it again."""
    log.warning("%s (%s has %s to give)", text, SHARED, human_bytes(shared_room()))


def _loader(dataset: VisionDataset, row: _Row, chosen: Ahead | None) -> Any:
    options: dict[str, Any] = {}
    if chosen:
        options = {
            "num_workers": chosen.workers,
            "prefetch_factor": chosen.prefetch,
            "multiprocessing_context": _processes(),
            "worker_init_fn": _shield,
        }
    return DataLoader(
        _Batches(dataset, packing=chosen is not None),
        sampler=row,
        batch_size=None,
        collate_fn=_as_it_is,
        # Without a generator each loader would advance torch's global one, and a resumed run,
        # which makes another number of loaders, would part from the uninterrupted one.
        generator=torch.Generator(),
        pin_memory=torch.cuda.is_available(),  # from there a copy to the GPU blocks nothing
        **options,
    )


def _lost(error: Exception) -> bool:
    """Whether a loader process is gone; else it is what one of them, or this process, raised."""
    told = str(error)
    if isinstance(error, RuntimeError):
        return told.startswith("DataLoader worker")  # " ... exited", " ... is killed by signal"
    return not told.startswith("Caught ")  # gone while it handed a batch over


class _Row(Sampler[Places]):
    """Places in their order; knows which were handed out and have not come back as batches."""

    def __init__(self, row: Iterable[Places]) -> None:
        self._row = iter(row)
        self.coming: deque[Places] = deque()

    def first(self) -> Places:
        """What comes next, which stays in the row; empty at its end."""
        for places in self._row:
            self._row = chain([places], self._row)
            return places
        return []

    def give_back(self) -> None:
        """What was handed out comes again."""
        self._row = chain(self.coming, self._row)
        self.coming = deque()

    def __iter__(self) -> Iterator[Places]:
        for places in self._row:
            self.coming.append(places)
            yield places


class _Batches(Dataset["Batch | Parcel | TrainerError"]):
    """Whole batches, made where they are decoded."""

    def __init__(self, dataset: VisionDataset, packing: bool) -> None:
        self.dataset = dataset
        self.packing = packing

    def __getitem__(self, places: Places) -> Batch | Parcel | TrainerError:
        made = _made(self.dataset, places)
        return packed(made) if self.packing and isinstance(made, Batch) else made


def _made(dataset: VisionDataset, places: Places) -> Batch | TrainerError:
    """The batch, or why there is none: raised where it is awaited, as it is."""
    samples = []
    for epoch, index in places:
        try:
            samples.append(dataset.sample(epoch, index))
        except TrainerError as error:
            return error  # torch would make a RuntimeError of it
        except OSError as error:
            text = f"{dataset.names[index]} cannot be read again ({error}): look at the node's disk"
            return TrainerError("DatasetUnreadable", text)
    return collate(samples)


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
