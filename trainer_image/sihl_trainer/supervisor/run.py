"""Runs one attempt: threads bring events, `machine` decides, this does it."""

from __future__ import annotations

import logging
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from sihl_api.logs import JSON, TEXT
from sihl_api.record import RecordPaths
from sihl_api.runtime import Env, ExitCode, JobReference, ProgressReport, Result
from sihl_api.traces import Traces, Untraced
from sihl_trainer.loglines import JsonLines, Sink, job_fields
from sihl_trainer.record.store import Store
from sihl_trainer.spans import PodSpans
from sihl_trainer.supervisor import events
from sihl_trainer.supervisor.logs import recorded
from sihl_trainer.supervisor.machine import (
    PARTING_SECONDS,
    Deadlines,
    State,
    advance,
    is_over,
    stop_is_settled,
)
from sihl_trainer.supervisor.output import Redactor
from sihl_trainer.supervisor.prepare import PATIENCE, metrics_text, prepare
from sihl_trainer.supervisor.processes import reap_orphans
from sihl_trainer.supervisor.recorder import UPKEEP_SECONDS, Recorder
from sihl_trainer.supervisor.reserve import Reserve
from sihl_trainer.supervisor.status import Status
from sihl_trainer.supervisor.stop import SOCKET_NAME, StopServer
from sihl_trainer.supervisor.uploads import Uploads
from sihl_trainer.supervisor.verdict import verdict
from sihl_trainer.supervisor.worker import Worker, worker_command, worker_environment
from sihl_trainer.training import channel

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
CLOSING_SECONDS = 15.0
"""For the last log segment and result.json, where no grace period allows less."""


@dataclass(frozen=True)
class Settings:
    """An attempt.

    Args:
        job: What is trained.
        attempt: Its number.
        dataset: The folder with train/ and validation/.
        scratch: A folder for checkpoints on their way.
        image: Of the container, for job.json.
        redactor: Knows the values that must not be printed.
        environ: What the worker is given beside the supervisor's own environment.
        command: Starts the worker; its own arguments follow.
        console: Is given each line of the log.
        observe: Is given the progress every second.
        store_patience: Seconds for which a store that is away is waited for at the start.
        fetched: The folder where the fetch left word of the dataset, if it is another one.
        upkeep_seconds: How often segments are merged.
        json_logs: Whether the console is given JSON; the record has text.
        traces: Told of each validation.
    """

    job: JobReference
    attempt: int
    dataset: Path
    scratch: Path
    image: str = ""
    redactor: Redactor = field(default_factory=Redactor)
    environ: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    console: Callable[[bytes], None] = lambda _: None
    observe: Callable[[ProgressReport], None] = lambda _: None
    store_patience: float = PATIENCE
    fetched: Path | None = None
    upkeep_seconds: float = UPKEEP_SECONDS
    json_logs: bool = False
    traces: Traces = field(default_factory=Untraced)


class Supervisor:
    """One attempt, from reading the record to the verdict.

    Args:
        settings: The attempt.
        store: Where the record lies.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        job = settings.job
        self._settings = settings
        self._store = store
        self._paths = RecordPaths(store.prefix, job.namespace, job.spec.project, job.name, job.uid)
        self._grace = float(job.spec.stop_grace_seconds)
        self._redactor = settings.redactor
        settings.scratch.mkdir(parents=True, exist_ok=True)
        self._reserve = Reserve(settings.scratch / "reserve")
        self._record = Recorder(
            store,
            self._paths,
            settings.attempt,
            job.spec.training.max_steps,
            settings.fetched or settings.dataset,
            settings.scratch / "record",
            self._is_pressed,
            settings.upkeep_seconds,
        )
        self._line = self._lines()
        self._spans = PodSpans(settings.traces, job, settings.attempt)
        # A SimpleQueue, because signal handlers put into it while its reader waits.
        self._events: queue.SimpleQueue[events.Event] = queue.SimpleQueue()
        self._state = State(Deadlines.of(self._grace))
        self._worker: Worker | None = None
        self._looked_at = 0.0
        self.status = Status(job, settings.attempt, self._record.writable.report)
        self._uploads = Uploads(
            store,
            self._paths,
            settings.attempt,
            self._record.writable,
            self.status.checkpoint,
            self._events.put,
        )

    def request_stop(self, at_once: bool = False) -> None:
        """Ask for a stop; may be called from signal handlers and any thread."""
        self._events.put(events.StopRequested(at_once))

    def run(self, report: Callable[[Result], None] = lambda _: None) -> tuple[ExitCode, Result]:
        """Train to whatever end.

        Args:
            report: Is given the result before the record is closed, which may take a while.
        """
        as_json = self._settings.json_logs
        with recorded(self._redactor, self._line, as_json), closing(self._reserve):
            self._record.writer.start()
            for warning in self._record.warnings:  # the first lines: who reads no more sees them
                log.warning("%s", warning)
            stop_server = StopServer(self._settings.scratch / SOCKET_NAME, self.request_stop)
            threading.Thread(target=self._prepare, name="prepare", daemon=True).start()
            self._loop(stop_server)
            began = time.monotonic()
            self._end_worker()
            code, result = verdict(self._state, self._grace, self._record.writable.report())
            result = result.model_copy(
                update={"message": self._redactor.clean_text(result.message)}
            )
            self._reserve.close()
            report(result)
            (log.info if code == ExitCode.SUCCEEDED else log.warning)(
                "%s (exit code %d): %s", result.reason, code, result.message
            )
            self._close_record(result, began)
            stop_server.settle(f"{result.reason}: {result.message}")
            stop_server.close()
            self._spans.close()
        return code, result

    # --- the loop ----------------------------------------------------------------------------

    def _loop(self, stop_server: StopServer) -> None:
        while not is_over(self._state, time.monotonic()):
            wait = min(TICK_SECONDS, self._state.next_deadline - time.monotonic())
            try:
                event = self._events.get(timeout=max(0.0, wait))
            except queue.Empty:
                event = events.Tick()
            self._every_second()
            before = self._state
            self._state, actions = advance(before, event, time.monotonic())
            self._note(before, event)
            for action in actions:
                self._do(action)
            if stop_is_settled(self._state) and self._state.checkpoint is not None:
                stop_server.settle(f"the checkpoint is {self._state.checkpoint.uri}")

    def _every_second(self) -> None:
        if time.monotonic() - self._looked_at < TICK_SECONDS:
            return
        self._looked_at = time.monotonic()
        self._settings.observe(self.status.report())
        self._record.look_after()
        if os.getpid() == 1 and self._worker is not None:
            reap_orphans(but=self._worker.pid)

    def _note(self, before: State, event: events.Event) -> None:
        """Tell the outside what an event changed."""
        state = self._state
        if state.checkpoint is not None and state.checkpoint != before.checkpoint:
            self.status.checkpoint(state.checkpoint)
        if state.metrics != before.metrics:
            self.status.validated(state.metrics)
        if state.stopping and not before.stopping:
            log.info("A stop was asked for; grace period %.0f s", self._grace)
            self.status.stage("Stopping")
            self._record.summary.stopping()
        match event:
            case events.UploadFailed(error):
                log.warning("An upload failed: %s", error)
            case events.WorkerEnded(how) if not state.stopping:
                log.info("The worker ended by %s", how)
                self.status.stage("Saving")

    def _do(self, action: events.Action) -> None:
        match action:
            case events.StartWorker(resume, initial):
                checkpoint = self._state.checkpoint if resume else None
                self._record.summary.resumes(checkpoint.step if checkpoint else None)
                self._worker = self._started(resume, initial)
            case events.AskWorkerToStop():
                assert self._worker is not None
                self._worker.ask_to_stop()
            case events.KillWorker():
                assert self._worker is not None
                log.warning("The worker is ended by SIGKILL")
                self._worker.kill()
            case events.BeginUpload(upload):
                self._uploads.begin(upload)
            case events.Discard(directory):
                shutil.rmtree(directory, ignore_errors=True)

    def _is_pressed(self) -> bool:
        """Whether there is something more urgent to do than pictures; asked from any thread."""
        return self._state.stopping or bool(self._state.uploads)

    # --- what runs in threads of its own -----------------------------------------------------

    def _prepare(self) -> None:
        prepare(
            self._store,
            self._paths,
            self._settings.job,
            self._settings.image,
            self._record.dataset,
            self._settings.scratch,
            self._events.put,
            self._settings.store_patience,
        )

    def _heard(self, message: channel.FromWorker) -> None:
        match message:
            case channel.ProgressMessage():
                self._progressed(message)
            case channel.MetricsMessage(line=line, better=better):
                self._record.metrics(line, better)
                self.status.line(line)
                if line.kind == "validation":
                    self._events.put(events.Validated(metrics_text(line)))
                    self._spans.validated(line.step, line.values)
            case channel.CheckpointWritten(directory=directory, step=step, final=final):
                upload = events.Upload(Path(directory), step, answers_stop=final)
                self._events.put(events.Written(upload))
            case channel.ModelWritten(directory=directory, step=step):
                upload = events.Upload(Path(directory), step, is_model=True)
                self._events.put(events.Written(upload))
            case channel.PicturesWritten(directory=directory, step=step):
                self._record.pictures.add(step, Path(directory))
            case channel.Failed(exit_code=code, reason=reason, message=text):
                self._events.put(events.WorkerFailed(code, reason, text))

    def _progressed(self, message: channel.ProgressMessage) -> None:
        self._spans.stage(message.stage)
        if not self._state.stopping:
            self.status.stage(message.stage)
        self.status.progress(message.step, message.images_per_second, message.remaining_seconds)
        if message.learning_rate is not None:
            self.status.learning_rate(message.learning_rate)
        if message.stage != "Loading":
            self._record.summary.stepped(message.step, message.images_per_second)
            self._events.put(events.Stepped(message.step))

    def _lines(self) -> Sink:
        """What is given each line of the log, free of secrets."""
        record, console = self._record.writer.log, self._settings.console
        if self._settings.json_logs:
            return JsonLines(
                record, console, job_fields(self._settings.job, self._settings.attempt)
            )

        def line(text: bytes) -> None:
            record(text)
            console(text)

        return line

    # --- start and end -----------------------------------------------------------------------

    def _started(self, resume: Path | None, initial: Path | None) -> Worker:
        settings = self._settings
        command = list(settings.command) or worker_command(settings.job.spec.runner.gpus)
        command += ["--dataset", str(settings.dataset), "--scratch", str(settings.scratch)]
        command += ["--fetched", str(settings.fetched)] if settings.fetched else []
        command += ["--resume", str(resume)] if resume else []
        command += ["--initial", str(initial)] if initial else []
        environ = worker_environment(
            {
                **os.environ,
                **settings.environ,
                Env.LOG_FORMAT: JSON if settings.json_logs else TEXT,
            },
            settings.job,
            settings.attempt,
            settings.scratch / "worker.sock",
            settings.scratch,
        )
        return Worker(command, environ, self._redactor, self._line, self._heard, self._events.put)

    def _end_worker(self) -> None:
        """Kill it; one that is done may first hand over the last pictures and end by itself."""
        if self._worker is None:
            return
        complete = self._state.model is not None and not self._state.stopping
        if complete and self._settings.job.spec.training.pictures:
            self._worker.join(PARTING_SECONDS)
        self._worker.kill()

    def _close_record(self, result: Result, began: float) -> None:
        """Write the end into the record, for as long as there is time since it began."""

        seconds = CLOSING_SECONDS - (time.monotonic() - began)
        if self._state.stop_at is not None:
            left = self._state.stop_at + self._grace - time.monotonic() - 0.5
            seconds = min(seconds, max(0.5, left))
        if self._state.preparation_error is not None:
            seconds = min(seconds, 2.0)
        self._record.close(result, seconds)
