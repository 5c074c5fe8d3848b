"""From a dataset's folder to what feeds each head of a job."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sihl_api.model import Head
from sihl_api.tasks import reachable
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.data.kinds import is_unread_image
from sihl_trainer.data.misnamed import remedy
from sihl_trainer.data.misplaced import images_told
from sihl_trainer.data.names import IMAGE_SUFFIXES, is_image
from sihl_trainer.dataset.metadata import IMAGES, AnnotationSet, Metadata, read_metadata
from sihl_trainer.errors import BadConfig, BadData
from sihl_trainer.tasks.annotations import Annotations, AnyImage
from sihl_trainer.tasks.conversions import Conversion, conversion
from sihl_trainer.tasks.info import HeadInfo
from sihl_trainer.tasks.rooms import format_of

if TYPE_CHECKING:
    from sihl_trainer.tasks.target import Target

log = logging.getLogger(__name__)

_EVERY_IMAGE = f"{IMAGES}/"  # no set that metadata names can be called so


@dataclass(frozen=True)
class Feed:
    """Where a head's targets come from: an annotation set, and the way to the head's task."""

    annotations: Annotations
    info: HeadInfo
    conversion: Conversion
    self_supervised: bool = False

    def target(self, name: str, size: tuple[int, int]) -> Target | None:
        """What an image of this size means for the head, in its own pixels; None: not annotated."""
        return self.converted(self.annotations.target(name), size)

    def converted(self, target: Target | None, size: tuple[int, int]) -> Target | None:
        """What an annotation of the set, of an image of this size, means for the head."""
        return None if target is None else self.conversion.target(self.info, target.sized(size))


@dataclass(frozen=True)
class Split:
    """One folder of a dataset, read for a job's heads.

    Args:
        folder: The dataset's.
        names: Its images, sorted.
        annotated: Those that feed at least one head, sorted.
        sets: The annotations that feed the heads, by set name.
        feeds: By head name.
        head_info: By head name.
        unread: What lies beside the images, and is one of a kind that is not read.
    """

    folder: Path
    names: list[str]
    annotated: list[str]
    sets: dict[str, Annotations]
    feeds: dict[str, Feed]
    head_info: dict[str, HeadInfo]
    unread: list[str]

    def fullest(self) -> dict[str, int]:
        """By head name, objects of the image that has most, of the annotations read so far."""
        return {name: feed.annotations.fullest for name, feed in self.feeds.items()}


def open_split(
    folder: Path,
    heads: Sequence[Head],
    train_feeds: Mapping[str, Feed] | None = None,
    names: Sequence[str] | None = None,
) -> Split:
    """A dataset's folder, read for the heads.

    Args:
        folder: With metadata, images/ and annotations.
        heads: The job's.
        train_feeds: The training set's, where the folder is the validation set's: its categories
            keep the indices that they have in training.
        names: Of the files in images/, where these have yet to be fetched; else they are looked up.

    Raises:
        BadData: What the folder holds is at odds with the format; names file, entry and remedy.
        BadConfig: A head asks for annotations that the dataset does not have.
    """
    metadata = read_metadata(folder) if needs_metadata(heads) else Metadata("", {})
    chosen = {head.name: choose_set(head, metadata) for head in heads}
    files = file_names(folder) if names is None else names
    names = image_names(files, folder)
    sets: dict[str, Annotations] = {}
    feeds = {}
    for head in heads:
        found = chosen[head.name]
        if found is None:
            sets.setdefault(_EVERY_IMAGE, AnyImage(names))
            feeds[head.name] = Feed(sets[_EVERY_IMAGE], HeadInfo(head.task), Conversion(), True)
            continue
        info = _as_trained(head, found, (train_feeds or {}).get(head.name), metadata.file)
        if found.name not in sets:
            sets[found.name] = _read_set(folder, found, info, names, files)
        feeds[head.name] = Feed(sets[found.name], info, find_conversion(head, found))
    annotated = sorted(set().union(*(annotations.names for annotations in sets.values())))
    told = {name: feed.conversion.info(feed.info) for name, feed in feeds.items()}
    unread = sorted(filter(is_unread_image, files))
    return Split(folder, list(names), annotated, sets, feeds, told, unread)


def needs_metadata(heads: Sequence[Head]) -> bool:
    """Whether a dataset has to say what it is annotated with: not for images alone."""
    return any(not head.task.self_supervised or head.annotations for head in heads)


def check_suited(split: Split, spec: TrainingJobSpec) -> None:
    """Whether the job's heads can learn from their annotations with the job's settings.

    Raises:
        BadConfig: One cannot; names the setting and the remedy.
    """
    for head in spec.model.heads:
        if text := split.feeds[head.name].annotations.unsuited(head, spec):
            raise BadConfig("SettingsUnsuitable", f"head {head.name!r}: {text}")


def choose_set(head: Head, metadata: Metadata) -> AnnotationSet | None:
    """The annotation set that a head learns from; None: a self-supervised one, from every image.

    Raises:
        BadConfig: No such set, more than one to choose from, or none that can become the task's.
    """
    sets = metadata.sets
    if head.task.self_supervised and head.annotations in (None, *metadata.unannotated):
        return None
    if not sets:
        raise BadConfig(
            "AnnotationsUnsuitable",
            f"head {head.name!r} learns {head.task.words}, and the dataset is not annotated for "
            "anything: change the head's task, or annotate the images",
        )
    known = ", ".join(f"{name!r} ({found.task.words})" for name, found in sets.items())
    if head.annotations is None and len(sets) > 1:
        raise BadConfig(
            "AnnotationsNotChosen",
            f"head {head.name!r} must say which `annotations` feed it; the dataset has {known}",
        )
    name = head.annotations or next(iter(sets))
    if name not in sets:
        raise BadConfig(
            "AnnotationsUnknown",
            f"head {head.name!r} asks for annotations {name!r}; the dataset has {known}: name one "
            "of them",
        )
    find_conversion(head, sets[name])
    return None if head.task.self_supervised else sets[name]


def find_conversion(head: Head, annotation_set: AnnotationSet) -> Conversion:
    """The way from an annotation set to a head's task.

    Raises:
        BadConfig: There is none.
    """
    found = conversion(annotation_set.task, head.task)
    if found is None:
        can = ", ".join(task.words for task in reachable(annotation_set.task))
        raise BadConfig(
            "AnnotationsUnsuitable",
            f"head {head.name!r} learns {head.task.words}, but annotations {annotation_set.name!r} "
            f"are for {annotation_set.task.words} and cannot become it, only {can}: change the "
            "head's task or its annotations",
        )
    return found


def file_names(folder: Path) -> list[str]:
    """Files in images/ of a dataset's folder; no pipes, and no links that lead nowhere."""
    return [path.name for path in _inside(folder / IMAGES) if path.is_file()]


def _inside(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _folders(folder: Path) -> list[str]:
    return [path.name for path in _inside(folder) if path.is_dir()]


def image_names(files: Iterable[str], folder: Path) -> list[str]:
    """The images among the files in images/, sorted.

    Raises:
        BadData: There are none.
    """
    if found := sorted(filter(is_image, files)):
        return found
    others = images_told(files, _folders(folder / IMAGES), [path.name for path in _inside(folder)])
    raise BadData(
        "DatasetEmpty",
        f"no images in {folder / IMAGES}: "
        + (f"{others}; " if others else "")
        + f"add some ({', '.join(IMAGE_SUFFIXES)}), directly in it",
    )


def _as_trained(head: Head, found: AnnotationSet, trained: Feed | None, file: str) -> HeadInfo:
    if trained is None:
        return found.info
    unknown = found.info.unknown_to(trained.info)
    if unknown and not format_of(head.task).open_names:
        raise BadData(
            "DatasetMetadataInvalid",
            f"the validation dataset's {file} lists names that the training dataset's does "
            f"not: {', '.join(unknown[:20])}; add them there, or take them out",
        )
    return found.info.as_trained(trained.info)


def _read_set(
    folder: Path,
    annotation_set: AnnotationSet,
    info: HeadInfo,
    names: Sequence[str],
    files: Iterable[str],
) -> Annotations:
    read = format_of(annotation_set.task).read
    annotations = read(folder / annotation_set.source, info).beside(names)
    if not annotations.names:
        raise BadData(
            "DatasetNotAnnotated",
            f"{annotation_set.source} annotates none of the {len(names)} images: each is missing "
            "in it or null; annotate some",
        )
    images = set(names)
    missing = [name for name in annotations.names if name not in images]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        advice = remedy(missing[0], names, images.symmetric_difference(files))
        named = folder / IMAGES / missing[0]
        if os.path.lexists(named) and not named.is_file():
            advice = "it is there, but is no file, or a link that leads nowhere: put the file there"
        raise BadData(
            "DatasetImageMissing",
            f"{annotation_set.source} annotates {missing[0]!r}{more}, and {IMAGES}/ has no such "
            f"image: {advice or 'add the image or remove the entry'}",
        )
    if unannotated := len(images) - len(annotations.names):
        log.warning(
            "%d of %d images are not annotated in %s and do not train its heads",
            unannotated, len(images), annotation_set.source,
        )  # fmt: skip
    return annotations
