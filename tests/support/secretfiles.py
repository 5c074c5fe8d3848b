"""A Secret's keys as the kubelet mounts them: links through a folder, which it swaps at once."""

from __future__ import annotations

import itertools
from pathlib import Path

_VERSIONS = itertools.count()


def mount(folder: Path, **keys: str) -> Path:
    """The Secret as it is now, in place of what it was; returns the folder."""
    folder.mkdir(exist_ok=True)
    version = folder / f"..{next(_VERSIONS)}"
    version.mkdir()
    for key, text in keys.items():
        (version / key).write_text(text)
        if not (folder / key).is_symlink():
            (folder / key).symlink_to(f"..data/{key}")
    (folder / "..new").symlink_to(version.name)
    (folder / "..new").rename(folder / "..data")
    return folder
