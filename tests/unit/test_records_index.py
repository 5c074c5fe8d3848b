"""Many jobs: read once, then only what is new; and whatever their records hold, there is a list."""

from __future__ import annotations

import json
import math
import random
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sihl_dashboard.records import Condition, FolderPlace, JobRef, Query, QueryError, Records
from sihl_dashboard.records.errors import MissingError, StoreAwayError
from sihl_dashboard.records.facts import flat
from sihl_dashboard.records.index import Known
from sihl_dashboard.records.refresh import is_due
from tests.support.recorded import SPEC, Recorded, Watched, changed, recorded
from tests.support.specs import Specs

ENDED = {"number": 1, "startedAt": "2026-01-02T03:00:00Z", "reason": "Succeeded"}
UPDATED = datetime(2026, 1, 2, 4, tzinfo=UTC).timestamp()
"""When summaries were written, as they say."""
SEED = "spec.training.seed"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


@pytest.fixture
def place(root: Path) -> Watched:
    return Watched(FolderPlace(root))


def ended(root: Path, name: str, reason: str = "Succeeded", **training: Any) -> Recorded:
    job = recorded(root, name)
    job.job(changed(SPEC, **training))
    point = {"step": 90, "value": 0.5}
    metric = {"last": {"step": 100, "value": 0.25}, "best": point, "better": "higher"}
    job.summary(
        [{**ENDED, "reason": reason}],
        validation={"boxes/map": metric},
        progress={"step": 100, "maxSteps": 100},
    )
    return job


def listed(records: Records, *columns: str, **more: Any) -> list[list[Any]]:
    found = records.jobs("team-a", "cells", Query(columns=columns, **more), max_age=0)
    return [[row.ref.job, *row.values.values()] for row in found.rows]


# --- what is listed ---------------------------------------------------------------------------


def test_a_job_is_listed_with_the_columns_that_are_asked_for(root: Path) -> None:
    ended(root, "night", seed=3)
    columns = ("job.state", "job.step", SEED, "spec.model.heads.boxes.task", "spec.suspend",
               "validation/boxes/map", "validation/boxes/map:last", "no-such")  # fmt: skip
    assert listed(Records(FolderPlace(root)), *columns) == [
        ["night", "Succeeded", 100, 3, "ObjectDetection", False, 0.5, 0.25, None]
    ]


def test_jobs_are_filtered_sorted_and_counted(root: Path) -> None:
    for number in range(5):
        ended(root, f"job-{number}", "Stopped" if number == 4 else "Succeeded", seed=number)
    records = Records(FolderPlace(root))

    def names(*conditions: tuple[str, Any, Any], **more: Any) -> list[str]:
        chosen = tuple(Condition(*each) for each in conditions)
        return [name for name, *_ in listed(records, conditions=chosen, order_by=SEED, **more)]

    assert names((SEED, ">=", 2), ("job.state", "=", "Succeeded")) == ["job-3", "job-2"]
    assert names(("job.name", "contains", "JOB-1")) == ["job-1"]
    assert names(("job.state", "!=", "Succeeded")) == ["job-4"]
    assert names(("no-such", "exists", True)) == []
    assert names(descending=False, limit=2, offset=1) == ["job-1", "job-2"]
    assert records.jobs("team-a", "cells", Query(limit=1)).total == 5


def test_a_project_says_which_of_its_columns_differ(root: Path) -> None:
    for number in range(3):
        ended(root, f"job-{number}", seed=number)
    columns = Records(FolderPlace(root)).jobs("team-a", "cells").columns
    assert columns[SEED]
    assert columns["spec.training.maxSteps"] is False


@pytest.mark.parametrize("path", ['a"b', "a\\b", "a\nb", "x" * 2000])
def test_a_column_that_can_be_none_is_refused(root: Path, path: str) -> None:
    with pytest.raises(QueryError, match="is no column"):
        Records(FolderPlace(root)).jobs("team-a", "cells", Query(columns=(path,)))


@given(st.text(max_size=12), st.text(max_size=12))
def test_no_name_and_no_value_in_a_query_breaks_it(path: str, value: str) -> None:
    records = Records(FolderPlace(Path(__file__).parent))
    query = Query((path,), (Condition(path, "=", value),), path)
    try:
        assert records.jobs("a", "b", query).rows == []
    except QueryError:
        assert not path.isprintable() or set(path) & set('"\\')


@pytest.mark.parametrize("name", ["..", "a/b", "", "a\0b", "a\nb", "\ud800"])
def test_no_name_leads_out_of_the_store(root: Path, name: str) -> None:
    records = Records(FolderPlace(root))
    for ask in (
        lambda: records.jobs(name, "cells"), lambda: records.jobs("team-a", name),
        lambda: records.projects(name), lambda: JobRef("team-a", "cells", f"{name}.1/.."),
    ):  # fmt: skip
        with pytest.raises(QueryError):
            ask()


# --- only what is new -------------------------------------------------------------------------


def test_a_job_that_has_succeeded_is_read_once(root: Path, place: Watched) -> None:
    ended(root, "night")
    records = Records(place)
    listed(records)
    place.asked.clear()
    assert listed(records) == [["night"]]
    assert place.asked == ["folders team-a/cells/"]


def test_a_job_that_goes_on_is_asked_for_by_its_tag_and_seen_to_change(
    root: Path, place: Watched
) -> None:
    job = recorded(root)
    job.job()
    job.summary([{"number": 1}], progress={"step": 10, "maxSteps": 100})
    records = Records(place, clock=lambda: UPDATED)
    assert listed(records, "job.step") == [["night", 10]]
    place.asked.clear()
    assert listed(records, "job.step") == [["night", 10]]
    assert place.asked == ["folders team-a/cells/", f"changed {job.paths.summary}"]
    job.summary([ENDED], progress={"step": 100, "maxSteps": 100})
    assert listed(records, "job.step", "job.state") == [["night", 100, "Succeeded"]]


def test_the_longer_a_job_stands_still_the_more_seldom_it_is_asked_for() -> None:
    def due_after(still: float, passed: float) -> bool:
        return is_due(Known("j", "s", final=False, changed=0, asked=still), still + passed)

    assert due_after(still=0, passed=0)
    assert not due_after(still=1000, passed=49)
    assert due_after(still=1000, passed=51)
    assert not due_after(still=1e7, passed=599)
    assert due_after(still=1e7, passed=601)
    assert due_after(still=1000, passed=-5)  # the clock was set back


def test_a_record_that_was_removed_is_listed_no_more(root: Path) -> None:
    job = ended(root, "night")
    records = Records(FolderPlace(root))
    assert listed(records) == [["night"]]
    for path in (root / job.paths.root).iterdir():
        path.unlink()
    (root / job.paths.root).rmdir()
    assert listed(records) == []


def test_a_folder_that_a_removed_record_left_behind_is_no_job(root: Path) -> None:
    (root / recorded(root).paths.root).mkdir(parents=True)
    assert listed(Records(FolderPlace(root))) == []


def test_all_who_look_within_a_moment_are_answered_from_one_look(
    root: Path, place: Watched
) -> None:
    ended(root, "night")
    records = Records(place)
    for _ in range(5):
        records.jobs("team-a", "cells", max_age=1000)
    assert place.asked.count("folders team-a/cells/") == 1


def test_who_has_no_patience_is_answered_with_what_is_known_and_the_look_goes_on(
    root: Path, place: Watched
) -> None:
    ended(root, "night")
    records, gate = Records(place), threading.Event()
    place.before = lambda _: assert_opens(gate)
    found = records.jobs("team-a", "cells", patience=0)
    assert (found.rows, found.look.is_under_way, found.look.at) == ([], True, 0)
    gate.set()
    found = records.jobs("team-a", "cells")  # waits for that same look
    assert (found.total, found.look.is_under_way) == (1, False)
    assert place.asked.count("folders team-a/cells/") == 1


def assert_opens(gate: threading.Event) -> None:
    assert gate.wait(60)


def test_what_is_known_outlives_the_process(root: Path, place: Watched, tmp_path: Path) -> None:
    ended(root, "night")
    first = Records(place, tmp_path / "scratch")
    listed(first)
    first.close()
    place.asked.clear()
    assert listed(Records(place, tmp_path / "scratch")) == [["night"]]
    assert place.asked == ["folders team-a/cells/"]


def break_header(file: Path) -> None:
    file.write_bytes(b"nonsense" * 1000)


def of_another_release(file: Path) -> None:
    db = sqlite3.connect(file)
    db.executescript("PRAGMA user_version = 99; CREATE TABLE other (x);")
    db.close()


def take_its_place(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("spoil", [break_header, of_another_release, take_its_place])
def test_an_index_that_is_broken_or_of_another_release_is_made_anew(
    root: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    ended(root, "night")
    scratch = tmp_path / "scratch"
    first = Records(FolderPlace(root), scratch)
    listed(first)
    first.close()
    (file,) = scratch.glob("*.sqlite")
    spoil(file)
    assert listed(Records(FolderPlace(root), scratch)) == [["night"]]


# --- the store away ---------------------------------------------------------------------------


def fail(request: str) -> None:
    raise StoreAwayError("store: did not answer")


def test_while_the_store_is_away_what_is_known_is_answered_and_the_trouble_told(
    root: Path, place: Watched
) -> None:
    ended(root, "night")
    records = Records(place)
    listed(records)
    place.before = fail
    found = records.jobs("team-a", "cells", max_age=0)
    assert [row.ref.job for row in found.rows] == ["night"]
    assert "did not answer" in found.troubles[0].what
    place.before = lambda _: None
    assert records.jobs("team-a", "cells", max_age=0).troubles == ()


def test_a_job_that_the_store_does_not_give_costs_no_other_its_place(
    root: Path, place: Watched
) -> None:
    for number in range(10):
        ended(root, f"job-{number}")
    records = Records(place)
    place.before = lambda request: fail(request) if "job-5" in request else None
    found = records.jobs("team-a", "cells", max_age=0)
    assert found.total == 9
    assert [trouble.where for trouble in found.troubles] == ["job-5.01234567"]


def test_a_look_that_the_store_breaks_off_keeps_what_it_has_and_goes_on_with_the_rest(
    root: Path, place: Watched
) -> None:
    for number in range(1000):
        recorded(root, f"job-{number:03d}").job()
    records = Records(place, threads=1)
    place.before = lambda request: fail(request) if "job-1" in request else None
    found = records.jobs("team-a", "cells", max_age=0)
    assert found.total == 100
    assert "is away" in found.troubles[-1].what
    assert len(place.asked) < 600  # nobody asks a thousand times who gets no answer
    place.before = lambda _: None
    place.asked.clear()
    assert records.jobs("team-a", "cells", max_age=0).total == 1000


# --- hostile and old --------------------------------------------------------------------------


def test_a_record_of_an_earlier_release_is_known_by_how_its_last_attempt_ended(
    root: Path,
) -> None:
    job = recorded(root)
    job.job()
    job.metrics(1, 0)
    job.put(job.paths.result(2), json.dumps(
        {"reason": "Stopped", "step": 40, "metrics": {"boxes/map": "0.4", "x": "none"}}
    ).encode())  # fmt: skip
    columns = ("job.state", "job.attempts", "validation/boxes/map", "validation/x")
    assert listed(Records(FolderPlace(root)), *columns) == [["night", "Stopped", 2, 0.4, None]]


def test_fields_of_a_later_release_are_left_out_and_told(root: Path) -> None:
    job = recorded(root)
    job.job()
    path = root / job.paths.job_json
    raw = json.loads(path.read_text())
    raw["spec"]["training"]["colour"] = "blue"
    raw["spec"]["model"]["heads"][0]["depth"] = 3
    path.write_text(json.dumps(raw))
    records = Records(FolderPlace(root))
    assert listed(records, "spec.training.optimizer.name") == [["night", "AdamW"]]
    (trouble,) = records.job(job.ref).troubles
    assert "spec.training.colour" in trouble.what


def test_a_spec_that_cannot_be_typed_is_shown_as_it_stands(root: Path) -> None:
    job = recorded(root)
    job.job()
    path = root / job.paths.job_json
    path.write_text(path.read_text().replace("ObjectDetection", "Juggling"))
    records = Records(FolderPlace(root))
    assert listed(records, "spec.model.heads.boxes.task") == [["night", "Juggling"]]
    assert "cannot be read in full" in records.job(job.ref).troubles[0].what


HOSTILE = [
    b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b"[" * 50_000, b'{"spec": []}',
    b'{"spec": "\\ud800"}',
    b'{"name": 5, "uid": null, "spec": {"a\\"b": {"c": NaN}}, "versions": [1], "createdAt": 1e999}',
    b'{"updatedAt": 5, "attempts": {"number": 1}, "train": {"a": 5}, "progress": []}',
    b'{"updatedAt": "x", "attempts": [5, {"number": 1, "reason": "Stopped"}], "train": {"a":'
    b' {"last": {"step": 1, "value": NaN}, "min": {"step": 99999999999999999999999, "value": 1}}}}',
    b'{"updatedAt": "9999-99-99", "attempts": [{"number": -1}], "validation": {"\\u202e<script>":'
    b' {"last": {"step": 1, "value": Infinity}}}}',
    json.dumps({"spec": {f"k{n}": n for n in range(50_000)}, "name": "x" * 10**6}).encode(),
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_a_record_holds_it_is_listed_and_its_neighbours_are(
    root: Path, text: bytes
) -> None:
    for name, keys in {
        "bad-1": ["job_json"],
        "bad-2": ["summary"],
        "bad-3": ["job_json", "summary"],
    }.items():
        job = ended(root, name)
        for key in keys:
            job.put(getattr(job.paths, key), text)
    ended(root, "good")
    records = Records(FolderPlace(root))
    found = records.jobs("team-a", "cells", Query(order_by="job.name", descending=False))
    assert [row.ref.job for row in found.rows] == ["bad-1", "bad-2", "bad-3", "good"]
    assert len({trouble.where for trouble in found.troubles}) == 4
    refs = [row.ref for row in found.rows]
    assert all(records.job(ref).facts for ref in refs)
    assert records.differences(refs).settings


def test_what_is_no_jobs_folder_is_told_beside(root: Path) -> None:
    ended(root, "good")
    for name in ("no-uid", "x.123456789", "new\nline.1"):
        (root / "team-a" / "cells" / name).mkdir()
    found = Records(FolderPlace(root)).jobs("team-a", "cells")
    assert len(found.rows) == 1
    assert len(found.troubles) == 3


def test_a_job_that_has_no_record_is_missing(root: Path) -> None:
    with pytest.raises(MissingError, match="night"):
        Records(FolderPlace(root)).job(recorded(root).ref)


@given(st.integers(0, 2**32))
def test_every_legal_spec_is_flat_with_each_of_its_fields_once(seed: int) -> None:
    spec = Specs(random.Random(seed)).drawn("cells")
    found = flat(spec, "spec")
    heads = spec["model"]["heads"]
    assert len(found) == leaves(spec) - (len(heads) if tells_apart(heads) else 0)
    assert all(value is None or isinstance(value, str | int | float) for value in found.values())
    assert not any(isinstance(fact, float) and not math.isfinite(fact) for fact in found.values())


def leaves(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(leaves, value.values()))
    return sum(map(leaves, value)) if isinstance(value, list) and tells_apart(value) else 1


def tells_apart(items: list[Any]) -> bool:
    """Whether each has a name of its own, which is in the path."""
    names = {item.get("name") for item in items if isinstance(item, dict)} - {None}
    return bool(items) and len(names) == len(items)
