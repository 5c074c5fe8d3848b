"""Ranks as processes of their own, which meet over gloo: what they learn together."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from sihl_api.tasks import Task
from sihl_trainer.model.model import build_model
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.multiclass_classification.target import CategoryTarget
from sihl_trainer.tasks.object_detection.target import BoxesTarget
from sihl_trainer.tasks.passes import Keys
from sihl_trainer.tasks.target import Target
from sihl_trainer.training.distributed import Ranks
from sihl_trainer.training.loop import LossModule
from tests.support.training import multitask_job

Targets = dict[str, list[Target | None]]
MANY = torch.tensor([[4.0, 4, 30, 30], [30, 30, 60, 60], [5, 34, 30, 60], [34, 5, 60, 30]])
FEW, MORE = BoxesTarget(MANY[:1], torch.tensor([0])), BoxesTarget(MANY, torch.tensor([0, 1, 0, 1]))
NOTHING: list[Target | None] = [None] * 4
PARTLY: dict[str, Targets] = {
    "one image of a rank and two of the other": {
        "pet": [CategoryTarget(0), CategoryTarget(1), None, CategoryTarget(1)], "boxes": NOTHING,
    },
    "an image of one rank only": {
        "pet": [None, CategoryTarget(1), None, None], "boxes": NOTHING,
    },
    "more objects on one rank": {"pet": NOTHING, "boxes": [FEW, MORE, None, MORE]},
    "nothing at all": {"pet": NOTHING, "boxes": NOTHING},
}  # fmt: skip


def module(ranks: Ranks) -> LossModule:
    """The same in each process; statistics of batches aside, which each rank has its own of."""
    torch.manual_seed(0)
    info = {
        "boxes": HeadInfo(Task.OBJECT_DETECTION, ("cat", "dog")),
        "pet": HeadInfo(Task.MULTICLASS_CLASSIFICATION, ("cat", "dog")),
    }
    return LossModule(build_model(multitask_job(), info).eval(), {"pet": 1.0, "boxes": 0.5}, ranks)


def images() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (4, 3, 64, 64), generator=generator, dtype=torch.uint8)


def gradients(model: torch.nn.Module, learnt: LossModule, batch: Tensor, to: Targets) -> Tensor:
    """All of them, one after the other."""
    keys = Keys(0, [0] * len(batch), list(range(len(batch))))
    total, _ = model(batch, to, keys)
    total.backward()
    return torch.cat([p.grad.flatten() for p in learnt.parameters() if p.grad is not None])


def rank(number: int, folder: Path) -> None:
    """One of two: every other image is its own."""
    torch.set_num_threads(1)
    meeting = f"file://{folder}/meeting"
    distributed.init_process_group("gloo", init_method=meeting, rank=number, world_size=2)
    for case, targets in enumerate(PARTLY.values()):
        learnt = module(Ranks(number, 2))
        model = DistributedDataParallel(learnt)
        own = {head: column[number::2] for head, column in copy.deepcopy(targets).items()}
        found = gradients(model, learnt, images()[number::2], own)
        if number == 0:
            torch.save(found, folder / str(case))
    mine = Ranks(number, 2)
    told = [mine.agree_when_ready(number + 7, ready) for ready in (True, number == 0, number == 1)]
    torch.save(told, folder / f"told-{number}")
    distributed.destroy_process_group()


def test_ranks_learn_of_partly_labelled_images_what_one_process_learns_of_all(
    tmp_path: Path,
) -> None:
    spawn(rank, (tmp_path,), nprocs=2)  # type: ignore[no-untyped-call]
    for case, targets in enumerate(PARTLY.values()):
        alone = module(Ranks())
        expected = gradients(alone, alone, images(), targets)
        found = torch.load(tmp_path / str(case))
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)
    # What rank 0 decides, and whether both had their batches.
    agreed = [(7, True), (7, False), (7, False)]
    assert [torch.load(tmp_path / f"told-{number}") for number in (0, 1)] == [agreed, agreed]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_rank_alone_needs_nobody_to_sum_and_changes_nothing(size: int) -> None:
    mine = torch.arange(size)
    assert torch.equal(Ranks().sum(mine), mine)
