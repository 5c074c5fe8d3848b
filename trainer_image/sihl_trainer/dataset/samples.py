"""Samples, and the batches made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sihl_trainer.data.letterbox import Letterboxing
from sihl_trainer.tasks.target import Target


@dataclass(frozen=True, eq=False)
class Sample:
    """An image as the model sees it, with what each head is to learn from it.

    Args:
        image: uint8 [3, H, W], RGB, letterboxed and augmented.
        epoch, index: What its augmentation is a function of; the index is the dataset's.
        name: Its file name.
        targets: By head name, in pixels of `image`; None: not annotated for that head.
        size: (width, height) of the original in pixels.
        fit: How it was letterboxed. An augmented image may be mirrored after it; a validation image
            never is.
    """

    image: Tensor
    epoch: int
    index: int
    name: str
    targets: dict[str, Target | None]
    size: tuple[int, int]
    fit: Letterboxing


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples side by side.

    Args:
        images: uint8 [B, 3, H, W].
        targets: By head name, B targets each; None: not annotated for that head.
        names, epochs, indices, sizes, fits: As in `Sample`, B each.
    """

    images: Tensor
    targets: dict[str, list[Target | None]]
    names: list[str]
    epochs: list[int]
    indices: list[int]
    sizes: list[tuple[int, int]]
    fits: list[Letterboxing]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def annotated(self) -> set[str]:
        """Heads that at least one of the images is annotated for."""
        return {
            head
            for head, column in self.targets.items()
            if any(target is not None for target in column)
        }

    def pin_memory(self) -> Batch:
        """The batch with its images in page-locked memory, for copies that do not block."""
        return replace(self, images=self.images.pin_memory())

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The batch with images and targets on a device."""
        targets = {
            head: [target and target.to(device, non_blocking) for target in column]
            for head, column in self.targets.items()
        }
        return replace(
            self, images=self.images.to(device, non_blocking=non_blocking), targets=targets
        )


def collate(samples: Sequence[Sample]) -> Batch:
    """A batch of one or more samples of one size."""
    return Batch(
        images=torch.stack([sample.image for sample in samples]),
        targets={head: [sample.targets[head] for sample in samples] for head in samples[0].targets},
        names=[sample.name for sample in samples],
        epochs=[sample.epoch for sample in samples],
        indices=[sample.index for sample in samples],
        sizes=[sample.size for sample in samples],
        fits=[sample.fit for sample in samples],
    )
