"""A worker that learns nothing, quickly: speaks the channel, writes checkpoints, resumes, breaks.

What it is to do stands as JSON in SIHL_TEST_WORKER (see `Behaviour`). Its weights are a chain of
hashes over its steps, so that a resumed run shows whether it is the uninterrupted one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from sihl_api.record import Better, MetricLine, picture_file
from sihl_api.runtime import ExitCode
from sihl_trainer.training.channel import (
    Channel,
    CheckpointWritten,
    Done,
    Failed,
    MetricsMessage,
    ModelWritten,
    ProgressMessage,
)
from sihl_trainer.training.pictures import PictureWriter
from tests.support.records import make_folder
from tests.support.waiting import eventually

VARIABLE = "SIHL_TEST_WORKER"
PICTURED = (
    "a.jpg",
    "a.png",
    "two words #1 100%25.jpg",
    "\u7d30\u80de.tif",
    "\u00fc" * 118 + ".jpg",
)
"""Images whose predictions are drawn."""


@dataclass(frozen=True)
class Behaviour:
    """What the worker does."""

    steps: int = 20
    step_seconds: float = 0.0
    checkpoint_every: int = 5
    validate_every: int = 10
    megabytes: int = 0  # what a checkpoint weighs
    hang_before_training: bool = False
    hang_at: int = 0
    deaf: bool = False  # does not answer a stop
    die_at: int = 0  # by SIGKILL
    fail_at: int = 0  # with an explanation
    exit_at: int = 0  # without one
    eat_memory_at: int = 0
    prints: str = ""
    leaves_a_child: bool = False
    orphans: int = 0  # grandchildren whose parent ends before them
    pictures: bool = False  # of each validation
    draws_late: bool = False  # those of the end only once the model is in the record


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--dataset", "--fetched", "--scratch", "--resume", "--initial"):
        parser.add_argument(name, type=Path)
    options = parser.parse_args()
    behaviour = Behaviour(**json.loads(os.environ.get(VARIABLE, "{}")))
    channel = Channel.from_environment()
    assert channel is not None
    step, state = 0, "start"
    if options.initial:
        state = (options.initial / "model.safetensors").read_text()
    if options.resume:
        loaded = json.loads((options.resume / "state.json").read_text())
        step, state = loaded["step"], loaded["state"]
    channel.send(ProgressMessage(stage="Loading", step=step))
    if behaviour.hang_before_training:
        hang()
    if behaviour.prints:
        print(behaviour.prints, flush=True)
        print(behaviour.prints, file=sys.stderr, flush=True)
    if behaviour.leaves_a_child:
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
    for _ in range(behaviour.orphans):
        subprocess.run(["sh", "-c", "sleep 0.1 &"], check=True, stdout=subprocess.DEVNULL)
    pictures, model_written = PictureWriter(options.scratch, channel.send), threading.Event()
    channel.send(ProgressMessage(stage="Training", step=step))
    while step < behaviour.steps:
        if channel.stop_requested and not behaviour.deaf:
            checkpoint(channel, behaviour, options.scratch, step, state, final=True)
            break
        step, state = step + 1, hashlib.sha256(f"{state}{step}".encode()).hexdigest()
        time.sleep(behaviour.step_seconds)
        break_down(channel, behaviour, step)
        report(channel, behaviour, step)
        if behaviour.pictures and step % behaviour.validate_every == 0:
            late = behaviour.draws_late and step == behaviour.steps
            submit(pictures, step, model_written if late else None, options.scratch / "model")
        if step % behaviour.checkpoint_every == 0:
            checkpoint(channel, behaviour, options.scratch, step, state)
    else:
        model(channel, options.scratch, step, state)
        model_written.set()
        pictures.finish(seconds=60)
    channel.send(Done())
    channel.close()


def report(channel: Channel, behaviour: Behaviour, step: int) -> None:
    channel.send(
        ProgressMessage(
            stage="Training", step=step, images_per_second=64, learning_rate=0.01,
            remaining_seconds=behaviour.steps - step,
        )
    )  # fmt: skip
    kinds = [("train", {"boxes/box": 1 / step})]
    if step % behaviour.validate_every == 0:
        kinds.append(("validation", {"boxes/map": step / behaviour.steps}))
    for kind, values in kinds:
        line = {"time": "2026-01-02T03:04:05Z", "step": step, "kind": kind, "values": values}
        better: dict[str, Better] = {"boxes/map": "higher"} if kind == "validation" else {}
        channel.send(MetricsMessage(line=MetricLine.model_validate(line), better=better))


def picture(image: str, step: int) -> bytes:
    """What is drawn of an image."""
    return f"{image} at step {step}".encode()


def submit(pictures: PictureWriter, step: int, after: threading.Event | None, model: Path) -> None:
    """Have a validation's pictures drawn; where it is to be after the model, once that is gone."""

    def draw() -> dict[str, bytes]:
        if after is not None:
            after.wait()
            eventually(lambda: not model.exists())
        return {f"boxes/{picture_file(image)}": picture(image, step) for image in PICTURED}

    pictures.submit(step, draw)


def checkpoint(
    channel: Channel,
    behaviour: Behaviour,
    scratch: Path,
    step: int,
    state: str,
    final: bool = False,
) -> None:
    name = f"checkpoint-{step}{'-final' if final else ''}"
    files = {
        "state.json": json.dumps({"step": step, "state": state}).encode(),
        "weights.safetensors": state.encode() * (behaviour.megabytes << 14),
    }
    folder = make_folder(scratch / name, files, step, int(os.environ["SIHL_ATTEMPT"]))
    channel.send(CheckpointWritten(directory=str(folder), step=step, final=final))


def model(channel: Channel, scratch: Path, step: int, state: str) -> None:
    files = {"model.safetensors": state.encode(), "config.json": b"{}"}
    attempt = int(os.environ["SIHL_ATTEMPT"])
    folder = make_folder(scratch / "model", files, step, attempt, model=True)
    channel.send(ModelWritten(directory=str(folder), step=step))


def break_down(channel: Channel, behaviour: Behaviour, step: int) -> None:
    if step == behaviour.hang_at:
        hang()
    if step == behaviour.die_at:
        os.kill(os.getpid(), signal.SIGKILL)
    if step == behaviour.exit_at:
        raise RuntimeError("the loss is not a number")
    if step == behaviour.eat_memory_at:
        print(len(b"x" * (1 << 30)))
    if step == behaviour.fail_at:
        channel.send(Failed(exit_code=ExitCode.BAD_DATA, reason="BadImage", message="000.jpg"))
        channel.close()
        sys.exit(1)


def hang() -> None:
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
