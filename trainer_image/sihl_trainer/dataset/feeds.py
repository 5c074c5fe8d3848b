"""From a dataset's folder to what feeds each head of a job."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sihl_api.trainingjob import Head
from sihl_trainer.data.names import IMAGE_SUFFIXES, is_image
from sihl_trainer.dataset.metadata import IMAGES, AnnotationSet, Metadata, read_metadata
from sihl_trainer.errors import BadConfig, BadData
from sihl_trainer.tasks.annotations import Annotations
from sihl_trainer.tasks.conversions import Conversion, conversion
from sihl_trainer.tasks.rooms import format_of
from sihl_trainer.tasks.target import HeadInfo, Target

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Feed:
    """Where a head's targets come from: an annotation set, and the way to the head's task."""

    annotations: Annotations
    info: HeadInfo
    conversion: Conversion

    def target(self, name: str) -> Target | None:
        """What an image means for the head, in the image's own pixels; None: not annotated."""
        target = self.annotations.target(name)
        return None if target is None else self.conversion.target(self.info, target)


@dataclass(frozen=True)
class Split:
    """One folder of a dataset, read for a job's heads.

    Args:
        folder: The dataset's.
        names: Its images, sorted.
        annotated: Those that are annotated for at least one head, sorted.
        sets: The annotations that feed the heads, by set name.
        feeds: By head name.
        head_info: By head name.
    """

    folder: Path
    names: list[str]
    annotated: list[str]
    sets: dict[str, Annotations]
    feeds: dict[str, Feed]
    head_info: dict[str, HeadInfo]


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
        names: Of its images, where these have yet to be fetched; else they are looked up.

    Raises:
        BadData: What the folder holds is at odds with the format; names file, entry and remedy.
        BadConfig: A head asks for annotations that the dataset does not have.
    """
    metadata = read_metadata(folder)
    chosen = {head.name: choose_set(head, metadata) for head in heads}
    infos = {
        name: _as_trained(found, (train_feeds or {}).get(name), metadata.file)
        for name, found in chosen.items()
    }
    names = image_names(folder) if names is None else sorted(names)
    sets: dict[str, Annotations] = {}
    feeds = {}
    for head in heads:
        found = chosen[head.name]
        if found.name not in sets:
            sets[found.name] = _read_set(folder, found, infos[head.name], names)
        feeds[head.name] = Feed(sets[found.name], infos[head.name], find_conversion(head, found))
    annotated = sorted(set().union(*(annotations.names for annotations in sets.values())))
    info = {name: feed.conversion.info(feed.info) for name, feed in feeds.items()}
    return Split(folder, list(names), annotated, sets, feeds, info)


def choose_set(head: Head, metadata: Metadata) -> AnnotationSet:
    """The annotation set that a head learns from.

    Raises:
        BadConfig: No such set, more than one to choose from, or none that can become the task's.
    """
    sets = metadata.sets
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
    return sets[name]


def find_conversion(head: Head, annotation_set: AnnotationSet) -> Conversion:
    """The way from an annotation set to a head's task.

    Raises:
        BadConfig: There is none.
    """
    found = conversion(annotation_set.task, head.task)
    if found is None:
        raise BadConfig(
            "AnnotationsUnsuitable",
            f"head {head.name!r} learns {head.task.words}, but annotations {annotation_set.name!r} "
            f"are for {annotation_set.task.words} and cannot be converted to it: change the "
            "head's task or its annotations",
        )
    return found


def image_names(folder: Path) -> list[str]:
    """The images of a dataset's folder, sorted.

    Raises:
        BadData: There are none.
    """
    images = folder / IMAGES
    names = [path.name for path in images.iterdir()] if images.is_dir() else []
    if found := sorted(filter(is_image, names)):
        return found
    raise BadData(
        "DatasetEmpty",
        f"no images in {images}: add some ({', '.join(IMAGE_SUFFIXES)}), directly in it",
    )


def _as_trained(found: AnnotationSet, trained: Feed | None, file: str) -> HeadInfo:
    if trained is None:
        return found.info
    unknown = [name for name in found.info.categories if name not in trained.info.categories]
    if unknown:
        raise BadData(
            "DatasetMetadataInvalid",
            f"the validation dataset's {file} lists categories that the training dataset's does "
            f"not: {', '.join(unknown[:20])}; add them there, or take them out",
        )
    return trained.info


def _read_set(
    folder: Path, annotation_set: AnnotationSet, info: HeadInfo, names: Sequence[str]
) -> Annotations:
    annotations = format_of(annotation_set.task).read(folder / annotation_set.source, info)
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
        raise BadData(
            "DatasetImageMissing",
            f"{annotation_set.source} annotates {missing[0]!r}{more}, which {IMAGES}/ does not "
            "have: add the image or remove the entry",
        )
    if unannotated := len(images) - len(annotations.names):
        log.warning(
            "%d of %d images are not annotated in %s and do not train its heads",
            unannotated, len(images), annotation_set.source,
        )  # fmt: skip
    return annotations
