"""A dataset where it lies: a few requests to see whether a job could begin with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sihl_api.model import Head
from sihl_api.units import human_bytes
from sihl_dashboard.cli.findings import Finding, mend, ok
from sihl_dashboard.cli.metadata import (
    LIMIT,
    NAMES,
    AnnotationSet,
    MetadataError,
    fed,
    needs_metadata,
    read_sets,
)
from sihl_dashboard.records import S3Place

IMAGES = "images"
_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
_PAGE = 1000


def first_look(place: S3Place, split: str, heads: Sequence[Head]) -> Iterator[Finding]:
    """The bucket, the images, the metadata, the annotations' files, and what feeds each head.

    Args:
        place: The dataset's bucket, its prefix the dataset's folder.
        split: train or validation.
        heads: The job's.

    Raises:
        RecordsError: the bucket cannot be reached, or read with these keys.
    """
    root = f"{place.prefix}/" if place.prefix else ""
    if not place.first(root):
        yield mend(
            f"{split}: bucket",
            f"there is nothing in {place.name} below {root or '/'}: upload the dataset there, or "
            "correct its prefix",
        )
        return
    yield ok(f"{split}: bucket", f"{place.name} answers, and lets these keys list {root or '/'}")
    yield _images(place, root, split)
    if not needs_metadata(heads):
        yield from fed(heads, {}, split)
        return
    found, sets = _metadata(place, root, split)
    yield found
    if sets is not None:
        yield from _sources(place, root, split, heads, sets)
        yield from fed(heads, sets, split)


def _images(place: S3Place, root: str, split: str) -> Finding:
    what, folder = f"{split}: {IMAGES}/", f"{root}{IMAGES}/"
    items = place.first(folder)
    names = [item.key.removeprefix(folder) for item in items]
    images = [name for name in names if "/" not in name and name.lower().endswith(_SUFFIXES)]
    if not images:
        return mend(
            what,
            f"no images directly in {folder}: add some ({', '.join(_SUFFIXES)}), or correct the "
            "dataset's prefix",
        )
    more = " or more" if len(items) >= _PAGE else ""
    return ok(what, f"{len(images):,} images{more}")


def _metadata(
    place: S3Place, root: str, split: str
) -> tuple[Finding, Mapping[str, AnnotationSet] | None]:
    """What it says; None where it cannot be read."""
    beside = {item.key.removeprefix(root): item for item in place.first(f"{root}metadata.")}
    names = [name for name in NAMES if name in beside]
    if len(names) != 1:
        text = f"keep one of {' and '.join(names)}" if names else f"add one of {', '.join(NAMES)}"
        return mend(f"{split}: metadata", f"{root or '/'}: {text}, next to {IMAGES}/"), None
    (name,) = names
    what = f"{split}: {name}"
    if beside[name].bytes > LIMIT:
        return mend(
            what,
            f"has {human_bytes(beside[name].bytes)}; at most {human_bytes(LIMIT)} are read: move "
            "annotations to a file of their own",
        ), None
    try:
        sets = read_sets(place.get(f"{root}{name}").data, name)
    except MetadataError as error:
        return mend(what, str(error)), None
    told = ", ".join(f"{each.name!r} ({each.task.words})" for each in list(sets.values())[:20])
    return ok(what, f"annotations {told}"), sets


def _sources(
    place: S3Place, root: str, split: str, heads: Sequence[Head],
    sets: Mapping[str, AnnotationSet],
) -> Iterator[Finding]:  # fmt: skip
    """The files or folders of the annotations that heads are fed with."""
    wanted = {head.annotations for head in heads}
    for each in sets.values():
        if each.source is None or not (each.name in wanted or None in wanted):
            continue
        key = f"{root}{each.source}"
        items = place.first(key)
        if not any(item.key == key or item.key.startswith(f"{key}/") for item in items):
            yield mend(
                f"{split}: {each.source}",
                "the metadata names it as annotations, and there is no such file or folder: "
                "upload it, or correct `annotations` in the metadata",
            )
        else:
            yield ok(f"{split}: {each.source}", "is there")
