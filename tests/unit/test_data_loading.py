from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sihl_api.runtime import ExitCode
from sihl_trainer.data.draws import Stream, permutation
from sihl_trainer.dataset import loaders as module
from sihl_trainer.dataset.dataset import Datasets, VisionDataset, open_datasets
from sihl_trainer.dataset.loaders import Ahead
from sihl_trainer.dataset.loading import Order, batches, validation_batches
from sihl_trainer.dataset.samples import Batch
from sihl_trainer.errors import BadConfig, BadData, TrainerError
from tests.support.datasets import classification, job, write

SPEC = job(training={"batchSize": 4, "augmentation": {"horizontalFlip": True}})


@pytest.fixture
def datasets(tmp_path: Path) -> Datasets:
    write(tmp_path / "train", classification(11))
    return open_datasets(SPEC, tmp_path)


def same(one: Batch, other: Batch) -> bool:
    return torch.equal(one.images, other.images) and (one.names, one.targets) == (
        other.names,
        other.targets,
    )


@given(st.integers(1, 40), st.integers(1, 64), st.integers(0, 2**31 - 1))
def test_every_epoch_visits_every_image_once(size: int, batch_size: int, seed: int) -> None:
    steps = 3 * size  # whole epochs of batches, since 3 * size * batch_size is a multiple of size
    order = Order(size, seed)
    row = [place for step in range(steps) for place in order.places(step, batch_size)]
    assert len(row) == steps * batch_size  # every batch is full
    assert Counter(row) == {
        (epoch, index): 1 for epoch in range(3 * batch_size) for index in range(size)
    }


@given(st.integers(1, 50), st.integers(1, 4), st.integers(1, 4), st.integers(0, 10**9))
def test_ranks_share_each_batch_without_overlap(
    size: int, share: int, world_size: int, step: int
) -> None:
    order = Order(size, 0)
    whole = order.places(step, share * world_size)
    parts = [order.places(step, share * world_size, r, world_size) for r in range(world_size)]
    assert [len(part) for part in parts] == [share] * world_size
    assert Counter(place for part in parts for place in part) == Counter(whole)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {
        tuple(permutation(seed, epoch, 50, stream))
        for seed in range(5)
        for epoch in range(5)
        for stream in (Stream.PERMUTATION, Stream.LABELLED_PERMUTATION)
    }
    assert len(orders) == 50


def test_the_order_is_the_same_in_every_release() -> None:
    # Written down once: a checkpoint of one release is resumed by another.
    assert permutation(7, 3, 10, Stream.PERMUTATION).tolist() == PINNED


@given(st.integers(3, 60), st.integers(1, 33), st.integers(0, 99), st.data())
def test_half_of_each_batch_is_labelled_where_few_images_are(
    size: int, batch_size: int, step: int, data: st.DataObject
) -> None:
    few = data.draw(st.sets(st.integers(0, size - 1), min_size=1, max_size=(size - 1) // 2))
    batch = Order(size, 7, sorted(few)).places(step, batch_size)
    assert len(batch) == batch_size
    assert sum(index in few for _, index in batch) == -(-batch_size // 2)


def test_ranks_have_equal_parts_of_what_is_labelled() -> None:
    order = Order(100, 0, [3, 5])
    parts = [order.places(4, 16, rank, 4) for rank in range(4)]
    assert [sum(index in (3, 5) for _, index in part) for part in parts] == [2, 2, 2, 2]


PINNED = [9, 4, 0, 7, 5, 6, 1, 3, 2, 8]


def test_any_step_can_be_the_first(datasets: Datasets) -> None:
    whole = list(islice(batches(datasets.train, SPEC), 9))
    for start in (1, 5, 8):
        resumed = list(islice(batches(datasets.train, SPEC, start_step=start), 9 - start))
        assert all(same(one, other) for one, other in zip(whole[start:], resumed, strict=True))


def test_loading_leaves_the_global_random_state_alone(datasets: Datasets) -> None:
    before = torch.get_rng_state()
    next(batches(datasets.train, SPEC))
    list(validation_batches(datasets.validation, SPEC))
    assert torch.equal(torch.get_rng_state(), before)


def test_ranks_validate_each_image_once(datasets: Datasets) -> None:
    names = [
        name
        for rank in range(3)
        for batch in validation_batches(datasets.train, SPEC, rank, 3)
        for name in batch.names
    ]
    assert sorted(names) == datasets.train.names


def test_a_batch_that_ranks_cannot_share_evenly_is_refused(datasets: Datasets) -> None:
    with pytest.raises(BadConfig, match=r"training\.batchSize 4 must be a multiple"):
        batches(datasets.train, SPEC, world_size=3)


# --- loader processes ------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def path_for_the_process_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The server of processes imports the project before it is told this process's path."""
    root = Path(__file__).parents[2]
    paths = [str(root / part) for part in ("crds", "operator", "trainer_image", ".")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    yield


def loaders() -> list[int]:
    """Processes that decode for this one."""
    import multiprocessing

    return [child.pid for child in multiprocessing.active_children() if child.pid]


@pytest.mark.slow
def test_processes_make_the_same_batches_and_outlive_signals_meant_for_others(
    datasets: Datasets,
) -> None:
    expected = list(islice(batches(datasets.train, SPEC), 40))
    loading = batches(datasets.train, SPEC, workers=2)
    for batch in expected[:2]:  # one of each process: both are up
        assert same(next(loading), batch)
    for pid in loaders():
        # From a process that is not their parent, as a terminal or an init would send it.
        os.system(f"kill -TERM {pid}; kill -INT {pid}")
    assert loaders()
    for batch, other in zip(islice(loading, 38), expected[2:], strict=True):
        assert same(batch, other)
    processes = loaders()
    loading.close()
    for pid in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_loader_that_is_ended_ends_the_attempt_with_its_reason(
    datasets: Datasets, number: signal.Signals
) -> None:
    loading = batches(datasets.train, SPEC, workers=1)
    next(loading)
    (pid,) = loaders()
    os.kill(pid, number)
    with pytest.raises(TrainerError, match="decodes images was ended") as told:
        while True:
            next(loading)
    assert told.value.reason == "LoaderEnded"


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, 0])
def test_where_a_pod_may_have_few_processes_fewer_decode_and_no_batch_is_lost(
    monkeypatch: pytest.MonkeyPatch, datasets: Datasets, most: int
) -> None:
    start = module._loader

    def crowded(dataset: VisionDataset, row: Any, chosen: Ahead | None) -> Any:
        if chosen and chosen.workers > most:
            next(iter(row))  # as torch, whose first process has its first batch to make by then
            raise EOFError("unexpected EOF")  # the server of processes died as it could not fork
        return start(dataset, row, chosen)

    monkeypatch.setattr(module, "_loader", crowded)
    expected = list(islice(batches(datasets.train, SPEC), 4))
    loading = batches(datasets.train, SPEC, workers=4)
    assert all(same(*pair) for pair in zip(islice(loading, 4), expected, strict=True))
    assert len(loaders()) == most
    loading.close()


def test_processes_are_not_begun_where_threads_of_theirs_would_be_lacking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    before = set(threading.enumerate())
    module._try_room(2)
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="new thread"):
        module._try_room(2)
    assert set(threading.enumerate()) <= before


@pytest.mark.slow
def test_a_bad_image_met_by_a_loader_process_is_told_as_bad_data(tmp_path: Path) -> None:
    write(tmp_path / "train", classification(4))
    write(tmp_path / "validation", classification(4) | {"images/2.jpg": b"oops"})
    datasets = open_datasets(job(validation_prefix="x"), tmp_path)
    with pytest.raises(BadData, match=r"images/2\.jpg is a text"):
        list(validation_batches(datasets.validation, SPEC, workers=1))


def test_a_file_that_the_disk_no_longer_gives_is_not_the_datasets_fault(tmp_path: Path) -> None:
    write(tmp_path / "train", classification(4))
    dataset = open_datasets(job(training={"batchSize": 4}), tmp_path).train
    image = tmp_path / "train" / "images" / dataset.names[0]
    image.unlink()
    image.symlink_to("/proc/self/mem")  # answers as a broken disk does
    with pytest.raises(TrainerError, match=r"Input/output error.*node's disk") as told:
        next(validation_batches(dataset, SPEC))
    assert (told.value.reason, told.value.exit_code) == ("DatasetUnreadable", ExitCode.CRASHED)
