"""summary.json of a job, as its running attempt keeps it."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Mapping

from sihl_api.record import (
    AttemptSummary,
    Better,
    JobSummary,
    MetricLine,
    RecordPaths,
    SummaryProgress,
)
from sihl_api.runtime import Result
from sihl_api.times import now
from sihl_trainer.newest import Newest
from sihl_trainer.record.history import History, read_history, read_summary
from sihl_trainer.record.store import Store
from sihl_trainer.record.tally import Tally

log = logging.getLogger(__name__)


class SummaryKeeper:
    """Gathers what an attempt tells, and writes it beside what earlier ones left. Thread-safe.

    It is written in the background, and costs nothing else when it cannot be.

    Args:
        store: Where to.
        paths: The job's record.
        attempt: As far as it is known before it begins.
        max_steps: Of the job's spec.
    """

    def __init__(
        self, store: Store, paths: RecordPaths, attempt: AttemptSummary, max_steps: int
    ) -> None:
        self._store = store
        self._paths = paths
        self._attempt = attempt
        self._max_steps = max_steps
        self._step: int | None = None
        self._rate: float | None = None
        self._tally = Tally()
        self._better: dict[str, Better] = {}
        self._history: tuple[float, History] | None = None
        self._superseded = False
        self._failing = False
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._newest = Newest[bool](lambda _: self.write(), "summary")

    def resumes(self, step: int | None) -> None:
        """The worker starts, at a checkpoint's step; None: from the start."""
        self._tell(resumed_at_step=step)

    def stepped(self, step: int, rate: float | None) -> None:
        """The worker has done so many steps, at so many images a second."""
        with self._lock:
            resumed_at = self._attempt.resumed_at_step or 0
            if step <= resumed_at:
                return
            known: dict[str, object] = {"last_step": step}
            if begins := self._attempt.first_step is None:
                known |= {"first_step": resumed_at + 1, "trained_at": now()}
            self._attempt = self._attempt.model_copy(update=known)
            self._step, self._rate = step, rate or self._rate
        if begins:
            self.write_soon()

    def line(self, line: MetricLine, better: Mapping[str, Better]) -> None:
        """The worker has measured something; a validation's results are written at once."""
        self.stepped(line.step, None)
        with self._lock:
            self._tally.add(line)
            self._better.update(better)
        if line.kind == "validation":
            self.write_soon()

    def stopping(self) -> None:
        """A stop was asked for."""
        self._tell(stopping_at=now())

    def ended(self, result: Result) -> None:
        """The attempt is over."""
        self._tell(ended_at=now(), reason=result.reason)
        if result.step is not None:
            self._step = result.step

    def write_soon(self) -> None:
        """Write it in the background."""
        self._newest.put(True)

    def write(self) -> None:
        """Write it now, unless a later attempt has taken over. Never raises."""
        with self._writing:
            try:
                self._write()
                self._failing = False
            except Exception as error:  # whatever it is, it costs the summary and nothing else
                if not self._failing:  # said once an outage
                    log.warning("The record's summary cannot be written for now: %s", error)
                self._failing = True

    def close(self) -> None:
        """Write it for the last time, after what is under way. Never raises."""
        self._newest.finish()
        self.write()

    def _tell(self, **known: object) -> None:
        with self._lock:
            self._attempt = self._attempt.model_copy(update=known)

    def _write(self) -> None:
        if self._superseded:
            return
        history = self._known_history()
        number = self._attempt.number
        stored = read_summary(self._store, self._paths)
        if stored is not None and any(each.number > number for each in stored.attempts):
            log.warning("A later attempt keeps the record's summary: this one leaves it alone")
            self._superseded = True
            return
        text = self._summary(history).model_dump_json(by_alias=True, exclude_none=True, indent=1)
        self._store.put(self._paths.summary, text.encode())

    def _known_history(self) -> History:
        """What earlier attempts left; read once, and once more if it was before this one began."""
        attempt = self._attempt
        began = attempt.first_step is not None
        limit = float(attempt.resumed_at_step or 0) if began else math.inf
        if self._history is None or self._history[0] != limit:
            found = read_history(self._store, self._paths, attempt.number, limit)
            self._history = (limit, found)
        return self._history[1]

    def _summary(self, history: History) -> JobSummary:
        with self._lock:
            tally = Tally()
            tally.follow(history.tally)
            tally.follow(self._tally)
            return JobSummary(
                updated_at=now(),
                train=tally.train(),
                validation=tally.validation({**history.better, **self._better}),
                attempts=[*history.attempts, _continued(self._attempt, history.same)],
                progress=SummaryProgress(
                    step=history.step if self._step is None else self._step,
                    max_steps=self._max_steps,
                    images_per_second=self._rate,
                ),
            )


def _continued(attempt: AttemptSummary, before: AttemptSummary | None) -> AttemptSummary:
    """An attempt, with what an earlier life of it did."""
    if before is None or before.first_step is None:
        return attempt
    if attempt.first_step is None:
        return attempt.model_copy(
            update={
                name: getattr(before, name)
                for name in ("trained_at", "resumed_at_step", "first_step", "last_step")
            }
        )
    resumed_at = min(before.resumed_at_step or 0, attempt.resumed_at_step or 0)
    return attempt.model_copy(
        update={
            "trained_at": before.trained_at,
            "resumed_at_step": resumed_at or None,
            "first_step": resumed_at + 1,
        }
    )
