"""`sihl-trainer local`: one TrainingJob on this machine, without Kubernetes."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from sihl_api.oddities import oddities
from sihl_api.reading import read_spec
from sihl_api.record import RecordPaths
from sihl_api.runtime import Env, ExitCode, JobReference, Result
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.errors import BadConfig, TrainerError
from sihl_trainer.jobfile import JobFile, read_job
from sihl_trainer.record.models import complete_model
from sihl_trainer.record.s3 import S3Settings, S3Store
from sihl_trainer.record.store import FolderStore, MissingObjectError, Store
from sihl_trainer.signals import StopSignals
from sihl_trainer.supervisor.output import Redactor
from sihl_trainer.supervisor.run import Settings, Supervisor
from sihl_trainer.terminal import ProgressLine

DEFAULT_OUTPUT = Path("sihl-record")
_FOLDER_PREFIX = "sihl-local-"


def local_main(
    job_file: Path,
    output: Path | None,
    dataset: Path | None,
    environ: Mapping[str, str],
    signals: StopSignals,
    command: Sequence[str] = (),
) -> int:
    """Run the job of a file; returns an `ExitCode`. All that it says goes to the terminal.

    `command` starts another worker than our own.
    """
    signals.hand_to(_interrupt)
    try:
        code, result = _run(read_job(job_file), output, dataset, environ, signals, tuple(command))
    except TrainerError as error:
        print(f"{error.reason}: {error}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("Stopped before training began.", file=sys.stderr)
        return int(ExitCode.STOPPED_WITHOUT_CHECKPOINT)
    print(_told(code, result, _same_command(job_file, output, dataset)))
    return int(code)


def _run(
    job: JobFile,
    output: Path | None,
    dataset: Path | None,
    environ: Mapping[str, str],
    signals: StopSignals,
    command: tuple[str, ...],
) -> tuple[ExitCode, Result]:
    store, redactor = _store(output, environ)
    reference = JobReference(namespace=job.namespace, name=job.name, uid=_uid(job), spec=job.spec)
    paths = RecordPaths(store.prefix, job.namespace, job.spec.project, job.name, reference.uid)
    _check_unchanged(store, paths, job.spec)
    attempts = [int(number) for number in store.folders(paths.attempts) if number.isdecimal()]
    for each in oddities(job.spec):
        print(f"Warning: {each}", file=sys.stderr)
    print(f"Record: {store.uri(paths.root.rstrip('/'))}", file=sys.stderr)
    with _temporary_folder() as folder, closing(ProgressLine(sys.stderr)) as line:
        if complete_model(store, paths) is None:
            # Imports torch, which takes long; a mistake in the file is told before.
            from sihl_trainer.local_dataset import local_dataset

            dataset = local_dataset(job.spec, dataset, folder / "dataset", environ, line)
        settings = Settings(
            job=reference,
            attempt=max(attempts, default=0) + 1,
            dataset=dataset or folder,
            fetched=folder / "dataset",
            scratch=folder / "scratch",
            redactor=redactor,
            observe=line.show,
            command=command,
            environ={each.name: each.value for each in job.spec.runner.env} | {Env.ALLOW_CPU: "1"},
        )
        supervisor = Supervisor(settings, store)
        signals.hand_to(lambda count: supervisor.request_stop(at_once=count > 1))
        return supervisor.run()


def _interrupt(_count: int) -> None:
    raise KeyboardInterrupt


def _uid(job: JobFile) -> str:
    """The same for the same job each time, so that it resumes; of the form of a Kubernetes uid."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{job.namespace}/{job.spec.project}/{job.name}"))


def _store(output: Path | None, environ: Mapping[str, str]) -> tuple[Store, Redactor]:
    if output is None and Env.store("endpoint") in environ:
        settings = S3Settings.from_environment(environ)
        return S3Store(settings), Redactor(settings.secrets)
    return FolderStore(output or DEFAULT_OUTPUT), Redactor()


def _check_unchanged(store: Store, paths: RecordPaths, spec: TrainingJobSpec) -> None:
    """A job that has started cannot change: its checkpoints are of the job as it was."""
    try:
        earlier, _ = read_spec(json.loads(store.get(paths.job_json))["spec"])
    except MissingObjectError:
        return
    for name in ("dataset", "model", "training", "runner"):
        if getattr(earlier, name) != getattr(spec, name):
            raise BadConfig(
                "JobChanged",
                f"spec.{name} differs from that of {store.uri(paths.job_json)}, where this job has "
                "started: give it another metadata.name, or another --output",
            )


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder that is deleted however this ends; after a SIGKILL, by the next run."""
    place = Path(tempfile.gettempdir())
    for left in place.glob(f"{_FOLDER_PREFIX}*"):
        pid = left.name.removeprefix(_FOLDER_PREFIX).partition("-")[0]
        if pid.isdecimal() and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        prefix=f"{_FOLDER_PREFIX}{os.getpid()}-", ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


# --- what it says ----------------------------------------------------------------------------


def _told(code: ExitCode, result: Result, again: str) -> str:
    lines = [f"{result.reason}: {result.message}"]
    if result.metrics:
        width = max(map(len, result.metrics))
        lines += [f"  {name:{width}}  {value}" for name, value in sorted(result.metrics.items())]
    if result.model is not None:
        lines.append(f"Model: {result.model.uri}")
    elif code is ExitCode.STOPPED:
        lines.append(f"Resume with: {again}")
    return "\n".join(lines)


def _same_command(job_file: Path, output: Path | None, dataset: Path | None) -> str:
    """What was typed: from other places it would begin anew."""
    words = ["sihl-trainer", "local", str(job_file)]
    words += ["--output", str(output)] if output else []
    words += ["--dataset", str(dataset)] if dataset else []
    return shlex.join(words)
