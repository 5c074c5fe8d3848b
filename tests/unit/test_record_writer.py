from __future__ import annotations

import functools
import itertools
import re
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sihl_api.fingerprint import DatasetFingerprint, SplitFingerprint
from sihl_api.record import JobRecord, MetricLine, to_read
from sihl_api.runtime import JobReference, Result
from sihl_trainer.errors import Unavailable
from sihl_trainer.record.retry import backoff, persist
from sihl_trainer.record.spool import Spool
from sihl_trainer.record.store import FolderStore
from sihl_trainer.record.writable import Writable
from sihl_trainer.record.writer import RecordWriter, last_validation, write_job
from tests.support.datasets import job
from tests.support.disk import fill, small_disk
from tests.support.records import PATHS
from tests.support.waiting import eventually


def line(step: int, kind: str = "train", **values: float) -> MetricLine:
    return MetricLine.model_validate(
        {"time": "2026-01-02T03:04:05Z", "step": step, "kind": kind, "values": values}
    )


def content(store: FolderStore, kind: str, attempt: int = 1) -> list[str]:
    keys = to_read(o.key for o in store.objects(f"{PATHS.attempt(attempt)}{kind}-"))
    return b"".join(map(store.get, keys)).decode().splitlines()


def has_lines(store: FolderStore, kind: str, count: int) -> bool:
    return len(content(store, kind)) == count


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def test_lines_arrive_in_segments_while_the_attempt_runs(
    store: FolderStore, tmp_path: Path
) -> None:
    writer = RecordWriter(store, PATHS, 1, tmp_path / "spool", interval=0.02)
    writer.start()
    for step in range(3):
        writer.log(f"step {step}".encode())
        writer.metrics(line(step, loss=float(step)))
        for kind in ("log", "metrics"):
            eventually(functools.partial(has_lines, store, kind, step + 1))
    writer.close()
    assert [o.key for o in store.objects(PATHS.attempt(1))] == [
        *(PATHS.log(1, number) for number in range(3)),
        *(PATHS.metrics(1, number) for number in range(3)),
    ]
    assert [MetricLine.model_validate_json(x) for x in content(store, "metrics")] == [
        line(step, loss=float(step)) for step in range(3)
    ]


def test_what_was_said_last_is_in_the_record_once_it_is_closed(
    store: FolderStore, tmp_path: Path
) -> None:
    writer = RecordWriter(store, PATHS, 1, tmp_path / "spool", interval=60)
    writer.start()
    writer.log(b"the end")
    writer.close()
    assert content(store, "log") == ["the end"]


class Outage(FolderStore):
    """A folder that can be out of reach."""

    def __init__(self, root: Path, error: Exception | None = None) -> None:
        super().__init__(root)
        self._error = error or Unavailable("StoreUnavailable", "away")
        self.away = threading.Event()
        self.refused = 0

    def upload(self, key: str, path: Path) -> None:
        self._refuse()
        super().upload(key, path)

    def put(self, key: str, data: bytes) -> None:
        self._refuse()
        super().put(key, data)

    def _refuse(self) -> None:
        if self.away.is_set():
            self.refused += 1
            raise self._error


@pytest.mark.parametrize(
    "error", [Unavailable("StoreUnavailable", "away"), KeyError("what nobody foresaw")]
)
def test_lines_written_while_the_store_is_away_arrive_when_it_is_back(
    error: Exception, tmp_path: Path
) -> None:
    store = Outage(tmp_path / "store", error)
    writable = Writable(clock=itertools.count(0, 60).__next__)
    store.away.set()
    writer = RecordWriter(store, PATHS, 1, tmp_path / "spool", interval=0.02, writable=writable)
    writer.start()
    writer.log(b"during")
    eventually(lambda: store.refused > 1)
    report = writable.report()
    assert report is not None
    assert not report.writable
    writer.log(b"later")
    store.away.clear()
    eventually(lambda: content(store, "log") == ["during", "later"])
    writer.close()


def test_a_full_disk_costs_the_record_no_line(store: FolderStore) -> None:
    with small_disk(megabytes=1) as disk:
        writer = RecordWriter(store, PATHS, 1, disk / "spool", interval=0.02)
        writer.start()
        lines = [f"{number} {'x' * 3000}" for number in range(3)]
        writer.log(lines[0].encode())
        eventually(functools.partial(has_lines, store, "log", 1))
        fill(disk / "filler")
        writer.log(lines[1].encode())
        eventually(functools.partial(has_lines, store, "log", 2))
        (disk / "filler").unlink()
        writer.log(lines[2].encode())
        writer.close()
        assert content(store, "log") == lines
        assert [path for path in disk.rglob("*") if path.is_file()] == []


def test_lines_that_neither_disk_nor_store_takes_arrive_later(tmp_path: Path) -> None:
    store = Outage(tmp_path / "store")
    store.away.set()
    with small_disk(megabytes=1) as disk:
        writer = RecordWriter(store, PATHS, 1, disk / "spool", interval=0.02)
        fill(disk / "filler")
        writer.start()
        writer.log(b"during")
        eventually(lambda: store.refused > 0)
        writer.log(b"later")
        store.away.clear()
        eventually(lambda: content(store, "log") == ["during", "later"])
        writer.close()


def test_closing_does_not_wait_for_ever_for_a_store_that_is_away(tmp_path: Path) -> None:
    store = Outage(tmp_path / "store")
    store.away.set()
    writer = RecordWriter(store, PATHS, 1, tmp_path / "spool", interval=60)
    writer.start()
    writer.log(b"lost")
    writer.close()
    assert store.refused == 3


def test_an_attempt_that_is_made_twice_overwrites_no_segment(
    store: FolderStore, tmp_path: Path
) -> None:
    lives = ["first", "second", "third", "fourth"]
    for life in lives:
        writer = RecordWriter(store, PATHS, 1, tmp_path / life, interval=60)
        writer.start()
        writer.log(life.encode())
        writer.close()
        if life == "second":
            writer.merge()
    assert content(store, "log") == lives


def test_what_was_shipped_is_merged_when_the_attempt_is_over(
    store: FolderStore, tmp_path: Path
) -> None:
    writer = RecordWriter(store, PATHS, 1, tmp_path / "spool", interval=0.02)
    writer.start()
    for step in range(3):
        writer.log(f"step {step}".encode())
        writer.metrics(line(step, loss=float(step)))
        eventually(functools.partial(has_lines, store, "log", step + 1))
        writer.merge()  # while it runs
    writer.close()
    writer.merge()
    merged = [len(to_read([o.key])) for o in store.objects(PATHS.attempt(1))]
    assert merged == [1, 1]  # an object of each kind
    assert content(store, "log") == ["step 0", "step 1", "step 2"]
    assert len(content(store, "metrics")) == 3


def test_a_merge_that_cannot_be_costs_nothing(tmp_path: Path) -> None:
    store = Outage(tmp_path / "store")
    for number in range(2):
        store.put(PATHS.log(1, number), b"line\n")
    store.away.set()
    RecordWriter(store, PATHS, 1, tmp_path / "spool").merge()
    assert store.refused == 1
    assert content(store, "log") == ["line", "line"]


def test_the_result_in_the_record_is_the_termination_message(
    store: FolderStore, tmp_path: Path
) -> None:
    result = Result(reason="Stopped", message="as asked", step=3)
    RecordWriter(store, PATHS, 2, tmp_path / "spool").result(result)
    assert store.get(PATHS.result(2)) == result.encode()


def test_job_json_is_written_once_with_the_versions_of_what_trains(store: FolderStore) -> None:
    created = "2026-01-02T03:04:05Z"
    reference = JobReference(
        namespace="team-a", name="night", uid="u" * 36, spec=job(), created_at=created
    )
    dataset = DatasetFingerprint(train=SplitFingerprint(images=2, bytes=3, objects="o"))
    write_job(store, PATHS, reference, "trainer@sha256:1", dataset)
    first = store.get(PATHS.job_json)
    write_job(store, PATHS, reference, "trainer@sha256:2")
    assert store.get(PATHS.job_json) == first
    record = JobRecord.model_validate_json(first)
    assert record.spec == job()
    assert record.image == "trainer@sha256:1"
    assert record.submitted_at == created
    assert record.dataset == dataset
    assert {"python", "torch"} <= record.versions.keys()


def test_the_last_validation_is_that_of_the_highest_step_over_all_attempts(
    store: FolderStore,
) -> None:
    def put(attempt: int, segment: int, *lines: MetricLine) -> None:
        text = "".join(f"{each.model_dump_json(by_alias=True)}\n" for each in lines)
        store.put(PATHS.metrics(attempt, segment), text.encode())

    assert last_validation(store, PATHS) is None
    put(1, 0, line(5, "validation", map=0.1), line(6), line(10, "validation", map=0.2))
    put(1, 1, line(11))
    put(2, 0, line(10, "validation", map=0.3))
    put(10, 0, line(11))
    latest = last_validation(store, PATHS)
    assert latest is not None
    assert (latest.step, latest.values) == (10, {"map": 0.3})


# --- the spool -------------------------------------------------------------------------------


@given(lines=st.lists(st.binary(max_size=30).filter(lambda x: b"\n" not in x), max_size=40))
def test_a_spool_gives_every_line_back_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool"), segment_bytes=64)
    read: list[bytes] = []
    for number, text in enumerate(lines):
        spool.append(text)
        if number % 7 == 0:
            read += take(spool)
    read += take(spool) + take(spool)
    assert read == lines
    assert spool.waiting() == []


def take(spool: Spool) -> list[bytes]:
    lines = []
    for segment in spool.waiting():
        lines += segment.path.read_bytes().split(b"\n")[:-1]
        spool.done(segment)
    return lines


def test_the_oldest_log_is_dropped_first_and_the_loss_is_told(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=100, limit_bytes=1000)
    for number in range(500):
        spool.append(b"line %03d" % number)
    on_disk = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert on_disk < 1400
    text = b"\n".join(take(spool) + take(spool)).decode()
    assert "line 499" in text
    assert "line 000" not in text
    dropped = sum(int(n) for n in re.findall(r"\[\d+ earlier log segments, (\d+) bytes", text))
    assert dropped > 0


def test_metrics_are_never_dropped(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=100)
    for number in range(500):
        spool.append(b"line %03d" % number)
    assert len(take(spool) + take(spool)) == 500


# --- trying again ----------------------------------------------------------------------------


@given(failures=st.integers(1, 10_000))
def test_a_pause_grows_up_to_its_bound(failures: int) -> None:
    assert 0 < backoff(failures) <= backoff(failures + 1) <= 30


def test_an_action_is_tried_until_it_succeeds() -> None:
    left = [Unavailable("A", "1"), Unavailable("A", "2")]

    def action() -> str:
        if left:
            raise left.pop()
        return "done"

    assert persist(action, "Acting", until=lambda: float("inf")) == "done"


def test_an_action_that_keeps_failing_is_given_up_in_time() -> None:
    def action() -> None:
        raise Unavailable("A", "away")

    with pytest.raises(Unavailable, match="away"):
        persist(action, "Acting", until=lambda: 0)
