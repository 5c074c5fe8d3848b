"""Runs of the real training loop, small enough for a unit test."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sihl_api.runtime import JobReference, Message
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.training.channel import CheckpointWritten, MetricsMessage, ModelWritten
from sihl_trainer.training.run import Run
from sihl_trainer.training.worker import prepare
from tests.support.datasets import BOX_HEAD, CLASS_HEAD, job, jpeg, write

METADATA = """\
tasks:
  boxes: {task: object detection, categories: [cat, dog], annotations: boxes.yaml}
  pet: {task: multiclass classification, categories: [cat, dog], annotations: pet.yaml}
"""
HEADS = (
    BOX_HEAD | {"annotations": "boxes", "levels": [2, 3]},
    CLASS_HEAD | {"annotations": "pet"},
)


def multitask(folder: Path, count: int = 11) -> Path:
    """A dataset for `HEADS`; every third image lacks one of the annotations, some show nothing."""
    boxes, pets, files = [], [], {}
    for index in range(count):
        name = f"{index}.jpg"
        category = ("cat", "dog")[index % 2]
        found = f"[{{category: {category}, bbox: [1, 2, {6 + index}, 12]}}]"
        boxes.append(f"{name}: {'null' if index % 3 == 1 else '[]' if index % 5 == 4 else found}")
        pets.append(f"{name}: {'null' if index % 3 == 2 else category}")
        files[f"images/{name}"] = jpeg(seed=index)
    files |= {"metadata.yaml": METADATA.encode()}
    files |= {"boxes.yaml": "\n".join(boxes).encode(), "pet.yaml": "\n".join(pets).encode()}
    write(folder / "train", files)
    return folder


def multitask_job(
    training: Mapping[str, Any] | None = None,
    runner: Mapping[str, Any] | None = None,
    initialization: Mapping[str, Any] | None = None,
) -> TrainingJobSpec:
    """A job of both heads on one neck."""
    spec = job(*HEADS, training={"validations": 2} | dict(training or {}))
    raw = spec.model_dump(by_alias=True, exclude_none=True)
    raw["dataset"] |= {"validationFraction": 0.4}
    raw["runner"] = {"gpus": 0} | dict(runner or {})
    raw["model"] |= {
        "backbone": {"name": "resnet18"},
        "neck": {"name": "FPN", "levels": [2, 3], "channels": 16},
        "initialization": dict(initialization or {"from": "Random"}),
    }
    return TrainingJobSpec.model_validate(raw)


def reference(spec: TrainingJobSpec) -> str:
    """JSON for the variable that names a worker's job."""
    job_reference = JobReference(namespace="lab", name="job", uid="0123456789", spec=spec)
    return job_reference.model_dump_json(by_alias=True, exclude_none=True)


@dataclass
class Heard:
    """What the supervisor would have heard."""

    messages: list[Message] = field(default_factory=list)

    def __call__(self, message: Message) -> None:
        self.messages.append(message)

    def of(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.messages if isinstance(message, kind)]

    @property
    def checkpoints(self) -> list[CheckpointWritten]:
        return self.of(CheckpointWritten)

    @property
    def model(self) -> Path | None:
        written = self.of(ModelWritten)
        return Path(written[-1].directory) if written else None

    @property
    def validations(self) -> dict[int, dict[str, float]]:
        lines = [message.line for message in self.of(MetricsMessage)]
        return {line.step: line.values for line in lines if line.kind == "validation"}


@dataclass
class Times:
    """A clock that goes on by a fixed time whenever it is looked at."""

    tick: float
    now: float = 0.0

    def __call__(self) -> float:
        self.now += self.tick
        return self.now


def never() -> bool:
    return False


def prepared(
    monkeypatch: Any,
    spec: TrainingJobSpec,
    dataset: Path,
    scratch: Path,
    *,
    resume: Path | None = None,
    initial: Path | None = None,
    stop: Callable[[Run], bool] | None = None,
) -> tuple[Run, Heard]:
    """A run as the worker prepares it, in this process; `stop` is asked before every step."""
    monkeypatch.setenv("SIHL_JOB", reference(spec))
    heard = Heard()
    options = argparse.Namespace(
        dataset=dataset, fetched=None, scratch=scratch, resume=resume, initial=initial
    )
    run = prepare(options, heard, never)
    run.workers = 0
    if stop is not None:
        run.stop_requested = lambda: stop(run)
    return run, heard


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether tensors by name agree, bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
