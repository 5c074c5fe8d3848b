"""The part `spec.model` of a TrainingJob: first weights, backbone, neck and heads."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from sihl_api.schema import Rule, Schema, told_apart
from sihl_api.tasks import DETECTING, Task
from sihl_api.texts import ModelUri, Name, ObjectName

RESNETS = (
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152",
    "resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2",
)  # fmt: skip
BACKBONE_TOP_LEVEL = 5
"""The coarsest level that a backbone computes; a neck may add coarser ones up to 7."""
LevelRange = Annotated[
    list[Annotated[int, Field(ge=1, le=7)]],
    Field(
        min_length=2,
        max_length=2,
        description="First and last level; level i has stride 2^i.",
    ),
]


class InitializationFrom(StrEnum):
    """Where a model's first weights come from."""

    RANDOM = "Random"
    IMAGENET = "ImageNet"
    JOB = "Job"
    URI = "URI"


class Initialization(Schema):
    """Where the model's first weights come from."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("(self.from == 'Job') == has(self.job)", "job is given with from: Job, and only then",
             ".job"),
        Rule("(self.from == 'URI') == has(self.uri)", "uri is given with from: URI, and only then",
             ".uri"),
        Rule("!has(self.uri) || !self.uri.matches('/[.][.]?(/|$)|[.]safetensors$')",
             "a model is a folder, without . and .. and the name of a file: write it like "
             "s3://bucket/path/model", ".uri"),
    )  # fmt: skip

    from_: InitializationFrom = Field(
        default=InitializationFrom.RANDOM,
        alias="from",
        description="ImageNet initializes the backbone; Job and URI every weight whose name and "
        "shape fit.",
    )
    job: ObjectName | None = Field(
        default=None, description="An earlier job of this project; its final model is loaded."
    )
    uri: ModelUri | None = Field(
        default=None,
        description="Folder of a model in the namespace's store: s3://bucket/path/model.",
    )


class Backbone(Schema):
    """The network that turns an image into levels of features."""

    name: Literal[RESNETS] = "resnet50"  # type: ignore[valid-type]  # an enum from one tuple


class Neck(Schema):
    """What mixes the backbone's levels, all with the same number of channels."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.levels[0] <= self.levels[1]", "levels are [first, last]: first must not exceed "
             "last", ".levels"),
        Rule("self.levels[0] <= 5", "a neck starts at one of the backbone's levels, 1 to 5",
             ".levels"),
    )  # fmt: skip

    name: Literal["FPN"] = "FPN"
    levels: LevelRange = Field(default=[3, 7])
    channels: int = Field(default=256, ge=8, le=2048, multiple_of=8)


class Head(Schema):
    """One task that the model learns, on one level or a range of levels."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("!has(self.levels) || self.levels[0] <= self.levels[1]",
             "levels are [first, last]: first must not exceed last", ".levels"),
        Rule(f"!has(self.maxDetections) || self.task in {[task.value for task in DETECTING]}",
             "maxDetections belongs to tasks that find objects: " + ", ".join(DETECTING),
             ".maxDetections"),
    )  # fmt: skip

    name: Name = Field(description="Unique within the job; metrics and losses carry it.")
    task: Task = Field(
        description="What it learns: what the dataset is annotated for, or what that can become "
        "(docs/tasks.md). ViewInvariance, Autoencoding and AnomalyDetection need images alone."
    )
    annotations: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="Which of the dataset's annotations feed this head; may be left out where "
        "the dataset has only one.",
    )
    levels: LevelRange | None = Field(
        default=None,
        description="First and last level; each task has its default (docs/tasks.md), mostly all "
        "of the neck's for what lies somewhere in the image, the coarsest for what is said of it "
        "as a whole.",
    )
    max_detections: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Objects that are predicted and measured in an image, at most; default twice "
        "as many as the fullest image of the dataset shows, and at least 300 (of masks, 100).",
    )
    loss_weight: float = Field(default=1.0, ge=0, le=1e6)


class Model(Schema):
    """Backbone, optional neck, and one or more heads of any mix of tasks."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "has(self.neck) || self.heads.all(h, !has(h.levels) || h.levels[1] <= 5)",
            "without a neck a head's levels are the backbone's, 1 to 5",
            ".heads",
        ),
        Rule(
            "has(self.neck) || self.heads.all(h, !has(h.levels) || h.levels[0] == h.levels[1])",
            "a head over several levels needs a neck, which gives them equal channels",
            ".heads",
        ),
        Rule(
            "!has(self.neck) || self.heads.all(h, !has(h.levels) || "
            "(h.levels[0] >= self.neck.levels[0] && h.levels[1] <= self.neck.levels[1]))",
            "a head's levels must lie within the neck's",
            ".heads",
        ),
    )

    initialization: Initialization = Initialization()
    backbone: Backbone = Backbone()
    neck: Neck | None = None
    heads: list[Head] = Field(
        min_length=1,
        max_length=16,
        json_schema_extra=told_apart("name"),
    )
