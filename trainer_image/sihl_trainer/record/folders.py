"""A folder with a manifest, on its way into the store and back.

Checkpoints and models are such folders: some files, and `manifest.json`, which lists their sizes
and sha256 and is written last. A folder without manifest does not exist; one whose files do not
fit their manifest is torn, and nobody uses it.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from sihl_api.record import MANIFEST, Manifest
from sihl_trainer.record.store import MissingObjectError, Store


class TornFolderError(Exception):
    """A folder in the store that is not what its manifest says."""


def upload_folder(store: Store, folder: Path, prefix: str) -> Manifest:
    """Upload a folder's files and then, as the last one, its manifest.

    Raises:
        TornFolderError: the folder on this machine is not what its own manifest says.
    """
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except ValueError:
        raise TornFolderError(f"{folder / MANIFEST} is not a manifest") from None
    for name, entry in manifest.files.items():
        size = (folder / name).stat().st_size
        if size != entry.bytes:
            raise TornFolderError(
                f"{folder / name} has {size} bytes where its manifest says {entry.bytes}"
            )
        store.upload(prefix + name, folder / name)
    store.put(prefix + MANIFEST, (folder / MANIFEST).read_bytes())
    return manifest


def read_manifest(store: Store, prefix: str) -> Manifest:
    """The manifest of a folder in the store.

    Raises:
        MissingObjectError: no manifest, so no folder.
        TornFolderError: not a manifest of ours.
    """
    data = store.get(prefix + MANIFEST)
    try:
        manifest = Manifest.model_validate_json(data)
    except ValueError:
        raise TornFolderError(f"{store.uri(prefix + MANIFEST)} is not a manifest") from None
    for name in manifest.files:
        if name in ("", ".", "..", MANIFEST) or "/" in name or "\\" in name:
            raise TornFolderError(
                f"{store.uri(prefix + MANIFEST)} names a file {name!r} outside its folder"
            )
    return manifest


def check_sizes(store: Store, prefix: str, manifest: Manifest) -> None:
    """Compare sizes with the manifest's: finds a torn folder without reading it.

    Raises:
        TornFolderError: a file is missing or has another size.
    """
    sizes = {item.key: item.bytes for item in store.objects(prefix)}
    for name, entry in manifest.files.items():
        size = sizes.get(prefix + name)
        if size is None:
            raise TornFolderError(f"{store.uri(prefix + name)} is missing")
        if size != entry.bytes:
            raise TornFolderError(
                f"{store.uri(prefix + name)} has {size} bytes where its manifest says {entry.bytes}"
            )


def download_folder(store: Store, prefix: str, into: Path) -> Manifest:
    """Bring a folder here, its files checked while they arrive, its manifest written last.

    What was at `into` before is replaced; after an error nothing is left there.

    Raises:
        MissingObjectError: no manifest, so no folder.
        TornFolderError: a file is missing, or its size or sha256 is not the manifest's.
    """
    shutil.rmtree(into, ignore_errors=True)
    manifest = read_manifest(store, prefix)
    into.mkdir(parents=True)
    try:
        for name, entry in manifest.files.items():
            _download(store, prefix + name, into / name, entry.sha256)
        (into / MANIFEST).write_text(manifest.model_dump_json(by_alias=True))
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise
    return manifest


def _download(store: Store, key: str, path: Path, sha256: str) -> None:
    digest = hashlib.sha256()
    try:
        with path.open("wb") as file:
            for chunk in store.read(key):
                digest.update(chunk)
                file.write(chunk)
    except MissingObjectError:
        raise TornFolderError(f"{store.uri(key)} is missing") from None
    if digest.hexdigest() != sha256:
        raise TornFolderError(
            f"{store.uri(key)} has sha256 {digest.hexdigest()} where its manifest says {sha256}"
        )
