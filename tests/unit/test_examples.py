"""Each task has a job to copy, on a dataset of digits that feeds it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from examples.digits import KINDS, make
from sihl_api.tasks import Task, conversion_path, task_from_words
from sihl_trainer.jobfile import read_job

EXAMPLES = Path(__file__).parents[2] / "examples"
DIGITS = sorted(path for path in EXAMPLES.glob("*.yaml") if path.name != "cells.yaml")


@pytest.mark.parametrize("task", Task)
def test_every_task_has_an_example_that_is_called_like_it(task: Task) -> None:
    example = read_job(EXAMPLES / f"{task.words.replace(' ', '-')}.yaml")
    assert [head.task for head in example.spec.model.heads] == [task]
    assert example.name == f"digits-{task.words.replace(' ', '-')}"


def kind_of(path: Path) -> str:
    """The kind of dataset that an example learns from, and is validated on."""
    dataset = read_job(path).spec.dataset
    folder, kind, split = dataset.train.prefix.split("/")
    assert dataset.validation is not None
    assert (folder, split) == ("datasets", "train")
    assert dataset.validation.prefix == f"datasets/{kind}/validation"
    return kind


def test_examples_can_be_told_apart() -> None:
    jobs = [read_job(path) for path in DIGITS]
    assert len({job.name for job in jobs}) == len(jobs)


@pytest.mark.parametrize("path", DIGITS, ids=lambda path: path.name)
def test_the_dataset_of_an_example_feeds_its_heads(tmp_path: Path, path: Path) -> None:
    kind = kind_of(path)
    assert KINDS[kind]
    make(kind, tmp_path, count=2, held_out=2)
    metadata = tmp_path / "train" / "metadata.yaml"
    fields = yaml.safe_load(metadata.read_text()) if metadata.exists() else {}
    sets = fields.get("tasks", {"annotations": fields})
    for head in read_job(path).spec.model.heads:
        if not head.task.self_supervised:
            chosen = sets[head.annotations] if head.annotations else next(iter(sets.values()))
            assert len(sets) == 1 or head.annotations
            assert conversion_path(task_from_words(chosen["task"]), head.task)
