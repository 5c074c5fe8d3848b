"""What each hyperparameter of a step does to the weights."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sihl_api.training import Optimizer
from sihl_trainer.dataset.loading import batches
from sihl_trainer.training.loop import LossModule, step
from sihl_trainer.training.optimizer import MOMENTUM, build_optimizer, set_rate
from sihl_trainer.training.run import Run
from tests.support.training import multitask, multitask_job, prepared

RATE = 0.5
NAMES = pytest.mark.parametrize("name", ["SGD", "AdamW"])


def weights() -> nn.Module:
    """A convolution with a bias, and a norm; all of them ones."""
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3))
    for parameter in model.parameters():
        nn.init.ones_(parameter)
    return model


def stepped(gradient: float, steps: int = 1, **settings: Any) -> dict[str, Tensor]:
    """The weights by name after steps of the same gradient everywhere."""
    model = weights()
    optimizer = build_optimizer(Optimizer(learning_rate=RATE, **settings), model)
    for _ in range(steps):
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step()
    return dict(model.named_parameters())


def value(weight: Tensor) -> float:
    """What all of a tensor's elements are."""
    assert weight.min() == weight.max()
    return weight.max().item()


@NAMES
def test_weight_decay_shrinks_weights_but_no_norms_and_biases(name: str) -> None:
    after = stepped(0.0, name=name, weight_decay=0.1)
    assert value(after.pop("0.weight")) == pytest.approx(1 - RATE * 0.1)
    assert after.keys() == {"0.bias", "1.weight", "1.bias"}
    assert all(value(weight) == 1 for weight in after.values())


@NAMES
def test_without_weight_decay_nothing_shrinks(name: str) -> None:
    after = stepped(0.0, name=name, weight_decay=0.0)
    assert all(value(weight) == 1 for weight in after.values())


def test_momentum_carries_earlier_gradients_into_later_steps() -> None:
    for momentum in (0.0, 0.5):
        after = stepped(0.1, steps=2, name="SGD", momentum=momentum, weight_decay=0.0)
        moved = RATE * (0.1 + (0.1 + momentum * 0.1))
        assert value(after["0.weight"]) == pytest.approx(1 - moved)


def test_sgd_has_the_usual_momentum_unless_it_is_given() -> None:
    usual = stepped(0.1, steps=2, name="SGD", weight_decay=0.0)
    given = stepped(0.1, steps=2, name="SGD", weight_decay=0.0, momentum=MOMENTUM)
    assert value(usual["0.weight"]) == value(given["0.weight"]) < 1


def test_adamw_steps_by_the_rate_whatever_the_gradients_size() -> None:
    for gradient in (0.001, 1000.0):
        after = stepped(gradient, name="AdamW", weight_decay=0.0)
        assert value(after["0.weight"]) == pytest.approx(1 - RATE, abs=1e-4)


def test_the_rate_that_is_set_is_that_of_all_weights() -> None:
    optimizer = build_optimizer(Optimizer(), weights())
    set_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


# --- a step of the loop ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return multitask(tmp_path_factory.mktemp("dataset"))


def moved(
    monkeypatch: pytest.MonkeyPatch, dataset: Path, scratch: Path, **training: Any
) -> tuple[float, dict[str, Tensor]]:
    """How far one step of plain gradient descent moves the weights, and the losses before it."""
    plain = {"name": "SGD", "learningRate": 1.0, "momentum": 0.0, "weightDecay": 0.0}
    spec = multitask_job({"optimizer": plain, "scheduler": {"name": "Constant"}, **training})
    run, _ = prepared(monkeypatch, spec, dataset, scratch)
    before = [p.detach().clone() for p in run.model.parameters()]
    losses = one_step(run)
    with torch.no_grad():
        change = [p - b for p, b in zip(run.model.parameters(), before, strict=True)]
    return float(nn.utils.get_total_norm(change)), losses


def one_step(run: Run) -> dict[str, Tensor]:
    """The losses of the first step."""
    module = LossModule(run.model, run.loss_weights, run.ranks)
    with closing(batches(run.data.train, run.spec, 0, 0, 1, 0)) as source:
        return step(run, module.train(), next(source))


def test_gradients_are_clipped_to_their_norm_and_otherwise_left_alone(
    monkeypatch: pytest.MonkeyPatch, dataset: Path, tmp_path: Path
) -> None:
    whole, _ = moved(monkeypatch, dataset, tmp_path)
    clipped, _ = moved(monkeypatch, dataset, tmp_path, gradientClipNorm=whole / 10)
    loose, _ = moved(monkeypatch, dataset, tmp_path, gradientClipNorm=whole * 10)
    assert clipped == pytest.approx(whole / 10, rel=1e-3)
    assert loose == pytest.approx(whole, rel=1e-3)


def test_bfloat16_is_what_forward_passes_compute_in_and_weights_and_losses_stay_float32(
    monkeypatch: pytest.MonkeyPatch, dataset: Path, tmp_path: Path
) -> None:
    spec = multitask_job({"precision": "bfloat16"})
    run, _ = prepared(monkeypatch, spec, dataset, tmp_path)
    seen: list[torch.dtype] = []
    convolution = next(m for m in run.model.modules() if isinstance(m, nn.Conv2d))
    convolution.register_forward_hook(lambda _, __, output: seen.append(output.dtype))
    losses = one_step(run)
    assert seen == [torch.bfloat16]
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert {p.dtype for p in run.model.parameters()} == {torch.float32}


def test_bfloat16_finds_nearly_the_losses_of_float32(
    monkeypatch: pytest.MonkeyPatch, dataset: Path, tmp_path: Path
) -> None:
    _, exact = moved(monkeypatch, dataset, tmp_path, precision="float32")
    _, rough = moved(monkeypatch, dataset, tmp_path, precision="bfloat16")
    assert rough != exact
    for name, loss in exact.items():
        torch.testing.assert_close(rough[name], loss, rtol=0.1, atol=0.05)
