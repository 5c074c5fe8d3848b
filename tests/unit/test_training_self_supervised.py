"""Jobs that learn from images alone, by themselves or beside what few images are annotated for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.dataset.loading import batches
from sihl_trainer.training.evaluation import measure
from sihl_trainer.training.loop import train
from tests.support.datasets import CLASS_HEAD, classification, job, jpeg, write
from tests.support.training import prepared, same

VIEWS = {"name": "views", "task": "ViewInvariance"}
OTHERS = (
    {"name": "pixels", "task": "Autoencoding"},
    {"name": "odd", "task": "AnomalyDetection"},
)
STEPS = 2


def spec(*heads: Any) -> TrainingJobSpec:
    found = job(*heads, training={"maxSteps": STEPS, "validations": 2})
    raw = found.model_dump(by_alias=True, exclude_none=True)
    raw["dataset"] |= {"validationFraction": 0.4}
    raw["runner"] = {"gpus": 0}
    raw["model"] |= {
        "backbone": {"name": "resnet18"},
        "neck": {"name": "FPN", "levels": [2, 3], "channels": 16},
        "initialization": {"from": "Random"},
    }
    return TrainingJobSpec.model_validate(raw)


def alone(folder: Path, count: int = 10) -> Path:
    """Images and nothing else."""
    write(folder / "train", {f"images/{index}.jpg": jpeg(seed=index) for index in range(count)})
    return folder


def partly(folder: Path, count: int = 20, labelled: int = 5) -> Path:
    """A dataset for `CLASS_HEAD` of which few images are annotated."""
    lines = [
        f"{index}.jpg: {('cat', 'dog')[index % 2] if index < labelled else 'null'}\n"
        for index in range(count)
    ]
    files = classification(count) | {"annotations.yaml": "".join(lines).encode()}
    write(folder / "train", files)
    return folder


def test_images_without_metadata_train_self_supervised_heads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run, heard = prepared(monkeypatch, spec(VIEWS, *OTHERS), alone(tmp_path), tmp_path / "scratch")
    assert train(run)
    assert heard.model
    assert {"views/recall1", "pixels/psnr", "odd/threshold"} < set(heard.validations[STEPS])


def test_a_run_of_self_supervised_heads_resumes_bit_for_bit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job_spec, data = spec(VIEWS, *OTHERS), alone(tmp_path)
    whole, told = prepared(monkeypatch, job_spec, data, tmp_path / "whole")
    assert train(whole)
    first, heard = prepared(
        monkeypatch, job_spec, data, tmp_path / "first", stop=lambda run: run.state.step == 1
    )
    assert not train(first)
    folder = Path(heard.checkpoints[0].directory)
    second, resumed = prepared(monkeypatch, job_spec, data, tmp_path / "second", resume=folder)
    assert train(second)
    assert same(whole.model.state_dict(), second.model.state_dict())
    assert not same(load_file(folder / "model.safetensors"), second.model.state_dict())
    assert resumed.validations[STEPS] == told.validations[STEPS]


def test_images_without_an_annotation_feed_the_self_supervised_head_beside_those_with_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run, heard = prepared(
        monkeypatch, spec(CLASS_HEAD, VIEWS), partly(tmp_path), tmp_path / "scratch"
    )
    source = batches(run.data.train, run.spec)
    for _ in range(4):
        batch = next(source)
        assert sum(target is not None for target in batch.targets["pet"]) == 2  # half of four
        assert all(target is not None for target in batch.targets["views"])
    measured = measure(run)
    assert measured is not None
    counted = measured.metrics["views"].cosines.totals[0]  # type: ignore[attr-defined]
    validation = run.data.validation
    assert counted == len(validation)
    assert not set(validation.names) <= set(validation.feeds["pet"].annotations.names)
    assert train(run)
    assert {"pet/accuracy", "views/recall1"} < set(heard.validations[STEPS])
