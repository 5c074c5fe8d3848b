"""How stores answer that are not as one expects, and what becomes of it, in both directions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sihl_api.runtime import Env
from sihl_dashboard.records import S3Place, StoreAwayError, StoreDeniedError
from sihl_dashboard.records import S3Settings as Read
from sihl_s3.access import Keys
from sihl_trainer.errors import BadConfig, Refused, TrainerError, Unavailable
from sihl_trainer.fetch.bucket import Bucket
from sihl_trainer.fetch.download import download
from sihl_trainer.fetch.plan import PlannedFile
from sihl_trainer.record.s3 import S3Settings, S3Store
from tests.support.answers import (
    Manner,
    Reply,
    answering,
    error,
    page,
)
from tests.support.datasets import classification, job

KEYS = Keys("test-key", "test-secret")
FILES = classification(3)
ENVIRON = {Env.dataset("accessKeyId"): "test-key", Env.dataset("secretAccessKey"): "test-secret"}


def bucket_of(endpoint: str, keys: Keys | None = KEYS, **place: Any) -> Bucket:
    location = job(endpoint=endpoint).dataset.train.model_copy(update=place)
    return Bucket(location, keys, patience=0)


def store_of(endpoint: str, **settings: Any) -> S3Store:
    return S3Store(S3Settings(endpoint, "data", "test-key", "test-secret", **settings), attempts=1)


def place_of(endpoint: str, **settings: Any) -> S3Place:
    return S3Place(Read(endpoint, "data", "test-key", "test-secret", **settings), attempts=1)


def read(bucket: Bucket, folder: Path, name: str = "metadata.yaml", below: str = "") -> bytes:
    """A file, listed and fetched as the fetch does it."""
    file = PlannedFile(bucket.list(below).objects[name], Path(name))  # type: ignore[arg-type]
    download(bucket, folder, [file], lambda _: None)
    return (folder / name).read_bytes()


def always(reply: Reply) -> Manner:
    return lambda _: reply


# --- what is told, and to whom ---------------------------------------------------------------

WHAT_IS_TOLD: dict[str, tuple[Reply, type[TrainerError], str, str]] = {
    "http where https is meant": (
        Reply(301, b"<html>Moved</html>", {"location": "https://s3.example.org/data?list-type=2"}),
        BadConfig, "EndpointWrong", "redirects to https://s3.example.org when .* (301): set endpoi",
    ),
    "a redirect that keeps the method": (
        Reply(308, b"", {"location": "https://s3.example.org:9000/data"}),
        BadConfig, "EndpointWrong", "set endpoint: https://s3.example.org:9000",
    ),
    "a redirect to the bucket's host": (
        error(307, "TemporaryRedirect", more="<Endpoint>data.s3.example.org</Endpoint>",
              location="https://data.s3.example.org/?list-type=2"),
        BadConfig, "EndpointWrong", "set endpoint: https://s3.example.org, in",
    ),
    "a log-in": (
        Reply(302, b"", {"location": "/login?next=/data"}),
        BadConfig, "EndpointWrong", "redirects to '/login', as a console or a log-in does",
    ),
    "a console": (
        page(200, "MinIO Console"),
        BadConfig, "EndpointWrong", "answered 200 with a web page ('MinIO Console')",
    ),
    "a web server's 404": (
        Reply(404, b"default backend - 404", {"content-type": "text/plain"}),
        BadConfig, "EndpointWrong", "answered 404 with words ('default backend - 404')",
    ),
    "an empty 200": (
        Reply(200), BadConfig, "EndpointWrong", "answered a listing with nothing",
    ),
    "another API's JSON": (
        Reply(200, b'{"kind": "Status"}', {"content-type": "application/json"}),
        BadConfig, "EndpointWrong", "answered a listing with",
    ),
    "TLS at a plain port": (
        Reply(400, b"Client sent an HTTP request to an HTTPS server.\n"),
        BadConfig, "EndpointWrong", "speaks https only when .*: set endpoint: https://127.0.0.1",
    ),
    "a company's proxy": (
        page(403, "Blocked", "Access blocked by policy"),
        Refused, "ProxyRefused", "answered 403 with a web page ('Blocked'), as a proxy does",
    ),
    "a company's proxy, with XHTML": (
        Reply(403, b'<?xml version="1.0"?>\n<html xmlns="x"><body>Forbidden</body></html>'),
        Refused, "ProxyRefused", "answered 403 with a web page ('Forbidden')",
    ),
    "a load balancer without its store": (
        page(502, "502 Bad Gateway"),
        Unavailable, "Unavailable", "answered 502 with a web page ('502 Bad Gateway'), as a proxy",
    ),
    "a mesh without its store": (
        Reply(503, b"no healthy upstream", {"content-type": "text/plain"}),
        Unavailable, "Unavailable", "answered 503 with words ('no healthy upstream')",
    ),
    "a bucket elsewhere": (
        error(301, "PermanentRedirect", more="<Endpoint>data.s3.eu-west-3.amazonaws.com</Endpoint>",
              x_amz_bucket_region="eu-west-3"),
        BadConfig, "RegionWrong",
        "in region eu-west-3.*: set endpoint: "
        "http://s3.eu-west-3.amazonaws.com and region: eu-west-3",
    ),
    "a bucket of another endpoint": (
        error(403, "AccessDenied", "The bucket you are attempting to access must be addressed "
              "using the specified endpoint.", "<Endpoint>oss-cn-beijing.aliyuncs.com</Endpoint>"),
        BadConfig, "RegionWrong|EndpointWrong", "set endpoint: http://oss-cn-beijing.aliyuncs.com",
    ),
    "no paths": (
        error(403, "SecondLevelDomainForbidden"),
        BadConfig, "AddressingWrong", "(SecondLevelDomainForbidden): set addressing: VirtualHost",
    ),
    "an unknown operation": (
        error(501, "NotImplemented", "A header you provided implies functionality"),
        BadConfig, "Unsupported", "does not know what it was asked when .* (NotImplemented)",
    ),
    "a node's clock": (
        error(403, "RequestTimeTooSkewed"),
        Refused, "ClockSkewed", "this node's clock is wrong",
    ),
    "wrong keys": (
        error(403, "SignatureDoesNotMatch"),
        Refused, "AccessDenied|AccessRefused", "(SignatureDoesNotMatch): correct",
    ),
    "a key of a key service": (
        error(403, "AccessDenied", "not authorized to perform: kms:Decrypt on resource"),
        Refused, "AccessDenied|AccessRefused", "grant these keys kms:Decrypt",
    ),
    "no room": (
        error(507, "XMinioStorageFull"), Refused, "Full", "has no room left when .* (XMinio",
    ),
    "busy": (error(503, "SlowDown", "Reduce your request rate"),
             Unavailable, "Unavailable", "answered SlowDown (Reduce your request rate)"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "kind", "name", "says"), WHAT_IS_TOLD.values(), ids=WHAT_IS_TOLD.keys()
)
def test_an_answer_is_told_as_what_it_is_with_what_to_write(
    reply: Reply, kind: type[TrainerError], name: str, says: str
) -> None:
    with answering({}, always(reply)) as server:
        with pytest.raises(TrainerError) as dataset:
            bucket_of(server.endpoint).list()
        with pytest.raises(TrainerError) as record:
            store_of(server.endpoint).objects("")
        with pytest.raises((StoreAwayError, StoreDeniedError)) as records:
            place_of(server.endpoint).items("")
    assert type(dataset.value) is kind
    assert dataset.value.reason.removeprefix("Dataset") in name.split("|")
    # What a Secret says can be mended while a job runs; what a job says cannot.
    assert type(record.value) is (Refused if kind is BadConfig else kind)
    assert record.value.reason.removeprefix("Store") in name.split("|")
    assert isinstance(records.value, StoreAwayError) == (kind is Unavailable)
    for message in (str(dataset.value), str(record.value)):
        for part in says.split(".*"):
            assert part in message
