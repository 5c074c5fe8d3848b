"""How batches come from other processes, and what is done where they do not come."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Generator
from itertools import islice
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sihl_trainer.dataset import parcel
from sihl_trainer.dataset.awaited import Awaited
from sihl_trainer.dataset.dataset import open_datasets
from sihl_trainer.dataset.loaders import PREFETCH, ahead
from sihl_trainer.dataset.loading import batches
from sihl_trainer.dataset.parcel import SHARED, packed, size_of
from sihl_trainer.dataset.samples import Batch
from sihl_trainer.errors import TrainerError
from sihl_trainer.tasks.object_detection.target import BoxesTarget
from tests.support.disk import fill
from tests.support.training import multitask, multitask_job

ROOT = Path(__file__).parents[2]


@given(st.integers(1, 16), st.integers(1, 1 << 30), st.integers(0, 1 << 34))
def test_batches_on_their_way_find_room_in_shared_memory_or_one_of_each_loader_takes_the_pipe(
    workers: int, batch_bytes: int, room: int
) -> None:
    chosen = ahead(workers, batch_bytes, room)
    assert 1 <= chosen.workers <= workers
    assert 1 <= chosen.prefetch <= PREFETCH
    if chosen.shared:
        # One more is learnt from, and one waits for it.
        assert (chosen.workers * chosen.prefetch + 2) * batch_bytes <= room
    else:
        assert (chosen.workers, chosen.prefetch) == (workers, 1)
        assert 3 * batch_bytes > room


def same(one: Batch, other: Batch) -> bool:
    return (
        torch.equal(one.images, other.images)
        and (one.names, one.epochs, one.fits) == (other.names, other.epochs, other.fits)
        and str(one.targets) == str(other.targets)
    )


def is_shared(tensor: torch.Tensor) -> bool:
    return bool(tensor.is_shared())  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("room", [0, 1 << 30])
def test_a_batch_arrives_as_it_was_sent_however_it_travels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr(parcel, "shared_room", lambda: room)
    spec = multitask_job({"batchSize": 8})
    batch = next(batches(open_datasets(spec, multitask(tmp_path)).train, spec))
    sent = packed(batch)
    assert sent.shared == (size_of(batch) <= room)
    arrived = sent.open()
    assert same(arrived, batch)
    assert is_shared(arrived.images) == sent.shared
    kept = [each.boxes for each in arrived.targets["boxes"] if isinstance(each, BoxesTarget)]
    assert kept
    assert not any(map(is_shared, kept))  # they may be kept for longer than the batch


def test_a_batch_that_does_not_come_ends_with_what_was_waited_for() -> None:
    released = threading.Event()

    def stalled() -> Generator[int]:
        yield 1
        released.wait()

    source = Awaited(stalled(), lambda: "the batch with a.jpg", patience=0.05)
    assert next(source) == 1
    with pytest.raises(TrainerError, match=r"the batch with a\.jpg did not come") as told:
        next(source)
    assert told.value.reason == "LoaderStalled"
    source.close()  # does not wait for it either
    released.set()


def test_an_end_and_an_error_are_ready_like_a_batch() -> None:
    def broken() -> Generator[int]:
        yield 1
        raise ValueError("broken")

    source = Awaited(broken(), str)
    assert [next(source, None), source.ready(60)] == [1, True]
    with pytest.raises(ValueError, match="broken"):
        next(source)
    assert source.ready(60)
    assert next(source, None) is None
    source.close()


ACROSS = """
if __name__ == "__main__":  # loaders import this file, too
    import sys
    from pathlib import Path
    from tests.unit.test_data_loaders import check_mounted

    check_mounted(Path(sys.argv[1]))
"""
SPEC = multitask_job({"batchSize": 8, "inputSize": {"width": 128, "height": 128}})


def check_mounted(folder: Path) -> None:
    """Whether batches come over shared memory of several sizes; in a namespace of its own."""
    data = open_datasets(SPEC, folder).train
    expected = list(islice(batches(data, SPEC), 9))
    for options in ("size=64m", "size=2m", "size=64k", "ro"):
        mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", SHARED]
        subprocess.run(mount, check=True)
        source = batches(data, SPEC, workers=1)
        for number, batch in enumerate(expected):
            assert same(next(source), batch), options
            if (options, number) == ("size=64m", 1):
                fill(Path(SHARED) / "filler")
        source.close()


@pytest.mark.slow
def test_no_batch_is_lost_however_little_shared_memory_there_is(tmp_path: Path) -> None:
    script = tmp_path / "across.py"
    script.write_text(ACROSS)
    multitask(tmp_path)
    paths = [str(ROOT / part) for part in ("crds", "trainer_image", ".")]
    done = subprocess.run(
        ["unshare", "-m", sys.executable, script, tmp_path],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    if "unshare failed" in done.stderr:
        pytest.skip(f"this machine lets us mount nothing: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert "Exception ignored" not in done.stderr
