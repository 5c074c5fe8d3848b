"""The job's training and validation images, each as a sample for the job's heads."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from sihl_api.training import Augmentation
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.data import images
from sihl_trainer.data.letterbox import PADDING, Letterboxing, Placement, letterboxing
from sihl_trainer.data.names import TRAIN, VALIDATION
from sihl_trainer.dataset.augment import Change, draw
from sihl_trainer.dataset.feeds import Feed, check_suited, open_split
from sihl_trainer.dataset.holdout import hold_out
from sihl_trainer.dataset.metadata import IMAGES
from sihl_trainer.dataset.samples import Sample
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.target import Target

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Datasets:
    """What a job learns from, what it is validated on, and what its heads must know of both."""

    train: VisionDataset
    validation: VisionDataset
    head_info: dict[str, HeadInfo]


class VisionDataset:
    """Images that feed at least one of the job's heads.

    Args:
        folder: That of the images.
        names: Their file names, in the order of their indices.
        feeds: By head name, where its targets come from.
        input_size: (width, height) of every sample, in pixels.
        enlarge: Whether small images are scaled up to the input, or only padded.
        augmentation: None: images are shown as they are, in every epoch.
        seed: Of the augmentation.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        feeds: Mapping[str, Feed],
        input_size: tuple[int, int],
        *,
        enlarge: bool = True,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        self.folder = folder
        self.names = list(names)
        self.feeds = dict(feeds)
        self.input_size = input_size
        self.enlarge = enlarge
        self.augmentation = augmentation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.names)

    def sample(self, epoch: int, index: int) -> Sample:
        """The image with `index` as `epoch` sees it.

        Raises:
            BadData: The image cannot be decoded; names its file.
        """
        name = self.names[index]
        change = self._change(epoch, index)
        with images.opened(self.folder / name) as image:
            size = images.upright_size(image)
            fit = letterboxing(
                size,
                self.input_size,
                enlarge=self.enlarge,
                shrink=change.shrink,
                position=change.position,
            )
            pixels = images.pixels(image, fit.size, change.brightness)
        canvas = self._canvas(pixels, fit.placement, mirror=change.mirror)
        # Once a set, however many heads it feeds: a map is a file to be decoded.
        sets = {id(feed.annotations): feed.annotations for feed in self.feeds.values()}
        read = {key: annotations.target(name) for key, annotations in sets.items()}
        targets = {
            head: self._target(
                feed.converted(read[id(feed.annotations)], size), fit, mirror=change.mirror
            )
            for head, feed in self.feeds.items()
        }
        return Sample(canvas, epoch, index, name, targets, size, fit)

    def labelled(self) -> list[int] | None:
        """Indices of the images with a supervised annotation, where each batch needs its share.

        None: no head is self-supervised, or none is supervised, or most images have one anyway.
        """
        supervised = [feed for feed in self.feeds.values() if not feed.self_supervised]
        if not supervised or len(supervised) == len(self.feeds):
            return None
        annotated = set().union(*(feed.annotations.names for feed in supervised))
        found = [index for index, name in enumerate(self.names) if name in annotated]
        return found if 0 < 2 * len(found) < len(self.names) else None

    def _change(self, epoch: int, index: int) -> Change:
        if self.augmentation is None:
            return Change()
        return draw(self.augmentation, self.seed, epoch, index)

    def _canvas(self, pixels: Tensor, placement: Placement, *, mirror: bool) -> Tensor:
        _, height, width = pixels.shape
        canvas = torch.empty((3, self.input_size[1], self.input_size[0]), dtype=torch.uint8)
        for channel, value in enumerate(PADDING):
            canvas[channel] = value
        rows = slice(placement.top, placement.top + height)
        columns = slice(placement.left, placement.left + width)
        canvas[:, rows, columns] = pixels
        return canvas.flip(2) if mirror else canvas

    def _target(self, target: Target | None, fit: Letterboxing, *, mirror: bool) -> Target | None:
        if target is None:
            return None
        placed = target.placed(fit)
        return placed.mirrored(self.input_size[0]) if mirror else placed


def open_datasets(
    spec: TrainingJobSpec, root: Path, fullest: Mapping[str, int] | None = None
) -> Datasets:
    """The datasets of a job, from the folders train/ and, where the job has one, validation/.

    Args:
        spec: The job's.
        root: Where the folders are.
        fullest: By head name, how many objects the image has that has most, as whoever has read
            every file found it.

    Raises:
        BadData: What the folders hold is at odds with the dataset's format, or too little of it.
        BadConfig: A head asks for annotations that the dataset does not have, or that it cannot
            learn from with the job's settings.
    """
    training = spec.training
    input_size = (training.input_size.width, training.input_size.height)
    train = open_split(root / TRAIN, spec.model.heads)
    check_suited(train, spec)
    validation = train
    if spec.dataset.validation:
        validation = open_split(root / VALIDATION, spec.model.heads, train.feeds)
        train_names, validation_names = train.annotated, validation.annotated
    else:
        train_names, validation_names = hold_out(
            train, spec.dataset.validation_fraction, training.seed
        )
    counted = (train.fullest(), validation.fullest(), fullest or {})
    log.info("%d training images, %d validation images", len(train_names), len(validation_names))
    return Datasets(
        train=VisionDataset(
            root / TRAIN / IMAGES,
            train_names,
            train.feeds,
            input_size,
            augmentation=spec.augmentation,
            seed=training.seed,
        ),
        validation=VisionDataset(
            validation.folder / IMAGES,
            validation_names,
            validation.feeds,
            input_size,
            enlarge=training.scale_at_inference,
        ),
        head_info={
            name: replace(info, fullest=max(each.get(name, 0) for each in counted))
            for name, info in train.head_info.items()
        },
    )
