"""Names in a dataset: its folders, which files may be written to disk, and which are images."""

from __future__ import annotations

import unicodedata

TRAIN = "train"
VALIDATION = "validation"
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
MAX_NAME_BYTES = 240
"""Linux allows 255; the rest is for the suffix of a file that is not yet whole."""
_UNWRITABLE = ("Cc", "Cs", "Zl", "Zp")  # controls, lone surrogates, separators of lines


def is_hidden(name: str) -> bool:
    """Whether a file is nobody's: systems leave `.DS_Store`, `._000.jpg` and the like behind."""
    return name.startswith(".") and name not in (".", "..") and "/" not in name


def is_image(name: str) -> bool:
    """Whether a name's suffix is that of a format that is read."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not is_hidden(name)


def fault_in_name(name: str) -> str | None:
    """Why a name from elsewhere cannot be a single file's name here, or None where it can."""
    if name in ("", ".", ".."):
        return f"{name!r} is no name"
    if "/" in name:
        return f"{name!r} has a slash"
    if any(unicodedata.category(character) in _UNWRITABLE for character in name):
        return f"{name!r} has a control character"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"{name[:40]!r}... is longer than {MAX_NAME_BYTES} bytes"
    return None
