"""Heads that learn eight images by heart: what a sound head does within seconds on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from examples.digits import make
from sihl_api.model import Head as HeadSpec
from sihl_api.record import HeadConfig, ModelConfig
from sihl_api.tasks import Task
from sihl_trainer.data.names import TRAIN
from sihl_trainer.dataset.dataset import VisionDataset
from sihl_trainer.dataset.feeds import open_split
from sihl_trainer.dataset.metadata import IMAGES
from sihl_trainer.dataset.samples import collate
from sihl_trainer.model.model import VisionModel
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.passes import Keys
from sihl_trainer.tasks.rooms import head_of
from sihl_trainer.tasks.target import Target

LEVELS = (2, 4)
"""Of the neck. ResNet-18 ends with the last: its fifth level takes as long as all others."""
CHANNELS = 16


@dataclass(frozen=True)
class Examples:
    """Images with what one head is to learn from them.

    Attributes:
        info: What the head is told.
        images: uint8 [B, 3, H, W].
        targets: B, in pixels of `images`; None: not annotated.
    """

    info: HeadInfo
    images: Tensor
    targets: list[Target | None]


def digits(
    kind: str,
    folder: Path,
    task: Task,
    *,
    count: int = 8,
    size: int = 64,
    input_size: tuple[int, int] | None = None,
    annotations: str | None = None,
) -> Examples:
    """A dataset of handwritten digits, read from disk as a job's head of the task would have it.

    Args:
        kind: Of `examples.digits.KINDS`.
        folder: Where the dataset is made.
        task: The head's; the annotations are converted to it.
        count: Images.
        size: Their side in pixels; of lines of text the height.
        input_size: (width, height) that they are letterboxed to; by default `size` both.
        annotations: The name of the set, where the dataset has several.
    """
    make(kind, folder, count=count, held_out=1, size=size)
    spec = HeadSpec(name="head", task=task, annotations=annotations)
    split = open_split(folder / TRAIN, [spec])
    images = folder / TRAIN / IMAGES
    data = VisionDataset(images, split.names, split.feeds, input_size or (size, size))
    batch = collate([data.sample(0, index) for index in range(len(data))])
    return Examples(split.head_info["head"], batch.images, batch.targets["head"])


def overfitted(
    info: HeadInfo,
    images: Tensor,
    targets: Sequence[Target | None],
    *,
    steps: int = 60,
    rate: float = 2e-3,
    neck: tuple[int, int] = LEVELS,
    levels: tuple[int, int] | None = None,
    channels: int = CHANNELS,
    rounds: int = 1,
) -> dict[str, float]:
    """What the metric says of a head that has learnt from these images and is shown them again.

    A ResNet-18 with a pyramid learns all images in each step, by Adam, at a
    rate that falls to zero: so the running statistics, by which it is validated, are those of its
    last weights. Passes are those that the head wants.

    Args:
        info: What the head is told of its dataset.
        images: uint8 [B, 3, H, W], with sides that are multiples of 2^(last level).
        targets: B, in pixels of the images; None: not annotated.
        steps: Of Adam; one takes some 40 ms for eight images of 64 pixels.
        rate: The first step's.
        neck: First and last level of the neck.
        levels: First and last level of the head; by default its own choice.
        channels: Of the neck: few, but of what fills maps more.
        rounds: How often they are shown at the end, with other draws for their passes each time.
    """
    torch.manual_seed(0)
    model = network(info, images, neck, levels, channels)
    head = model.head("head")
    optimizer = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for step in range(steps):
        views = model.views(images, head.passes, keys(len(images), step))
        losses = head.loss(views, targets).values()
        optimizer.zero_grad()
        torch.stack([loss.mean for loss in losses]).sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        schedule.step()
    model.eval()
    metric = head.metric()
    known = [index for index, target in enumerate(targets) if target is not None]
    for number in range(rounds):
        with torch.inference_mode():
            examined = head.examine(model.views(images, head.examined, keys(len(images), number)))
        places = [number * len(images) + index for index in known]
        metric.update([examined[i] for i in known], [targets[i] for i in known], places)
    return metric.compute()


def network(
    info: HeadInfo,
    images: Tensor,
    neck: tuple[int, int] = LEVELS,
    levels: tuple[int, int] | None = None,
    width: int = CHANNELS,
) -> VisionModel:
    """A small model with one head, called `head`, for such images."""
    kind = head_of(info.task)
    channels = dict.fromkeys(range(neck[0], neck[1] + 1), width)
    config = HeadConfig(
        name="head",
        task=info.task.value,
        levels=list(levels or kind.default_levels(channels, True)),
        settings=kind.settings(info),
    )
    return VisionModel(
        ModelConfig(
            backbone="resnet18",
            neck={"name": "FPN", "levels": list(neck), "channels": width},
            heads=[config],
            input_width=images.shape[3],
            input_height=images.shape[2],
        )
    )


def keys(count: int, step: int) -> Keys:
    """What the random numbers of a step's passes are a function of: each step is an epoch."""
    return Keys(0, [step] * count, range(count))
