"""The loop on a GPU, where there is one: what is not the same code as on the CPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sihl_trainer.errors import OutOfMemory
from sihl_trainer.training.loop import train
from sihl_trainer.training.worker import explained
from tests.support.training import multitask, multitask_job, prepared

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return multitask(tmp_path_factory.mktemp("dataset"))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["AdamW", "SGD"])
def test_a_run_on_a_gpu_stops_with_a_checkpoint_resumes_and_ends_with_a_model(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Path, precision: str, optimizer: str
) -> None:
    training = {"maxSteps": 4, "precision": precision, "optimizer": {"name": optimizer}}
    spec = multitask_job(training, {"gpus": 1})
    first, left = prepared(
        monkeypatch, spec, dataset, tmp_path, stop=lambda run: run.state.step == 2
    )
    assert first.device.type == "cuda"
    assert not train(first)
    folder = Path(left.checkpoints[-1].directory)
    kept = load_file(folder / "model.safetensors")
    weights = first.model.state_dict()
    assert all(torch.equal(kept[name], weight.cpu()) for name, weight in weights.items())
    second, heard = prepared(monkeypatch, spec, dataset, tmp_path / "second", resume=folder)
    assert second.state.step == 2
    assert second.optimizer.state_dict()["state"]
    assert train(second)
    assert heard.model is not None
    model = load_file(heard.model / "model.safetensors")
    assert all(weight.isfinite().all() for weight in model.values())
    assert {"boxes/map", "pet/accuracy"} <= set(heard.validations[4])


def test_a_gpu_whose_memory_does_not_suffice_ends_with_what_to_lower(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: Path
) -> None:
    run, _ = prepared(monkeypatch, multitask_job(runner={"gpus": 1}), dataset, tmp_path)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-4)
    try:
        with pytest.raises(OutOfMemory, match=r"the GPU's memory .*batchSize") as end, explained():
            train(run)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert int(end.value.exit_code) == 71
