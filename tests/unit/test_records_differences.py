"""What differs between jobs, and whether it helped."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest

from sihl_api.fingerprint import AnnotationsFingerprint, DatasetFingerprint, SplitFingerprint
from sihl_api.record import JobSummary
from sihl_dashboard.records import Differences, FolderPlace, JobRef, Records
from sihl_dashboard.records.differences import Compared, differences
from tests.support.recorded import SPEC, changed, recorded, validation

A, B, C = (JobRef("team-a", "cells", f"{name}.1") for name in "abc")


def summary(
    better: str | None = "higher", best: float | None = 0.5, last: float = 0.25
) -> JobSummary:
    metric: dict[str, Any] = {"last": {"step": 100, "value": last}, "better": better}
    if best is not None:
        metric["best"] = {"step": 90, "value": best}
    return JobSummary.model_validate({"updatedAt": "", "validation": {"map": metric}})


def job(best: float | None = 0.5, better: str | None = "higher", **facts: Any) -> Compared:
    settings = {name.replace("_", "."): value for name, value in facts.items()}
    return Compared(settings, {}, summary(better, best))


def compared(jobs: dict[JobRef, Compared], **more: Any) -> Differences:
    return differences(jobs, more.pop("baseline", A), more.pop("metrics", None), **more)


def test_only_what_differs_is_told_and_a_missing_field_is_not_an_empty_one() -> None:
    jobs = {
        A: job(spec_x=1, spec_y=None, spec_z=True),
        B: job(spec_x=1, spec_z=1),
        C: job(spec_x=1),
    }
    found = {each.path: each.values for each in compared(jobs).settings}
    assert found == {"spec.y": {A: None}, "spec.z": {A: True, B: 1}}


def test_specs_differ_by_what_they_say_and_not_by_defaults_that_one_spells_out(
    tmp_path: Path,
) -> None:
    first, second = recorded(tmp_path, "a"), recorded(tmp_path, "b")
    heads = [{"name": "other", "task": "Autoencoding"}, *SPEC["model"]["heads"]]
    first.job()
    second.job({
        **changed(SPEC, optimizer={"name": "AdamW", "learningRate": 0.01}, precision="float32"),
        "model": {"heads": heads},
    })  # fmt: skip
    found = Records(FolderPlace(tmp_path)).differences([first.ref, second.ref])
    told = {each.path: each.values for each in found.settings}
    assert told.pop("spec.training.optimizer.learningRate") == {first.ref: 1e-3, second.ref: 0.01}
    assert told  # of the head that only one has; where `boxes` stands among them does not matter
    assert all(path.startswith("spec.model.heads.other.") for path in told)


def test_datasets_differ_by_their_fingerprints_and_who_has_none_is_named(tmp_path: Path) -> None:
    jobs = [recorded(tmp_path, name) for name in "abc"]
    for number, each in enumerate(jobs):
        boxes = AnnotationsFingerprint(
            digest=f"{number}", task="ObjectDetection", images=9, counts={"cell": 5 + number}
        )
        split = SplitFingerprint(images=9, bytes=99, objects="same", annotations={"boxes": boxes})
        each.job(dataset=DatasetFingerprint(train=split) if number < 2 else None)
    found = Records(FolderPlace(tmp_path)).differences([each.ref for each in jobs])
    a, b, c = (each.ref for each in jobs)
    assert {each.path: each.values for each in found.dataset} == {
        "data.train.annotations.boxes.digest": {a: "0", b: "1"},
        "data.train.annotations.boxes.counts.cell": {a: 5, b: 6},
    }
    assert found.unknown_data == [c]


@pytest.mark.parametrize(
    ("better", "value", "is_better"),
    [("higher", 0.75, True), ("higher", 0.25, False), ("lower", 0.25, True), ("higher", 0.5, None),
     (None, 0.75, None)],
)  # fmt: skip
def test_each_job_has_its_delta_to_the_baseline_and_whether_it_is_better(
    better: str | None, value: float, is_better: bool | None
) -> None:
    base, other = compared({A: job(0.5, better), B: job(value, better)}).scores
    assert (base.value, base.step, base.delta) == (0.5, 90, None)
    assert (other.delta, other.is_better) == (value - 0.5, is_better)


def test_where_no_value_is_best_the_last_one_counts_and_a_job_without_has_none() -> None:
    empty = Compared({}, {}, None)
    found = compared({A: job(None), B: empty}, metrics=["validation/map"], baseline=B).scores
    assert [(score.value, score.delta) for score in found] == [(0.25, None), (None, None)]


def test_jobs_that_differ_by_seed_only_show_how_much_chance_there_is() -> None:
    jobs = {
        A: job(0.5, spec_training_seed=0, spec_priority=0, spec_runner_nodeSelector="a"),
        B: job(0.75, spec_training_seed=1, spec_priority=5, spec_runner_nodeSelector="b"),
        C: job(0.9, spec_training_seed=2, spec_training_batchSize=8),
    }
    (spread,) = compared(jobs).spreads
    assert spread.refs == (A, B)
    assert (spread.mean, spread.min, spread.max) == (0.625, 0.5, 0.75)
    assert spread.deviation == statistics.stdev([0.5, 0.75])


@pytest.mark.parametrize("path", ["spec.runner.gpus", "spec.runner.image", "image"])
def test_what_takes_part_in_the_result_is_no_matter_of_seed(path: str) -> None:
    jobs = {ref: Compared({path: ref.job}, {}, summary()) for ref in (A, B)}
    assert compared(jobs).spreads == []


def test_jobs_without_a_summary_are_compared_by_what_their_lines_tell(tmp_path: Path) -> None:
    old = recorded(tmp_path)
    old.job()
    old.metrics(1, 0, validation(10, 0.75), validation(20, 0.5))
    found = Records(FolderPlace(tmp_path)).differences([old.ref], which="max")
    assert [(s.metric, s.value, s.step) for s in found.scores] == [
        ("validation/boxes/map", 0.75, 10)
    ]


def test_data_that_changed_between_attempts_are_told(tmp_path: Path) -> None:
    one = recorded(tmp_path)
    one.job()
    one.summary([{"number": 1, "dataset": "abc"}, {"number": 2, "dataset": "def"}])
    (trouble,) = Records(FolderPlace(tmp_path)).differences([one.ref]).troubles
    assert "changed between attempts" in trouble.what


def test_a_job_that_has_no_record_is_told_beside_the_others(tmp_path: Path) -> None:
    one = recorded(tmp_path)
    one.job()
    found = Records(FolderPlace(tmp_path)).differences([one.ref, A])
    assert found.unknown_data == [one.ref]
    assert [trouble.where for trouble in found.troubles] == ["a.1"]
