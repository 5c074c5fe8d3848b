"""When to checkpoint, when to stop, when the time is over."""

from __future__ import annotations

from enum import IntEnum

from sihl_api.units import seconds
from sihl_trainer.training.run import Run


class Order(IntEnum):
    """What all ranks do before the next step."""

    GO_ON = 0
    CHECKPOINT = 1
    STOP = 2
    FINISH = 3  # maxDuration is over


class Pace:
    """Learning time and what it brings about. Rank 0 decides."""

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
