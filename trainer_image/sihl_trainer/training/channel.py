"""What worker and supervisor say to each other: JSON lines over a Unix socket.

The supervisor listens; rank 0 of the worker connects to the socket that `SOCKET_VARIABLE` names.
This module imports no torch: the supervisor shares it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import IO, Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from sihl_api.record import Better, MetricLine
from sihl_api.runtime import ExitCode, Message

SOCKET_VARIABLE = "SIHL_CHANNEL"


class ProgressMessage(Message):
    """How far the worker is. The first of stage Training comes before the first step."""

    type: Literal["progress"] = "progress"
    stage: Literal["Loading", "Training", "Validating", "Saving", "Stopping"]
    step: int
    images_per_second: float | None = None
    learning_rate: float | None = None
    remaining_seconds: float | None = None


class MetricsMessage(Message):
    """A line for the record. Values are named `head/name`, or `name` over all heads.

    Attributes:
        better: Of a validation's results, by name: which values are the better ones, if any are.
    """

    type: Literal["metrics"] = "metrics"
    line: MetricLine
    better: dict[str, Better] = Field(default_factory=dict)


class CheckpointWritten(Message):
    """A checkpoint's folder is whole, its manifest written; from now on it is the supervisor's.

    The manifest's attempt is that of `Env.ATTEMPT`; the folder is never written to again.
    """

    type: Literal["checkpoint-written"] = "checkpoint-written"
    directory: str
    step: int
    final: bool = False


class ModelWritten(Message):
    """The final model's folder is whole, its manifest written."""

    type: Literal["model-written"] = "model-written"
    directory: str
    step: int


class PicturesWritten(Message):
    """A validation's pictures are in a folder, below one of each head; now the supervisor's."""

    type: Literal["pictures-written"] = "pictures-written"
    directory: str
    step: int


class Done(Message):
    """Nothing more will be said: the model is written, or the stop's checkpoint is."""

    type: Literal["done"] = "done"


class Failed(Message):
    """An end that the worker can explain."""

    type: Literal["failed"] = "failed"
    exit_code: ExitCode
    reason: str
    message: str


class Stop(Message):
    """From the supervisor: checkpoint, then end."""

    type: Literal["stop"] = "stop"


FromWorker: TypeAlias = Annotated[
    ProgressMessage
    | MetricsMessage
    | CheckpointWritten
    | ModelWritten
    | PicturesWritten
    | Done
    | Failed,
    Field(discriminator="type"),
]
_FROM_WORKER: TypeAdapter[FromWorker] = TypeAdapter(FromWorker)


def encode(message: Message) -> bytes:
    """A message as a line."""
    return message.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n"


def messages(stream: IO[bytes]) -> Iterator[FromWorker]:
    """The worker's messages until it closes its end; what cannot be read is left out."""
    for line in stream:
        with contextlib.suppress(ValidationError):
            yield _FROM_WORKER.validate_json(line)


class Channel:
    """The worker's end. Thread-safe.

    Args:
        path: The supervisor's socket.
    """

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        threading.Thread(target=self._listen, name="channel", daemon=True).start()

    @classmethod
    def from_environment(cls) -> Channel | None:
        """The supervisor's channel, or None where no supervisor started this process."""
        path = os.environ.get(SOCKET_VARIABLE)
        return cls(path) if path else None

    @property
    def stop_requested(self) -> bool:
        """Whether the supervisor asked for a stop, or is gone."""
        return self._stop.is_set()

    def send(self, message: Message) -> None:
        """Tell the supervisor; one that is gone hears nothing, and the worker is about to stop."""
        with self._lock, contextlib.suppress(OSError):
            self._socket.sendall(encode(message))

    def close(self) -> None:
        """Say that nothing more will come."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def _listen(self) -> None:
        with contextlib.suppress(OSError), self._socket.makefile("rb") as stream:
            for line in stream:
                if b'"stop"' in line:
                    break
        self._stop.set()
