"""How a run ended: exit code and result, from the state in which nothing is left to wait for."""

from __future__ import annotations

from dataclasses import replace

from sihl_api.runtime import (
    NODE_OUT_OF_MEMORY,
    RECORD_NOT_WRITABLE,
    ExitCode,
    RecordReport,
    Result,
)
from sihl_api.units import human_seconds
from sihl_trainer.supervisor.machine import State

MEMORY_HINT = (
    "raise spec.runner.resources.limits.memory, or lower spec.training.batchSize or "
    "spec.training.inputSize"
)


def verdict(
    state: State, grace: float, record: RecordReport | None = None
) -> tuple[ExitCode, Result]:
    """The run's end, told from its last state.

    Args:
        state: In which nothing is left to wait for.
        grace: The stop's, in seconds, for the message.
        record: Whether the record could be written of late.
    """
    if state.uploads and not state.upload_failures and record and not record.writable:
        # The upload hangs, while others have been told why.
        state = replace(state, upload_failures=1, upload_error=record.message)
    code, reason, message = _told(state, grace)
    return code, Result(
        reason=reason,
        message=message,
        step=state.step,
        checkpoint=state.checkpoint,
        model=state.model,
        metrics=state.metrics,
    )


def _told(state: State, grace: float) -> tuple[ExitCode, str, str]:
    if state.model is not None:
        return ExitCode.SUCCEEDED, "Succeeded", f"the model is {state.model.uri}"
    if state.saved:
        return ExitCode.STOPPED, "Stopped", f"stopped as asked. {_what_stands(state)}"
    if state.failure is not None and state.failure.exit_code is not ExitCode.CRASHED:
        return state.failure.exit_code, state.failure.reason, state.failure.message
    if state.worker is not None and state.worker.out_of_memory:
        return (
            ExitCode.OUT_OF_MEMORY,
            "OutOfMemory",
            f"the trainer used more memory than its container may: {MEMORY_HINT}. "
            + _what_stands(state),
        )
    if state.worker is not None and state.worker.by_the_node and not state.stopping:
        text = (
            f"the trainer ended by {state.worker.how}, for memory, and met no limit of its own: "
            f"the node's ran out. {_what_stands(state)}"
        )
        return ExitCode.CRASHED, NODE_OUT_OF_MEMORY, text
    if state.stopping:
        return _stopped(state, grace)
    if state.preparation_error is not None:
        error = state.preparation_error.error
        return error.exit_code, error.reason, error.message
    return _failed(state)


def _stopped(state: State, grace: float) -> tuple[ExitCode, str, str]:
    if not (state.training and state.step):
        return _stopped_before_training(state)
    if state.checkpointed and not state.worker_killed and state.worker and state.worker.clean:
        return ExitCode.STOPPED, "Stopped", f"stopped as asked. {_what_stands(state)}"
    without = ExitCode.STOPPED_WITHOUT_CHECKPOINT
    if state.uploads and state.upload_failures:
        text = f"the {state.uploads[-1]} could not be saved: {state.upload_error.rstrip('.')}"
        return without, RECORD_NOT_WRITABLE, f"{text}. {_what_stands(state)}{_what_is_lost(state)}"
    if state.worker_killed or state.worker is None or state.uploads:
        late = "uploaded" if state.uploads else "written"
        return (
            without,
            "CheckpointTimedOut",
            f"the last checkpoint was not {late} within spec.runner.stopGracePeriod "
            f"({human_seconds(grace)}): raise it. {_what_stands(state)}{_what_is_lost(state)}",
        )
    if state.failure is not None:
        return without, state.failure.reason, f"{state.failure.message} {_what_stands(state)}"
    if state.worker.clean:
        text = f"the trainer wrote no checkpoint of step {state.step}. {_what_stands(state)}"
        return without, "StoppedWithoutCheckpoint", text
    return (
        without,
        "CrashedWhileStopping",
        f"the trainer ended by {state.worker.how} when it was asked to stop. {_what_stands(state)}"
        + _last_words(state),
    )


def _stopped_before_training(state: State) -> tuple[ExitCode, str, str]:
    if state.checkpoint is not None:
        return (
            ExitCode.STOPPED,
            "Stopped",
            f"stopped as asked, before this attempt's first step. {_what_stands(state)}",
        )
    if state.standing_known:
        message = "stopped as asked, before the first step: there is no checkpoint yet"
    elif state.preparation_error is not None:
        message = (
            "stopped as asked, before the record could be read: "
            f"{state.preparation_error.error.message}"
        )
    else:
        message = (
            "stopped as asked, before the store said whether an earlier attempt's checkpoint stands"
        )
    return ExitCode.STOPPED_WITHOUT_CHECKPOINT, "StoppedBeforeFirstStep", message


def _failed(state: State) -> tuple[ExitCode, str, str]:
    if state.failure is not None:
        text = f"{state.failure.message} {_what_stands(state)}{_last_words(state)}"
        return state.failure.exit_code, state.failure.reason, text
    assert state.worker is not None, "a run without a stop ends after its worker"
    if not state.worker.clean:
        text = f"the trainer ended by {state.worker.how}. {_what_stands(state)}{_last_words(state)}"
        return ExitCode.CRASHED, "WorkerCrashed", text
    text = f"the trainer ended without a model. {_what_stands(state)}{_last_words(state)}"
    return ExitCode.CRASHED, "WorkerEndedEarly", text


def _what_stands(state: State) -> str:
    if state.checkpoint is None:
        return "There is no checkpoint."
    return f"The checkpoint of step {state.checkpoint.step} stands."


def _what_is_lost(state: State) -> str:
    first = (state.checkpoint.step if state.checkpoint else 0) + 1
    last = state.step or 0
    if last < first:
        return ""
    steps = f"step {last}" if first == last else f"steps {first} to {last}"
    return f" What was learnt in {steps} is lost."


def _last_words(state: State) -> str:
    words = state.worker.last_words.strip() if state.worker else ""
    return f" Its last words:\n{words}" if words else ""
