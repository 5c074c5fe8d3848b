"""The loop against real models, images and files: only the clock is a test's own."""

from __future__ import annotations

import errno
import itertools
import json
import os
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sihl_api.record import Manifest
from sihl_api.runtime import Message
from sihl_trainer.dataset.awaited import Awaited
from sihl_trainer.dataset.loading import batches, validation_batches
from sihl_trainer.dataset.samples import Batch
from sihl_trainer.errors import BadConfig
from sihl_trainer.model.weights import sha256
from sihl_trainer.tasks.multiclass_classification.metric import Accuracy
from sihl_trainer.training.channel import MetricsMessage, ProgressMessage
from sihl_trainer.training.distributed import choose_device
from sihl_trainer.training.loop import train
from sihl_trainer.training.report import DivergedError, Meter, time_left
from sihl_trainer.training.run import Run
from tests.support.training import Times, multitask, multitask_job, prepared, same
from tests.support.waiting import eventually

STEPS = 4
SPEC = multitask_job({"maxSteps": STEPS, "gradientClipNorm": 5.0})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return multitask(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="module")
def whole(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The end of the run that is never stopped."""
    with pytest.MonkeyPatch.context() as patch:
        run, heard = prepared(patch, SPEC, dataset, tmp_path_factory.mktemp("whole"))
        assert train(run)
    assert heard.model
    return {
        "model": load_file(heard.model / "model.safetensors"),
        "validations": heard.validations,
    }


def spoil(run: Run) -> None:
    """Make the classification's loss no number."""
    with torch.no_grad():
        dict(run.model.head("pet").named_parameters())["linear.bias"].fill_(torch.nan)


def stopped(
    monkeypatch: pytest.MonkeyPatch, dataset: Path, scratch: Path, stop: Any, spec: Any = SPEC
) -> Path:
    """The checkpoint that a stop leaves."""
    run, heard = prepared(monkeypatch, spec, dataset, scratch, stop=stop)
    assert not train(run)
    assert [message.final for message in heard.checkpoints] == [True]
    return Path(heard.checkpoints[0].directory)


@pytest.mark.parametrize("step", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_run_stopped_at_a_step_and_resumed_is_the_run_that_was_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Path, whole: Any, step: int
) -> None:
    folder = stopped(monkeypatch, dataset, tmp_path, lambda run: run.state.step == step)
    assert json.loads((folder / "state.json").read_text())["step"] == step
    run, heard = prepared(monkeypatch, SPEC, dataset, tmp_path / "second", resume=folder)
    assert train(run)
    assert heard.model
    assert same(load_file(heard.model / "model.safetensors"), whole["model"])
    expected = {at: values for at, values in whole["validations"].items() if at > step}
    assert heard.validations == expected


def test_a_resumed_run_tells_while_it_loads_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Path
) -> None:
    folder = stopped(monkeypatch, dataset, tmp_path, lambda run: run.state.step == 1)
    _, heard = prepared(monkeypatch, SPEC, dataset, tmp_path / "second", resume=folder)
    loading = heard.of(ProgressMessage)[0]
    assert (loading.stage, loading.step) == ("Loading", 1)


@pytest.mark.parametrize(
    ("stage", "where", "source"),
    [
        ("Training", "loop.batches", batches),
        ("Validating", "evaluation.validation_batches", validation_batches),
    ],
)
def test_a_stop_is_saved_before_its_loaders_are_waited_for(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    dataset: Path,
    stage: str,
    where: str,
    source: Callable[..., Awaited[Batch]],
) -> None:
    saved, closed_after = threading.Event(), []

    def closing(*given: Any) -> Generator[Batch]:
        try:
            yield from source(*given)
        finally:
            closed_after.append(saved.wait(10))

    def stop(run: Run) -> bool:
        return run.state.step > 0 and heard.of(ProgressMessage)[-1].stage == stage

    def send(message: Message) -> None:
        heard(message)
        if heard.checkpoints:
            saved.set()

    run, heard = prepared(monkeypatch, SPEC, dataset, tmp_path, stop=stop)
    run.send = send
    monkeypatch.setattr(f"sihl_trainer.training.{where}", lambda *of: Awaited(closing(*of), str))
    assert not train(run)
    assert saved.is_set()
    assert set(eventually(lambda: closed_after)) == {True}


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_stop_is_heard_and_saved_while_an_image_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, split: str
) -> None:
    folder = multitask(tmp_path / "dataset")
    asked = itertools.count()

    def stop(run: Run) -> bool:
        if run.state.step == 0:
            return False
        if (times := next(asked)) == 0:
            # A disk that does not answer: to open a pipe that nobody writes takes for ever.
            for name in getattr(run.data, split).names:
                (folder / "train" / "images" / name).unlink()
                os.mkfifo(folder / "train" / "images" / name)
        return times > 5

    spec = multitask_job({"maxSteps": 9, "validations": 3, "batchSize": 2})
    run, heard = prepared(monkeypatch, spec, folder, tmp_path / "scratch", stop=stop)
    assert not train(run)
    assert [message.final for message in heard.checkpoints] == [True]


def test_a_run_in_bfloat16_is_stopped_resumed_and_validated_as_any(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Path
) -> None:
    spec = multitask_job({"maxSteps": 2, "validations": 1, "precision": "bfloat16"})
    one, heard = prepared(monkeypatch, spec, dataset, tmp_path / "whole")
    assert train(one)
    folder = stopped(monkeypatch, dataset, tmp_path, lambda run: run.state.step == 1, spec)
    other, _ = prepared(monkeypatch, spec, dataset, tmp_path / "second", resume=folder)
    assert train(other)
    assert same(one.model.state_dict(), other.model.state_dict())
    assert not same(one.model.state_dict(), load_file(folder / "model.safetensors"))
    assert {"boxes/map", "pet/accuracy"} <= set(heard.validations[2])


def test_a_stop_in_a_validation_abandons_it_and_the_resumed_run_makes_up_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Path, whole: Any
) -> None:
    def within_validation(run: Run) -> bool:
        return run.state.step == 2 and not run.model.training

    folder = stopped(monkeypatch, dataset, tmp_path, within_validation)
    state = json.loads((folder / "state.json").read_text())
    assert (state["step"], state["validated"]) == (2, 0)
    run, heard = prepared(monkeypatch, SPEC, dataset, tmp_path / "second", resume=folder)
    assert train(run)
    assert heard.model
    assert same(load_file(heard.model / "model.safetensors"), whole["model"])
    assert heard.validations == whole["validations"]


def test_a_stop_while_results_are_measured_does_not_wait_for_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Path, whole: Any
) -> None:
    began, never = threading.Event(), threading.Event()

    def measured_for_ever(*_: Any) -> dict[str, float]:
        began.set()
        never.wait()
        return {}

    with monkeypatch.context() as patch:
        patch.setattr(Accuracy, "compute", measured_for_ever)
        folder = stopped(patch, dataset, tmp_path, lambda _: began.is_set())
    never.set()
    state = json.loads((folder / "state.json").read_text())
    assert (state["step"], state["validated"]) == (2, 0)
    run, heard = prepared(monkeypatch, SPEC, dataset, tmp_path / "second", resume=folder)
    assert train(run)
    assert heard.validations == whole["validations"]


def test_what_fails_while_results_are_measured_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Path
) -> None:
    def fails(*_: Any) -> dict[str, float]:
        raise MemoryError("no room for the results")

    monkeypatch.setattr(Accuracy, "compute", fails)
    run, _ = prepared(monkeypatch, SPEC, dataset, tmp_path)
    with pytest.raises(MemoryError, match="no room for the results"):
        train(run)


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer", [{"name": "SGD", "learningRate": 0.01}, {"name": "AdamW", "learningRate": 0.01}]
)
def test_a_checkpoint_holds_all_that_the_optimizer_knows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Path, optimizer: Any
) -> None:
    spec = multitask_job({"maxSteps": 2, "optimizer": optimizer})
    folder = stopped(monkeypatch, dataset, tmp_path, lambda run: run.state.step == 1, spec)
    before, _ = prepared(monkeypatch, spec, dataset, tmp_path, resume=folder)
    after, _ = prepared(monkeypatch, spec, dataset, tmp_path)
    assert before.optimizer.state_dict()["state"]
    assert not after.optimizer.state_dict()["state"]
    for parameter in (p for group in before.optimizer.param_groups for p in group["params"]):
        for value in before.optimizer.state.get(parameter, {}).values():
            # Fused and foreach kernels are for tensors that are laid out alike.
            assert value.ndim == 0 or value.stride() == parameter.stride()


def test_a_stop_before_the_first_step_leaves_no_checkpoint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Path
) -> None:
    run, heard = prepared(monkeypatch, SPEC, dataset, tmp_path, stop=lambda run: True)
    assert not train(run)
    assert not heard.checkpoints
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_checkpoints_are_written_at_their_interval_and_are_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Path, whole: Any
) -> None:
    spec = multitask_job({"maxSteps": STEPS, "gradientClipNorm": 5.0}, {"checkpointInterval": "1s"})
    run, heard = prepared(monkeypatch, spec, dataset, tmp_path)
    run.clock = Times(0.2)
    assert train(run)
    assert heard.model
    assert same(load_file(heard.model / "model.safetensors"), whole["model"])
    steps = [message.step for message in heard.checkpoints]
    assert steps
    assert steps == sorted(set(steps))
    assert not any(message.final for message in heard.checkpoints)
    for message in heard.checkpoints:
        folder = Path(message.directory)
        manifest = Manifest.model_validate_json((folder / "manifest.json").read_text())
        assert manifest.step == message.step
        assert {p.name for p in folder.iterdir()} == {*manifest.files, "manifest.json"}
        assert all(sha256(folder / n) == entry.sha256 for n, entry in manifest.files.items())
    run, heard = prepared(monkeypatch, SPEC, dataset, tmp_path / "b", resume=tmp_path / folder.name)
    assert train(run)
    assert heard.model
    assert same(load_file(heard.model / "model.safetensors"), whole["model"])


@pytest.mark.parametrize("end", ["stop", "model"])
def test_what_an_end_saves_does_not_fail_for_the_checkpoint_before_it(
    monkeypatch: pytest.MonkeyPatch, dataset: Path, tmp_path: Path, end: str
) -> None:
    def refuse() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    began: list[int] = []

    def stop(run: Run) -> bool:
        # The last steps' validation asks too: nothing but the model comes after it.
        if run.state.step == {"stop": STEPS - 1, "model": STEPS}[end] and not began:
            began.append(run.state.step)
            run.writer.start(refuse)
        return bool(began) and end == "stop"

    run, heard = prepared(monkeypatch, SPEC, dataset, tmp_path, stop=stop)
    assert train(run) == (end == "model")
    assert began
    assert bool(heard.checkpoints) == (end == "stop")
    assert bool(heard.model) == (end == "model")


def test_a_loss_is_told_as_its_mean_over_the_steps_that_had_annotated_images(
    monkeypatch: pytest.MonkeyPatch, dataset: Path, tmp_path: Path
) -> None:
    run, heard = prepared(monkeypatch, SPEC, dataset, tmp_path)
    meter = Meter(run)
    zero = torch.zeros(())
    for pet, heads in [(0.5, {"boxes", "pet"}), (0.0, {"boxes"}), (0.7, {"boxes", "pet"})]:
        run.state.step += 1
        meter.add({"boxes/box": zero + 3, "pet/cross_entropy": zero + pet}, heads)
    meter.report()
    meter.add({"boxes/box": zero + 2, "pet/cross_entropy": zero}, {"boxes"})
    meter.report()
    told = [message.line.values for message in heard.of(MetricsMessage)]
    assert told[0] == pytest.approx({"boxes/box": 3, "pet/cross_entropy": 0.6, "loss": 3.6})
    assert told[1] == {"boxes/box": 2, "loss": 2}  # nothing was learnt of the other


@pytest.mark.parametrize(
    ("training", "done", "elapsed", "left"),
    [
        ({"maxSteps": 100, "validations": 10}, 55, 55, 45 * 2 + 5 * 60),
        ({"maxSteps": 100, "validations": 10}, 60, 60, 40 * 2 + 4 * 60),
        ({"maxSteps": 100, "validations": 1}, 99, 99, 2 + 60),
        ({"maxSteps": 100, "validations": 10}, 100, 100, 0),
        ({"maxSteps": 100, "validations": 1, "maxDuration": "60s"}, 10, 20, 40 + 60),
        ({"maxSteps": 100, "validations": 1, "maxDuration": "60s"}, 10, 61, 0),
    ],
)
def test_the_time_that_is_left_is_that_of_steps_and_validations(
    monkeypatch: pytest.MonkeyPatch, dataset: Path, tmp_path: Path,
    training: Any, done: int, elapsed: float, left: float,
) -> None:  # fmt: skip
    run, _ = prepared(monkeypatch, multitask_job(training), dataset, tmp_path)
    run.state.step, run.state.elapsed = done, elapsed
    assert time_left(run, step_seconds=2, validation_seconds=60) == left


def test_when_max_duration_is_over_the_run_ends_well_and_validates(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Path
) -> None:
    spec = multitask_job({"maxSteps": 1000, "maxDuration": "2s"})
    run, heard = prepared(monkeypatch, spec, dataset, tmp_path)
    run.clock = Times(0.25)
    assert train(run)
    assert heard.model
    assert 0 < run.state.step < 20
    assert list(heard.validations) == [run.state.step]
    assert run.state.elapsed >= 2


@pytest.mark.slow
def test_learning_time_counts_over_attempts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Path
) -> None:
    spec = multitask_job({"maxSteps": 1000, "maxDuration": "1h"})
    folder = stopped(monkeypatch, dataset, tmp_path, lambda run: run.state.step == 1, spec)
    path = folder / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"elapsed": 3599.9}))
    run, heard = prepared(monkeypatch, spec, dataset, tmp_path / "second", resume=folder)
    run.clock = Times(0.25)
    assert train(run)
    assert heard.model
    assert run.state.step <= 2


def test_a_loss_that_is_no_number_ends_the_run_and_names_step_head_and_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Path
) -> None:
    spec = multitask_job({"maxSteps": 50}, {"checkpointInterval": "1s"})
    run, heard = prepared(monkeypatch, spec, dataset, tmp_path)
    run.clock = Times(0.02)

    def poison(run: Run) -> bool:
        if run.state.step == 2:
            spoil(run)
        return False

    run.stop_requested = lambda: poison(run)
    with pytest.raises(DivergedError, match=r"head 'pet' .* at step 3: lower .*learningRate"):
        train(run)
    for message in heard.checkpoints:
        assert message.step < 3


@pytest.mark.slow
def test_weights_that_are_no_numbers_are_not_checkpointed_by_a_stop(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Path
) -> None:
    run, heard = prepared(
        monkeypatch, SPEC, dataset, tmp_path, stop=lambda run: run.state.step == 1
    )
    spoil(run)
    with pytest.raises(DivergedError):
        train(run)
    assert not heard.checkpoints


def test_what_is_told_names_heads_and_comes_once_a_second_at_most(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Path
) -> None:
    spec = multitask_job({"maxSteps": 12, "validations": 1})
    run, heard = prepared(monkeypatch, spec, dataset, tmp_path)
    run.clock = Times(0.15)
    assert train(run)
    lines = [m.line for m in heard.of(MetricsMessage) if m.line.kind == "train"]
    assert 1 < len(lines) < 12
    losses = {"boxes/classification", "boxes/box", "pet/cross_entropy"}
    for line in lines:
        told_losses = set(line.values) - {"loss"}
        assert told_losses <= losses
        assert line.values["loss"] == pytest.approx(sum(line.values[n] for n in told_losses))
    assert set(heard.validations[12]) == {
        "boxes/map", "boxes/map50", "boxes/map75", "boxes/mar100", "pet/accuracy", "pet/f1",
    }  # fmt: skip
    told = heard.of(ProgressMessage)
    assert [message.stage for message in told][:2] == ["Loading", "Training"]
    told = [message for message in told if message.remaining_seconds is not None]
    assert len(told) == len(lines)
    left = [message.remaining_seconds for message in told]
    assert left == sorted(left, reverse=True)


@pytest.mark.slow
def test_a_validation_changes_nothing_that_trains(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Path, whole: Any
) -> None:
    spec = multitask_job({"maxSteps": STEPS, "gradientClipNorm": 5.0, "validations": STEPS})
    run, heard = prepared(monkeypatch, spec, dataset, tmp_path)
    assert train(run)
    assert heard.model
    assert len(heard.validations) == STEPS
    assert same(load_file(heard.model / "model.safetensors"), whole["model"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpus_where_torch_sees_none_are_a_bad_config_unless_the_cpu_is_allowed() -> None:
    with pytest.raises(BadConfig, match=r"spec\.runner\.gpus is 2 .* gpus: 0"):
        choose_device(2, allow_cpu=False)
    assert choose_device(2, allow_cpu=True).type == "cpu"
    assert choose_device(0, allow_cpu=False).type == "cpu"
