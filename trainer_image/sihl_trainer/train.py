"""`sihl-trainer train`: the pod's main container, from its environment to its exit code."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sihl_api.logs import JsonFormatter
from sihl_api.runtime import (
    DATASET_DIRECTORY,
    HTTP_PORT,
    SCRATCH_DIRECTORY,
    Env,
    ExitCode,
    Result,
)
from sihl_trainer.environment import attempt_of, job_of
from sihl_trainer.errors import TrainerError
from sihl_trainer.http import ProgressServer
from sihl_trainer.loglines import is_json
from sihl_trainer.record.s3 import S3Settings, S3Store
from sihl_trainer.secretfiles import store_keys
from sihl_trainer.signals import StopSignals
from sihl_trainer.spans import traces_of
from sihl_trainer.supervisor.output import Redactor
from sihl_trainer.supervisor.run import Settings, Supervisor
from sihl_trainer.termination import write_result

log = logging.getLogger(__name__)


def train_main(
    environ: Mapping[str, str],
    signals: StopSignals,
    dataset: Path = Path(DATASET_DIRECTORY),
    scratch: Path = Path(SCRATCH_DIRECTORY),
    port: int = HTTP_PORT,
    command: Sequence[str] = (),
) -> int:
    """Run the attempt that the environment describes; returns the exit code.

    Whatever ends it leaves a `Result` in the termination log. `command` starts another worker than
    our own.
    """
    if is_json(environ) and logging.lastResort is not None:  # before and after the attempt
        logging.lastResort.setFormatter(JsonFormatter())
    try:
        redactor = Redactor()
        store = _store(environ, redactor)
        settings = Settings(
            job=job_of(environ),
            attempt=attempt_of(environ),
            dataset=dataset,
            scratch=scratch,
            image=environ.get(Env.IMAGE, ""),
            redactor=redactor,
            command=tuple(command),
            console=_print,
            json_logs=is_json(environ),
            traces=traces_of(environ),
        )
        supervisor = Supervisor(settings, store)
        signals.hand_to(lambda _: supervisor.request_stop())
        with _served(supervisor, port):
            code, _ = supervisor.run(write_result)
    except TrainerError as error:
        log.error("%s", error)
        write_result(error.result)
        return int(error.exit_code)
    except Exception as error:
        log.exception("The supervisor failed")
        write_result(Result(reason="SupervisorCrashed", message=f"{type(error).__name__}: {error}"))
        return int(ExitCode.CRASHED)
    return int(code)


def _store(environ: Mapping[str, str], redactor: Redactor) -> S3Store:
    """The store that the Secret names, and will name; nothing that it says is printed."""

    def said() -> S3Settings:
        settings = S3Settings.from_environment(store_keys(environ))
        redactor.learn(settings.secrets)
        return settings

    return S3Store(said(), renewed=said)


@contextlib.contextmanager
def _served(supervisor: Supervisor, port: int) -> Iterator[None]:
    """With /metrics and /progress, if the port can be had: training does not depend on it."""
    try:
        server = ProgressServer(supervisor.status.report, supervisor.status.registry, port)
    except OSError as error:
        log.warning("Port %d cannot be served (%s): no metrics, no progress", port, error)
        yield
        return
    with server:
        yield


def _print(line: bytes) -> None:
    # Whoever reads the container's output may be gone; training goes on.
    with contextlib.suppress(OSError):
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()
