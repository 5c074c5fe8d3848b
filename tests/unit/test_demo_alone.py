"""Where no cluster can be had, the demo's jobs run for real, by the trainer alone."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo import __main__ as demo
from demo import alone, datasets, jobs
from tests.support.programs import Programs

ROOT = Path(__file__).parents[2]


def write_job(folder: Path, name: str, priority: int, **training: Any) -> Path:
    """One of the demo's jobs, made so small that it takes a moment."""
    job = jobs.read(ROOT / "examples" / "digits-classification.yaml")
    job["metadata"]["name"] = name
    job["spec"]["priority"] = priority
    small = {"maxSteps": 1, "validations": 1, "batchSize": 2}
    job["spec"]["training"] |= {**small, **training}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(job))
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One with neither docker nor apt-get; what the trainer needs is installed already."""
    monkeypatch.setenv("PATH", str(Programs(tmp_path).path))
    monkeypatch.setenv("UV", str(Path(sys.executable).with_name("uv")))
    monkeypatch.setenv("SIHL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets, "IMAGES", {"classification": (8, 4)})
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow  # each job imports torch anew
def test_without_any_cluster_the_same_jobs_train_here_in_queue_order(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    files = (write_job(machine, "later", priority=0), write_job(machine, "first", priority=1))
    monkeypatch.setattr(alone, "FILES", files)
    monkeypatch.setattr(sys, "argv", ["demo", "up"])
    assert demo.main() == 0
    said = capfd.readouterr().out
    assert said.startswith("No cluster: docker does not run here, and a local cluster needs")
    assert [line for line in said.splitlines() if line.startswith("---")] == [
        "--- first",
        "--- later",
    ]
    assert f"Records, models and checkpoints: {machine / 'sihl-record'}" in said
    models = (machine / "sihl-record" / "digits").glob("*/*/model/model.safetensors")
    assert {path.parts[-3].split(".")[0] for path in models} == {"first", "later"}
    assert demo.recall() == []
    (log,) = (machine / "sihl-record" / "digits").glob("*/first.*/attempts/1/log-*.txt")
    told = log.read_text()
    for words in ("training images", "step 1: validation", "Succeeded"):
        # A moment of a curve is found in the log by the times of its lines.
        assert re.search(rf"^\d{{4}}-\d\d-\d\dT[\d:]{{8}}Z INFO .*{words}", told, re.M), told


def test_a_job_that_does_not_succeed_ends_the_demo_and_is_named(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    files = (write_job(machine, "wrong", 1, maxSteps=0), write_job(machine, "never", 0))
    monkeypatch.setattr(alone, "FILES", files)
    monkeypatch.setattr(sys, "argv", ["demo", "up"])
    assert demo.main() == 2
    said = capfd.readouterr()
    assert said.err.splitlines()[-1] == "wrong ended with exit code 78: see above"
    assert "maxSteps" in said.err
    assert "--- never" not in said.out
