"""When and how much: learning-rate factors and validation steps, as pure functions of the step."""

from __future__ import annotations

import math

from sihl_api.training import Scheduler, SchedulerName

MILESTONE_FACTOR = 0.1
WARMUP_PART = 0.1
INITIAL_FACTOR = 0.04
FINAL_FACTOR = 1e-4


def rate_factor(scheduler: Scheduler, step: int, max_steps: int) -> float:
    """What the learning rate is multiplied by at a step, counted from 0.

    OneCycle rises and falls along half cosines (Smith and Topin, "Super-Convergence", 2018), and
    ends at the last step: that one's factor is the final one.
    """
    if scheduler.name is SchedulerName.CONSTANT:
        return 1.0
    if scheduler.name is SchedulerName.MULTI_STEP:
        factor = MILESTONE_FACTOR if scheduler.factor is None else scheduler.factor
        passed = sum(step >= milestone for milestone in scheduler.milestones or ())
        return float(factor**passed)
    initial = INITIAL_FACTOR if scheduler.initial_factor is None else scheduler.initial_factor
    final = FINAL_FACTOR if scheduler.final_factor is None else scheduler.final_factor
    warmup = round(WARMUP_PART * max_steps)
    if scheduler.warmup_steps is not None:
        warmup = min(scheduler.warmup_steps, max_steps)
    if step < warmup:
        return _cosine(initial, 1.0, step / warmup)
    last = max_steps - 1
    return _cosine(1.0, final, (step - warmup) / (last - warmup) if step < last else 1.0)


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


def validation_due(step: int, max_steps: int, validations: int) -> bool:
    """Whether a validation follows that many done steps: evenly spread, the last at the end."""
    return step > 0 and validations_due(step - 1, step, max_steps, validations) > 0


def validations_due(start: int, end: int, max_steps: int, validations: int) -> int:
    """How many follow the steps after `start`, up to and with `end`."""
    return end * validations // max_steps - start * validations // max_steps
