"""Where a namespace's records lie, and which of them a name means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError

from sihl_api.runtime import STORE_KEYS, Env
from sihl_dashboard.cli.errors import CommandError, DeniedError, NotFoundError
from sihl_dashboard.cli.latest import project_of
from sihl_dashboard.cli.terminal import shown
from sihl_dashboard.records import (
    FolderPlace,
    JobRef,
    Place,
    Query,
    QueryError,
    Records,
    S3Place,
    S3Settings,
)
from sihl_dashboard.records.measured import seconds_of
from sihl_dashboard.records.refs import check_name, project_root
from sihl_s3.access import DEFAULT_REGION

REMEDY = "give --record DIR or --record s3://bucket/prefix"
_SCHEME = "s3://"


class NoKeyError(CommandError):
    """The user has no keys of S3's."""


def named_place(record: str, endpoint: str | None, environ: Mapping[str, str]) -> Place:
    """What `--record` names.

    Raises:
        CommandError: there is no such folder, or no key for the bucket.
    """
    if not record.startswith(_SCHEME):
        if not Path(record).is_dir():
            raise CommandError(f"--record {shown(record)}: there is no such folder")
        return FolderPlace(Path(record))
    bucket, _, prefix = record.removeprefix(_SCHEME).partition("/")
    keys = own_keys(record)
    region = boto3.session.Session().region_name or ""
    named = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    return _place(
        {
            "endpoint": endpoint or named or f"https://s3.{region or DEFAULT_REGION}.amazonaws.com",
            "bucket": bucket,
            "prefix": prefix,
            "region": region,
            **keys,
        }
    )


def own_keys(where: str) -> dict[str, str]:
    """The user's, as AWS's tools find them.

    Args:
        where: What they are for, for the message.

    Raises:
        NoKeyError: there are none.
    """
    try:
        keys = boto3.session.Session().get_credentials()
        found = keys.get_frozen_credentials() if keys else None
    except BotoCoreError as error:
        raise NoKeyError(f"no key for {shown(where)}: {shown(error)}") from None
    if found is None or not found.access_key or not found.secret_key:
        raise NoKeyError(
            f"no key for {shown(where)}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "or AWS_PROFILE"
        )
    return {
        "accessKeyId": found.access_key,
        "secretAccessKey": found.secret_key,
        "sessionToken": found.token or "",
    }


def cluster_place(
    read: Callable[[str], dict[str, str]], namespace: str, reached: Callable[[str], str]
) -> Place:
    """The store of a cluster's namespace, by its Secret.

    Args:
        read: Reads the Secret's keys.
        namespace: Whose.
        reached: Tells a store's address from here, where the Secret's is one within the cluster.

    Raises:
        CommandError: the Secret cannot be read, or names no store.
    """
    try:
        keys = read(namespace)
    except (DeniedError, NotFoundError) as error:
        raise CommandError(f"{error}; to read records without it, {REMEDY}") from None
    found = settings(keys)
    return S3Place(replace(found, endpoint=reached(found.endpoint)))


def is_by_account(keys: Mapping[str, str]) -> bool:
    """Whether a store's Secret has a pod's service account in place of keys."""
    return keys.get("serviceAccount", "").lower() == "true" and not keys.get("accessKeyId")


def settings(keys: Mapping[str, str]) -> S3Settings:
    """Of a store, by the keys of its Secret, or one's own where it has a pod's identity instead.

    Raises:
        SettingsError: Something is missing, which it names.
        NoKeyError: There are no keys of one's own.
    """
    if is_by_account(keys):
        others = {key: text for key, text in keys.items() if key != "serviceAccount"}
        keys = {**others, **own_keys(f"{_SCHEME}{keys.get('bucket', '')}")}
    return S3Settings.from_environment({Env.store(k): keys[k] for k in STORE_KEYS if k in keys})


def _place(keys: Mapping[str, str]) -> Place:
    return S3Place(settings(keys))


def only_namespace(place: Place) -> str:
    """The namespace of records that nobody named one for.

    Raises:
        CommandError: there are none, or several.
    """
    found = place.folders(project_root(place.prefix))
    if len(found) == 1:
        return found[0]
    if not found:
        raise CommandError(f"{shown(place.name)} holds no records")
    raise CommandError(
        f"{shown(place.name)} holds records of {shown(', '.join(found))}: choose one by -n"
    )


def find(records: Records, place: Place, namespace: str, name: str) -> JobRef:
    """The record that a name means: a job's, the latest where several had it, or a folder's.

    Raises:
        NotFoundError: there is none.
        CommandError: it is no name.
    """
    try:
        check_name(name)
        found = [
            JobRef(namespace, project, folder)
            for project in records.projects(namespace)
            for folder in place.folders(project_root(place.prefix, namespace, project))
            if folder == name or folder.rpartition(".")[0] == name
        ]
    except QueryError as error:
        raise CommandError(str(error)) from None
    if not found:
        raise NotFoundError(
            f"{shown(place.name)} has no record of a job {shown(name)} in namespace "
            f"{shown(namespace)}: kubectl sihl list --record ... shows what it has, and a job has "
            "one only once it has started"
        )
    if len(found) == 1:
        return found[0]
    return max(found, key=lambda ref: (_created(records, ref), ref.folder))


def _created(records: Records, ref: JobRef) -> float:
    return seconds_of(records.job(ref).facts.get("job.createdAt"), 0.0)


def latest(name: str, records: Records, namespace: str) -> JobRef:
    """The one submitted last: a record does not say whether its job runs still.

    Raises:
        CommandError: there is none.
    """
    project = project_of(name)
    query = Query(columns=("job.createdAt",), limit=1)
    found = [
        (str(row.values["job.createdAt"] or ""), row.ref)
        for each in ([project] if project else records.projects(namespace))
        for row in records.jobs(namespace, each, query).rows
    ]
    if not found:
        of = f"project {shown(project)} of " if project else ""
        raise CommandError(f"{shown(name)}: there is no record in {of}namespace {shown(namespace)}")
    return max(found)[1]
