"""What is legal in a dataset and odd: a person is to see it before days of training are spent."""

from __future__ import annotations

import filecmp
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from sihl_api.fingerprint import SplitFingerprint
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.data.kinds import others_told
from sihl_trainer.data.names import TRAIN, VALIDATION
from sihl_trainer.dataset.feeds import Split
from sihl_trainer.dataset.holdout import hold_out
from sihl_trainer.dataset.metadata import IMAGES
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.listed import lookalikes
from sihl_trainer.tasks.rooms import format_of

_SHOWN = 10
_COMPARED = 200
"""Images of both splits whose bytes are compared; their sizes are the same already."""


def oddities(
    spec: TrainingJobSpec,
    split: str,
    opened: Split,
    own: SplitFingerprint,
    train: SplitFingerprint | None,
) -> list[str]:
    """What is odd about a split that was checked, or about what is held out of it.

    Args:
        spec: The job's.
        split: train or validation.
        opened: The split.
        own: Its fingerprint.
        train: That of the training set, where this is the validation set.
    """
    found = [f"{IMAGES}/: {others_told(opened.unread)}"] if opened.unread else []
    for name, known in opened.sets.items():
        texts = (lookalikes(_info(opened, name).categories), *known.oddities())
        found += [f"annotations {name!r}: {text}" for text in texts if text]
    if split == VALIDATION:
        return found if train is None else found + _beside_training(opened, own, train)
    held_out = None
    if spec.dataset.validation is None:
        parts = hold_out(opened, spec.dataset.validation_fraction, spec.training.seed)
        held_out = tuple(map(frozenset, parts))
    for name in _counted(opened):
        learnt, measured = (
            (_counts(opened, name, part) for part in held_out)
            if held_out
            else (_counts(opened, name), None)
        )
        found += in_counts(name, learnt, measured)
    return found


def in_counts(
    name: str, learnt: Mapping[str, int], measured: Mapping[str, int] | None
) -> list[str]:
    """What is odd about how often each category of an annotation set occurs.

    Args:
        name: The set's.
        learnt: In training images, of each category that is listed.
        measured: In validation images; None: that is not known yet.
    """
    place = f"annotations {name!r}"
    if not any(learnt.values()):
        return [f"{place}: no training image has a single object, so there is nothing to learn"]
    if measured is None:
        never = [category for category, count in learnt.items() if not count]
        return _told(place, never, "listed, but no training image has one: it cannot be learnt")
    if not any(measured.values()):
        return [
            f"{place}: no validation image has a single object, so most of its metrics are "
            "missing: validate on more images, or on others"
        ]
    absent = [category for category, count in measured.items() if not count]
    alien = [category for category, count in measured.items() if count and not learnt.get(category)]
    unseen = [each for each in absent if not learnt.get(each)]
    return [
        *_told(
            place, alien, "in validation images only: it cannot be learnt, and counts as missed"
        ),
        *_told(place, unseen, "listed, but no image has one"),
        *_told(
            place,
            [each for each in absent if learnt.get(each)],
            "in no validation image: how well it is learnt is not measured",
        ),
    ]


def _told(place: str, categories: Sequence[str], what: str) -> list[str]:
    if not categories:
        return []
    more = f" and {len(categories) - _SHOWN} more" if len(categories) > _SHOWN else ""
    return [f"{place}: {', '.join(map(repr, categories[:_SHOWN]))}{more}: {what}"]


def _beside_training(opened: Split, own: SplitFingerprint, train: SplitFingerprint) -> list[str]:
    found = []
    if own.images == train.images and own.objects == train.objects:
        found.append(
            "the validation images are the training images: metrics tell how well these are "
            "remembered, and nothing of others"
        )
    elif shared := _shared(opened):
        found.append(
            f"{IMAGES}/{shared[0]}"
            + (f" and at least {len(shared) - 1} more" if len(shared) > 1 else "")
            + " are in the training set and in the validation set: metrics are too good by these"
        )
    for name in _counted(opened):
        known = train.annotations.get(name)
        if known is not None and known.counts is not None and not known.others:
            found += in_counts(name, known.counts, _counts(opened, name))
    return found


def _shared(opened: Split) -> list[str]:
    """Names of images that the training set, which lies beside, has under this or another name."""
    other = opened.folder.parent / TRAIN / IMAGES
    own = [opened.folder / IMAGES / name for name in opened.annotated]
    namesakes = ((path, other / path.name) for path in own if (other / path.name).is_file())
    alike = [pair for pair in namesakes if _size(pair[0]) == _size(pair[1])]
    if same := _same(alike):
        return same
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in filter(Path.is_file, other.iterdir()):
        by_size[_size(path)].append(path)
    return _same((path, train) for path in own for train in by_size.get(_size(path), ()))


def _same(pairs: Iterable[tuple[Path, Path]]) -> list[str]:
    compared = islice(pairs, _COMPARED)
    found = (own.name for own, train in compared if filecmp.cmp(own, train, shallow=False))
    return list(dict.fromkeys(found))


def _size(path: Path) -> int:
    return path.stat().st_size


def _counted(opened: Split) -> list[str]:
    """The sets that count names which training must know: an identity, say, may be new."""
    found = []
    for name, known in opened.sets.items():
        feed = next(each for each in opened.feeds.values() if each.annotations is known)
        if feed.self_supervised or format_of(feed.info.task).open_names:
            continue
        if isinstance(known.contents(feed.info), dict):
            found.append(name)
    return found


def _counts(opened: Split, name: str, images: Collection[str] | None = None) -> dict[str, int]:
    found = opened.sets[name].contents(_info(opened, name), images)
    assert isinstance(found, dict)
    return found


def _info(opened: Split, name: str) -> HeadInfo:
    annotations = opened.sets[name]
    return next(feed.info for feed in opened.feeds.values() if feed.annotations is annotations)
