"""What earlier attempts left in the record: when they ran, and what of theirs still counts.

An attempt that resumes at a step learns what follows it anew: what earlier ones measured after
that step is superseded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from sihl_api.record import AttemptSummary, Better, JobSummary, RecordPaths
from sihl_api.runtime import Result
from sihl_trainer.record.segments import metric_lines, settled
from sihl_trainer.record.store import MissingObjectError, Store
from sihl_trainer.record.tally import Tally


@dataclass(frozen=True)
class History:
    """What an attempt finds when it begins.

    Attributes:
        attempts: The earlier ones, by number.
        same: An earlier life of this very attempt, whose pod was made a second time.
        tally: Of the lines that are not superseded.
        better: Which value of a validation's metric is the better one, as far as was told.
        step: How far the job was.
    """

    attempts: list[AttemptSummary]
    same: AttemptSummary | None
    tally: Tally
    better: Mapping[str, Better]
    step: int


@dataclass
class _Lines:
    """What an attempt's lines tell: those up to a step, and where all of them begin and end."""

    tally: Tally = field(default_factory=Tally)
    began: str | None = None
    first: int | None = None
    last: int | None = None


def read_summary(store: Store, paths: RecordPaths) -> JobSummary | None:
    """The job's summary; None where there is none, or none that can be read.

    Raises:
        TrainerError: the store is away, or does not allow it.
    """
    try:
        return JobSummary.model_validate_json(store.get(paths.summary))
    except (MissingObjectError, ValidationError):
        return None


def read_history(store: Store, paths: RecordPaths, attempt: int, resumed_at: float) -> History:
    """Read the summary, and all lines of metrics, that are there before an attempt's first.

    Args:
        store: Where the record lies.
        paths: The job's record.
        attempt: Whose history it is.
        resumed_at: The step that it goes on from, 0 for the start; infinite if it never began.

    Raises:
        TrainerError: the store is away, or does not allow it.
    """
    summary = read_summary(store, paths) or JobSummary(updated_at="")
    told = {each.number: each for each in summary.attempts}
    folders = {int(name) for name in store.folders(paths.attempts) if name.isdecimal()}
    same = told.get(attempt)
    tally = _read(store, paths, attempt, resumed_at).tally
    limit = min(resumed_at, _supersedes_after(same))
    attempts = []
    # The latest first: it says what still counts of those before.
    for number in sorted((n for n in folders | told.keys() if n < attempt), reverse=True):
        lines = _read(store, paths, number, limit)
        lines.tally.follow(tally)
        tally = lines.tally
        attempts.append(_completed(store, paths, number, told.get(number), lines))
        limit = min(limit, _supersedes_after(attempts[-1]))
    return History(
        attempts=attempts[::-1],
        same=same,
        tally=tally,
        better={name: each.better for name, each in summary.validation.items() if each.better},
        step=summary.progress.step if summary.progress else 0,
    )


def _supersedes_after(attempt: AttemptSummary | None) -> float:
    """The step after which an attempt has superseded those before; infinite for none."""
    if attempt is None or attempt.first_step is None:
        return float("inf")
    return attempt.resumed_at_step or 0


def _read(store: Store, paths: RecordPaths, attempt: int, limit: float) -> _Lines:
    def read() -> _Lines:
        found = _Lines()
        for line in metric_lines(store, paths, attempt):
            found.began = found.began or line.time
            found.first = line.step if found.first is None else found.first
            found.last = line.step
            if line.step <= limit:
                found.tally.add(line)
        return found

    return settled(read)


def _completed(
    store: Store, paths: RecordPaths, number: int, told: AttemptSummary | None, lines: _Lines
) -> AttemptSummary:
    """What is known of an earlier attempt, with what it had no time to tell, or did not know how.

    One of an earlier release does not say where it resumed: right before its first line, if it is
    not the job's first.
    """
    if told is None:
        before = lines.first - 1 if lines.first and number > 1 else 0
        told = AttemptSummary(
            number=number,
            trained_at=lines.began,
            first_step=lines.first,
            resumed_at_step=before or None,
        )
    last = max((step for step in (told.last_step, lines.last) if step is not None), default=None)
    reason = told.reason or _reason(store, paths, number)
    return told.model_copy(update={"last_step": last, "reason": reason})


def _reason(store: Store, paths: RecordPaths, attempt: int) -> str | None:
    try:
        return Result.model_validate_json(store.get(paths.result(attempt))).reason
    except (MissingObjectError, ValidationError):
        return None  # it was killed
