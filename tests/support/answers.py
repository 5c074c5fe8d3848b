"""A store that answers as some store in the world does, or as what is no store does."""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from tests.support.listening import listening

TIME = "2026-01-01T00:00:00.000Z"
HTTP_TIME = "Thu, 01 Jan 2026 00:00:00 GMT"


@dataclass(frozen=True)
class Asked:
    """A request; bucket and key as in a path."""

    method: str
    bucket: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def region(self) -> str:
        """What the request was signed for; empty where nobody signed it."""
        found = re.search(r"Credential=[^/]+/\d+/([^/]+)/s3", self.headers.get("authorization", ""))
        return found[1] if found else ""

    @property
    def lists(self) -> bool:
        """Whether the bucket's objects are asked for."""
        return self.method == "GET" and not self.key


@dataclass(frozen=True)
class Reply:
    """What is answered."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


Manner = Callable[[Asked], Reply | None]


def error(status: int, code: str, message: str = "no", more: str = "", **headers: str) -> Reply:
    """An error as S3 tells it."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>"
    return Reply(
        status,
        f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode(),
        {"content-type": "application/xml"}
        | {name.replace("_", "-"): text for name, text in headers.items()},
    )


def page(status: int, title: str, text: str = "", **headers: str) -> Reply:
    """A web page."""
    body = f"<!doctype html><html><head><title>{title}</title></head><body>{text}</body></html>"
    return Reply(status, body.encode(), {"content-type": "text/html"} | headers)


class AnsweringStore(ThreadingHTTPServer):
    """Serves the bucket `data`: as S3 does where its manner has nothing else to answer.

    Args:
        objects: By key; what is put goes there too.
        manner: How it is unlike S3.
    """

    daemon_threads = True

    def __init__(self, objects: dict[str, bytes], manner: Manner | None = None) -> None:
        self.objects = objects
        self.manner = manner or (lambda _: None)
        self.asked: list[Asked] = []
        self.scheme = "http"
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def answer(self, asked: Asked) -> Reply:
        """What a request is answered."""
        self.asked.append(asked)
        if found := self.manner(asked):
            return found
        if asked.bucket != "data":
            return error(404, "NoSuchBucket")
        if asked.method == "PUT":
            self.objects[asked.key] = asked.body
            return Reply(200, headers={"etag": tag(asked.body)})
        if asked.lists:
            return listing(self.objects, asked.query)
        if asked.key not in self.objects:
            return error(404, "NoSuchKey")
        return self._object(asked)

    def _object(self, asked: Asked) -> Reply:
        body = self.objects[asked.key]
        known = {"etag": tag(body), "last-modified": HTTP_TIME}
        if asked.headers.get("if-match", tag(body)) != tag(body):
            return error(412, "PreconditionFailed")
        if part := re.match(r"bytes=(\d+)-(\d+)", asked.headers.get("range", "")):
            first, last = int(part[1]), int(part[2])
            known["content-range"] = f"bytes {first}-{last}/{len(body)}"
            return Reply(206, body[first : last + 1], known)
        return Reply(200, body, known)


def tag(body: bytes) -> str:
    """An object's ETag."""
    return f'"{hashlib.md5(body).hexdigest()}"'


def listing(
    objects: Mapping[str, bytes], query: Mapping[str, str], most: int = 1000, version: int = 2,
    item: Callable[[str], str] = lambda text: text,
) -> Reply:  # fmt: skip
    """A page of a listing.

    Args:
        objects: All there are.
        query: Of the request.
        most: Entries of a page.
        version: Of the request that is answered.
        item: Changes an object's entry.
    """
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    after = query.get("continuation-token", "") if version == 2 else query.get("marker", "")
    encodes = query.get("encoding-type") == "url"

    def told(text: str) -> str:
        return escape(quote(text, safe="/") if encodes else text)

    found: dict[str, str] = {}
    for key, body in sorted(objects.items()):
        rest = key.removeprefix(prefix)
        if not key.startswith(prefix):
            continue
        if delimiter and delimiter in rest:
            folder = prefix + rest.split(delimiter)[0] + delimiter
            name = f"<Prefix>{told(folder)}</Prefix>"
            found[folder] = f"<CommonPrefixes>{name}</CommonPrefixes>"
        else:
            entry = (
                f"<Contents><Key>{told(key)}</Key><LastModified>{TIME}</LastModified>"
                f"<ETag>{escape(tag(body))}</ETag><Size>{len(body)}</Size></Contents>"
            )
            found[key] = item(entry)
    names = [name for name in found if name > after]
    shown, more = names[:most], len(names) > most
    following = (
        f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>" if more else ""
    )
    return Reply(
        200,
        (
            f"<ListBucketResult><Prefix>{told(prefix)}</Prefix>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>"
            f"{'<EncodingType>url</EncodingType>' if encodes else ''}"
            f"{following if version == 2 else ''}"
            f"{''.join(found[name] for name in shown)}</ListBucketResult>"
        ).encode(),
        {"content-type": "application/xml"},
    )


class _Handler(BaseHTTPRequestHandler):
    server: AnsweringStore
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        host, path = self.headers.get("host", ""), url.path.removeprefix("/")
        bucket, _, key = path.partition("/")
        if host.startswith("data."):
            bucket, key = "data", path
        asked = Asked(
            self.command,
            bucket,
            unquote(key),
            {name: value[0] for name, value in parse_qs(url.query, True).items()},
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(int(self.headers.get("content-length", 0))),
        )
        reply = self.server.answer(asked)
        # With no time of its own where a test tells one.
        (self.send_response_only if "date" in reply.headers else self.send_response)(reply.status)
        for name, value in {"content-length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_HEAD = do_PUT = do_DELETE = do_POST = do_GET  # noqa: N815 (http.server looks for them)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def answering(
    objects: Mapping[str, bytes],
    manner: Manner | None = None,
    certificate: tuple[str, str] | None = None,
) -> Iterator[AnsweringStore]:
    """The store, as long as the context lasts; with a certificate and its key it speaks https."""
    store = AnsweringStore(dict(objects), manner)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        store.socket = context.wrap_socket(
            store.socket, server_side=True, do_handshake_on_connect=False
        )
        store.scheme = "https"
    with listening(store):
        yield store
