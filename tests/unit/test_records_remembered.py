"""What never changes is read once; what is merged or written meanwhile is noticed all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from sihl_dashboard.records import FolderPlace, MissingError, Records, Remembered
from tests.support.recorded import Recorded, Watched, recorded, train


@pytest.fixture
def night(tmp_path: Path) -> Recorded:
    found = recorded(tmp_path)
    found.job()
    found.summary()
    return found


def merge(tmp_path: Path, night: Recorded, last: int) -> None:
    """As the trainer does: the sum first, then its pieces go."""
    pieces = [tmp_path / night.paths.log(1, number) for number in range(last + 1)]
    night.put(night.paths.log(1, 0, last), b"".join(each.read_bytes() for each in pieces))
    for piece in pieces:
        piece.unlink()


def text(records: Records, night: Recorded) -> str:
    log = records.log(night.ref)
    return log.text(log.start, 1000)


def test_a_segment_is_read_once_and_only_new_ones_are_listed(
    tmp_path: Path, night: Recorded
) -> None:
    watched = Watched(FolderPlace(tmp_path))
    records = Records(Remembered(watched))
    for number in range(3):
        night.log(1, number, f"{number}\n")
        assert text(records, night) == "".join(f"{each}\n" for each in range(number + 1))
    read = [each for each in watched.asked if each.startswith("get") and "log-" in each]
    assert len(read) == len(set(read)) == 3
    listed = [each for each in watched.asked if each.startswith("items") and "log-" in each]
    assert [" after " in each for each in listed] == [False, True, True]
    records.close()


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_pieces_that_went_into_a_sum_are_read_from_it(
    tmp_path: Path, night: Recorded, limit: int
) -> None:
    records = Records(Remembered(FolderPlace(tmp_path), limit=limit))
    for number in range(3):
        night.log(1, number, f"{number}\n")
    assert text(records, night) == "0\n1\n2\n"
    merge(tmp_path, night, 2)
    assert text(records, night) == "0\n1\n2\n"
    night.log(1, 3, "3\n")
    assert text(records, night) == "0\n1\n2\n3\n"
    records.close()


def test_what_was_written_last_and_merged_at_once_is_seen_when_the_summary_changes(
    tmp_path: Path, night: Recorded
) -> None:
    records = Records(Remembered(FolderPlace(tmp_path)))
    night.log(1, 0, "0\n")
    night.metrics(1, 0, train(1, 1.0))
    first = records.pulse(night.ref)
    assert records.pulse(night.ref, first) == first
    night.log(1, 1, "1\n")
    merge(tmp_path, night, 1)
    night.summary([{"number": 1, "reason": "Succeeded"}])
    second = records.pulse(night.ref, first)
    assert (second.log, second.metrics) == ("1.1", "1.0")
    assert second.summary != first.summary
    assert text(records, night) == "0\n1\n"
    records.close()


def test_merging_alone_is_no_news(tmp_path: Path, night: Recorded) -> None:
    records = Records(FolderPlace(tmp_path))
    for number in range(3):
        night.log(1, number, f"{number}\n")
    before = records.pulse(night.ref)
    merge(tmp_path, night, 2)
    assert records.pulse(night.ref, before) == before
    records.close()


def test_segments_take_no_more_memory_than_they_may(tmp_path: Path, night: Recorded) -> None:
    watched = Watched(FolderPlace(tmp_path))
    place = Remembered(watched, limit=100)
    for number in range(20):
        night.log(1, number, "x" * 10)
    for number in (*range(20), 19, 0):
        assert place.get(night.paths.log(1, number)).data == b"x" * 10
    assert len([each for each in watched.asked if each.startswith("get")]) == 21


def test_old_listings_are_made_anew(tmp_path: Path, night: Recorded) -> None:
    now = [0.0]
    place = Remembered(FolderPlace(tmp_path), old=30, clock=lambda: now[0])
    prefix = f"{night.paths.attempt(1)}log-"
    night.log(1, 0, "0\n")
    assert len(place.items(prefix)) == 1
    merge(tmp_path, night, 0)
    now[0] = 31.0
    assert [item.key for item in place.items(prefix)] == [night.paths.log(1, 0, 0)]


def test_what_is_not_there_is_missed_as_ever(tmp_path: Path, night: Recorded) -> None:
    place = Remembered(FolderPlace(tmp_path))
    with pytest.raises(MissingError):
        place.get(night.paths.log(1, 7))
    with pytest.raises(MissingError):
        place.part(night.paths.log(1, 7), 0, 1)
