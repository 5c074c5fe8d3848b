"""`python -m tests.bench.gpu`: what a step of each task costs on a GPU, without what feeds it.

Batches are made before and are taken from memory, so that it is the GPU, and what this process has
it do, that is measured: ResNet-50 at 512 pixels, as one would train in earnest. Beside the time of
a step: how often in it the processor waits for the GPU, which should be never.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from sihl_api.training import Precision
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.dataset.loading import batches
from sihl_trainer.dataset.samples import Batch
from sihl_trainer.training.evaluation import validate
from sihl_trainer.training.loop import LossModule, step
from sihl_trainer.training.run import Run
from tests.bench.report import tell
from tests.bench.tasks.data import dataset
from tests.bench.tasks.ours import prepared, with_training
from tests.bench.tasks.pictures import REAL
from tests.bench.tasks.plans import PLANS, Plan

IMAGES = 80  # of each dataset, and a tenth for validation
BATCHES = 4  # that are taken in turn
WARM = 5  # steps, in which cuDNN tries what is fastest
LARGE = {"name": "FPN", "levels": [2, 5], "channels": 256}
STEM = 512  # pixels of the longer side
BATCH = 16


@dataclass(frozen=True)
class Cost:
    """What a step takes.

    Attributes:
        milliseconds: The median of a step, by the GPU's own clock.
        peak: Most memory that torch had allocated, GiB.
        waits: Times a step in which the processor waits for the GPU.
        validated: Seconds that a validation of a tenth of the images takes.
        loss: Whether it is less at the end than at the beginning.
    """

    milliseconds: float
    peak: float
    waits: float
    validated: float
    loss: bool

    @property
    def images(self) -> float:
        """That are learnt a second."""
        return 1000 * BATCH / self.milliseconds


def main() -> int:
    """Each task in both precisions; 1 where one does not learn."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu", description=__doc__)
    parser.add_argument("tasks", nargs="*", metavar="TASK")
    parser.add_argument("--steps", type=int, default=30, help="that are measured")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("torch sees no GPU: there is nothing to measure")
    figures: dict[str, object] = {"GPU": torch.cuda.get_device_name(), "torch": torch.__version__}
    learns = True
    for name, plan in PLANS.items():
        if plan.kind in REAL or (given.tasks and name not in given.tasks):
            continue
        costs = {each: measured(plan, each, given.steps) for each in Precision}
        for precision, cost in costs.items():
            print(name, precision.value, cost, flush=True)
            learns = learns and cost.loss
        half, whole = costs[Precision.BFLOAT16], costs[Precision.FLOAT32]
        figures |= {
            f"{name}: images/s": half.images,
            f"{name}: times float32's": half.images / whole.images,
            f"{name}: peak, GiB": half.peak,
            f"{name}: waits a step": half.waits,
            f"{name}: validation of {IMAGES // 10} images, s": half.validated,
        }
        if given.json:
            tell(figures, given.json)
    tell(figures, given.json)
    return int(not learns)


def measured(plan: Plan, precision: Precision, steps: int) -> Cost:
    """One task's."""
    folder = dataset(plan.kind, 0, IMAGES)
    with prepared(job(plan, precision), folder, torch.get_num_threads()) as run:
        torch.cuda.reset_peak_memory_stats()
        source = batches(run.data.train, run.spec)
        kept = list(itertools.islice(source, BATCHES))
        module = LossModule(run.model, run.loss_weights, run.ranks)
        run.model.train()
        first = took(run, module, kept, WARM)
        waits = waited(run, module, kept[0])
        last = took(run, module, kept, steps)
        began = time.monotonic()
        validate(run)
        torch.cuda.synchronize()
        validated = time.monotonic() - began
        peak = torch.cuda.max_memory_allocated() / 2**30
    torch.cuda.empty_cache()
    median = statistics.median(milliseconds for milliseconds, _ in last)
    sooner, later = (sum(loss for _, loss in part) for part in (first[:BATCHES], last[-BATCHES:]))
    return Cost(median, peak, waits, validated, later < sooner)


def job(plan: Plan, precision: Precision) -> TrainingJobSpec:
    """The plan's at full size, on a GPU."""
    width, height = plan.size
    size = (STEM, STEM * height // width)
    large = replace(plan, size=size, batch=BATCH, neck=plan.neck and LARGE, rate=2e-4)
    spec = with_training(large.spec(), precision=precision, max_steps=10_000)
    backbone = spec.model.backbone.model_copy(update={"name": "resnet50"})
    return spec.model_copy(
        update={
            "model": spec.model.model_copy(update={"backbone": backbone}),
            "runner": spec.runner.model_copy(update={"gpus": 1}),
        }
    )


def took(
    run: Run, module: LossModule, kept: Sequence[Batch], steps: int
) -> list[tuple[float, float]]:
    """Milliseconds and the sum of the losses of each of so many steps."""
    events = [torch.cuda.Event(enable_timing=True) for _ in range(steps + 1)]  # type: ignore[no-untyped-call]  # torch's own
    losses = []
    events[0].record()
    for number, event in enumerate(events[1:]):
        found = step(run, module, kept[number % len(kept)])
        losses.append(torch.stack([loss.float() for loss in found.values()]).sum())
        event.record()
    torch.cuda.synchronize()
    times = [before.elapsed_time(after) for before, after in itertools.pairwise(events)]
    return list(zip(times, torch.stack(losses).tolist(), strict=True))


def waited(run: Run, module: LossModule, batch: Batch) -> int:
    """How often the processor waits for the GPU in a step, and for what, as torch tells it."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            step(run, module, batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    places = [f"{Path(each.filename).name}:{each.lineno}" for each in caught
              if "synchroniz" in str(each.message)]  # fmt: skip
    for place in sorted(set(places)):
        print(f"  waits {places.count(place)} times at {place}", flush=True)
    return len(places)


if __name__ == "__main__":
    sys.exit(main())
