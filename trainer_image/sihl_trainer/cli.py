"""`sihl-trainer`: what runs in a job's pod, and one job on this machine without Kubernetes."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from sihl_api.runtime import (
    DATASET_DIRECTORY,
    HTTP_PORT,
    SCRATCH_DIRECTORY,
    Env,
    JobReference,
)
from sihl_api.version import installed_version

# Nothing here imports torch, boto3 or the like at the top: `stop` must answer at once, and the
# others must catch signals before they import anything that takes long.


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code, or ends the process with it."""
    options = _parser().parse_args(arguments)
    match options.command:
        case "fetch":
            return _fetch(options.split)
        case "train":
            return _train(options.dataset, options.scratch, options.port)
        case "stop":
            return _stop(options.scratch)
        case _:
            return _local(options.job, options.output, options.dataset)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sihl-trainer", description=__doc__)
    parser.add_argument("--version", action="version", version=f"%(prog)s {installed_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    fetch = commands.add_parser("fetch", help="in a pod: fetch and check a dataset")
    fetch.add_argument("split", choices=["train", "validation"])
    train = commands.add_parser("train", help="in a pod: train, checkpoint, record")
    train.add_argument("--dataset", type=Path, default=Path(DATASET_DIRECTORY))
    train.add_argument("--port", type=int, default=HTTP_PORT)
    stop = commands.add_parser(
        "stop", help="in a pod: stop with a checkpoint, and wait for it (preStop)"
    )
    for each in (train, stop):
        each.add_argument("--scratch", type=Path, default=Path(SCRATCH_DIRECTORY))

    local = commands.add_parser(
        "local",
        help="run one TrainingJob on this machine, without Kubernetes",
        description="Run one TrainingJob on this machine, without Kubernetes. Ctrl-C stops with a "
        "checkpoint, and the same command resumes from it. The dataset's keys are taken from "
        "SIHL_DATASET_ACCESS_KEY_ID and SIHL_DATASET_SECRET_ACCESS_KEY (and "
        "SIHL_DATASET_SESSION_TOKEN), or from where AWS's own tools look for them; nothing else "
        "of these tools' settings counts.",
    )
    local.add_argument("job", type=Path, metavar="job.yaml")
    local.add_argument(
        "--output",
        type=Path,
        help="folder of run records (default: the S3 store that SIHL_STORE_* name, or "
        "./sihl-record)",
    )
    local.add_argument(
        "--dataset",
        type=Path,
        metavar="DIR",
        help="use DIR/train and DIR/validation instead of fetching the dataset",
    )
    return parser


def _fetch(split: str) -> int:
    from sihl_trainer.signals import StopSignals

    signals = StopSignals(signal.SIGTERM, signal.SIGINT)
    from sihl_trainer.fetch.main import fetch_main
    from sihl_trainer.loglines import log_to_console

    log_to_console(os.environ)
    return fetch_main(split, signals=signals)


def _train(dataset: Path, scratch: Path, port: int) -> int:
    from sihl_trainer.signals import StopSignals, leave

    signals = StopSignals(signal.SIGTERM, signal.SIGINT)
    from sihl_trainer.train import train_main

    leave(train_main(os.environ, signals, dataset, scratch, port))


def _stop(scratch: Path) -> int:
    from sihl_trainer.supervisor.stop import SOCKET_NAME, request_stop

    job = JobReference.model_validate_json(os.environ[Env.JOB])
    print(request_stop(scratch / SOCKET_NAME, job.spec.stop_grace_seconds), flush=True)
    return 0


def _local(job: Path, output: Path | None, dataset: Path | None) -> int:
    from sihl_trainer.signals import StopSignals, leave

    signals = StopSignals(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    from sihl_trainer.local import local_main

    leave(local_main(job, output, dataset, os.environ, signals))


if __name__ == "__main__":
    sys.exit(main())
