"""Moves planned files to disk: in parallel, large ones by ranges, each whole or not there.

A file is written under a temporary name and renamed once it is verified, with the object's time
of modification. So a file that has the listed size and time is complete, and is not fetched again
when the container restarts.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from sihl_trainer.errors import DiskFull, Unavailable
from sihl_trainer.fetch.bucket import Bucket
from sihl_trainer.fetch.plan import PlannedFile
from sihl_trainer.fetch.reach import THREADS

log = logging.getLogger(__name__)

PART_BYTES = 16 * 2**20
PARTIAL_SUFFIX = ".sihl-part"
_MD5_ETAG = re.compile(r'^"?([0-9a-f]{32})"?$')


def is_complete(folder: Path, file: PlannedFile) -> bool:
    """Whether the file was fetched before, as it is listed now."""
    try:
        found = os.stat(os.path.join(folder, file.path))  # noqa: PTH116, PTH118 (as below)
    except OSError:
        return False
    return (found.st_size, int(found.st_mtime)) == (file.remote.size, _modified(file))


def download(
    bucket: Bucket,
    folder: Path,
    files: Iterable[PlannedFile],
    advance: Callable[[int], None],
    threads: int = THREADS,
) -> None:
    """Fetch the files that are not complete.

    Args:
        bucket: Where they lie.
        folder: The dataset's, below which they go.
        files: Which.
        advance: Told of each few bytes that arrived.
        threads: How many requests at a time.

    Raises:
        Refused: Access is denied.
        DiskFull: The disk has no room any more.
        Unavailable: The store is away, or what arrives is not what it lists.
        Changed: The dataset changed meanwhile.
    """
    missing = [file for file in files if not is_complete(folder, file)]
    for parent in {file.path.parent for file in missing}:
        (folder / parent).mkdir(parents=True, exist_ok=True)
    large = [file for file in missing if file.remote.size > 2 * PART_BYTES]
    small = [file for file in missing if file.remote.size <= 2 * PART_BYTES]
    try:
        for file in large:
            _Transfer(bucket, folder, file, advance).run_by_ranges(threads)
        _in_parallel([_Transfer(bucket, folder, file, advance).run for file in small], threads)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFull(
            "DiskFull",
            "the node's disk filled up while the dataset was fetched, though there was room when "
            "it began: something else writes to it. Free some space on it, or choose other nodes "
            "by runner.nodeSelector",
        ) from None


class _Transfer:
    """One file on its way."""

    def __init__(
        self, bucket: Bucket, folder: Path, file: PlannedFile, advance: Callable[[int], None]
    ) -> None:
        self.bucket = bucket
        self.remote = file.remote
        self.modified = _modified(file)
        self.path = os.path.join(folder, file.path)  # noqa: PTH118 (pathlib takes five times as long)
        self.partial = self.path + PARTIAL_SUFFIX
        self.advance = advance
        listed = _MD5_ETAG.match(file.remote.etag)
        self.listed = listed and listed[1]

    def run(self) -> None:
        """Fetch in one piece and verify what arrives, rename."""
        self._run(self._fetch_whole)

    def run_by_ranges(self, threads: int) -> None:
        """Fetch ranges side by side, verify what is on the disk then, rename."""
        self._run(lambda descriptor: self._fetch_ranges(descriptor, threads))

    def _run(self, fetch: Callable[[int], str | None]) -> None:
        # Not `open`: its buffer and its questions to the kernel cost more than a small file does.
        descriptor = os.open(self.partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            self._verified(lambda: fetch(descriptor))
            os.utime(descriptor, (self.modified, self.modified))
        finally:
            os.close(descriptor)
        os.replace(self.partial, self.path)  # noqa: PTH105

    def _verified(self, fetch: Callable[[], str | None]) -> None:
        """Fetch, and compare with the MD5 that the store lists, where it lists one.

        The ETag of an object that was put in one part is its MD5, but for some that are encrypted.
        Stores that do not say so are believed when two fetches agree with each other.
        """
        if (first := fetch()) == self.listed or not self.bucket.lists_md5(self.remote):
            return
        log.warning("%s arrived with another checksum than listed: fetching again", self.remote.key)
        self.advance(-self.remote.size)
        if (second := fetch()) not in (self.listed, first):
            raise Unavailable(
                "DatasetDownloadCorrupt",
                f"{self.remote.key} arrived damaged twice (MD5 {first} and {second}, listed "
                f"{self.listed}): check the store and the network to it",
            )

    def _fetch_whole(self, descriptor: int) -> str | None:
        """The MD5 of what arrived, where one is listed."""
        digest = _md5()

        def hashed(chunk: memoryview, offset: int) -> None:
            nonlocal digest
            if offset == 0:
                digest = _md5()  # a retry begins anew
            digest.update(chunk)

        self._fetch_range(descriptor, 0, self.remote.size, hashed if self.listed else None)
        return digest.hexdigest() if self.listed else None

    def _fetch_ranges(self, descriptor: int, threads: int) -> str | None:
        """The MD5 of what the file holds in the end, where one is listed."""
        size = self.remote.size
        ranges = [(at, min(at + PART_BYTES, size)) for at in range(0, size, PART_BYTES)]
        _in_parallel(
            [lambda part=part: self._fetch_range(descriptor, *part) for part in ranges],  # type: ignore[misc]
            threads,
        )
        if self.listed is None:
            return None
        with Path(self.partial).open("rb") as file:
            return hashlib.file_digest(file, _md5).hexdigest()

    def _fetch_range(
        self,
        descriptor: int,
        start: int,
        end: int,
        take: Callable[[memoryview, int], None] | None = None,
    ) -> None:
        arrived = 0

        def write(offset: int, chunk: memoryview) -> None:
            nonlocal arrived
            if offset == start and arrived:
                self.advance(-arrived)  # a retry, from the start
                arrived = 0
            if take:
                take(chunk, offset)
            while chunk:
                written = os.pwrite(descriptor, chunk, offset)
                chunk, offset = chunk[written:], offset + written
                arrived += written
                self.advance(written)

        self.bucket.read(self.remote, start, end, write)


def _modified(file: PlannedFile) -> int:
    """Whole seconds: neither stores nor file systems agree on finer ones."""
    return int(file.remote.modified.timestamp())


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


def _in_parallel(tasks: Sequence[Callable[[], None]], threads: int) -> None:
    """Run the tasks; the first that fails stops those that have not begun."""
    if threads == 1 or len(tasks) == 1:
        for task in tasks:
            task()
        return
    waiting = iter(tasks)
    lock = threading.Lock()
    failed = threading.Event()

    def work() -> None:
        while not failed.is_set():
            with lock:
                task = next(waiting, None)
            if task is None:
                return
            try:
                task()
            except BaseException:
                failed.set()
                raise

    with ThreadPoolExecutor(min(threads, max(1, len(tasks)))) as pool:
        workers = [pool.submit(work) for _ in range(threads)]
        done, _ = wait(workers, return_when=FIRST_EXCEPTION)
    for worker in done:
        worker.result()
