"""What every head owes the loop, the checkpoint and the record: each rule, held by each task."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from examples.digits import make
from sihl_api.record import HeadConfig
from sihl_api.tasks import Task
from sihl_api.trainingjob import TrainingJobSpec
from sihl_trainer.dataset.feeds import open_split
from sihl_trainer.dataset.loading import batches
from sihl_trainer.dataset.metadata import read_metadata
from sihl_trainer.fetch.check import check_images, open_to_check
from sihl_trainer.fetch.fingerprint import fingerprint, marks_on_disk
from sihl_trainer.fetch.progress import FetchProgress
from sihl_trainer.model.weights import load_model
from sihl_trainer.tasks.head import Head
from sihl_trainer.tasks.keypoint_detection.target import KeypointsTarget
from sihl_trainer.tasks.metric_learning.target import IdentityTarget
from sihl_trainer.tasks.multiclass_classification.target import CategoryTarget
from sihl_trainer.tasks.multilabel_classification.target import LabelsTarget
from sihl_trainer.tasks.passes import Keys, Pass, Views
from sihl_trainer.tasks.picture import Painter
from sihl_trainer.tasks.rooms import format_of, head_of, painter_of
from sihl_trainer.tasks.semantic_segmentation.target import SemanticTarget
from sihl_trainer.tasks.target import Target
from sihl_trainer.tasks.text_recognition.target import TextTarget
from sihl_trainer.training.channel import MetricsMessage, PicturesWritten
from sihl_trainer.training.evaluation import measure, results, validate
from sihl_trainer.training.loop import train
from sihl_trainer.training.run import Run
from tests.support import waits
from tests.support.datasets import job
from tests.support.pod import ROOT
from tests.support.training import never, prepared, same

KINDS = {
    Task.MULTICLASS_CLASSIFICATION: "classification",
    Task.MULTILABEL_CLASSIFICATION: "multilabel",
    Task.METRIC_LEARNING: "metric-learning",
    Task.REGRESSION: "regression",
    Task.OBJECT_DETECTION: "detection",
    Task.KEYPOINT_DETECTION: "keypoints",
    Task.QUADRILATERAL_DETECTION: "quadrilaterals",
    Task.SEMANTIC_SEGMENTATION: "semantic",
    Task.INSTANCE_SEGMENTATION: "instance",
    Task.PANOPTIC_SEGMENTATION: "panoptic",
    Task.DEPTH_ESTIMATION: "depth",
    Task.TEXT_RECOGNITION: "text",
    Task.VIEW_INVARIANCE: "unlabelled",
    Task.AUTOENCODING: "unlabelled",
    Task.ANOMALY_DETECTION: "unlabelled",
}
"""A dataset for each task, of `examples/digits.py`."""
SUPERVISED = [task for task in Task if not task.self_supervised]

pytestmark = pytest.mark.slow  # together, and for scikit-learn's import


def spec_of(task: Task, **training: Any) -> TrainingJobSpec:
    """A job of one head that three steps and two validations take a second."""
    wide = task is Task.TEXT_RECOGNITION
    spec = job(
        {"name": "head", "task": task.value},
        validation_prefix="validation",
        training={
            "maxSteps": 2,
            "validations": 2,
            "batchSize": 4,
            "pictures": 2,
            "inputSize": {"width": 128 if wide else 64, "height": 32 if wide else 64},
            "optimizer": {"learningRate": 1e-4},
            **training,
        },
        runner={"gpus": 0},
    )
    raw = spec.model_dump(by_alias=True, exclude_none=True)
    raw["model"] |= {
        "backbone": {"name": "resnet18"},
        "neck": {"name": "FPN", "levels": [2, 4], "channels": 16},
    }
    return TrainingJobSpec.model_validate(raw)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Task], Path]:
    """A dataset for a task, made once."""
    made: dict[str, Path] = {}

    def of(task: Task) -> Path:
        kind = KINDS[task]
        if kind not in made:
            made[kind] = make(kind, tmp_path_factory.mktemp(kind), count=12, held_out=6)
        return made[kind]

    return of


@pytest.fixture
def begun(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Callable[[Task], Path]
) -> Callable[..., tuple[Run, Any]]:
    """A run of a task as the worker prepares it."""

    def of(task: Task, name: str = "run", **given: Any) -> tuple[Run, Any]:
        spec = given.pop("spec", None) or spec_of(task)
        return prepared(monkeypatch, spec, dataset(task), tmp_path / name, **given)

    return of


def shown(run: Run, passes: frozenset[Pass]) -> tuple[Views, list[Target | None]]:
    """The first batch as the head sees it, and its targets."""
    batch = next(islice(batches(run.data.train, run.spec), 1))
    keys = Keys(0, batch.epochs, batch.indices)
    return run.model.views(batch.images, passes, keys), batch.targets["head"]


# --- the room --------------------------------------------------------------------------------


@pytest.mark.parametrize("task", Task)
def test_every_task_has_its_room(task: Task) -> None:
    assert issubclass(head_of(task), Head)
    assert head_of(task).task is task
    assert issubclass(painter_of(task), Painter)
    if not task.self_supervised:
        assert callable(format_of(task).read)


def test_no_format_imports_torch() -> None:
    program = (
        "import sys\n"
        "from sihl_api.tasks import Task\n"
        "import sihl_trainer.dataset.feeds\n"
        "from sihl_trainer.tasks.rooms import format_of\n"
        "[format_of(task) for task in Task if not task.self_supervised]\n"
        "sys.exit('torch' in sys.modules)"
    )
    path = ":".join(str(ROOT / part) for part in ("crds", "trainer_image"))
    subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": path}, check=True)


# --- the dataset -----------------------------------------------------------------------------


def occurrences(target: Any) -> list[int]:
    """The indices that count in what an image is annotated with."""
    match target:
        case CategoryTarget():
            return [target.category]
        case IdentityTarget():
            return [target.identity]
        case LabelsTarget(labels=found) | TextTarget(tokens=found):
            return found.tolist()
        case KeypointsTarget():
            return target.visible.nonzero()[:, 1].tolist()
        case SemanticTarget():
            return [index - 1 for index in set(target.labels.flatten().tolist()) if index]
    found = target.categories.tolist()
    return list(found)


@pytest.mark.parametrize("task", SUPERVISED)
def test_what_a_dataset_holds_is_counted(dataset: Callable[[Task], Path], task: Task) -> None:
    opened = open_to_check(spec_of(task), "train", dataset(task))
    check_images(opened, FetchProgress("train"))
    found = fingerprint(opened, marks_on_disk(opened))
    ((name, told),) = found.annotations.items()
    assert (told.task, told.images) == (task.value, found.images)
    targets = [opened.sets[name].target(image) for image in opened.names]
    match task:
        case Task.REGRESSION:
            assert told.histogram is not None
            assert sum(told.histogram.counts) == len(targets)
        case Task.DEPTH_ESTIMATION:
            assert told.histogram is not None
            assert sum(told.histogram.counts) > 100 * len(targets)  # pixels
        case _:
            counts = Counter(index for target in targets for index in occurrences(target))
            names = opened.feeds["head"].info.categories
            assert told.counts == {each: counts[index] for index, each in enumerate(names)}
            assert len(counts) > 1


# --- learning --------------------------------------------------------------------------------


@pytest.mark.parametrize("task", Task)
def test_before_anything_is_learnt_a_loss_is_of_the_order_of_one(
    begun: Callable[..., tuple[Run, Any]], task: Task
) -> None:
    run, _ = begun(task)
    head = run.model.head("head")
    views, targets = shown(run, head.passes)
    losses = {name: float(loss.mean.detach()) for name, loss in head.loss(views, targets).items()}
    assert all(math.isfinite(value) and value >= 0 for value in losses.values()), losses
    assert 0.1 < sum(losses.values()) < 10, losses


@pytest.mark.parametrize("task", SUPERVISED)
def test_images_without_an_annotation_add_nothing_and_leave_no_weight_without_a_gradient(
    begun: Callable[..., tuple[Run, Any]], task: Task
) -> None:
    run, _ = begun(task)
    run.model.eval()  # statistics of a batch would tie its images together
    head = run.model.head("head")
    views, targets = shown(run, head.passes)
    none = head.loss(views, [None] * len(targets))
    assert all(float(loss.mean.detach()) == loss.amount == 0 for loss in none.values())
    torch.stack([loss.mean for loss in none.values()]).sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and not p.grad.any() for p in head.parameters())


@pytest.mark.parametrize("task", SUPERVISED)
def test_what_a_batch_costs_is_the_sum_of_what_its_images_do(
    begun: Callable[..., tuple[Run, Any]], task: Task
) -> None:
    """Ranks that share a batch learn what one would."""
    run, _ = begun(task)
    run.model.eval()
    head = run.model.head("head")
    batch = next(islice(batches(run.data.train, run.spec), 1))

    def losses(rows: list[int]) -> dict[str, torch.Tensor]:
        keys = Keys(0, [batch.epochs[row] for row in rows], [batch.indices[row] for row in rows])
        with torch.no_grad():
            views = run.model.views(batch.images[rows], head.passes, keys)
            found = head.loss(views, [batch.targets["head"][row] for row in rows])
        return {name: torch.stack((loss.total, loss.amount)) for name, loss in found.items()}

    whole, one, other = losses([0, 1, 2, 3]), losses([0]), losses([1, 2, 3])
    torch.testing.assert_close(
        {name: one[name] + other[name] for name in one}, whole, rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("task", Task)
def test_a_step_never_waits_for_its_device(
    begun: Callable[..., tuple[Run, Any]], monkeypatch: pytest.MonkeyPatch, task: Task
) -> None:
    run, _ = begun(task)
    head = run.model.to(waits.DEVICE).head("head")
    batch = next(islice(batches(run.data.train, run.spec), 1))
    images = batch.images.to(waits.DEVICE)
    whole = batch.targets["head"]
    for targets in (whole, [None, *whole[1:]], [None] * len(whole)):
        with waits.noted(monkeypatch) as found:
            views = run.model.views(images, head.passes, Keys(0, batch.epochs, batch.indices))
            losses = [loss.mean for loss in head.loss(views, targets).values()]
            torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
        assert not found


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("task", Task)
def test_a_step_leaves_all_weights_finite(
    begun: Callable[..., tuple[Run, Any]], task: Task, precision: str
) -> None:
    run, _ = begun(task, spec=spec_of(task, precision=precision, maxSteps=1, validations=1))
    assert train(run)
    assert all(p.isfinite().all() for p in run.model.parameters())


@pytest.mark.parametrize("task", Task)
def test_a_resumed_run_is_the_run_that_was_not_stopped(
    begun: Callable[..., tuple[Run, Any]], task: Task
) -> None:
    whole, told = begun(task, "whole")
    assert train(whole)
    stopped, heard = begun(task, "stopped", stop=lambda run: run.state.step == 1)
    assert not train(stopped)
    folder = Path(heard.checkpoints[0].directory)
    resumed, again = begun(task, "resumed", resume=folder)
    assert train(resumed)
    assert same(resumed.model.state_dict(), whole.model.state_dict())
    assert not same(resumed.model.state_dict(), load_file(folder / "model.safetensors"))
    assert again.validations[2] == told.validations[2]


# --- validation ------------------------------------------------------------------------------


@pytest.mark.parametrize("task", Task)
def test_results_are_numbers_and_the_same_whatever_ranks_measured_them(
    begun: Callable[..., tuple[Run, Any]], task: Task
) -> None:
    run, _ = begun(task)
    whole = measure(run)
    assert whole is not None
    parts = []
    names = run.data.validation.names
    head = run.model.head("head")
    run.model.eval()
    for rank in range(2):
        metric = head.metric()
        for index in range(rank, len(names), 2):
            sample = run.data.validation.sample(0, index)
            if sample.targets["head"] is None:
                continue
            with torch.inference_mode():
                views = run.model.views(sample.image[None], head.examined, Keys(0, [0], [index]))
                metric.update(head.examine(views), [sample.targets["head"]], [index])
        parts.append({"head": metric})
    together, apart = results([whole.metrics]), results(parts)
    assert together
    assert all(math.isfinite(value) for value in together.values())
    if head.examined == {Pass.PLAIN}:  # what blends images depends on their batch
        assert apart == pytest.approx(together, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("task", Task)
def test_each_result_says_which_of_its_values_are_better(
    begun: Callable[..., tuple[Run, Any]], task: Task
) -> None:
    run, heard = begun(task)
    run.stop_requested = never
    assert validate(run)
    better = run.model.head("head").metric().better
    (message,) = heard.of(MetricsMessage)
    assert message.line.values.keys() == {f"head/{name}" for name in better}
    assert message.better == {f"head/{name}": each for name, each in better.items() if each}
    assert "higher" in better.values() or "lower" in better.values()


@pytest.mark.parametrize("task", Task)
def test_a_stop_is_heard_between_two_batches_of_a_validation(
    begun: Callable[..., tuple[Run, Any]], task: Task
) -> None:
    answers: Iterator[bool] = iter([False, True])
    run, _ = begun(task)
    run.stop_requested = lambda: next(answers)
    assert not validate(run)
    assert next(answers, None) is None
    assert run.state.validated == 0
    assert run.model.training


@pytest.mark.parametrize("task", Task)
def test_a_validation_is_drawn_and_its_predictions_are_annotations_of_the_dataset(
    begun: Callable[..., tuple[Run, Any]],
    dataset: Callable[[Task], Path],
    tmp_path: Path,
    task: Task,
) -> None:
    run, heard = begun(task)
    run.stop_requested = never
    assert run.pictures is not None
    assert validate(run)
    run.pictures.finish(60)
    (message,) = heard.of(PicturesWritten)
    folder = Path(message.directory) / "head"
    drawings = [path for path in folder.glob("*.png") if ".map." not in path.name]
    assert len(drawings) == 2
    for path in drawings:
        with Image.open(path) as drawing:
            assert drawing.width > run.spec.training.input_size.width
    if not task.self_supervised:
        names = {path.name.removesuffix(".png") for path in drawings}
        again = annotated_so(dataset(task), names, folder, tmp_path / "again")
        opened = open_split(again, run.spec.model.heads)
        check_images(opened, FetchProgress("train"))
        assert set(opened.annotated) == names


def annotated_so(dataset: Path, names: set[str], written: Path, into: Path) -> Path:
    """Validation images of these names, annotated by what was written of them."""
    (found,) = read_metadata(dataset / "train").sets.values()
    (into / "images").mkdir(parents=True)
    shutil.copy(dataset / "train" / "metadata.yaml", into)  # whose names are those that it has
    for name in names:
        shutil.copy(dataset / "validation" / "images" / name, into / "images")
    source = into / found.source
    if (written / "annotations.json").exists():
        shutil.copy(written / "annotations.json", source)
        return into
    source.mkdir()
    for file in written.glob("*.map.*"):
        stem, _, suffix = file.name.partition(".map")
        shutil.copy(file, source / (Path(stem).stem + suffix))
    return into


@pytest.mark.parametrize("task", Task)
def test_a_model_from_disk_says_the_same_without_its_dataset(
    begun: Callable[..., tuple[Run, Any]], task: Task
) -> None:
    run, heard = begun(task)
    assert train(run)
    loaded = load_model(heard.model)
    assert loaded.config.heads == [
        HeadConfig.model_validate(head.model_dump()) for head in run.model.config.heads
    ]
    run.model.eval()
    images = torch.stack([run.data.validation.sample(0, index).image for index in range(2)])
    keys = Keys(0, [0, 0], [0, 1])
    passes = frozenset({Pass.PLAIN})
    with torch.inference_mode():
        for one, other in zip(
            run.model.head("head").predict(run.model.views(images, passes, keys)[Pass.PLAIN]),
            loaded.head("head").predict(loaded.views(images, passes, keys)[Pass.PLAIN]),
            strict=True,
        ):
            assert alike(one, other)


def alike(one: Any, other: Any) -> bool:
    """Whether two predictions agree, whatever they are made of."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if hasattr(one, "__dict__"):
        return all(alike(value, vars(other)[name]) for name, value in vars(one).items())
    return bool((one == other) if not hasattr(one, "shape") else (one == other).all())
