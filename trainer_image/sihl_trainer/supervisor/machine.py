"""What the supervisor decides: (state, event, time) -> (state, actions), and nothing else.

A run in the pod's main container is: prepare (find the checkpoint that stands, bring it here),
train (a worker process), upload what the worker wrote, end with an exit code and a result. A stop
may come at any moment of it. Time is a number of seconds that callers hand in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from sihl_api.status import CheckpointStatus, ModelStatus
from sihl_trainer.record.retry import backoff
from sihl_trainer.supervisor.events import (
    Action,
    AlreadyComplete,
    AskWorkerToStop,
    BeginUpload,
    CheckpointDurable,
    Discard,
    Event,
    KillWorker,
    ModelDurable,
    PreparationFailed,
    Prepared,
    Standing,
    StartWorker,
    Stepped,
    StopRequested,
    Upload,
    UploadFailed,
    Validated,
    WorkerEnded,
    WorkerFailed,
    Written,
)

PARTING_SECONDS = 5.0
"""For a worker to end by itself once its last checkpoint, or the model, is durable."""


@dataclass(frozen=True)
class Deadlines:
    """Seconds after a stop's request: when the worker is killed, and when the supervisor leaves.

    What lies between is for uploading what the worker wrote late; what follows `leave` is for
    writing the result before the kubelet kills the container.
    """

    worker: float
    leave: float

    @classmethod
    def of(cls, grace: float) -> Deadlines:
        """From the grace period that the pod is given."""
        margin = min(max(2.0, 0.2 * grace), grace / 2)
        reserve = min(max(1.0, 0.05 * grace), 5.0, grace / 4)
        return cls(worker=grace - margin, leave=grace - reserve)


AT_ONCE = Deadlines(worker=0, leave=2)


@dataclass(frozen=True)
class State:
    """Where a run stands."""

    deadlines: Deadlines
    standing_known: bool = False
    checkpoint: CheckpointStatus | None = None
    """The last durable one, of whichever attempt."""
    step: int | None = None
    """The last step that is known to be done."""
    metrics: dict[str, str] = field(default_factory=dict)
    model: ModelStatus | None = None
    stop_at: float | None = None
    saved_at: float = math.inf
    """When the checkpoint that the worker left for the stop became durable."""
    preparation_error: PreparationFailed | None = None
    worker_started: bool = False
    training: bool = False
    worker_killed: bool = False
    failure: WorkerFailed | None = None
    worker: WorkerEnded | None = None
    uploads: tuple[Upload, ...] = ()
    """The first is under way, or waits for `retry_at`; one more at most waits behind it."""
    retry_at: float | None = None
    upload_failures: int = 0
    upload_error: str = ""

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self.stop_at is not None

    @property
    def worker_running(self) -> bool:
        """Whether a worker was started and has not ended."""
        return self.worker_started and self.worker is None

    @property
    def kill_at(self) -> float:
        """When a worker that was asked to stop is killed."""
        if self.stop_at is None or not self.worker_running or self.worker_killed:
            return math.inf
        return min(self.stop_at + self.deadlines.worker, self.saved_at + PARTING_SECONDS)

    @property
    def saved(self) -> bool:
        """Whether all that was learnt before the stop is durable, however the worker ends."""
        return self.stopping and self.saved_at < math.inf

    @property
    def leave_at(self) -> float:
        """When the run ends whatever is outstanding.

        Without a stop never: what was learnt is worth more than the time of who waits for it.
        """
        return math.inf if self.stop_at is None else self.stop_at + self.deadlines.leave

    @property
    def next_deadline(self) -> float:
        """When a `Tick` is due even if nothing else happens; infinite for never."""
        retry = math.inf if self.retry_at is None else self.retry_at
        return min(retry, self.kill_at, self.leave_at)

    @property
    def checkpointed(self) -> bool:
        """Whether a durable checkpoint holds all the steps that are known to be done."""
        return self.checkpoint is not None and self.checkpoint.step >= (self.step or 0)


def advance(before: State, event: Event, now: float) -> tuple[State, list[Action]]:
    """What an event changes, and what is to be done about it."""
    state = _taken(before, event, now)
    state, about_worker = _decide_worker(before, state, event, now)
    state, about_uploads = _decide_uploads(before, state, now)
    return state, about_worker + about_uploads


def is_over(state: State, now: float) -> bool:
    """Whether nothing is left to wait for: time for the verdict."""
    if state.model is not None or state.preparation_error is not None or now >= state.leave_at:
        return True
    if not state.worker_started:
        return state.stopping and state.standing_known
    return state.worker is not None and not state.uploads


def stop_is_settled(state: State) -> bool:
    """Whether one who waits for a stop's checkpoint need not wait any longer."""
    return state.stopping and state.checkpointed and not state.worker_running and not state.uploads


def _taken(state: State, event: Event, now: float) -> State:
    """The state with what the event tells, before anything is decided."""
    match event:
        case Standing(checkpoint):
            step = checkpoint.step if checkpoint else None
            return replace(state, standing_known=True, checkpoint=checkpoint, step=step)
        case AlreadyComplete(model, step, metrics):
            return replace(state, model=model, step=step, metrics=metrics)
        case PreparationFailed():
            return replace(state, preparation_error=event)
        case StopRequested(at_once):
            return _stop_asked(state, at_once, now)
        case Stepped(step):
            return replace(state, training=True, step=max(step, state.step or 0))
        case Validated(metrics):
            return replace(state, metrics=metrics)
        case Written(upload):
            return _enqueued(state, upload)
        case CheckpointDurable(checkpoint):
            step = max(checkpoint.step, state.step or 0)
            if state.uploads and state.uploads[0].answers_stop:
                state = replace(state, saved_at=now)
            return replace(_dequeued(state), checkpoint=checkpoint, step=step)
        case ModelDurable(model):
            return replace(_dequeued(state), model=model)
        case UploadFailed(error, hopeless):
            return _dequeued(state) if hopeless else _upload_failed(state, error, now)
        case WorkerFailed():
            return replace(state, failure=event)
        case WorkerEnded():
            return replace(state, worker=event)
        case _:
            return state


def _stop_asked(state: State, at_once: bool, now: float) -> State:
    if state.retry_at is not None:
        state = replace(state, retry_at=now)
    if at_once:
        return replace(state, stop_at=now, deadlines=AT_ONCE)
    return state if state.stopping else replace(state, stop_at=now)


def _decide_worker(
    before: State, state: State, event: Event, now: float
) -> tuple[State, list[Action]]:
    if isinstance(event, Prepared) and not state.stopping:
        return replace(state, worker_started=True), [StartWorker(event.resume, event.initial)]
    if not (state.stopping and state.worker_running) or state.worker_killed:
        return state, []
    # One that has not begun to train has nothing to save, and is not waited for.
    if now >= state.kill_at or not state.training:
        return replace(state, worker_killed=True), [KillWorker()]
    return state, [] if before.stopping else [AskWorkerToStop()]


def _enqueued(state: State, upload: Upload) -> State:
    """The newest replaces what waits; what is under way is let finish: it may be the last."""
    if upload in state.uploads:
        return state
    under_way = state.uploads[:1] if state.retry_at is None else ()
    return replace(state, uploads=(*under_way, upload))


def _dequeued(state: State) -> State:
    return replace(state, uploads=state.uploads[1:], retry_at=None, upload_failures=0)


def _upload_failed(state: State, error: str, now: float) -> State:
    """Whatever is newest is tried next, after a pause."""
    failures = state.upload_failures + 1
    most = 2.0 if state.stopping else 30.0
    return replace(
        state,
        uploads=state.uploads[-1:],
        retry_at=now + backoff(failures, most=most),
        upload_failures=failures,
        upload_error=error,
    )


def _decide_uploads(before: State, state: State, now: float) -> tuple[State, list[Action]]:
    gone = [upload for upload in before.uploads if upload not in state.uploads]
    actions: list[Action] = [Discard(upload.directory) for upload in gone]
    if not state.uploads:
        return replace(state, retry_at=None), actions
    if state.retry_at is None:
        due = before.uploads[:1] != state.uploads[:1]
    else:
        due = now >= state.retry_at
    if due:
        state = replace(state, retry_at=None)
        actions.append(BeginUpload(state.uploads[0]))
    return state, actions
