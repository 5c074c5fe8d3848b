from __future__ import annotations

import pytest
import torch

from sihl_api.runtime import ExitCode
from sihl_trainer.errors import OutOfMemory
from sihl_trainer.training.worker import explained, loader_workers


def test_memory_that_does_not_suffice_ends_with_what_to_lower() -> None:
    hint = r"batchSize or training\.inputSize"
    with pytest.raises(OutOfMemory, match=hint) as caught, explained():
        torch.empty(1 << 55, dtype=torch.uint8)
    assert caught.value.exit_code is ExitCode.OUT_OF_MEMORY


def test_another_error_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="shape"), explained():
        torch.zeros(2).view(3)


@pytest.mark.parametrize(
    ("cpus", "ranks", "workers"),
    [(1, 1, 0), (2, 1, 0), (3, 1, 2), (16, 1, 8), (16, 4, 3), (4, 4, 0)],
)
def test_loaders_take_no_processor_from_the_training(cpus: int, ranks: int, workers: int) -> None:
    assert loader_workers(cpus, ranks) == workers
