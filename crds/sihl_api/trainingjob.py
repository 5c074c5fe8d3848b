"""TrainingJob `sihl.ai/v1alpha1`: what it is called, its spec, and the rules over the whole of it.

Its spec's parts are `dataset`, `model`, `training` and `runner`; its status is `status`. They are
the one place for each field, its range, its default and its description: `crd` renders the
CustomResourceDefinition from these classes, the operator and the trainer read jobs with them.
What a schema cannot say stands beside its class as a `Rule` in CEL, evaluated by the API server.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from sihl_api.dataset import Dataset
from sihl_api.model import Model
from sihl_api.runner import Runner
from sihl_api.schema import Rule, Schema
from sihl_api.tasks import Task
from sihl_api.texts import Duration, Name, lasts
from sihl_api.training import DEFAULT_SCALE, Augmentation, Training
from sihl_api.units import seconds

GROUP = "sihl.ai"
VERSION = "v1alpha1"
KIND = "TrainingJob"
PLURAL = "trainingjobs"
SHORT_NAME = "sihljob"
API_VERSION = f"{GROUP}/{VERSION}"

QUEUE_ANNOTATION = f"{GROUP}/queue"


class TrainingJobSpec(Schema):
    """What is to be trained, on what, where."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("self.project == oldSelf.project", "project cannot change", ".project"),
        Rule("self.runner.gpus <= 1 || self.training.batchSize % self.runner.gpus == 0",
             "training.batchSize must be a multiple of runner.gpus: each GPU takes an equal part",
             ".training.batchSize"),
        # The backbone's last level has a stride of 32.
        Rule("self.training.batchSize > 1 && self.training.batchSize > self.runner.gpus || "
             "self.training.inputSize.width > 32 || self.training.inputSize.height > 32",
             "one image of at most 32 x 32 pixels a GPU is a single value a channel, which batch "
             "normalization cannot use: raise training.batchSize or training.inputSize",
             ".training.batchSize"),
        Rule("!has(self.training.augmentation) || !has(self.training.augmentation.horizontalFlip) "
             "|| !self.training.augmentation.horizontalFlip || "
             "!self.model.heads.exists(h, h.task == 'TextRecognition')",
             "mirrored images teach a text head to read backwards: leave "
             "training.augmentation.horizontalFlip out",
             ".training.augmentation.horizontalFlip"),
        Rule("!has(self.training.augmentation) || !has(self.training.augmentation.scale) || "
             "self.training.augmentation.scale == 0.0 || "
             "!self.model.heads.exists(h, h.task == 'DepthEstimation')",
             "what is shrunk looks further away than its annotated depth: set "
             "training.augmentation.scale to 0, or leave it out",
             ".training.augmentation.scale"),
        lasts("ttlAfterFinished", "1m", "whoever waits for the job's end needs some time to see "
               "it: write ttlAfterFinished like 24h, at least 1m, or leave it out to keep the job"),
    )  # fmt: skip

    project: Name = Field(
        description="What jobs are compared within, and their queue unless the annotation "
        f"{QUEUE_ANNOTATION} names another. Cannot change."
    )
    priority: int = Field(
        default=0, ge=-1_000_000, le=1_000_000, description="Higher first within the queue."
    )
    suspend: bool = Field(
        default=False,
        description="true: stop with a checkpoint, or never start. false again: queue and resume.",
    )
    ttl_after_finished: Duration | None = Field(
        default=None,
        description="How long after it has Succeeded or Failed the job is deleted, by the "
        "operator; its record stays. Left out: never. A Stopped job is kept, to be resumed. "
        "Counted from when the operator first saw the end: one that starts anew counts anew. Not "
        "for jobs that Git or Helm hold, which would make them again, and train them again.",
    )
    dataset: Dataset
    model: Model
    training: Training = Training()
    runner: Runner = Runner()

    @property
    def augmentation(self) -> Augmentation:
        """The job's, with what it leaves out."""
        given = self.training.augmentation
        if given.scale is not None:
            return given
        depth = any(head.task is Task.DEPTH_ESTIMATION for head in self.model.heads)
        return given.model_copy(update={"scale": 0.0 if depth else DEFAULT_SCALE})

    @property
    def stop_grace_seconds(self) -> int:
        """Seconds between a stop's request and the pod's forced end."""
        return seconds(self.runner.stop_grace_period)


JOB_RULES = (
    Rule(
        "size(self.metadata.name) <= 63",
        "metadata.name must have at most 63 characters: it becomes a label and a folder's name",
    ),
    Rule(
        "!has(oldSelf.status) || !has(oldSelf.status.attempt) || oldSelf.status.attempt == 0 || "
        "(self.spec.dataset == oldSelf.spec.dataset && self.spec.model == oldSelf.spec.model && "
        "self.spec.training == oldSelf.spec.training && self.spec.runner == oldSelf.spec.runner)",
        "a job that has started can only change suspend and priority: submit a new job instead",
    ),
)
"""Rules over the whole object; the second is a transition rule, for updates only."""
