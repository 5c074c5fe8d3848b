"""What happens to the supervisor (events), and what it does about it (actions)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sihl_api.runtime import ExitCode
from sihl_api.status import CheckpointStatus, ModelStatus
from sihl_trainer.errors import TrainerError


@dataclass(frozen=True)
class Upload:
    """A folder on this machine that is to be in the record."""

    directory: Path
    step: int
    is_model: bool = False
    answers_stop: bool = False
    """A checkpoint of all that was learnt: the worker has nothing left to do."""

    def __str__(self) -> str:
        return f"{'model' if self.is_model else 'checkpoint'} of step {self.step}"


# --- events ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Standing:
    """The record was read: this checkpoint of an earlier attempt stands, or none does."""

    checkpoint: CheckpointStatus | None


@dataclass(frozen=True)
class Prepared:
    """The worker can start, from these folders where they are given."""

    resume: Path | None = None
    initial: Path | None = None


@dataclass(frozen=True)
class AlreadyComplete:
    """An earlier attempt wrote the final model, and its checksums hold."""

    model: ModelStatus
    step: int
    metrics: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PreparationFailed:
    """There is no way to start."""

    error: TrainerError


@dataclass(frozen=True)
class StopRequested:
    """By SIGTERM, SIGINT or `sihl-trainer stop`; at once: without waiting for a checkpoint."""

    at_once: bool = False


@dataclass(frozen=True)
class Stepped:
    """The worker is training, and has done so many steps."""

    step: int


@dataclass(frozen=True)
class Validated:
    """The results of a validation, as text: head/metric."""

    metrics: dict[str, str]


@dataclass(frozen=True)
class Written:
    """The worker wrote a checkpoint or the final model."""

    upload: Upload


@dataclass(frozen=True)
class CheckpointDurable:
    """A checkpoint's manifest is in the store."""

    checkpoint: CheckpointStatus


@dataclass(frozen=True)
class ModelDurable:
    """The final model's manifest is in the store."""

    model: ModelStatus


@dataclass(frozen=True)
class UploadFailed:
    """The store did not take it; hopeless: what is on this machine is not what was written."""

    error: str
    hopeless: bool = False


@dataclass(frozen=True)
class WorkerFailed:
    """The worker explained its end."""

    exit_code: ExitCode
    reason: str
    message: str


@dataclass(frozen=True)
class WorkerEnded:
    """The worker's process has ended, and all that it said was heard.

    `how` is for a person ("SIGKILL", "exit code 1"), `last_words` the end of its standard error.
    It is `out_of_memory` where the container met its limit, `by_the_node` where the kernel ended
    it for memory and no limit of the container's was met.
    """

    how: str
    clean: bool
    out_of_memory: bool = False
    by_the_node: bool = False
    last_words: str = ""


@dataclass(frozen=True)
class Tick:
    """Time went by."""


Event = (
    Standing | Prepared | AlreadyComplete | PreparationFailed | StopRequested | Stepped | Validated
    | Written | CheckpointDurable | ModelDurable | UploadFailed | WorkerFailed | WorkerEnded | Tick
)  # fmt: skip


# --- actions ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class StartWorker:
    """Start the worker from these folders."""

    resume: Path | None
    initial: Path | None


@dataclass(frozen=True)
class AskWorkerToStop:
    """Tell the worker to checkpoint and end."""


@dataclass(frozen=True)
class KillWorker:
    """SIGKILL to the worker and all that it started."""


@dataclass(frozen=True)
class BeginUpload:
    """Upload a folder; one at a time."""

    upload: Upload


@dataclass(frozen=True)
class Discard:
    """Delete a folder of this machine."""

    directory: Path


Action = StartWorker | AskWorkerToStop | KillWorker | BeginUpload | Discard
