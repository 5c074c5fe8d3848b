"""The status of a TrainingJob: what happened, and what is happening."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from sihl_api.schema import Schema, told_apart


class Phase(StrEnum):
    """Where a job is in its life."""

    QUEUED = "Queued"
    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"
    SUCCEEDED = "Succeeded"
    STOPPED = "Stopped"
    FAILED = "Failed"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens unless a user resumes a Stopped job."""
        return self in (Phase.SUCCEEDED, Phase.STOPPED, Phase.FAILED)

    @property
    def active(self) -> bool:
        """Whether the job holds its queue."""
        return self in (Phase.STARTING, Phase.RUNNING, Phase.STOPPING)


class ConditionType(StrEnum):
    """What a TrainingJob's conditions speak of, in the order in which they stand.

    RecordWritable is there once the running attempt could not write its record for a while, or
    ended so: False says what cannot be saved, and why.

    Finished is True once the job has ended, however, with the phase as its reason; it is False
    again once a job that was Stopped or has Failed goes on. Stalled is True as long as the job is
    refused or has Failed, and else not there: nothing but its user brings it on. None of them
    says "not ready" of a job that waits or trains, which takes days.
    """

    ACCEPTED = "Accepted"
    ADMITTED = "Admitted"
    DATASET_READY = "DatasetReady"
    CHECKPOINT_SAVED = "CheckpointSaved"
    RECORD_WRITABLE = "RecordWritable"
    COMPLETE = "Complete"
    FAILED = "Failed"
    FINISHED = "Finished"
    STALLED = "Stalled"


class StatusSchema(Schema):
    """Base of status parts: fields that a newer operator wrote are kept out of the way."""

    model_config = ConfigDict(extra="ignore")


class Condition(StatusSchema):
    """A metav1.Condition."""

    type: str = Field(max_length=316)
    status: Literal["True", "False", "Unknown"]
    reason: str = Field(max_length=1024)
    message: str = Field(default="", max_length=32768)
    last_transition_time: str = Field(json_schema_extra={"format": "date-time"})
    observed_generation: int | None = Field(
        default=None, description="Of the spec that it was said of: always the newest."
    )


class Progress(StatusSchema):
    """How far the running attempt is; written at most every ten seconds."""

    step: int | None = None
    max_steps: int | None = None
    percent: int | None = None
    remaining: str | None = Field(default=None, description="Time left, for example 12m30s.")
    images_per_second: float | None = None
    dataset_bytes: int | None = None
    dataset_total_bytes: int | None = None


class CheckpointStatus(StatusSchema):
    """The last durable checkpoint: its manifest lies in the store."""

    step: int
    uri: str
    saved_at: str = Field(json_schema_extra={"format": "date-time"})


class ModelStatus(StatusSchema):
    """The final model."""

    uri: str
    checksum: str = Field(description="sha256 of model.safetensors, in hexadecimal.")


Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Obstacle(StatusSchema):
    """What is in a job's way and not its fault: waited for, not counted, and since when.

    It goes once a checkpoint is saved, the job ends, or something else is in the way.
    """

    reason: str = Field(max_length=1024, description="As the conditions have it.")
    since: Time
    attempts: int = Field(ge=0, description="Attempts in a row that it has cost.")


class TrainingJobStatus(StatusSchema):
    """What happened, and what is happening. Only the operator writes it."""

    phase: Phase | None = None
    observed_generation: int | None = Field(
        default=None,
        description="Of the spec that the operator has seen; -1 before it has seen the job.",
    )
    queue: str | None = Field(default=None, description="Under which the job was admitted.")
    attempt: int | None = Field(default=None, ge=0)
    failures: int | None = Field(
        default=None, ge=0, description="Attempts that counted against runner.retries."
    )
    retry_after: Time | None = Field(default=None, description="Backoff: not admitted before.")
    obstacle: Obstacle | None = None
    pod_name: str | None = None
    node_name: str | None = None
    queue_position: int | None = Field(
        default=None, description="1 is next. Kept for the first ten of a queue."
    )
    submitted_at: Time | None = None
    started_at: Time | None = Field(default=None, description="When the attempt was admitted.")
    running_at: Time | None = Field(default=None, description="When its training began.")
    ended_at: Time | None = None
    progress: Progress | None = None
    metrics: dict[str, str] | None = Field(
        default=None, max_length=200, description="Of the last validation: head/metric."
    )
    checkpoint: CheckpointStatus | None = None
    model: ModelStatus | None = None
    conditions: list[Condition] | None = Field(
        default=None,
        description="Others may add some of their own, which are kept.",
        json_schema_extra=told_apart("type"),
    )
