"""One job, as its record tells it."""

from __future__ import annotations

from dataclasses import dataclass

from sihl_api.record import JobSummary
from sihl_dashboard.records.documents import JobDocument, read_job
from sihl_dashboard.records.errors import Trouble
from sihl_dashboard.records.facts import Facts
from sihl_dashboard.records.index import Entry
from sihl_dashboard.records.refresh import MADE
from sihl_dashboard.records.refs import JobRef


@dataclass(frozen=True)
class Job:
    """One job.

    Attributes:
        facts: All that is known, flat, as in `facts`.
        document: What job.json says.
        summary: The record's, or what is known in its place.
        is_summarised: Whether it is the record's own.
    """

    ref: JobRef
    facts: Facts
    document: JobDocument
    summary: JobSummary
    is_summarised: bool
    troubles: tuple[Trouble, ...]

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self.facts.get("job.state") == "Succeeded"

    @property
    def has_ended(self) -> bool:
        """Whether its last attempt is over, as far as its record says."""
        return self.facts.get("job.state") != "Unfinished"

    @property
    def batch_size(self) -> int | None:
        """Images a step, if known."""
        size = self.facts.get("spec.training.batchSize")
        return size if isinstance(size, int) and size > 0 else None

    @property
    def resumed(self) -> dict[int, int | None]:
        """By attempt, the step it went on from; without those of which nobody knows.

        A summary that is not the record's own has no times, and this it does not know either.
        """
        return {
            attempt.number: attempt.resumed_at_step
            for attempt in self.summary.attempts
            if attempt.started_at is not None
        }

    @property
    def counts_upto(self) -> dict[int, int]:
        """By attempt that did a step, the last step before it that still counts."""
        return {
            attempt.number: attempt.resumed_at_step or 0
            for attempt in self.summary.attempts
            if attempt.first_step is not None
        }


def job_of(entry: Entry, where: str, troubles: tuple[Trouble, ...] = ()) -> Job:
    """A job from what is kept of it.

    Args:
        entry: That.
        where: Its job.json.
        troubles: What is to be told besides.
    """
    summary = JobSummary.model_validate_json(entry.summary or b'{"updatedAt": ""}')
    if len({attempt.dataset for attempt in summary.attempts if attempt.dataset}) > 1:
        told = "its dataset changed between attempts: what is told of it is the first one's"
        troubles = (*troubles, Trouble(entry.ref.folder, told))
    return Job(
        entry.ref,
        entry.facts,
        read_job(entry.job, where) if entry.job is not None else JobDocument(name=entry.ref.job),
        summary,
        not entry.known.summary_tag.startswith(MADE),
        (*troubles, *entry.troubles),
    )
