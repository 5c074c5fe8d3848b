"""What is trained on what: one entry a task, as one would write it into a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sihl_api.tasks import Task
from sihl_api.trainingjob import TrainingJobSpec

HEAD = "head"
PYRAMID = {"name": "FPN", "levels": [2, 5], "channels": 64}
"""For what has a place in the image. The digits are small, and so are two cores."""
MANY = 10_000
"""Images of the same digits, where more of them teach more."""
PRECISION = "bfloat16"
"""Of every network, ours or not: 1.3 to 1.7 times the steps on cores that know it."""


@dataclass(frozen=True)
class Plan:
    """A task, its data and its hyperparameters.

    Args:
        task: What the head learns.
        kind: Which of `examples.digits`' datasets, or of `pictures`' real ones.
        metric: The head's result that the table shows.
        aim: What it should reach in ten minutes on two cores; None: no number was set.
        images: For training; None: as many as the kind has.
        least: Whether the metric is an error, of which less is better.
        size: (width, height) of the input in pixels.
        batch: Images a step.
        rate: The learning rate.
        decay: The weights'.
        clip: The gradients' norm; None: as they are.
        neck: None: the head is on the backbone.
        levels: First and last level of the head; None: its own choice.
        augmentation: By how much training images are shrunk, brightened; None: the defaults.
        others: Names of what else learns the same, see `runs`.
    """

    task: Task
    kind: str
    metric: str
    aim: float | None = None
    images: int | None = None
    least: bool = False
    size: tuple[int, int] = (96, 96)
    batch: int = 16
    rate: float = 1e-3
    decay: float = 0.05
    clip: float | None = 10.0
    neck: Mapping[str, Any] | None = None
    levels: tuple[int, int] | None = None
    augmentation: Mapping[str, Any] = field(default_factory=dict)
    others: tuple[str, ...] = ()

    def spec(self, seed: int = 0) -> TrainingJobSpec:
        """The job of this plan alone."""
        head = {"name": HEAD, "task": self.task.value, "levels": self.levels}
        return spec(self, [head], seed)


def spec(plan: Plan, heads: Sequence[Mapping[str, Any]], seed: int = 0) -> TrainingJobSpec:
    """A job of any heads with a plan's hyperparameters.

    Its dataset is on this machine; the places are never asked.
    """
    place = {"endpoint": "http://127.0.0.1:1", "bucket": "bench"}
    return TrainingJobSpec.model_validate(
        {
            "project": "bench",
            "dataset": {"train": place, "validation": place},
            "model": {
                "backbone": {"name": "resnet18"},
                "neck": plan.neck,
                "heads": [dict(head) for head in heads],
            },
            "training": {
                "validations": 1,
                "precision": PRECISION,
                "pictures": 0,
                "batchSize": plan.batch,
                "inputSize": {"width": plan.size[0], "height": plan.size[1]},
                "gradientClipNorm": plan.clip,
                "optimizer": {"learningRate": plan.rate, "weightDecay": plan.decay},
                "augmentation": dict(plan.augmentation),
                "seed": seed,
            },
            "runner": {"gpus": 0, "checkpointInterval": "10h"},
        }
    )


PLANS: dict[str, Plan] = {
    # One answer an image: small digits, of which the last level has one place only.
    "multiclass": Plan(
        Task.MULTICLASS_CLASSIFICATION, "classification", "accuracy", 0.985,
        size=(32, 32), batch=64, rate=2e-3, levels=(4, 4),
        augmentation={"scale": 0.3, "brightness": 0.2}, others=("logistic-regression", "svc"),
    ),
    "multilabel": Plan(
        Task.MULTILABEL_CLASSIFICATION, "multilabel", "f1", 0.97,
        images=MANY, batch=32, rate=2e-3, levels=(4, 4), others=("one-vs-rest",),
    ),
    "metric-learning": Plan(
        Task.METRIC_LEARNING, "metric-learning", "recall1", 0.97,
        size=(64, 64), batch=32, levels=(3, 3), others=("nearest-pixels",),
    ),
    "regression": Plan(
        Task.REGRESSION, "regression", "mae", least=True,
        size=(64, 64), batch=64, rate=2e-3,
        others=("ridge", "nearest-neighbours", "gradient-boosting"),
    ),
    "text": Plan(
        Task.TEXT_RECOGNITION, "text", "exact_match", 0.95,
        images=MANY, size=(128, 32), batch=32, rate=2e-3,
    ),
    # Objects.
    "detection": Plan(
        Task.OBJECT_DETECTION, "detection", "map50", 0.95, neck=PYRAMID, others=("fcos",),
    ),
    "keypoints": Plan(
        Task.KEYPOINT_DETECTION, "keypoints", "map", 0.85,
        images=MANY, rate=2e-3, neck=PYRAMID, others=("keypoint-rcnn",),
    ),
    "quadrilaterals": Plan(
        Task.QUADRILATERAL_DETECTION, "quadrilaterals", "map50", 0.90, neck=PYRAMID,
    ),
    "instance": Plan(
        Task.INSTANCE_SEGMENTATION, "instance", "map50", 0.85,
        rate=2e-3, neck=PYRAMID, others=("mask-rcnn",),
    ),
    # Maps.
    "semantic": Plan(
        Task.SEMANTIC_SEGMENTATION, "semantic", "miou", 0.85,
        images=MANY, rate=2e-3, neck=PYRAMID, others=("deeplabv3",),
    ),
    "panoptic": Plan(Task.PANOPTIC_SEGMENTATION, "panoptic", "pq", 0.75, rate=2e-3, neck=PYRAMID),
    "depth": Plan(Task.DEPTH_ESTIMATION, "depth", "abs_rel", least=True, neck=PYRAMID),
    # From images alone.
    "view-invariance": Plan(
        Task.VIEW_INVARIANCE, "unlabelled", "nearest5", 0.95,
        images=MANY, size=(32, 32), batch=64, levels=(3, 3), others=("nearest-pixels",),
    ),
    "autoencoding": Plan(
        Task.AUTOENCODING, "unlabelled", "psnr", size=(64, 64), neck=PYRAMID, others=("shrunk",),
    ),
    "anomaly": Plan(
        Task.ANOMALY_DETECTION, "anomaly", "auroc_of_anomalies", 0.95,
        images=MANY, neck=PYRAMID, others=("nearest-pixels",),
    ),
    # Real pictures.
    "depth-motorcycle": Plan(
        Task.DEPTH_ESTIMATION, "motorcycle", "abs_rel", least=True, neck=PYRAMID,
        size=(64, 160), augmentation={"horizontalFlip": True, "brightness": 0.2},
    ),
    "anomaly-textures": Plan(
        Task.ANOMALY_DETECTION, "textures", "auroc_of_anomalies",
        size=(64, 64), rate=2e-3, neck=PYRAMID, augmentation={"horizontalFlip": True},
        others=("nearest-pixels",),
    ),
}  # fmt: skip
