"""Which points learn what costs much: so many an image, no object twice before all had a turn.

Without such a cap an image of hundreds of objects takes all memory there is; where it is one for
the batch, a crowded image takes the turns of all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sihl_trainer.tasks.dense.assignment import TOP_K, Assignment

MAX_SAMPLES = 64
"""Points of an image that learn in a step what is costly: a mask, a second look at keypoints."""


@dataclass(frozen=True, eq=False)
class Samples:
    """S points of each of B images.

    Attributes:
        point: int64 [B, S].
        learnt: int64 [B, S], the object that each learns, as its place among the chosen ones.
        real: bool [B, S]; the others fill up the images that have fewer.
    """

    point: Tensor
    learnt: Tensor
    real: Tensor


def choose(count: int) -> list[int]:
    """Which of an image's objects may be sampled, in the order of their turns.

    By chance, from torch's generator of the CPU, which a checkpoint keeps.
    """
    return torch.randperm(count)[:MAX_SAMPLES].tolist()


def places_of(chosen: Sequence[Sequence[int]], counts: Sequence[int]) -> Tensor:
    """int64 [B, M]: of each object its place among those that are chosen, -1 where it is not."""
    places = torch.full((len(counts), max(counts)), -1)
    for row, own in zip(places, chosen, strict=True):
        row[torch.tensor(own, dtype=torch.int64)] = torch.arange(len(own))
    return places


def sample(found: Assignment, places: Tensor, count: int) -> Samples:
    """The best points of the chosen objects, in turns.

    Nothing in it waits for the device.

    Args:
        found: The points' objects.
        places: int64 [B, M], each object's place among the chosen ones, -1 where it is none.
        count: The most that are chosen in an image, at least one.
    """
    most = min(found.weight.shape[1], TOP_K * count)
    place = places.gather(1, found.owner)
    weight, point = torch.where(place >= 0, found.weight, 0.0).topk(most, 1)
    # Object by object, each one's best point first; those that learn none come last.
    place, order = torch.where(weight > 0, place.gather(1, point), count).sort(stable=True, dim=1)
    point = point.gather(1, order)
    turn = torch.arange(most, device=place.device) - torch.searchsorted(place, place)
    never = most * count
    queue = torch.where(place < count, turn * count + place, never)
    taken = queue.topk(min(MAX_SAMPLES, most), 1, largest=False)
    learnt = place.gather(1, taken.indices).clamp(max=count - 1)
    return Samples(point.gather(1, taken.indices), learnt, taken.values < never)
