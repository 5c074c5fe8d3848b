"""Logs: in order through attempts, by place, line, time and search, however long a line is."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sihl_dashboard.records import FolderPlace, Log, MissingError, QueryError, Records, Spot
from sihl_dashboard.records.lines import walk
from tests.support.recorded import Recorded, Watched, recorded


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    found = Records(FolderPlace(tmp_path))
    yield found
    found.close()


@pytest.fixture
def job(tmp_path: Path) -> Recorded:
    return recorded(tmp_path)


def texts(log: Log, *page: object) -> list[str]:
    return [line.text for line in log.forward(*page).lines]  # type: ignore[arg-type]


TEXT = st.text("ab\n", max_size=30).map(str.encode)


@given(st.lists(TEXT, max_size=6), st.integers(0, 5))
def test_lines_are_the_same_however_the_text_is_cut_into_chunks(
    chunks: list[bytes], shown: int
) -> None:
    text = b"".join(chunks)
    found = list(walk(chunks, 0, shown))
    whole = text.split(b"\n")[: text.count(b"\n") + (not text.endswith(b"\n") and bool(text))]
    assert [line.shown for line in found] == [line[:shown] for line in whole]
    for line, expected in zip(found, whole, strict=True):
        assert text[line.offset : line.offset + line.size] == expected


def test_a_log_goes_through_all_attempts_and_on_where_it_ended(
    records: Records, job: Recorded
) -> None:
    job.log(1, 0, "one\ntwo\n")
    job.log(2, 0, "three\n")
    log = records.log(job.ref)
    page = log.forward(log.start, 2)
    assert [line.text for line in page.lines] == ["one", "two"]
    assert not page.is_end
    page = log.forward(page.after, 9)
    assert [(line.spot.attempt, line.text) for line in page.lines] == [(2, "three")]
    assert page.is_end
    job.log(2, 1, "four\n")
    assert texts(records.log(job.ref), page.after, 9) == ["four"]


def test_following_goes_on_while_segments_are_merged(
    records: Records, job: Recorded, tmp_path: Path
) -> None:
    for number, text in enumerate(("one\n", "two\n")):
        job.log(1, number, text)
    log = records.log(job.ref)
    after = log.forward(log.start, 9).after
    job.put(job.paths.log(1, 0, 2), b"one\ntwo\nthree\n")
    for number in (0, 1):
        (tmp_path / job.paths.log(1, number)).unlink()
    assert texts(records.log(job.ref), after, 9) == ["three"]


@settings(max_examples=40)
@given(st.lists(st.lists(st.text("xy", max_size=3), max_size=6), max_size=4), st.data())
def test_going_back_shows_what_going_forward_shows(
    attempts: list[list[str]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        job = recorded(Path(folder))
        for number, lines in enumerate(attempts, start=1):
            job.log(number, 0, "".join(f"{line}\n" for line in lines))
        (Path(folder) / job.paths.attempt(1)).mkdir(parents=True, exist_ok=True)
        records = Records(FolderPlace(Path(folder)))
        log = records.log(job.ref)
        whole = log.forward(log.start, 100).lines
        assert [line.text for line in whole] == [*chain(*attempts)]
        count = data.draw(st.integers(1, 10))
        tail = log.backward(log.end, count)
        assert tail.lines == whole[-count:]
        assert log.backward(tail.before, 100).lines == whole[: -len(tail.lines) or None]
        for index, line in enumerate(whole):
            assert log.number_of(line.spot) == index
            assert log.numbered(index, 100).lines == whole[index:]
        assert log.count() == len(whole)
        records.close()


def test_a_line_that_a_kill_tore_is_counted_as_it_is_shown(records: Records, job: Recorded) -> None:
    job.log(1, 0, "one\nto")
    job.log(2, 0, "three\nfo")
    log = records.log(job.ref)
    assert log.count() == 4
    whole = log.forward(log.start, 9).lines
    assert [line.text for line in whole] == ["one", "to", "three", "fo"]
    for number, line in enumerate(whole):
        assert log.numbered(number, 9).lines == whole[number:]
        assert log.number_of(line.spot) == number
    job.log(2, 1, "ur\n")
    assert texts(records.log(job.ref), records.log(job.ref).numbered(3, 9).before, 9) == ["four"]
    assert records.log(job.ref).count() == 4


def test_any_line_of_many_is_found_by_its_number_while_the_log_grows(
    records: Records, job: Recorded
) -> None:
    job.log(1, 0, "".join(f"line {n}\n" for n in range(200_000)))
    for number in (0, 255, 256, 511, 512, 123_456, 199_999):
        page = records.log(job.ref).numbered(number, 1)
        assert [line.text for line in page.lines] == [f"line {number}"]
        assert records.log(job.ref).number_of(page.before) == number
    job.log(1, 1, "".join(f"line {n}\n" for n in range(200_000, 201_000)))
    assert texts(records.log(job.ref), records.log(job.ref).numbered(200_999, 1).before, 1) == [
        "line 200999"
    ]
    assert records.log(job.ref).numbered(201_000, 5).lines == []


def test_a_line_of_10_mb_is_shown_in_part_and_more_of_it_can_be_had(
    records: Records, job: Recorded
) -> None:
    job.log(1, 0, "before\n" + "x" * 10_000_000 + "needle" + "y" * 100 + "\nafter\n")
    log = records.log(job.ref)
    before, long, after = log.forward(log.start, 1000).lines
    assert (before.text, after.text, long.size, long.is_cut) == (
        "before",
        "after",
        10_000_106,
        True,
    )
    assert len(long.text) < 1 << 17
    assert log.text(Spot(1, long.spot.offset + 10_000_000), 6) == "needle"
    assert [line.text for line in log.backward(log.end, 1).lines] == ["after"]
    assert log.backward(log.end, 2).lines[0].spot == long.spot
    (hit,) = log.search("needle", log.start, 10).lines
    assert hit.spot == long.spot
    assert "xneedley" in hit.text
    assert log.number_of(after.spot) == 2


def test_all_lines_are_had_in_one_pass_each_with_where_to_go_on(
    tmp_path: Path, job: Recorded
) -> None:
    for attempt in (1, 2):
        job.log(attempt, 0, "".join(f"line {number}\n" for number in range(5000)) + "torn")
    place = Watched(FolderPlace(tmp_path))
    with closing(Records(place)) as records:
        log = records.log(job.ref)
        known = len(place.asked)
        found = list(log.onward(log.start))
        assert len(place.asked) - known <= 2
        lines = [line for line, _ in found]
        assert lines == [*log.forward(log.start, 5000).lines, *lines[5000:]]
        assert len(lines) == 10_002
        assert [spot for _, spot in found[:5000]] == [line.spot for line in lines[1:5001]]
        assert found[-1][1] == log.end
        assert list(log.onward(log.end)) == []


def test_a_page_takes_little_memory_whatever_the_log_holds(records: Records, job: Recorded) -> None:
    for number in range(4):
        job.log(1, number, ("z" * 10_000_000 + "\n"))
    log = records.log(job.ref)
    tracemalloc.start()
    assert len(log.forward(log.start, 100).lines) == 4
    assert len(log.backward(log.end, 3).lines) == 3
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16e6


def test_a_search_finds_each_line_once_and_says_where_to_go_on(
    records: Records, job: Recorded
) -> None:
    job.log(1, 0, "a Needle, a needle\nnothing\n")
    job.log(1, 1, "needle\n")
    job.log(2, 0, "NEEDLE [0-9]*\n")
    log = records.log(job.ref)
    page = log.search("needle", log.start, 2)
    assert [line.text for line in page.lines] == ["a Needle, a needle", "needle"]
    page = log.search("needle", page.after, 2)
    assert [(line.spot.attempt, line.text) for line in page.lines] == [(2, "NEEDLE [0-9]*")]
    assert page.is_end
    assert [line.text for line in log.search("[0-9]*", log.start, 9).lines] == ["NEEDLE [0-9]*"]
    assert log.search("nowhere", log.start, 9).is_end


@pytest.mark.parametrize("length", [1, 6, 40])
def test_a_text_that_lies_across_chunks_is_found(
    records: Records, job: Recorded, length: int
) -> None:
    needle = ("needle" * 10)[:length]
    filling = "." * ((1 << 20) - 3)  # chunks end at 1 MiB
    job.log(1, 0, "".join(f"{filling[n * length // 3 :]}{needle}\n" for n in range(3)))
    log = records.log(job.ref)
    assert len({line.spot for line in log.search(needle, log.start, 99).lines}) == 3


def test_lines_where_chunks_meet_are_found_once_each(records: Records, job: Recorded) -> None:
    job.log(1, 0, "needle\n" * 200_000)
    log, first = records.log(job.ref), (1 << 20) // 7 - 50
    hits = log.search("needle", Spot(1, 7 * first), 100).lines
    assert [line.spot.offset // 7 for line in hits] == list(range(first, first + 100))


def test_a_search_that_has_looked_at_enough_says_so_and_goes_on_there(
    records: Records, job: Recorded
) -> None:
    job.log(1, 0, ("." * 99 + "\n") * 50_000 + "needle\n")
    log, found, looks = records.log(job.ref), list[str](), 0
    page = log.search("needle", log.start, 9, most_bytes=1 << 20)
    assert not page.lines
    assert not page.is_end
    while not (page.is_end or found):
        page, looks = log.search("needle", page.after, 9, most_bytes=1 << 20), looks + 1
        found += [line.text for line in page.lines]
    assert found == ["needle"]
    assert looks < 10


def test_errors_are_found_as_programs_tell_them(records: Records, job: Recorded) -> None:
    lines = ["errorless", "Step 1", "Traceback (most recent call last):", "ValueError: no",
             "x: CUDA out of memory", "an ERROR here", "terror"]  # fmt: skip
    job.log(1, 0, "".join(f"{line}\n" for line in lines))
    log = records.log(job.ref)
    assert [line.text for line in log.search(None, log.start, 9).lines] == lines[2:6]


def test_the_log_at_a_moment_is_found_by_the_times_that_lines_say(
    records: Records, job: Recorded
) -> None:
    job.log(1, 0, "no time\n2026-01-02T03:00:00Z INFO one\n  more\n2026-01-02T03:10:00Z INFO two\n")
    job.log(2, 0, "2026-01-02T05:00:00Z INFO three\n2026-01-02T04:00:00Z INFO a clock set back\n")
    log = records.log(job.ref)
    minute = 1767322800.0  # 03:00

    def shown(after: float) -> list[str]:
        return texts(log, log.written_at(minute + after), 1)

    assert shown(-5) == ["no time"]
    assert shown(0) == ["2026-01-02T03:00:00Z INFO one"]
    assert shown(599) == ["2026-01-02T03:00:00Z INFO one"]
    assert shown(3600) == ["2026-01-02T03:10:00Z INFO two"]
    assert shown(7200) == ["2026-01-02T05:00:00Z INFO three"]


def test_bytes_that_are_no_text_are_replaced_and_nothing_is_taken_for_a_newline_but_one(
    records: Records, job: Recorded
) -> None:
    job.put(job.paths.log(1, 0), b"\xff\x00\x1b[31m\r50%\r100%\x85\n\xe2\x80\xa8<script>\n")
    log = records.log(job.ref)
    assert texts(log, log.start, 9) == ["�\x00\x1b[31m\r50%\r100%�", "\u2028<script>"]


def test_a_job_without_a_log_is_an_answer_and_an_attempt_that_never_was_is_none(
    records: Records, job: Recorded
) -> None:
    log = records.log(job.ref)
    for page in (log.forward(log.start, 5), log.backward(log.end, 5), log.numbered(3, 5),
                 log.search("x", log.start, 5)):  # fmt: skip
        assert (page.lines, page.is_end) == ([], True)
    assert log.written_at(0) == log.start
    with pytest.raises(MissingError):
        records.log(job.ref, attempt=3)


@pytest.mark.parametrize("count", [0, -1, 10**6])
def test_how_many_lines_is_bounded(records: Records, job: Recorded, count: int) -> None:
    log = records.log(job.ref)
    with pytest.raises(QueryError):
        log.forward(log.start, count)
