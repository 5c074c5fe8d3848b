"""How stores answer that are not as one expects, and what becomes of it, in both directions."""

from __future__ import annotations

import io
import os
import re
import socketserver
import subprocess
from email.utils import formatdate
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_cluster.pki import Pki
from sihl_api.dataset import Addressing
from sihl_api.runtime import Env, Result
from sihl_api.status import ConditionType
from sihl_api.text import shortened
from sihl_dashboard.cli.terminal import shown
from sihl_dashboard.records import S3Place, SettingsError, StoreAwayError, StoreDeniedError
from sihl_dashboard.records import S3Settings as Read
from sihl_dashboard.records.errors import printable
from sihl_operator.conditions import with_condition
from sihl_operator.decision import Notice
from sihl_operator.events import event_for
from sihl_s3 import listings
from sihl_s3.access import Access, Keys, region_in
from sihl_s3.boto import trusted
from sihl_trainer.errors import BadConfig, BadData, Refused, TrainerError, Unavailable
from sihl_trainer.fetch.bucket import Bucket
from sihl_trainer.fetch.download import download
from sihl_trainer.fetch.main import fetch_split
from sihl_trainer.fetch.plan import PlannedFile
from sihl_trainer.local_dataset import local_dataset
from sihl_trainer.record.s3 import S3Settings, S3Store
from sihl_trainer.terminal import ProgressLine
from tests.support import objects
from tests.support.answers import Asked, Manner, Reply, answering, error, listing, page
from tests.support.datasets import classification, job
from tests.support.forward import forward_proxy
from tests.support.listening import listening

KEYS = Keys("test-key", "test-secret")
FILES = classification(3)
ENVIRON = {Env.dataset("accessKeyId"): "test-key", Env.dataset("secretAccessKey"): "test-secret"}


def bucket_of(endpoint: str, keys: Keys | None = KEYS, **place: Any) -> Bucket:
    location = job().dataset.train.model_copy(update={"endpoint": endpoint, **place})
    return Bucket(location, keys, patience=0)


def store_of(endpoint: str, **settings: Any) -> S3Store:
    return S3Store(S3Settings(endpoint, "data", "test-key", "test-secret", **settings), attempts=1)


def place_of(endpoint: str, **settings: Any) -> S3Place:
    return S3Place(Read(endpoint, "data", "test-key", "test-secret", **settings), attempts=1)


def read(bucket: Bucket, folder: Path, name: str = "metadata.yaml", below: str = "") -> bytes:
    """A file, listed and fetched as the fetch does it."""
    file = PlannedFile(bucket.list(below).objects[name], PurePosixPath(name))
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
    "a console that speaks S3's language": (
        error(400, "InvalidArgument", "S3 API Requests must be made to API port."),
        BadConfig, "EndpointWrong", "S3 API Requests must be made to API port",
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
    "a company's proxy, with XML of its own": (
        Reply(403, b'<?xml version="1.0"?>\n<filter><reason>blocked</reason></filter>'),
        Refused, "ProxyRefused", "<reason>blocked</reason></filter>'), as a proxy does",
    ),
    "a load balancer without its store": (
        page(502, "502 Bad Gateway"),
        Unavailable, "Unavailable", "answered 502 with a web page ('502 Bad Gateway'), as a proxy",
    ),
    "a mesh without its store": (
        Reply(503, b"no healthy upstream", {"content-type": "text/plain"}),
        Unavailable, "Unavailable", "answered 503 with words ('no healthy upstream')",
    ),
    "a service before a store that is away": (
        page(521, "Web server is down"),
        Unavailable, "Unavailable", "answered 521 with a web page ('Web server is down'), as",
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
    "keys that have expired": (
        error(400, "ExpiredToken", "The provided token has expired."),
        Refused, "AccessDenied|AccessRefused",
        "(ExpiredToken): put keys that have not expired in their place, with the sessionToken",
    ),
    "an account that is suspended": (
        error(403, "UserSuspended"),
        Refused, "AccessDenied|AccessRefused", "have the account that the keys belong to put",
    ),
    "a right that is missing": (
        error(403, "AccessDenied", "User: arn:aws:iam::1:user/x is not authorized to perform: "
              "s3:ListBucket on resource"),
        Refused, "AccessDenied|AccessRefused", "grant these keys s3:ListBucket",
    ),
    "no room": (
        error(507, "XMinioStorageFull"), Refused, "Full", "has no room left when .* (XMinio",
    ),
    "a quota by another name": (
        error(403, "StorageQuotaExceeded"), Refused, "Full", "has no room left when .* (StorageQ",
    ),
    "a cap": (
        error(403, "AccessDenied", "Cannot upload files, storage cap exceeded."),
        Refused, "Full", "has no room left when .* (AccessDenied): free some, or have its quota",
    ),
    "a proxy that takes no large objects": (
        page(413, "413 Request Entity Too Large"),
        Refused, "ProxyRefused", "answered 413 with a web page ('413 Request Entity Too Large'), "
        "as a proxy does that takes no requests of this size, when .*: have its limit raised",
    ),
    "a proxy that takes no large objects, without a word": (
        Reply(413), Refused, "ProxyRefused", "takes no requests of this size, when .* (413): have",
    ),
    "a bucket that holds objects fast": (
        error(400, "InvalidRequest", "Content-MD5 OR x-amz-checksum- HTTP header is required for "
              "Put Object requests with Object Lock parameters"),
        BadConfig, "Unsupported", "asks for checksums, as a bucket does that holds its objects "
        "fast for some time (object lock), .*: take one without such a retention",
    ),
    "a listing of no numbers": (
        Reply(200, b"<ListBucketResult><Contents><Key>a</Key><Size>much</Size></Contents>"
              b"</ListBucketResult>"),
        Unavailable, "Unavailable", "answered what cannot be read when .* (ValueError: invalid ",
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


@pytest.mark.parametrize("status", [200, 204])
def test_an_upload_that_is_answered_with_nothing_is_told_as_a_store_that_is_away(
    status: int, tmp_path: Path
) -> None:
    large = tmp_path / "weights"
    large.write_bytes(bytes(33 << 20))  # in parts
    what = pytest.raises(Unavailable, match=r"answered what cannot be read .*UploadId")
    with answering({}, always(Reply(status))) as server, what:
        store_of(server.endpoint).upload("weights", large)


def test_a_listing_that_takes_the_bucket_for_an_object_names_the_endpoint_that_is_meant() -> None:
    with answering({}, always(error(404, "NoSuchKey"))) as server:
        port = server.server_port
        with pytest.raises(BadConfig, match=r"names a bucket already, .*: write the endpoint with"):
            bucket_of(server.endpoint).list()
        with forward_proxy(port) as proxy, pytest.raises(BadConfig) as caught:
            bucket_of(
                "http://data.s3.example.org", proxy=proxy.url, addressing=Addressing.PATH
            ).list()
    assert "set endpoint: http://s3.example.org, in" in str(caught.value)


def test_a_clock_that_is_wrong_is_told_by_how_much() -> None:
    reply = error(403, "RequestTimeTooSkewed")
    hours = Reply(reply.status, reply.body, {"date": formatdate(0, usegmt=True)})
    with answering({}, always(hours)) as server, pytest.raises(Refused) as caught:
        bucket_of(server.endpoint).list()
    assert "this node's clock is wrong, " in str(caught.value)
    assert "ahead of the store's, when asked to list / (RequestTimeTooSkewed): have" in str(
        caught.value
    )


def of_images(reply: Reply) -> Manner:
    return lambda asked: reply if asked.method == "GET" and "images/" in asked.key else None


@pytest.mark.parametrize(
    ("reply", "reason", "says"),
    [
        (error(403, "InvalidObjectState", "not valid for the object's storage class"),
         "DatasetObjectArchived", "archived when asked to read images/0.jpg (InvalidObjectState)"),
        (error(400, "InvalidRequest", "The object was stored using a form of Server Side "
               "Encryption. The correct parameters must be provided to retrieve the object."),
         "DatasetObjectEncrypted", "a key of the client's own (SSE-C) when asked to read images/"),
    ],
    ids=["archived", "encrypted by the client"],
)  # fmt: skip
def test_an_object_that_cannot_be_read_is_named_with_why(
    reply: Reply, reason: str, says: str, tmp_path: Path
) -> None:
    with answering(FILES, of_images(reply)) as server, pytest.raises(BadData) as caught:
        read(bucket_of(server.endpoint), tmp_path, "0.jpg", "images/")
    assert caught.value.reason == reason
    assert says in str(caught.value)


def test_a_bucket_whose_readers_pay_is_told_apart_from_wrong_keys() -> None:
    def refuses(asked: Asked) -> Reply | None:
        pays = asked.headers.get("x-amz-request-payer") == "requester"
        return None if pays else error(403, "AccessDenied", "Access Denied")

    with answering({}, refuses) as server:
        with pytest.raises(BadConfig) as caught:
            bucket_of(server.endpoint).list()
        with pytest.raises(StoreDeniedError, match="requester pays"):
            place_of(server.endpoint).items("")
    assert caught.value.reason == "DatasetRequesterPays"


# --- where the bucket is ---------------------------------------------------------------------


def in_region(named: str) -> Manner:
    """Of a store that lets nobody in who signs for another."""

    def asks_for(asked: Asked) -> Reply | None:
        if asked.region == named:
            return None
        text = f"the region '{asked.region}' is wrong; expecting '{named}'"
        return error(400, "AuthorizationHeaderMalformed", text, f"<Region>{named}</Region>")

    return asks_for


def test_the_region_that_a_store_names_is_taken_where_nobody_named_one(tmp_path: Path) -> None:
    with answering(FILES, in_region("eu-central-1")) as server:
        assert read(bucket_of(server.endpoint), tmp_path) == FILES["metadata.yaml"]
        record = store_of(server.endpoint)
        record.put("a", b"1")
        assert record.get("a") == b"1"
        assert place_of(server.endpoint).get("a").data == b"1"
        # It is asked wrongly once a client, and then no more.
        wrong = [asked for asked in server.asked if asked.region != "eu-central-1"]
    assert len(wrong) == 3


def test_a_region_that_differs_from_the_stores_is_told_with_the_one_to_write() -> None:
    with answering(FILES, in_region("eu-central-1")) as server:
        with pytest.raises(BadConfig) as dataset:
            bucket_of(server.endpoint, region="eu-west-1").list()
        with pytest.raises(Refused) as record:
            store_of(server.endpoint, region="eu-west-1").put("a", b"1")
    assert dataset.value.reason == "DatasetRegionWrong"
    for message in (str(dataset.value), str(record.value)):
        assert "is in region eu-central-1 and not in eu-west-1" in message
        assert "set region: eu-central-1" in message


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        ("https://s3.eu-central-1.amazonaws.com", "eu-central-1"),
        ("https://s3.dualstack.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("https://s3.us-west-004.backblazeb2.com", "us-west-004"),
        ("https://s3.eu-central-2.wasabisys.com:443", "eu-central-2"),
        ("https://s3.amazonaws.com", ""),
        ("https://s3.my-company.com", ""),
        ("http://10.0.0.1:9000", ""),
    ],
)
def test_a_region_that_the_endpoint_names_is_the_first_guess(endpoint: str, region: str) -> None:
    assert region_in(endpoint) == region
    assert Access(endpoint, "data").signing_region == (region or "us-east-1")


@pytest.mark.parametrize(
    ("endpoint", "bucket", "given", "is_virtual"),
    [
        ("https://s3.eu-central-1.amazonaws.com", "data", None, True),
        ("https://s3.eu-central-1.amazonaws.com", "my.data", None, False),
        ("https://s3.eu-central-1.amazonaws.com", "my.data", Addressing.VIRTUAL_HOST, True),
        ("https://bucket.vpce-1a2b.s3.eu-west-1.vpce.amazonaws.com", "data", None, False),
        ("https://oss-cn-beijing.aliyuncs.com", "data", None, True),
        ("https://minio.example.org", "data", None, False),
        ("https://minio.example.org", "data", Addressing.VIRTUAL_HOST, True),
        ("https://s3.eu-central-1.amazonaws.com", "data", Addressing.PATH, False),
        ("https://storage.googleapis.com", "data", None, False),
        ("http://10.0.0.1:9000", "data", None, False),
    ],
)
def test_a_bucket_stands_in_the_host_where_it_is_asked_for_or_the_service_wants_it(
    endpoint: str, bucket: str, given: Addressing | None, is_virtual: bool
) -> None:
    assert Access(endpoint, bucket, addressing=given).is_virtual == is_virtual


@pytest.mark.parametrize("addressing", Addressing)
def test_both_clients_address_a_bucket_in_the_same_way_and_by_the_same_proxy(
    addressing: Addressing, tmp_path: Path
) -> None:
    host = "data.s3.test" if addressing is Addressing.VIRTUAL_HOST else "s3.test"
    way: dict[str, Any] = {"addressing": addressing}
    with answering(FILES) as server, forward_proxy(server.server_port) as proxy:
        bucket = bucket_of("http://s3.test", proxy=proxy.url, **way)
        assert read(bucket, tmp_path) == FILES["metadata.yaml"]
        store = store_of("http://s3.test", proxy=proxy.url, **way)
        store.put("a", b"1")
        assert place_of("http://s3.test", proxy=proxy.url, **way).get("a").data == b"1"
    assert len(proxy.passed) >= 4
    assert {passed.removesuffix(":80") for passed in proxy.passed} == {host}


@pytest.mark.parametrize(("status", "kind"), [(403, Refused), (407, Refused), (502, Unavailable)])
def test_a_proxy_that_lets_nobody_through_is_told_by_its_name(
    status: int, kind: type[TrainerError]
) -> None:
    with forward_proxy(refuses=status) as proxy:
        with pytest.raises(kind) as dataset:
            bucket_of("https://s3.example.org", proxy=proxy.url).list()
        with pytest.raises(kind) as record:
            store_of("https://s3.example.org", proxy=proxy.url).put("a", b"")
    for message in (str(dataset.value), str(record.value)):
        assert f"proxy {proxy.url}" in message
        assert str(status) in message


PASSWORD = "CANARY7f3a9"


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ({"proxy": f"http://me:{PASSWORD}@proxy.example.org"}, "without user or password"),
        ({"proxy": "proxy.example.org:3128"}, "set proxy to a URL such as"),
        ({"proxy": "http://[2001:db8::1:3128"}, "set proxy to a URL such as"),
        ({"proxy": "http://proxy.example.org:99999"}, "set proxy to a URL such as"),
        ({"endpoint": "https://data.s3.eu-west-1.amazonaws.com"},
         "names the bucket already.*set endpoint: https://s3.eu-west-1.amazonaws.com"),
        ({"endpoint": "https://under_score.example.org"}, "its endpoint or region is none"),
        ({"region": "a region"}, "its endpoint or region is none"),
    ],
)  # fmt: skip
def test_a_place_that_can_be_no_stores_is_refused_before_it_is_asked(
    place: dict[str, Any], says: str
) -> None:
    given = {"endpoint": "https://s3.example.org", **place}
    with pytest.raises(BadConfig) as dataset:
        bucket_of(**given)
    with pytest.raises(Refused) as record:
        store_of(**given)
    with pytest.raises(SettingsError) as records:
        place_of(**given)
    for message in map(str, (dataset.value, record.value, records.value)):
        assert re.search(says, message), message
        assert PASSWORD not in message


def test_a_bucket_that_can_be_none_is_told_as_that() -> None:
    store = S3Store(S3Settings("http://127.0.0.1:1", "data/sub", "a", "b"), attempts=1)
    with pytest.raises(Refused, match=r"no bucket has such a name .*: correct bucket, in the Secr"):
        store.put("a", b"")


# --- certificates ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    pki = Pki(tmp_path_factory.mktemp("pki"))
    pki.create_ca()
    return pki


def issued(authority: Pki, host: str = "127.0.0.1") -> tuple[str, str]:
    certificate, key = authority.issue(host, f"/CN={host}", (host,))
    return str(certificate), str(key)


def self_signed(authority: Pki) -> tuple[str, str]:
    """As `openssl req -x509` makes it: a server's, and an authority's."""
    certificate, key = authority.folder / "own.crt", authority.folder / "own.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=own"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    return str(certificate), str(key)


@pytest.mark.parametrize("own", [False, True], ids=["an authority", "the store itself"])
def test_both_clients_trust_a_private_authority_that_is_given(
    own: bool, authority: Pki, tmp_path: Path
) -> None:
    certificate = self_signed(authority) if own else issued(authority)
    pem = Path(certificate[0] if own else authority.ca).read_text()
    with answering(FILES, certificate=certificate) as server:
        bucket = bucket_of(server.endpoint, certificate_authority=pem)
        assert read(bucket, tmp_path) == FILES["metadata.yaml"]
        store_of(server.endpoint, certificate_authority=pem).put("a", b"1")
        place = place_of(server.endpoint, certificate_authority=pem)
        assert place.get("a").data == b"1"


def test_both_clients_trust_what_the_machine_trusts(
    authority: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    trusted.cache_clear()
    try:
        with answering(FILES, certificate=issued(authority)) as server:
            assert read(bucket_of(server.endpoint), tmp_path) == FILES["metadata.yaml"]
    finally:
        trusted.cache_clear()


def test_both_clients_reach_a_private_authoritys_store_through_a_proxy(
    authority: Pki, tmp_path: Path
) -> None:
    pem = authority.ca.read_text()
    with (
        answering(FILES, certificate=issued(authority, "s3.test")) as server,
        forward_proxy(server.server_port) as proxy,
    ):
        way = {"certificate_authority": pem, "proxy": proxy.url}
        bucket = bucket_of("https://s3.test", KEYS, **way)
        assert read(bucket, tmp_path) == FILES["metadata.yaml"]
        store_of("https://s3.test", **way).put("a", b"1")
    assert set(proxy.passed) == {"s3.test:443"}
    assert len(proxy.passed) >= 3


def test_a_certificate_that_is_not_trusted_is_told_with_the_field_to_set(authority: Pki) -> None:
    with answering(FILES, certificate=issued(authority)) as server:
        with pytest.raises(BadConfig) as dataset:
            bucket_of(server.endpoint).list()
        with pytest.raises(Refused) as record:
            store_of(server.endpoint).put("a", b"")
    assert dataset.value.reason == "DatasetCertificateUntrusted"
    for message in (str(dataset.value), str(record.value)):
        assert "set certificateAuthority to that authority's own certificate" in message
        assert "unable to get local issuer certificate" in message  # the cause, to its end


def test_a_certificate_for_another_name_is_told(authority: Pki) -> None:
    pem = authority.ca.read_text()
    with (
        answering(FILES, certificate=issued(authority, "s3.example.org")) as server,
        pytest.raises(BadConfig, match="certificate for another name"),
    ):
        bucket_of(server.endpoint, certificate_authority=pem).list()


@pytest.mark.parametrize(
    ("line", "kind", "says"),
    [
        (
            b"\x15\x03\x03\0\x02\x02\x46",
            BadConfig,
            "speaks https only when .*: set endpoint: https",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Unavailable, "answered in no HTTP .'SSH-2.0-OpenSSH_9.2"),
        (
            b"-ERR unknown command 'GET'\r\n",
            Unavailable,
            "answered in no HTTP .'-ERR unknown command",
        ),
    ],
)
def test_a_port_that_speaks_something_else_is_told(
    line: bytes, kind: type[TrainerError], says: str
) -> None:
    class Speaks(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(10_000)
            self.request.sendall(line)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Speaks)
    with listening(server), pytest.raises(kind, match=says):
        bucket_of(f"http://127.0.0.1:{server.server_address[1]}").list()


def test_a_plain_port_that_is_asked_for_https_is_told() -> None:
    with answering(FILES) as server, pytest.raises(BadConfig) as caught:
        bucket_of(server.endpoint.replace("http:", "https:")).list()
    assert f"set endpoint: {server.endpoint}" in str(caught.value)


@pytest.mark.parametrize("text", ["-----BEGIN CERTIFICATE-----\nnonsense", "a path.pem"])
def test_what_is_no_certificate_is_refused_by_the_name_of_its_key(text: str) -> None:
    with pytest.raises(Refused, match="certificateAuthority that is no certificate"):
        store_of("https://s3.example.org", certificate_authority=text)


# --- nothing of the environment --------------------------------------------------------------

OF_AWS = {
    "AWS_ACCESS_KEY_ID": "other", "AWS_SECRET_ACCESS_KEY": "other", "AWS_SESSION_TOKEN": "other",
    "AWS_PROFILE": "nope", "AWS_DEFAULT_REGION": "eu-north-1", "AWS_REGION": "eu-north-1",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
    "AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true", "AWS_REQUEST_PAYER": "true",
    "AWS_SKIP_SIGNATURE": "true", "AWS_CA_BUNDLE": "/nowhere", "AWS_MAX_ATTEMPTS": "none",
    "AWS_PROXY_URL": "http://127.0.0.1:1", "AWS_S3_EXPRESS": "true", "AWS_RETRY_MODE": "odd",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported", "AWS_UNSIGNED_PAYLOAD": "true",
}  # fmt: skip


@pytest.mark.parametrize("keys", [KEYS, None], ids=["with keys", "anonymously"])
def test_nothing_of_the_environment_changes_where_or_as_whom_a_store_is_asked(
    keys: Keys | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".aws").mkdir()
    for name in ("config", "credentials"):
        (tmp_path / ".aws" / name).write_text(
            "[default]\naws_access_key_id = other\naws_secret_access_key = other\n"
            "region = eu-north-1\nendpoint_url = http://127.0.0.1:1\n"
        )
    for name, value in {**OF_AWS, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    with answering(FILES) as server:
        assert read(bucket_of(server.endpoint, keys), tmp_path) == FILES["metadata.yaml"]
        store_of(server.endpoint).put("a", b"1")
    told = [(asked.headers.get("authorization", ""), asked.headers) for asked in server.asked]
    ours = [authorization for authorization, _ in told if authorization]
    assert len(ours) == (3 if keys else 1)
    assert all("Credential=test-key/" in each and "/us-east-1/s3/" in each for each in ours)
    extra = ("x-amz-security-token", "x-amz-request-payer", "x-amz-sdk-checksum-algorithm")
    assert not [name for _, headers in told for name in extra if name in headers]
    assert os.environ["AWS_PROFILE"] == "nope"  # and it is left as it was


def test_local_takes_keys_and_their_token_from_where_awss_tools_find_them_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {
        "AWS_ACCESS_KEY_ID": "mine",
        "AWS_SECRET_ACCESS_KEY": "my-secret",
        "AWS_SESSION_TOKEN": "for-a-while",
    }
    for name, value in {**OF_AWS, **keys}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE")
    with answering(FILES) as server:
        line = ProgressLine(io.StringIO())
        local_dataset(job(endpoint=server.endpoint), None, tmp_path, {}, line)
    for asked in server.asked:
        assert "Credential=mine/" in asked.headers["authorization"]
        assert asked.headers["x-amz-security-token"] == "for-a-while"
    assert len(server.asked) > len(FILES)


# --- what stores differ in -------------------------------------------------------------------


def by_the_first_version(asked: Asked) -> Reply | None:
    """Lists in pages, and says of none how the second version goes on."""
    return listing(FILES, asked.query, 2, version=1) if asked.lists else None


def without(pattern: str) -> Manner:
    return lists_with(pattern, "")


def lists_with(pattern: str, text: str) -> Manner:
    def lists(asked: Asked) -> Reply | None:
        if not asked.lists:
            return None
        return listing(FILES, asked.query, item=lambda item: re.sub(pattern, text, item))

    return lists


def compares_bare(asked: Asked) -> Reply | None:
    """Its listing tells ETags that its own If-Match does not take."""
    if asked.lists:
        return listing(FILES, asked.query, item=lambda text: text.replace("&quot;", ""))
    return error(412, "PreconditionFailed") if "if-match" in asked.headers else None


def knows_no_checksums(asked: Asked) -> Reply | None:
    """As GCS, R2 and Ceph: a header that they do not know means something they cannot do."""
    unknown = [n for n in asked.headers if "checksum" in n or n == "x-amz-trailer"]
    return error(501, "NotImplemented") if unknown else None


def in_pages(asked: Asked) -> Reply | None:
    return listing(FILES, asked.query, 2) if asked.lists else None


UNLIKE: dict[str, Manner] = {
    "lists by the first version only": by_the_first_version,
    "lists in pages": in_pages,
    "lists no ETags": without("<ETag>.*</ETag>"),
    "lists no times": without("<LastModified>.*</LastModified>"),
    "lists times that are none": lists_with("(?<=<LastModified>)[^<]*", "yesterday"),
    "compares ETags in its own way": compares_bare,
    "knows no checksums": knows_no_checksums,
}


@pytest.mark.parametrize("manner", UNLIKE.values(), ids=UNLIKE.keys())
def test_a_store_that_differs_is_read_and_written_whole(manner: Manner, tmp_path: Path) -> None:
    with answering(FILES, manner) as server:
        fetch_split(job(endpoint=server.endpoint), "train", tmp_path, ENVIRON, patience=0)
        store_of(server.endpoint).put("a", b"1")
        listed = place_of(server.endpoint).items("images/")
    for name, body in FILES.items():
        assert (tmp_path / "train" / name).read_bytes() == body
    assert [item.key for item in listed] == [f"images/{index}.jpg" for index in range(3)]


def test_a_store_that_lists_the_same_page_again_and_again_is_told() -> None:
    def repeats(asked: Asked) -> Reply | None:
        return listing(FILES, {"prefix": asked.query["prefix"]}, 2)

    with answering(FILES, repeats) as server, pytest.raises(BadConfig, match="again and again"):
        bucket_of(server.endpoint).list("images/")


@pytest.mark.parametrize("size", ["", "<Size>-1</Size>"])
def test_a_store_that_lists_no_sizes_is_told(size: str) -> None:
    manner = lists_with("<Size>.*</Size>", size)
    with answering(FILES, manner) as server, pytest.raises(BadConfig, match="without their keys"):
        bucket_of(server.endpoint).list("images/")


def test_a_store_that_goes_on_for_ever_with_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Asked] = []

    def goes_on(request: Asked) -> Reply:
        asked.append(request)
        token = f"<NextContinuationToken>{len(asked)}</NextContinuationToken>"
        body = f"<ListBucketResult><IsTruncated>true</IsTruncated>{token}</ListBucketResult>"
        return Reply(200, body.encode(), {"content-type": "application/xml"})

    monkeypatch.setattr(listings, "MOST_EMPTY", 5)
    with answering(FILES, goes_on) as server, pytest.raises(BadConfig, match="or none, again and"):
        bucket_of(server.endpoint).list("images/")
    assert len(asked) == 6


# --- keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lie", "prefix", "says"),
    [
        ("/", "", "something in s3://data//: keys with a slash at their beginning"),
        ("/cells/", "/cells", "something in s3://data//cells/: keys with a slash"),
        (
            "cells//",
            "cells",
            "something in s3://data/cells//: keys with a slash at their beginning",
        ),
        ("my cells/", "my%20cells", "correct the dataset's prefix to my cells/"),
        ("cells/", "data/cells", "correct the dataset's prefix to cells/"),
    ],
)
def test_a_dataset_that_lies_where_its_prefix_was_not_meant_to_lead_is_found(
    lie: str, prefix: str, says: str, tmp_path: Path
) -> None:
    files = {f"{lie}{name}": body for name, body in FILES.items()}
    with answering(files) as server, pytest.raises(BadData) as caught:
        spec = job(endpoint=server.endpoint, prefix=prefix)
        fetch_split(spec, "train", tmp_path, ENVIRON, patience=0)
    assert caught.value.reason == "DatasetEmpty"
    assert says in str(caught.value)


ODD = ["a%2Fb.jpg", "a+b.jpg", "a b.jpg", "a%.jpg"]


def says_nothing_of_encoding(asked: Asked) -> Reply | None:
    if not asked.lists:
        return None
    found = listing({f"images/{name}": name.encode() for name in ODD}, asked.query)
    return Reply(200, found.body.replace(b"<EncodingType>url</EncodingType>", b""))


def encodes_nothing(asked: Asked) -> Reply | None:
    if not asked.lists:
        return None
    query = {name: text for name, text in asked.query.items() if name != "encoding-type"}
    return listing({f"images/{name}": name.encode() for name in ODD}, query)


@pytest.mark.parametrize("manner", [None, says_nothing_of_encoding, encodes_nothing])
def test_keys_that_hold_encoded_characters_are_read_as_they_are(
    manner: Manner | None, tmp_path: Path
) -> None:
    with answering({f"images/{name}": name.encode() for name in ODD}, manner) as server:
        bucket = bucket_of(server.endpoint)
        for name in ODD:
            assert read(bucket, tmp_path, name, "images/") == name.encode()


# --- what is away ----------------------------------------------------------------------------


def test_a_name_that_does_not_resolve_is_told_at_once_with_its_cause() -> None:
    bucket = Bucket(job(endpoint="http://s3.nowhere.invalid").dataset.train, KEYS, patience=600)
    with pytest.raises(Unavailable) as caught:
        bucket.list()
    assert "s3.nowhere.invalid does not resolve: correct the endpoint" in str(caught.value)


@given(st.text(max_size=300), st.integers(20, 100))
def test_what_is_shortened_keeps_its_beginning_and_its_end(text: str, limit: int) -> None:
    found = shortened(text, limit)
    assert len(found) <= limit
    if len(text) <= limit:
        assert found == text
    else:
        at = found.index(" ... ", (limit - 5) // 2)
        assert text.startswith(found[:at])
        assert text.endswith(found[at + 5 :])


def test_a_messages_remedy_survives_each_place_that_bounds_it() -> None:
    message = f"bucket data {'x' * 5000}: set region: eu-central-1"
    ours, reason = objects.job(), "DatasetRegionWrong"
    failed = with_condition(
        ours, ours.status, ConditionType.FAILED, True, reason, message, objects.NOW
    )
    told = [
        BadConfig(reason, message).message,
        Result(reason=reason, message=message).encode().decode(),
        failed.model_dump_json(),
        event_for(ours, Notice(reason, message), objects.NOW)["message"],
        printable(message),
        shown(message),
    ]
    for each in told:
        assert "bucket data " in each
        assert "set region: eu-central-1" in each
