"""The dataset of a job that runs on this machine: fetched, or already there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError

from sihl_api.dataset import S3Location
from sihl_api.runtime import DATASET_KEYS, DATASET_OPTIONAL_KEYS, Env
from sihl_api.times import now
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.data.names import TRAIN, VALIDATION
from sihl_trainer.dataset.metadata import IMAGES
from sihl_trainer.errors import BadConfig
from sihl_trainer.fetch.check import check_whole, open_to_check
from sihl_trainer.fetch.fetched import train_of, write_fetched
from sihl_trainer.fetch.fingerprint import marks_on_disk
from sihl_trainer.fetch.main import fetch_split
from sihl_trainer.fetch.progress import FetchProgress
from sihl_trainer.terminal import ProgressLine


def local_dataset(
    spec: TrainingJobSpec,
    given: Path | None,
    into: Path,
    environ: Mapping[str, str],
    line: ProgressLine,
) -> Path:
    """The folder with the dataset's splits, fetched if need be, and checked.

    Args:
        spec: The job's.
        given: A folder that has the splits already; it is checked and left as it is.
        into: Where they are fetched to otherwise, and where word is left of them.
        environ: May hold the keys.
        line: Shows the progress.

    Raises:
        BadConfig: The job is at fault, or no keys are found.
        Refused: Its keys are at fault.
        BadData: The dataset is.
        Unavailable: The store is away.
    """
    into.mkdir(parents=True, exist_ok=True)
    if given is not None:
        _check_given(given, spec)
    for split in (TRAIN, VALIDATION):
        location: S3Location | None = getattr(spec.dataset, split)
        if location is None:
            continue
        progress = FetchProgress(split)
        with line.watching(progress.report):
            if given is not None:
                # What is there already is held to the same as what is fetched.
                started_at = now()
                opened = open_to_check(spec, split, given)
                found, warnings = check_whole(
                    spec, split, opened, progress, train_of(into), partial(marks_on_disk, opened)
                )
                write_fetched(into, split, started_at, found, warnings, opened.fullest())
            else:
                fetch_split(spec, split, into, _with_keys(location, environ), progress)
    return given or into


def _check_given(folder: Path, spec: TrainingJobSpec) -> None:
    wanted = [TRAIN, VALIDATION] if spec.dataset.validation else [TRAIN]
    missing = [split for split in wanted if not (folder / split).is_dir()]
    if not missing:
        return
    hint = "give the folder that has them"
    if (folder / IMAGES).is_dir() and TRAIN in missing:
        hint = f"move what it has into {folder / TRAIN}, or give a folder that has it as {TRAIN}/"
    raise BadConfig(
        "DatasetFolderIncomplete",
        f"--dataset takes a folder with {' and '.join(f'{split}/' for split in wanted)}, and "
        f"{folder} has no {' and no '.join(f'{split}/' for split in missing)}: {hint}",
    )


def _with_keys(location: S3Location, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment with the dataset's keys, from where AWS's tools find them if need be."""
    names = {key: Env.dataset(key) for key in DATASET_KEYS}
    needed = [name for key, name in names.items() if key not in DATASET_OPTIONAL_KEYS]
    if location.credentials is None or all(environ.get(name) for name in needed):
        return environ
    remedy = f"set {' and '.join(needed)}, or mend what AWS's tools are to find"
    try:
        # Asked for whole: a profile may have to fetch a key first, and fail.
        found = boto3.session.Session().get_credentials()
        keys = found.get_frozen_credentials() if found else None
    except BotoCoreError as error:
        raise BadConfig(
            "DatasetCredentialsMissing",
            f"no keys for bucket {location.bucket}, as AWS's tools look for them ({error}): "
            f"{remedy}",
        ) from None
    if keys is None:
        raise BadConfig(
            "DatasetCredentialsMissing",
            f"bucket {location.bucket} needs keys, and AWS's tools find none here: {remedy}",
        )
    given = (keys.access_key, keys.secret_key, keys.token or "")
    return {**environ, **dict(zip(names.values(), given, strict=True))}
