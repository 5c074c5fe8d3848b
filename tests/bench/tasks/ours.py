"""The product: the worker's own preparation, loop and validation, for a given time."""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sihl_api.runtime import Env, JobReference, Message
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.training.loop import take_steps, train
from sihl_trainer.training.run import Run
from sihl_trainer.training.worker import prepare
from tests.bench.tasks.clock import of_cores
from tests.bench.tasks.rows import steps_within
from tests.bench.tasks.sheets import MOST, save_sheet

PROBE_SECONDS = 20
WARM_STEPS = 3
"""Which are slower than the others: memory is allocated, files are read for the first time."""


@dataclass(frozen=True)
class Learnt:
    """A run that has ended.

    Attributes:
        run: With its trained model.
        seconds: Of learning, by the clock of its cores.
    """

    run: Run
    seconds: float

    @property
    def results(self) -> dict[str, float]:
        """The validation's, as `head/metric`."""
        return dict(self.run.state.metrics)


def learn(
    spec: TrainingJobSpec, folder: Path, seconds: float, threads: int, sheet: Path | None = None
) -> Learnt:
    """Train for a time; the schedule is laid out so that it is complete by its end.

    Args:
        spec: The job, whose `maxSteps` and `maxDuration` are set here.
        folder: With train/ and validation/.
        seconds: Of learning, by the clock of its cores.
        threads: That compute.
        sheet: Where to save what the last validation drew; None: nothing is drawn.
    """
    probe = min(PROBE_SECONDS, max(2, round(seconds / 4)))
    steps = steps_within(seconds, step_seconds(spec, folder, probe, threads))
    limited = with_training(
        spec,
        max_steps=steps,
        max_duration=f"{max(1, round(seconds))}s",
        pictures=MOST if sheet else 0,
    )
    with prepared(limited, folder, threads) as run:
        train(run)
        if sheet:
            save_sheet(run, sheet)
    return Learnt(run, run.state.elapsed)


def step_seconds(spec: TrainingJobSpec, folder: Path, seconds: int, threads: int) -> float:
    """What a step takes, measured over so many seconds of the loop itself."""
    began: list[float] = []
    clock = of_cores(threads)

    def before_a_step() -> bool:
        began.append(clock())
        return False

    limited = with_training(spec, max_steps=10_000_000, max_duration=f"{seconds}s")
    with prepared(limited, folder, threads) as run:
        run.stop_requested = before_a_step
        take_steps(run)
    taken = [later - sooner for sooner, later in itertools.pairwise(began)]
    taken = taken[WARM_STEPS:] or taken
    return sum(taken) / len(taken)


def with_training(spec: TrainingJobSpec, **changes: Any) -> TrainingJobSpec:
    """A job with other values in `training`."""
    return spec.model_copy(update={"training": spec.training.model_copy(update=changes)})


@contextmanager
def prepared(spec: TrainingJobSpec, folder: Path, threads: int) -> Iterator[Run]:
    """A run as the worker prepares it, which loads its images itself: two cores are few."""
    job = JobReference(namespace="bench", name="job", uid="0123456789", spec=spec)
    os.environ[Env.JOB] = job.model_dump_json(by_alias=True, exclude_none=True)
    with tempfile.TemporaryDirectory(prefix="sihl-bench-") as scratch:
        options = argparse.Namespace(
            dataset=folder, fetched=None, scratch=Path(scratch), resume=None, initial=None
        )
        run = prepare(options, _unheard, _never)
        torch.set_num_threads(threads)
        run.workers = 0
        run.clock = of_cores(threads)
        yield run


def _unheard(_: Message) -> None:
    pass


def _never() -> bool:
    return False
