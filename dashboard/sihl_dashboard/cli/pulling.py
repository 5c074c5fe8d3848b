"""A job's final model, held to the checksums of its manifest."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from sihl_api.record import MANIFEST, FileEntry, Manifest
from sihl_api.units import human_bytes
from sihl_dashboard.cli.errors import CommandError
from sihl_dashboard.cli.terminal import bar, shown
from sihl_dashboard.records import JobRef, MissingError, Place

_CHUNK = 8 << 20


def pull(
    place: Place,
    ref: JobRef,
    folder: Path,
    progress: Callable[[str], None],
    lacks: Callable[[], str],
) -> Manifest:
    """Fetch the model into a new folder, whole or not at all.

    Args:
        place: The store.
        ref: Whose model.
        folder: Must not exist yet.
        progress: Told how far it is.
        lacks: Says why there is none, where there is none.

    Raises:
        CommandError: there is no model, the folder is taken or cannot be written, or what came
            is not what the manifest says.
    """
    if folder.exists():
        raise CommandError(f"{shown(folder)} exists already: choose another by --to")
    root = ref.paths(place.prefix).model
    manifest = _manifest(place, root, ref, lacks)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise CommandError(f"{shown(folder)} cannot be made: {error.strerror}") from None
    try:
        done, total = 0, sum(entry.bytes for entry in manifest.files.values())
        for name, entry in manifest.files.items():
            _fetch(place, root + name, entry, partial / name, lambda here, done=done: progress(  # type: ignore[misc]
                bar((done + here) / max(total, 1),
                    f"{human_bytes(done + here)} of {human_bytes(total)}")
            ))  # fmt: skip
            done += entry.bytes
        (partial / MANIFEST).write_text(manifest.model_dump_json(by_alias=True))
        partial.chmod(0o755)
        os.rename(partial, folder)  # noqa: PTH104 (as one step, and it refuses a folder with files)
    except OSError as error:
        raise CommandError(f"{shown(folder)} cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _manifest(place: Place, root: str, ref: JobRef, lacks: Callable[[], str]) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(place.get(root + MANIFEST).data)
    except MissingError:
        raise CommandError(f"{ref.job} has no model: {lacks()}") from None
    except ValidationError:
        raise CommandError(f"{shown(root)}{MANIFEST} is none that this release reads") from None
    for name in manifest.files:
        if name in ("", ".", "..", MANIFEST) or "/" in name or "\\" in name or "\0" in name:
            raise CommandError(f"{shown(root)}{MANIFEST} names a file {shown(name)}: refused")
    return manifest


def _fetch(
    place: Place, key: str, entry: FileEntry, file: Path, progress: Callable[[int], None]
) -> None:
    digest = hashlib.sha256()
    here = 0
    with file.open("wb") as out:
        while here < entry.bytes:
            data = place.part(key, here, min(here + _CHUNK, entry.bytes))
            if not data:
                break
            digest.update(data)
            out.write(data)
            here += len(data)
            progress(here)
    if here != entry.bytes or digest.hexdigest() != entry.sha256:
        raise CommandError(
            f"{shown(key)} is not what its manifest says (checksum, or {here} of {entry.bytes} "
            "bytes): nothing was kept; pull again, and if it stays so, train again"
        )
