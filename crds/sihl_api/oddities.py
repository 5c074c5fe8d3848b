"""What is legal in a job and yet hardly meant: told as warnings, and no reason to refuse it.

Of a spec that holds to the schema and its rules. The operator writes them into the condition
`Accepted`; `kubectl sihl` and `sihl-trainer local` print them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from sihl_api.dataset import Dataset, S3Location
from sihl_api.model import Model
from sihl_api.runner import Runner
from sihl_api.training import Training
from sihl_api.trainingjob import GROUP, QUEUE_ANNOTATION, TrainingJobSpec
from sihl_api.units import quantity, seconds

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
        *_of_metadata(metadata or {}),
        *_of_life(spec, metadata or {}),
        *_of_dataset(spec.dataset),
        *_of_model(spec.model),
        *_of_training(spec.training),
        *_of_runner(spec.runner),
    ]


def oddities_in_a_cluster(spec: TrainingJobSpec) -> list[str]:
    """What is usual where a job runs on one's own machine, and hardly meant of one in a pod."""
    places = {"train": spec.dataset.train, "validation": spec.dataset.validation}
    return [
        f"dataset.{split}.endpoint is {place.endpoint}, which is the job's own pod, where no store "
        "is: write the store's name or address as pods reach it."
        for split, place in places.items()
        if place is not None and urlsplit(place.endpoint).hostname in _THIS_MACHINE
    ]


def _of_metadata(metadata: Mapping[str, Any]) -> Iterator[str]:
    for kind in ("labels", "annotations"):
        for name in metadata.get(kind) or ():
            known = kind == "annotations" and name == QUEUE_ANNOTATION
            if name.startswith(f"{GROUP}/") and not known:
                yield (
                    f"metadata.{kind} has {name}, which nobody reads: another queue than the "
                    f"project's is chosen by the annotation {QUEUE_ANNOTATION}."
                )


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

    if dataset.validation is not None and dataset.validation_fraction != _FRACTION:
        yield (
            f"dataset.validationFraction is {dataset.validation_fraction}, and dataset.validation "
            "is given: nothing is split off."
        )
    for split, location in (("train", dataset.train), ("validation", dataset.validation)):
        if location is not None and location.prefix != location.prefix.strip():
            yield (
                f"dataset.{split}.prefix is {location.prefix!r}, with a blank at its beginning or "
                "end, which is part of the folder's name."
            )


_FRACTION = Dataset.model_fields["validation_fraction"].default
_THIS_MACHINE = {"localhost", "127.0.0.1", "0.0.0.0", "::1", "::"}  # noqa: S104 (none is bound)


def _place(location: S3Location) -> tuple[str, str, str]:
    """Where it lies, whatever keys read it."""
    url = urlsplit(location.endpoint.lower())
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    return f"{url.hostname}:{port}", location.bucket, location.prefix.strip("/")


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

    falls = training.optimizer.learning_rate * training.optimizer.weight_decay
    if falls >= 1:
        yield (
            "training.optimizer.learningRate times weightDecay is "
            f"{falls:g}: each step takes all of a weight, or more, and nothing is learnt."
        )


_DAY = 24 * 3600
_SECRET = re.compile(r"(?i)(^|_)(TOKEN|PASSWORD|PASSWD|SECRET|API_?KEY|CREDENTIALS?)($|_)")


def _of_runner(runner: Runner) -> Iterator[str]:
    if telling := [each.name for each in runner.env if _SECRET.search(each.name)]:
        yield (
            f"runner.env has {', '.join(telling)}: whoever reads the job, its pod or its record "
            "reads it too. A secret does not belong there."
        )
    if seconds(runner.stop_grace_period) > _DAY:
        yield (
            f"runner.stopGracePeriod is {runner.stop_grace_period}: a pod that does not end, as on "
            "a node that is lost, keeps its queue for as long."
        )
    if seconds(runner.checkpoint_interval) > _DAY:
        yield (
            f"runner.checkpointInterval is {runner.checkpoint_interval}: whatever ends the pod "
            "without notice loses as much training."
        )
    disk = runner.resources.limits.get("ephemeral-storage")
    if disk is not None and quantity(disk) < quantity(runner.dataset_size):
        yield (
            f"runner.resources.limits.ephemeral-storage is {disk}, less than runner.datasetSize, "
            f"{runner.dataset_size}: a node evicts the pod whose dataset takes more than its limit."
        )
