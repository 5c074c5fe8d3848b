"""`python -m tests.bench.fetch`: the trainer's fetch beside s5cmd, boto3 and curl, from one store.

Each is a process of its own, timed from its start to its end. They take turns, each time into an
empty folder of its own on the disk.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import boto3

from sihl_api.dataset import S3Location
from sihl_s3.access import Keys
from sihl_trainer.fetch.bucket import Bucket
from sihl_trainer.fetch.download import download
from sihl_trainer.fetch.plan import PlannedFile
from tests.bench.report import tell
from tests.support.s3 import S3Server, serve

BUCKET = "data"
SHAPES = {"5,000 x 100 kB": (5_000, 100_000), "1 GiB": (1, 2**30)}


@dataclass(frozen=True)
class Source:
    """Where the objects lie, and how to ask for them."""

    server: S3Server
    prefix: str
    keys: tuple[str, ...]

    @property
    def urls(self) -> list[str]:
        """Each object's."""
        return [f"{self.server.endpoint}/{BUCKET}/{key}" for key in self.keys]


def own(source: Source, folder: Path) -> list[str]:
    """This module again, as `fetch_with_sihl` below."""
    return [sys.executable, "-m", "tests.bench.fetch", "--as=sihl",
            source.server.endpoint, source.prefix, str(folder)]  # fmt: skip


def by_boto3(source: Source, folder: Path) -> list[str]:
    """This module again, as `fetch_with_boto3` below."""
    return [sys.executable, "-m", "tests.bench.fetch", "--as=boto3",
            source.server.endpoint, source.prefix, str(folder)]  # fmt: skip


def by_s5cmd(source: Source, folder: Path) -> list[str]:
    """As its documentation copies a folder."""
    program = str(Path(sys.executable).with_name("s5cmd"))
    return [program, "--log=error", f"--endpoint-url={source.server.endpoint}",
            "cp", f"s3://{BUCKET}/{source.prefix}*", f"{folder}/"]  # fmt: skip


def by_curl(source: Source, folder: Path) -> list[str]:
    """Sixteen at a time; it must be told each URL."""
    config = folder.with_suffix(".curl")
    lines = [f'url = "{url}"\noutput = "{folder / url.rsplit("/", 1)[1]}"\n' for url in source.urls]
    config.write_text("".join(lines))
    return ["curl", "--silent", "--fail", "--parallel", "--parallel-max", "16",
            "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", ":".join(source.server.admin),
            "--config", str(config)]  # fmt: skip


TOOLS: dict[str, Callable[[Source, Path], list[str]]] = {
    "sihl": own, "s5cmd": by_s5cmd, "boto3": by_boto3, "curl": by_curl,
}  # fmt: skip


def fetch_with_sihl(endpoint: str, prefix: str, folder: Path) -> None:
    """What the init container does: list, then download."""
    location = S3Location(endpoint=endpoint, bucket=BUCKET, prefix=prefix)
    keys = Keys(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    bucket = Bucket(location, keys)
    found = bucket.list().objects
    files = [PlannedFile(remote, PurePosixPath(name)) for name, remote in found.items()]
    download(bucket, folder, files, lambda _: None)


def fetch_with_boto3(endpoint: str, prefix: str, folder: Path) -> None:
    """`download_file`, one key after the other; large ones by its own ten threads."""
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
        for item in page["Contents"]:
            client.download_file(BUCKET, item["Key"], str(folder / Path(item["Key"]).name))


def upload(server: S3Server, shape: str) -> Source:
    """Objects of a shape, of bytes that do not compress."""
    count, size = SHAPES[shape]
    prefix = f"{count}-{size}/"
    keys = tuple(f"{prefix}{number:05}.bin" for number in range(count))
    server.make_bucket(BUCKET)
    if count == 1:
        with tempfile.NamedTemporaryFile() as file:
            for _ in range(size // 2**20):
                file.write(os.urandom(2**20))
            file.flush()
            server.client.upload_file(file.name, BUCKET, keys[0])
    else:
        server.put(BUCKET, {key: os.urandom(size) for key in keys})
    return Source(server, prefix, keys)


def timed(arguments: list[str], environ: dict[str, str]) -> tuple[float, float]:
    """Seconds by the clock, and of the process's CPU time."""
    os.sync()  # what the one before left to be written
    began = time.perf_counter()
    child = os.posix_spawnp(arguments[0], arguments, environ)
    _, status, used = os.wait4(child, 0)
    lasted = time.perf_counter() - began
    assert status == 0, f"{arguments[:3]} ended with {os.waitstatus_to_exitcode(status)}"
    return lasted, used.ru_utime + used.ru_stime


def give_back(folder: Path) -> None:
    """Free what the files take, and keep the files.

    ext4 looks at each file that was removed within the last minutes before it creates another:
    after five thousand removals a creation takes 0.4 ms of CPU instead of 0.02.
    """
    for file in folder.iterdir():
        os.truncate(file, 0)


def measure(server: S3Server, folder: Path, shape: str, rounds: int) -> dict[str, Any]:
    """Medians of each tool's rounds, and what they are to s5cmd's."""
    source = upload(server, shape)
    count, size = SHAPES[shape]
    environ = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": server.admin[0],
        "AWS_SECRET_ACCESS_KEY": server.admin[1],
        "AWS_REGION": "us-east-1",
    }
    walls: dict[str, list[float]] = {tool: [] for tool in TOOLS}
    cpus: dict[str, list[float]] = {tool: [] for tool in TOOLS}
    for number in range(rounds):
        for tool, command in TOOLS.items():
            target = folder / f"{source.prefix}{tool}-{number}"
            target.mkdir(parents=True)
            wall, cpu = timed(command(source, target), environ)
            got = sum(file.stat().st_size for file in target.iterdir())
            assert got == count * size, f"{tool} fetched {got} bytes of {count * size}"
            give_back(target)
            walls[tool].append(wall)
            cpus[tool].append(cpu)
            print(f"{shape}, {tool}: {wall:.2f} s", file=sys.stderr, flush=True)
    reference = statistics.median(walls["s5cmd"])
    figures: dict[str, Any] = {}
    for tool in TOOLS:
        wall = statistics.median(walls[tool])
        figures[f"{shape}, {tool}: s"] = wall
        figures[f"{shape}, {tool}: MB/s"] = count * size / wall / 1e6
        figures[f"{shape}, {tool}: CPU s"] = statistics.median(cpus[tool])
        figures[f"{shape}, {tool}: times s5cmd"] = reference / wall
    return figures


def main() -> int:
    """Print figures, and write them as JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.fetch", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--as", dest="role", choices=("sihl", "boto3"), help=argparse.SUPPRESS)
    parser.add_argument("place", nargs="*", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role:
        endpoint, prefix, folder = given.place
        fetch = fetch_with_sihl if given.role == "sihl" else fetch_with_boto3
        fetch(endpoint, prefix, Path(folder))
        return 0
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary, serve(Path(temporary) / "store") as server:
        for shape in SHAPES:
            figures |= measure(server, Path(temporary), shape, given.rounds)
    tell(figures, given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
