"""Every run by its name, `detection/ours` say, and what it does.

Modules that need torch are imported where they are used: what starts the runs must stay small,
because a process's peak memory counts what started it, and what reads a file needs no torch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from sihl_api.trainingjob import TrainingJobSpec
from tests.bench.tasks import several, sizes
from tests.bench.tasks.data import dataset
from tests.bench.tasks.pictures import REAL
from tests.bench.tasks.plans import HEAD, PLANS, Plan
from tests.bench.tasks.rows import Row

OURS, TRIVIALLY = "ours", "trivial"
SPLITS, FEW, THREE, SIZE = "splits", "few-labels", "three-tasks", "size"
"""First parts of the names of runs that belong to no plan."""


@dataclass(frozen=True)
class Given:
    """What a run may use.

    Args:
        minutes: Of learning.
        threads: That compute.
        count: Training images of made datasets, for a trial; None: the kinds' own numbers.
        pictures: A folder for what the product's runs draw, `<task>.png`; None: nothing is drawn.
    """

    minutes: float
    threads: int
    count: int | None = None
    pictures: Path | None = None

    @property
    def seconds(self) -> float:
        """Of learning."""
        return 60 * self.minutes


def every_run() -> list[str]:
    """All names, in the order in which they are run."""
    found = []
    for name, plan in PLANS.items():
        found += [f"{name}/{OURS}", f"{name}/{TRIVIALLY}"]
        found += [f"{name}/{other}" for other in plan.others]
    learners = (OURS, *PLANS[several.SPLIT_TASK].others)
    found += [f"{SPLITS}/{which}/{seed}" for which in learners for seed in several.SEEDS]
    found += [f"{FEW}/{w}/{s}" for s in several.SEEDS for w in (several.WITHOUT, several.WITH)]
    found += [f"{THREE}/{which}" for which in several.METRICS]
    found += [f"{SIZE}/{n}/{a}" for n, trap in sizes.TRAPS.items() for a in trap.sizes]
    return found


def measured(run: str, given: Given) -> Row:
    """A run's row, all but what its process took."""
    first, which, *rest = run.split("/")
    match first:
        case "splits":
            return _on_another_split(run, which, int(rest[0]), given)
        case "few-labels":
            folder = dataset(several.FEW_KIND, int(rest[0]), given.count)
            job, share = several.few_labels(which, int(rest[0])), several.FEW_SHARE
            return _job(run, job, several.FEW_METRIC, folder, given, share)
        case "three-tasks":
            folder = dataset(several.THREE_KIND, 0, given.count)
            job, share = several.three_tasks(which), several.three_tasks_share(which)
            return _job(run, job, several.METRICS[which], folder, given, share)
        case "size":
            results = sizes.TRAPS[which].measured(int(rest[0]), given.threads)
            name = next(iter(results))
            return Row(run, OURS, name, results[name], results=results)
    plan = PLANS[first]
    real = REAL.get(plan.kind)
    folder = real() if real else dataset(plan.kind, 0, given.count or plan.images)
    if which == OURS:
        return _job(run, plan.spec(), f"{HEAD}/{plan.metric}", folder, given)
    return _other(run, plan, which, folder, given)


def _on_another_split(run: str, which: str, seed: int, given: Given) -> Row:
    """Anybody's, on the digits that a seed draws."""
    plan = PLANS[several.SPLIT_TASK]
    folder = dataset(plan.kind, seed, given.count)
    if which == OURS:
        return _job(run, several.split(seed), f"{HEAD}/{plan.metric}", folder, given)
    return _other(run, plan, which, folder, given)


def _job(
    run: str, job: TrainingJobSpec, metric: str, folder: Path, given: Given, share: float = 1.0
) -> Row:
    """The product's; `share` of the time."""
    from tests.bench.tasks.judged import judged
    from tests.bench.tasks.ours import learn

    task = run.split("/")[0]
    sheet = given.pictures / f"{task}.png" if given.pictures and task in PLANS else None
    learnt = learn(job, folder, share * given.seconds, given.threads, sheet)
    results = learnt.results | judged(learnt.run, folder)
    name, steps = metric.split("/")[1], learnt.run.state.step
    return Row(run, OURS, name, results[metric], learnt.seconds, steps, results=results)


def _other(run: str, plan: Plan, which: str, folder: Path, given: Given) -> Row:
    """Anything else's."""
    import torch

    from tests.bench.tasks.classical import CLASSICAL
    from tests.bench.tasks.models import NETWORKS
    from tests.bench.tasks.networks import learn
    from tests.bench.tasks.trivial import TRIVIAL

    torch.set_num_threads(given.threads)
    if which in NETWORKS:
        title, make = NETWORKS[which]
        results, seconds, steps = learn(make, plan.spec(), folder, given.seconds, given.threads)
        return Row(run, title, plan.metric, results[plan.metric], seconds, steps, results=results)
    began = time.monotonic()
    if which == TRIVIALLY:
        title, value = TRIVIAL[plan.task](plan, folder)
    else:
        title, classical = CLASSICAL[which]
        value = classical(plan, folder)
    return Row(run, title, plan.metric, value, time.monotonic() - began)
