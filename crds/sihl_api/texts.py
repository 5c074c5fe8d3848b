"""The forms of a TrainingJob's texts: names, labels, images, addresses, durations, amounts."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic_core import PydanticCustomError, core_schema

from sihl_api.schema import VALIDATIONS, Form, Rule
from sihl_api.units import DURATION_PATTERN, QUANTITY_PATTERN

# --- names -----------------------------------------------------------------------------------

NAME_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
QUEUE_MAX_LENGTH = 50
_PART = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DOMAIN = rf"{_PART}(\.{_PART})*"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"

Name = Annotated[
    str,
    StringConstraints(max_length=QUEUE_MAX_LENGTH),
    Form(
        NAME_PATTERN, "a name here has lower-case letters, digits and dashes, for example cells-2"
    ),
]
OBJECT_NAME = Form(
    rf"^{_DOMAIN}$",
    "no object of Kubernetes can be called so: names have lower-case letters, digits, dashes and "
    "dots between them, for example cells-dataset",
)
ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=253), OBJECT_NAME]
NAMESPACE = Form(NAME_PATTERN, "no namespace can be called so: write it like team-vision")
NamespaceName = Annotated[str, StringConstraints(min_length=1, max_length=63), NAMESPACE]

# --- labels ----------------------------------------------------------------------------------

LABEL_NAME = Form(
    rf"^({_DOMAIN}/)?{_LABEL}$",
    "no label or taint can be called so: write it like disktype or example.com/disktype, at most "
    "63 letters, digits, dashes, underscores and dots behind the domain",
)
LABEL_NAME_LENGTH = 253
"""Of a domain at most, and so of both together: nobody needs the 63 characters more."""
LabelName = Annotated[
    str, StringConstraints(min_length=1, max_length=LABEL_NAME_LENGTH), LABEL_NAME
]
LABEL_VALUE = Form(
    rf"^({_LABEL})?$",
    "no label or taint has such a value: it has at most 63 letters, digits, dashes, underscores "
    "and dots, the first and the last a letter or digit, for example NVIDIA-H100-80GB",
)
LabelValue = Annotated[str, StringConstraints(max_length=63), LABEL_VALUE]

DEVICE = Form(
    rf"^{_DOMAIN}/{_LABEL}$",
    "a device is called as its plugin calls it, for example nvidia.com/gpu",
)
RESOURCE_NAME = Form(
    rf"^(cpu|memory|ephemeral-storage|hugepages-[1-9][0-9]{{0,3}}[KMGT]i|{_DOMAIN}/{_LABEL})$",
    "a resource is called cpu, memory, ephemeral-storage, or as its device plugin calls it, for "
    "example example.com/fpga",
)

# --- addresses -------------------------------------------------------------------------------

_PORT = r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
_HOST_PART = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_LAST_PART = r"[0-9]*([A-Za-z]|[0-9]-+[A-Za-z0-9])([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
"""Of a name: of digits alone it makes of the whole an address, for whoever looks it up."""
_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(\.{_OCTET}){{3}}"
_GROUP = r"[0-9A-Fa-f]{1,4}"
_IPV6 = "|".join(
    [
        f"({_GROUP}:){{7}}{_GROUP}",
        f"({_GROUP}:){{1,7}}:",
        *(f"({_GROUP}:){{1,{7 - behind}}}(:{_GROUP}){{1,{behind}}}" for behind in range(1, 7)),
        f":((:{_GROUP}){{1,7}}|:)",
        rf"::([Ff]{{4}}:)?{_IPV4}",
    ]
)
"""RFC 4291: eight groups, or fewer around one ::, of which the last two may be one of IPv4."""
_HOST = rf"(({_HOST_PART}\.)*{_LAST_PART}\.?|{_IPV4}|\[({_IPV6})\])"

Endpoint = Annotated[
    str,
    StringConstraints(max_length=300),
    Form(
        rf"^https?://{_HOST}(:{_PORT})?/?$",
        "an endpoint is http:// or https://, a host (its name, or an address as 10.0.0.1 or "
        "[fd00::1] is one) and perhaps a port from 1 to 65535, for "
        "example https://s3.eu-west-1.amazonaws.com or http://minio.storage:9000: the bucket goes "
        "into bucket, a folder into prefix, keys into a Secret",
    ),
]
Proxy = Annotated[
    str,
    StringConstraints(max_length=300),
    Form(
        rf"^https?://{_HOST}(:{_PORT})?/?$",
        "a proxy is http:// or https://, a host and perhaps a port from 1 to 65535, without a "
        "name and password, for example http://proxy.example.org:3128",
    ),
]
Certificates = Annotated[
    str,
    StringConstraints(max_length=32768),
    Form(
        r"^\s*-----BEGIN CERTIFICATE-----[\s\S]*-----END CERTIFICATE-----\s*$",
        "certificates are given in PEM, as text from -----BEGIN CERTIFICATE----- to "
        "-----END CERTIFICATE-----: neither a file's path nor a key",
    ),
]
_BUCKET_PART = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
Bucket = Annotated[
    str,
    StringConstraints(min_length=3, max_length=63),
    Form(
        rf"^{_BUCKET_PART}(\.{_BUCKET_PART})*$",
        "a bucket is given by its name alone, lower-case letters, digits, dashes and dots between "
        "them, for example my-microscopy: a folder in it goes into prefix",
    ),
]
Prefix = Annotated[
    str,
    StringConstraints(max_length=900),
    Form(
        r"^[^\x00-\x1f\x7f]*$",
        "a prefix is a folder's path on one line, for example plates/2026: the text may have a "
        "line break at its end",
    ),
]
Region = Annotated[
    str,
    StringConstraints(min_length=1, max_length=50),
    Form(
        r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        "a region is called as its store calls it, for example eu-west-1 or auto: left out, the "
        "store is asked",
    ),
]
RoleArn = Annotated[
    str,
    StringConstraints(max_length=2048),
    Form(
        r"^arn:[a-z0-9-]+:[!-~]+$",
        "a role is given by its ARN, for example arn:aws:iam::123456789012:role/cells-reader",
    ),
]
Audience = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200),
    Form(
        r"^[!-~]+$",
        "an audience is one word, as the service that lends keys knows it, for example "
        "sts.amazonaws.com",
    ),
]
ModelUri = Annotated[
    str,
    StringConstraints(max_length=1000),
    Form(
        r"^s3://[^/\s]+/[^\x00-\x1f\x7f]*[^/\x00-\x1f\x7f][^\x00-\x1f\x7f]*$",
        "a model is a folder in the namespace's store: write it like s3://bucket/path/model",
    ),
]
_PATH_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
IMAGE = Form(
    rf"^({_HOST_PART}(\.{_HOST_PART})*(:{_PORT})?/|\[[0-9A-Fa-f:]+\](:{_PORT})?/)?"
    rf"{_PATH_PART}(/{_PATH_PART})*(:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?"
    r"(@sha256:[0-9a-f]{64}|@sha512:[0-9a-f]{128})?$",
    "an image is written without https://, its path in lower case, perhaps with a tag or digest, "
    "for example registry.example.com:5000/team/trainer:1.2",
)
Image = Annotated[str, StringConstraints(min_length=1, max_length=500), IMAGE]

# --- amounts ---------------------------------------------------------------------------------

DURATION = Form(
    DURATION_PATTERN,
    "a duration is hours, minutes and seconds in that order, for example 90s, 10m or 1h30m",
)
Duration = Annotated[str, StringConstraints(min_length=2, max_length=20), DURATION]
SIZE = Form(QUANTITY_PATTERN, "a size is a number of bytes, for example 20Gi or 500M")
Quantity = Annotated[str, StringConstraints(max_length=30), SIZE]


def lasts(field: str, least: str, message: str) -> Rule:
    """A duration that is at least so long, where it is one."""
    return Rule(
        f"!has(self.{field}) || !self.{field}.{DURATION.cel} || "
        f"duration(self.{field}) >= duration('{least}')",
        message,
        f".{field}",
    )


def is_amount(cel: str) -> str:
    """CEL: whether a text is an amount.

    No exponents: the API server takes minutes to read 1e999999999, whatever else would refuse it.
    """
    return (
        f"!{cel}.contains('e') && (!{cel}.contains('E') || {cel}.endsWith('E') || "
        f"{cel}.endsWith('Ei')) && isQuantity({cel})"
    )


class _Amount:
    """A whole number, or a quantity as Kubernetes spells it."""

    message = "an amount is a number and perhaps a unit, for example 2, 500m or 20Gi"
    schema: ClassVar[dict[str, Any]] = {
        "x-kubernetes-int-or-string": True,
        "minimum": 0,
        "maxLength": 30,
        VALIDATIONS: [
            {
                "rule": f"type(self) == int || {is_amount('self')} && sign(quantity(self)) >= 0",
                "message": message,
            }
        ],
    }

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Neither made a text of a number nor the other way round."""
        return core_schema.no_info_plain_validator_function(self._held)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The API server's own union."""
        return dict(self.schema)

    def _held(self, value: Any) -> int | str:
        is_number = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        is_text = isinstance(value, str) and len(value) <= 30
        if is_number or (is_text and re.fullmatch(_AMOUNT_PATTERN, value)):
            return value  # type: ignore[no-any-return]  # an int or a str, as was looked at
        raise PydanticCustomError("amount", "{message}", {"message": self.message})


_AMOUNT_PATTERN = r"\+?([0-9]+\.?[0-9]*|\.[0-9]+)([numkMGTPE]|[KMGTPE]i)?"
Amount = Annotated[int | str, _Amount()]
