"""Which training images are held out for validation, where a job has no validation dataset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256

from sihl_trainer.dataset.feeds import Split
from sihl_trainer.errors import BadData


def hold_out(train: Split, fraction: float, seed: int) -> tuple[list[str], list[str]]:
    """Names for training and names for validation, each sorted, of what is annotated.

    Images that the same sets annotate are split among themselves: a set that annotates few images
    has its share of both, and not by luck.

    Raises:
        BadData: A set annotates too few images to have some in both.
    """
    annotated = {name: set(annotations.names) for name, annotations in train.sets.items()}
    alike: dict[tuple[bool, ...], list[str]] = defaultdict(list)
    for image in train.annotated:
        alike[tuple(image in images for images in annotated.values())].append(image)
    parts = [split(images, fraction, seed) for images in alike.values()]
    learnt, held_out = (
        sorted(name for part in side for name in part) for side in zip(*parts, strict=True)
    )
    for name, images in annotated.items():
        if images.isdisjoint(learnt) or images.isdisjoint(held_out):
            raise BadData(
                "DatasetTooSmall",
                f"too few images are annotated in {name!r} ({len(images)}) to be split into "
                "training and validation: annotate more, or give spec.dataset.validation",
            )
    return learnt, held_out


def split(names: Sequence[str], fraction: float, seed: int) -> tuple[list[str], list[str]]:
    """Names for training and for validation, each sorted, at least one of either if there are two.

    Which is which follows from the seed and each name alone, by hash, so that it does not depend
    on the order in which a store lists them.
    """
    count = min(len(names) - 1, max(1, round(len(names) * fraction)))
    shuffled = sorted(names, key=lambda name: sha256(f"{seed}/{name}".encode()).digest())
    return sorted(shuffled[count:]), sorted(shuffled[:count])
