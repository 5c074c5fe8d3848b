"""Pictures of validations: those that count, and the same image as several jobs saw it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sihl_dashboard.records import FolderPlace, MissingError, QueryError, Records
from tests.support.recorded import Recorded, recorded


def draw(job: Recorded, attempt: int, step: int, *files: str) -> None:
    for file in files:
        job.put(f"{job.paths.pictures(attempt, step)}{file}", f"{attempt}/{step}/{file}".encode())


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(FolderPlace(tmp_path))


@pytest.fixture
def job(tmp_path: Path) -> Recorded:
    found = recorded(tmp_path)
    found.job()
    return found


def test_pictures_are_listed_by_step_head_and_image_and_read(
    records: Records, job: Recorded
) -> None:
    draw(job, 1, 20, "boxes/b.jpg.png", "boxes/a.jpg.png", "boxes/annotations.json")
    draw(job, 1, 10, "masks/a.jpg.png")
    found = records.pictures(job.ref)
    assert [(each.step, each.head, each.file) for each in found] == [
        (10, "masks", "a.jpg.png"), (20, "boxes", "a.jpg.png"), (20, "boxes", "annotations.json"),
        (20, "boxes", "b.jpg.png"),
    ]  # fmt: skip
    assert [each.is_image for each in found] == [True, True, False, True]
    assert records.picture(job.ref, found[0]) == b"1/10/masks/a.jpg.png"


def test_of_steps_that_a_later_attempt_superseded_its_own_pictures_count(
    records: Records, job: Recorded
) -> None:
    for attempt, step in ((1, 10), (1, 20), (1, 30), (2, 20)):
        draw(job, attempt, step, "boxes/a.jpg.png")
    attempts = [{"number": 1, "firstStep": 1}, {"number": 2, "resumedAtStep": 15, "firstStep": 16}]
    job.summary(attempts)
    assert [(each.attempt, each.step) for each in records.pictures(job.ref)] == [(1, 10), (2, 20)]


def test_the_same_image_of_several_jobs_lies_side_by_side_each_at_its_own_step(
    records: Records, job: Recorded, tmp_path: Path
) -> None:
    other = recorded(tmp_path, "other")
    other.job()
    draw(job, 1, 10, "boxes/a.jpg.png", "boxes/only-here.jpg.png")
    draw(job, 1, 20, "boxes/a.jpg.png")
    draw(other, 1, 15, "boxes/a.jpg.png", "boxes/annotations.json")
    (same,) = records.same_images([job.ref, other.ref])
    assert (same.head, same.file) == ("boxes", "a.jpg.png")
    assert {ref.job: each.step for ref, each in same.pictures.items()} == {"night": 20, "other": 15}
    (same,) = records.same_images([job.ref, other.ref], step=18)
    assert {ref.job: each.step for ref, each in same.pictures.items()} == {"night": 10, "other": 15}


def test_a_picture_that_is_gone_is_missing_and_no_name_leads_elsewhere(
    records: Records, job: Recorded, tmp_path: Path
) -> None:
    draw(job, 1, 10, "boxes/a.jpg.png")
    (picture,) = records.pictures(job.ref)
    with pytest.raises(MissingError):
        records.picture(job.ref, replace(picture, step=11))
    for wrong in (
        replace(picture, head=".."),
        replace(picture, file="../../../job.json"),
        replace(picture, file=""),
    ):
        with pytest.raises(QueryError):
            records.picture(job.ref, wrong)
