"""What a job says of a dataset's place, and what its Secret adds: how the bucket is reached."""

from __future__ import annotations

from collections.abc import Mapping

from sihl_api.runtime import DATASET_KEYS, DATASET_OPTIONAL_KEYS, Env
from sihl_api.trainingjob import S3Location
from sihl_s3.access import Access, Keys
from sihl_trainer.credentials import refuse_impossible
from sihl_trainer.errors import BadConfig, Refused


def keys_from_environment(location: S3Location, environ: Mapping[str, str]) -> Keys | None:
    """The keys of the Secret that a location names, as the pod is given them.

    Raises:
        Refused: A key of the Secret is missing, or can be none.
    """
    if location.credentials is None:
        return None
    values = {key: environ.get(Env.dataset(key), "").strip() for key in DATASET_KEYS}
    missing = [k for k, value in values.items() if not value and k not in DATASET_OPTIONAL_KEYS]
    if missing:
        raise Refused(
            "DatasetCredentialsMissing",
            f"Secret {location.credentials.secret_name} lacks {' and '.join(missing)}, which "
            f"reading bucket {location.bucket} takes: add it",
        )
    refuse_impossible(values, location.credentials.secret_name, "DatasetCredentialsInvalid")
    return Keys(values["accessKeyId"], values["secretAccessKey"], values["sessionToken"])


def access_of(location: S3Location, keys: Keys | None) -> Access:
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
