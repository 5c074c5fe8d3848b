"""The part `spec.dataset` of a TrainingJob: where images lie, and as whom they are read."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from sihl_api.schema import Rule, Schema
from sihl_api.texts import (
    Audience,
    Bucket,
    Certificates,
    Endpoint,
    ObjectName,
    Prefix,
    Proxy,
    Region,
    RoleArn,
)


class Credentials(Schema):
    """As whom a dataset is read: by the keys of a Secret, or as the pod's service account.

    A Secret of the job's namespace has accessKeyId and secretAccessKey, and the sessionToken of
    keys that expire. For a service account keys are lent by a cloud, or a store, that trusts the
    cluster's tokens (web identity), and lent anew before they expire.
    """

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("has(self.secretName) != (has(self.serviceAccount) && self.serviceAccount)",
             "credentials are either those of a Secret or the pod's service account: write "
             "secretName: NAME, or serviceAccount: true"),
        Rule("has(self.serviceAccount) && self.serviceAccount || "
             "!has(self.roleArn) && !has(self.stsEndpoint) && !has(self.audience)",
             "roleArn, stsEndpoint and audience belong to serviceAccount: true"),
    )  # fmt: skip

    secret_name: ObjectName | None = Field(
        default=None,
        description="Secret in the job's namespace with accessKeyId and secretAccessKey, and the "
        "sessionToken of keys that expire.",
    )
    service_account: bool | None = Field(
        default=None,
        description="true: as the service account of the pod, runner.serviceAccountName. Without "
        "roleArn and audience the token and the role are those that the cloud's webhook gives the "
        "pod (on EKS AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN, or with Pod Identity "
        "AWS_CONTAINER_CREDENTIALS_FULL_URI).",
    )
    role_arn: RoleArn | None = Field(
        default=None,
        description="The role that the service account is to be, where no webhook says it.",
    )
    sts_endpoint: Endpoint | None = Field(
        default=None,
        description="URL of who lends the keys. Left out, AWS's of the region, or for another "
        "store its own endpoint.",
    )
    audience: Audience | None = Field(
        default=None,
        description="For whom the token of the pod is made out, where no webhook gives one. "
        "Left out, with a roleArn, sts.amazonaws.com.",
    )

    @property
    def token_audience(self) -> str | None:
        """Of the token that the operator puts into the pod; None where it puts none there."""
        if not self.service_account or not (self.role_arn or self.audience):
            return None
        return self.audience or DEFAULT_AUDIENCE


DEFAULT_AUDIENCE = "sts.amazonaws.com"


class Addressing(StrEnum):
    """Where a request names the bucket: in the path, or in the host."""

    PATH = "Path"
    VIRTUAL_HOST = "VirtualHost"


class S3Location(Schema):
    """A dataset's place in S3-compatible storage. Read permission is enough.

    What it says is all that counts: neither variables nor profiles of AWS's tools change where, or
    as whom, a dataset is read.
    """

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("!self.bucket.matches('^([0-9]+[.]){3}[0-9]+$')",
             "no bucket is called as an address: the store's address goes into endpoint",
             ".bucket"),
        Rule("!self.prefix.matches('//|(^|/)[.][.]?(/|$)')",
             "a prefix is the path of a folder in the bucket, without s3://, the bucket, . and ..: "
             "write it like plates/2026", ".prefix"),
        Rule("size(bytes(self.prefix)) <= 900",
             "a store's keys have at most 1024 bytes, names of images among them: write a prefix "
             "of at most 900 bytes, like plates/2026", ".prefix"),
        Rule("!has(self.certificateAuthority) || "
             "!self.certificateAuthority.contains('PRIVATE KEY')",
             "a private key is nobody's here, who reads the job would have it: leave certificates "
             "alone, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----, and make the "
             "key anew", ".certificateAuthority"),
    )  # fmt: skip

    endpoint: Endpoint = Field(
        description="URL of the S3 service, for example https://s3.eu-west-1.amazonaws.com."
    )
    bucket: Bucket
    prefix: Prefix = Field(
        default="",
        description="Folder of the dataset within the bucket: images/ lies directly below it.",
    )
    region: Region | None = Field(
        default=None,
        description="The bucket's. Left out, it is what the store says that it is.",
    )
    addressing: Addressing | None = Field(
        default=None,
        description="Where a request names the bucket: in its path, https://s3.example.org/bucket, "
        "or in its host, https://bucket.s3.example.org. Left out, it is VirtualHost for AWS, "
        "Alibaba Cloud, Tencent Cloud and Volcengine, else Path.",
    )
    certificate_authority: Certificates | None = Field(
        default=None,
        description="Certificates in PEM that are trusted beside the public authorities': of a "
        "private one, or the store's own where it has signed that itself.",
    )
    proxy: Proxy | None = Field(
        default=None,
        description="URL of the proxy by which the store is reached, for example "
        "http://proxy.example.org:3128. Left out, the pod's HTTPS_PROXY and NO_PROXY count.",
    )
    credentials: Credentials | None = Field(
        default=None, description="Without credentials the bucket is read anonymously."
    )


class Dataset(Schema):
    """What the job learns from, and what it is validated on."""

    train: S3Location
    validation: S3Location | None = Field(
        default=None,
        description="Without it, validationFraction of the training images is split off by seed.",
    )
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
