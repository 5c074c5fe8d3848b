"""What is legal in a job and yet hardly meant: told as warnings, and no reason to refuse it.

Of a spec that holds to the schema and its rules. The operator writes them into the condition
`Accepted`; `kubectl sihl` and `sihl-trainer local` print them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sihl_api.trainingjob import Dataset, Model, Runner, S3Location, Training, TrainingJobSpec
from sihl_api.units import quantity

_HELD_BY = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "meta.helm.sh/release-name": "Helm",
    "app.kubernetes.io/instance": "Argo CD or Helm",
}
"""By a label or annotation, whose it is: they make again what they hold and what is not there."""


def oddities(spec: TrainingJobSpec, metadata: Mapping[str, Any] | None = None) -> list[str]:
    """A sentence each, which names the field and says what it comes to."""
    return [
        *_of_life(spec, metadata or {}),
        *_of_dataset(spec.dataset),
        *_of_model(spec.model),
        *_of_training(spec.training),
        *_of_runner(spec.runner),
    ]


def _of_life(spec: TrainingJobSpec, metadata: Mapping[str, Any]) -> Iterator[str]:
    marks = {**(metadata.get("annotations") or {}), **(metadata.get("labels") or {})}
    holder = next((who for mark, who in _HELD_BY.items() if mark in marks), None)
    if spec.ttl_after_finished is not None and holder is not None:
        yield (
            f"ttlAfterFinished is {spec.ttl_after_finished}, and {holder} holds the job: "
            "deleted, it is made again, and trains again. Leave it out, and take the job out where "
            "it is held."
        )


def _of_dataset(dataset: Dataset) -> Iterator[str]:
    if dataset.validation is not None and _place(dataset.validation) == _place(dataset.train):
        yield (
            "dataset.validation is dataset.train: its scores say how well the training images are "
            "remembered, not how well others are recognized. Leave it out, and validationFraction "
            "is split off."
        )


def _place(location: S3Location) -> tuple[str, str, str]:
    """Where it lies, whatever keys read it."""
    return location.endpoint.rstrip("/").lower(), location.bucket, location.prefix.strip("/")


def _of_model(model: Model) -> Iterator[str]:
    idle = [head.name for head in model.heads if not head.loss_weight]
    if idle:
        every = "nothing is learnt at all" if len(idle) == len(model.heads) else "it learns nothing"
        yield f"lossWeight of model.heads {', '.join(idle)} is 0: {every}."


def _of_training(training: Training) -> Iterator[str]:
    steps, scheduler = training.max_steps, training.scheduler
    if training.validations > steps:
        yield (
            f"training.validations is {training.validations} and training.maxSteps {steps}: each "
            "step is followed by a validation, and there are no more."
        )
    milestones = scheduler.milestones or []
    if steps in milestones:
        yield (
            f"training.scheduler.milestones has {steps}, training's last step: the rate never "
            "falls there."
        )
    if len(set(milestones)) < len(milestones):
        yield (
            "training.scheduler.milestones has a step more than once: the rate falls that often at "
            "once."
        )
    if scheduler.warmup_steps == steps:
        yield (
            "training.scheduler.warmupSteps is training.maxSteps: training ends at the full rate, "
            "which never falls."
        )


_SECRET = re.compile(r"(?i)(^|_)(TOKEN|PASSWORD|PASSWD|SECRET|API_?KEY|CREDENTIALS?)($|_)")


def _of_runner(runner: Runner) -> Iterator[str]:
    if telling := [each.name for each in runner.env if _SECRET.search(each.name)]:
        yield (
            f"runner.env has {', '.join(telling)}: whoever reads the job, its pod or its record "
            "reads it too. A secret does not belong there."
        )
    disk = runner.resources.limits.get("ephemeral-storage")
    if disk is not None and quantity(disk) < quantity(runner.dataset_size):
        yield (
            f"runner.resources.limits.ephemeral-storage is {disk}, less than runner.datasetSize, "
            f"{runner.dataset_size}: a node evicts the pod whose dataset takes more than its limit."
        )
