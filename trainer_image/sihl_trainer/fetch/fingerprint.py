"""What tells a split of a dataset from another: names, ETags, and what its annotations hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sihl_api.fingerprint import (
    MOST_COUNTED,
    AnnotationsFingerprint,
    Histogram,
    SplitFingerprint,
)
from sihl_trainer.dataset.feeds import Split
from sihl_trainer.dataset.metadata import IMAGES, METADATA_NAMES, AnnotationSet, read_metadata
from sihl_trainer.fetch.plan import PlannedFile


@dataclass(frozen=True)
class FileMark:
    """A file of a dataset, and what tells its content from another.

    Args:
        path: Relative to the dataset's folder.
        size: In bytes.
        etag: As the store lists it, without quotes: of most objects the MD5.
    """

    path: PurePosixPath
    size: int
    etag: str


def mark_of(file: PlannedFile) -> FileMark:
    """An object's, as it was listed."""
    return FileMark(file.path, file.remote.size, file.remote.etag.removeprefix("W/").strip('"'))


def marks_on_disk(split: Split) -> list[FileMark]:
    """Those of a split that was not fetched: what the ETags would be, were it put into a bucket.

    So it has the fingerprint of its copy in a bucket, but for objects that are put in parts.
    """
    paths = [split.folder / IMAGES / name for name in split.names]
    for found in _sets(split).values():
        source = split.folder / found.source
        if source.is_dir():
            paths += [path for path in source.iterdir() if path.is_file()]
    marks = []
    for path in paths:
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        relative = PurePosixPath(path.relative_to(split.folder).as_posix())
        marks.append(FileMark(relative, path.stat().st_size, md5))
    return marks


def fingerprint(split: Split, marks: Sequence[FileMark]) -> SplitFingerprint:
    """A split's, once all of it is there and checked.

    Args:
        split: As it was checked, so that annotations in files were read too.
        marks: Of its images, and of annotations that are a folder of files.
    """
    images = [mark for mark in marks if mark.path.parent == PurePosixPath(IMAGES)]
    names = [name for name in METADATA_NAMES if (split.folder / name).is_file()]
    sets = _sets(split)
    return SplitFingerprint(
        images=len(images),
        bytes=sum(mark.size for mark in images),
        objects=_digest(images),
        metadata=_content(split.folder / names[0]) if sets and names else None,
        annotations={name: _annotations(split, sets[name], marks) for name in sorted(sets)},
    )


def _sets(split: Split) -> dict[str, AnnotationSet]:
    """The annotation sets that feed a head; self-supervised ones have none."""
    if all(feed.self_supervised for feed in split.feeds.values()):
        return {}
    known = read_metadata(split.folder).sets
    return {name: known[name] for name in split.sets if name in known}


def _annotations(
    split: Split, found: AnnotationSet, marks: Sequence[FileMark]
) -> AnnotationsFingerprint:
    annotations = split.sets[found.name]
    # A validation set's indices are those of the training set: its feed knows, its metadata not.
    info = next(feed.info for feed in split.feeds.values() if feed.annotations is annotations)
    source = split.folder / found.source
    inside = [mark for mark in marks if mark.path.parent == found.source]
    contents = annotations.contents(info)
    counts = contents if isinstance(contents, dict) else None
    most = dict(sorted(counts.items(), key=lambda each: -each[1])[:MOST_COUNTED]) if counts else {}
    return AnnotationsFingerprint(
        digest=_digest(inside) if source.is_dir() else _content(source),
        task=found.task.value,
        images=len(annotations.names),
        counts=None if counts is None else most,
        others=sum((counts or {}).values()) - sum(most.values()),
        histogram=contents if isinstance(contents, Histogram) else None,
    )


def _digest(marks: Iterable[FileMark]) -> str:
    """sha256 over sorted names and ETags; over sizes where a store lists no ETags."""
    lines = sorted(f"{mark.path.name}\0{mark.etag or mark.size}\n" for mark in marks)
    return hashlib.sha256("".join(lines).encode(errors="surrogatepass")).hexdigest()


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
