"""Final models in the record: this job's own, and those that another job starts from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sihl_api.model import Initialization, InitializationFrom
from sihl_api.record import Manifest, RecordPaths
from sihl_api.runtime import STORE_SECRET
from sihl_api.status import ModelStatus
from sihl_trainer.errors import BadConfig
from sihl_trainer.record.folders import (
    TornFolderError,
    check_sizes,
    download_folder,
    read_manifest,
    upload_folder,
)
from sihl_trainer.record.store import MissingObjectError, Store

WEIGHTS = "model.safetensors"
_LISTED_JOBS = 10


def model_status(store: Store, paths: RecordPaths, manifest: Manifest) -> ModelStatus:
    """A final model as a job's status tells it."""
    return ModelStatus(
        uri=store.uri(paths.model.rstrip("/")), checksum=manifest.files[WEIGHTS].sha256
    )


def complete_model(store: Store, paths: RecordPaths) -> Manifest | None:
    """The manifest of the job's final model, if an earlier attempt wrote one and it is whole.

    The files are read to the end: success is claimed only of what its checksums hold for.
    """
    try:
        manifest = read_manifest(store, paths.model)
        check_sizes(store, paths.model, manifest)
        for name, entry in manifest.files.items():
            digest = hashlib.sha256()
            for chunk in store.read(paths.model + name):
                digest.update(chunk)
            if digest.hexdigest() != entry.sha256:
                return None
        return manifest if WEIGHTS in manifest.files else None
    except (MissingObjectError, TornFolderError):
        return None


def upload_model(store: Store, paths: RecordPaths, folder: Path) -> Manifest:
    """Upload the final model unless another attempt has completed the job: then that one stands.

    An attempt whose node was lost may come back, and end, after the one that took its place.

    Returns:
        The manifest of the model in the record.

    Raises:
        TornFolderError: the folder on this machine is not what its own manifest says.
    """
    return complete_model(store, paths) or upload_folder(store, folder, paths.model)


def download_initial(
    store: Store, paths: RecordPaths, initialization: Initialization, into: Path
) -> Path | None:
    """Bring the model that the job starts from; None where it starts from none in the store.

    Raises:
        BadConfig: there is no such model, or it is torn; names what there is instead.
    """
    if initialization.from_ is InitializationFrom.JOB:
        assert initialization.job is not None
        prefix = _newest_of_job(store, paths, initialization.job)
    elif initialization.from_ is InitializationFrom.URI:
        assert initialization.uri is not None
        prefix = _of_uri(store, initialization.uri)
    else:
        return None
    try:
        download_folder(store, prefix, into)
    except MissingObjectError:
        raise BadConfig(
            "InitialModelMissing",
            f"spec.model.initialization.uri: {store.uri(prefix)} holds no model: the folder of a "
            "job's final model has a manifest.json (see status.model.uri of the job)",
        ) from None
    except TornFolderError as torn:
        raise BadConfig(
            "InitialModelTorn", f"spec.model.initialization names a model that is damaged: {torn}"
        ) from None
    return into


def _newest_of_job(store: Store, paths: RecordPaths, job: str) -> str:
    """The folder of the newest final model of a job of this name in this project."""
    found: dict[str, tuple[str, str]] = {}
    for folder in store.folders(paths.project_root):
        prefix = f"{paths.project_root}{folder}/model/"
        name = folder.rpartition(".")[0]
        try:
            saved_at = read_manifest(store, prefix).saved_at
        except (MissingObjectError, TornFolderError):
            continue
        found[name] = max(found.get(name, ("", "")), (saved_at, prefix))
    if job not in found:
        newest = sorted(found, key=lambda name: found[name], reverse=True)
        known = ", ".join(newest[:_LISTED_JOBS]) or "none yet"
        raise BadConfig(
            "InitialModelMissing",
            f"spec.model.initialization.job: project {paths.project!r} has no finished job "
            f"{job!r}; jobs with a final model: {known}",
        )
    return found[job][1]


def _of_uri(store: Store, uri: str) -> str:
    key = store.key_of(uri)
    if key is None:
        raise BadConfig(
            "InitialModelElsewhere",
            f"spec.model.initialization.uri: {uri} is not in this job's store "
            f"({store.uri(store.prefix)}, Secret {STORE_SECRET}): copy the model's folder there",
        )
    return key.rstrip("/") + "/"
