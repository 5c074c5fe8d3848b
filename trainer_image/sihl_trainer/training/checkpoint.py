"""Checkpoints: a snapshot in host memory, written to disk while training goes on."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from sihl_trainer.model.model import VisionModel
from sihl_trainer.model.weights import WEIGHTS, write_folder

log = logging.getLogger(__name__)

OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"
_CPU_GENERATOR = "generator.cpu"
_CUDA_GENERATOR = "generator.cuda"


@dataclass
class TrainingState:
    """What resumes beside weights and optimizer.

    Attributes:
        step: Steps that are done.
        elapsed: Seconds of learning, over all attempts.
        validated: The step of the last validation that was completed.
        metrics: Its results.
    """

    step: int = 0
    elapsed: float = 0.0
    validated: int = 0
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A copy of everything that a bit-exact resume needs, on the host."""

    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: TrainingState

    def write(self, folder: Path, attempt: int, saved_at: str) -> Path:
        """Write the checkpoint's folder, its manifest last."""
        return write_folder(
            folder,
            "sihl.ai/checkpoint-1",
            self.state.step,
            attempt,
            saved_at,
            {WEIGHTS: self.model, OPTIMIZER: self.optimizer},
            {STATE: json.dumps(asdict(self.state), indent=1)},
        )


def snapshot(
    model: VisionModel, optimizer: torch.optim.Optimizer, state: TrainingState
) -> Snapshot:
    """Copy weights, optimizer and random generators; training may go on at once."""
    tensors = {name: _copied(tensor) for name, tensor in model.state_dict().items()}
    values: dict[str, Tensor] = {}
    for index, entry in optimizer.state_dict()["state"].items():
        for key, value in entry.items():
            if isinstance(value, Tensor):
                values[f"{index}.{key}"] = _copied(value)
    if model.mean.is_cuda:
        torch.cuda.synchronize()
    values[_CPU_GENERATOR] = torch.get_rng_state().clone()
    if torch.cuda.is_available():
        values[_CUDA_GENERATOR] = torch.cuda.get_rng_state()
    return Snapshot(tensors, values, TrainingState(**asdict(state)))


def _copied(tensor: Tensor) -> Tensor:
    """A copy on the host; one from a GPU is whole after the next synchronization."""
    if not tensor.is_cuda:
        return tensor.detach().clone()
    pinned = torch.empty_like(tensor, device="cpu", pin_memory=True)
    return pinned.copy_(tensor.detach(), non_blocking=True)


def restore(folder: Path, model: VisionModel, optimizer: torch.optim.Optimizer) -> TrainingState:
    """Put a checkpoint's values back where `snapshot` took them from."""
    model.load_state_dict(load_file(folder / WEIGHTS))
    values = load_file(folder / OPTIMIZER)
    torch.set_rng_state(values.pop(_CPU_GENERATOR))
    generator = values.pop(_CUDA_GENERATOR, None)
    if generator is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(generator)
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    entries: dict[int, dict[str, Tensor]] = {}
    for name, value in values.items():
        index, key = name.split(".", 1)
        weight = weights[int(index)]
        if value.shape == weight.shape:  # laid out in memory as its weight is, for fused kernels
            value = torch.empty_like(weight, device="cpu").copy_(value)
        entries.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": entries})
    return TrainingState(**json.loads((folder / STATE).read_text()))


class BackgroundWriter:
    """Writes one folder at a time beside the training; the next waits for the one before."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def busy(self) -> bool:
        """Whether a folder is being written."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, write: Callable[[], None]) -> None:
        """Write in the background."""
        self.wait()
        self.check()
        self._thread = threading.Thread(target=self._run, args=(write,), name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Return when nothing is being written, whether or not it succeeded.

        One who waits is about to write something newer, which may find the room that it lacked.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def check(self) -> None:
        """Raise what a write raised: the disk is full, for example."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _run(self, write: Callable[[], None]) -> None:
        try:
            write()
        except BaseException as error:
            log.warning("A checkpoint could not be written: %s", error)
            self._error = error
