"""What a job says of a dataset's place, and what its Secret adds: how the bucket is reached."""

from __future__ import annotations

from collections.abc import Mapping

from sihl_api.dataset import S3Location
from sihl_api.runtime import DATASET_KEYS, DATASET_OPTIONAL_KEYS, Env
from sihl_s3.access import Access, Identity, Keys
from sihl_s3.identity import identity_of
from sihl_trainer.credentials import refuse_impossible
from sihl_trainer.errors import BadConfig, Refused


def keys_from_environment(
    location: S3Location, environ: Mapping[str, str]
) -> Keys | Identity | None:
    """As whom a location is read: by the keys of its Secret, or as the pod itself.

    Keys that are given count before a service account: a machine of one's own has none.

    Raises:
        Refused: A key of the Secret is missing, or can be none.
    """
    credentials = location.credentials
    if credentials is None:
        return None
    if credentials.service_account and Env.dataset("accessKeyId") not in environ:
        return identity_of(
            location.endpoint,
            location.region or "",
            {"roleArn": credentials.role_arn or "", "stsEndpoint": credentials.sts_endpoint or ""},
            environ.get(Env.DATASET_IDENTITY, ""),
            environ,
        )
    secret = credentials.secret_name or "(none)"
    values = {key: environ.get(Env.dataset(key), "").strip() for key in DATASET_KEYS}
    missing = [k for k, value in values.items() if not value and k not in DATASET_OPTIONAL_KEYS]
    if missing:
        raise Refused(
            "DatasetCredentialsMissing",
            f"Secret {secret} lacks {' and '.join(missing)}, which "
            f"reading bucket {location.bucket} takes: add it",
        )
    refuse_impossible(values, secret, "DatasetCredentialsInvalid")
    return Keys(values["accessKeyId"], values["secretAccessKey"], values["sessionToken"])


def access_of(location: S3Location, keys: Keys | Identity | None) -> Access:
    """Which way leads to a location's bucket."""
    return Access(
        location.endpoint.rstrip("/"),
        location.bucket,
        keys,
        region=location.region or "",
        addressing=location.addressing,
        certificate_authority=location.certificate_authority or "",
        proxy=location.proxy or "",
    )


def folder_of(prefix: str) -> str:
    """A prefix as keys begin with it: empty, or with a slash at its end and none at its beginning.

    Raises:
        BadConfig: It cannot be a folder's.
    """
    path = prefix.strip("/")
    for part in path.split("/") if path else ():
        if part in ("", ".", ".."):
            raise BadConfig(
                "DatasetPrefixInvalid",
                f"the dataset's prefix {prefix!r} has the part {part!r}, which no folder can be "
                "called by: correct it to the path of a folder",
            )
    return f"{path}/" if path else ""
