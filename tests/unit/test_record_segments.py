"""Segments are merged so that nobody who reads a record ever misses a line or sees one twice."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from sihl_api.record import MetricLine, segments_of, to_read
from sihl_trainer.errors import Unavailable
from sihl_trainer.record.s3 import S3Settings, S3Store
from sihl_trainer.record.segments import listed, merge, metric_lines, settled
from sihl_trainer.record.store import FolderStore, MissingObjectError, StoredObject
from tests.support.records import PATHS
from tests.support.s3 import S3Server

PIECES = 7
MOST = 45
"""Bytes of a sum: the pieces of `write` make three of them."""


class Breaking(FolderStore):
    """A folder that is out of reach from a request on; that one takes effect, or does not."""

    def __init__(self, root: Path, requests: int, takes_effect: bool) -> None:
        super().__init__(root)
        self._left = requests
        self._takes_effect = takes_effect
        self._lock = threading.Lock()

    def objects(self, prefix: str) -> list[StoredObject]:
        self._count()
        return super().objects(prefix)

    def read(self, key: str) -> Iterator[bytes]:
        self._count()
        return super().read(key)

    def upload(self, key: str, path: Path) -> None:
        if self._count():
            super().upload(key, path)
            self._fail()
        super().upload(key, path)

    def delete(self, key: str) -> None:
        if self._count():
            super().delete(key)
            self._fail()
        super().delete(key)

    def _count(self) -> bool:
        """Whether it is the last request, and takes effect."""
        with self._lock:
            self._left -= 1
        if self._left < 0 or (self._left == 0 and not self._takes_effect):
            self._fail()
        return self._left == 0

    def _fail(self) -> None:
        raise Unavailable("StoreUnavailable", "away")


def text(number: int) -> bytes:
    return b"".join(b"line %d of %d\n" % (line, number) for line in range(number % 3))


def write(store: FolderStore, numbers: range = range(PIECES)) -> list[bytes]:
    """Pieces of two lines, one, or none; returns the lines."""
    for number in numbers:
        store.put(PATHS.log(1, number), text(number))
    return b"".join(map(text, numbers)).splitlines()


def read(store: FolderStore) -> list[bytes]:
    keys = to_read(item.key for item in listed(FolderStore(store.root), PATHS, 1, "log"))
    return b"".join(map(store.get, keys)).splitlines()


def names(store: FolderStore) -> list[str]:
    return [item.key.rpartition("/")[2] for item in store.objects(PATHS.attempt(1))]


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.mark.parametrize("takes_effect", [True, False])
def test_a_merge_that_breaks_off_at_any_request_costs_no_reader_a_line(
    tmp_path: Path, takes_effect: bool
) -> None:
    requests = 1
    while True:
        whole = FolderStore(tmp_path / f"{requests}")
        lines = write(whole)
        try:
            merge(Breaking(whole.root, requests, takes_effect), PATHS, 1, "log", tmp_path, MOST)
            break
        except Unavailable:
            assert read(whole) == lines, f"broken off at request {requests}"
        lines += write(whole, range(PIECES, PIECES + 3))
        merge(whole, PATHS, 1, "log", tmp_path, MOST)
        assert read(whole) == lines, f"merged again after request {requests}"
        assert len(names(whole)) == len(to_read(names(whole))) < 6
        requests += 1
    assert requests > 2 * PIECES  # each piece was read and removed
    assert list(tmp_path.glob("log-*")) == []


def test_segments_in_a_bucket_are_merged(s3: S3Server, tmp_path: Path) -> None:
    settings = S3Settings(s3.endpoint, "data", *s3.admin)
    bucket, paths = S3Store(settings), replace(PATHS, prefix=uuid.uuid4().hex)
    texts = [text(number) for number in range(40)]
    for number, each in enumerate(texts):
        bucket.put(paths.log(1, number), each)
    merge(bucket, paths, 1, "log", tmp_path)
    assert [item.key for item in bucket.objects(paths.attempt(1))] == [paths.log(1, 0, 39)]
    assert bucket.get(paths.log(1, 0, 39)) == b"".join(texts)


def test_sums_grow_up_to_their_size_and_then_the_next_begins(
    store: FolderStore, tmp_path: Path
) -> None:
    lines: list[bytes] = []
    for first in range(0, 20, 5):
        lines += write(store, range(first, first + 5))
        merge(store, PATHS, 1, "log", tmp_path, most=80)
        sums = store.objects(PATHS.attempt(1))
        assert all(item.bytes <= 80 for item in sums)
        beside = pairwise(sums)
        assert all(one.bytes + other.bytes > 80 for one, other in beside)
    assert len(sums) > 2
    assert read(store) == lines


def test_a_single_segment_and_a_whole_sum_are_left_alone(
    store: FolderStore, tmp_path: Path
) -> None:
    write(store, range(1))
    merge(store, PATHS, 1, "log", tmp_path)
    assert names(store) == ["log-000000.txt"]
    write(store, range(1, 3))
    merge(store, PATHS, 1, "log", tmp_path)
    merge(store, PATHS, 1, "log", tmp_path)
    assert names(store) == ["log-000000-000002.txt"]


def test_no_sum_spans_a_segment_that_is_not_there(store: FolderStore, tmp_path: Path) -> None:
    write(store, range(2))
    write(store, range(3, 5))
    merge(store, PATHS, 1, "log", tmp_path)
    assert names(store) == ["log-000000-000001.txt", "log-000003-000004.txt"]


def test_what_others_keep_in_an_attempts_folder_is_not_touched(
    store: FolderStore, tmp_path: Path
) -> None:
    write(store)
    strangers = [f"{PATHS.attempt(1)}log-notes.txt", PATHS.metrics(1, 0), PATHS.result(1)]
    for key in strangers:
        store.put(key, b"kept")
    merge(store, PATHS, 1, "log", tmp_path)
    assert [store.get(key) for key in strangers] == [b"kept"] * 3


def test_a_line_that_was_torn_off_does_not_run_into_the_next(
    store: FolderStore, tmp_path: Path
) -> None:
    store.put(PATHS.log(1, 0), b"torn")
    store.put(PATHS.log(1, 1), b"whole\n")
    merge(store, PATHS, 1, "log", tmp_path)
    assert read(store) == [b"torn", b"whole"]


def test_a_piece_that_is_large_is_not_held_in_memory(store: FolderStore, tmp_path: Path) -> None:
    class Streaming(FolderStore):
        def get(self, key: str) -> bytes:
            assert segments_of(key) != (0, 0)
            return super().get(key)

    store.put(PATHS.log(1, 0), b"x" * (3 << 20))
    store.put(PATHS.log(1, 1), b"small\n")
    merge(Streaming(store.root), PATHS, 1, "log", tmp_path)
    assert read(store) == [b"x" * (3 << 20), b"small"]


def test_who_reads_while_segments_are_merged_lists_again(
    store: FolderStore, tmp_path: Path
) -> None:
    class Merged(FolderStore):
        """A folder whose segments are merged by another once they are listed."""

        def objects(self, prefix: str) -> list[StoredObject]:
            found = super().objects(prefix)
            merge(store, PATHS, 1, "metrics", tmp_path)
            return found

    line = MetricLine(time="2026-01-02T03:04:05Z", step=1, kind="train", values={"loss": 1.0})
    for number in range(4):
        text = line.model_copy(update={"step": number}).model_dump_json(by_alias=True)
        store.put(PATHS.metrics(1, number), f"{text}\n".encode())
    store.put(PATHS.metrics(1, 4), b'{"no": "line of metrics"}\n{')
    other = Merged(store.root)
    with pytest.raises(MissingObjectError):
        list(metric_lines(other, PATHS, 1))
    store.put(PATHS.metrics(1, 5), b"")
    found = settled(lambda: list(metric_lines(other, PATHS, 1)))
    assert [each.step for each in found] == [0, 1, 2, 3]
