"""The training loop: knows steps, time and checkpoints, and no task."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sihl_api.record import MetricLine
from sihl_api.runtime import ExitCode, Message
from sihl_api.trainingjob import Precision, TrainingJobSpec
from sihl_api.units import seconds
from sihl_trainer.data.dataset import Datasets
from sihl_trainer.data.loading import batches, validation_batches
from sihl_trainer.data.samples import Batch
from sihl_trainer.errors import TrainerError
from sihl_trainer.model.model import VisionModel
from sihl_trainer.model.weights import save_model
from sihl_trainer.training.channel import (
    CheckpointWritten,
    MetricsMessage,
    ModelWritten,
    ProgressMessage,
)
from sihl_trainer.training.checkpoint import BackgroundWriter, TrainingState, snapshot
from sihl_trainer.training.distributed import Ranks
from sihl_trainer.training.optimizer import set_rate
from sihl_trainer.training.schedule import rate_factor, validation_due

log = logging.getLogger(__name__)

REPORT_SECONDS = 1.0


class Order(IntEnum):
    """What all ranks do before the next step."""

    GO_ON = 0
    CHECKPOINT = 1
    STOP = 2
    FINISH = 3  # maxDuration is over


class DivergedError(TrainerError):
    """A loss that is no number any more; the same steps would end there again."""

    exit_code = ExitCode.BAD_CONFIG


class LossModule(nn.Module):
    """The model and its losses as one module, so that ranks share gradients by its forward."""

    def __init__(self, model: VisionModel, weights: dict[str, float]) -> None:
        super().__init__()
        self.model = model
        self.weights = weights

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, and each loss as `head/loss`."""
        features = self.model(batch.images)
        losses: dict[str, Tensor] = {}
        total = batch.images.new_zeros((), dtype=torch.float32)
        for name, weight in self.weights.items():
            for kind, value in self.model.head(name).loss(features, batch.targets[name]).items():
                losses[f"{name}/{kind}"] = value
                total = total + weight * value
        return total, losses


@dataclass
class Run:
    """Everything that a training run works on.

    Attributes:
        spec: The job's.
        data: What is learnt from.
        model: On its device.
        optimizer: Over the model's weights.
        state: Where the run stands.
        ranks: This process among its fellows.
        device: Where to compute.
        scratch: Where checkpoints are written.
        attempt: For manifests.
        send: Tells the supervisor.
        stop_requested: Whether the supervisor asked for a stop.
        workers: Loader processes.
        clock: Seconds that only grow.
    """

    spec: TrainingJobSpec
    data: Datasets
    model: VisionModel
    optimizer: torch.optim.Optimizer
    state: TrainingState
    ranks: Ranks
    device: torch.device
    scratch: Path
    attempt: int
    send: Callable[[Message], None]
    stop_requested: Callable[[], bool]
    workers: int = 0
    clock: Callable[[], float] = time.monotonic
    writer: BackgroundWriter = field(default_factory=BackgroundWriter)


def train(run: Run) -> bool:
    """Learn until the end or until a stop; returns whether the model is complete.

    Raises:
        TrainerError: Training cannot go on; says why.
    """
    # 1. What a resumed run still owes: a validation that its stop broke off.
    settings, state = run.spec.training, run.state
    owed = validation_due(state.step, settings.max_steps, settings.validations)
    if owed and state.validated < state.step and not validate(run):
        return stop(run)
    # 2. Steps, with validations and checkpoints between them.
    if not take_steps(run):
        return stop(run)
    # 3. The last validation, unless it was the last step's.
    if state.validated < state.step and not validate(run):
        return stop(run)
    # 4. The model.
    run.writer.wait()
    if run.ranks.first:
        folder = save_model(run.model, run.scratch / "model", run.state.step, run.attempt, _now())
        run.send(ModelWritten(directory=str(folder), step=run.state.step))
    return True


def take_steps(run: Run) -> bool:
    """Steps up to the end of training; False where a stop came first."""
    settings, state = run.spec.training, run.state
    if state.step >= settings.max_steps:
        return True
    module: nn.Module = LossModule(
        run.model, {head.name: head.loss_weight for head in run.spec.model.heads}
    )
    if run.ranks.size > 1:
        ids = [run.device.index] if run.device.type == "cuda" else None
        module = DistributedDataParallel(module, device_ids=ids, find_unused_parameters=True)
    meter = Meter(run)
    meter.report_start()
    pace = Pace(run)
    loader = batches(
        run.data.train, run.spec, state.step, run.ranks.rank, run.ranks.size, run.workers
    )
    with closing(loader) as source:  # type: ignore[type-var]  # a generator, which can be closed
        run.model.train()
        while state.step < settings.max_steps:
            order = Order(run.ranks.agree(pace.order()))
            if order is Order.STOP:
                return False
            if order is Order.FINISH:
                log.info("maxDuration %s is over at step %d", settings.max_duration, state.step)
                return True
            if order is Order.CHECKPOINT:
                meter.check()
                save(run)
            losses = step(run, module, next(source))
            pace.stepped()
            meter.add(losses)
            if validation_due(state.step, settings.max_steps, settings.validations):
                meter.report()
                if not validate(run):
                    return False
                pace.resume()
                meter.restart()
        meter.report()
    return True


def step(run: Run, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """One step of the optimizer; the losses stay on the device."""
    settings = run.spec.training
    factor = rate_factor(settings.scheduler, run.state.step, settings.max_steps)
    set_rate(run.optimizer, settings.optimizer.learning_rate * factor)
    batch = batch.to(run.device, non_blocking=True)
    with precision(run):
        total, losses = module(batch)
    run.optimizer.zero_grad(set_to_none=True)
    total.backward()
    if settings.gradient_clip_norm is not None:
        nn.utils.clip_grad_norm_(run.model.parameters(), settings.gradient_clip_norm)
    run.optimizer.step()
    run.state.step += 1
    return {name: loss.detach() for name, loss in losses.items()}


def precision(run: Run) -> AbstractContextManager[object]:
    """The number format of forward passes."""
    if run.spec.training.precision is Precision.BFLOAT16:
        return torch.autocast(run.device.type, dtype=torch.bfloat16)
    return nullcontext()


# --- validation ------------------------------------------------------------------------------


def validate(run: Run) -> bool:
    """Evaluate every head; False where a stop broke it off. Changes nothing that trains."""
    state = run.state
    _progress(run, "Validating")
    pairs: dict[str, list[tuple[Any, Any]]] = {head.name: [] for head in run.spec.model.heads}
    run.model.eval()
    with torch.inference_mode(), precision(run):
        for batch in _even(run):
            if run.ranks.agree(int(run.ranks.first and run.stop_requested())):
                return False
            if batch is None:
                continue
            features = run.model(batch.images.to(run.device, non_blocking=True))
            for name, found in pairs.items():
                predictions = run.model.head(name).predict(features)
                found += [
                    (prediction, target)
                    for prediction, target in zip(predictions, batch.targets[name], strict=True)
                    if target is not None
                ]
    run.model.train()
    metrics: dict[str, float] = {}
    for name, found in pairs.items():
        everything = [pair for part in run.ranks.gather(found) for pair in part]
        if everything:
            values = run.model.head(name).evaluate(*map(list, zip(*everything, strict=True)))
            metrics |= {f"{name}/{kind}": value for kind, value in values.items()}
    state.validated, state.metrics = state.step, metrics
    if run.ranks.first:
        shown = ", ".join(f"{name} {value:.4f}" for name, value in sorted(metrics.items()))
        log.info("step %d: validation %s", state.step, shown)
        run.send(MetricsMessage(line=_line(state.step, "validation", metrics)))
    _progress(run, "Training")
    return True


def _even(run: Run) -> Iterator[Batch | None]:
    """Validation batches, None to the end of the longest rank's: all ranks agree once a batch."""
    size = max(1, run.spec.training.batch_size // run.ranks.size)
    longest = -(-len(run.data.validation) // run.ranks.size)
    count = -(-longest // size)
    loader = validation_batches(
        run.data.validation, run.spec, run.ranks.rank, run.ranks.size, run.workers
    )
    for _ in range(count):
        yield next(loader, None)


# --- checkpoints -----------------------------------------------------------------------------


def save(run: Run) -> None:
    """A periodic checkpoint: training waits for the snapshot only."""
    if not run.ranks.first:
        return
    began = time.monotonic()
    taken = snapshot(run.model, run.optimizer, run.state)
    log.info("step %d: snapshot in %.0f ms", run.state.step, 1000 * (time.monotonic() - began))
    folder, saved_at = run.scratch / f"checkpoint-{run.state.step:09d}", _now()

    def write() -> None:
        taken.write(folder, run.attempt, saved_at)
        run.send(CheckpointWritten(directory=str(folder), step=taken.state.step))

    run.writer.start(write)


def stop(run: Run) -> bool:
    """The checkpoint that a stop leaves, then False. Before the first step there is none."""
    _progress(run, "Stopping")
    run.writer.wait()
    if run.ranks.first and run.state.step > 0:
        log.info("step %d: stopping, with a checkpoint", run.state.step)
        folder = run.scratch / f"checkpoint-{run.state.step:09d}-final"
        snapshot(run.model, run.optimizer, run.state).write(folder, run.attempt, _now())
        run.send(CheckpointWritten(directory=str(folder), step=run.state.step, final=True))
    return False


# --- time and reports ------------------------------------------------------------------------


class Pace:
    """When to checkpoint, when to stop, when the time is over. Rank 0 decides."""

    def __init__(self, run: Run) -> None:
        self._run = run
        limit = run.spec.training.max_duration
        self._limit = float(seconds(limit)) if limit else float("inf")
        self._interval = float(seconds(run.spec.runner.checkpoint_interval))
        self._last = self._saved = run.clock()

    def order(self) -> Order:
        """What to do before the next step."""
        run = self._run
        if run.stop_requested():
            return Order.STOP
        if run.state.elapsed >= self._limit and run.state.step > 0:
            return Order.FINISH
        due = run.clock() - self._saved >= self._interval
        if due and run.state.step > 0 and not run.writer.busy:
            self._saved = run.clock()
            return Order.CHECKPOINT
        return Order.GO_ON

    def stepped(self) -> None:
        """Count the time of a step."""
        now = self._run.clock()
        self._run.state.elapsed += now - self._last
        self._last = now

    def resume(self) -> None:
        """Go on after a validation, which is no learning time."""
        self._last = self._run.clock()


class Meter:
    """Losses since the last report, summed on the device: reading each one would stall it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._sums: dict[str, Tensor] = {}
        self._steps = 0
        self._since = run.clock()
        self._rate: float | None = None

    def add(self, losses: dict[str, Tensor]) -> None:
        """Count a step's losses; report if the last time is long enough ago."""
        for name, loss in losses.items():
            known = self._sums.get(name)
            self._sums[name] = loss if known is None else known + loss
        self._steps += 1
        if self._run.clock() - self._since >= REPORT_SECONDS:
            self.report()

    def check(self) -> None:
        """A checkpoint must not hold weights that are no numbers.

        Raises:
            DivergedError: A loss is none; names step and head.
        """
        for name, total in self._sums.items():
            if not bool(torch.isfinite(total)):
                head, loss = name.split("/")
                raise DivergedError(
                    "LossNotFinite",
                    f"the {loss} loss of head {head!r} is not a finite number at step "
                    f"{self._run.state.step}: lower training.optimizer.learningRate, set "
                    "training.gradientClipNorm, or warm up longer",
                )

    def report_start(self) -> None:
        """Training begins: the supervisor hears it before the first step."""
        _progress(self._run, "Training")
        self.restart()

    def restart(self) -> None:
        """Forget what was counted, and the time since."""
        self._sums, self._steps, self._since = {}, 0, self._run.clock()

    def report(self) -> None:
        """Tell losses, rate and time left.

        Raises:
            DivergedError: As `check`.
        """
        if not self._steps:
            return
        self.check()
        run, now = self._run, self._run.clock()
        passed = max(now - self._since, 1e-9)
        self._rate = self._steps * run.spec.training.batch_size / passed
        if run.ranks.first:
            values = {name: float(total) / self._steps for name, total in self._sums.items()}
            weights = {head.name: head.loss_weight for head in run.spec.model.heads}
            values["loss"] = sum(weights[n.split("/")[0]] * v for n, v in values.items())
            run.send(MetricsMessage(line=_line(run.state.step, "train", values)))
            left = (run.spec.training.max_steps - run.state.step) * passed / self._steps
            _progress(run, "Training", self._rate, left)
        self.restart()


def _progress(
    run: Run, stage: Any, rate: float | None = None, remaining: float | None = None
) -> None:
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


def _line(at: int, kind: Any, values: dict[str, float]) -> MetricLine:
    return MetricLine(time=_now(), step=at, kind=kind, values=values)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
