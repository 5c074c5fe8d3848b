"""What a run tells while it learns: losses, speed, time left, results."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import torch
from torch import Tensor

from sihl_api.record import MetricLine
from sihl_api.runtime import ExitCode
from sihl_api.times import now
from sihl_api.units import seconds
from sihl_trainer.errors import TrainerError
from sihl_trainer.training.channel import MetricsMessage, ProgressMessage
from sihl_trainer.training.run import Run
from sihl_trainer.training.schedule import validations_due

REPORT_SECONDS = 1.0
_NEVER = 2**62


class DivergedError(TrainerError):
    """A loss that is no number any more; the same steps would end there again."""

    exit_code = ExitCode.BAD_CONFIG


class Meter:
    """Losses since the last report, summed on the device: reading each one would stall it.

    A loss is reported as its mean over the steps that had annotated images of its head.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._names: list[str] = []
        self._rate: float | None = None
        self._validation = 0.0  # what one takes, once it is known
        self._restart()

    def _restart(self) -> None:
        """Forget what was counted, and the time since."""
        self._sums: Tensor | None = None
        self._spoilt: Tensor | None = None
        self._steps = 0
        self._annotated: Counter[str] = Counter()
        self._since = self._run.clock()

    def validated(self) -> None:
        """Go on after a validation, before which there was a report."""
        self._validation = self._run.clock() - self._since
        self._restart()

    def add(self, losses: dict[str, Tensor], annotated: set[str]) -> None:
        """Count a step's losses; report if the last time is long enough ago.

        Args:
            losses: Scalars as `head/loss`, the same names in the same order at each step.
            annotated: Heads that the batch had an annotated image for; others' losses are zero.
        """
        values = torch.stack(list(losses.values()))
        step = torch.where(values.isfinite(), _NEVER, self._run.state.step)
        if self._sums is None or self._spoilt is None:
            self._names, self._sums, self._spoilt = list(losses), values, step
        else:
            self._sums, self._spoilt = self._sums + values, torch.minimum(self._spoilt, step)
        self._steps += 1
        self._annotated.update(annotated)
        if self._run.clock() - self._since >= REPORT_SECONDS:
            self.report()

    def check(self) -> None:
        """A checkpoint must not hold weights that are no numbers.

        Raises:
            DivergedError: A loss is none; names its first step and its head.
        """
        if self._spoilt is None:
            return
        step, name = min(zip(self._spoilt.tolist(), self._names, strict=True))
        if step != _NEVER:
            head, loss = name.split("/")
            raise DivergedError(
                "LossNotFinite",
                f"the {loss} loss of head {head!r} is not a finite number at step {step}: lower "
                "training.optimizer.learningRate, set training.gradientClipNorm, or warm up longer",
            )

    def report(self) -> None:
        """Tell losses, rate and time left.

        Raises:
            DivergedError: As `check`.
        """
        if self._sums is None:
            return
        self.check()
        run = self._run
        passed = max(run.clock() - self._since, 1e-9)
        self._rate = self._steps * run.spec.training.batch_size / passed
        if run.ranks.first:
            values = {
                name: total / self._annotated[head_of(name)]
                for name, total in zip(self._names, self._sums.tolist(), strict=True)
                if self._annotated[head_of(name)]
            }
            weights = run.loss_weights
            values["loss"] = sum(weights[head_of(n)] * v for n, v in values.items())
            run.send(MetricsMessage(line=line(run.state.step, "train", values)))
            left = time_left(run, passed / self._steps, self._validation)
            tell(run, "Training", self._rate, left)
        self._restart()


def head_of(loss: str) -> str:
    """The head of a loss that is named `head/loss`."""
    return loss.split("/")[0]


def time_left(run: Run, step_seconds: float, validation_seconds: float) -> float:
    """Seconds to the end, at the pace of so many a step and so many a validation."""
    settings, state = run.spec.training, run.state
    steps: float = settings.max_steps - state.step
    if settings.max_duration:  # of learning: validations come on top
        steps = min(steps, (seconds(settings.max_duration) - state.elapsed) / step_seconds)
    if steps <= 0:
        return 0.0
    end = state.step + math.ceil(steps)
    due = validations_due(state.step, end, settings.max_steps, settings.validations)
    return steps * step_seconds + max(1, due) * validation_seconds  # the end has one in any case


def tell(run: Run, stage: Any, rate: float | None = None, remaining: float | None = None) -> None:
    """Say where the run is; only rank 0 speaks."""
    if run.ranks.first:
        run.send(
            ProgressMessage(
                stage=stage,
                step=run.state.step,
                images_per_second=rate,
                learning_rate=run.optimizer.param_groups[0]["lr"],
                remaining_seconds=remaining,
            )
        )


def line(at: int, kind: Any, values: dict[str, float]) -> MetricLine:
    """A line for the record."""
    return MetricLine(time=now(), step=at, kind=kind, values=values)
