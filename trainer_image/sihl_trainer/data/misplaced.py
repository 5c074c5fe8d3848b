"""Parts of a dataset that are there, but not where they belong: what to move or rename."""

from __future__ import annotations

from collections.abc import Iterable

from sihl_trainer.data.kinds import others_told
from sihl_trainer.data.names import is_image

_ALIKE = frozenset(("image", "images", "img", "imgs", "jpegimages"))
_SHOWN = 4


def images_told(files: Iterable[str], folders: Iterable[str], beside: Iterable[str]) -> str:
    """What there is in the place of a dataset's images, and what to do about it; may be empty.

    Args:
        files: In images/, none of which is an image.
        folders: In images/.
        beside: Files and folders beside it, itself included.
    """
    if told := others_told(files):
        return told
    if folders := sorted(folders):
        return f"there are folders in it ({_listed(folders)}): move the images out of these"
    beside = set(beside)
    alike = sorted(each for each in beside - {"images"} if each.lower() in _ALIKE)
    if alike:
        return f"there is {alike[0]}/ beside it: rename that to images/"
    if found := sorted(filter(is_image, beside)):
        return f"there is {found[0]!r} beside it: move the images into images/"
    return ""


def metadata_told(known: Iterable[str], files: Iterable[str], folders: Iterable[str]) -> str:
    """What there is in the place of a dataset's metadata, and what to do about it; may be empty.

    Args:
        known: What metadata may be called.
        files: In the dataset's folder.
        folders: In it.
    """
    known, files, folders = list(known), sorted(files), sorted(folders)
    for file in files:
        if file.lower() in known:
            return f"{file!r} is there: rename it to {file.lower()}"
        if file.lower().rpartition(".")[0] == "metadata":
            return f"{file!r} is there: write it as {known[0]}"
    if "images" not in folders and "train" in folders:
        return "train/ is there: name that folder, which has them"
    found = [*files, *(f"{folder}/" for folder in folders if folder)]
    return f"there is {_listed(found)}" if found else ""


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
