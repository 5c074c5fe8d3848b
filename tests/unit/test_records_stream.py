"""Lines are read once each, in order, whatever has been merged and whenever."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sihl_dashboard.records.errors import MissingError
from sihl_dashboard.records.place import Content, FolderPlace, Item
from sihl_dashboard.records.stream import Stream
from tests.support.recorded import Recorded, Watched, recorded


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


class Held:
    """A place in memory."""

    prefix = ""
    name = "memory"
    is_near = True

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def folders(self, prefix: str) -> list[str]:
        return []

    def items(self, prefix: str, after: str = "") -> list[Item]:
        return [
            Item(key, len(data))
            for key, data in sorted(self.objects.items())
            if key.startswith(prefix)
        ]

    def get(self, key: str) -> Content:
        return Content(self.objects[key], "")

    def changed(self, key: str, tag: str) -> Content | None:
        return self.get(key)

    def part(self, key: str, start: int, end: int) -> bytes:
        return self.objects[key][start:end]


@st.composite
def merged(draw: st.DrawFn) -> tuple[bytes, dict[str, bytes]]:
    """A log, and the objects that hold it at some moment of merging."""
    segments = draw(st.lists(st.binary(min_size=1, max_size=5), min_size=1, max_size=12))
    paths = Recorded(lambda *_: None).paths
    objects = {paths.log(1, number): data for number, data in enumerate(segments)}
    first = 0
    while first < len(segments):
        last = draw(st.integers(first, len(segments) - 1))
        if last > first:
            objects[paths.log(1, first, last)] = b"".join(segments[first : last + 1])
            shorter = draw(st.integers(first, last))
            if shorter > first:  # an earlier sum that was not removed yet
                objects[paths.log(1, first, shorter)] = b"".join(segments[first : shorter + 1])
            for number in draw(st.sets(st.integers(first, last))):
                objects.pop(paths.log(1, number), None)  # pieces go one by one
        first = last + 1
    return b"".join(segments), objects


@given(merged(), st.integers(0, 60), st.integers(0, 60))
def test_at_every_moment_of_merging_any_part_of_the_stream_is_the_same(
    pool: ThreadPoolExecutor, state: tuple[bytes, dict[str, bytes]], start: int, end: int
) -> None:
    whole, objects = state
    stream = Stream(Held(objects), Recorded(lambda *_: None).paths, 1, "log", pool)
    assert stream.size == len(whole)
    assert stream.read(start, end) == whole[start:end]
    assert b"".join(stream.chunks(start, 7)) == whole[start:]


def test_what_is_merged_between_listing_and_reading_is_read_from_its_sum(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    job = recorded(tmp_path)
    for number, text in enumerate(("one\n", "two\n", "three\n")):
        job.log(1, number, text)
    stream = Stream(FolderPlace(tmp_path), job.paths, 1, "log", pool)
    job.put(job.paths.log(1, 0, 1), b"one\ntwo\n")
    for number in (0, 1):
        (tmp_path / job.paths.log(1, number)).unlink()
    assert stream.read(4, 99) == b"two\nthree\n"


def test_a_listing_that_was_torn_by_a_merge_is_made_again(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    job, place = recorded(tmp_path), Watched(FolderPlace(tmp_path))
    for number in (0, 2):  # as two pages would show it: 1 went into a sum before the second one
        job.log(1, number, f"{number}\n")

    def end_of_merge(_: str) -> None:
        if len(place.asked) == 1:
            job.put(job.paths.log(1, 0, 2), b"0\n1\n2\n")

    place.before = end_of_merge
    assert Stream(place, job.paths, 1, "log", pool).read(0, 99) == b"0\n1\n2\n"


def test_segments_that_were_dropped_for_good_are_a_gap_and_no_error(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    job = recorded(tmp_path)
    job.log(1, 0, "0\n")
    job.log(1, 5, "5\n")
    assert Stream(FolderPlace(tmp_path), job.paths, 1, "log", pool).read(0, 99) == b"0\n5\n"


def test_an_object_that_is_listed_and_never_there_is_named(
    tmp_path: Path, pool: ThreadPoolExecutor
) -> None:
    job, place = recorded(tmp_path), Watched(FolderPlace(tmp_path))
    job.log(1, 0, "0\n")

    def fail(request: str) -> None:
        if request.startswith("get"):
            raise MissingError("log-000000.txt")

    place.before = fail
    with pytest.raises(MissingError, match=r"log-000000\.txt"):
        Stream(place, job.paths, 1, "log", pool).read(0, 9)
