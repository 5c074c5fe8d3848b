"""`sihl-trainer fetch train|validation`: the pod's init containers."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sihl_api.dataset import S3Location
from sihl_api.model import Head
from sihl_api.record import RecordPaths
from sihl_api.runtime import DATASET_DIRECTORY, HTTP_PORT, Env, ExitCode, JobReference, Result
from sihl_api.times import now
from sihl_api.trainingjob import TrainingJobSpec
from sihl_api.units import human_bytes
from sihl_s3.access import Identity, Keys
from sihl_trainer.data.documents import METADATA_LIMIT
from sihl_trainer.data.names import TRAIN, VALIDATION
from sihl_trainer.dataset.feeds import choose_set, needs_metadata
from sihl_trainer.dataset.metadata import IMAGES, METADATA_NAMES, read_metadata
from sihl_trainer.environment import attempt_of, job_of
from sihl_trainer.errors import BadConfig, BadData, TrainerError
from sihl_trainer.fetch.bucket import Bucket, Listing
from sihl_trainer.fetch.check import check_whole, open_to_check
from sihl_trainer.fetch.download import download, is_complete
from sihl_trainer.fetch.fetched import train_of, write_fetched
from sihl_trainer.fetch.fingerprint import mark_of
from sihl_trainer.fetch.location import keys_from_environment
from sihl_trainer.fetch.plan import (
    PlannedFile,
    Room,
    bytes_on_disk,
    check_room,
    plan_annotations,
    plan_images,
    plan_metadata,
)
from sihl_trainer.fetch.progress import FetchProgress, ProgressLog
from sihl_trainer.fetch.reach import PATIENCE
from sihl_trainer.http import ProgressServer
from sihl_trainer.identity import tell_whose
from sihl_trainer.record.reach import REACH_PATIENCE, reach_record
from sihl_trainer.record.s3 import S3Settings, S3Store
from sihl_trainer.secretfiles import dataset_keys, store_keys
from sihl_trainer.signals import StopSignals
from sihl_trainer.spans import fetch_traced
from sihl_trainer.termination import write_result

log = logging.getLogger(__name__)


def fetch_main(
    split: str,
    root: Path = Path(DATASET_DIRECTORY),
    port: int = HTTP_PORT,
    patience: float = PATIENCE,
    signals: StopSignals | None = None,
) -> int:
    """Fetch and check one split as the container's environment says; returns the exit code.

    Whatever ends it leaves a `Result` in the termination log.
    """
    (signals or StopSignals()).hand_to(_stopped)
    progress = FetchProgress(split)
    try:
        job = job_of(os.environ)
        tell_whose(progress.registry, job, os.environ.get(Env.ATTEMPT, ""))
        server = ProgressServer(progress.report, progress.registry, port)
        with server, fetch_traced(os.environ, job, split):
            if split == TRAIN and Env.store("endpoint") in os.environ:
                _reach_record(job, patience)
            warnings = fetch_split(job.spec, split, root, os.environ, progress, patience)
    except TrainerError as error:
        log.error("%s", error)
        write_result(error.result)
        return int(error.exit_code)
    except Exception as error:
        log.exception("The fetch failed unexpectedly")
        text = (
            f"the fetch of the {split} dataset failed unexpectedly ({type(error).__name__}: "
            f"{error}): report it, with the log of container fetch-{split}"
        )
        write_result(Result(reason="FetchCrashed", message=text))
        return int(ExitCode.CRASHED)
    write_result(Result(reason="DatasetFetched", message=progress.line(), warnings=warnings))
    return int(ExitCode.SUCCEEDED)


def _reach_record(job: JobReference, patience: float) -> None:
    """Raises Refused, Unavailable."""
    settings = S3Settings.from_environment(store_keys(os.environ))
    store = S3Store(settings, attempts=1, timeout=REACH_PATIENCE)
    paths = RecordPaths(store.prefix, job.namespace, job.spec.project, job.name, job.uid)
    reach_record(store, paths, attempt_of(os.environ), min(patience, REACH_PATIENCE))


def fetch_split(
    spec: TrainingJobSpec,
    split: str,
    root: Path,
    environ: Mapping[str, str],
    progress: FetchProgress | None = None,
    patience: float = PATIENCE,
) -> list[str]:
    """Bring one split into root/<split> and check all of it.

    In this order: metadata, what it names and whether it can feed the job's heads, sizes against
    the room there is, annotations against the images' names, the images, each image decoded and
    its annotations against its size, the job's settings against all sizes. Each step is refused
    before the next one costs anything. A store that is away is waited for, `patience` seconds a
    request. In the end word is left of what was fetched, for the record.

    Returns:
        What a person is to know of it, a sentence each.

    Raises:
        BadConfig: The job is at fault.
        Refused: The Secret that it names is, or what its keys may do.
        BadData: The dataset is.
        DiskFull: The node's disk has no room for it now.
        Unavailable: The store is away.
        Changed: The dataset changed meanwhile.
    """
    started_at = now()
    location = _location(spec, split)
    progress = progress or FetchProgress(split)

    def keys() -> Keys | Identity | None:
        return keys_from_environment(location, dataset_keys(environ))

    bucket = Bucket(location, keys(), patience, renewed=keys)
    folder = root / split
    place = f"s3://{location.bucket}/{bucket.prefix}"

    planned = _planned(bucket, folder, spec.model.heads, place)
    files = [*planned.told, *planned.images]
    check_room(files, _room(spec, root, folder, files), split)
    total = sum(file.remote.size for file in files)
    progress.fetching(total, sum(file.remote.size for file in files if is_complete(folder, file)))
    log.info("Fetching %s from %s: %s in %d files", split, place, human_bytes(total), len(files))
    with ProgressLog(progress):
        download(bucket, folder, planned.told, progress.advance)
        opened = open_to_check(spec, split, root, planned.names)
        download(bucket, folder, planned.images, progress.advance)
    with ProgressLog(progress):
        found, warnings = check_whole(
            spec, split, opened, progress, train_of(root), lambda: [mark_of(file) for file in files]
        )
    write_fetched(root, split, started_at, found, warnings, opened.fullest())
    return warnings


@dataclass(frozen=True)
class _Planned:
    """What is to be fetched of a split.

    Attributes:
        told: Metadata and annotations.
        images: The images.
        names: Of all that lies beside the images, too.
    """

    told: list[PlannedFile]
    images: list[PlannedFile]
    names: list[str]


def _planned(bucket: Bucket, folder: Path, heads: Sequence[Head], place: str) -> _Planned:
    """By listings and by the metadata, which are brought here for that.

    What an earlier run has left and the dataset no longer has is removed.
    """
    top = bucket.list()
    _refuse_empty(bucket, top, place)
    told: list[PlannedFile] = []
    if needs_metadata(heads):
        told = [plan_metadata(top, place, METADATA_LIMIT)]
        _remove_stale(folder, METADATA_NAMES, told)
        download(bucket, folder, told, lambda _: None)
        told += _plan_annotations(bucket, folder, heads, place)
    inside = bucket.list(f"{IMAGES}/")
    images = plan_images(inside, place, [*top.objects, *top.folders])
    _remove_stale(folder / IMAGES, None, images)
    return _Planned(told, images, list(inside.objects))


def _refuse_empty(bucket: Bucket, top: Listing, place: str) -> None:
    """Where nothing is, and something is where a prefix that was meant would lead.

    Raises:
        BadData: It says where.
    """
    if top.objects or set(top.folders) - {""} or (other := bucket.elsewhere(top)) is None:
        return
    other = f"s3://{bucket.location.bucket}/{other}"
    if "//" in other.removeprefix("s3://"):
        text = f"there is something in {other}: keys with a slash at their beginning, or with two "
        text += "in a row, are not read; copy them to keys without"
    else:
        prefix = other.removeprefix(f"s3://{bucket.location.bucket}/")
        text = f"there is something in {other}: correct the dataset's prefix to {prefix}"
    raise BadData("DatasetEmpty", f"there is nothing in {place}, but {text}")


def _plan_annotations(
    bucket: Bucket, folder: Path, heads: Sequence[Head], place: str
) -> list[PlannedFile]:
    metadata = read_metadata(folder)
    planned = {}
    chosen = [choose_set(head, metadata) for head in heads]
    for source in {found.source for found in chosen if found is not None}:
        parent = "".join(f"{part}/" for part in source.parent.parts)
        beside, inside = bucket.list(parent), bucket.list(f"{source}/")
        files = plan_annotations(source, beside, inside, place)
        if source.name not in beside.objects:
            _remove_stale(folder / source, None, files)
        planned.update({file.path: file for file in files})
    return [planned[path] for path in sorted(planned)]


def _room(spec: TrainingJobSpec, root: Path, folder: Path, files: Sequence[PlannedFile]) -> Room:
    present = bytes_on_disk(file.remote.size for file in files if is_complete(folder, file))
    everything = sum(path.stat().st_blocks * 512 for path in root.rglob("*") if path.is_file())
    disk = os.statvfs(root)
    return Room(
        limit=spec.runner.dataset_size,
        used=max(0, everything - present),
        present=present,
        free=disk.f_bavail * disk.f_frsize,
        disk=disk.f_blocks * disk.f_frsize,
    )


def _remove_stale(
    folder: Path, names: Sequence[str] | None, planned: Sequence[PlannedFile]
) -> None:
    """Remove what an earlier run of this container left and the dataset no longer has."""
    wanted = {file.path.name for file in planned}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in wanted and (names is None or path.name in names):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _location(spec: TrainingJobSpec, split: str) -> S3Location:
    location = {TRAIN: spec.dataset.train, VALIDATION: spec.dataset.validation}.get(split)
    if location is None:
        raise BadConfig(
            "DatasetSplitUnknown", f"the job has no {split} dataset: give spec.dataset.{split}"
        )
    return location


def _stopped(_: int) -> None:
    """End at once: the dataset's folder goes with the pod, and there is no checkpoint to save."""
    log.warning("Stopped while the dataset was fetched")
    write_result(
        Result(reason="StoppedWhileFetching", message="stopped while the dataset was fetched")
    )
    os._exit(int(ExitCode.STOPPED_WITHOUT_CHECKPOINT))
