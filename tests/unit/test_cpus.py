"""How many processors the work of a container is spread over."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sihl_trainer.data.images import Decoded
from sihl_trainer.fetch import check
from sihl_trainer.fetch.progress import FetchProgress


@pytest.mark.parametrize(("cpus", "threads"), [(2, 2), (64, 8)])
def test_images_are_checked_by_as_many_threads_as_the_container_has_processors_up_to_eight(
    monkeypatch: pytest.MonkeyPatch, cpus: int, threads: int
) -> None:
    at_once = peak = 0
    lock, enough = threading.Lock(), threading.Barrier(threads)

    def decode(path: Path) -> Decoded:
        nonlocal at_once, peak
        with lock:
            at_once += 1
            peak = max(peak, at_once)
        enough.wait(60)
        with lock:
            at_once -= 1
        return Decoded((1, 1))

    monkeypatch.setattr(check, "available_cpus", lambda: cpus)
    monkeypatch.setattr(check, "decode_fully", decode)
    names = [f"{number}.png" for number in range(threads * 4)]
    split: Any = SimpleNamespace(annotated=names, sets={}, folder=Path("/"))
    check.check_images(split, FetchProgress("train"))
    assert peak == threads
