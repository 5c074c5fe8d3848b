"""The worker process: from its environment and command line to the end of training.

    python -m sihl_trainer.training.worker --dataset DIR --scratch DIR [--resume DIR] ...

Started by the supervisor, once for each GPU by torchrun; rank 0 speaks to it over the channel.
Heavy imports stand inside functions: loader processes import this module too.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sihl_api.model import InitializationFrom
from sihl_api.record import MANIFEST, Manifest
from sihl_api.runtime import Env, ExitCode, JobReference, Message
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.cpus import available_cpus
from sihl_trainer.errors import OutOfMemory, TrainerError
from sihl_trainer.loglines import formatter, is_json
from sihl_trainer.signals import leave
from sihl_trainer.training.channel import Channel, Done, Failed, ProgressMessage

if TYPE_CHECKING:
    import torch

    from sihl_trainer.training.run import Run

log = logging.getLogger(__name__)

_PICTURES_SECONDS = 5.0
"""The supervisor waits for the last pictures for as long, while it has nothing else to do."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--fetched", type=Path)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--resume", type=Path)
    parser.add_argument("--initial", type=Path)
    return parser.parse_args()


def main() -> int:
    """The exit code; what ends it otherwise than well was told to the supervisor."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # a stop comes over the channel
    console = logging.StreamHandler(sys.stdout)
    console.setFormatter(formatter(is_json(os.environ)))
    logging.basicConfig(level=logging.INFO, handlers=[console])
    # Rank 0 speaks for all; another rank only has something to say when it fails.
    first = os.environ.get("RANK", "0") == "0"
    channel = Channel.from_environment() if first else None
    send: Callable[[Message], None] = channel.send if channel else _unheard
    try:
        with explained():
            train_job(arguments(), send, lambda: bool(channel and channel.stop_requested))
    except TrainerError as error:
        log.error("%s: %s", error.reason, error)
        channel = channel or Channel.from_environment()
        if channel:
            channel.send(
                Failed(exit_code=error.exit_code, reason=error.reason, message=error.message)
            )
            channel.close()
        return int(error.exit_code)
    send(Done())
    if channel:
        channel.close()
    return int(ExitCode.SUCCEEDED)


def _unheard(_: Message) -> None:
    pass


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Makes of exhausted memory an end that says what to do.

    Raises:
        OutOfMemory: The GPU's memory, or the container's, does not suffice.
    """
    import torch

    hint = "lower training.batchSize or training.inputSize, or use precision: bfloat16"
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        text = f"the GPU's memory does not suffice: {hint} ({str(error).splitlines()[0]})"
        raise OutOfMemory("OutOfMemory", text) from error
    except (MemoryError, RuntimeError) as error:
        # torch's allocator for the CPU has no exception of its own.
        if isinstance(error, RuntimeError) and "DefaultCPUAllocator" not in str(error):
            raise
        text = f"the memory does not suffice: {hint}, or raise runner.resources.limits.memory"
        raise OutOfMemory("OutOfMemory", text) from error


def train_job(
    options: argparse.Namespace,
    send: Callable[[Message], None],
    stop_requested: Callable[[], bool],
) -> None:
    """The job of this process's environment, from what it resumes to its end or its stop.

    Raises:
        TrainerError: Job and dataset do not go together, or training cannot go on.
    """
    from sihl_trainer.training.distributed import part
    from sihl_trainer.training.loop import train

    try:
        run = prepare(options, send, stop_requested)
        if train(run) and run.pictures:
            run.pictures.finish(_PICTURES_SECONDS)
    finally:
        part()


def prepare(
    options: argparse.Namespace,
    send: Callable[[Message], None],
    stop_requested: Callable[[], bool],
) -> Run:
    """Dataset, model and optimizer, as they were when the job was last stopped.

    Raises:
        TrainerError: Job and dataset do not go together, or nothing can be started.
    """
    import torch

    from sihl_trainer.dataset.dataset import open_datasets
    from sihl_trainer.fetch.fetched import fullest_of, read_fetched
    from sihl_trainer.model.model import build_model
    from sihl_trainer.training.checkpoint import TrainingState, restore
    from sihl_trainer.training.distributed import join
    from sihl_trainer.training.optimizer import build_optimizer
    from sihl_trainer.training.pictures import PictureWriter
    from sihl_trainer.training.run import Run

    send(ProgressMessage(stage="Loading", step=step_of(options.resume)))
    job = JobReference.model_validate_json(os.environ[Env.JOB])
    spec = job.spec
    cpus = available_cpus()
    device = ready_device(spec.runner.gpus, cpus)
    ranks = join(device)
    fullest = fullest_of(read_fetched(options.fetched or options.dataset))
    data = open_datasets(spec, options.dataset, fullest)
    model = build_model(spec, data.head_info)
    initialize(model, spec, options)
    # Convolutions of both devices are fastest with channels last.
    model = model.to(device).to(memory_format=torch.channels_last)
    optimizer = build_optimizer(spec.training.optimizer, model)
    state = TrainingState()
    if options.resume:
        state = restore(options.resume, model, optimizer)
        log.info("resuming at step %d", state.step)
    return Run(
        spec=spec,
        data=data,
        model=model,
        optimizer=optimizer,
        state=state,
        ranks=ranks,
        device=device,
        scratch=options.scratch,
        attempt=int(os.environ.get(Env.ATTEMPT, "1")),
        send=send,
        stop_requested=stop_requested,
        workers=loader_workers(cpus, max(1, spec.runner.gpus)),
        pictures=PictureWriter(options.scratch, send)
        if ranks.first and spec.training.pictures
        else None,
    )


def ready_device(gpus: int, cpus: int) -> torch.device:
    """Where this process computes, with torch set up for it.

    Raises:
        BadConfig: More GPUs were asked for than torch sees.
    """
    import torch

    from sihl_trainer.training.distributed import choose_device

    torch.set_num_threads(max(1, cpus // max(1, gpus)))
    device = choose_device(gpus, os.environ.get(Env.ALLOW_CPU) == "1")
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True, warn_only=True)
        if gpus:
            log.warning("torch sees no GPU: training on the CPU, as %s allows", Env.ALLOW_CPU)
    else:
        torch.backends.cudnn.benchmark = True  # every batch has the same shape
    return device


def step_of(checkpoint: Path | None) -> int:
    """The step that a checkpoint resumes at; 0 without one."""
    if checkpoint is None:
        return 0
    return Manifest.model_validate_json((checkpoint / MANIFEST).read_bytes()).step


def initialize(model: torch.nn.Module, spec: TrainingJobSpec, options: argparse.Namespace) -> None:
    """The weights that a job starts from, unless it resumes."""
    from sihl_trainer.model.model import VisionModel
    from sihl_trainer.model.weights import initialize_from

    assert isinstance(model, VisionModel)
    if options.resume:
        return
    if spec.model.initialization.from_ is InitializationFrom.IMAGENET:
        model.backbone.load_imagenet()
    elif options.initial:
        initialize_from(model, options.initial)


def loader_workers(cpus: int, ranks: int) -> int:
    """Loader processes of each rank; none where they would only take turns."""
    share = cpus // ranks
    return min(8, share - 1) if share > 2 else 0


if __name__ == "__main__":
    leave(main())  # at once: a measurement that a stop broke off is not waited for
