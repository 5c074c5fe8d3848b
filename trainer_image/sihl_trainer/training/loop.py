"""The training loop: knows steps, time and checkpoints, and no task."""

from __future__ import annotations

import logging
import time
from contextlib import closing

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sihl_api.times import now
from sihl_trainer.dataset.loading import batches
from sihl_trainer.dataset.samples import Batch
from sihl_trainer.model.model import VisionModel
from sihl_trainer.model.weights import save_model
from sihl_trainer.tasks.passes import Keys
from sihl_trainer.tasks.target import Target
from sihl_trainer.training.channel import CheckpointWritten, ModelWritten
from sihl_trainer.training.checkpoint import snapshot
from sihl_trainer.training.disk import writing
from sihl_trainer.training.distributed import Ranks
from sihl_trainer.training.evaluation import validate
from sihl_trainer.training.optimizer import set_rate
from sihl_trainer.training.pace import Order, Pace
from sihl_trainer.training.report import Meter, tell
from sihl_trainer.training.run import Run
from sihl_trainer.training.schedule import rate_factor, validation_due

log = logging.getLogger(__name__)


class LossModule(nn.Module):
    """The model and its losses as one module, so that ranks share gradients by its forward.

    Ranks take the mean of their gradients. That is the gradient of the whole batch if each divides
    its losses by what all have, annotated images say, and not by what happens to be its own.
    """

    def __init__(self, model: VisionModel, weights: dict[str, float], ranks: Ranks) -> None:
        super().__init__()
        self.model = model
        self.weights = weights
        self.ranks = ranks
        self.wanted = frozenset().union(*(model.head(name).passes for name in weights))

    def forward(
        self, images: Tensor, targets: dict[str, list[Target | None]], keys: Keys
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum to learn from, and each of this rank's losses as `head/loss`."""
        views = self.model.views(images, self.wanted, keys)
        losses = {
            (name, kind): loss
            for name in self.weights
            for kind, loss in self.model.head(name).loss(views, targets[name]).items()
        }
        amounts = self.ranks.sum(torch.stack([loss.amount for loss in losses.values()]))
        divisors = amounts.clamp(min=1) / self.ranks.size
        total = images.new_zeros((), dtype=torch.float32)
        for ((name, _), loss), divisor in zip(losses.items(), divisors, strict=True):
            total = total + self.weights[name] * (loss.total / divisor)
        if self.ranks.size > 1:
            # No parameter may be without a gradient: the other ranks would wait for it.
            total = total + 0.0 * sum(p.sum() for p in self.model.parameters())
        return total, {f"{name}/{kind}": loss.mean for (name, kind), loss in losses.items()}


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
        return False
    # 3. The last validation, unless it was the last step's.
    if state.validated < state.step and not validate(run):
        return stop(run)
    # 4. The model.
    run.writer.wait()
    if run.ranks.first:
        folder = run.scratch / "model"
        with writing(folder):
            save_model(run.model, folder, run.state.step, run.attempt, now())
        run.send(ModelWritten(directory=str(folder), step=run.state.step))
    return True


def take_steps(run: Run) -> bool:
    """Steps up to the end of training; False where a stop came first, and was obeyed."""
    settings, state = run.spec.training, run.state
    if state.step >= settings.max_steps:
        return True
    module: nn.Module = LossModule(run.model, run.loss_weights, run.ranks)
    if run.ranks.size > 1:
        ids = [run.device.index] if run.device.type == "cuda" else None
        module = DistributedDataParallel(module, device_ids=ids)
    meter = Meter(run)
    tell(run, "Training")
    pace = Pace(run)
    loader = batches(
        run.data.train, run.spec, state.step, run.ranks.rank, run.ranks.size, run.workers
    )
    with closing(loader) as source:
        run.model.train()
        while state.step < settings.max_steps:
            decision, all_ready = run.heard(source, pace.order)
            order = Order(decision)
            if order is not Order.GO_ON:
                meter.check()
            if order is Order.STOP:
                return stop(run)  # here, since to close the loaders takes as long as their batches
            if order is Order.FINISH:
                log.info("maxDuration %s is over at step %d", settings.max_duration, state.step)
                return True
            # Steps that cannot be saved are not worth learning; a stop or an end saves anew.
            run.writer.check()
            if order is Order.CHECKPOINT:
                save(run)
            if not all_ready:
                continue
            batch = next(source)
            losses = step(run, module, batch)
            pace.stepped()
            meter.add(losses, batch.annotated)
            if validation_due(state.step, settings.max_steps, settings.validations):
                meter.report()
                if not validate(run):
                    return stop(run)
                pace.resume()
                meter.validated()
        meter.report()
    return True


def step(run: Run, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """One step of the optimizer. Nothing here waits for the device: the losses stay there."""
    settings = run.spec.training
    factor = rate_factor(settings.scheduler, run.state.step, settings.max_steps)
    set_rate(run.optimizer, settings.optimizer.learning_rate * factor)
    images = batch.images.to(run.device, non_blocking=True)
    with run.precision():
        keys = run.keys(batch)
        total, losses = module(images, batch.targets, keys)
    run.optimizer.zero_grad(set_to_none=True)
    total.backward()
    if settings.gradient_clip_norm is not None:
        nn.utils.clip_grad_norm_(run.model.parameters(), settings.gradient_clip_norm)
    run.optimizer.step()
    run.state.step += 1
    return {name: loss.detach() for name, loss in losses.items()}


# --- checkpoints -----------------------------------------------------------------------------


def save(run: Run) -> None:
    """A periodic checkpoint: training waits for the snapshot only."""
    if not run.ranks.first:
        return
    began = time.monotonic()
    taken = snapshot(run.model, run.optimizer, run.state)
    log.info("step %d: snapshot in %.0f ms", run.state.step, 1000 * (time.monotonic() - began))
    folder, saved_at = run.scratch / f"checkpoint-{run.state.step:09d}", now()

    def write() -> None:
        with writing(folder):
            taken.write(folder, run.attempt, saved_at)
        run.send(CheckpointWritten(directory=str(folder), step=taken.state.step))

    run.writer.start(write)


def stop(run: Run) -> bool:
    """The checkpoint that a stop leaves, then False. Before the first step there is none."""
    tell(run, "Stopping")
    run.writer.wait()
    if run.ranks.first and run.state.step > 0:
        log.info("step %d: stopping, with a checkpoint", run.state.step)
        folder = run.scratch / f"checkpoint-{run.state.step:09d}-final"
        with writing(folder):
            snapshot(run.model, run.optimizer, run.state).write(folder, run.attempt, now())
        run.send(CheckpointWritten(directory=str(folder), step=run.state.step, final=True))
    return False
