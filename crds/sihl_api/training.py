"""The part `spec.training` of a TrainingJob: how long it learns, how, and from what images."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from sihl_api.schema import Rule, Schema
from sihl_api.texts import Duration, lasts


class OptimizerName(StrEnum):
    """Optimizers, as torch.optim names them."""

    ADAMW = "AdamW"
    SGD = "SGD"


class Optimizer(Schema):
    """How weights follow their gradients."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.name == 'SGD' || !has(self.momentum)", "momentum belongs to SGD; AdamW has none",
             ".momentum"),
    )  # fmt: skip

    name: OptimizerName = OptimizerName.ADAMW
    learning_rate: float = Field(default=1e-3, gt=0, le=100)
    weight_decay: float = Field(default=1e-4, ge=0, le=100)
    momentum: float | None = Field(default=None, ge=0, lt=1, description="SGD only; default 0.9.")


class SchedulerName(StrEnum):
    """Learning-rate schedules."""

    ONE_CYCLE = "OneCycle"
    MULTI_STEP = "MultiStep"
    CONSTANT = "Constant"


class Scheduler(Schema):
    """How the learning rate changes over the steps."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("(self.name == 'MultiStep') == has(self.milestones)",
             "milestones are given with MultiStep, and only then", ".milestones"),
        Rule("self.name == 'MultiStep' || !has(self.factor)", "factor belongs to MultiStep",
             ".factor"),
        Rule("self.name == 'OneCycle' || (!has(self.warmupSteps) && !has(self.initialFactor) && "
             "!has(self.finalFactor))",
             "warmupSteps, initialFactor and finalFactor belong to OneCycle", ".name"),
    )  # fmt: skip

    name: SchedulerName = SchedulerName.ONE_CYCLE
    milestones: list[Annotated[int, Field(ge=1)]] | None = Field(
        default=None, min_length=1, max_length=50, description="Steps at which the rate falls."
    )
    factor: float | None = Field(
        default=None, gt=0, lt=1, description="What each milestone multiplies by; default 0.1."
    )
    warmup_steps: int | None = Field(
        default=None, ge=0, description="Steps until the full rate; default a tenth of all steps."
    )
    initial_factor: float | None = Field(
        default=None, gt=0, le=1, description="First rate as a part of the full one; default 0.04."
    )
    final_factor: float | None = Field(
        default=None, gt=0, le=1, description="Last rate as a part of the full one; default 0.0001."
    )


class InputSize(Schema):
    """The resolution in pixels that images are letterboxed to: scaled and padded, never cropped."""

    width: int = Field(default=512, ge=8, le=8192)
    height: int = Field(default=512, ge=8, le=8192)


DEFAULT_SCALE = 0.1


class Augmentation(Schema):
    """Random changes to training images, drawn from (seed, epoch, index)."""

    horizontal_flip: bool = Field(default=False, description="Mirror every second image.")
    scale: float | None = Field(
        default=None,
        ge=0,
        le=0.9,
        description="Shrink by up to this part, placed at random; default 0.1, or 0 where a head "
        "learns depth, which would change with it.",
    )
    brightness: float = Field(default=0.1, ge=0, le=1, description="Brighten or darken by up to.")


class Precision(StrEnum):
    """Number format of forward and backward passes; weights and optimizer stay float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class Training(Schema):
    """Hyperparameters; each has a default."""

    rules: ClassVar[tuple[Rule, ...]] = (
        lasts("maxDuration", "1s", "a job that may not learn at all is no job: leave maxDuration "
               "out for no limit, or write it like 8h"),
        Rule("!has(self.scheduler) || !has(self.scheduler.milestones) || "
             "self.scheduler.milestones.all(m, m <= self.maxSteps)",
             "training ends at maxSteps, before a milestone beyond it: lower the milestone, or "
             "raise training.maxSteps", ".scheduler.milestones"),
        Rule("!has(self.scheduler) || !has(self.scheduler.warmupSteps) || "
             "self.scheduler.warmupSteps <= self.maxSteps",
             "training ends at maxSteps, before its warm-up does: lower warmupSteps, or raise "
             "training.maxSteps", ".scheduler.warmupSteps"),
    )  # fmt: skip

    max_steps: int = Field(default=10_000, ge=1, le=100_000_000)
    max_duration: Duration | None = Field(
        default=None,
        description="Learning time after which training ends early and well, over all attempts.",
    )
    validations: int = Field(
        default=10, ge=1, le=10_000, description="How many, evenly over the run; last at the end."
    )
    pictures: int = Field(
        default=8,
        ge=0,
        le=64,
        description="Validation images whose predictions are drawn into the record at each "
        "validation.",
    )
    batch_size: int = Field(default=16, ge=1, le=65_536, description="Over all GPUs together.")
    input_size: InputSize = InputSize()
    scale_at_inference: bool = Field(
        default=True,
        description="Whether validation images are letterboxed too, or only padded.",
    )
    gradient_clip_norm: float | None = Field(default=None, gt=0, le=1e6)
    augmentation: Augmentation = Augmentation()
    optimizer: Optimizer = Optimizer()
    scheduler: Scheduler = Scheduler()
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    precision: Precision = Precision.FLOAT32
