"""Queues on a real cluster: order, exclusion, positions, and models that have learnt."""

from __future__ import annotations

import pickle
import subprocess
import sys
from itertools import groupby
from pathlib import Path

from examples import digits
from tests.e2e.harness import NAMESPACE, Harness, Job, PodHistory, merged
from tests.e2e.witness import entries, writes

GPU: Job = {"runner": {"gpus": 1, "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}}}}
DETECTION: Job = {
    **GPU,
    "model": {
        "backbone": {"name": "resnet18"},
        "neck": {"name": "FPN", "levels": [2, 4], "channels": 64},
        "heads": [{"name": "boxes", "task": "ObjectDetection"}],
    },
    "training": {
        "maxSteps": 600,
        "validations": 2,
        "batchSize": 4,
        "inputSize": {"width": 64, "height": 64},
        "optimizer": {"learningRate": 0.001},
        "gradientClipNorm": 10,
    },
}
CLASSIFICATION: Job = {
    **GPU,
    "training": {
        "maxSteps": 250,
        "validations": 2,
        "batchSize": 64,
        "inputSize": {"width": 32, "height": 32},
        "optimizer": {"learningRate": 0.002},
    },
}

_LOAD = """
import sys
from pathlib import Path
from sihl_trainer.model.weights import load_model
for folder in sys.argv[1:]:
    load_model(Path(folder))
"""
_EVALUATE = """
import pickle, sys, torch
from pathlib import Path
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.dataset.dataset import open_datasets
from sihl_trainer.dataset.loading import validation_batches
from sihl_trainer.model.weights import load_model
from sihl_trainer.tasks.passes import Keys, Pass
spec, model, data = sys.argv[1:]
spec = TrainingJobSpec.model_validate(pickle.loads(Path(spec).read_bytes()))
model = load_model(Path(model))
metrics = {head.name: model.head(head.name).metric() for head in spec.model.heads}
with torch.inference_mode():
    for batch in validation_batches(open_datasets(spec, Path(data)).validation, spec):
        keys = Keys(spec.training.seed, batch.epochs, batch.indices)
        views = model.views(batch.images, frozenset({Pass.PLAIN}), keys)
        for name, metric in metrics.items():
            metric.update(model.head(name).examine(views), batch.targets[name], batch.indices)
for name, metric in metrics.items():
    for kind, value in metric.compute().items():
        print(f"{name}/{kind}", value)
"""


def downloaded(harness: Harness, name: str, folder: Path) -> Path:
    """A job's model, whole, and the one that its status tells of."""
    status = harness.status(name)
    manifest = harness.store.download(status["model"]["uri"], folder)
    assert manifest.files["model.safetensors"].sha256 == status["model"]["checksum"]
    return folder


def output(script: str, *arguments: Path) -> str:
    """What a Python process that knows nothing else prints."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def evaluated(harness: Harness, name: str, model: Path, data: Path) -> dict[str, float]:
    """Metrics of a job's model on held-out data."""
    spec = model.with_suffix(".spec")
    spec.write_bytes(pickle.dumps(harness.job(name)["spec"]))
    lines = [line.split() for line in output(_EVALUATE, spec, model, data).splitlines()]
    return {line[0]: float(line[1]) for line in lines if len(line) == 2 and "/" in line[0]}


def positions(harness: Harness, name: str) -> list[int]:
    """The places in line that a job was told, by the API server's log: looks can miss one."""
    log = harness.cluster.control_plane.audit_log
    told = [
        write.status.get("queuePosition")
        for write in writes(entries(log))
        if write.kind == "TrainingJob" and write.object["metadata"]["name"] == name
    ]
    return [place for place, _ in groupby(place for place in told if place)]


def test_two_projects_share_two_gpus_one_job_each_at_a_time_and_their_models_have_learnt(
    harness: Harness, tmp_path: Path
) -> None:
    history = PodHistory(harness.core, NAMESPACE)
    sets = {
        kind: {
            "train": harness.location(f"datasets/{kind}/train"),
            "validation": harness.location(f"datasets/{kind}/validation"),
        }
        for kind in ("detection", "classification")
    }
    short = {"training": {"maxSteps": 10, "validations": 1}}
    detection = {**DETECTION, "dataset": sets["detection"]}
    classification = {**CLASSIFICATION, "dataset": sets["classification"]}
    harness.submit("boxes-1", "q-boxes", detection)
    harness.submit("boxes-2", "q-boxes", merged(detection, short))
    harness.submit("boxes-3", "q-boxes", merged(detection, short))
    harness.submit("digits-1", "q-digits", classification)
    harness.submit("digits-2", "q-digits", merged(classification, short))

    # Who waits is told its place: the first of each queue runs, the others stand behind it.
    expected = {"boxes-2": 1, "boxes-3": 2, "digits-2": 1}

    def told() -> bool:
        status = {name: harness.status(name) for name in ("boxes-1", "digits-1", *expected)}
        for name in ("boxes-1", "digits-1"):
            assert status[name].get("phase") != "Succeeded", harness.story(name) + str(status)
        return {name: status[name].get("queuePosition") for name in expected} == expected

    harness.until(told, "positions 1, 2 and 1", "boxes-3")
    reason = harness.condition("boxes-2", "Admitted")
    assert (reason["status"], reason["reason"]) == ("False", "WaitingForQueue")

    names = ("digits-1", "digits-2", "boxes-1", "boxes-2", "boxes-3")
    for name in names:
        status = harness.wait(name, "Succeeded", seconds=1200)
        assert status["attempt"] == 1
        assert status["progress"]["step"] == harness.job(name)["spec"]["training"]["maxSteps"]
    history.stop()
    assert history.most_at_once() | {"q-boxes": 1, "q-digits": 1} == history.most_at_once()
    started = [harness.status(f"boxes-{n}")["startedAt"] for n in (1, 2, 3)]
    assert started == sorted(started)
    assert positions(harness, "boxes-3")[-2:] == [2, 1]

    models = {name: downloaded(harness, name, tmp_path / name) for name in names}
    output(_LOAD, *models.values())
    digits.make("detection", tmp_path / "detection", count=800, held_out=100, size=64)
    digits.make("classification", tmp_path / "classification")
    boxes = evaluated(harness, "boxes-1", models["boxes-1"], tmp_path / "detection")
    assert boxes["boxes/map50"] >= 0.8
    digit = evaluated(harness, "digits-1", models["digits-1"], tmp_path / "classification")
    assert digit["digit/accuracy"] >= 0.97
    reported = harness.status("digits-1")["metrics"]
    assert abs(float(reported["digit/accuracy"]) - digit["digit/accuracy"]) < 0.02
