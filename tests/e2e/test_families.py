"""One job of each family of tasks, applied as a user does: datasets in every kind of format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from examples import digits
from local_cluster.process import run
from local_cluster.programs import program
from sihl_api.trainingjob import API_VERSION, KIND
from tests.e2e.harness import NAMESPACE, SMALL, Harness, Job, merged

NECK: Job = {"name": "FPN", "levels": [2, 5], "channels": 16}
FAMILIES: dict[str, tuple[str, list[Job], set[str]]] = {
    # By name: the dataset, the heads, and metrics of the last validation that must be there.
    "dense": (
        "everything",
        [
            {"name": "areas", "task": "SemanticSegmentation", "annotations": "panoptic"},
            {"name": "boxes", "task": "ObjectDetection", "annotations": "panoptic"},
        ],
        {"areas/miou", "boxes/map50"},
    ),
    "quads": (
        "quadrilaterals",
        [{"name": "quads", "task": "QuadrilateralDetection"}],
        {"quads/map50"},
    ),
    "identities": (
        "metric-learning",
        [{"name": "digit", "task": "MetricLearning"}],
        {"digit/recall1"},
    ),
    "text": (
        "text",
        [{"name": "line", "task": "TextRecognition"}],
        {"line/exact_match"},
    ),
    "images-alone": (
        "unlabelled",
        [{"name": "views", "task": "ViewInvariance"}, {"name": "copy", "task": "Autoencoding"}],
        {"copy/psnr"},
    ),
    "partly": (
        "partly",
        [{"name": "angle", "task": "Regression"}, {"name": "views", "task": "ViewInvariance"}],
        {"angle/mae"},
    ),
}


@pytest.fixture(scope="module")
def uploaded(harness: Harness, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The datasets of all families; in the partly labelled one, one image of five is labelled."""
    store = harness.store
    for kind, _, _ in FAMILIES.values():
        folder = tmp_path_factory.mktemp(kind)
        digits.make(kind, folder, count=40, held_out=10, options=digits.Options(labelled=0.2))
        digits.upload(
            folder, store.endpoint, store.bucket, f"datasets/{kind}",
            store.access_key, store.secret_key,
        )  # fmt: skip


def manifest(harness: Harness, name: str) -> Job:
    """A job of a family, small enough for two processors."""
    kind, heads, _ = FAMILIES[name]
    size = {"width": 128, "height": 32} if kind == "text" else {"width": 64, "height": 64}
    spec: Job = {
        "project": f"family-{name}",
        "dataset": {
            split: harness.location(f"datasets/{kind}/{split}") for split in ("train", "validation")
        },
        "model": {"backbone": {"name": "resnet18"}, "neck": NECK, "heads": heads},
        "training": {"maxSteps": 6, "batchSize": 4, "inputSize": size, "pictures": 2},
    }
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": merged({key: SMALL[key] for key in ("training", "runner")}, spec),
    }


@pytest.mark.usefixtures("uploaded")
def test_a_job_of_each_family_is_applied_learns_and_leaves_metrics_model_and_pictures(
    harness: Harness, tmp_path: Path
) -> None:
    file = tmp_path / "jobs.json"
    jobs: list[Any] = [manifest(harness, name) for name in FAMILIES]
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": jobs}))
    run(program("kubectl"), f"--kubeconfig={harness.cluster.kubeconfig}", "apply", "-f", file)
    for name, (_, heads, metrics) in FAMILIES.items():
        status = harness.wait(name, "Succeeded", seconds=1200)
        assert status["attempt"] == 1
        assert metrics <= set(status["metrics"]), status["metrics"]
        manifest_of_model = harness.store.download(status["model"]["uri"], tmp_path / name)
        assert manifest_of_model.step == 6
        record = status["model"]["uri"].rpartition("/model")[0]
        prefix = record.removeprefix(f"s3://{harness.store.bucket}/") + "/attempts/1/pictures/"
        drawn = {key.removeprefix(prefix) for key in harness.store.keys(prefix)}
        for head in heads:
            folder = f"000000006/{head['name']}/"
            assert sum(key.startswith(folder) and key.endswith(".png") for key in drawn) >= 2
