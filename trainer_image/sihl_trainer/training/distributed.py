"""Ranks that train together: who they are, and how they agree."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn

from sihl_trainer.errors import BadConfig

_TIMEOUT = timedelta(hours=2)  # a rank may wait while another one validates


@dataclass(frozen=True)
class Ranks:
    """This process among those that train one model."""

    rank: int = 0
    size: int = 1
    control: Any = None  # a gloo group: agreement needs no GPU

    @property
    def first(self) -> bool:
        """Whether this rank speaks for all."""
        return self.rank == 0

    def agree(self, decision: int) -> int:
        """Rank 0's decision, on every rank."""
        if self.size == 1:
            return decision
        value = torch.tensor([decision])
        distributed.broadcast(value, 0, group=self.control)
        return int(value.item())

    def agree_when_ready(self, decision: int, ready: bool) -> tuple[int, bool]:
        """Rank 0's decision, on every rank, and whether all of them are ready."""
        if self.size == 1:
            return decision, ready
        value = torch.tensor([decision if self.first else 0, int(not ready)])
        distributed.all_reduce(value, group=self.control)
        return int(value[0].item()), int(value[1].item()) == 0

    def sum(self, mine: Tensor) -> Tensor:
        """Of a tensor of each rank, on its device."""
        if self.size == 1:
            return mine
        everybodys = mine.clone()
        distributed.all_reduce(everybodys)
        return everybodys

    def share_buffers(self, module: nn.Module) -> None:
        """Rank 0's buffers, running means and variances, for all: each rank has its own."""
        if self.size > 1:
            for buffer in module.buffers():
                distributed.broadcast(buffer, 0)

    def gather(self, mine: Any) -> list[Any]:
        """What every rank has, on rank 0; empty on the others."""
        if self.size == 1:
            return [mine]
        everything = [None] * self.size if self.first else None
        distributed.gather_object(mine, everything, group=self.control)
        return everything or []


def join(device: torch.device) -> Ranks:
    """Meet the other ranks that torchrun started, if there are any."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Ranks()
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=_TIMEOUT)
    control = distributed.new_group(backend="gloo", timeout=_TIMEOUT)
    return Ranks(distributed.get_rank(), size, control)


def part() -> None:
    """From the other ranks."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def choose_device(gpus: int, allow_cpu: bool) -> torch.device:
    """Where to train.

    Raises:
        BadConfig: More GPUs were asked for than torch sees.
    """
    if gpus == 0:
        return torch.device("cpu")
    if torch.cuda.is_available():
        if (found := torch.cuda.device_count()) < gpus:
            raise BadConfig("TooFewGPUs", f"spec.runner.gpus is {gpus} and torch sees {found}")
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
        return device
    if allow_cpu:
        return torch.device("cpu")
    raise BadConfig(
        "NoGPU",
        f"spec.runner.gpus is {gpus} and torch {torch.__version__} sees no GPU: use the CUDA "
        "flavour of the trainer image and a node with a driver that fits it, or gpus: 0",
    )
