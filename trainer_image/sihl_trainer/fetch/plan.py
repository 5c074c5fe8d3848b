"""What a fetch will bring, and whether there is room for it. Pure: no store, no disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from sihl_api.units import human_bytes, quantity
from sihl_trainer.data.misnamed import likely_told
from sihl_trainer.data.misplaced import images_told
from sihl_trainer.data.names import IMAGE_SUFFIXES, fault_in_name, is_hidden, is_image
from sihl_trainer.dataset.metadata import IMAGES, metadata_name
from sihl_trainer.errors import BadConfig, BadData, DiskFull
from sihl_trainer.fetch.bucket import Listing, RemoteObject

_BLOCK = 4096
"""What a file takes on disk is a multiple of this, on all usual file systems."""


@dataclass(frozen=True)
class PlannedFile:
    """An object, and where it goes below the dataset's folder."""

    remote: RemoteObject
    path: PurePosixPath


@dataclass(frozen=True)
class Room:
    """What there is to put the files on, in bytes.

    Args:
        limit: `runner.datasetSize`.
        used: What other files of the dataset's volume take: the other split's.
        present: What of these files is there already, from before the container restarted.
        free: What the disk has left.
        disk: What it has in all.
    """

    limit: str
    used: int
    present: int
    free: int
    disk: int


def plan_metadata(top: Listing, place: str, limit: int) -> PlannedFile:
    """The metadata among what lies directly in the dataset's folder.

    Raises:
        BadData: None, more than one, or one of more than `limit` bytes.
    """
    if not top.objects and not top.folders:
        raise BadData(
            "DatasetEmpty",
            f"there is nothing in {place}: upload the dataset there, or correct its prefix",
        )
    name = metadata_name(top.objects, place, top.folders)
    if top.objects[name].size > limit:
        raise BadData(
            "DatasetFileTooLarge",
            f"{place}{name} has {human_bytes(top.objects[name].size)}; at most "
            f"{human_bytes(limit)} are read: move annotations to a file of their own",
        )
    return _planned(top.objects[name], PurePosixPath(), name)


def plan_images(listing: Listing, place: str, beside: Iterable[str] = ()) -> list[PlannedFile]:
    """The images among what lies directly in images/, by name.

    Args:
        listing: Of images/.
        place: The dataset's, for messages.
        beside: Files and folders in the dataset's.

    Raises:
        BadData: None at all, or a name that no file here can have.
    """
    for name in listing.folders:
        if name in ("", ".", ".."):
            raise _unwritable(f"{place}{IMAGES}/{name}/", f"{name!r} is no folder's name")
    images = {name: remote for name, remote in listing.objects.items() if is_image(name)}
    if not images:
        others = images_told(listing.objects, listing.folders, beside)
        raise BadData(
            "DatasetEmpty",
            f"no images directly in {place}{IMAGES}/: "
            + (f"{others}; " if others else "")
            + f"add some ({', '.join(IMAGE_SUFFIXES)}), or correct the dataset's prefix",
        )
    return [
        _planned(remote, PurePosixPath(IMAGES), name) for name, remote in sorted(images.items())
    ]


def plan_annotations(
    source: PurePosixPath, beside: Listing, inside: Listing, place: str
) -> list[PlannedFile]:
    """The file that an annotation set's source names, or the files of the folder.

    Args:
        source: Relative to the dataset.
        beside: What lies in the folder that the source lies in.
        inside: What lies in the folder that the source is, if it is one.
        place: The dataset's, for the message.

    Raises:
        BadData: There is neither.
    """
    if source.name in beside.objects:
        return [_planned(beside.objects[source.name], source.parent, source.name)]
    if inside.objects:
        return [
            _planned(remote, source, name)
            for name, remote in sorted(inside.objects.items())
            if not is_hidden(name)
        ]
    raise BadData(
        "DatasetAnnotationsMissing",
        f"the metadata names {source} as annotations, but {place} has no such file or folder: "
        "upload it, or correct `annotations` in the metadata"
        + likely_told(source.name, [*beside.objects, *beside.folders]),
    )


def bytes_on_disk(sizes: Iterable[int]) -> int:
    """What files of these sizes take, whole blocks each."""
    return sum(-(-size // _BLOCK) * _BLOCK for size in sizes)


def check_room(files: Iterable[PlannedFile], room: Room, split: str) -> None:
    """Whether the files fit, before the first of them is fetched.

    Raises:
        BadConfig: More than `runner.datasetSize`, or than the disk has when it is empty.
        DiskFull: More than the disk has now. Both name both numbers.
    """
    sizes = [file.remote.size for file in files]
    need = bytes_on_disk(sizes)
    text = f"the {split} dataset takes {human_bytes(need)} on disk ({len(sizes):,} files)"
    if room.used + need > quantity(room.limit):
        beside = f", beside the {human_bytes(room.used)} already there," if room.used else ","
        enough = -(-(room.used + need) * 11 // 10 // _unit(room.used + need)[1])
        raise BadConfig(
            "DatasetTooLarge",
            f"{text}{beside} more than runner.datasetSize allows, {room.limit}: set "
            f"runner.datasetSize to {enough}{_unit(room.used + need)[0]} or more",
        )
    if need - room.present > room.free:
        text = (
            f"{text}, but the node's disk has only {human_bytes(room.free + room.present)} for "
            "it: free some, or choose nodes with larger disks by runner.nodeSelector"
        )
        if need > room.disk:
            raise BadConfig("DatasetTooLarge", text)
        raise DiskFull("DiskFull", text)


def _unit(size: int) -> tuple[str, int]:
    return ("Gi", 2**30) if size >= 2**30 else ("Mi", 2**20)


def _planned(remote: RemoteObject, folder: PurePosixPath, name: str) -> PlannedFile:
    if fault := fault_in_name(name):
        raise _unwritable(remote.key, fault)
    return PlannedFile(remote, folder / name)


def _unwritable(key: str, why: str) -> BadData:
    return BadData(
        "DatasetKeyInvalid", f"object {key!r} cannot become a file: {why}. Rename or remove it"
    )
